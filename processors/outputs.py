"""What the core tells the world. Ids are deterministic (customer, kind, cause), so that a reader can drop repeats.

An output carries codes and numbers; sentences are made where it is encoded. Amounts: minor units; times: UTC ms.
"""

from __future__ import annotations

from msgspec import Struct


class ToNext(Struct, frozen=True, gc=False):
    """One condition of the next tier: what the customer has and what it needs."""

    condition: str
    have: int
    need: int


class TierChange(Struct, frozen=True, kw_only=True, gc=False):
    """A tier was won or lost (T1-T5).

    `code`, `have`, `need`: the condition that decided. `keep_until`: the instant at which the tier would be lost if
    nothing but time happened (None: it would not, within the window). `to_next`: what the next tier asks.
    `cause`: what decided, where the customer had been reviewed at this very instant before, for the id alone: late
    events may take a customer up, down and up again at one instant.
    """

    customer_id: str
    at: int
    policy: str
    from_tier: str
    to_tier: str
    direction: str  # UP | DOWN
    code: str
    have: int
    need: int
    value_365d: int
    currency: str
    keep_until: int | None
    next_tier: str | None
    to_next: tuple[ToNext, ...]
    benefits: tuple[str, ...]
    cause: str = ""

    @property
    def event_id(self) -> str:
        told = f"tier-changes:{self.customer_id}:{self.at}:{self.from_tier}:{self.to_tier}"
        return f"{told}:{self.cause}" if self.cause else told


Output = TierChange
