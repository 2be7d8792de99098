"""Redis is away while the tills go on: a worker takes in what its buffers hold and no more, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable

import pytest

from schemas import topics
from streams import ingest
from streams.datasets import dataset
from streams.settings import Settings
from streams.spool import Item
from tests.chaos.conftest import CUSTOMERS, Year
from tests.chaos.dump import Dump, differences, problems, summary
from tests.chaos.feed import Silent
from tests.chaos.world import World, until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

AWAY_S = float(os.environ.get("LOYALTY_TEST_AWAY_S", "20"))
"""At least; longer than a call is tried."""

REPEATS = 30
"""Each of so many purchases as the first third of the year has is sent so often again."""

GROWTH_MAX = 48 << 20
"""Bytes. What is sent meanwhile takes several times as much as objects: held whole, it would show."""

_OF_REPEATS = re.compile(r"kpi |fence \S+ purchases ")


def flood(settings: Settings, items: list[Item]) -> None:
    """Write them as they are, acknowledged, without ticks."""

    async def write() -> None:
        producer = ingest.producer_for(settings)
        await producer.start()
        try:
            await ingest.write_feed(ingest.Sender(producer), items, settings.partitions, None, None, Silent())
        finally:
            await producer.stop()

    asyncio.run(write())


def repeats(dump: Dump) -> int:
    """How many purchases the workers knew already."""
    return sum(n for name, n in dump.kpi.items() if name.endswith("duplicates:Purchase"))


def test_D1_a_redis_that_is_away_for_long_costs_neither_memory_nor_records(
    world: World, undisturbed: Dump, year: Callable[[int], Year]
) -> None:
    parts = year(2)
    worker = world.worker()
    parts.write()
    parts.folded()
    bought = [item for item in dataset("completejourney", CUSTOMERS) if item.topic == topics.PURCHASES]
    again = bought[: len(bought) // 3] * REPEATS
    worker.forget_peak()
    before, began = worker.peak_bytes(), time.monotonic()
    assert world.stack.kill_redis()
    parts.rest()
    flood(world.settings, again)  # behind it, so that dead letters name the same offsets
    until(lambda: time.monotonic() >= began + AWAY_S, "time passes")
    until(lambda: worker.says("waits for Redis"), "the worker waits", told=world.tails)
    grown, away_s = worker.peak_bytes() - before, time.monotonic() - began
    sent = sum(len(item.value or b"") for item in again)
    print(f"away {away_s:.0f} s, {len(again):,} records of {sent / 2**20:.0f} MiB sent, grown {grown / 2**20:.0f} MiB")
    assert grown < GROWTH_MAX, f"{grown:,} bytes more while {sent:,} were sent"
    world.stack.start_redis()
    parts.records += len(again)
    parts.folded()
    assert worker.code is None, f"it did not live through it\n{world.tails()}"
    worker.signal(signal.SIGTERM)
    assert worker.ends(60) == 0, world.tails()
    world.finish()
    found = world.dump()
    assert repeats(found) - repeats(undisturbed) == len(again)
    wrong = [line for line in differences(undisturbed, found) if not _OF_REPEATS.match(line)] + problems(found)
    assert not wrong, f"{summary(wrong)}\n{world.tails()}"
