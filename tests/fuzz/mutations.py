"""What may be done to a record: its bytes, the structure of its Avro, the values of its fields."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas import library
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, INPUTS, PURCHASES, TICKS, bytes_max
from tests.fuzz import values
from tests.fuzz.bases import DAY, GOOD, MINUTE, Fields, T, key_of
from tests.fuzz.pieces import Piece, body_of, pieces
from tests.wire.records import zigzag

FOREIGN = 1_000
"""From this id on the registry of the tests has schemas of others: ours, with more fields."""

REROUTABLE = (PURCHASES, COMPLAINTS, CONTACTS, CUSTOMERS)


class Draft:
    """A record under way. `head` and `parts` make its value, unless `value` is set."""

    def __init__(self, rng: Random, world: str, topic: str, fields: Fields, number: int) -> None:
        self.rng, self.world, self.topic, self.fields, self.number = rng, world, topic, fields, number
        self.schema: dict[str, Any] = schemas_of(topic)[number]
        self.head = head_of(topic, number)
        self.value: bytes | None = None
        self.is_null = False
        self.key = key_of(topic, fields)
        self.timestamp = T + 20 * MINUTE
        self.sound: bool | None = True
        self.parts = pieces(self.schema, fields)

    def rewrite(self, fields: Fields) -> None:
        """The same record with other fields, and the key that belongs to it."""
        self.fields = fields
        self.key = key_of(self.topic, fields)
        self.parts = pieces(self.schema, fields)

    @property
    def body(self) -> bytes:
        return body_of(self.parts)

    def whole(self) -> bytes:
        return self.head + self.body

    def pick(self, *kinds: str) -> int | None:
        """The place of one of the pieces of these kinds."""
        places = [at for at, part in enumerate(self.parts) if part.kind in kinds]
        return self.rng.choice(places) if places else None

    def put(self, at: int, raw: bytes, sound: bool | None) -> None:
        self.parts[at] = self.parts[at]._replace(raw=raw)
        self.sound = sound


@cache
def schemas_of(topic: str) -> tuple[dict[str, Any], ...]:
    """All released schemas of the topic, oldest first, as their files say them."""
    return tuple(library.released(topic))


@cache
def head_of(topic: str, number: int) -> bytes:
    """Single-object encoding's head, by fastavro's fingerprint."""
    mark = fingerprint(to_parsing_canonical_form(schemas_of(topic)[number]), "CRC-64-AVRO")
    return b"\xc3\x01" + bytes.fromhex(mark)


@cache
def foreign_of(topic: str) -> dict[str, Any]:
    """The newest schema with fields that we don't know, in front and behind."""
    schema = schemas_of(topic)[-1]
    ours = {"name": "tree", "type": "record", "fields": [{"name": "more", "type": {"type": "array", "items": "tree"}}]}
    front = {"name": "factor", "type": "double"}
    return schema | {"fields": [front, *schema["fields"], {"name": "tree", "type": ours}]}


def registry_id(topic: str, number: int) -> int:
    """The id of a released schema in the tests' registry; `FOREIGN` more: of the foreign one."""
    return 1 + 10 * INPUTS.index(topic) + number


# ---- bytes


def _flip(d: Draft) -> None:
    raw = bytearray(d.whole())
    for _ in range(d.rng.choice((1, 1, 1, 2, 3, 8))):
        raw[d.rng.randrange(len(raw))] ^= 1 << d.rng.randrange(8)
    d.value, d.sound = bytes(raw), None


def _cut(d: Draft) -> None:
    raw = d.whole()
    d.value, d.sound = raw[: d.rng.randrange(len(raw))], None


def _tail(d: Draft) -> None:
    d.value, d.sound = d.whole() + d.rng.randbytes(d.rng.choice((1, 1, 4, 300))), False


