"""Record sets: what one fetch brought of one topic-partition, unpacked by whole batches.

aiokafka makes a frozen dataclass of every record (4.5 us each); its compiled records carry the same fields (1 us).
So its loop over batches is done here again, without the dataclass: aborted batches and markers are passed as there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from msgspec import Struct

from streams.time_order import KafkaRecord

SET_RECORDS_MIN: Final = 1_000
"""A record set ends with the batch in which it reaches this many: one is folded in well under a second."""


class RecordSet(Struct, frozen=True):
    """records: of one topic-partition in offset order, perhaps none. start, position: fetch positions before and
    behind them. seek: number of the seek it was read after."""

    topic: str
    partition: int
    records: Sequence[KafkaRecord]
    start: int
    position: int
    seek: int


class Place(Struct):
    """Where one topic-partition is read: position handed over, number of the seek that put it there."""

    position: int
    seek: int


async def news(fetcher: Fetcher, timeout_s: float) -> None:
    """Until something is fetched. Raises what the group's coordinator passes to consumers."""
    waiter = fetcher._create_fetch_waiter()
    done, _ = await asyncio.wait([waiter], timeout=timeout_s)
    if done:
        waiter.result()
    else:
        waiter.cancel()


def forget(fetcher: Fetcher, tp: TopicPartition) -> None:
    """The topic-partition may be fetched again."""
    del fetcher._records[tp]
    fetcher._notify(fetcher._wait_consume_future)


def drained(fetcher: Fetcher, tp: TopicPartition, fetched: FetchResult, place: Place) -> RecordSet | None:
    """The records of what was fetched, up to the bound; None where the position did not move."""
    if not fetched.has_more() or not fetched.check_assignment(tp):
        forget(fetcher, tp)
        return None
    parts = fetched._partition_records
    records = unpack(parts, SET_RECORDS_MIN)
    fetched._update_position()
    if not parts._records.has_next():
        forget(fetcher, tp)
    if parts.next_fetch_offset == place.position:
        return None
    return RecordSet(tp.topic, tp.partition, records, place.position, parts.next_fetch_offset, place.seek)


def unpack(parts: PartitionRecords, at_least: int) -> list[KafkaRecord]:
    """Records up to the end of the batch that fills `at_least`. Raises CorruptRecordException.

    `parts.next_fetch_offset` is then behind them, and behind all that carries no record.
    """
    out: list[KafkaRecord] = []
    batches = parts._records
    while len(out) < at_least and batches.has_next():
        batch = batches.next_batch()
        if parts._check_crcs and not batch.validate_crc():
            where = f"{parts._tp.topic}[{parts._tp.partition}]@{batch.base_offset}"
            raise CorruptRecordException(f"{where}: wrong checksum; the log is damaged there")
        if not _passed(parts, batch):
            records = list(batch)
            if records and records[0].offset < parts.next_fetch_offset:
                records = [record for record in records if record.offset >= parts.next_fetch_offset]
            out = records if not out else out + records
        parts.next_fetch_offset = batch.next_offset
    return out


def _passed(parts: PartitionRecords, batch: Any) -> bool:
    """Whether nothing of the batch is to be read: a marker, or records of an aborted transaction."""
    if batch.producer_id is not None:
        parts._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and parts._contains_abort_marker(batch):
            parts._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in parts._aborted_producers:
            return True
    return bool(batch.is_control_batch)
