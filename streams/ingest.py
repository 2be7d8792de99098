"""Records and ticks into the input topics.

What is imported may lie in any order: with ticks the rows are sorted by time first (`streams/spool.py`), so that a year
read in a minute tells what the year told. A tick says that everything up to it has been said. So it is written once all
rows up to its instant are acknowledged, to every partition, and never before the partition's clock: an import that was
cut short can be run again. Every tick names the policy in force, whose text is in the topic `policies` by then, and the
import it belongs to and where that ends (headers `loyalty.import`, `loyalty.until`): what precedes the last tick that
all partitions have need not be sent again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from processors.days import DAY_MS, Calendar, utc_iso
from processors.events import TIME_END_MS
from processors.policy import Policy
from schemas import codec, topics
from schemas.framing import Heads, reframed
from schemas.partitioner import partition_of
from streams import policies
from streams.reading import TopicReader
from streams.settings import LoyaltyError, Settings
from streams.spool import Item

CLOCK_HEADER: Final = "loyalty.clock"
CLOCK_OF_DATA: Final = b"data"
IMPORT_HEADER: Final = "loyalty.import"
UNTIL_HEADER: Final = "loyalty.until"

TICKS_MAX: Final = 1_000_000
"""More steps than this are a mistake in a time or in --tick-every, not a history: a tick goes to every partition."""

MAX_STEP_MS: Final = TIME_END_MS
"""A step that leaves the last tick alone."""

_TAIL = 100
"""So far back an import is recognised: a worker adds at most one tick with thresholds after an import's last."""

_BATCH_BYTES = 262_144
_IN_FLIGHT_MAX = 48
"""Batches not yet acknowledged: bounds memory, and makes the loop wait so that the producer gets its turn."""


class Feed(Protocol):
    """Records in order of time (or of their file). mark: tells the same records again from others."""

    @property
    def count(self) -> int: ...
    @property
    def first_ms(self) -> int | None: ...
    @property
    def last_ms(self) -> int | None: ...
    @property
    def mark(self) -> str: ...
    def __iter__(self) -> Iterator[Item]: ...


class Progress(Protocol):
    """As in `streams/cli/output.py`."""

    def advance(self, steps: int = 1) -> None: ...
    def tell(self, text: str) -> None: ...


class TickState(NamedTuple):
    """What the last ticks of one partition say. clock: the latest of them, None before the first.

    done: by the mark of an import, its latest tick and the end it was to reach (ms).
    """

    clock: int | None
    done: dict[str, tuple[int, int]]


class Done(NamedTuple):
    """written: records; skipped: there already from an import cut short; left_out: later than the last tick."""

    written: int
    skipped: int
    left_out: int
    ticks: int


# ---- ticks


class Every(NamedTuple):
    """The distance between ticks: calendar days of the programme, or a fixed time."""

    days: int = 0
    ms: int = 0


