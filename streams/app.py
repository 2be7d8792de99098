"""The Faust app of a worker: a consumer group, and one agent that takes record sets to the partitions' runners.

Faust's part is who gets which partitions, and the thread that fetches. What is fetched goes to `Ownership`, which has a
runner a partition. `streams/worker.py` starts it, watches it and ends it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, cast

import faust
from faust.app.base import BootStrategy
from faust.types import TP, Message

from schemas.topics import INPUTS
from sinks.access import KafkaAccess
from streams.ownership import Ids, Ownership, RunnerPort
from streams.partition import PartitionStopped
from streams.record_sets import RecordSet
from streams.settings import Settings
from streams.topics_admin import miscounted
from streams.transport import RecordSetConsumer, Transport

REBALANCE_TIMEOUT_S: Final = 60.0
REQUEST_TIMEOUT_S: Final = 40.0

METADATA_MS: Final = 30_000
"""How soon a partition that somebody adds to a topic is noticed, and refused: nobody would read its records."""

MIRROR_S: Final = 1.0
"""How often the fence is copied to the group's committed offsets."""


class Boot(BootStrategy):
    """What Faust starts: no producer (the outbox has its own, with transactions) and no web (it knows no login)."""

    enable_kafka_producer = False
    enable_web = False


class LoyaltyApp(faust.App):
    """Faust with the record-set transport. `owner` takes the records; kafka: how the consumer reaches it."""

    BootStrategy = Boot
    logger = logging.getLogger("faust.app")
    owner: Ownership
    kafka: KafkaAccess

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Faust would make a folder for tables; there are none."""

    @property
    def source(self) -> RecordSetConsumer:
        """The consumer as what it is."""
        return cast(RecordSetConsumer, self.consumer)


class _AsItIs(faust.Schema):
    """A record set needs no decoding by Faust."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        """What Faust calls with each message."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, (), message)

        return decode


def build_app(settings: Settings, make: Callable[[int], RunnerPort], ids: Ids | None = None) -> LoyaltyApp:
    """The Faust app of one worker. `make`: a fresh runner of a partition. ids: of schemas; None: no registry."""
    app = LoyaltyApp(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.kafka.servers.split(",")],
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,  # a record set is acked when handed over; what was begun, `release` finishes
        broker_commit_interval=MIRROR_S,
        broker_session_timeout=settings.session_ms / 1_000,
        broker_heartbeat_interval=settings.session_ms / 5_000,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_request_timeout=max(REQUEST_TIMEOUT_S, settings.session_ms / 1_000 + 5),
        consumer_group_instance_id=settings.instance or None,
        consumer_metadata_max_age_ms=METADATA_MS,
        broker_client_id=f"{settings.group}-worker",
    )
    app.kafka = settings.kafka
    app.owner = Ownership(make, lambda: app.source, ids)
    inputs = app.topic(*INPUTS, schema=_AsItIs(), acks=False)

    async def take(record_sets: AsyncIterator[RecordSet]) -> None:
        async for record_set in record_sets:
            app.owner.deliver(record_set)
            app.source.handed_over(record_set)

    async def revoked(_: Any, revoked: set[TP], **__: Any) -> None:
        if revoked:
            await app.owner.release()
            await app.source.force_commit()

    async def assigned(_: Any, assigned: set[TP], **__: Any) -> None:
        added = [tp for tp in assigned if tp.partition >= settings.partitions]
        for tp in added:
            have = max(app.source.known_partitions(tp.topic), tp.partition + 1)
            told = f"topic {tp.topic} {miscounted(tp.topic, have, settings.partitions)}"
            app.owner.lost(tp.partition, PartitionStopped(told))
        app.owner.assigned({tp.partition for tp in assigned.difference(added)})

    app.agent(inputs, name="take")(take)
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)
    return app
