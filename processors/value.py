"""V1: the rolling figures of a customer, derived from the facts alone, exact to the minor unit.

A figure at day d counts the last 365 programme days, d's own included. D2: a return takes back value and margin on its
own day and counts in `returns_365d`; the sale it belongs to stays a purchase made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import sub
from typing import Final

from msgspec import Struct

from processors.days import Calendar
from processors.history import WINDOW_DAYS, History, unpack_days, within
from processors.money import half_even


class Figures(Struct, frozen=True, gc=False):
    """Amounts in minor units of the programme's currency. None: there is no such figure (no purchase to average)."""

    value_365d: int
    purchases_365d: int
    returns_365d: int
    margin_365d: int
    cost_to_serve_365d: int
    contribution_365d: int
    categories_365d: int
    referrals_365d: int
    average_order: int | None
    usual_gap_days: float | None


Reader = Callable[[History, int, Calendar], int]
"""Reads one figure off facts that lie within the window ending on a programme day."""


def _referrals(facts: History, day: int, calendar: Calendar) -> int:
    return sum(calendar.day_of(at) > day - WINDOW_DAYS for at in facts.referred.values())


READERS: Final[Mapping[str, Reader]] = {
    "value_365d": lambda facts, day, calendar: facts.value,
    "purchases_365d": lambda facts, day, calendar: facts.sales,
    "returns_365d": lambda facts, day, calendar: facts.returns,
    "margin_365d": lambda facts, day, calendar: facts.margin,
    "cost_to_serve_365d": lambda facts, day, calendar: facts.serve,
    "contribution_365d": lambda facts, day, calendar: facts.margin - facts.serve,
    "categories_365d": lambda facts, day, calendar: len(facts.categories),
    "referrals_365d": _referrals,
}
"""Each counted figure by name: a tier reads only those that it asks for."""


def figures(history: History, day: int, calendar: Calendar) -> Figures:
    """The figures (V1) of the window that ends on programme day `day`; facts lie on or before it."""
    facts = within(history, day)
    value, sales, margin, serve = facts.value, facts.sales, facts.margin, facts.serve
    return Figures(
        value,
        sales,
        facts.returns,
        margin,
        serve,
        margin - serve,
        len(facts.categories),
        _referrals(facts, day, calendar) if facts.referred else 0,
        half_even(value, sales) if sales else None,
        usual_gap_days(facts.purchase_days),
    )


def usual_gap_days(purchase_days: bytes) -> float | None:
    """The median gap in days between distinct purchase days, over all of them; None below three."""
    if len(purchase_days) < 6:
        return None
    days = unpack_days(purchase_days)
    gaps = sorted(map(sub, days[1:], days))
    middle = len(gaps) // 2
    return float(gaps[middle]) if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2