def _splice(d: Draft) -> None:
    raw, at = d.whole(), d.rng.randrange(8, 10 + len(d.body))
    d.value, d.sound = raw[:at] + d.rng.randbytes(d.rng.randrange(9)) + raw[at + d.rng.randrange(9) :], None


def _magic(d: Draft) -> None:
    d.value, d.sound = (
        d.rng.choice((b"\xc3\x02", b"\xc3\x00", b"\x01\xc3", b'{"', b"Obj\x01", b"\xc3")) + d.whole()[2:],
        None,
    )


def _fingerprint(d: Draft) -> None:
    d.value, d.sound = d.whole()[:2] + d.rng.randbytes(8) + d.body, None


def _no_framing(d: Draft) -> None:
    d.value, d.sound = d.body, None


def _confluent(d: Draft) -> None:
    """With an id that the registry knows, knows as something else, or does not know; or without a registry."""
    here = registry_id(d.topic, d.number)
    chosen = d.rng.choice((here, here, here, 0, 2**32 - 1, d.rng.getrandbits(32), registry_id(d.rng.choice(INPUTS), 0)))
    d.value = b"\0" + chosen.to_bytes(4, "big") + d.body
    d.sound = True if chosen == here else None


def _foreign(d: Draft) -> None:
    """A schema of somebody else's, with a number that is none and a tree, deep now and then."""
    factor = d.rng.choice((b"\0" * 6 + b"\xf8\x7f", b"\0" * 6 + b"\xf0\x7f", d.rng.randbytes(8)))
    depth = d.rng.choice((0, 1, 3, 40, 40, 3_000))
    tree = b"\2" * depth + b"\0" * (depth + 1)
    body = body_of(pieces(schemas_of(d.topic)[-1], d.fields))
    d.value = b"\0" + (FOREIGN + registry_id(d.topic, 0)).to_bytes(4, "big") + factor + body + tree
    d.sound = None if depth > 100 else True


def _compressed(d: Draft) -> None:
    squeezed = d.rng.choice((zlib.compress(d.whole()), gzip.compress(d.whole(), mtime=0), zlib.compress(d.body)))
    d.value, d.sound = d.rng.choice((b"", d.head)) + squeezed, None


def _noise(d: Draft) -> None:
    d.value, d.sound = d.rng.choice((b"", d.head, b"\0")) + d.rng.randbytes(d.rng.choice((1, 4, 9, 10, 60, 400))), None


def _nothing(d: Draft) -> None:
    d.value, d.sound = b"", None


def _null(d: Draft) -> None:
    d.is_null, d.sound = True, None


def _other_topic(d: Draft) -> None:
    other = d.rng.choice([topic for topic in INPUTS if topic != d.topic])
    d.value, d.sound = Draft(d.rng, d.world, other, GOOD[other](d.rng, None), 0).whole(), None


def _other_head(d: Draft) -> None:
    other = d.rng.choice(INPUTS)
    d.value, d.sound = head_of(other, d.rng.randrange(len(schemas_of(other)))) + d.body, None


_KEYS = (None, b"", b"\xff\xfe", b"\xed\xa0\x80", b"other", b"k" * 129, b"place:DELIVERY@7", b"\0", b"k" * 70_000)


def _key(d: Draft) -> None:
    d.key = d.rng.choice(_KEYS)
    d.is_null = d.topic == CUSTOMERS and d.rng.random() < 0.5
    d.value = None if d.is_null else d.whole()


def _oversize(d: Draft) -> None:
    raw = d.whole()
    d.value, d.sound = raw + b"\0" * (bytes_max(d.topic) + d.rng.choice((0, 1, 1, 90_000)) - len(raw)), None


# ---- the structure of Avro


def _long_numbers(d: Draft) -> None:
    """Longer than need be, which is allowed."""
    at = d.pick("long", "int", "length", "count", "symbol", "branch")
    if at is not None:
        raw = d.parts[at].raw
        longer = d.rng.randrange(1, 11 - len(raw)) if len(raw) < 10 else 0
        d.put(at, raw[:-1] + bytes((raw[-1] | 0x80,)) + b"\x80" * (longer - 1) + b"\0" if longer else raw, True)


