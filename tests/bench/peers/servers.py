"""The broker and the Redis that all systems share: on the first core, filled anew where a system needs it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis
from kafka import KafkaAdminClient

from infra.localstack.stack import Stack
from processors.policy import Policy, load_policy
from schemas.topics import PURCHASES
from streams import ingest
from streams.cli.output import Output
from streams.datasets import encoded, repeated_cdnow
from streams.ingest import Every, Ticking
from streams.settings import Settings
from streams.spool import Item
from tests.bench.__main__ import loyalty, pinned
from tests.bench.peers.work import Row, Rows

PORTS: Final = (21_720, 21_722, 21_723)
KAFKA_PORT, REDIS_PORT, METRICS_PORT = PORTS
PARTITIONS: Final = 12
GONE_S: Final = 60.0


class Servers:
    """Both, with what lies in them. ports: of Kafka, Redis and the worker's metrics."""

    def __init__(self, folder: Path, ports: tuple[int, int, int] = PORTS) -> None:
        self.folder = folder
        kafka, redis_port, metrics = ports
        self.kafka = f"127.0.0.1:{kafka}"
        self.environ = {
            **os.environ,
            "LOYALTY_KAFKA": self.kafka,
            "LOYALTY_REDIS": f"redis://127.0.0.1:{redis_port}/0",
            "LOYALTY_METRICS": f"127.0.0.1:{metrics}",
            "LOYALTY_DATA_DIR": str(folder),
            "LOYALTY_POLICY": str(folder / "policy.toml"),
            "LOYALTY_CLOCK": "data",
        }
        self.stack = Stack(self.kafka, self.environ["LOYALTY_REDIS"], folder)
        self.redis = redis.Redis(port=redis_port)
        self._purchases = 0
        self._first = self._last = 0

    def empty_redis(self) -> None:
        """No key is left, and nothing of the last one's is still written to the file."""
        self.redis.flushall()

    def purchases(self, events: int) -> None:
        """`purchases` holds CDNOW repeated to `events`, in order of time."""
        if self._purchases == events:
            return
        self.without_topics()
        loyalty(self.environ, "topics", "create")
        made = list(repeated_cdnow(events))
        self._purchases, self._first, self._last = events, made[0].occurred_at, made[-1].occurred_at
        items = (Item(e.occurred_at, at, PURCHASES, e.customer_id.encode(), encoded(e)) for at, e in enumerate(made))
        asyncio.run(self._write(items, None, events))

    def ours(self, policy_text: str, daily: bool) -> int:
        """Fresh topics of this project but `purchases`, and ticks that name the policy: one before the first purchase,
        or one a day up to the end of the last one's (daily). The clock's last programme day, counted from 1970."""
        self.without_topics(PURCHASES)
        (self.folder / "policy.toml").write_text(policy_text)
        loyalty(self.environ, "topics", "create")
        policy = load_policy(policy_text)
        before = self._first - 1
        times, until = iter([before]), before
        if daily:
            until = ingest.end_of_day(self._last, policy.calendar)
            times = ingest.tick_times(self._first, until, Every(days=1), policy.calendar)
        asyncio.run(self._write((), self._ticking(times, until, policy), 0))
        return policy.calendar.day_of(until)

    def _ticking(self, times: Iterator[int], until_ms: int, policy: Policy) -> Ticking:
        return Ticking(times, until_ms, dict.fromkeys(range(PARTITIONS)), policy, "bench")

    async def _write(self, items: Iterator[Item] | tuple[()], ticking: Ticking | None, number: int) -> None:
        producer = ingest.producer_for(Settings.from_env(self.environ))
        await producer.start()
        try:
            with Output().progress("loading", number) as progress:
                await ingest.write_feed(ingest.Sender(producer), items, PARTITIONS, ticking, None, progress)
        finally:
            await producer.stop()

    def without_topics(self, *kept: str) -> None:
        """Only Kafka's own and those of `kept` are there."""
        admin = KafkaAdminClient(bootstrap_servers=[self.kafka])
        deadline = time.monotonic() + GONE_S
        while there := [name for name in admin.list_topics() if name not in kept and not name.startswith("__")]:
            if time.monotonic() > deadline:
                raise SystemExit(f"topics are still there after {GONE_S:g} s: {', '.join(sorted(there))}")
            admin.delete_topics(there)
            time.sleep(0.5)
        admin.close()

    def rows(self, ours: bool) -> Rows:
        """Every customer's hash as any reader sees it."""
        pattern = "loyalty:{*}:customer:*" if ours else "w1:*"
        keys = list(self.redis.scan_iter(pattern, count=5_000))
        rows: dict[str, Row] = {}
        for at in range(0, len(keys), 5_000):
            pipeline = self.redis.pipeline(transaction=False)
            for key in keys[at : at + 5_000]:
                pipeline.hmget(key, "customer_id", "value_365d", "purchases_365d", "tier", "last_purchase_at")
            for customer, value, count, tier, last in pipeline.execute():
                rows[customer.decode()] = Row(int(value), int(count), tier.decode(), int(last))
        return rows


@contextmanager
def servers(
    folder: Path, environ: Mapping[str, str] | None = None, ports: tuple[int, int, int] = PORTS
) -> Iterator[Servers]:
    """Both up and empty; down on the way out. Redis does not sync each write: no peer asks it to."""
    made = Servers(folder, ports)
    made.environ.update(environ or {})
    with pinned(0):
        made.stack.up()
    try:
        made.redis.config_set("appendonly", "no")
        yield made
    finally:
        made.stack.down()
