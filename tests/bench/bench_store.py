"""How fast customers go into Redis and come back: python -m tests.bench.bench_store [redis url] (a database to spare).

Prints microseconds a customer: encoding on the client, the commit script in Redis, the load with due ones, and bytes a
customer takes in Redis.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from processors.customer import Customer, Told
from processors.history import History
from processors.policy import load_policy
from processors.view import values
from schemas import state
from sinks.commit import Answer, Commit, Load, Write
from sinks.keys import Keys
from sinks.store import Store, packed

POLICY = load_policy((Path(__file__).parents[2] / "infra" / "policy.toml").read_text())
BATCH, ROUNDS = 1_000, 40
START_MS = 1_500_000_000_000


def write(n: int, round_: int) -> Write:
    """A customer like those of CDNOW: three purchases, one sale a purchase."""
    now = START_MS + round_ * 86_400_000 + n
    history = History(
        first_at=START_MS,
        days=bytes(3 * 34),
        value=8_588 + n,
        sales=3,
        margin=2_576,
        categories={"cd": 17_200},
        purchase_days=bytes(6),
        seen=bytes(range(48)),
        lifetime_value=8_588,
        lifetime_purchases=3,
        first_purchase_at=START_MS,
        last_purchase_at=now,
    )
    customer = Customer(f"{n:05}", history, Told("member"), now, now + 20 * 86_400_000, "cdnow@1#abcdef12")
    return Write(customer, values(customer, POLICY))


def commit(epoch: int, seq: int, customers: int, outbox: int = 0) -> Commit:
    first = seq * BATCH % customers
    return Commit(
        partition=0, epoch=epoch, seq=seq, positions_from={"purchases": seq - 1}, positions_to={"purchases": seq},
        clock=START_MS, policy="cdnow@1#abcdef12", shares={}, since=-1, erased={}, outbox=(), counts={"x": 1},
        writes=tuple(write(first + n, seq) for n in range(BATCH)),
    )  # fmt: skip


def cpu_of(info: dict[str, float]) -> float:
    """Seconds of the processor that Redis has used; its own clock counts what others took from it, too."""
    return info["used_cpu_user"] + info["used_cpu_sys"]


async def main(url: str, customers: int = 10_000) -> None:
    store = Store(url, Keys("bench"), erase_key=b"bench")
    client = store.redis.client
    await client.flushdb()
    before = (await client.info("memory"))["used_memory"]
    fence = await store.take_epoch(0)
    commits = [commit(fence.epoch, fence.seq + 1 + n, customers) for n in range(ROUNDS)]
    began = time.process_time()
    for one in commits:
        packed(one, {})
    encode = time.process_time() - began
    one = commits[0].writes[0]
    redis_cpu = cpu_of(await client.info("cpu"))
    began, cpu = time.perf_counter(), time.process_time()
    for each in commits:
        assert await store.commit(each) is Answer.DONE
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    redis_cpu = cpu_of(await client.info("cpu")) - redis_cpu
    each_us = 1e6 / (BATCH * ROUNDS)
    used = (await client.info("memory"))["used_memory"] - before
    print(
        f"encode            {encode * each_us:6.2f} us of client CPU a customer;"
        f" state {len(state.encode(one.customer))} bytes"
    )
    print(
        f"commit            {wall * each_us:6.2f} us a customer ({1e6 / (wall * each_us):,.0f} a second), of it"
        f" client {cpu * each_us:.2f} us, Redis {redis_cpu * each_us:.2f} us of CPU"
    )
    print(f"memory            {used / customers:6.0f} bytes a customer in Redis, {customers:,} customers")
    began, cpu, n = time.perf_counter(), time.process_time(), 0
    for _ in range(10):
        loaded = await store.load(0, Load((), START_MS * 2, 2_000))
        n += len(loaded.due)
    print(
        f"load of the due   {(time.perf_counter() - began) / n * 1e6:6.2f} us a customer, of it client"
        f" {(time.process_time() - cpu) / n * 1e6:.2f} us"
    )
    ids = tuple(f"{n:05}" for n in range(1_000))
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(20):
        await store.load(0, Load(ids))
    print(
        f"load by id        {(time.perf_counter() - began) / 20_000 * 1e6:6.2f} us a customer, of it client"
        f" {(time.process_time() - cpu) / 20_000 * 1e6:.2f} us"
    )
    await client.flushdb()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6392/15"))
