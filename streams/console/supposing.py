"""What-if, as the process of the passes works it out: from settings and texts to what a page shows."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from msgspec import Struct

from processors.policy import PolicyError
from streams.customers_now import CustomersNow
from streams.policy_diff import Diff, policy_diff
from streams.settings import LoyaltyError, Settings
from streams.texts import usable_policy
from streams.what_if import Base, Unknown, base, retention_up, shift_budget

MOVERS: Final = 100
AHEAD_DAYS: Final = 30
SAMPLE: Final = 300


class Supposed(Struct, frozen=True):
    """What a scenario does, as `Effect.as_json` has it; missing: why it can't be said."""

    told: Mapping[str, Any] | None
    missing: str = ""


def base_of(settings: Settings) -> Base:
    """One pass over the customers."""
    with CustomersNow(settings) as now:
        return base(now)


def compared(settings: Settings, text: str) -> Diff:
    """Another policy, by its text, against the one in force. Raises LoyaltyError with every problem of the text."""
    try:
        policy = usable_policy(text)
    except PolicyError as error:
        raise LoyaltyError("\n".join(error.problems)) from None
    with CustomersNow(settings) as now:
        return policy_diff(now, policy, days=AHEAD_DAYS, sample=SAMPLE, limit=MOVERS)


def more_retention(start: Base, by: Fraction) -> Supposed:
    """Retention of every year up by so much of itself."""
    try:
        return Supposed(retention_up(start, by).as_json())
    except Unknown as unknown:
        return Supposed(None, str(unknown))


def moved_budget(start: Base, share: Fraction) -> Supposed:
    """So much of last year's acquisition budget into keeping."""
    try:
        return Supposed(shift_budget(start, share).as_json())
    except Unknown as unknown:
        return Supposed(None, str(unknown))


def share_of(text: str, least: Fraction, most: Fraction) -> Fraction | None:
    """A percentage as typed, as a share between `least` and `most`; None: it is none.

    >>> share_of("5", Fraction(0), Fraction(1))
    Fraction(1, 20)
    """
    try:
        found = Fraction(text.strip().removesuffix("%").strip()) / 100
    except (ValueError, ZeroDivisionError):
        return None
    return found if least <= found <= most else None
