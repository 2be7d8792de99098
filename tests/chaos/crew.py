"""Two workers that share all partitions, each on a host of its own, and the year that they fold part by part.

A host has a wall clock and its ways to Redis and to Kafka (`ill_worker.py`, `tests/proxy.py`): what ails one leaves the
other alone. A worker that is gone is replaced on its host. What befalls them is in `faults.py`.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, count
from random import Random
from types import TracebackType
from typing import Any

from msgspec import Struct

from tests.chaos.conftest import Year
from tests.chaos.world import Process, Seen, World, until
from tests.proxy import Proxy

RECOVERY_S = 90.0
"""A fault from which it takes longer is a bug."""

_KEPT = 5
_BATCHES = ("10", "30", "60")


class Host:
    """One host and the worker on it. redis, kafka: its ways there."""

    def __init__(self, world: World, number: int, hold: ExitStack) -> None:
        server, broker = world.stack.redis, world.stack.kafka
        self.redis = hold.enter_context(Proxy(server.host, server.port))
        self.kafka = hold.enter_context(Proxy(broker.host, broker.port))
        self._world, self._clock = world, world.folder / f"clock-{number}"
        self._ails = json.dumps({"clock": str(self._clock), "detours": {broker.port: self.kafka.port}})
        self.clock(0)
        self.worker: Process | None = None

    def start(self, batch: str) -> None:
        """A worker, just started."""
        redis = f"redis://127.0.0.1:{self.redis.port}/0"
        self.worker = self._world.start(
            "tests.chaos.ill_worker", "worker", CHAOS_HOST=self._ails, LOYALTY_REDIS=redis, LOYALTY_BATCH_RECORDS=batch
        )

    def clock(self, ahead_ms: int) -> None:
        """The wall clock jumps: it is wrong by so much from now on."""
        self._clock.write_text(str(ahead_ms))

    @property
    def running(self) -> Process:
        """Its worker, which must be there."""
        assert self.worker is not None
        assert self.worker.code is None, f"it ended by itself\n{self._world.tails()}"
        return self.worker


class Recovered(Struct, frozen=True):
    """One fault. middle: whether work was under way when it struck; lasted_s: until its cause was gone; recovered_s:
    from then on until all that had been written was folded and told."""

    kind: str
    middle: bool
    lasted_s: float
    recovered_s: float


class Crew:
    """`year` in parts as they are written, on `world`; what is drawn is drawn from `rng`."""

    def __init__(self, world: World, rng: Random, year: Year) -> None:
        self.world, self.rng, self.year = world, rng, year
        self._hold = ExitStack()
        self._writer = self._hold.enter_context(ThreadPoolExecutor(1))
        self._writing: Future[Any] | None = None
        self._numbers = count(1)
        self.hosts = [self.host(), self.host()]
        self.then: list[dict[bytes, bytes]] = []

    def __enter__(self) -> Crew:
        for host in self.hosts:
            self.start(host)
        self.shared()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.world.end()
        self._hold.close()

    # -- who there is

    def host(self) -> Host:
        """One more host, without a worker."""
        return Host(self.world, next(self._numbers), self._hold)

    def start(self, host: Host) -> None:
        """A worker on it."""
        host.start(self.rng.choice(_BATCHES))

    def one(self) -> tuple[Host, Host]:
        """A drawn host, and the other one."""
        host, other = self.rng.sample(self.hosts, 2)
        return host, other

    def some(self) -> list[Host]:
        """One or both."""
        return self.rng.sample(self.hosts, self.rng.randint(1, 2))

    def leaves(self, host: Host) -> None:
        """Its worker gets SIGTERM and ends with 0."""
        worker = host.running
        worker.signal(signal.SIGTERM)
        assert worker.ends(40) == 0, worker.tail()

    def shared(self, hosts: list[Host] | None = None) -> None:
        """Wait until each has partitions, and together they have all."""
        workers = [host.running for host in hosts or self.hosts]

        def whole() -> bool:
            assert all(worker.code is None for worker in workers), f"one ended by itself\n{self.world.tails()}"
            owned = [worker.assigned() for worker in workers]
            return all(owned) and sorted(chain(*owned)) == list(range(self.world.settings.partitions))

        until(whole, f"{len(workers)} workers share the partitions", RECOVERY_S, self.world.tails)

    # -- the work

    def write(self) -> None:
        """Begin to write the next part; one at a time."""
        self.written()
        self._writing = self._writer.submit(self.year.write)

    def written(self) -> None:
        """Wait until all of it is acknowledged."""
        if self._writing is not None:
            self._writing.result(RECOVERY_S)

    def midst(self) -> bool:
        """Write a part and return in the middle of it, at a moment that is drawn; whether work is under way then."""
        before = self.seen()
        self.write()
        reached = self._moment(before)
        now = self.world.until_seen(lambda seen: reached(seen) or self._idle(seen), "the moment comes", RECOVERY_S)
        return not self._idle(now)

    def _moment(self, before: Seen) -> Callable[[Seen], bool]:
        """At once, after some commits, with outputs waiting, or after some records."""
        kind = self.rng.choice(("at once", "commits", "waiting", "records"))
        if kind == "at once":
            return lambda seen: True
        if kind == "commits":
            commits = before.commits + self.rng.randint(1, 8)
            return lambda seen: seen.commits >= commits
        if kind == "waiting":
            return lambda seen: seen.commits > before.commits and seen.waiting > 0
        records = before.records + self.rng.randint(1, self.year.average)
        return lambda seen: seen.records >= records

    def idle(self) -> bool:
        """Whether all that was written is folded and told."""
        seen = self.world.seen()
        return seen is not None and self._idle(seen)

    def _idle(self, seen: Seen) -> bool:
        done = self._writing is None or self._writing.done()
        return done and seen.records >= self.year.records and not seen.waiting

    def seen(self) -> Seen:
        """What Redis shows now."""
        return self.world.until_seen(lambda _: True, "Redis answers", RECOVERY_S)

    def taken_over(self, before: Seen) -> Seen:
        """What Redis shows once every partition has a new epoch."""
        return self.world.until_seen(
            lambda now: all(new > old for new, old in zip(now.epochs, before.epochs, strict=True)),
            "another takes all over", RECOVERY_S,
        )  # fmt: skip

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for it."""
        until(condition, what, RECOVERY_S, self.world.tails)

    def lasts(self, seconds: float) -> None:
        """A fault that is so long: that is what it is, nothing is waited for."""
        over = time.monotonic() + seconds
        until(lambda: time.monotonic() >= over, "time passes")

    def recovered(self) -> None:
        """Wait until all that was written is folded and told."""
        self.written()
        self.world.until_seen(self._idle, f"all {self.year.records} records are folded and told", RECOVERY_S)

    def suffer(self, kind: str, fault: Callable[[Crew], None]) -> Recovered:
        """In the midst of a part the fault strikes and goes; then they recover, and share again."""
        middle = self.midst()
        began = time.monotonic()
        fault(self)
        gone = time.monotonic()
        self.recovered()
        whole = time.monotonic()
        self.shared()
        self.then = [*self.then[-_KEPT + 1 :], self.world.keys()]
        return Recovered(kind, middle, gone - began, whole - gone)

    def leave(self) -> None:
        """All end by SIGTERM, with 0."""
        for host in self.hosts:
            self.leaves(host)
