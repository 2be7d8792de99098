"""The view as `customer-value` carries it, written straight from the fields of its hash in Redis.

A partition publishes thousands of views a second on the core that also folds, so there is no detour by numbers and
dictionaries: each text becomes Avro by the writer of its field's type, made from the schema, which remembers what
it has written (counts, tiers and midnights come again and again). `tests/wire/` compares with the generic writer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from struct import pack
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_intdigest

from schemas import framing, library
from schemas.cloudevents import Headers, headers
from schemas.primitives import number
from schemas.topics import CUSTOMER_VALUE

Writer = Callable[[bytes], bytes]
"""A field's text in the hash to its Avro bytes."""

_REMEMBERED_MAX: Final = 16_384
"""Texts a type; then it starts afresh. Instants seldom come again and would fill the memory."""


def _long(text: bytes) -> bytes:
    return number(int(text))


def _double(text: bytes) -> bytes:
    return pack("<d", float(text))


def _string(text: bytes) -> bytes:
    return number(len(text)) + text


def _enum(symbols: Sequence[str]) -> Writer:
    places = {symbol.encode(): number(place) for place, symbol in enumerate(symbols)}
    return lambda text: places[text]


class _Remembered(dict[bytes, bytes]):
    """Texts to bytes, by `write`."""

    def __init__(self, write: Writer) -> None:
        self._write = write

    def __missing__(self, text: bytes) -> bytes:
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        made = self[text] = self._write(text)
        return made


_NULL: Final = number(0)
_PRESENT: Final = number(1)
_PLAIN: Final[Mapping[str, Writer]] = {"string": _string, "long": _long, "double": _double}


def _writer(kind: Any) -> Writer:
    if isinstance(kind, dict):
        return _enum(kind["symbols"])
    return _PLAIN[kind]


def _optional(write: Writer) -> Writer:
    return lambda text: _PRESENT + write(text)


def _tables() -> tuple[tuple[bytes, _Remembered], ...]:
    """Name and table of each field behind event_id and customer_id, but `at`; fields of one type share a table."""
    shared: dict[str, _Remembered] = {}
    tables = []
    for field in library.newest(CUSTOMER_VALUE)["fields"]:
        kind = field["type"]
        if field["name"] in ("event_id", "customer_id", "at"):
            continue
        if isinstance(kind, list):
            assert kind[0] == "null", "an optional field names null first"
            write = _optional(_writer(kind[1]))
        else:
            write = _writer(kind)
        tables.append((field["name"].encode(), shared.setdefault(str(kind), _Remembered(write))))
    return tuple(tables)


_TABLES: Final = _tables()
_HEADER: Final = framing.header(CUSTOMER_VALUE)
_TOPIC: Final = CUSTOMER_VALUE.encode()
_AT: Final = _Remembered(_long)
_REQUIRED: Final = tuple(
    field["name"].encode()
    for field in library.newest(CUSTOMER_VALUE)["fields"]
    if not isinstance(field["type"], list) and field["name"] not in ("event_id", "at")
)


class BrokenView(ValueError):
    """A hash that is no view: somebody else changed it. The text says which, and the way out."""


_WAY_OUT: Final = "only a worker may write it; restart the worker, and the customer's next change writes all of it anew"


class _Layout(NamedTuple):
    """Of hashes with the same fields: what makes the Avro of their texts, and where some of these are."""

    body: Callable[[Sequence[bytes]], bytes]
    customer_id: int
    as_of: int
    tier: int | None


@lru_cache(maxsize=64)
def _layout(names: tuple[bytes, ...]) -> _Layout:
    """An expression names each text and its table: a loop over all fields takes twice as long. Raises BrokenView."""
    place = {name: n for n, name in enumerate(names)}
    lacks = [name.decode() for name in _REQUIRED if name not in place]
    if lacks:
        raise BrokenView(f"lacks {', '.join(lacks)}: {_WAY_OUT}")
    pieces = [f"c{n}[t[{place[name]}]]" if name in place else "NULL" for n, (name, _) in enumerate(_TABLES)]
    scope: dict[str, object] = {f"c{n}": table for n, (_, table) in enumerate(_TABLES)} | {"NULL": _NULL}
    body = eval(f"lambda t: b''.join(({', '.join(pieces)},))", scope)
    return _Layout(body, place[b"customer_id"], place[b"as_of"], place.get(b"tier"))


def encode_view(partition: int, fields: Sequence[bytes]) -> tuple[bytes, Headers]:
    """(value, headers) of a view. fields: names and texts in turn, as HGETALL gives them.

    The id names customer, instant and content: a late event changes a view without moving its instant.
    Raises BrokenView.
    """
    layout, texts = _layout(tuple(fields[::2])), fields[1::2]
    try:
        body = layout.body(texts)
    except (KeyError, ValueError) as error:
        raise BrokenView(f"holds what its field can't be ({error}): {_WAY_OUT}") from None
    name, at = texts[layout.customer_id], texts[layout.as_of]
    event_id = b"%b:%b:%b:%08x" % (_TOPIC, name, at, xxh3_64_intdigest(body) & 0xFFFFFFFF)
    value = b"".join((_HEADER, _string(event_id), _string(name), _AT[at], body))
    tier = None if layout.tier is None else texts[layout.tier].decode()
    return value, headers(CUSTOMER_VALUE, partition, event_id.decode(), int(at), tier=tier)
