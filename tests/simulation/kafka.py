"""Kafka as the loop and the publisher meet it: logs, transactions, markers, gaps, fencing of producers.

An entry is a record, or None for what takes an offset and is never read: a transaction's marker, or a record that
compaction removed. A record of an open transaction hides all behind it; one of an aborted transaction is never seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct


class SimRecord(Struct, frozen=True):
    """A record as it is fetched. `value`: bytes, or what a model writes."""

    offset: int
    timestamp: int
    key: bytes | None
    value: Any
    headers: tuple[tuple[str, bytes], ...] = ()


class Transaction:
    """open, then committed or aborted."""

    def __init__(self) -> None:
        self.open = True
        self.committed = False
        self.touched: list[Log] = []


class Log:
    """One partition of one topic."""

    def __init__(self) -> None:
        self._records: list[SimRecord | None] = []
        self._by: list[Transaction | None] = []
        self._open: deque[tuple[int, Transaction]] = deque()

    @property
    def end(self) -> int:
        """The last stable offset."""
        while self._open and not self._open[0][1].open:
            self._open.popleft()
        return self._open[0][0] if self._open else len(self._by)

    def append(
        self, timestamp: int, key: bytes | None, value: Any, headers: Any = (), by: Transaction | None = None
    ) -> None:
        """One record, under a transaction or none."""
        if by is not None:
            self._open.append((len(self._by), by))
        self._records.append(SimRecord(len(self._records), timestamp, key, value, tuple(headers)))
        self._by.append(by)
        if by is not None and self not in by.touched:
            by.touched.append(self)

    def skip(self) -> None:
        """An offset that carries nothing to read."""
        self._records.append(None)
        self._by.append(None)

    def remove_nulls(self, until: int) -> int:
        """Compaction, long after: records without a value below offset `until` are gone. How many."""
        gone = [n for n, one in enumerate(self._records[:until]) if one is not None and one.value is None]
        for offset in gone:
            self._records[offset] = None
        return len(gone)

    def fetch(self, position: int, limit: int) -> tuple[list[SimRecord], int]:
        """Up to `limit` committed records from `position` on, and the next fetch position."""
        records: list[SimRecord] = []
        end = self.end
        while position < end and len(records) < limit:
            record, by = self._records[position], self._by[position]
            if record is not None and (by is None or by.committed):
                records.append(record)
            position += 1
        return records, position

    def read_committed(self, position: int = 0) -> Iterator[SimRecord]:
        """All that a read_committed reader sees."""
        return iter(self.fetch(position, len(self._records))[0])


class ProducerFenced(Exception):
    """Another producer took the transactional id."""


class Kafka:
    """All topics. `partitions` of each."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.logs: dict[tuple[str, int], Log] = {}
        self._producers: dict[str, Producer] = {}

    def log(self, topic: str, partition: int) -> Log:
        """One partition's log, made if it is not there."""
        return self.logs.setdefault((topic, partition), Log())

    def init_producer(self, transactional_id: str) -> Producer:
        """The producer of that id from now on; the one before is fenced, its open transaction aborted."""
        before = self._producers.get(transactional_id)
        if before is not None:
            before.fence()
        made = self._producers[transactional_id] = Producer(self)
        return made

    def read_committed(self, topic: str) -> Iterable[SimRecord]:
        """All of a topic, partition by partition."""
        for partition in range(self.partitions):
            yield from self.log(topic, partition).read_committed()


class Producer:
    """One life of a transactional producer."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._fenced = False
        self._now: Transaction | None = None

    def fence(self) -> None:
        self._end(committed=False)
        self._fenced = True

    def _checked(self) -> None:
        if self._fenced:
            raise ProducerFenced

    def begin(self) -> None:
        self._checked()
        assert self._now is None
        self._now = Transaction()

    def send(
        self, topic: str, partition: int, timestamp: int, key: bytes | None, value: Any, headers: Any = ()
    ) -> None:
        """Within the transaction; without one the record is there at once."""
        self._checked()
        self._kafka.log(topic, partition).append(timestamp, key, value, headers, self._now)

    def commit(self) -> None:
        self._checked()
        self._end(committed=True)

    def _end(self, committed: bool) -> None:
        if self._now is not None:
            self._now.open, self._now.committed = False, committed
            for log in self._now.touched:
                log.skip()
        self._now = None
