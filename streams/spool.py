"""Encoded records between reading a file and writing it to Kafka: in order of time or of the file, in bounded memory.

Nothing is written to Kafka before the whole file has been read: only then is it known what to warn of. What does not
fit into memory goes to temporary files (unlinked at once, so a crash leaves none), each sorted; they are merged on the
way out. The sort is stable: records of one instant stay in the file's order.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain
from typing import IO, NamedTuple

import xxhash

MEMORY_BYTES = 64 << 20
"""How much is held in memory before a run goes to disk; a run is read back in small pieces."""

RUNS_MAX = 64
"""So many files are open at most: then they are merged into one."""

_PIECE = 1_000
_OVERHEAD_BYTES = 300  # of a record in memory beside its value


class Item(NamedTuple):
    """One record on its way. at: `occurred_at`, ms. number: its place in the file, so that sorting is stable."""

    at: int
    number: int
    topic: str
    key: bytes
    value: bytes | None


class Spool:
    """Takes items once, gives them any number of times; `count`, `first_ms`, `last_ms` and `mark` tell of all of them.

    ordered: by time; else as they came.
    mark: a hash of what was taken, the same for any order of the same records.
    """

    def __init__(self, ordered: bool, memory_bytes: int = MEMORY_BYTES) -> None:
        self.ordered, self._memory_bytes = ordered, memory_bytes
        self.count = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self._hash = 0
        self._held: list[Item] = []
        self._held_bytes = 0
        self._runs: list[IO[bytes]] = []

    def add(self, at: int, topic: str, key: bytes, value: bytes) -> None:
        """Takes one record."""
        self._held.append(Item(at, self.count, topic, key, value))
        self.count += 1
        self.first_ms = at if self.first_ms is None else min(self.first_ms, at)
        self.last_ms = at if self.last_ms is None else max(self.last_ms, at)
        self._hash = (self._hash + xxhash.xxh3_64_intdigest(b"%b\0%b" % (topic.encode(), value))) & 0xFFFFFFFFFFFFFFFF
        self._held_bytes += len(value) + _OVERHEAD_BYTES
        if self._held_bytes > self._memory_bytes:
            self._to_disk()

    @property
    def mark(self) -> str:
        """The hash and the number of the records."""
        return f"{self._hash:016x}-{self.count}"

    def __iter__(self) -> Iterator[Item]:
        if self.ordered:
            self._held.sort()
        runs = [_read(run) for run in self._runs]
        yield from merge(*runs, self._held) if self.ordered else chain(*runs, self._held)

    def close(self) -> None:
        """Gives the disk back."""
        for run in self._runs:
            run.close()
        self._runs, self._held = [], []

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _to_disk(self) -> None:
        if self.ordered:
            self._held.sort()
        self._runs.append(_written(self._held))
        self._held, self._held_bytes = [], 0
        if len(self._runs) >= RUNS_MAX:
            read = [_read(run) for run in self._runs]
            merged = _written(merge(*read) if self.ordered else chain(*read))
            for run in self._runs:
                run.close()
            self._runs = [merged]


def _written(items: Iterable[Item]) -> IO[bytes]:
    run = tempfile.TemporaryFile(prefix="loyalty-import-")  # noqa: SIM115 - lives as long as the spool
    piece: list[tuple[object, ...]] = []
    for item in items:
        piece.append(tuple(item))
        if len(piece) >= _PIECE:
            pickle.dump(piece, run, pickle.HIGHEST_PROTOCOL)
            piece = []
    pickle.dump(piece, run, pickle.HIGHEST_PROTOCOL)
    return run


def _read(run: IO[bytes]) -> Iterator[Item]:
    """The items of a run that this process wrote. Each piece is found by its place: runs may be read side by side."""
    place, end = 0, run.seek(0, 2)
    while place < end:
        run.seek(place)
        piece = pickle.load(run)
        place = run.tell()
        yield from map(Item._make, piece)
