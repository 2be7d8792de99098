"""A function from a record's Avro body under another schema to its body under the newest, generated once a schema.

So a producer with a schema of its own, or with an old release, costs little more than one with ours, and all that a
body is checked for is checked once, by the topic's reader. Where both schemas agree, bytes are copied as they stand,
runs of fields in one slice; fields that the reader does not know are stepped over, those not written get their default.

It need not be complete: what it does not take, it refuses with one of `FAILURES` (or `Unrenewable` when it is made),
and `schemas/codec.py` asks fastavro, slowly, which resolves all that Avro allows. The writer's names never get into the
source: they come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_writer

from schemas.explain import over
from schemas.library import Schema
from schemas.primitives import Broken, bytes_min, count, length, number

Renew = Callable[[bytes], bytes]

_SAME_BYTES = ({"string", "bytes"}, {"int", "long"})
_SIZES = {"null": 0, "float": 4, "double": 8, "boolean": 1}


class Unrenewable(Exception):
    """Allowed by Avro, and not generated here."""


def renewer(writer: Schema, reader: Schema) -> Renew:
    """From a body under `writer` to one under `reader`: both parsed by `schemas/library.py`, no obstacles in between.

    Raises Unrenewable.
    """
    emit = _Emitter(_names(writer, {}), _names(reader, {}))
    emit("def renew(b):", -1)
    emit("p, end = 0, len(b)")
    emit.piece(writer, reader, "out")
    emit("if p != end:")
    emit("raise Broken('length')", 1)
    emit("return out")
    exec(compile("\n".join(emit.lines) + "\n", "<renewer>", "exec"), emit.scope)
    made: Renew = emit.scope["renew"]
    return made


def alike(writer: Schema, reader: Schema) -> bool:
    """Whether bodies under both are the same bytes."""
    return _Emitter(_names(writer, {}), _names(reader, {})).alike(writer, reader)


def _names(schema: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Named types by name."""
    if isinstance(schema, list):
        for branch in schema:
            _names(branch, known)
    elif isinstance(schema, dict):
        if "name" in schema:
            known[schema["name"]] = schema
        for part in ("type", "items", "values"):
            _names(schema.get(part), known)
        for field in schema.get("fields", ()):
            _names(field["type"], known)
    return known


def _kind(schema: Any) -> Any:
    return schema if isinstance(schema, str) else schema["type"]


