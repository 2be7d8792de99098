"""Avro's primitives. Read one at a time: `b` the body, `p` the position; each gives (value, next position). They refuse
what Avro forbids with `Broken`, and running off the end with IndexError. Written: `number`.
"""

from __future__ import annotations

from typing import Any, Final

_BYTES_MIN = {"double": 8}  # all else, but a record, can be one byte


class Broken(Exception):
    """The bytes do not follow the schema. Internal: `explain` says where."""


def varint(b: bytes, p: int) -> tuple[int, int]:
    """The unsigned number of at most ten bytes at `p`, before zigzag."""
    x = b[p]
    value, shift = x & 0x7F, 7
    while x >= 0x80:
        p += 1
        if shift > 63:
            raise Broken("a number of more than ten bytes")
        x = b[p]
        value |= (x & 0x7F) << shift
        shift += 7
    if value >> 64:
        raise Broken("a number beyond 64 bits")
    return value, p + 1


def long(b: bytes, p: int) -> tuple[int, int]:
    """A zigzag number."""
    value, p = varint(b, p)
    return (value >> 1) ^ -(value & 1), p


def int32(b: bytes, p: int) -> tuple[int, int]:
    """A zigzag number of 32 bits."""
    value, p = varint(b, p)
    if value >> 32:
        raise Broken("an int beyond 32 bits")
    return (value >> 1) ^ -(value & 1), p


def length(b: bytes, p: int) -> tuple[int, int]:
    """The length of a string or bytes."""
    value, p = long(b, p)
    if value < 0 or value > len(b) - p:
        raise Broken(f"a length of {value} with {len(b) - p} bytes left")
    return value, p


def count(b: bytes, p: int, item_bytes_min: int) -> tuple[int, int]:
    """The number of items in a block; a negative one is followed by the block's size in bytes.

    An item without bytes, as only a foreign schema has it, counts as one: else few bytes could ask for an endless loop.
    """
    value, p = long(b, p)
    if value < 0:
        value = -value
        _, p = long(b, p)
    if value * max(1, item_bytes_min) > len(b) - p:
        raise Broken(f"a block of {value} items with {len(b) - p} bytes left")
    return value, p


def bytes_min(schema: Any) -> int:
    """The least bytes that a value of `schema` can have: what bounds a block's count before it is read."""
    if isinstance(schema, list):
        return 1
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "record":
        return sum(bytes_min(field["type"]) for field in schema["fields"])
    return bytes_min(kind) if isinstance(kind, dict) else _BYTES_MIN.get(kind, 1)


# -- written

_PIECE_BITS: Final = 14
_PIECE: Final = (1 << _PIECE_BITS) - 1


def _varint_bytes(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# A varint two bytes at a time: a timestamp is then three look-ups instead of six turns of a loop.
_LAST: Final = tuple(_varint_bytes(n) for n in range(_PIECE + 1))
_MORE: Final = tuple(bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(_PIECE + 1))


def number(value: int) -> bytes:
    """The bytes of an Avro int or long: zigzag, then a varint."""
    zigzag = value << 1 if value >= 0 else ~(value << 1)
    if zigzag <= _PIECE:
        return _LAST[zigzag]
    out = _MORE[zigzag & _PIECE]
    zigzag >>= _PIECE_BITS
    while zigzag > _PIECE:
        out += _MORE[zigzag & _PIECE]
        zigzag >>= _PIECE_BITS
    return out + _LAST[zigzag]
