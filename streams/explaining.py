"""How an output came to be: its customer's records folded again by the loop that folds all, until it is told again.

What a loop tells of a customer depends on that customer's own records and on the ticks, never on batches; records of
others decide at most whose turn it is. So the customer's records and the ticks, in the order of their turn, give every
output again to the byte, with the records that had been folded by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from msgspec import Struct

from processors.care.book import Reminder, reminder_id
from processors.care.life import held_back, kinds_of
from processors.care.look import Look
from processors.customer import Customer
from processors.events import Erase, Misplaced, Tick
from processors.outputs import CareReminder, Output
from processors.policy import Policy
from schemas.codec import read
from schemas.customer_value import encode_view
from schemas.topics import CUSTOMER_VALUE, INPUTS, RELAY, TICKS
from sinks.commit import Answer, Commit, Load, Record
from sinks.memory import MemoryStore
from streams.outgoing import Outgoing
from streams.partition import AskEnds, NeedPolicy, Outcome, PartitionLoop
from streams.plan import LoopConfig, Plan, item_of
from streams.settings import LoyaltyError
from streams.stages import (
    AS_THEY_CAME,
    OWN_TOPICS,
    READINGS,
    Inputs,
    Own,
    StageOf,
    numbered,
    own_records,
    staged,
    stages,
)
from streams.texts import wording
from streams.time_order import End, Item, KafkaRecord

_TICKS_AT_ONCE: Final = 1_000


class Published(Struct, frozen=True):
    """An output as it lies in Kafka. timestamp: the broker's, ms; instants: those (ms) at which anything was published
    to its partition up to then, rising. home: the partition that told it, None: the one in which it lies."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    customer_id: str
    event_id: str
    value: bytes
    instants: tuple[int, ...] = ()
    home: int | None = None

    @property
    def told_by(self) -> int:
        """The partition whose loop told it."""
        return self.partition if self.home is None else self.home


