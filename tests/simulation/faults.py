"""Which faults there are and how often each strikes. All come from one generator, so a seed is the whole report."""

from __future__ import annotations

from collections import Counter
from random import Random

#: Fault -> how often it strikes where it can, at full strength.
RATES = {
    "crash_before": 0.02,  # the worker dies with the effect undone
    "crash_after": 0.02,  # … with the effect done and nobody told
    "lost_reply": 0.06,  # a commit that happened, its answer lost: it is sent again
    "duplicate": 0.04,  # the client sends a commit twice by itself
    "late_copy": 0.04,  # a copy of a commit wanders about and arrives later
    "zombie": 0.04,  # the owner sleeps with a commit in its hands while another takes over
    "redelivery": 0.10,  # record sets from below what was handed over
    "rebalance": 0.004,  # partitions move, whatever their loops are at
    "publisher_crash": 0.05,  # between the Kafka commit and the trim of the outbox, or before the commit
    "redis_rewind": 0.0,  # Redis comes back as it was a while ago
}


_HARMLESS = frozenset(("redelivery",))
"""They never keep a run from coming to rest, so they are not counted against its bound."""


class Faults:
    """strength: 0 none, 1 the rates above. `left`: how many may still happen, so that every run comes to rest."""

    def __init__(self, rng: Random, strength: float = 1.0, left: int = 40, **rates: float) -> None:
        self.rng = rng
        self.happened: Counter[str] = Counter()
        self._left = left if strength > 0 else 0
        self._rates = {name: rate * strength for name, rate in (RATES | rates).items()}

    def strikes(self, fault: str) -> bool:
        """Whether it happens now."""
        if self._left <= 0 or self.rng.random() >= self._rates[fault]:
            return False
        self._left -= fault not in _HARMLESS
        self.happened[fault] += 1
        return True

    def can(self, fault: str) -> bool:
        """Whether it may still happen."""
        return self._left > 0 and self._rates[fault] > 0

    def stop(self) -> None:
        """No more faults."""
        self._left = 0


def none(rng: Random) -> Faults:
    """An undisturbed run."""
    return Faults(rng, strength=0)
