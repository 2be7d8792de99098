"""Can a reader with one schema read what was written under another? The rules of Avro's schema resolution, statically.

FULL_TRANSITIVE: each schema reads, and is read by, every released one. A test holds the project to it.
"""

from __future__ import annotations

from typing import Any

_PROMOTED = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def obstacles(reader: Any, writer: Any) -> list[str]:
    """Why some record written under `writer` could not be read under `reader`, each with its place; empty: all can."""
    return list(dict.fromkeys(_Resolution().value(reader, writer, "")))


class _Resolution:
    def __init__(self) -> None:
        self.readers: dict[str, Any] = {}
        self.writers: dict[str, Any] = {}

    def value(self, reader: Any, writer: Any, path: str) -> list[str]:
        reader, writer = _known(reader, self.readers), _known(writer, self.writers)
        if isinstance(writer, list):
            return [found for branch in writer for found in self.value(reader, branch, path)]
        if isinstance(reader, list):
            tried = [self.value(branch, writer, path) for branch in reader]
            fits = [] in tried
            return [] if fits else [f"{path}: no branch of the reader takes {_kind(writer)}"]
        have, want = _kind(writer), _kind(reader)
        if have != want:
            promoted = want in _PROMOTED.get(have, ())
            return [] if promoted else [f"{path}: written as {have}, read as {want}"]
        if have in ("record", "enum", "fixed") and _simple(reader) != _simple(writer):
            return [f"{path}: written as {writer['name']}, read as {reader['name']}"]
        resolve = getattr(self, f"_{have}", None)
        return resolve(reader, writer, path) if resolve else []

    def _record(self, reader: Any, writer: Any, path: str) -> list[str]:
        written = {field["name"]: field for field in writer["fields"]}
        found = []
        for field in reader["fields"]:
            name, place = field["name"], f"{path}.{field['name']}".lstrip(".")
            if name in written:
                found += self.value(field["type"], written[name]["type"], place)
            elif "default" not in field:
                found.append(f"{place}: not written, and the reader has no default")
        return found

    def _enum(self, reader: Any, writer: Any, path: str) -> list[str]:
        if "default" in reader:
            return []
        strange = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
        return [f"{path}: symbols {', '.join(strange)} unknown to the reader, which has no default"] if strange else []

    def _array(self, reader: Any, writer: Any, path: str) -> list[str]:
        return self.value(reader["items"], writer["items"], f"{path}[]")

    def _map(self, reader: Any, writer: Any, path: str) -> list[str]:
        return self.value(reader["values"], writer["values"], f"{path}{{}}")

    def _fixed(self, reader: Any, writer: Any, path: str) -> list[str]:
        return [] if reader["size"] == writer["size"] else [f"{path}: written with {writer['size']} bytes"]


def _known(schema: Any, names: dict[str, Any]) -> Any:
    """The definition behind a name; definitions are remembered on the way. {"type": {...}} is unwrapped."""
    if isinstance(schema, dict):
        if isinstance(schema["type"], dict | list):
            return _known(schema["type"], names)
        if "name" in schema:
            names[_simple(schema)] = schema
        return schema
    return names.get(schema.rpartition(".")[2], schema) if isinstance(schema, str) else schema


def _kind(schema: Any) -> str:
    kind = schema if isinstance(schema, str) else schema["type"]
    assert isinstance(kind, str)
    return kind


def _simple(schema: Any) -> str:
    name: str = schema["name"]
    return name.rpartition(".")[2]