class Behind(Struct, frozen=True):
    """A record that stands behind an output. `event`: what it says, by the name of its kind; `occurred_at` None: it
    has no time of its own; `origin`: where it lay before it travelled by `relay`; `left_out`: why it counts nothing."""

    topic: str
    partition: int
    offset: int
    event: str
    event_id: str | None
    occurred_at: int | None
    origin: str | None = None
    left_out: str | None = None

    @property
    def place(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Held(Struct, frozen=True):
    """A reminder waits: since `at` (ms), held back by `reason`, until an instant (None: none is foreseen)."""

    at: int
    reason: str
    until: int | None


class Found(Struct, frozen=True):
    """The output told again. output: None of a view; customer: behind it, else before it; reminder: of care, as the
    book had it; clock: stream time, ms; record: its cause, None: time alone, seen when the turn of `noticed` came;
    changed: a tick, `noticed`, brought another policy or threshold."""

    value: bytes
    output: Output | None
    customer: Customer | None
    reminder: Reminder | None
    policy: Policy
    clock: int | None
    record: Behind | None
    noticed: Behind | None
    changed: bool


class Told(Struct, frozen=True):
    """What folding again came to. found: None where the output was not told; inputs: what had been folded by then, in
    order; reading: in which stages (`READINGS`); held: what kept a reminder waiting, in order."""

    reading: str
    found: Found | None
    inputs: tuple[Behind, ...]
    held: tuple[Held, ...]


class _Traced(PartitionLoop):
    """The loop of the partition, given one customer's records and the ticks; takes note until `of` is told again."""

    def __init__(self, of: Published, reminder: str | None, store: MemoryStore, config: LoopConfig) -> None:
        super().__init__(of.told_by, store.take_epoch(of.told_by), config)
        self._of, self._reminder, self._store = of, reminder, store
        self.found: Found | None = None
        self.inputs: list[Behind] = []
        self.held: list[Held] = []
        self._batch: tuple[list[Item], Behind | None] = [], None
        self._tick: Behind | None = None
        self._turned: Behind | None = None  # the last tick that brought another policy or threshold

    def take(self, topic: str, records: Sequence[Own], position: int) -> None:
        """The customer's records of a topic, and the next fetch position behind what was read."""
        items = []
        for own in records:
            item = item_of(topic, own.record, self._config.max_ahead_ms, self._config.decode)
            if item.at and not item.ahead:
                item.at = max(item.at, own.turn)
            items.append(item)
        self._order.put(topic, items, position)

    def _ready(self) -> list[Item]:
        """A record of the customer goes alone, so that what follows from it is seen."""
        ready = super()._ready()
        own = next((place for place, item in enumerate(ready) if item.topic != TICKS), len(ready))
        return ready[: own or 1]

    def _make_commit(self, plan: Plan, outcome: Outcome) -> None:
        before = self._cache.get(self._of.customer_id)
        super()._make_commit(plan, outcome)
        commit = self._commit
        if commit is None or self.found is not None:
            return
        own = self._note(plan, outcome)
        self._batch = plan.items, own
        after = outcome.changes.customers.get(self._of.customer_id)
        if after is not None:
            self._wait(after)
        for record in commit.outbox:
            if record.topic == self._of.topic and _id_of(record.headers) == self._of.event_id:
                self.found = self._told(record, outcome, before, after)
        if commit.all_due:
            self._turned = self._tick

    def _note(self, plan: Plan, outcome: Outcome) -> Behind | None:
        """Remember the batch's records; the customer's one of it, if it has one."""
        own = None
        for item in plan.items:
            if isinstance(item.event, Tick):
                self._tick = _behind(item, self.partition)
                continue
            counts = (plan.counts, outcome.refused.counts, outcome.changes.counts)
            own = _behind(item, self.partition, next((why for each in counts for why in _left_out(each)), None))
            if own.event == Erase.name:
                self.inputs.clear()
            self.inputs.append(own)
        return own

    def _wait(self, after: Customer) -> None:
        """What holds the reminder back that is asked about, where it waits."""
        for one in after.told.care.waiting:
            care = kinds_of(self._policy).get(one.kind)
            if care is not None and self._reminder == reminder_id(after.id, one.kind, one.cause):
                look = Look(after.history, after.told, after.now, self._policy, rose=False)
                until, reason = held_back(care, look)
                if not self.held or (self.held[-1].reason, self.held[-1].until) != (reason, until):
                    self.held.append(Held(after.now, reason, until))

    def _told(self, record: Record, outcome: Outcome, before: Customer | None, after: Customer | None) -> Found:
        """What is known of the output in `record`; before, after: its customer."""
        output: Any = next(
            one.output for one in outcome.changes.outputs if getattr(one.output, "event_id", "") == self._of.event_id
        )
        own, commit = self._batch[1], self._commit
        assert commit is not None
        by_record = own is not None and _caused(output, own)
        moved = before is not None and after is not None and before.context != after.context
        changed = output.cause.startswith("since:") or (moved and output.at == self._fence.since)
        noticed = self._noticed(output.at)
        if changed and not by_record:
            noticed = self._turned
        assert record.value is not None
        return Found(
            value=record.value,
            output=output,
            customer=after or before,
            reminder=_reminder_of(output, before, after),
            policy=self._policy,
            clock=commit.clock,
            record=own if by_record else None,
            noticed=noticed,
            changed=changed and not by_record,
        )

    def _noticed(self, at: int) -> Behind | None:
        """The record of the batch at whose turn it was seen that the instant `at` had come."""
        items, own = self._batch
        tick = next((item for item in items if isinstance(item.event, Tick) and item.event.at >= at), None)
        return own or (self._tick if tick is None else _behind(tick, self.partition))

    def committed(self, answer: Answer) -> None:
        """As the loop's; of a view what was written then stands in the store."""
        clock = None if self._commit is None else self._commit.clock
        super().committed(answer)
        fields = self._store.partition(self.partition).views.get(self._of.customer_id)
        if self._of.topic != CUSTOMER_VALUE or self.found is not None or fields is None:
            return
        value, headers = encode_view(self.partition, [part.encode() for pair in fields.items() for part in pair])
        if _id_of(headers) == self._of.event_id:
            own = self._batch[1]
            record = None if own is None or own.left_out else own
            seen = self._noticed(int(fields["as_of"]))
            self.found = Found(value, None, None, None, self._policy, clock, record, seen, changed=False)


def _left_out(counts: Mapping[str, int]) -> Iterator[str]:
    """Why a record counts nothing, from what its batch of one counts."""
    for name, number in counts.items():
        what, _, rest = name.partition(":")
        if number and what == "dead_letters":
            yield f"a dead letter, {rest.partition(':')[2]}"
        elif number and what in ("duplicates", "erased"):
            yield "a repeat" if what == "duplicates" else "of before an erase"


def _behind(item: Item, partition: int, left_out: str | None = None) -> Behind:
    event: Any = item.event
    origin = None
    if isinstance(event, Misplaced):
        event = event.event
        relayed = read(RELAY, item.record.value or b"")
        origin = f"{relayed['topic']}[{relayed['partition']}]@{relayed['offset']}"
    at = event.at if isinstance(event, Tick) else getattr(event, "occurred_at", None)
    name, own_id = event.name, getattr(event, "event_id", None)
    return Behind(item.topic, partition, item.record.offset, name, own_id, at, origin, left_out)


def _caused(output: Any, own: Behind) -> bool:
    """Whether an output follows from the record itself, not from the time that had passed before its turn."""
    if own.event == Erase.name:
        return bool(getattr(output, "status", "") == "WITHDRAWN")
    if output.cause:
        return not output.cause.startswith("since:")
    return bool(output.at == own.occurred_at)


def _reminder_of(output: Any, before: Customer | None, after: Customer | None) -> Reminder | None:
    """The reminder in the care book, as it came out of the review, else as it went in."""
    if not isinstance(output, CareReminder):
        return None
    books = [one.told.care for one in (after, before) if one is not None]
    held = [one for book in books for one in (*book.open, *book.waiting)]
    mine = (one for one in held if reminder_id(output.customer_id, one.kind, one.cause) == output.reminder_id)
    return next(mine, None)


def _id_of(headers: Iterable[tuple[str, bytes]]) -> str:
    return next((value.decode() for name, value in headers if name == "ce_id"), "")


# ---- folding


class _Driver:
    """Does what the loop asks for, from records at hand, until the output was found or all was read."""

    def __init__(self, loop: _Traced, store: MemoryStore, inputs: Inputs, policies: Mapping[str, Policy]) -> None:
        self._loop, self._store, self._policies = loop, store, policies
        self._reached = {topic: inputs.begins.get(topic, 0) for topic in INPUTS}
        for topic, position in self._reached.items():
            loop.take(topic, (), position)

    def run(self, own: Sequence[Own], ticks: Iterator[KafkaRecord], stage_of: StageOf) -> None:
        """Stage by stage: the customer's records of it, and its ticks."""
        loop, following, stage = self._loop, next(ticks, None), 0
        left = sorted({one.stage for one in own})
        while loop.found is None:
            self._hand_over([one for one in own if one.stage == stage])
            more = True
            while more and loop.found is None:
                chunk: list[KafkaRecord] = []
                while following is not None and len(chunk) < _TICKS_AT_ONCE and stage_of(TICKS, following) <= stage:
                    chunk.append(following)
                    following = next(ticks, None)
                if chunk:
                    self._reached[TICKS] = chunk[-1].offset + 1
                    loop.receive(TICKS, chunk, self._reached[TICKS])
                more = following is not None and stage_of(TICKS, following) <= stage
                self._rest(more)
            further = [number for number in left if number > stage]
            if following is not None:
                further.append(stage_of(TICKS, following))
            if not further:
                return
            stage = min(further)

    def _hand_over(self, own: Sequence[Own]) -> None:
        for topic in OWN_TOPICS:
            mine = [one for one in own if one.topic == topic]
            if mine:
                self._reached[topic] = mine[-1].record.offset + 1
                self._loop.take(topic, mine, self._reached[topic])

    def _rest(self, more: bool) -> None:
        """All effects that there are. more: further ticks were written by now."""
        loop, answered = self._loop, -1
        while loop.found is None and (effect := loop.work()) is not None:
            match effect:
                case Load():
                    loop.loaded(self._store.load(loop.partition, effect))
                case Commit():
                    loop.committed(self._store.commit(effect))
                case NeedPolicy():
                    if effect.key not in self._policies:
                        raise LoyaltyError(
                            f"the policy {effect.key}, which a tick names, is not on topic policies: set LOYALTY_POLICY"
                            " to its file"
                        )
                    loop.policy(self._policies[effect.key])
                case AskEnds():
                    if effect.asked == answered:
                        assert more, "all was read, and still the loop waits"
                        return
                    answered = effect.asked
                    ahead = {TICKS: 1} if more else {}
                    ends = {topic: End(at, at + ahead.get(topic, 0)) for topic, at in self._reached.items()}
                    loop.ends(ends, effect.asked)


def told_again(
    of: Published,
    inputs: Inputs,
    policies: Sequence[Policy],
    config: Callable[[Policy, Outgoing], LoopConfig],
    reminder: str | None = None,
) -> Told:
    """The output folded again, the first reading that gives it to the byte; else the first that gives it at all.

    policies: of the topic, in its order; one of them was in force before the first tick. reminder: the id of what is
    asked about, of care. config: of a loop that begins under a policy. Raises LoyaltyError where a policy is missing.
    """
    by_key = {one.key: one for one in policies}
    any_config, until = config(policies[0], Outgoing(str, wording)), of.timestamp
    written = own_records(of.customer_id, inputs, until, any_config.decode)
    best: Told | None = None
    for reading in READINGS:
        stage_of = stages(reading, written, inputs, until, of.instants)
        if stage_of is None:
            continue
        own = numbered(written, stage_of)
        if reading != AS_THEY_CAME:  # there each is alone in its stage
            own = staged(written, inputs, until, stage_of, any_config)
        for policy in policies:
            store = MemoryStore()
            loop = _Traced(of, reminder, store, config(policy, Outgoing(store.mark, wording)))
            ticks = takewhile(lambda tick: tick.timestamp <= until, inputs.records(TICKS))
            _Driver(loop, store, inputs, by_key).run(own, ticks, stage_of)
            told = Told(reading, loop.found, tuple(loop.inputs), tuple(loop.held))
            if told.found is not None and told.found.value == of.value:
                return told
            if best is None or (best.found is None and told.found is not None):
                best = told
    assert best is not None, "there is at least one policy"
    return best
