"""What each record means, before any state is known: a dead letter, a record of elsewhere, something to fold.

The checks here need the record, the stream time at its turn and the placement, never a customer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from processors.days import DAY_MS
from processors.events import (
    Claim,
    Complaint,
    Contact,
    Dated,
    Erase,
    Forgotten,
    Mishap,
    Misplaced,
    Part,
    Purchase,
    Serving,
    Standing,
    Tick,
    Withdrawal,
)
from processors.grade import inside
from processors.money import Unbookable, UnknownCurrency
from processors.policy import Policy
from schemas.codec import Decode, decode
from schemas.errors import BadRecord, Oversize
from schemas.partitioner import partition_of
from schemas.topics import RELAY, bytes_max
from sinks.commit import Record
from sinks.dead_letters import dead_letter
from streams.outgoing import Outgoing
from streams.producers import DEAD, LATE, MISPLACED, Note
from streams.time_order import Item, KafkaRecord

TOO_LATE: Final = "TooLate"
TOO_FAR_AHEAD: Final = "TooFarAhead"
_TIMELESS: Final = (Erase, Claim, Withdrawal, Standing, Mishap, Part, Forgotten)
"""What is never too late: an erase has no time, and what is told of kin, places or ids needs no id of its own."""


class LoopConfig(Struct, frozen=True, kw_only=True):
    """partitions: of every input topic. policy: in force until a tick names another. horizon_ms: how far back events
    are accepted and ids kept; max_ahead_ms: how far an event may lie after its record's own timestamp.
    batch_records, due_slice: most records and customers due of one commit; batch_first: of the first, before it is
    known how long one takes (`bound`).
    buffer_records: of one topic's buffer; cache: customers kept.
    decode: bytes to events; the ids of Confluent's framing are known to it before a record comes here."""

    partitions: int
    policy: Policy
    outgoing: Outgoing
    horizon_ms: int = 400 * DAY_MS
    max_ahead_ms: int = 26 * 3_600_000
    batch_records: int = 1_000
    batch_first: int = 1_000
    due_slice: int = 5_000
    buffer_records: int = 2_000
    cache: int = 20_000
    decode: Decode = decode


class Plan(Struct):
    """A batch under way. items: records in turn; folds: (event, stream time at its turn, item); clock: after it.
    notes: what is to be counted of who sent them (D7)."""

    items: list[Item]
    folds: list[tuple[Dated | Erase, int | None, Item]]
    clock: int | None
    outbox: list[Record]
    counts: Counter[str]
    notes: list[Note] = []


def unbookable(event: Dated, wrong: Unbookable) -> str:
    """What a dead letter says of an amount that cannot be booked, with the field it stands in."""
    field = "currency" if isinstance(wrong, UnknownCurrency) else _AMOUNT_OF[type(event)]
    return f"{field}: {wrong}"


_AMOUNT_OF: Final[Mapping[type, str]] = {Purchase: "lines", Complaint: "compensation", Contact: "cost"}


def behind_tick(items: Sequence[Item], number: int) -> int:
    """The place behind the so-manieth tick of `items`, counted from 1; behind all where there are fewer."""
    for place, item in enumerate(items):
        if isinstance(item.event, Tick):
            number -= 1
            if not number:
                return place + 1
    return len(items)


def first_tick(items: Sequence[Item]) -> int:
    """The index of the first tick, the length where there is none."""
    return next((n for n, item in enumerate(items) if type(item.event) is Tick), len(items))


def item_of(topic: str, record: KafkaRecord, max_ahead_ms: int, decode: Decode = decode) -> Item:
    """The record decoded, with the time that decides its turn: of an erase, which has none of its own, the broker's."""
    try:
        event = decode(topic, record.value, record.key)
    except BadRecord as bad:
        return Item(topic, 0, bad, record)
    if type(event) is Purchase:  # nearly all of them
        at = event.occurred_at
        return Item(topic, at, event, record, at > record.timestamp + max_ahead_ms)
    if isinstance(event, Tick):
        return Item(topic, event.at, event, record)
    own, recorded_at = (event.event, event.recorded_at) if isinstance(event, Misplaced) else (event, record.timestamp)
    if isinstance(own, Erase):
        return Item(topic, record.timestamp, event, record)
    return Item(topic, own.occurred_at, event, record, own.occurred_at > recorded_at + max_ahead_ms)


