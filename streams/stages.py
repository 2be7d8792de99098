"""One customer's records, and in which stages a worker read them: what `streams/explaining.py` folds again.

All of a stage lies there together and is folded by time, as the loop does; then comes the next. How far a worker had
read when it told something is in the topic `outbox-positions`, until compaction takes it away; then it is guessed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from schemas.codec import BadRecord, Decode
from schemas.topics import INPUTS, TICKS
from streams.plan import LoopConfig, item_of
from streams.time_order import KafkaRecord

OWN_TOPICS: Final = tuple(topic for topic in INPUTS if topic != TICKS)

AS_COMMITTED = "as the worker committed them"
BY_PUBLICATION = "by the instants at which anything was published"
AS_THEY_CAME = "as they came"
ALL_AT_ONCE = "all at once"
READINGS: Final = (AS_COMMITTED, BY_PUBLICATION, AS_THEY_CAME, ALL_AT_ONCE)
"""The best known first: positions of the outbox; what was written between two publications together; each record when
it was written, as by a worker that keeps up; all sorted by time, as by one that starts later."""


class Inputs(Protocol):
    """The input topics of one partition, and what its outbox said of how far they were folded."""

    @property
    def begins(self) -> Mapping[str, int]:
        """Topic to the first offset that it still holds."""

    def records(self, topic: str) -> Iterator[KafkaRecord]:
        """All of the topic, in order of offsets; each call from the beginning."""

    def positions(self) -> Iterator[tuple[int, Mapping[str, int]]]:
        """(broker's ms, topic to next position) of the records of `outbox-positions` that are left, in order."""


StageOf = Callable[[str, KafkaRecord], int]
"""The number of the stage in which a record was read, rising with the offsets of a topic."""


class Own(Struct, frozen=True):
    """A record of the customer. turn: the latest time (ms) of what lies before it in its stage, and goes first."""

    topic: str
    record: KafkaRecord
    stage: int = 0
    turn: int = 0


def own_records(customer_id: str, inputs: Inputs, until: int, decode: Decode) -> list[Own]:
    """The customer's records written up to `until` (broker's ms), topic by topic."""
    found, mark = [], customer_id.encode()
    for topic in OWN_TOPICS:
        for record in inputs.records(topic):
            if record.timestamp > until:
                break
            if (record.key == mark or mark in (record.value or b"")) and _is_of(customer_id, topic, record, decode):
                found.append(Own(topic, record))
    return found


def _is_of(customer_id: str, topic: str, record: KafkaRecord, decode: Decode) -> bool:
    try:
        event: Any = decode(topic, record.value, record.key)
    except BadRecord:
        return False
    return bool(event.customer_id == customer_id)


def numbered(own: Sequence[Own], stage_of: StageOf) -> list[Own]:
    """The same records with their stages; nothing holds them up."""
    return [replace(one, stage=stage_of(one.topic, one.record)) for one in own]


def staged(own: Sequence[Own], inputs: Inputs, until: int, stage_of: StageOf, config: LoopConfig) -> list[Own]:
    """The same records with stage and turn, as a loop of `config` would read them."""
    turns: dict[tuple[str, int], int] = {}
    wanted = {(one.topic, one.record.offset) for one in own}
    for topic in OWN_TOPICS:
        stage, turn = -1, 0
        for record in inputs.records(topic) if any(name == topic for name, _ in wanted) else ():
            if record.timestamp > until:
                break
            if stage != (stage := stage_of(topic, record)):
                turn = 0
            item = item_of(topic, record, config.max_ahead_ms, config.decode)
            turn = turn if item.ahead else max(turn, item.at)
            if (topic, record.offset) in wanted:
                turns[topic, record.offset] = turn
    return [replace(one, turn=turns[one.topic, one.record.offset]) for one in numbered(own, stage_of)]


def stages(reading: str, own: Sequence[Own], inputs: Inputs, at: int, instants: Sequence[int]) -> StageOf | None:
    """The stages of a reading; None: nothing is left by which to know them.

    at: when the output was published (broker's ms); instants: when anything was, rising.
    """
    if reading == AS_COMMITTED:
        marks = _marks(own, inputs, at)
        return (lambda topic, record: bisect_right(marks[topic], record.offset)) if marks else None
    cuts = _cuts(reading, sorted({one.record.timestamp for one in own}), instants)
    return lambda _, record: bisect_right(cuts, record.timestamp)


def _marks(own: Sequence[Own], inputs: Inputs, at: int) -> Mapping[str, list[int]]:
    """Topic to rising positions between which something was committed: only those beside which a record of the
    customer lies, for a year of ticks has millions. Empty: there are none."""
    offsets: dict[str, list[int]] = {topic: [] for topic in OWN_TOPICS}
    for one in own:
        offsets[one.topic].append(one.record.offset)
    kept: list[Mapping[str, int]] = []
    before: tuple[Mapping[str, int], tuple[int, ...]] | None = None
    for told_at, positions in inputs.positions():
        counts = tuple(bisect_right(held, positions.get(topic, 0) - 1) for topic, held in offsets.items())
        if before is not None and counts != before[1]:
            kept += [before[0], positions]
        before = positions, counts
        if told_at >= at:
            break
    if before is None:
        return {}
    kept.append(before[0])
    marks: dict[str, list[int]] = defaultdict(list)
    for positions in kept:
        for topic in INPUTS:
            marks[topic].append(positions.get(topic, 0))
    return marks


def _cuts(reading: str, written: Sequence[int], instants: Sequence[int]) -> list[int]:
    """Broker's instants (ms) before which all that was written was folded, rising; written: the customer's own."""
    if reading == AS_THEY_CAME:
        return sorted({at + more for at in written for more in (0, 1)})
    cuts: set[int] = set()
    if reading == BY_PUBLICATION:
        for at in written:
            place = bisect_right(instants, at)
            cuts.update(instants[max(place - 1, 0) : place + 1])
    return sorted(cuts)
