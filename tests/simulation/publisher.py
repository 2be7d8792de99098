"""The outbox to Kafka as a model: whole commits in one transaction, with the position, then the trim.

Each `yield` is a place where the process may die or sleep. The algorithm is that of `sinks/outbox.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.partitioner import partition_of
from schemas.topics import CUSTOMER_VALUE, OUTBOX_POSITIONS
from sinks.memory import MemoryStore
from sinks.store import Pending
from tests.simulation.faults import Faults
from tests.simulation.kafka import Kafka, Producer


class OutboxAhead(Exception):
    """More was published than Redis knows of. `position`: how far."""

    def __init__(self, position: dict[str, Any]) -> None:
        super().__init__(position["seq"])
        self.position = position


class PublisherDied(Exception):
    """The publisher lost its connection: it starts again from the position in Kafka."""


def last_position(kafka: Kafka, partition: int) -> dict[str, Any] | None:
    """How far the partition's outbox is published, as the last committed record says."""
    told = list(kafka.log(OUTBOX_POSITIONS, partition).read_committed())
    return told[-1].value if told else None


class Publisher:
    """Of one owner of one partition. `busy`: there was something to publish when it last looked."""

    def __init__(self, partition: int, kafka: Kafka, store: MemoryStore, faults: Faults, now: Any) -> None:
        self._partition, self._kafka, self._store, self._faults, self._now = partition, kafka, store, faults, now
        self._entry = "0-0"
        self._producer: Producer | None = None
        self._position: dict[str, Any] | None = None

    def start(self) -> Iterator[str]:
        """Fence whoever published before, then read how far they came: in this order. Raises OutboxAhead."""
        self._producer = self._kafka.init_producer(f"outbox-{self._partition}")
        yield "producer"
        position = last_position(self._kafka, self._partition)
        if position is not None:
            fence = self._store.fence(self._partition)
            if position["seq"] > fence.seq or fence.recovers:
                raise OutboxAhead(position)
            self._entry, self._position = position["entry"], position
            self._store.published(self._partition, self._entry, position["views_seq"])
        yield "position"

    def run(self) -> Iterator[str]:
        """For ever. Raises ProducerFenced where another took over."""
        while True:
            pending = self._store.pending(self._partition, self._entry, self._faults.rng.randint(1, 8), 5)
            if self._position is not None and pending.fence.seq < self._position["seq"]:
                raise OutboxAhead(self._position)
            yield "pending"
            if not pending.entries and not pending.views:
                continue
            try:
                yield from self._publish(pending)
            except PublisherDied:
                yield from self.start()

    def _publish(self, pending: Pending) -> Iterator[str]:
        producer, partition = self._producer, self._partition
        assert producer is not None
        producer.begin()
        for _, record in pending.entries:
            to = partition if record.customer_id is None else self._place(record.customer_id.encode())
            producer.send(record.topic, to, self._now(), record.key, record.value, record.headers)
        yield "sent"
        for name, flat in pending.views:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            producer.send(CUSTOMER_VALUE, self._place(name), self._now(), name, fields)
        entry = pending.entries[-1][0] if pending.entries else self._entry
        fence = pending.fence
        position = {
            "entry": entry,
            "seq": fence.seq,
            "views_seq": pending.views_seq,
            "clock": fence.clock,
            "positions": dict(fence.positions),
        }
        producer.send(OUTBOX_POSITIONS, partition, self._now(), str(partition).encode(), position)
        if self._faults.strikes("publisher_crash"):
            raise PublisherDied
        yield "position sent"
        producer.commit()
        self._entry, self._position = entry, position
        if self._faults.strikes("publisher_crash"):
            raise PublisherDied
        yield "committed"
        self._store.published(partition, entry, pending.views_seq)
        yield "trimmed"

    def _place(self, key: bytes) -> int:
        return partition_of(key, self._kafka.partitions)
