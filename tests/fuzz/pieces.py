"""A record's Avro body in pieces, each with its kind and path, so that one of them can be exchanged for another.

A second encoder beside fastavro's and `schemas/writer.py`: slower, and it lets go of what it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.wire.records import zigzag


class Piece(NamedTuple):
    """kind: long, int, length, text, bytes, boolean, symbol, branch, count (of items in a block), end (of the blocks).
    more: of a branch, symbol or count how many there are; else 0."""

    kind: str
    path: str
    raw: bytes
    more: int = 0


def pieces(schema: Any, datum: Any) -> list[Piece]:
    """The body of `datum`. schema: as its file says it. KeyError: a field is missing and has no default."""
    out: list[Piece] = []
    _put(schema, datum, "", out)
    return out


def body_of(parts: list[Piece]) -> bytes:
    """The bytes."""
    return b"".join([part.raw for part in parts])


def _put(schema: Any, datum: Any, path: str, out: list[Piece]) -> None:
    if isinstance(schema, list):
        branch = 0 if datum is None else 1
        out.append(Piece("branch", path, zigzag(branch), len(schema)))
        if branch:
            _put(schema[1], datum, path, out)
        return
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, dict):
        _put(kind, datum, path, out)
    elif kind in ("int", "long"):
        out.append(Piece(kind, path, zigzag(datum)))
    elif kind in ("string", "bytes"):
        raw = datum.encode() if kind == "string" else datum
        out += (Piece("length", path, zigzag(len(raw))), Piece("text" if kind == "string" else "bytes", path, raw))
    elif kind == "boolean":
        out.append(Piece("boolean", path, bytes((datum,))))
    elif kind == "enum":
        symbols = schema["symbols"]
        out.append(Piece("symbol", path, zigzag(symbols.index(datum) if datum in symbols else 0), len(symbols)))
    elif kind == "record":
        _record(schema, datum, path, out)
    else:
        _blocks(schema, kind, datum, path, out)


def _record(schema: Mapping[str, Any], datum: Mapping[str, Any], path: str, out: list[Piece]) -> None:
    dot = f"{path}." if path else ""
    for field in schema["fields"]:
        name = field["name"]
        value = datum[name] if name in datum or "default" not in field else field["default"]
        _put(field["type"], value, dot + name, out)


def _blocks(schema: Mapping[str, Any], kind: str, datum: Any, path: str, out: list[Piece]) -> None:
    if datum:
        out.append(Piece("count", path, zigzag(len(datum)), len(datum)))
    if kind == "array":
        for item in datum:
            _put(schema["items"], item, f"{path}[]", out)
    else:
        for key, value in datum.items():
            _put("string", key, f"{path}{{key}}", out)
            _put(schema["values"], value, f"{path}{{}}", out)
    out.append(Piece("end", path, b"\0"))
