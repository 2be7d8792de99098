"""How far an outbox is published: a record of `outbox-positions`, written in the transaction that it tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from schemas.codec import read
from schemas.topics import OUTBOX_POSITIONS
from sinks.commit import Fence
from sinks.store import Pending

_READ_BACK: Final = 64  # offsets before the end in which the last position is looked for first
_READ_TIMEOUT_S: Final = 30.0


class Position(Struct, frozen=True, kw_only=True):
    """How far a partition's outbox is published. seq: the last commit; entry: its last entry in the outbox;
    views_seq: the views of all commits up to this one are published; clock (ms) and input positions: as of `seq`."""

    partition: int
    seq: int = 0
    entry: str = "0-0"
    views_seq: int = 0
    clock: int | None = None
    positions: Mapping[str, int] = {}


class OutboxAhead(Exception):
    """More was published than Redis knows of: it lost what it had acknowledged. `position`: how far."""

    def __init__(self, position: Position, fence: Fence) -> None:
        super().__init__(
            f"partition {position.partition}: Redis stands at commit {fence.seq}, but {position.seq} were published: "
            f"it lost its last changes, which are folded again from Kafka"
        )
        self.position = position


async def read_position(kafka: Mapping[str, Any], partition: int) -> Position:
    """The last committed position of a partition; from zero where nothing was published yet.

    kafka: connection settings of aiokafka. Reads from the end backwards, in ever larger steps: markers and aborted
    transactions lie between.
    """
    place = TopicPartition(OUTBOX_POSITIONS, partition)
    consumer = AIOKafkaConsumer(
        **kafka, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([place])
        begin = (await consumer.beginning_offsets([place]))[place]
        end = (await consumer.end_offsets([place]))[place]
        back = _READ_BACK
        while True:
            start = max(begin, end - back)
            found = await asyncio.wait_for(_last_value(consumer, place, start, end), _READ_TIMEOUT_S)
            if found is not None:
                return _position(found)
            if start <= begin:
                return Position(partition=partition)
            back *= 16
    finally:
        await consumer.stop()


async def _last_value(consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int) -> bytes | None:
    """The value of the last record of `place` between two offsets."""
    last = None
    consumer.seek(place, start)
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=100)).get(place, ()):
            if record.offset < end and record.value is not None:
                last = record.value
    return last


def _position(value: bytes) -> Position:
    fields = read(OUTBOX_POSITIONS, value)
    return Position(**{name: fields[name] for name in Position.__struct_fields__})


def after(position: Position, pending: Pending) -> Position:
    """The position once `pending` is published."""
    fence = pending.fence
    return Position(
        partition=position.partition,
        seq=fence.seq,
        entry=pending.entries[-1][0] if pending.entries else position.entry,
        views_seq=max(position.views_seq, pending.views_seq),
        clock=fence.clock,
        positions=fence.positions,
    )
