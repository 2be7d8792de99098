"""One worker process, from its first look at the servers to its exit code.

    0   on SIGTERM or SIGINT, after the commits in flight, with its partitions handed over; or caught up, where asked to
    1   when a partition cannot go on, when something crashed, or when nothing moves though there is work

Servers that are away at the start are waited for (START_PATIENCE_S), later on for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from prometheus_client import CollectorRegistry

from processors.events import Tick
from processors.policy import Policy
from schemas.topics import TOPICS
from sinks.access import KafkaAccess
from sinks.metrics import Seen
from sinks.store import StoreUnavailable
from streams import logs, refusals
from streams.app import LoyaltyApp, build_app
from streams.ending import cancelled
from streams.event_loop import loop_factory
from streams.health import HealthServer
from streams.leader import LiveClock, last_ticks
from streams.ownership import Ids, RunnerPort
from streams.partition import PartitionStopped
from streams.settings import NO_ERASE_KEY, LoyaltyError, NotThere, Settings
from streams.shares import Shares, asked, tell, tells
from streams.topics_admin import check_topics, partitions_of

log = logging.getLogger("loyalty.worker")

T = TypeVar("T")

START_PATIENCE_S: Final = 60.0
_START_PAUSE_S: Final = 1.0

STOP_DEADLINE_S: Final = 15.0
"""For Faust to leave the group and end its thread, after our own partitions have been stopped."""

GC_THRESHOLD: Final = (50_000, 20, 100)
"""A batch makes tens of thousands of objects, none of them in a cycle: the collector's default would look through them
every 700."""

LOOK_S: Final = 2.0
LIVE_S: Final = 60.0
"""So long nothing may move, though there is work and both servers answer, before /livez fails ..."""
STALLED_S: Final = 180.0
"""... and before the worker ends itself, where nobody asks /livez."""

_CAUGHT_UP_LOOK_S: Final = 0.1
_LEAD_LOOK_S: Final = 0.1
_SERVERS_ANSWER_S: Final = 10.0

LEADING_PARTITION: Final = 0


class Parts(Protocol):
    """What a worker works with, made by `streams.assembly`; the tests make their own."""

    @property
    def policy(self) -> Policy: ...
    @property
    def registry(self) -> CollectorRegistry: ...
    @property
    def schema_ids(self) -> Ids | None: ...
    def runner(self, partition: int, app: LoyaltyApp) -> RunnerPort: ...
    async def open(self) -> None: ...
    async def writable(self) -> None: ...
    def seen(self, seen: Seen) -> None: ...
    def forget(self, partition: int) -> None: ...
    async def close(self) -> None: ...


class Worker:
    """`until_caught_up`: end once all input is folded and all outputs are published."""

    def __init__(self, settings: Settings, parts: Parts, *, until_caught_up: bool) -> None:
        self._settings, self._parts, self._until_caught_up = settings, parts, until_caught_up
        self._app = build_app(settings, lambda partition: parts.runner(partition, self._app), parts.schema_ids)
        self._shares = Shares(settings)
        self._said: Mapping[int, Tick] = {}
        self._stop = asyncio.Event()
        self._still_since = time.monotonic()
        self._clock: LiveClock | None = None
        self._last_tick_ms: int | None = None
        self.health = HealthServer(parts.registry, self._not_live, self._not_ready, settings.metrics_token)
        self.hung = False

    @property
    def owner(self) -> Any:
        """The partitions that this worker owns."""
        return self._app.owner

    async def run(self) -> None:
        """Until a signal, or caught up where asked to. Raises what ended it otherwise."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        await self.health.start(*self._settings.metrics_address)
        try:
            if await self._first(self._stop.wait(), self._prepare()) is self._stop:
                return
            await self._work()
        finally:
            await self._shut_down()

    async def _work(self) -> None:
        self._still_since = time.monotonic()
        await self._app.start()
        jobs: list[Coroutine[Any, Any, Any]] = [self._failure(), self._crash(), self._watch()]
        if self._until_caught_up:
            jobs.append(self._caught_up())
        elif self._settings.clock == "wall":
            jobs.append(self._lead())
        await self._first(self._stop.wait(), *jobs)

    async def _first(self, stopping: Coroutine[Any, Any, Any], *jobs: Coroutine[Any, Any, Any]) -> Any:
        """Run all until one ends, raise what it raised; `self._stop` where the signal came first."""
        tasks = [asyncio.create_task(job) for job in (stopping, *jobs)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return self._stop if tasks[0] in done else None
        finally:
            await cancelled(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # asked for, so that asyncio does not tell of it: what ended us is raised above

    # -- before

    async def _prepare(self) -> None:
        """Both servers answer and hold what this release can work with. Raises LoyaltyError."""
        settings = self._settings
        await self._wait_for(lambda: asyncio.to_thread(_check_inputs, settings.kafka, settings.partitions))
        if settings.clock == "wall" and not self._until_caught_up:
            await asyncio.to_thread(last_ticks, settings.kafka)
        await self._wait_for(self._parts.open)

    async def _wait_for(self, call: Callable[[], Awaitable[T]]) -> T:
        give_up = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                return await call()
            except NotThere:
                raise
            except (LoyaltyError, StoreUnavailable) as away:
                if time.monotonic() > give_up:
                    raise
                log.warning("waiting: %s", away)
            await asyncio.sleep(_START_PAUSE_S)

    # -- meanwhile

    async def _failure(self) -> None:
        await self.owner.failed.wait()
        raise self.owner.error

    async def _crash(self) -> None:
        """Faust ends without being asked: a service of its crashed."""
        await self._app.wait_until_stopped()
        raise self._app.crash_reason or RuntimeError("the consumer stopped by itself")

    async def _caught_up(self) -> None:
        """Two looks in a row that find all done, and nothing done between them."""
        before: tuple[int, int] | None = None
        while True:
            now = (self.owner.progress, self.owner.assignments)
            clean = await self.owner.caught_up()
            if clean and before == now and await self._shares_told():
                log.info("caught up: all input is folded, all outputs are published")
                return
            before = now if clean else None
            await asyncio.sleep(_CAUGHT_UP_LOOK_S)

    async def _shares_told(self) -> bool:
        """Whether all partitions know the thresholds of top shares (V5), and how employees serve (E2); else the leading
        one's owner tells them."""
        if not tells(self._parts.policy) or not self.owner.owns(LEADING_PARTITION):
            return True
        try:
            ticks = await asyncio.to_thread(self._shares.still_to_tell)
            if ticks and ticks == self._said:
                return True  # said and not taken, as by the grade of who was erased at that very instant (D4)
            if ticks:
                log.info("what all partitions must know goes to %d of them by a tick", len(ticks))
                await tell(self._settings, ticks)
                self._said = ticks
        except Exception as away:
            if refusals.told(away) is None and not isinstance(away, LoyaltyError):
                raise
            log.warning("what all partitions must know waits: %s", away)
            return False
        return ticks == {}

    async def _lead(self) -> None:
        """Be the clock while the leading partition is ours."""
        while True:
            while not self.owner.owns(LEADING_PARTITION):
                await asyncio.sleep(_LEAD_LOOK_S)
            policy = self._parts.policy
            shares = partial(self._shares.of, policy) if asked(policy) else None
            served = partial(self._shares.served, policy) if policy.grades else None
            clock = LiveClock(self._settings.kafka, policy, self._settings.tick_ms, shares=shares, served=served)
            leading = asyncio.create_task(clock.run())
            self._clock = clock
            try:
                while self.owner.owns(LEADING_PARTITION) and not leading.done():
                    await asyncio.wait({leading}, timeout=_LEAD_LOOK_S)
                if leading.done():
                    leading.result()
            finally:
                self._clock = None
                await cancelled({leading})

    async def _watch(self) -> None:
        """Raises PartitionStopped where nothing moves for STALLED_S though there is work and both servers answer."""
        before = -1
        while True:
            await asyncio.sleep(LOOK_S)
            writable = await self._writable()
            now = self.owner.progress
            if now != before or not writable or not await self._work_waits():
                before, self._still_since = now, time.monotonic()
            self._look(writable)
            if (still := time.monotonic() - self._still_since) > STALLED_S:
                raise PartitionStopped(
                    f"nothing has moved for {still:.0f} s though there is work and Kafka and Redis answer; "
                    f"start the worker again, and report its log: {self.owner.state()}"
                )

    def _look(self, writable: bool) -> None:
        """Tell /metrics how we stand."""
        owner = self.owner
        still = time.monotonic() - self._still_since
        if self._clock is not None:
            self._last_tick_ms = self._clock.last_at
        self._parts.seen(
            Seen(
                owned=owner.partitions,
                standing=owner.standing,
                assignments=owner.assignments,
                lags=owner.lags(),
                leads=self._clock is not None,
                last_tick_ms=self._last_tick_ms,
                stalled_s=still if still >= LOOK_S else 0.0,
                writable=writable,
            )
        )

    async def _writable(self) -> bool:
        """Whether Redis takes writes."""
        try:
            async with asyncio.timeout(_SERVERS_ANSWER_S):
                await self._parts.writable()
        except Exception as away:
            log.debug("no watch while Redis takes no writes: %r", away)
            return False
        return True

    async def _work_waits(self) -> bool:
        """Whether something is to be done that could be: not during an outage of Kafka."""
        try:
            async with asyncio.timeout(_SERVERS_ANSWER_S):
                return bool(self._app.rebalancing or await self.owner.work_waits())
        except Exception as away:
            log.debug("no watch during an outage: %r", away)
            return False

    # -- health

    def _not_live(self) -> list[str]:
        still = time.monotonic() - self._still_since
        return [f"nothing has moved for {still:.0f} s though there is work"] if still > LIVE_S else []

    async def _not_ready(self) -> list[str]:
        wrong = [] if self.owner.ready else [f"partitions are not at their fences yet: {self.owner.state()}"]
        try:
            async with asyncio.timeout(_SERVERS_ANSWER_S):
                await self._parts.writable()
        except Exception as away:
            wrong.append(f"Redis takes no writes: {type(away).__name__}: {away}")
        if self.owner.held_back:
            wrong.append(self.owner.held_back)
        return wrong

    # -- after

    async def _shut_down(self) -> None:
        app = self._app
        if app.started:
            owned = app.owner.partitions
            await app.owner.release()
            for partition in owned:
                self._parts.forget(partition)
            await app.source.force_commit()
            try:
                async with asyncio.timeout(STOP_DEADLINE_S):
                    await app.stop()
            except TimeoutError:
                log.error("the consumer did not end within %g s", STOP_DEADLINE_S)
                self.hung = True
        await self._parts.close()
        await self.health.stop()


def _check_inputs(kafka: KafkaAccess, partitions: int) -> None:
    """Raises NotThere where a topic is missing or has another number of partitions."""
    found = check_topics(kafka, partitions)
    wrong = [
        f"topic {row.name} {told}"
        for row in found
        if row.partitions != partitions_of(TOPICS[row.name], partitions)
        for told in row.wrong[:1]
    ]
    if wrong:
        raise NotThere("\n".join(wrong))
    for row in found:
        for told in row.wrong:
            log.warning("topic %s %s", row.name, told)


def run(settings: Settings, parts: Callable[[], Parts], *, until_caught_up: bool) -> int:
    """A worker in this process, with a loop of its own. Its exit code; LoyaltyError for what is expected."""
    logs.set_up(settings.log, form=settings.logs)
    if not settings.erase_key:
        log.warning(NO_ERASE_KEY)
    worker: Worker | None = None

    async def main() -> None:
        nonlocal worker
        worker = Worker(settings, parts(), until_caught_up=until_caught_up)
        await worker.run()

    try:
        with asyncio.Runner(loop_factory=loop_factory(settings)) as runner:
            runner.run(main())
    except PartitionStopped as stopped:
        raise LoyaltyError(str(stopped)) from stopped
    except LoyaltyError:
        raise
    except Exception as error:
        if (told := refusals.told(error)) is not None and "refuses" in told:
            raise LoyaltyError(told) from error
        log.exception("the worker crashed")
        return 1
    finally:
        if worker is not None and worker.hung:
            logging.shutdown()
            with contextlib.suppress(Exception):
                os._exit(1)  # a thread of the consumer's would keep the process for ever
    return 0
