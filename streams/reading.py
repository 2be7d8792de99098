"""Topics as they stand, for commands: read_committed, all partitions, up to the ends found at the start or on and on.

With kafka-python, whose consumer needs no group and no event loop. Its `end_offsets` under read_committed is the last
stable offset, and its position passes the markers that end transactions: both are needed to know that an end is reached
(a topic written in transactions ends with a marker, never with a record).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from sinks.access import KafkaAccess
from streams.settings import LoyaltyError

PATIENCE_S: Final = 30.0
"""So long Kafka may give nothing while an end is not reached; then the command ends instead of hanging."""

_BOOTSTRAP_MS = 5_000
_POLL_MS = 200


class TopicReader:
    """Reads for one command; a context manager. Raises LoyaltyError where Kafka does not answer."""

    def __init__(self, kafka: KafkaAccess) -> None:
        logging.getLogger("kafka").setLevel(logging.ERROR)
        try:
            self._consumer: Any = KafkaConsumer(
                **kafka.options(),
                bootstrap_timeout_ms=_BOOTSTRAP_MS,
                isolation_level="read_committed",
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_bytes=16 << 20,
                max_partition_fetch_bytes=4 << 20,
                max_poll_records=5_000,
            )
        except (KafkaError, OSError) as error:
            raise LoyaltyError(
                f"Kafka at {kafka} does not answer ({error}; {kafka.why_silent()}); start it with "
                "`loyalty stack up` or set LOYALTY_KAFKA"
            ) from error

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> int:
        """How many partitions it has. LoyaltyError where there is no such topic."""
        found = self._consumer.partitions_for_topic(topic)
        if not found:
            raise LoyaltyError(
                f"topic {topic} does not exist, or this user may not see it; create what is missing with "
                "`loyalty topics create`, or act as who may"
            )
        return len(found)

    def count(self, topic: str) -> int:
        """How many offsets it holds: the records, and where a topic is written in transactions their markers too."""
        places = self._assign(topic)
        ends, begins = self._consumer.end_offsets(places), self._consumer.beginning_offsets(places)
        return sum(ends[place] - begins[place] for place in places)

    def tails(self, topic: str, most: int) -> dict[int, list[Any]]:
        """By partition, its last records: those among the last `most` offsets, markers counted too."""
        places = self._assign(topic)
        ends, begins = self._consumer.end_offsets(places), self._consumer.beginning_offsets(places)
        for place in places:
            self._consumer.seek(place, max(begins[place], ends[place] - most))
        found: dict[int, list[Any]] = {place.partition: [] for place in places}
        for record in self._until(ends):
            found[record.partition].append(record)
        return found

    def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition: the offset of the record that comes next."""
        return {place.partition: end for place, end in self._consumer.end_offsets(self._assign(topic)).items()}

    def tail(self, topic: str, partition: int, most: int) -> Iterator[Any]:
        """The last records of one partition: those among its last `most` offsets, markers counted too."""
        (place,) = self._assign(topic, partition)
        end, begin = self._consumer.end_offsets([place])[place], self._consumer.beginning_offsets([place])[place]
        self._consumer.seek(place, max(begin, end - most))
        yield from self._until({place: end})

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition: the first offset that it holds, and the one behind its last."""
        places = self._assign(topic)
        ends, begins = self._consumer.end_offsets(places), self._consumer.beginning_offsets(places)
        return {place.partition: (begins[place], ends[place]) for place in places}

    def since(self, topic: str, positions: Mapping[int, int]) -> Iterator[Any]:
        """Records from `positions` (partition to offset; the beginning where none is named) up to the ends of now."""
        places = self._assign(topic)
        ends, begins = self._consumer.end_offsets(places), self._consumer.beginning_offsets(places)
        for place in places:
            self._consumer.seek(place, min(ends[place], max(begins[place], positions.get(place.partition, 0))))
        yield from self._until(ends)

    def begin(self, topic: str, partition: int) -> int:
        """The first offset that a partition still holds."""
        (place,) = self._assign(topic, partition)
        return int(self._consumer.beginning_offsets([place])[place])

    def stream(
        self, topic: str, *, from_beginning: bool, until_end: bool, partition: int | None = None
    ) -> Iterator[Any]:
        """Records as they come, a partition's in its order. until_end: up to the ends at the time of the call;
        partition: this one alone."""
        places = self._assign(topic, partition)
        ends = self._consumer.end_offsets(places)
        if from_beginning:
            self._consumer.seek_to_beginning(*places)
        else:
            for place in places:
                self._consumer.seek(place, ends[place])
        if until_end:
            yield from self._until(ends)
            return
        while True:
            for records in self._consumer.poll(timeout_ms=_POLL_MS).values():
                yield from records

    def _assign(self, topic: str, partition: int | None = None) -> list[Any]:
        numbers = range(self.partitions(topic)) if partition is None else (partition,)
        places = [TopicPartition(topic, number) for number in numbers]
        self._consumer.assign(places)
        self._consumer.resume(*places)  # the same places again keep what an earlier read paused
        return places

    def _until(self, ends: dict[Any, int]) -> Iterator[Any]:
        """The records below `ends`; a partition is left alone once its position has reached its end."""
        open_places = set(ends)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            reached = {place for place in open_places if self._consumer.position(place) >= ends[place]}
            open_places -= reached
            if reached:
                self._consumer.pause(*reached)
                deadline = time.monotonic() + PATIENCE_S
            if not open_places:
                return
            fetched = self._consumer.poll(timeout_ms=_POLL_MS)
            if fetched:
                deadline = time.monotonic() + PATIENCE_S
            elif time.monotonic() > deadline:
                left = ", ".join(f"{place.topic}[{place.partition}]" for place in sorted(open_places)[:3])
                raise LoyaltyError(f"Kafka gave nothing for {PATIENCE_S:.0f} s, short of the end of {left}; look at it")
            for place, records in fetched.items():
                yield from (record for record in records if record.offset < ends[place])
