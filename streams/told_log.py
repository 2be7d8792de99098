"""The log of dead letters: where each record lay and what class of error it was; never its fields, which are data.

A till that sends nothing else would fill the disk, so of a partition at most MOST are told one by one in EVERY_S, and
then how many there were. All of them are counted (`loyalty_dead_letters_total`) and lie in `dead-letters`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Final

from schemas.topics import DEAD_LETTERS
from sinks.commit import Commit, Record
from sinks.marks import Marks
from streams.tracing import Traces

MOST: Final = 5
EVERY_S: Final = 10.0

log = logging.getLogger("loyalty.dead_letters")


@dataclass(frozen=True, slots=True)
class Telling:
    """What a runner tells beside its metrics. marks: of customers, for the log; traces: None where they are off."""

    marks: Marks = field(default_factory=Marks)
    traces: Traces | None = None


class DeadLetterLog:
    """Of one partition. `committed` is told each commit once it is in Redis."""

    def __init__(self, partition: int, marks: Marks) -> None:
        self._partition, self._marks = partition, marks
        self._since, self._told, self._more = -EVERY_S, 0, 0

    def committed(self, commit: Commit) -> None:
        """Costs nothing where the commit has no dead letter."""
        if not any(name.startswith("dead_letters:") for name in commit.counts):
            return
        now = time.monotonic()
        if now - self._since >= EVERY_S:
            if self._more:
                log.warning("%d more dead letters: see `loyalty dead-letters list`", self._more, extra=self._where())
            self._since, self._told, self._more = now, 0, 0
        for record in commit.outbox:
            if record.topic != DEAD_LETTERS:
                continue
            if self._told < MOST:
                self._told += 1
                self._tell(record)
            else:
                self._more += 1

    def _tell(self, record: Record) -> None:
        told = {name.removeprefix("dlq."): held.decode() for name, held in record.headers if name.startswith("dlq.")}
        where = self._where() | {"topic": told["topic"], "offset": int(told["offset"])}
        if record.key:
            where["customer"] = self._marks.of(record.key)
        log.warning("a dead letter: %s", told["error"], extra=where)

    def _where(self) -> dict[str, object]:
        return {"partition": self._partition}
