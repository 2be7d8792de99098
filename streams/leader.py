"""The live clock: one worker of the group writes a tick each LOYALTY_TICK_MS to every partition of `ticks`.

The leader is the worker that owns partition 0: the group elects it, and a dead one's partition goes to another. Two may
overlap for a moment; a tick not after the clock changes nothing. Stream time never goes back: a wall clock that does is
waited for, and so is one that has jumped ahead of the broker's: a tick cannot be taken back, and everybody's silence up
to it would be told. On ticks of an import (header `loyalty.clock: data`) no wall clock is set: the years between would
be lived through in one second, and everybody's reminders with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from processors.events import Tick
from processors.policy import Policy
from schemas import codec
from schemas.topics import TICKS
from sinks.access import KafkaAccess
from streams import policies
from streams.grading import Rows, first_of, rest_of
from streams.ingest import CLOCK_HEADER, CLOCK_OF_DATA
from streams.reading import TopicReader
from streams.settings import LoyaltyError

log = logging.getLogger("loyalty.clock")

T = TypeVar("T")

CLOCK_OF_WALL: Final = b"wall"
_HEADERS: Final = ((CLOCK_HEADER, CLOCK_OF_WALL),)

_TAIL: Final = 100
_PAUSE_S: Final = (0.1, 0.5, 1.0, 2.0)
AHEAD_MAX_MS: Final = 600_000
"""How far the wall clock may be ahead of the broker's: more is a clock that is wrong, not one that runs fast."""

ASK_AGAIN_S: Final = 30.0
"""How often the broker is asked what time it is, while it seems to be another than ours."""

SHARES_AGAIN_S: Final = 10.0
"""How soon thresholds are asked for again, while there are none or Redis is away."""

_BEHIND_TOLD_MS: Final = 2_000
"""A wall clock that is further behind the last tick than this is told about."""


class ClockRefused(LoyaltyError):
    """The topic's ticks are an import's: no wall clock is set on them."""


def wall_ms() -> int:
    """The wall clock, UTC ms."""
    return time.time_ns() // 1_000_000


def last_ticks(kafka: KafkaAccess) -> dict[int, int | None]:
    """Partition of `ticks` to the instant of its last tick (ms), None before the first.

    Raises ClockRefused where a last tick is an import's, LoyaltyError where Kafka does not answer or has no such topic.
    """
    with TopicReader(kafka) as reader:
        return {partition: _last(partition, records) for partition, records in reader.tails(TICKS, _TAIL).items()}


def _last(partition: int, records: Iterable[Any]) -> int | None:
    last: int | None = None
    clock: bytes | None = None
    for record in records:
        try:
            at = codec.read(TICKS, record.value)["at"]
        except codec.BadRecord:
            continue  # the worker makes a dead letter of it
        last = at if last is None else max(last, at)
        clock = dict(record.headers).get(CLOCK_HEADER)
    if clock == CLOCK_OF_DATA:
        raise ClockRefused(
            f"{TICKS}[{partition}]: the last tick is an import's ({last}, the data's time): a wall clock would jump "
            f"over all that lies between; set LOYALTY_CLOCK=data, or use other topics and another LOYALTY_PREFIX for "
            f"live work"
        )
    return last