def _endless_number(d: Draft) -> None:
    at = d.pick("long", "int", "length", "count", "symbol", "branch")
    if at is not None:
        d.put(at, d.rng.choice((b"\xff" * 10 + b"\1", b"\x80" * 40, b"\xff" * 9 + b"\x7f", b"\xff" * 9 + b"\2")), False)


def _wide_int(d: Draft) -> None:
    at = d.pick("int")
    if at is not None:
        d.put(at, zigzag(d.rng.choice((2**31, -(2**31) - 1, 2**40, -(2**63)))), False)


def _length(d: Draft) -> None:
    at = d.pick("length")
    if at is not None:
        rest = sum(len(part.raw) for part in d.parts[at + 1 :])
        d.put(at, zigzag(d.rng.choice((-1, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1, rest + 1, rest))), None)


def _count(d: Draft) -> None:
    """A block with far too many items, or fewer than none."""
    at = d.pick("count", "end")
    if at is not None:
        wrong = d.rng.choice((2**20, 2**40, 2**62, -(2**63), -(2**31), -1, 1, 2, 63))
        d.put(at, zigzag(wrong) + d.rng.choice((b"", zigzag(4), zigzag(2**62), zigzag(-1))), None)


def _sized_block(d: Draft) -> None:
    """A negative count and the size of the block in bytes, as Avro allows; nobody need believe the size."""
    at = d.pick("count")
    if at is not None:
        inside = (
            len(part.raw) for part in d.parts[at + 1 :] if part.path.startswith(d.parts[at].path) and part.kind != "end"
        )
        size = d.rng.choice((sum(inside), 0, -1, 2**62))
        d.put(at, zigzag(-d.parts[at].more) + zigzag(size), True)


def _blocks_again(d: Draft) -> None:
    """All items of an array once more, or many times, in blocks of their own."""
    at = d.pick("count")
    if at is not None:
        path = d.parts[at].path
        end = next(n for n in range(at, len(d.parts)) if d.parts[n].kind == "end" and d.parts[n].path == path)
        block = b"".join(part.raw for part in d.parts[at:end])
        times = d.rng.choice((2, 3, 101, 400))
        d.parts[at:end] = [Piece("blocks", path, block * times)]


def _symbol(d: Draft) -> None:
    at = d.pick("symbol")
    if at is not None:
        more = d.parts[at].more
        d.put(at, zigzag(d.rng.choice((more, more + 1, -1, 2**31, 2**62, -(2**63), 64, 63))), False)


def _branch(d: Draft) -> None:
    at = d.pick("branch")
    if at is not None:
        d.put(at, zigzag(d.rng.choice((2, 3, -1, 63, 64, 2**62, -(2**63)))), False)


def _boolean(d: Draft) -> None:
    at = d.pick("boolean")
    if at is not None:
        d.put(at, bytes((d.rng.randrange(2, 256),)), False)


def _text(d: Draft) -> None:
    """Not UTF-8, of the length that it says."""
    at = d.pick("text")
    if at is not None:
        raw = d.rng.choice((b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"a\xf0\x9f", b"\xf4\x90\x80\x80", b"\x80"))
        d.put(at - 1, zigzag(len(raw)), False)
        d.put(at, raw, False)


def _drop(d: Draft) -> None:
    del d.parts[d.rng.randrange(len(d.parts))]
    d.sound = None


def _twice(d: Draft) -> None:
    at = d.rng.randrange(len(d.parts))
    d.parts.insert(at, d.parts[at])
    d.sound = None


def _swap(d: Draft) -> None:
    at, other = (d.rng.randrange(len(d.parts)) for _ in range(2))
    d.parts[at], d.parts[other] = d.parts[other], d.parts[at]
    d.sound = None


# ---- values


