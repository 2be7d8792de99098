"""The partitions that this worker owns right now: a runner for each, from its assignment to its leave.

    assigned -> start (epoch, fence) -> seek -> open (records are delivered) -> leaving -> stopped
                  ^------------------------------- outage, fenced -------'

Starting is done in the background, so that a rebalance never waits for Redis; leaving is waited for, with a deadline,
before the partition may go to another worker. Past the deadline the fence alone keeps two owners apart, as after a
crash.

An outage of Redis or Kafka is waited out: the partition starts again from its fence. Anything else that a runner raises
is a reason to end the worker: `failed` is set, `error` says why.

A record set that names a schema id nobody knows yet is held back, and what follows it on its topic, until the registry
has said what the id is: the loop sees only what it can decode. Its topic is then neither at its end nor read on, so the
partition waits as for a slow fetch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, cast

from aiokafka.errors import KafkaError, ProducerFenced

from sinks.store import StoreUnavailable
from streams.partition import Fenced, PartitionStopped
from streams.record_sets import RecordSet
from streams.time_order import End, KafkaRecord

log = logging.getLogger("loyalty.worker")

OUTAGES: Final = (StoreUnavailable, KafkaError, ConnectionError, TimeoutError)

LEAVE_DEADLINE_S: Final = 20.0
"""For the commit in flight and the publisher's last transaction; well below the group's rebalance timeout (60 s), after
which the others would go on without us."""

OUTAGE_PAUSE_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
FENCED_PAUSE_S: Final = (0.2, 1.0, 2.0, 4.0, 8.0)
"""After another took the partition over: time for the group to tell us. Fenced once more after the last, we give up."""

QUIET_S: Final = 60.0
"""After so long without either, pauses begin anew."""


class RunnerPort(Protocol):
    """What is needed of `streams.runner.Runner`. `stop` may come at any time."""

    progress: int

    @property
    def idle(self) -> bool: ...
    @property
    def positions(self) -> Mapping[str, int]: ...
    def deliver(self, topic: str, records: Any, position: int) -> None: ...
    def wanted(self, topic: str) -> bool: ...
    async def start(self) -> Mapping[str, int]: ...
    async def run(self) -> None: ...
    async def stop(self) -> None: ...
    async def published(self) -> bool: ...


class Input(Protocol):
    """What is needed of the consumer (`streams.transport.RecordSetConsumer`)."""

    def close_partitions(self, partitions: Iterable[int] | None = None) -> None: ...
    async def seek_fence(self, partition: int, fence: Mapping[str, int]) -> tuple[int, dict[str, int]]: ...
    async def stable_ends(self, partition: int) -> dict[str, int]: ...
    def known_end(self, topic: str, partition: int) -> int | None: ...


class Ids(Protocol):
    """What is needed of `streams.schema_ids.SchemaIds`. learn: returns once there is an answer for each."""

    waiting: str

    def unknown(self, values: Iterable[bytes | None]) -> set[int]: ...
    async def learn(self, ids: Iterable[int]) -> None: ...


class _Owned:
    """One partition. `seek`, `places`: of the last seek, and topic to position handed over since; seek 0: not open.
    `held`: by topic the sets that wait for the schema registry, in their order; `holding`: the tasks that wait."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.leaving = asyncio.Event()
        self.runner: RunnerPort | None = None
        self.seek = 0
        self.places: dict[str, int] = {}
        self.held: dict[str, deque[RecordSet]] = {}
        self.holding: set[asyncio.Task[None]] = set()
        self.task: asyncio.Task[None] | None = None