class LiveClock:
    """Writes the ticks. policy: in force, named by the first tick. wall: the clock, UTC ms. shares: the thresholds that
    the first tick of a programme's day carries, asked for in a thread (V5); None: no tier asks for any. served: what
    the day's first ticks say of those who serve, by partition (E2); None: there are no grades."""

    def __init__(
        self,
        kafka: KafkaAccess,
        policy: Policy,
        tick_ms: int,
        wall: Callable[[], int] = wall_ms,
        shares: Callable[[], Mapping[str, int]] | None = None,
        served: Callable[[], Rows | None] | None = None,
    ) -> None:
        self._kafka, self._policy, self._tick_ms, self._wall = kafka, policy, tick_ms, wall
        self._shares, self._shares_day, self._shares_asked = shares, -2, -SHARES_AGAIN_S
        self._served, self._served_day, self._served_asked = served, -2, -SHARES_AGAIN_S
        self._rows: Rows = {}  # what is left of today's
        self.last_at: int | None = None
        self._brokers, self._asked = 0, 0.0

    async def run(self) -> None:
        """Until cancelled. Waits out an outage of Kafka. Raises ClockRefused."""
        last = await self._last_ticks()
        self.last_at = max((at for at in last.values() if at is not None), default=None)
        async with _producer(self._kafka) as producer:
            await self._ask_time(producer)
            log.info("this worker sets the clock: policy %s, a tick each %d ms", self._policy.key, self._tick_ms)
            await self._tick(producer, list(last))

    async def _last_ticks(self) -> Mapping[int, int | None]:
        async def ask() -> Mapping[int, int | None]:
            return await asyncio.to_thread(last_ticks, self._kafka)

        return await _patiently(ask, "the last ticks")

    async def _ask_time(self, producer: AIOKafkaProducer) -> None:
        """What time it is to the broker: it stamps the policy's text, which must be there anyway."""
        self._brokers = await _patiently(lambda: policies.publish(producer, self._policy), "the policy's text")
        self._asked = time.monotonic()

    def _ahead(self, at: int) -> int:
        """By how much `at` lies after the broker's time, ms; its last word and what has passed since."""
        return at - self._brokers - int((time.monotonic() - self._asked) * 1_000)

    async def _thresholds(self, at: int) -> dict[str, int]:
        """What the tick at `at` carries (V5): nothing but on the day's first, and while nobody is there yet."""
        soon = time.monotonic() - self._shares_asked < SHARES_AGAIN_S
        if self._shares is None or soon or self._policy.calendar.day_of(at) == self._shares_day:
            return {}
        self._shares_asked = time.monotonic()
        try:
            return dict(await asyncio.to_thread(self._shares))
        except Exception as outage:
            log.warning("the thresholds of top shares wait for Redis: %r", outage)
            return {}

    async def _serving(self, at: int) -> Rows:
        """What the ticks at `at` say of those who serve (E2): asked for once a day, and told a part at a time."""
        day = self._policy.calendar.day_of(at)
        soon = time.monotonic() - self._served_asked < SHARES_AGAIN_S
        if self._served is not None and not self._rows and day != self._served_day and not soon:
            self._served_asked = time.monotonic()
            try:
                rows = await asyncio.to_thread(self._served)
            except Exception as outage:
                log.warning("how employees serve waits for Redis: %r", outage)
            else:
                if rows is not None:
                    self._rows, self._served_day = rows, day
        return first_of(self._rows)

    async def _tick(self, producer: AIOKafkaProducer, partitions: list[int]) -> None:
        key = self._policy.key
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            at = self._wall()
            if self.last_at is not None and at <= self.last_at:
                if self.last_at - at > _BEHIND_TOLD_MS:
                    log.warning("the wall clock is %d ms behind the last tick: waiting for it", self.last_at - at)
            elif self._ahead(at) > AHEAD_MAX_MS:
                log.warning("the wall clock is %d ms ahead of the broker's: no tick until they agree", self._ahead(at))
                if time.monotonic() - self._asked > ASK_AGAIN_S:
                    await self._ask_time(producer)  # a host that slept, or both were put right
            else:
                shares, rows = await self._thresholds(at), await self._serving(at)
                if await _written(producer, Tick(at=at, policy=key, value_at_share=shares), partitions, rows):
                    self.last_at, key = at, ""
                    self._rows = rest_of(self._rows)
                    if shares:
                        self._shares_day = self._policy.calendar.day_of(at)
            due = max(due + self._tick_ms / 1_000, loop.time())
            await asyncio.sleep(due - loop.time())


async def _written(producer: AIOKafkaProducer, tick: Tick, partitions: Iterable[int], rows: Rows) -> bool:
    """Whether all partitions have acknowledged the tick, each with its own of `rows`. One that failed gets the next."""
    plain = codec.encode_event(TICKS, tick)
    values = {number: codec.encode_event(TICKS, replace(tick, served=some)) for number, some in rows.items()}
    try:
        acks = [
            await producer.send(TICKS, values.get(number, plain), partition=number, headers=list(_HEADERS))
            for number in partitions
        ]
        await asyncio.gather(*acks)
    except KafkaError as outage:
        log.warning("the tick at %d waits for Kafka: %r", tick.at, outage)
        return False
    return True


@contextlib.asynccontextmanager
async def _producer(kafka: KafkaAccess) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**kafka.options(), acks="all", enable_idempotence=True)
    await _patiently(producer.start, "the first connection")
    try:
        yield producer
    finally:
        with contextlib.suppress(KafkaError):
            await producer.stop()


async def _patiently(call: Callable[[], Awaitable[T]], what: str) -> T:
    for attempt in range(1_000_000):
        try:
            return await call()
        except ClockRefused:
            raise
        except (KafkaError, OSError, LoyaltyError) as outage:
            log.warning("the clock waits for Kafka (%s): %s", what, outage)
            await asyncio.sleep(_PAUSE_S[min(attempt, len(_PAUSE_S) - 1)])
    raise AssertionError("unreachable: a million pauses")
