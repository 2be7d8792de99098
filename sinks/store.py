"""A partition's states in Redis: take an epoch, read the fence, load, commit. Every call is one script, one trip.

    take_epoch   makes the caller the owner; the owner before is refused from then on
    load         states of the customers named and of those due
    commit       all that a batch changed, or nothing; sent again after a lost reply it is answered ALREADY
    pending      what is to be published, published what was: see `outbox.py`

`memory.py` does the same without Redis; `tests/contract/` holds both to one suite.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import ne
from typing import Any, Final

import msgspec
from msgspec import Struct

from processors.fields import FIELDS
from processors.view import Values
from schemas import state
from sinks.commit import Answer, Commit, Fence, Load, Loaded, Record, Write, senders_of
from sinks.connection import ANSWER_TIMEOUT_S, PATIENCE_S, Connection, Script, StoreUnavailable
from sinks.keys import Keys
from sinks.marks import Marks

__all__ = ["LAYOUT", "MetaMismatch", "Pending", "Store", "StoreUnavailable", "erase_mark"]

LAYOUT: Final = 1
"""How keys and their contents are laid out. A release that changes it can't read the other's."""

_COMMIT, _FENCE, _LOAD, _PENDING, _PUBLISHED = map(Script, ("commit", "fence", "load", "pending", "published"))
_pack = msgspec.msgpack.Encoder().encode
_unpack_fence = msgspec.msgpack.Decoder(dict[str, str]).decode
_unpack_record = msgspec.msgpack.Decoder(Record).decode

Text = str | bytes


class Pending(Struct, frozen=True):
    """What is to be published next: whole commits.

    entries: (entry of the outbox, record) in order; views: customer id to the fields of their hash as they stand;
    views_seq: views of all commits up to this one are among them; fence: as the last entry's commit left it.
    """

    entries: tuple[tuple[str, Record], ...]
    views: tuple[tuple[bytes, Sequence[bytes]], ...]
    views_seq: int
    fence: Fence


class MetaMismatch(Exception):
    """This Redis holds something laid out otherwise. The text says what, and the way out."""


def erase_mark(key: bytes, customer_id: str) -> str:
    """What stays of an erased id: hex HMAC-SHA256 under LOYALTY_ERASE_KEY."""
    return hmac.digest(key, customer_id.encode(), "sha256").hex()


def wall_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


class Store:
    """redis_url: see `sinks/addresses.py`. erase_key: under which ids of erased customers are marked.
    patience_s: how long a call is tried before StoreUnavailable. clock: ms, so that no epoch comes twice."""

    def __init__(
        self,
        redis_url: str,
        keys: Keys,
        *,
        erase_key: bytes,
        patience_s: float = PATIENCE_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self.redis = Connection(redis_url, patience_s=patience_s, answer_timeout_s=answer_timeout_s)
        self._keys = keys
        self._erase_key, self._clock = erase_key, clock
        self.log_marks = Marks(erase_key)
        self._marks: dict[int, int] = {}  # partition to number of erase marks, of partitions whose fence was read

    async def close(self) -> None:
        await self.redis.close()

    def mark(self, customer_id: str) -> str:
        """The mark of an erased id."""
        return erase_mark(self._erase_key, customer_id)

    async def take_epoch(self, partition: int) -> Fence:
        """The fence, its epoch now the caller's alone. After a lost reply it may have been raised twice: harmless."""
        return await self._fence(partition, str(self._clock()))

    async def fence(self, partition: int) -> Fence:
        """The fence as it stands."""
        return await self._fence(partition, "")

    async def _fence(self, partition: int, epoch_min: str) -> Fence:
        flat, marks, counters = await self.redis.run(_FENCE, self._keys.fence(partition), epoch_min)
        self._marks[partition] = marks
        return fence_of(zip(flat[::2], flat[1::2], strict=True), marks, senders_of(map(_text, counters)))

    async def load(self, partition: int, load: Load) -> Loaded:
        """The states asked for, in one trip. Erase marks are looked up only where the partition has any.

        On a cluster always by the script: a key that moves while it is asked for is asked for again, out of turn.
        """
        marked = self._marks.get(partition, 1) > 0
        if load.due_until is None and not marked and not self.redis.clustered:
            return await self._load_named(partition, load)
        marks = [self.mark(customer_id) for customer_id in load.ids] if marked else []
        until = False if load.due_until is None else str(load.due_until)
        answer = await self.redis.run(
            _LOAD, self._keys.fence(partition), _pack([load.ids, marks, until, load.due_limit, *_stands(load)])
        )
        if answer is None:
            return Loaded({}, fenced=True)
        states, instants, due_ids, due_states, next_at = answer
        due = tuple(name.decode() for name in due_ids)
        customers = dict(zip(load.ids, map(_customer, states), strict=True))
        for name, held in zip(due, due_states, strict=True):
            if name not in customers:
                customers[name] = _customer(held)
        erased = zip(load.ids, instants, strict=True) if marked else ()
        not_before = {name: int(at) for name, at in erased if at is not None and customers[name] is None}
        return Loaded(customers, due, None if next_at is None else int(next_at) - 1, not_before)

    async def _load_named(self, partition: int, load: Load) -> Loaded:
        """Without a script, which takes longer. The fence is read behind the states by the same connection: had a later
        owner written them, it would show."""
        if not load.ids:
            return Loaded({})
        names = [self._keys.state(partition, customer_id) for customer_id in load.ids]
        fence = self._keys.fence(partition)

        async def both() -> tuple[list[bytes | None], list[bytes | None]]:
            async with self.redis.client.pipeline(transaction=False) as pipe:
                pipe.mget(names)
                pipe.hmget(fence, "epoch", "seq")
                states, stands = await pipe.execute()
                return states, stands

        states, (epoch, seq) = await self.redis.patiently(both, f"load of {names[0]}")
        wanted = _stands(load)
        if wanted[0] is not False and (_text(epoch or b""), _text(seq or b"0")) != wanted:
            return Loaded({}, fenced=True)
        return Loaded(dict(zip(load.ids, map(_customer, states), strict=True)))

    async def names(self, partition: int) -> Sequence[str]:
        """Everybody known: each has one due entry."""
        client, due = self.redis.client, self._keys.due(partition)
        found: list[bytes] = await self.redis.patiently(
            lambda: client.execute_command("ZRANGEBYSCORE", due, "-inf", "+inf"), due
        )
        return [name.decode() for name in found]

    async def commit(self, commit: Commit) -> Answer:
        """All of `commit`, or nothing. Raises StoreUnavailable: then the same commit may be sent again."""
        marks = {customer_id: self.mark(customer_id) for customer_id in commit.erased}
        answer = await self.redis.run(_COMMIT, self._keys.fence(commit.partition), packed(commit, marks))
        if marks or commit.marks:
            self._marks[commit.partition] = self._marks.get(commit.partition, 0) + len(marks) + len(commit.marks)
        return Answer[answer.decode()]

    async def pending(self, partition: int, after: str, entries_max: int, views_max: int) -> Pending:
        """What is to be published after entry `after` ("0-0": from the start): about `entries_max` entries and
        `views_max` views, and to the end of a commit."""
        entries, fence, views, reached = await self.redis.run(
            _PENDING, self._keys.fence(partition), after, entries_max, views_max
        )
        return Pending(
            tuple((entry.decode(), _unpack_record(fields[1])) for entry, fields in entries),
            tuple(zip(views[::2], views[1::2], strict=True)),
            int(reached),
            fence_of(_unpack_fence(fence).items()),
        )

    async def published(self, partition: int, entry: str, views_seq: int) -> int:
        """Drop what Kafka has: entries up to `entry`, views of commits up to `views_seq`. How many entries are left."""
        left: int = await self.redis.run(_PUBLISHED, self._keys.fence(partition), next_entry(entry), views_seq)
        return left

    async def outbox_size(self, partition: int) -> tuple[int, int]:
        """(entries, views) not yet published."""
        client, keys = self.redis.client, self._keys

        async def both() -> tuple[int, int]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.xlen(keys.outbox(partition))
                pipe.zcard(keys.values(partition))
                entries, views = await pipe.execute()
                return entries, views

        return await self.redis.patiently(both, f"size of {keys.outbox(partition)}")

    async def check_meta(self, partitions: int, programme: str) -> None:
        """Write `loyalty:meta` once; refuse another partition count or layout ever after. Raises MetaMismatch."""
        client, meta = self.redis.client, self._keys.meta()

        async def once() -> dict[bytes, bytes]:
            # In no transaction on a cluster, where redis-py 8.1 cannot read an HGETALL in one: the first field decides.
            async with client.pipeline(transaction=not self.redis.clustered) as pipe:
                for name, value in (("partitions", partitions), ("layout", LAYOUT), ("programme", programme)):
                    pipe.hsetnx(meta, name, str(value))
                pipe.hgetall(meta)
                held: dict[bytes, bytes] = (await pipe.execute())[-1]
                return held

        check_meta({_text(k): _text(v) for k, v in (await self.redis.patiently(once, meta)).items()}, meta, partitions)

    async def writable(self) -> None:
        """For /readyz: a write that changes nothing, for Redis may answer and yet refuse to write. One attempt."""
        await self.redis.client.execute_command("HSETNX", self._keys.meta(), "layout", str(LAYOUT))