class Ownership:
    """`make`: a fresh runner of a partition. `source`: the consumer. `ids`: of schemas; None: there is no registry."""

    def __init__(self, make: Callable[[int], RunnerPort], source: Callable[[], Input], ids: Ids | None = None) -> None:
        self._make, self._source, self._ids = make, source, ids
        self._owned: dict[int, _Owned] = {}
        self._left: dict[tuple[str, int], int] = {}
        self._past_progress = 0
        self.assignments = 0
        self.failed = asyncio.Event()
        self.error: BaseException | None = None

    # -- what the group says

    def assigned(self, partitions: Iterable[int]) -> None:
        """These are ours from now on; those of before have been released."""
        self.assignments += 1
        self._left.clear()
        for partition in sorted(partitions):
            owned = self._owned[partition] = _Owned(partition)
            owned.task = asyncio.create_task(self._keep(owned), name=f"partition-{partition}")
        log.info("assigned partitions %s", list(self._owned) or "none")

    async def release(self) -> None:
        """Stop all: finish the commit in flight, stop the publishers. Returns after LEAVE_DEADLINE_S at the latest."""
        began = time.monotonic()
        tasks = [owned.task for owned in self._owned.values() if owned.task is not None]
        for owned in self._owned.values():
            owned.leaving.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LEAVE_DEADLINE_S)
            for task in late:
                log.warning("%s did not stop within %g s: left to the fence", task.get_name(), LEAVE_DEADLINE_S)
                task.cancel()
        if self._owned:
            log.info("released partitions %s in %.2f s", list(self._owned), time.monotonic() - began)
        self._owned.clear()
        self._source().close_partitions()

    # -- what the consumer asks

    def wanted(self, topic: str, partition: int) -> bool:
        """Whether more of the topic-partition should be fetched. Called from another thread: it only looks."""
        owned = self._owned.get(partition)
        if owned is None or not owned.seek:
            return False
        runner = owned.runner
        return runner is not None and topic not in owned.held and runner.wanted(topic)

    def expects(self, record_set: RecordSet) -> bool:
        """Whether it was read after the last seek; older ones are refused."""
        owned = self._owned.get(record_set.partition)
        return owned is not None and owned.seek == record_set.seek

    def deliver(self, record_set: RecordSet) -> None:
        """To its runner, at once unless the schema registry is to be asked before, or is for one before it."""
        owned = self._owned.get(record_set.partition)
        if owned is None or owned.seek != record_set.seek:
            return
        if (held := owned.held.get(record_set.topic)) is not None:
            held.append(record_set)
        elif self._ids is not None and self._ids.unknown(_values(record_set)):
            owned.held[record_set.topic] = deque((record_set,))
            holding = asyncio.create_task(self._hold(owned, record_set.topic, self._ids))
            owned.holding.add(holding)
            holding.add_done_callback(owned.holding.discard)
        else:
            self._hand_over(owned, record_set)

    async def _hold(self, owned: _Owned, topic: str, ids: Ids) -> None:
        """Hand the topic's held sets over, each as soon as what it names is known."""
        held = owned.held[topic]
        try:
            while held:
                while unknown := ids.unknown(_values(held[0])):
                    await ids.learn(unknown)
                self._hand_over(owned, held.popleft())
            del owned.held[topic]
        except Exception as error:
            self._fail(error)

    def _hand_over(self, owned: _Owned, record_set: RecordSet) -> None:
        """Sets join without a hole; one that does not is our own fault and ends the worker."""
        if owned.runner is None:
            return
        topic, place = record_set.topic, owned.places[record_set.topic]
        try:
            assert place == record_set.start, (
                f"{topic}[{owned.partition}]: a set begins at {record_set.start}, not {place}"
            )
            owned.places[topic] = record_set.position
            owned.runner.deliver(topic, cast("list[KafkaRecord]", record_set.records), record_set.position)
        except Exception as error:
            self._fail(error)

    def lost(self, partition: int, error: Exception) -> None:
        """The partition cannot be read on."""
        self._fail(error)

    def mirror(self) -> Mapping[tuple[str, int], int]:
        """Topic-partition to fence, and past what carries no record where nothing waits: then lag tools show none."""
        at = dict(self._left)
        for owned in self._owned.values():
            at.update(_mirrored(owned))
        return at

    def lags(self) -> dict[tuple[str, int], int]:
        """Topic-partition to records not committed yet, as of the last fetch; markers count where something waits."""
        source, lags = self._source(), {}
        for (topic, partition), position in self.mirror().items():
            if (end := source.known_end(topic, partition)) is not None:
                lags[topic, partition] = max(0, end - position)
        return lags

    # -- what others ask

    async def ends(self, partition: int) -> Mapping[str, End]:
        """Position handed over and last stable offset, asked for now, of each input topic.

        Waits out an outage of Kafka. Raises Fenced where the partition leaves meanwhile.
        """
        owned = self._owned.get(partition)
        for attempt in range(1_000_000):
            if owned is None or owned.leaving.is_set():
                break
            if owned.holding:
                await _unless(owned.leaving, _done(list(owned.holding)))
                continue
            try:
                ends = await _unless(owned.leaving, self._source().stable_ends(partition))
            except OUTAGES as outage:
                await _pause(owned.leaving, OUTAGE_PAUSE_S, attempt)
                log.warning("partition %d waits for Kafka: %r", partition, outage, extra={"partition": partition})
                continue
            if ends is None:
                break
            return {topic: End(owned.places.get(topic, 0), end) for topic, end in ends.items()}
        raise Fenced(f"partition {partition}: left while it asked where its topics end")

    @property
    def partitions(self) -> list[int]:
        """Those owned, open or not."""
        return list(self._owned)

    @property
    def standing(self) -> list[int]:
        """Those owned that stand at their fence and read."""
        return [owned.partition for owned in self._owned.values() if owned.seek]

    def owns(self, partition: int) -> bool:
        """Whether the partition is ours and not leaving."""
        owned = self._owned.get(partition)
        return owned is not None and not owned.leaving.is_set()

    def state(self) -> str:
        """A line about each partition, for a log."""
        told = [
            f"{owned.partition}: {'open' if owned.seek else 'not open'}, {dict(owned.places)}"
            for owned in self._owned.values()
        ]
        return "; ".join(told) or "none assigned"

    async def work_waits(self) -> bool:
        """Whether there is something to do: a partition that is not open, not idle, or not read to its end."""
        if self.held_back:
            return False  # the registry is waited for
        for owned in list(self._owned.values()):
            if not owned.seek or owned.runner is None or not owned.runner.idle:
                return True
            ends = await self.ends(owned.partition)
            if any(end.position < end.end for end in ends.values()):
                return True
        return False

    @property
    def held_back(self) -> str:
        """Which partitions wait for the schema registry, and why; empty: none."""
        waiting = [owned.partition for owned in self._owned.values() if owned.held]
        why = "" if self._ids is None else self._ids.waiting
        return f"partitions {waiting} wait for the schema registry: {why or 'it is being asked'}" if waiting else ""

    @property
    def ready(self) -> bool:
        """Assigned at least once, and each partition stands at its fence."""
        return self.assignments > 0 and all(owned.seek for owned in self._owned.values())

    @property
    def progress(self) -> int:
        """Grows with every effect done."""
        return self._past_progress + sum(o.runner.progress for o in self._owned.values() if o.runner is not None)

    async def caught_up(self) -> bool:
        """All input is folded and all outputs are published, as far as one look can tell: ask twice, for what was
        published last may come back as input."""
        if not self.ready:
            return False
        for owned in list(self._owned.values()):
            if not await self._caught_up(owned):
                return False
        return True

    async def _caught_up(self, owned: _Owned) -> bool:
        runner = owned.runner
        if runner is None or not owned.seek or not runner.idle or owned.held:
            return False
        try:
            if not await runner.published():
                return False
            ends = await self.ends(owned.partition)
        except (Fenced, *OUTAGES):
            return False
        return runner.idle and all(end.position >= end.end for end in ends.values())

    # -- the life of one partition

    async def _keep(self, owned: _Owned) -> None:
        """Own it until it leaves: again from its fence after an outage, or after another took it for a moment."""
        failures, began = 0, time.monotonic()
        while not owned.leaving.is_set():
            if time.monotonic() - began > QUIET_S:
                failures = 0
            began = time.monotonic()
            try:
                await self._own(owned)
            except (Fenced, ProducerFenced) as error:
                if owned.leaving.is_set():
                    return
                if failures == len(FENCED_PAUSE_S):
                    self._fail(PartitionStopped(_contested(owned.partition, error)))
                    return
                log.warning(
                    "partition %d starts again from its fence: %s",
                    owned.partition,
                    error,
                    extra={"partition": owned.partition},
                )
                await _pause(owned.leaving, FENCED_PAUSE_S, failures)
                failures += 1
            except OUTAGES as outage:
                log.warning(
                    "partition %d waits and starts again from its fence: %r",
                    owned.partition,
                    outage,
                    extra={"partition": owned.partition},
                )
                await _pause(owned.leaving, OUTAGE_PAUSE_S, failures)
                failures = min(failures + 1, len(FENCED_PAUSE_S) - 1)
            except Exception as error:
                self._fail(error)
                return

    async def _own(self, owned: _Owned) -> None:
        """One runner, from start to stop; returns when the partition leaves."""
        runner = self._make(owned.partition)
        stopping: asyncio.Future[None] | None = None
        try:
            if await _unless(owned.leaving, self._open(owned, runner)) is None:
                return
            running = asyncio.create_task(runner.run())
            leaving = asyncio.create_task(owned.leaving.wait())
            try:
                await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
                stopping = asyncio.ensure_future(runner.stop())  # ends `run` after the effect under way
                await running
            finally:
                leaving.cancel()
                running.cancel()
        finally:
            owned.seek = 0
            for holding in owned.holding:
                holding.cancel()
            owned.held.clear()
            self._source().close_partitions([owned.partition])
            await (stopping or runner.stop())
            self._left.update(_mirrored(owned))
            self._past_progress += runner.progress
            owned.runner = None

    async def _open(self, owned: _Owned, runner: RunnerPort) -> bool:
        fence = await runner.start()
        seek, places = await self._source().seek_fence(owned.partition, fence)
        owned.places, owned.runner, owned.seek = places, runner, seek
        log.debug("partition %d reads from %s", owned.partition, places, extra={"partition": owned.partition})
        return True

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            self.failed.set()
        if not isinstance(error, PartitionStopped):
            log.error("worker fails: %r", error, exc_info=error)


def _values(record_set: RecordSet) -> Iterator[bytes | None]:
    return (record.value for record in record_set.records)


async def _done(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


def _mirrored(owned: _Owned) -> dict[tuple[str, int], int]:
    runner = owned.runner
    if runner is None:
        return {}
    at = {**runner.positions, **(owned.places if runner.idle else {})}
    return {(topic, owned.partition): position for topic, position in at.items()}


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` returns; None where `event` came first, and `work` is then cancelled."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        waiting.cancel()
        if not working.done():
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, *OUTAGES):
                await working


async def _pause(unless: asyncio.Event, pauses_s: tuple[float, ...], attempt: int) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(unless.wait(), pauses_s[max(0, min(attempt, len(pauses_s) - 1))])


def _contested(partition: int, error: BaseException) -> str:
    return (
        f"partition {partition} was taken over again and again ({error}), though the group gives it to this worker: "
        f"another group works on the same Redis; give each its own LOYALTY_PREFIX, or one LOYALTY_GROUP to both"
    )
