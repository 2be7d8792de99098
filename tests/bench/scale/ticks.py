"""A day of ticks, a second of work each, with nobody due among 10,000, 100,000 and 1,000,000 customers."""

from __future__ import annotations

import time
from typing import Any, Final

from schemas import topics
from sinks.store import Store
from streams.partition import PartitionLoop
from tests.bench.bench_due import POLICY, START, people, written
from tests.bench.driving import Tick, drive
from tests.bench.scale.memory import config

EVERY_MS: Final = 60_000
A_DAY: Final = 24 * 60


async def silent(store: Store, number: int) -> dict[str, Any]:
    """Milliseconds a tick, each applied alone as a live one is: the middle one, and the best of a hundred's mean."""
    await store.redis.client.flushdb()
    await written(store, people(number, 0))
    await store.redis.client.delete("bench:{0}:values")
    loop = PartitionLoop(0, await store.take_epoch(0), config(store, POLICY, 20_000))
    took = []
    for n in range(A_DAY):
        began = time.perf_counter()
        loop.receive(topics.TICKS, [Tick(n, START + (n + 1) * EVERY_MS)], n + 1)
        await drive(loop, store, {topics.TICKS: n + 1})
        took.append((time.perf_counter() - began) * 1_000)
    ordered = sorted(took)
    return {
        "customers": number,
        "ticks": A_DAY,
        "p50_ms": round(ordered[A_DAY // 2], 2),
        "p99_ms": round(ordered[A_DAY * 99 // 100], 2),
        "day_s": round(sum(took) / 1_000, 2),
    }
