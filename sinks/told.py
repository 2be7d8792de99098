"""What was told, read back from Kafka: the compacted topic `told`, one partition of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.codec import read
from schemas.told import LastTold, last_told
from schemas.topics import TOLD

_READ_TIMEOUT_S: Final = 600.0


async def read_told(kafka: Mapping[str, Any], partition: int) -> dict[str, LastTold]:
    """Customer id to what was last told, and as of when, in a committed transaction; who was erased is not among them.

    kafka: connection settings of aiokafka. Raises KafkaError, TimeoutError.
    """
    place = TopicPartition(TOLD, partition)
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


async def _all(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> dict[str, LastTold]:
    told: dict[str, LastTold] = {}
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=200)).get(place, ()):
            customer_id = record.key.decode()
            if record.value is None:
                told.pop(customer_id, None)
            else:
                told[customer_id] = last_told(read(TOLD, record.value))
    return told
