"""What the internal compacted topics say of one partition, read back from Kafka: `told` and `identities`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.codec import read
from schemas.told import LastTold, last_told
from schemas.topics import IDENTITIES, TOLD

_READ_TIMEOUT_S: Final = 600.0


async def read_told(kafka: Mapping[str, Any], partition: int) -> dict[str, LastTold]:
    """Customer id to what was last told, and as of when, in a committed transaction; who was erased is not among them.

    kafka: connection settings of aiokafka. Raises KafkaError, TimeoutError.
    """
    last = await _last_values(kafka, TOLD, partition)
    return {key.decode(): last_told(read(TOLD, value)) for key, value in last.items()}


async def read_erased(kafka: Mapping[str, Any], partition: int) -> dict[str, int]:
    """Mark of each erased id to the instant (ms) up to which its events are dropped for ever. As `read_told`."""
    last = await _last_values(kafka, IDENTITIES, partition)
    found = (read(IDENTITIES, value) for value in last.values())
    return {fields["mark"]: fields["at"] for fields in found if fields["kind"] == "ERASED"}


async def _last_values(kafka: Mapping[str, Any], topic: str, partition: int) -> dict[bytes, bytes]:
    """Key to its last committed value; none where that is null."""
    place = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **kafka, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        return await asyncio.wait_for(_all(consumer, place, end), _READ_TIMEOUT_S)
    finally:
        await consumer.stop()


async def _all(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> dict[bytes, bytes]:
    last: dict[bytes, bytes] = {}
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=200)).get(place, ()):
            if record.value is None:
                last.pop(record.key, None)
            else:
                last[record.key] = record.value
    return last
