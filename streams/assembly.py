"""What a worker works with, made of its settings: store, publishers, policy, metrics, and a runner a partition."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from processors.days import DAY_MS
from schemas.codec import decode, decoding
from schemas.framing import Heads
from sinks.keys import Keys
from sinks.metrics import Metrics, Seen
from sinks.outbox import Pace, Publisher
from sinks.store import MetaMismatch, Store
from streams import __version__, schema_ids
from streams.app import LoyaltyApp
from streams.outgoing import Outgoing
from streams.plan import LoopConfig
from streams.policies import TopicPolicies
from streams.runner import Runner, Shared
from streams.schema_ids import SchemaIds
from streams.settings import LoyaltyError, Settings
from streams.texts import read_policy, wording
from streams.told_log import Telling
from streams.tracing import traces

HOUR_MS = 3_600_000


class Assembly:
    """Made inside the worker's loop. Raises LoyaltyError where the policy cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.policy = read_policy(settings.policy)
        self._metrics = Metrics(settings.partitions)
        self._metrics.is_build(__version__, self.policy.key, settings.clock)
        self._store = Store(settings.redis, Keys(settings.prefix), erase_key=settings.erase_key.encode())
        self._telling = Telling(self._store.log_marks, traces(settings))
        self._pace = Pace()
        self._policies = TopicPolicies(settings.kafka, self.policy)
        registry = schema_ids.client(settings)
        self.schema_ids = None if registry is None else SchemaIds(registry)
        self._heads: Heads = {}
        registered = None if self.schema_ids is None else self.schema_ids.registered
        config = LoopConfig(
            partitions=settings.partitions,
            policy=self.policy,
            outgoing=Outgoing(mark=self._store.mark, wording=wording, registered=registered),
            horizon_ms=settings.dedupe_days * DAY_MS,
            max_ahead_ms=settings.max_ahead_hours * HOUR_MS,
            batch_records=settings.batch_records,
            buffer_records=settings.batch_records,
            due_slice=settings.due_slice,
            cache=settings.cache_customers // settings.partitions,
            decode=decode if registered is None else decoding(registered),
        )
        self._shared = Shared(self._policies, self._metrics, config, asyncio.Lock(), self._telling)

    @property
    def registry(self) -> CollectorRegistry:
        """What /metrics shows."""
        return self._metrics.registry

    async def open(self) -> None:
        """Look whether this Redis is laid out for us, register the schemas of outputs where there is a registry, and
        write our policy's text where it is looked for.

        Raises LoyaltyError, StoreUnavailable.
        """
        try:
            await self._store.check_meta(self._settings.partitions, self.policy.programme.name)
        except MetaMismatch as mismatch:
            raise LoyaltyError(str(mismatch)) from mismatch
        self._heads = await schema_ids.heads_soon(self._settings, schema_ids.OUTPUTS)
        try:
            await self._policies.announce()
        except KafkaError as away:
            raise LoyaltyError(f"the policy cannot be written to Kafka at {self._settings.kafka}: {away!r}") from away

    async def writable(self) -> None:
        """Raises what Redis says where it takes no writes."""
        await self._store.writable()

    def runner(self, partition: int, app: LoyaltyApp) -> Runner:
        """A fresh runner of the partition."""
        settings = self._settings
        publisher = Publisher(
            self._store,
            partition,
            kafka=settings.kafka.options(),
            group=settings.prefix,
            partitions=settings.partitions,
            metrics=self._metrics,
            pace=self._pace,
            heads=self._heads,
        )
        return Runner(
            partition,
            store=self._store,
            publisher=publisher,
            ends=app.owner.ends,
            shared=self._shared,
        )

    def seen(self, seen: Seen) -> None:
        """What the worker sees of itself, for /metrics."""
        self._metrics.seen(seen)

    def forget(self, partition: int) -> None:
        """The partition went to another worker."""
        self._metrics.forget(partition)

    async def close(self) -> None:
        """Close what is open."""
        await self._store.close()
        if self._telling.traces is not None:
            self._telling.traces.close()
