"""What a customer takes: of Redis all told, and of a worker that keeps states in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psutil
from msgspec.structs import replace

from processors.customer import Customer
from processors.events import Line, Purchase
from processors.policy import Policy
from schemas import state, topics
from schemas.partitioner import partition_of
from sinks.keys import Keys
from sinks.store import Store
from streams.datasets import repeated_cdnow
from streams.outgoing import Outgoing
from streams.partition import PartitionLoop
from streams.plan import LoopConfig
from streams.texts import wording
from tests.bench.bench_due import written
from tests.bench.driving import Bought, Tick, drive, fold

CDNOW_PURCHASES: Final = 69_659
PARTITIONS: Final = 12
DAY_MS: Final = 86_400_000
KEYS: Final = Keys("bench")


def config(store: Store, policy: Policy, cache: int) -> LoopConfig:
    """As a worker has it, for one partition that keeps `cache` customers."""
    return LoopConfig(
        partitions=1, policy=policy, horizon_ms=400 * DAY_MS, outgoing=Outgoing(store.mark, wording), cache=cache
    )


async def used(store: Store) -> int:
    """Bytes that Redis has given out."""
    return int((await store.redis.client.info("memory"))["used_memory"])


async def cdnow(store: Store, policy: Policy) -> dict[str, Any]:
    """All of CDNOW folded, and a tick at its end: bytes a customer once the outputs have left; Redis's part an event.

    In twelve partitions, as a worker keeps them: small ones weigh a little more.
    """
    await store.redis.client.flushdb()
    empty = await used(store)
    mine: list[list[Purchase]] = [[] for _ in range(PARTITIONS)]
    for purchase in repeated_cdnow(CDNOW_PURCHASES):
        mine[partition_of(purchase.customer_id.encode(), PARTITIONS)].append(purchase)
    end = max(part[-1].occurred_at for part in mine) + DAY_MS
    before = await traffic(store)
    for partition, purchases in enumerate(mine):
        made = replace(config(store, policy, 20_000), partitions=PARTITIONS)
        loop = PartitionLoop(partition, await store.take_epoch(partition), made)
        number = await fold(loop, store, purchases)
        loop.receive(topics.TICKS, [Tick(0, end)], 1)
        await drive(loop, store, {topics.PURCHASES: number, topics.TICKS: 1})
        await gone(store, partition)
    after = await traffic(store)
    people = sum([await store.redis.client.zcard(KEYS.due(partition)) for partition in range(PARTITIONS)])
    an_event = {name: round((after[name] - before[name]) / CDNOW_PURCHASES, 1) for name in after}
    return {"customers": people, **await weighed(store, empty, people), **an_event}


async def traffic(store: Store) -> dict[str, float]:
    """Bytes that came in and went out so far, and microseconds of the core that Redis has used."""
    info = await store.redis.client.info()
    return {
        "redis_in_bytes": info["total_net_input_bytes"],
        "redis_out_bytes": info["total_net_output_bytes"],
        "redis_us": (info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6,
    }


async def gone(store: Store, partition: int) -> None:
    """The outputs have left."""
    await store.redis.client.delete(KEYS.outbox(partition), KEYS.values(partition))


async def weighed(store: Store, empty: int, people: int) -> dict[str, Any]:
    """Bytes a customer: all told, and of it the state and the view, by a thousand of them."""
    client = store.redis.client
    parts = {"state": 0, "customer": 0}
    partition, some = 0, await client.zrange(KEYS.due(0), 0, 999)
    for name in some:
        for kind in parts:
            parts[kind] += int(await client.memory_usage(f"{KEYS.of(partition)}{kind}:{name.decode()}", samples=0) or 0)
    return {
        "bytes": round((await used(store) - empty) / people),
        "state_bytes": round(parts["state"] / len(some)),
        "view_bytes": round(parts["customer"] / len(some)),
    }


async def million(store: Store, policy: Policy, number: int) -> dict[str, Any]:
    """`number` customers with CDNOW's histories, written straight through the commit path under other names: what they
    take, and how fast they went in."""
    patterns = await folded(store, policy)
    await store.redis.client.flushdb()
    empty = await used(store)
    began = time.perf_counter()
    for first in range(0, number, 100_000):
        await written(store, copies(patterns, first, min(first + 100_000, number)), policy)
    seconds = time.perf_counter() - began
    await gone(store, 0)
    return {"customers": number, **await weighed(store, empty, number), "written_per_s": round(number / seconds)}


async def folded(store: Store, policy: Policy) -> list[Customer]:
    """The customers of CDNOW, as the loop makes them."""
    await store.redis.client.flushdb()
    loop = PartitionLoop(0, await store.take_epoch(0), config(store, policy, 30_000))
    await fold(loop, store, repeated_cdnow(CDNOW_PURCHASES))
    names = await store.names(0)
    made = []
    for first in range(0, len(names), 1_000):
        keys = [KEYS.state(0, name) for name in names[first : first + 1_000]]
        made += [state.decode(held) for held in await store.redis.client.mget(keys)]
    return made


def copies(patterns: Sequence[Customer], first: int, end: int) -> list[Customer]:
    """Customers number `first` to `end` - 1."""
    return [replace(patterns[n % len(patterns)], id=f"{n // len(patterns)}-{n:07}") for n in range(first, end)]


async def resident(store: Store, policy: Policy, cache: int, rounds: int) -> dict[str, Any]:
    """MiB of this process after each `cache` customers that were never seen before, one purchase each, and then after
    ten more purchases of each of those still kept: what a worker holds is bounded by its cache."""
    await store.redis.client.flushdb()
    loop = PartitionLoop(0, await store.take_epoch(0), config(store, policy, cache))
    process = psutil.Process()
    sizes = [round(process.memory_info().rss / 2**20)]
    number = 0
    for round_ in range(rounds):
        number = await _bought(loop, store, number, cache, round_ * cache)
        sizes.append(round(process.memory_info().rss / 2**20))
    for _ in range(10):
        number = await _bought(loop, store, number, cache // 10, (rounds - 1) * cache)
    sizes.append(round(process.memory_info().rss / 2**20))
    return {"cache": cache, "mib": sizes}


async def _bought(loop: PartitionLoop, store: Store, number: int, people: int, first: int) -> int:
    """One purchase of each, as records from `number` on. The next number."""
    for start in range(0, people, 1_000):
        some = [
            Bought(number + n, purchase)
            for n, purchase in enumerate(_purchases(number, first + start, min(1_000, people - start)))
        ]
        number += len(some)
        loop.receive(topics.PURCHASES, some, number)
        await drive(loop, store, {topics.PURCHASES: number})
        await gone(store, 0)
    return number


def _purchases(number: int, first: int, people: int) -> Iterator[Purchase]:
    for n in range(people):
        yield Purchase(
            event_id=f"e{number + n}", customer_id=f"c{first + n:07}", occurred_at=1_700_000_000_000 + number + n,
            kind="SALE", store_id="s", currency="USD", lines=(Line("cd", 1, 2_500),),
        )  # fmt: skip