class Planner(Struct, frozen=True):
    """Plans the batches of one partition."""

    partition: int
    config: LoopConfig

    def planned(self, items: list[Item], clock: int | None, placed: Collection[str]) -> Plan:
        """What `items` come to from stream time `clock` on. placed: ids known to belong here."""
        plan = Plan(items, [], clock, [], Counter())
        for item in items:
            event = item.event
            if type(event) is Purchase:  # nearly all of them
                now = plan.clock  # and nearly all known to belong here, in time: `_place` has the whole rule
                if event.customer_id in placed and (now is None or (event.occurred_at >= now and not item.ahead)):
                    plan.folds.append((event, now, item))
                else:
                    self._place(plan, item, event, placed)
            elif isinstance(event, Tick):
                if plan.clock is None or event.at > plan.clock:
                    plan.clock = event.at
                if event.served and event.at == plan.clock:
                    self._served(plan, item, event)
            elif isinstance(event, BadRecord):
                self.refuse(plan, item, event.error, str(event))
            else:
                self._place(plan, item, event, placed)
        return plan

    def _served(self, plan: Plan, item: Item, tick: Tick) -> None:
        """How those employees serve whose grades are decided here (E2)."""
        for served in tick.served:
            name, number = inside(served.employee_id), self.config.partitions
            if partition_of(name.encode(), number) == self.partition:
                told = Serving(
                    event_id=f"tick:{item.record.offset}", customer_id=name, occurred_at=tick.at, served=served
                )
                plan.folds.append((told, plan.clock, item))

    def _place(self, plan: Plan, item: Item, event: Dated | Erase | Misplaced, placed: Collection[str]) -> None:
        """To be folded here, or off to where it belongs; never folded where it does not belong."""
        recorded_at = item.record.timestamp
        if isinstance(event, Misplaced):
            recorded_at = event.recorded_at
            event = event.event
        name = event.customer_id
        if name not in placed and partition_of(name.encode(), self.config.partitions) != self.partition:
            size = len(item.record.key or b"") + len(item.record.value or b"")
            if size > bytes_max(item.topic):
                text = f"key and value have {size:,} bytes: must be at most {bytes_max(item.topic):,} to travel on"
                self.refuse(plan, item, Oversize.__name__, f"{text}; send the record with the key {name!r}")
                return
            plan.counts[f"rerouted:{item.topic}"] += 1
            _note(plan, MISPLACED, item)
            plan.outbox.append(self.config.outgoing.rerouted(self.partition, item, name))
            return
        if (type(event) is Purchase or not isinstance(event, _TIMELESS)) and not self._in_time(
            plan, item, event, recorded_at
        ):
            return
        if isinstance(event, Part):  # facts may come, go and come again at one instant: each time is a cause of its own
            event = replace(event, event_id=f"{event.event_id}@{item.record.offset}")
        plan.folds.append((event, plan.clock, item))

    def _in_time(self, plan: Plan, item: Item, event: Dated, recorded_at: int) -> bool:
        """Whether it is neither too late nor too far ahead: before the first tick nothing is."""
        at, clock = event.occurred_at, plan.clock
        if clock is not None:
            if at < clock - self.config.horizon_ms:
                days = self.config.horizon_ms // DAY_MS
                text = f"occurred_at is {at}: must be at most {days} days before stream time {clock}"
                self.refuse(plan, item, TOO_LATE, f"{text}; load older history before the first live tick")
                return False
            if at < clock:
                plan.counts[f"late:{item.topic}"] += 1
                _note(plan, LATE, item)
            if at > recorded_at + self.config.max_ahead_ms:
                hours = self.config.max_ahead_ms / 3_600_000
                text = f"occurred_at is {at}: must be at most {hours:g} hours after the record's own time {recorded_at}"
                self.refuse(plan, item, TOO_FAR_AHEAD, f"{text}; check the sender's clock and time unit (ms)")
                return False
        return True

    def refuse(self, plan: Plan, item: Item, error: str, message: str) -> None:
        record = item.record
        plan.counts[f"dead_letters:{item.topic}:{error}"] += 1
        _note(plan, DEAD, item)
        plan.outbox.append(
            dead_letter(
                item.topic, self.partition, record.offset, record.key, record.value, record.headers,
                error, message, record.timestamp if plan.clock is None else plan.clock,
            )
        )  # fmt: skip


def _note(plan: Plan, what: str, item: Item) -> None:
    """Of an event as it came from its sender: what comes by relay was sent to another partition."""
    if item.topic != RELAY:
        plan.notes.append((what, item.event))