def check_meta(held: Mapping[str, str], meta: str, partitions: int) -> None:
    """Raises MetaMismatch."""
    if held["partitions"] != str(partitions):
        raise MetaMismatch(
            f"{meta}: partitions is {held['partitions']}, LOYALTY_PARTITIONS {partitions}: the count never changes, it "
            f"moves customers; set LOYALTY_PARTITIONS={held['partitions']}, or another LOYALTY_PREFIX and other topics"
        )
    if held["layout"] != str(LAYOUT):
        raise MetaMismatch(
            f"{meta}: layout is {held['layout']}, this release writes {LAYOUT}; start the release that wrote it, or "
            f"set another LOYALTY_PREFIX: a worker folds all again from Kafka"
        )


def _stands(load: Load) -> tuple[str | bool, str]:
    """(epoch or false, seq) as the fence's hash has them."""
    return False if load.epoch is None else str(load.epoch), str(load.seq)


def _customer(held: bytes | None) -> Any:
    return None if held is None else state.decode(held)


def _text(value: Text) -> str:
    return value.decode() if isinstance(value, bytes) else value


_OWN: Final = frozenset(("epoch", "seq", "clock", "policy", "shares", "since", "recovers"))


def fence_of(fields: Iterable[tuple[Text, Text]], erased: int = 0, senders: tuple[str, ...] = ()) -> Fence:
    """The fence from the fields of its hash; what is none of ours is a topic's position."""
    held = {_text(name): _text(value) for name, value in fields}
    clock = held.get("clock")
    return Fence(
        epoch=int(held.get("epoch", 0)),
        seq=int(held.get("seq", 0)),
        clock=None if clock is None else int(clock),
        policy=held.get("policy", ""),
        shares=json.loads(held.get("shares", "{}")),
        since=int(held.get("since", -1)),
        positions={name: int(value) for name, value in held.items() if name not in _OWN},
        erased=erased,
        recovers=held.get("recovers") == "1",
        senders=senders,
    )


