"""Record sets: what one fetch brought of one topic-partition, unpacked by whole batches.

aiokafka makes a frozen dataclass of every record (4.5 us each); its compiled records carry the same fields (1 us).
So its loop over batches is done here again, without the dataclass: aborted batches and markers are passed as there.

A batch whose checksum holds and that cannot be unpacked is its producer's fault (a decompression bomb, a header's name
that is no UTF-8): it becomes one record that every decoder refuses as too large, at the batch's last offset, and the
stream goes on. None of its records is read, the same in every replay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError
from msgspec import Struct

from schemas.topics import bytes_max
from sinks.unpacking import Bomb
from streams.time_order import KafkaRecord

log = logging.getLogger("loyalty.transport")

BATCH_RECORDS_MAX: Final = 1_000_000
"""More records than this in a batch are a bomb of another kind: a mebibyte of small nothings, a gigabyte of objects."""

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


class Unreadable(Struct, frozen=True):
    """What stands for the records of a batch that cannot be unpacked. value: zeros, one more than may be."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


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
            records = _records(parts._tp, batch)
            if records and records[0].offset < parts.next_fetch_offset:
                records = [record for record in records if record.offset >= parts.next_fetch_offset]
            out = records if not out else out + records
        parts.next_fetch_offset = batch.next_offset
    return out


def _records(tp: TopicPartition, batch: Any) -> list[KafkaRecord]:
    """The batch's records; one alone that stands for all where they cannot be had."""
    try:
        if (count := batch.next_offset - batch.base_offset) > BATCH_RECORDS_MAX:
            raise Bomb(f"says that it holds {count:,} records: at most {BATCH_RECORDS_MAX:,}")
        return list(batch)
    except KafkaError:
        raise  # a codec that this release does not know, a damaged log: nothing to go on from
    except Exception as error:
        where = f"{tp.topic}[{tp.partition}]@{batch.base_offset} to {batch.next_offset - 1}"
        told = {"topic": tp.topic, "partition": tp.partition, "offset": batch.next_offset - 1}
        said = f"{type(error).__name__}: {error}"
        log.error("%s: the batch cannot be unpacked (%s): one dead letter", where, said, extra=told)
        value = b"\0" * (bytes_max(tp.topic) + 1)
        return [Unreadable(batch.next_offset - 1, max(batch.max_timestamp, 0), None, value, ())]


def _passed(parts: PartitionRecords, batch: Any) -> bool:
    """Whether nothing of the batch is to be read: a marker, or records of an aborted transaction."""
    if batch.producer_id is not None:
        parts._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and parts._contains_abort_marker(batch):
            parts._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in parts._aborted_producers:
            return True
    return bool(batch.is_control_batch)
