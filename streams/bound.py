"""How much one batch takes on, by how long the last one took: nothing else happens in a worker while it folds."""

from __future__ import annotations

from typing import Final

FOLD_S: Final = 0.25
"""Seconds that the fold of one batch is to take at most: heartbeats, probes and other partitions wait for it."""

AIM_S: Final = 0.2
"""What the next batch is to take: one takes a quarter longer than the one before without being too long."""

LEAST: Final = 250
"""So many go into one batch however long they take: a commit has its price, too."""


class Bound:
    """Of so many at most, `first` before it is known how long they take, never more than `most`."""

    def __init__(self, first: int, most: int) -> None:
        self.now = min(first, most)
        self._most = most

    def took(self, number: int, seconds: float) -> None:
        """`number` of them took so long: as many as take AIM_S where that was too long, or where they were all that the
        bound lets through, and took less; never more than twice as many."""
        if seconds > FOLD_S or (seconds < AIM_S and number >= self.now):
            fits = int(number * AIM_S / seconds) if seconds else self._most
            self.now = max(min(fits, 2 * self.now, self._most), min(LEAST, self.now))
