"""A week of time costs by who is due, not by who is there: make bench-due, or python -m tests.bench.bench_due.

Brings up a Redis of its own on the first core and runs on the second. Prints the seconds, and those of this process's
CPU, that one partition's loop takes for seven days of hourly ticks with the same 5,000 customers due among 10,000,
100,000 and 1,000,000: all kinds of care of the shipped policy. The best of three runs each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from processors.customer import Customer, newcomer
from processors.days import DAY_MS
from processors.events import Line, Purchase
from processors.policy import Policy, load_policy
from processors.step import Batch
from processors.tier import surroundings
from processors.view import values
from schemas import topics
from sinks.commit import Answer, Commit, Write
from sinks.keys import Keys
from sinks.store import Store
from streams.outgoing import Outgoing
from streams.partition import PartitionLoop
from streams.plan import LoopConfig
from streams.texts import wording
from tests.bench.driving import Tick, drive, own_redis

POLICY = load_policy((Path(__file__).parents[2] / "infra" / "policy.toml").read_text())
DUE: Final = 5_000
SIZES: Final = (10_000, 100_000, 1_000_000)
START: Final = 1_700_000_000_000
FAR: Final = START + 400 * DAY_MS
BATCH: Final = 5_000


def bought(at: int) -> Customer:
    """A customer as of their first purchase at `at` (ms): made once, then copied under other names."""
    sale = Purchase(
        event_id="e", customer_id="c", occurred_at=at, kind="SALE", store_id="s", currency="USD",
        lines=(Line("cd", 1, 25_000),),
    )  # fmt: skip
    batch = Batch({"c": None}, {}, surroundings(POLICY), POLICY, horizon_ms=400 * DAY_MS)
    batch.fold(sale, None)
    made = batch.changes().customers["c"]
    assert made is not None
    return made


def people(number: int, due_number: int = DUE) -> list[Customer]:
    """`due_number` who bought just before the week, over a day, and the others, whom nothing awaits for a year."""
    due = [bought(START - n * DAY_MS // 50) for n in range(50)]
    quiet = replace(newcomer("q", START, POLICY.tiers[0].name, surroundings(POLICY).context), next_review=FAR)
    return [
        replace(due[n % 50], id=f"due{n}") if n < due_number else replace(quiet, id=f"quiet{n}") for n in range(number)
    ]


async def filled(store: Store, number: int) -> None:
    """All of them in Redis."""
    await written(store, people(number))


async def written(store: Store, everybody: Sequence[Customer], policy: Policy = POLICY) -> None:
    """All of them in partition 0, by plain commits."""
    fence = await store.take_epoch(0)
    for seq, first in enumerate(range(0, len(everybody), BATCH), fence.seq + 1):
        some = everybody[first : first + BATCH]
        commit = Commit(
            partition=0, epoch=fence.epoch, seq=seq, positions_from={}, positions_to={}, clock=START,
            policy=policy.key, shares={}, since=-1, erased={}, outbox=(), counts={},
            writes=tuple(Write(one, values(one, policy)) for one in some),
        )  # fmt: skip
        assert await store.commit(commit) is Answer.DONE


async def week(store: Store) -> tuple[float, float, int]:
    """(seconds of seven days of hourly ticks, CPU seconds of this process, customers written)."""
    config = LoopConfig(
        partitions=1, policy=POLICY, horizon_ms=400 * DAY_MS, outgoing=Outgoing(store.mark, wording), cache=20_000
    )
    loop = PartitionLoop(0, await store.take_epoch(0), config)
    ticks = [Tick(n, START + (n + 1) * DAY_MS // 24) for n in range(7 * 24)]
    loop.receive(topics.TICKS, ticks, len(ticks))
    began, busy = time.perf_counter(), time.process_time()
    states = await drive(loop, store, {topics.TICKS: len(ticks)})
    return time.perf_counter() - began, time.process_time() - busy, states


RUNS: Final = 3
PORT: Final = 21_705


async def main(url: str) -> None:
    store = Store(url, Keys("bench"), erase_key=b"bench")
    for size in SIZES:
        seconds = []
        for _ in range(RUNS):
            await store.redis.client.flushdb()
            await filled(store, size)
            seconds.append(await week(store))
        best, busy, written = min(seconds)
        print(
            f"{size:>9,} customers, {DUE:,} due in the week: {best:5.2f} s, {busy:5.2f} s of CPU, "
            f"{written:,} states written",
            flush=True,
        )
    await store.close()


def run() -> None:
    """With servers of its own, which leave nothing behind."""
    with own_redis(PORT) as url:
        asyncio.run(main(url))


if __name__ == "__main__":
    run()
