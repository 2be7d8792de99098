"""How much one batch takes on, by how long the last one took: nothing else happens in a worker while it folds."""

from __future__ import annotations

from typing import Final

FOLD_S: Final = 0.25
"""Seconds that the fold of one batch is to take at most: heartbeats, probes and other partitions wait for it."""

LEAST: Final = 250
"""So many go into one batch however long they take: a commit has its price, too."""


class Bound:
    """Of so many at most, `first` before it is known how long they take, never more than `most`."""

    def __init__(self, first: int, most: int) -> None:
        self.now = min(first, most)
        self._most = most

    def took(self, number: int, seconds: float) -> None:
        """`number` of them took so long: half of it where that is too long; twice as many where they were all that the
        bound lets through, and took little."""
        if seconds > FOLD_S:
            self.now = max(min(number, self.now) // 2, min(LEAST, self.now))
        elif seconds < FOLD_S / 2 and number >= self.now:
            self.now = min(2 * self.now, self._most)