class _Emitter:
    """Source lines and the constants that they use. written, read: named types of both schemas."""

    def __init__(self, written: dict[str, Any], read: dict[str, Any]) -> None:
        self.written, self.read = written, read
        self.lines: list[str] = []
        self.depth = 2  # inside `def`, one statement level
        self.scope: dict[str, Any] = {each.__name__: each for each in (length, count, number, over, Broken)}
        self.scope["NAMES"] = written
        self._inside: list[str] = []

    def __call__(self, line: str, deeper: int = 0) -> None:
        self.lines.append("    " * (self.depth - 1 + deeper) + line)

    def name(self, value: object = None) -> str:
        """A fresh name; of `value`, a constant."""
        fresh = f"v{len(self.scope)}"
        self.scope[fresh] = value
        return fresh

    @staticmethod
    def known(schema: Any, names: dict[str, Any]) -> Any:
        """The definition behind a name; {"type": {...}} unwrapped."""
        while True:
            if isinstance(schema, str) and schema in names:
                schema = names[schema]
            elif isinstance(schema, dict) and isinstance(schema["type"], dict | list):
                schema = schema["type"]
            elif isinstance(schema, dict) and schema["type"] in names:
                schema = names[schema["type"]]
            else:
                return schema

    # -- the same bytes?

    def alike(self, writer: Any, reader: Any) -> bool:
        """Whether a value written under `writer` is, byte for byte, the one under `reader`."""
        writer, reader = self.known(writer, self.written), self.known(reader, self.read)
        if isinstance(writer, list) or isinstance(reader, list):
            both = isinstance(writer, list) and isinstance(reader, list) and len(writer) == len(reader)
            return both and all(map(self.alike, writer, reader))
        have, want = _kind(writer), _kind(reader)
        if have != want:
            return {have, want} in _SAME_BYTES
        if have == "record":
            return self._same_names(writer["fields"], reader["fields"]) and all(
                self.alike(mine["type"], theirs["type"])
                for mine, theirs in zip(writer["fields"], reader["fields"], strict=True)
            )
        part = {"array": "items", "map": "values"}.get(have)
        if part is not None:
            return self.alike(writer[part], reader[part])
        return bool(writer["symbols"] == reader["symbols"]) if have == "enum" else have != "fixed"

    @staticmethod
    def _same_names(mine: Sequence[Any], theirs: Sequence[Any]) -> bool:
        return [field["name"] for field in mine] == [field["name"] for field in theirs]

    # -- stepping over a value

    def skip(self, schema: Any) -> None:
        """Source that moves `p` behind a value of the writer's `schema`."""
        schema = self.known(schema, self.written)
        if isinstance(schema, list):
            return self.branches(schema, lambda _, branch: self.skip(branch))
        kind = _kind(schema)
        if kind in ("string", "bytes"):
            self("n = b[p]")
            self("if n & 129:")
            self("n, p = length(b, p)", 1)
            self("p += n", 1)
            self("else:")
            self("p += 1 + (n >> 1)", 1)
        elif kind in ("int", "long", "enum"):
            self("while b[p] > 127:")
            self("p += 1", 1)
            self("p += 1")
        elif kind in _SIZES or kind == "fixed":
            self(f"p += {_SIZES.get(kind) if kind in _SIZES else int(schema['size'])}")
        elif kind == "record":
            self._skip_record(schema)
        else:
            self.blocks(schema, kind, self.skip)
        return None

    def _skip_record(self, schema: Any) -> None:
        if schema["name"] in self._inside:
            return self(f"p = over({self.name(schema)}, NAMES, b, p)")
        self._inside.append(schema["name"])
        for field in schema["fields"]:
            self.skip(field["type"])
        self("pass")
        self._inside.pop()
        return None

    def branches(self, schema: list[Any], each: Callable[[int, Any], None]) -> None:
        """`each` of the union's branches, by the number that stands before the value."""
        branch = self.name()
        self(f"{branch} = b[p]")
        self("p += 1")
        for place, one in enumerate(schema):
            self(f"{'if' if not place else 'elif'} {branch} == {2 * place}:")
            self.depth += 1
            each(place, one)
            self("pass")
            self.depth -= 1
        self("else:")
        self("raise Broken('no such branch')", 1)

    def blocks(self, schema: Any, kind: str, each: Callable[[Any], None], items: str = "") -> None:
        """`each` of the items of an array, or of the entries of a map; their number in blocks is added to `items`."""
        blocks = self.name()
        item = schema["items"] if kind == "array" else schema["values"]
        self("while True:")
        self.depth += 1
        self(f"{blocks}, p = count(b, p, {bytes_min(item) + (kind == 'map')})")
        self(f"if not {blocks}:")
        self("break", 1)
        if items:
            self(f"{items} += {blocks}")
        self(f"for _ in range({blocks}):")
        self.depth += 1
        if kind == "map":
            self.skip("string")
        each(item)
        self("pass")
        self.depth -= 2

    # -- a value under the reader's schema

    def piece(self, writer: Any, reader: Any, var: str) -> None:
        """Source that reads a value of `writer` at `p` and puts its bytes under `reader` into `var`."""
        if self.alike(writer, reader):
            start = self.name()
            self(f"{start} = p")
            self.skip(writer)
            return self(f"{var} = b[{start}:p]")
        writer, reader = self.known(writer, self.written), self.known(reader, self.read)
        if isinstance(writer, list):
            return self.branches(writer, lambda _, branch: self.piece(branch, reader, var))
        if isinstance(reader, list):
            place = self._branch(writer, reader)
            self.piece(writer, reader[place], var)
            return self(f"{var} = {self.name(number(place))} + {var}")
        kind = _kind(writer)
        if kind != _kind(reader):
            raise Unrenewable(f"{kind} to {_kind(reader)}")
        if kind == "record":
            return self._record(writer, reader, var)
        if kind == "enum":
            return self._enum(writer, reader, var)
        return self._items(writer, reader, kind, var)

    def _branch(self, writer: Any, reader: list[Any]) -> int:
        """The branch of `reader` that takes `writer`: one of the same kind; more than one is for fastavro."""
        kinds, mine = [_kind(self.known(branch, self.read)) for branch in reader], _kind(writer)
        same = [place for place, kind in enumerate(kinds) if kind == mine or {kind, mine} in _SAME_BYTES]
        if len(same) != 1:
            raise Unrenewable(f"{mine} to one of {kinds}")
        return same[0]

    def _enum(self, writer: Any, reader: Any, var: str) -> None:
        symbols, default = reader["symbols"], reader.get("default")
        places = [symbols.index(name if name in symbols else default) for name in writer["symbols"]]
        if len(places) > 64:
            raise Unrenewable("an enum whose symbols take more than a byte")
        table = self.name({2 * at: number(place) for at, place in enumerate(places)})
        self(f"{var} = {table}.get(b[p])")
        self(f"if {var} is None:")
        self("raise Broken('no such symbol')", 1)
        self("p += 1")

    def _items(self, writer: Any, reader: Any, kind: str, var: str) -> None:
        if kind != "array":
            raise Unrenewable(f"a {kind} of other {kind}s")
        parts, items = self.name(), self.name()
        self(f"{parts}, {items} = [], 0")

        def each(item: Any) -> None:
            one = self.name()
            self.piece(item, reader["items"], one)
            self(f"{parts}.append({one})")

        self.blocks(writer, kind, each, items)
        self(f"{var} = number({items}) + b''.join({parts}) + b'\\0' if {items} else b'\\0'")

    def _record(self, writer: Any, reader: Any, var: str) -> None:
        """Runs of fields that follow each other in both and are alike go in one slice."""
        places = {field["name"]: place for place, field in enumerate(reader["fields"])}
        pieces: dict[int, str] = {}
        covered: set[int] = set()
        run: tuple[str, int, int] | None = None  # where it starts in b, its first and last field in the reader

        def close() -> None:
            if run is not None:
                pieces[run[1]] = self.name()
                self(f"{pieces[run[1]]} = b[{run[0]}:p]")

        for field in writer["fields"]:
            place = places.get(field["name"])
            same = place is not None and self.alike(field["type"], reader["fields"][place]["type"])
            if place is not None:
                covered.add(place)
            if same and run is not None and run[2] + 1 == place:
                self.skip(field["type"])
                run = (run[0], run[1], run[2] + 1)
                continue
            close()
            run = None
            if place is None:
                self.skip(field["type"])
            elif same:
                run = (self.name(), place, place)
                self(f"{run[0]} = p")
                self.skip(field["type"])
            else:
                pieces[place] = self.name()
                self.piece(field["type"], reader["fields"][place]["type"], pieces[place])
        close()
        for place, field in enumerate(reader["fields"]):
            if place not in covered:
                pieces[place] = self.name(self._default(field))
        parts = [pieces[place] for place in sorted(pieces)]
        self(f"{var} = {' + '.join(parts) or repr(b'')}")

    def _default(self, field: Any) -> bytes:
        """The bytes of the default of a field that was not written."""
        whole = {"type": "record", "name": "Whole", "fields": [{**field, "type": self.known(field["type"], self.read)}]}
        with BytesIO() as out:
            schemaless_writer(out, parse_schema(whole), {})
            return out.getvalue()