def fence_fields(commit: Commit) -> dict[str, str]:
    """The fields of the fence's hash that `commit` sets."""
    fields = {
        "seq": str(commit.seq),
        "policy": commit.policy,
        "shares": json.dumps(dict(commit.shares), sort_keys=True),
        "since": str(commit.since),
    }
    if commit.clock is not None:
        fields["clock"] = str(commit.clock)
    if commit.recovers or commit.leaps_from is not None:
        fields["recovers"] = "1" if commit.recovers else "0"
    return fields | {topic: str(position) for topic, position in commit.positions_to.items()}


def packed(commit: Commit, marks: Mapping[str, str]) -> bytes:
    """The one argument of `commit.lua`. Views with the same fields to write share a layout, so that names travel once;
    the first layout is the whole view."""
    layouts: dict[bytes, int] = {_WHOLE: 1}
    writes: list[object] = []
    for write in commit.writes:
        customer = write.customer
        if not write.view:
            writes += (
                customer.id,
                str(customer.next_review),
                _raw(state.encode(customer)),
                -1 if write.hidden else 0,
                (),
            )
            continue
        changed = changed_fields(write)
        layout = layouts.get(changed) or layouts.setdefault(changed, len(layouts) + 1)
        due = str(customer.next_review) if changed[_DUE] else False
        writes += (customer.id, due, _raw(state.encode(customer)), layout, _texts(write.view, changed))
    return _pack(
        (
            str(commit.epoch),
            str(commit.seq),
            flat(commit.positions_from),
            [part for pair in fence_fields(commit).items() for part in pair],
            [part for row in _erased(commit, marks) for part in row],
            [tuple(compress(FIELDS, changed)) for changed in layouts],
            writes,
            [_raw(_pack(record)) for record in commit.outbox],
            flat({name: n for name, n in commit.counts.items() if n}),
            commit.all_due,
            str(commit.follows),
        )
    )


def _erased(commit: Commit, marks: Mapping[str, str]) -> Iterator[tuple[str | bool, str, str]]:
    """(id, or false where it is not known; mark; instant) of each that is erased."""
    yield from ((name, marks[name], str(at)) for name, at in commit.erased.items())
    yield from ((False, mark, str(at)) for mark, at in commit.marks.items())


_WHOLE: Final = b"\1" * len(FIELDS)
_DUE: Final = FIELDS.index("next_review_at")


def changed_fields(write: Write) -> bytes:
    """Of each field 1 where it is to be written, else 0."""
    return _WHOLE if write.was is None else bytes(map(ne, write.view, write.was))


def _texts(view: Values, changed: bytes) -> list[str | None]:
    """The values to write as the hash holds them, None where there is none."""
    picked = view if changed == _WHOLE else compress(view, changed)
    return [None if value is None else str(value) for value in picked]  # faster than `map` since Python 3.11


def _raw(blob: bytes) -> msgspec.Raw:
    """`blob` as MessagePack text: the `bin` of the newer specification is unknown to the Lua in Redis 6.2."""
    return msgspec.Raw(b"\xdb" + len(blob).to_bytes(4, "big") + blob)


def flat(numbers: Mapping[str, int]) -> list[str]:
    """Names and numbers in turn, all as text."""
    return [part for name, number in numbers.items() for part in (name, str(number))]


def next_entry(entry: str) -> str:
    """The first entry that may follow `entry` of an outbox."""
    seq, _, n = entry.partition("-")
    return f"{seq}-{int(n) + 1}"


def commits(entries: Sequence[tuple[str, Record]]) -> Iterator[int]:
    """The commit number of each entry."""
    return (int(entry.partition("-")[0]) for entry, _ in entries)