def tick_times(first_ms: int, until_ms: int, every: Every, calendar: Calendar) -> Iterator[int]:
    """The instants of the ticks for rows from `first_ms` on: at each step, the last at `until_ms`.

    Steps of days lie at the programme's midnights; others are counted from the midnight before the first row. A row at
    the very instant of a tick comes before it.
    """
    day = calendar.day_of(first_ms)
    if every.days:
        at = calendar.midnight(day)
        while at < first_ms:
            day += every.days
            at = calendar.midnight(day)
        while at < until_ms:
            yield at
            day += every.days
            at = calendar.midnight(day)
    else:
        at = calendar.midnight(day)
        at += -(-max(first_ms - at, 0) // every.ms) * every.ms
        while at < until_ms:
            yield at
            at += every.ms
    yield until_ms


def steps_between(first_ms: int, until_ms: int, every: Every) -> int:
    """About how many ticks that makes."""
    return max(until_ms - first_ms, 0) // (every.ms or every.days * DAY_MS) + 1


def end_of_day(last_ms: int, calendar: Calendar) -> int:
    """1 ms before the programme's midnight that follows `last_ms`."""
    day = calendar.day_of(last_ms)
    return min(calendar.begins_after(day + 1, last_ms), TIME_END_MS) - 1


def tick_state(reader: TopicReader) -> dict[int, TickState]:
    """By partition, what its last ticks say. LoyaltyError where the topic is missing."""
    return {partition: _state(records) for partition, records in reader.tails(topics.TICKS, _TAIL).items()}


def _state(records: Iterable[Any]) -> TickState:
    clock: int | None = None
    done: dict[str, tuple[int, int]] = {}
    for record in records:
        try:
            at = codec.read(topics.TICKS, record.value)["at"]
        except codec.BadRecord:
            continue  # the worker makes a dead letter of it
        clock = at if clock is None else max(clock, at)
        headers = dict(record.headers)
        if (mark := headers.get(IMPORT_HEADER)) is not None:
            until = int(headers.get(UNTIL_HEADER) or -1)
            done[mark.decode()] = max((at, until), done.get(mark.decode(), (at, until)))
    return TickState(clock, done)


def clock_of(states: dict[int, TickState]) -> int | None:
    """The latest clock of all partitions; None before the first tick."""
    return max((state.clock for state in states.values() if state.clock is not None), default=None)


def resumed_at(states: dict[int, TickState], mark: str) -> int | None:
    """Up to where all partitions have an import's records: the last tick that each of them has; None: nothing sure."""
    found = [state.done.get(mark) for state in states.values()]
    known = [one[0] for one in found if one is not None]
    return min(known) if found and len(known) == len(found) else None


def is_complete(states: dict[int, TickState], mark: str) -> bool:
    """Whether the import has written its last tick to all partitions."""
    found = [state.done.get(mark) for state in states.values()]
    return bool(found) and all(one is not None and one[0] >= one[1] >= 0 for one in found)


# ---- what is said before anything is written


class Limits:
    """Counts, while rows are read, those that the worker would refuse.

    late: older than the dedupe horizon. ahead: further in the future than `max_ahead`.
    """

    def __init__(self, settings: Settings, clock: int | None) -> None:
        self.late = self.ahead = 0
        self._late_ms = -1 if clock is None else clock - settings.dedupe_days * DAY_MS
        self._ahead_ms = int(time.time() * 1000) + settings.max_ahead_hours * 3_600_000

    def look(self, at: int) -> None:
        """Takes note of a row at `at` (ms)."""
        if at < self._late_ms:
            self.late += 1
        elif at > self._ahead_ms:
            self.ahead += 1

    def told(self, settings: Settings) -> list[str]:
        """A sentence for each kind that there is."""
        lines = []
        if self.late:
            lines.append(
                f"{_rows(self.late, 'is', 'are')} older than the horizon of {settings.dedupe_days} days before the "
                f"clock ({utc_iso(self._late_ms)}): the worker will put them on dead-letters as TooLate; "
                "history is imported before the first tick"
            )
        if self.ahead:
            lines.append(
                f"{_rows(self.ahead, 'lies', 'lie')} more than {settings.max_ahead_hours} h ahead of now: the worker "
                "will put them on dead-letters; check their times, or set LOYALTY_MAX_AHEAD_HOURS for the worker"
            )
        return lines


def _rows(number: int, one: str, more: str) -> str:
    return f"1 row {one}" if number == 1 else f"{number:,} rows {more}"


def refuse_past(clock: int | None, until_ms: int) -> None:
    """LoyaltyError where ticks up to `until_ms` would change nothing because the clock is past it."""
    if clock is not None and clock > until_ms:
        raise LoyaltyError(
            f"the clock is at {utc_iso(clock)}, past the end of these rows ({utc_iso(until_ms)}): ticks from them "
            "would change nothing. Leave out --ticks (the rows count at the next tick), give a later --until-ms, or "
            "begin anew with empty servers (loyalty stack down, an empty LOYALTY_DATA_DIR, loyalty stack up)"
        )


# ---- writing


class Sender:
    """Batches for Kafka, placed by ourselves; `flush` returns once all that was added is acknowledged. heads: how
    records are framed where there is a schema registry.

    Batches are filled here and handed over whole: 70,000 to 80,000 records a second with a flush at every 430th, where
    kafka-python's producer, which takes records one by one, came to 7,000.
    """

    def __init__(self, producer: AIOKafkaProducer, heads: Heads | None = None) -> None:
        self.producer, self._heads = producer, heads or {}
        self._open: dict[tuple[str, int], Any] = {}
        self._sent: deque[tuple[str, Any]] = deque()

    async def add(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Iterable[Any] = ()
    ) -> None:
        """One record. Raises LoyaltyError if an earlier one was refused."""
        place, value = (topic, partition), reframed(self._heads, topic, value)
        batch = self._open.get(place)
        if batch is None:
            batch = self._open[place] = self.producer.create_batch()
        if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
            await self._send(place)
            batch = self._open[place] = self.producer.create_batch()
            added = batch.append(key=key, value=value, timestamp=None, headers=list(headers))
            assert added is not None, "an empty batch takes any record"

    async def flush(self) -> None:
        """Returns once everything is acknowledged. Raises LoyaltyError."""
        for place in list(self._open):
            await self._send(place)
        while self._sent:
            await self._acknowledged()

    async def _send(self, place: tuple[str, int]) -> None:
        batch = self._open.pop(place)
        batch.close()
        topic, partition = place
        self._sent.append((topic, await self.producer.send_batch(batch, topic, partition=partition)))
        while len(self._sent) > _IN_FLIGHT_MAX:
            await self._acknowledged()

    async def _acknowledged(self) -> None:
        topic, future = self._sent.popleft()
        try:
            await future
        except KafkaError as error:
            raise LoyaltyError(f"Kafka did not take a batch for {topic}: {error}; import the same again: "
                               "what is there already changes nothing") from error  # fmt: skip


def producer_for(settings: Settings) -> AIOKafkaProducer:
    """A producer that repeats itself without doubling anything; to be started and stopped."""
    return AIOKafkaProducer(
        **settings.kafka.options(),
        client_id="loyalty-import",
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES,
        max_request_size=topics.RECORD_BYTES_MAX + _BATCH_BYTES,
        request_timeout_ms=60_000,
    )


class Ticking(NamedTuple):
    """Ticks to write with the rows. times: rising, the last is the end. after: by partition, its clock so far."""

    times: Iterator[int]
    until_ms: int
    after: dict[int, int | None]
    policy: Policy
    mark: str


async def write_feed(
    sender: Sender, feed: Iterable[Item], partitions: int, ticking: Ticking | None, resume_ms: int | None,
    progress: Progress,
) -> Done:  # fmt: skip
    """All of `feed` but what lies up to `resume_ms` (it is there) or after the last tick, with the ticks between."""
    if ticking is None:
        return await _write_rows(sender, feed, partitions, progress)
    await policies.publish(sender.producer, ticking.policy)  # before a tick names it
    ticks = _Ticks(sender, ticking, resume_ms)
    written = skipped = left_out = 0
    topic = ""
    for item in feed:
        if resume_ms is not None and item.at <= resume_ms:
            skipped += 1
            continue
        if item.at > ticking.until_ms:
            left_out += 1
            continue
        if ticks.next_at is not None and item.at > ticks.next_at:
            progress.advance(written + skipped - ticks.shown)
            ticks.shown = written + skipped
            progress.tell(utc_iso(item.at)[:10])
            await ticks.up_to(item.at)
        if item.topic != topic:  # one after the other: a worker that reads meanwhile then meets them in order of time
            await sender.flush()
            topic = item.topic
        await sender.add(item.topic, partition_of(item.key, partitions), item.key, item.value)
        ticks.pending = True
        written += 1
    await ticks.up_to(None)
    await sender.flush()
    progress.advance(written + skipped + left_out - ticks.shown)
    return Done(written, skipped, left_out, ticks.count)


async def _write_rows(sender: Sender, feed: Iterable[Item], partitions: int, progress: Progress) -> Done:
    written = 0
    for written, item in enumerate(feed, 1):
        await sender.add(item.topic, partition_of(item.key, partitions), item.key, item.value)
        if written % 1000 == 0:
            progress.advance(1000)
    await sender.flush()
    progress.advance(written % 1000)
    return Done(written, 0, 0, 0)


class _Ticks:
    """Writes the ticks in their turn."""

    def __init__(self, sender: Sender, ticking: Ticking, resume_ms: int | None) -> None:
        self._sender, self._ticking = sender, ticking
        lowest = min((-1 if at is None else at for at in ticking.after.values()), default=-1)
        self._times = (at for at in ticking.times if at > lowest and (resume_ms is None or at > resume_ms))
        self.next_at = next(self._times, None)
        self.pending = False  # rows not yet acknowledged
        self.count = self.shown = 0

    async def up_to(self, before_ms: int | None) -> None:
        """All ticks before `before_ms` (None: all), the first of them once the rows so far are acknowledged."""
        while self.next_at is not None and (before_ms is None or self.next_at < before_ms):
            if self.pending:
                await self._sender.flush()
                self.pending = False
            await self._write(self.next_at)
            self.next_at = next(self._times, None)

    async def _write(self, at: int) -> None:
        value = codec.write(topics.TICKS, {"at": at, "policy": self._ticking.policy.key})
        headers = (
            (CLOCK_HEADER, CLOCK_OF_DATA),
            (IMPORT_HEADER, self._ticking.mark.encode()),
            (UNTIL_HEADER, b"%d" % self._ticking.until_ms),
        )
        for partition, clock in self._ticking.after.items():
            if clock is None or at > clock:
                await self._sender.add(topics.TICKS, partition, None, value, headers)
        self.count += 1