def _field(d: Draft) -> None:
    for _ in range(d.rng.choice((1, 1, 1, 2, 4))):
        field = d.rng.choice(d.schema["fields"])
        name = field["name"]
        d.fields = d.fields | {name: values.some(d.rng, field["type"], name, d.fields.get(name))}
    d.rewrite(d.fields)


def _time(d: Draft) -> None:
    name = "at" if d.topic == TICKS else "occurred_at"
    far = d.topic != TICKS or d.rng.random() < 0.02
    d.rewrite(d.fields | {name: d.rng.choice(values.INSTANTS if far else values.OF_TICKS)})
    d.timestamp = d.rng.choice((d.timestamp, d.timestamp, T, T - 300 * DAY, 0, T + 900 * DAY))


def _person(d: Draft) -> None:
    name = "policy" if d.topic == TICKS else "customer_id"
    d.rewrite(d.fields | {name: d.rng.choice(values.POLICIES if d.topic == TICKS else values.IDS)})


def _oneself(d: Draft) -> None:
    if d.topic != TICKS:
        d.rewrite(values.of_oneself(d.rng, d.topic, d.fields))


def _again(d: Draft) -> None:
    if d.topic in REROUTABLE:
        d.rewrite(values.again(d.rng, d.fields))


def _too_much(d: Draft) -> None:
    if d.topic == PURCHASES:
        d.rewrite(values.too_much(d.rng, d.fields))


def _long_text(d: Draft) -> None:
    """One text as long as the record may be, of characters that grow when they are written elsewhere."""
    names = [field["name"] for field in d.schema["fields"] if field["type"] in ("string", ["null", "string"])]
    if d.topic in REROUTABLE:
        name, unit = d.rng.choice(names), d.rng.choice(("x", "\0", '"', "张"))
        room = d.rng.choice((bytes_max(d.topic) - 16 - len(d.whole()), 300_000, 2_000))
        d.rewrite(d.fields | {name: unit * (room // len(unit.encode()))})


def _as_it_is(d: Draft) -> None:
    """Nothing is wrong with it: what is good must not be refused."""


MUTATIONS: dict[str, tuple[Callable[[Draft], None], int]] = {
    "bytes.flip": (_flip, 40), "bytes.cut": (_cut, 16), "bytes.tail": (_tail, 6), "bytes.splice": (_splice, 16),
    "bytes.magic": (_magic, 4), "bytes.fingerprint": (_fingerprint, 4), "bytes.no_framing": (_no_framing, 4),
    "bytes.confluent": (_confluent, 12), "bytes.foreign": (_foreign, 8), "bytes.compressed": (_compressed, 4),
    "bytes.noise": (_noise, 8), "bytes.nothing": (_nothing, 2), "bytes.null": (_null, 6),
    "bytes.other_topic": (_other_topic, 4),
    "bytes.other_head": (_other_head, 6), "bytes.key": (_key, 12), "bytes.oversize": (_oversize, 1),
    "avro.long_numbers": (_long_numbers, 10), "avro.endless_number": (_endless_number, 8),
    "avro.wide_int": (_wide_int, 6),
    "avro.length": (_length, 10), "avro.count": (_count, 10), "avro.sized_block": (_sized_block, 8),
    "avro.blocks_again": (_blocks_again, 6), "avro.symbol": (_symbol, 6), "avro.branch": (_branch, 6),
    "avro.boolean": (_boolean, 3), "avro.text": (_text, 6), "avro.drop": (_drop, 8), "avro.twice": (_twice, 6),
    "avro.swap": (_swap, 6),
    "values.field": (_field, 90), "values.time": (_time, 20), "values.person": (_person, 12),
    "values.oneself": (_oneself, 8),
    "values.again": (_again, 8), "values.too_much": (_too_much, 12), "values.long_text": (_long_text, 2),
    "values.as_it_is": (_as_it_is, 12),
}  # fmt: skip
"""By layer and name: what may happen to a record, and how often."""
