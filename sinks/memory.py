"""The store without Redis: the same answers from dictionaries, synchronous, for simulator and tests.

States are kept as bytes, so that nothing is shared with the caller. `tests/contract/` runs one suite on this and on a
real Redis; what is proven of a partition with one holds with the other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import compress

from processors.fields import FIELDS
from schemas import state
from sinks.commit import Answer, Commit, Fence, Load, Loaded, Record, senders_of
from sinks.store import (
    LAYOUT,
    Pending,
    changed_fields,
    check_meta,
    erase_mark,
    fence_fields,
    fence_of,
    next_entry,
)

Entry = tuple[int, int]
"""An entry of the outbox: commit number and number within it."""


@dataclass
class Partition:
    """What Redis holds under one hash tag."""

    fence: dict[str, str] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    views: dict[str, dict[str, str]] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    kpi: Counter[str] = field(default_factory=Counter)
    outbox: list[tuple[Entry, Record, dict[str, str] | None]] = field(default_factory=list)

    def count(self, counts: Mapping[str, int]) -> None:
        """Add to the counters. One at 0 goes; one that 64 bits would not hold stays where it is."""
        for name, number in counts.items():
            if abs(self.kpi[name] + number) < 1 << 63:
                self.kpi[name] += number
            if not self.kpi[name]:
                del self.kpi[name]


class MemoryStore:
    """See `Store`: the same methods with the same meaning, without waiting."""

    def __init__(self, *, erase_key: bytes = b"memory", clock: Callable[[], int] = lambda: 0) -> None:
        self.partitions: dict[int, Partition] = {}
        self.meta: dict[str, str] = {}
        self._erase_key, self._clock = erase_key, clock

    def partition(self, number: int) -> Partition:
        """What is held of partition `number`, made if it is not there."""
        return self.partitions.setdefault(number, Partition())

    def mark(self, customer_id: str) -> str:
        """The mark of an erased id."""
        return erase_mark(self._erase_key, customer_id)

    def take_epoch(self, partition: int) -> Fence:
        """The fence, its epoch now the caller's alone."""
        held = self.partition(partition)
        held.fence["epoch"] = str(max(int(held.fence.get("epoch", 0)) + 1, self._clock()))
        return fence_of(held.fence.items(), len(held.erased), senders_of(held.kpi))

    def fence(self, partition: int) -> Fence:
        """The fence as it stands."""
        held = self.partition(partition)
        return fence_of(held.fence.items(), len(held.erased))

    def load(self, partition: int, load: Load) -> Loaded:
        """The states asked for, and those due."""
        held = self.partition(partition)
        if load.epoch is not None and (held.fence.get("epoch"), held.fence.get("seq", "0")) != (
            str(load.epoch),
            str(load.seq),
        ):
            return Loaded({}, fenced=True)
        due: list[str] = []
        reach: int | None = None
        if load.due_until is not None:
            until, limit = load.due_until, load.due_limit
            ordered = sorted((at, name.encode(), name) for name, at in held.due.items() if at <= until)
            due = [name for _, _, name in ordered[:limit]]
            reach = ordered[limit][0] - 1 if len(ordered) > limit else None
        states = held.states
        customers = {
            name: state.decode(states[name]) if name in states else None for name in dict.fromkeys((*load.ids, *due))
        }
        marks = {name: self.mark(name) for name in load.ids if customers[name] is None} if held.erased else {}
        not_before = {name: held.erased[mark] for name, mark in marks.items() if mark in held.erased}
        return Loaded(customers, tuple(due), reach, not_before)

    def names(self, partition: int) -> list[str]:
        """Everybody known."""
        return list(self.partition(partition).due)

    def commit(self, commit: Commit) -> Answer:
        """All of `commit`, or nothing."""
        held = self.partition(commit.partition)
        answer = _admitted(held.fence, commit)
        if answer is not Answer.DONE:
            return answer
        self._erase(held, commit)
        for write in commit.writes:
            name = write.customer.id
            held.states[name] = state.encode(write.customer)
            if not write.view:
                held.due[name] = write.customer.next_review
                if write.hidden:
                    held.views.pop(name, None)
                    held.values.pop(name, None)
                continue
            changed = changed_fields(write)
            fields = {} if write.was is None else held.views[name]
            for field_name, value in compress(zip(FIELDS, write.view, strict=True), changed):
                if value is None:
                    fields.pop(field_name, None)
                else:
                    fields[field_name] = str(value)
            held.views[name] = fields
            if changed[FIELDS.index("next_review_at")]:
                held.due[name] = write.customer.next_review
            held.values[name] = commit.seq
        if commit.all_due:
            held.due = dict.fromkeys(held.due, 0)
        held.count(commit.counts)
        held.fence.update(fence_fields(commit))
        last = len(commit.outbox)
        for n, record in enumerate(commit.outbox, 1):
            held.outbox.append(((commit.seq, n), record, dict(held.fence) if n == last else None))
        return Answer.DONE

    def _erase(self, held: Partition, commit: Commit) -> None:
        for mark, at in (*((self.mark(name), at) for name, at in commit.erased.items()), *commit.marks.items()):
            held.erased[mark] = max(at, held.erased.get(mark, at))
        for name in commit.erased:
            for table in (held.states, held.views, held.due, held.values):
                table.pop(name, None)

    def pending(self, partition: int, after: str, entries_max: int, views_max: int) -> Pending:
        """What is to be published after entry `after`: whole commits."""
        held = self.partition(partition)
        start = bisect_right(held.outbox, _entry(after), key=lambda row: row[0])
        end = start + entries_max
        fence, reached = held.fence, int(held.fence.get("seq", 0))
        if end <= len(held.outbox):
            while (ends := held.outbox[end - 1][2]) is None:
                end += 1
            fence, reached = ends, held.outbox[end - 1][0][0]
        names, reached = _views_up_to(held.values, reached, views_max)
        views = tuple((name.encode(), _flat(held.views[name])) for name in names)
        entries = tuple((f"{seq}-{n}", record) for (seq, n), record, _ in held.outbox[start:end])
        return Pending(entries, views, reached, fence_of(fence.items()))

    def published(self, partition: int, entry: str, views_seq: int) -> int:
        """Drop what Kafka has. How many entries are left."""
        held = self.partition(partition)
        stays = _entry(next_entry(entry))
        held.outbox = [row for row in held.outbox if row[0] >= stays]
        held.values = {name: seq for name, seq in held.values.items() if seq > views_seq}
        return len(held.outbox)

    def outbox_size(self, partition: int) -> tuple[int, int]:
        """(entries, views) not yet published."""
        held = self.partition(partition)
        return len(held.outbox), len(held.values)

    def check_meta(self, partitions: int, programme: str) -> None:
        """Raises MetaMismatch."""
        fresh = {"partitions": str(partitions), "layout": str(LAYOUT), "programme": programme}
        self.meta = fresh | self.meta
        check_meta(self.meta, "meta", partitions)


def _admitted(fence: dict[str, str], commit: Commit) -> Answer:
    """DONE where the commit may be written."""
    seq = int(fence.get("seq", 0))
    if fence.get("epoch") != str(commit.epoch):
        return Answer.FENCED
    if seq == commit.seq:
        return Answer.ALREADY
    moved = (fence.get(topic, str(at)) != str(at) for topic, at in commit.positions_from.items())
    return Answer.DONE if seq == commit.follows and not any(moved) else Answer.FENCED


def _views_up_to(values: dict[str, int], reached: int, views_max: int) -> tuple[list[str], int]:
    """(customers, commit): all whose latest change lies in a commit up to that one, about `views_max` of them."""
    ordered = sorted((seq, name.encode(), name) for name, seq in values.items() if seq <= reached)
    if len(ordered) > views_max:
        cut = ordered[views_max][0]
        reached = cut if ordered[0][0] == cut else cut - 1
    return [name for seq, _, name in ordered if seq <= reached], reached


def _entry(text: str) -> Entry:
    seq, _, n = text.partition("-")
    return int(seq), int(n)


def _flat(fields: dict[str, str]) -> list[bytes]:
    return [part.encode() for pair in fields.items() for part in pair]
