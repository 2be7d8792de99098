"""The view as `customer-value` carries it, written straight from the fields of its hash in Redis.

A partition publishes thousands of views a second on the core that also folds, so there is no detour by numbers and
dictionaries: texts become Avro by one small writer a field, made from the schema. `tests/wire/` compares the bytes with
what the generic writer makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import pack
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from schemas import framing, library
from schemas.cloudevents import Headers, headers
from schemas.topics import CUSTOMER_VALUE

Writer = Callable[[bytes], bytes]
"""A field's text in the hash to its Avro bytes."""

_PIECE_BITS: Final = 14
_PIECE: Final = (1 << _PIECE_BITS) - 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# A varint two bytes at a time: a timestamp is then three look-ups instead of six turns of a loop.
_LAST: Final = tuple(_varint(n) for n in range(_PIECE + 1))
_MORE: Final = tuple(bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(_PIECE + 1))


def _number(value: int) -> bytes:
    """Avro's long: zigzag, then a varint."""
    zigzag = value << 1 if value >= 0 else ~(value << 1)
    if zigzag <= _PIECE:
        return _LAST[zigzag]
    out = _MORE[zigzag & _PIECE]
    zigzag >>= _PIECE_BITS
    while zigzag > _PIECE:
        out += _MORE[zigzag & _PIECE]
        zigzag >>= _PIECE_BITS
    return out + _LAST[zigzag]


def _long(text: bytes) -> bytes:
    return _number(int(text))


def _double(text: bytes) -> bytes:
    return pack("<d", float(text))


def _string(text: bytes) -> bytes:
    return _number(len(text)) + text


def _enum(symbols: Sequence[str]) -> Writer:
    places = {symbol.encode(): _number(place) for place, symbol in enumerate(symbols)}
    return lambda text: places[text]


_PLAIN: Final[Mapping[str, Writer]] = {"string": _string, "long": _long, "double": _double}


def _writer(kind: Any) -> Writer:
    """The writer of a field's type: of a union with null, the branch that is not null."""
    if isinstance(kind, list):
        branch = kind[1]
        write, mark = _writer(branch), _number(1)
        assert kind[0] == "null", "an optional field names null first"
        return lambda text: mark + write(text)
    if isinstance(kind, dict):
        return _enum(kind["symbols"]) if kind["type"] == "enum" else _writer(kind["type"])
    return _PLAIN[kind]


_FIELDS: Final = [
    (field["name"].encode(), _writer(field["type"]))
    for field in library.newest(CUSTOMER_VALUE)["fields"]
    if field["name"] not in ("event_id", "at")
]
_HEADER: Final = framing.header(CUSTOMER_VALUE)
_NULL: Final = b"\0"
assert [name for name, _ in _FIELDS[:3]] == [b"customer_id", b"policy", b"as_of"]


def encode_view(partition: int, fields: Sequence[bytes]) -> tuple[bytes, Headers]:
    """(value, headers) of a view. fields: names and texts in turn, as HGETALL gives them.

    The id names customer, instant and content: a late event changes a view without moving its instant.
    """
    view = dict(zip(fields[::2], fields[1::2], strict=True))
    get = view.get
    body = []
    for name, write in _FIELDS:
        text = get(name)
        body.append(_NULL if text is None else write(text))
    at = view[b"as_of"]
    content = xxh3_64_intdigest(b"".join(body)) & 0xFFFFFFFF
    event_id = b"%b:%b:%b:%08x" % (CUSTOMER_VALUE.encode(), view[b"customer_id"], at, content)
    # `at` stands between customer_id and policy.
    value = b"".join((_HEADER, _string(event_id), body[0], _long(at), *body[1:]))
    tier = get(b"tier")
    head = headers(CUSTOMER_VALUE, partition, event_id.decode(), int(at), tier=None if tier is None else tier.decode())
    return value, head
