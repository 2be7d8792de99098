"""What the tests of the running app share: runners that only take note, and waiting for a condition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.topics import INPUTS
from sinks.access import KafkaAccess
from streams.app import LoyaltyApp, build_app
from streams.settings import Settings

DEADLINE_S = 40.0


async def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> None:
    """Wait for it; fails by name after the deadline."""
    give_up = time.monotonic() + seconds
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert time.monotonic() < give_up, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


class Notes:
    """What all runners of a test were given, and where their fences stand: a Redis for those who fold nothing."""

    def __init__(self) -> None:
        self.fences: dict[int, dict[str, int]] = {}
        self.values: dict[tuple[str, int], list[bytes]] = {}
        self.owners: dict[int, list[Any]] = {}

    def count(self) -> int:
        return sum(map(len, self.values.values()))


class NotingRunner:
    """Takes note of each record and moves its fence at once. `full`: topics that it does not want."""

    def __init__(self, notes: Notes, partition: int, owner: Any = None) -> None:
        self.partition, self.owner, self.progress, self.idle = partition, owner, 0, True
        self.full: set[str] = set()
        self.sets: list[tuple[str, int, int]] = []
        self.stopped = asyncio.Event()
        self._notes = notes

    @property
    def positions(self) -> Mapping[str, int]:
        return self._notes.fences.get(self.partition, {})

    async def start(self) -> Mapping[str, int]:
        self._notes.owners.setdefault(self.partition, []).append(self.owner)
        return dict(self.positions)

    def deliver(self, topic: str, records: Sequence[Any], position: int) -> None:
        fence = self._notes.fences.setdefault(self.partition, {})
        for record in records:
            assert record.offset >= fence.get(topic, 0), f"{topic}@{record.offset} lies below the fence {fence}"
            self._notes.values.setdefault((topic, self.partition), []).append(record.value)
        fence[topic] = position
        self.progress += 1
        self.sets.append((topic, len(records), position))

    def wanted(self, topic: str) -> bool:
        return topic not in self.full

    async def run(self) -> None:
        await self.stopped.wait()

    async def stop(self) -> None:
        self.stopped.set()

    async def published(self) -> bool:
        return True


@asynccontextmanager
async def running(
    settings: Settings, notes: Notes, owner: Any = None, make: Callable[[int], Any] | None = None
) -> AsyncIterator[LoyaltyApp]:
    """An app of the group, started; stopped as a worker does it."""
    app = build_app(settings, make or (lambda partition: NotingRunner(notes, partition, owner)))
    await app.start()
    try:
        yield app
    finally:
        await app.owner.release()
        await app.source.force_commit()
        await app.stop()


@asynccontextmanager
async def producing(kafka: KafkaAccess, **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**kafka.options(), **more)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def fill(kafka: KafkaAccess, count: int, partitions: int, topics: Sequence[str] = INPUTS) -> None:
    """`count` records to each topic-partition, their values told apart: b"topic partition n"."""
    async with producing(kafka, linger_ms=5) as producer:
        for n in range(count):
            for topic in topics:
                for partition in range(partitions):
                    value = b"%s %d %d" % (topic.encode(), partition, n)
                    await producer.send(topic, value, key=b"k%d" % n, partition=partition)
        await producer.flush()


def expected(count: int, partitions: int, topics: Sequence[str] = INPUTS) -> dict[tuple[str, int], list[bytes]]:
    return {
        (topic, partition): [b"%s %d %d" % (topic.encode(), partition, n) for n in range(count)]
        for topic in topics
        for partition in range(partitions)
    }
