"""How fast views and entries leave: python -m tests.bench.bench_outbox KAFKA REDIS-URL (a database to spare)."""

from __future__ import annotations

import asyncio
import sys
import time

from msgspec.structs import replace

from sinks.commit import Record
from sinks.keys import Keys
from sinks.metrics import Metrics
from sinks.outbox import Publisher, read_position
from sinks.store import Store
from tests.bench.bench_store import BATCH, commit

COMMITS = 20


async def main(kafka: str, url: str) -> None:
    store = Store(url, Keys("bench"), erase_key=b"bench")
    await store.redis.client.flushdb()
    publisher = Publisher(
        store, 0, kafka={"bootstrap_servers": kafka}, group=f"bench-{time.time():.0f}", partitions=12, metrics=Metrics()
    )
    position = await read_position({"bootstrap_servers": kafka}, 0)  # of an earlier run: go on behind it
    await store.take_epoch(0)
    for entries in (0, BATCH):
        fence = await store.fence(0)
        before, seq = fence.seq, max(fence.seq, position.seq)
        told = tuple(Record("told", b"%05d" % n, bytes(120), (), f"{n:05}") for n in range(entries))
        for n in range(1, COMMITS + 1):
            each = commit(fence.epoch, seq + n, COMMITS * BATCH)
            await store.commit(replace(each, positions_from={}, outbox=told, leaps_from=before))
            before = each.seq
        if not entries:
            await publisher.start(await store.fence(0))
        publisher.wake()
        began, cpu = time.perf_counter(), time.process_time()
        await publisher.drain()
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        number = COMMITS * (BATCH + entries)
        print(
            f"{number:,} records, {entries} entries a commit: {number / wall:,.0f} a second,"
            f" {cpu / number * 1e6:.1f} us of CPU"
        )
    await publisher.stop()
    await store.redis.client.flushdb()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
