"""Drives one partition's loop: does the effects that the loop asks for, one at a time, and waits out outages.

Nothing here decides anything about customers. A lost reply is answered by doing the effect again: the commit script
tells a repeat from news, and loads change nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic, perf_counter, time
from typing import Final, NamedTuple, Protocol, TypeVar

from processors.policy import Policy
from schemas.told import LastTold
from sinks.commit import Answer, Commit, Fence, Load, Loaded
from sinks.metrics import Metrics
from sinks.outbox import OutboxAhead
from sinks.position import Position
from sinks.store import StoreUnavailable
from streams.partition import AskEnds, Effect, Fenced, NeedPolicy, PartitionLoop, PartitionStopped
from streams.plan import LoopConfig
from streams.recovery import Recovery, Target, back_again
from streams.time_order import End, KafkaRecord
from streams.told_log import DeadLetterLog, Telling

log = logging.getLogger("loyalty.runner")

T = TypeVar("T")

_ASK_AGAIN_S: Final = 0.02
"""Pause before asking again for ends that have not been reached: a marker or gap passes without a record."""

LATE_S: Final = 1.0
"""Who commits what the broker took longer ago than this is behind: then the core is for the fold, not for publishing.
Live, something always waits in some buffer, and says nothing."""

BREATH_S: Final = 0.02
"""Behind a fold that took longer sockets are served before another partition's begins. Twelve in a row would hold up
heartbeats, probes and answers of Redis that have long come."""

_OUTAGE_PAUSE_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


class StorePort(Protocol):
    """What the runner needs of the store (`sinks/store.py`)."""

    async def take_epoch(self, partition: int) -> Fence: ...
    async def fence(self, partition: int) -> Fence: ...
    async def load(self, partition: int, load: Load) -> Loaded: ...
    async def commit(self, commit: Commit) -> Answer: ...
    async def names(self, partition: int) -> Sequence[str]: ...
    def mark(self, customer_id: str) -> str: ...


class PublisherPort(Protocol):
    """What the runner needs of the outbox publisher (`sinks/outbox.py`)."""

    def wake(self, behind: bool = False) -> None: ...
    async def start(self, fence: Fence) -> None: ...
    async def told(self) -> Mapping[str, LastTold]: ...
    async def erased(self) -> Mapping[str, int]: ...
    async def drained(self) -> bool: ...
    async def stop(self) -> None: ...


class Policies(Protocol):
    """Policies by key, as found in the topic `policies`; None: there is none."""

    async def find(self, key: str) -> Policy | None: ...


class Shared(NamedTuple):
    """What the runners of one worker share. core: whose turn it is to fold; telling: logs and traces."""

    policies: Policies
    metrics: Metrics
    config: LoopConfig
    core: asyncio.Lock
    telling: Telling


class Runner:
    """One partition. Life: start, run (with deliveries), stop."""

    def __init__(
        self,
        partition: int,
        *,
        store: StorePort,
        publisher: PublisherPort,
        ends: Callable[[int], Awaitable[Mapping[str, End]]],
        shared: Shared,
    ) -> None:
        self.partition = partition
        self.progress = 0
        self._store, self._publisher, self._ends = store, publisher, ends
        self._policies, self._metrics, self._config, self._core, telling = shared
        self._dead_letters = DeadLetterLog(partition, telling.marks)
        self._trace = None if telling.traces is None else telling.traces.of(partition)
        self._loop: PartitionLoop | None = None
        self._news = asyncio.Event()
        self._stopping = self._running = self._displaced = self._late = False
        self._finished = asyncio.Event()
        self._asked_at: tuple[int, float] = (-1, 0.0)

    async def start(self) -> Mapping[str, int]:
        """Take a new epoch and read the fence; the positions to seek to (a topic that is absent: the beginning)."""
        fence = await self._patiently(lambda: self._store.take_epoch(self.partition))
        try:
            await self._publisher.start(fence)
        except OutboxAhead as ahead:
            log.warning("%s", ahead)
            self._loop = Recovery(self.partition, fence, await self._target(ahead.position), self._config)
        else:
            self._loop = PartitionLoop(self.partition, fence, self._config)
        return fence.positions

    async def _target(self, position: Position) -> Target:
        """What a recovery leads to: up to `position`, what was told and who was erased."""
        told, erased = await self._publisher.told(), await self._publisher.erased()
        names = await self._patiently(lambda: self._store.names(self.partition)) if erased else ()
        return Target(
            position.seq, position.clock, position.positions, told, erased, back_again(names, self._store.mark, erased)
        )

    def deliver(self, topic: str, records: Sequence[KafkaRecord], position: int) -> None:
        """A record set of this partition; never blocks."""
        if self._loop is not None:
            began = perf_counter()
            self._loop.receive(topic, records, position)
            if self._trace is not None:
                self._trace.received(topic, records)
            self._metrics.took("decode", perf_counter() - began)
            self._news.set()

    def wanted(self, topic: str) -> bool:
        """Whether more of the topic should be fetched."""
        return self._loop is None or self._loop.wanted(topic)

    @property
    def idle(self) -> bool:
        """Nothing buffered, nothing under way, nothing due up to the clock."""
        return self._loop is not None and self._loop.idle

    @property
    def positions(self) -> Mapping[str, int]:
        """What is committed: topic to next position."""
        return {} if self._loop is None else self._loop.positions

    async def published(self) -> bool:
        """Whether all outputs have left a Redis that stands where the loop left it.

        Who has nothing to commit would not notice one that fell back, and has no publisher any more: then `run` raises
        Fenced.
        """
        loop, before = self._loop, self.progress
        if loop is None:
            return False
        drained = await self._publisher.drained()
        fence = await self._store.fence(self.partition)
        if self.progress != before or not loop.idle:
            return False
        self._displaced = loop.displaced(fence)
        self._news.set()
        return drained and not self._displaced

    async def run(self) -> None:
        """Until `stop`. Raises PartitionStopped; Fenced where somebody took over, or to start anew from the fence."""
        loop = self._loop
        assert loop is not None, "start() comes before run()"
        self._running = True
        try:
            while not self._stopping:
                self._news.clear()
                began = perf_counter()
                effect = loop.work()
                self._metrics.took("order", perf_counter() - began)
                if self._displaced:
                    raise Fenced(f"partition {self.partition}: Redis does not stand where it was left")
                if effect is None:
                    await self._news.wait()
                else:
                    await self._do(loop, effect)
                    self.progress += 1
                    if isinstance(loop, Recovery) and loop.done:
                        raise Fenced(f"partition {self.partition}: folded again up to what was published")
        finally:
            self._finished.set()

    async def stop(self) -> None:
        """Finish the effect under way, stop the publisher; what is buffered is read again by the next owner.

        May come at any time, before `run` too.
        """
        self._stopping = True
        self._news.set()
        if self._running:
            await self._finished.wait()
        await self._publisher.stop()

    async def _do(self, loop: PartitionLoop, effect: Effect) -> None:
        match effect:
            case Load():
                await self._load(loop, effect)
            case Commit():
                await self._commit(loop, effect)
            case AskEnds():
                await self._ask_ends(loop, effect)
            case NeedPolicy():
                policy = await self._patiently(lambda: self._policies.find(effect.key))
                if policy is None:
                    raise PartitionStopped(_no_policy(self.partition, effect.key))
                loop.policy(policy)

    async def _load(self, loop: PartitionLoop, load: Load) -> None:
        loaded, began = Loaded({}), perf_counter()
        if load.asks:
            loaded = await self._patiently(lambda: self._store.load(self.partition, load))
        self._took("load", perf_counter() - began)
        if loaded.fenced:
            self._metrics.fenced.inc()
        if load.due_until is not None:
            first = loaded.customers[loaded.due[0]] if loaded.due else None
            since = load.due_until if first is None or first.next_review == 0 else first.next_review  # 0: folded again
            self._metrics.due(self.partition, load.due_until - since)
        async with self._core:
            began = perf_counter()
            loop.loaded(loaded)
            seconds = perf_counter() - began
            loop.took(seconds)
            self._took("fold", seconds)
            if seconds > BREATH_S:
                await asyncio.sleep(0)

    async def _commit(self, loop: PartitionLoop, commit: Commit) -> None:
        if self._trace is not None:
            commit = self._trace.carried(commit)
        began = perf_counter()
        answer = await self._patiently(lambda: self._store.commit(commit))
        self._took("commit", perf_counter() - began)
        if self._trace is not None:
            self._trace.ended(answer)
        if answer is Answer.FENCED:
            self._metrics.fenced.inc()
        else:
            self._dead_letters.committed(commit)
        loop.committed(answer)
        now = time()
        self._metrics.committed(commit, perf_counter() - began, now)
        if commit.recorded:  # a tick alone tells nothing of how late we are
            self._late = min(commit.recorded) < (now - LATE_S) * 1_000
        if commit.outbox or commit.writes:
            self._publisher.wake(self._late and loop.behind)

    def _took(self, stage: str, seconds: float) -> None:
        self._metrics.took(stage, seconds)
        if self._trace is not None:
            self._trace.took(stage, seconds)

    async def _ask_ends(self, loop: PartitionLoop, effect: AskEnds) -> None:
        """Ask; where the same question was just answered, wait for a delivery or a moment first."""
        asked, at = self._asked_at
        if asked == effect.asked and (pause := _ASK_AGAIN_S - (monotonic() - at)) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
            if self._news.is_set():
                return
        self._asked_at = (effect.asked, monotonic())
        loop.ends(await self._ends(self.partition), effect.asked)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Do it until it is done: an outage of Redis is waited out, and nothing is lost meanwhile."""
        for attempt in range(1_000_000):
            try:
                return await call()
            except StoreUnavailable as outage:
                if self._stopping:
                    raise Fenced(f"partition {self.partition}: stopped while Redis was away") from outage
                pause = _OUTAGE_PAUSE_S[min(attempt, len(_OUTAGE_PAUSE_S) - 1)]
                told = {"partition": self.partition}
                log.warning("partition %d waits for Redis: %s", self.partition, outage, extra=told)
                await asyncio.sleep(pause)
        raise AssertionError("unreachable: a million pauses of a second")


def _no_policy(partition: int, key: str) -> str:
    return (
        f"partition {partition} is under the policy {key}, which the topic policies does not hold: start a worker once "
        f"with LOYALTY_POLICY set to that policy's file, which writes the text there"
    )
