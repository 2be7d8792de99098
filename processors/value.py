"""V1: the rolling figures of a customer, derived from the facts alone, exact to the minor unit.

A figure at day d counts the last 365 programme days, d's own included. D2: a return takes back value and margin on its
own day and counts in `returns_365d`; the sale it belongs to stays a purchase made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import sub
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from processors.days import Calendar
from processors.history import WINDOW_DAYS, History, unpack_days, within
from processors.money import clamped, half_even


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


class Summed(Protocol):
    """The sums of a window, as facts have them."""

    @property
    def value(self) -> int: ...
    @property
    def sales(self) -> int: ...
    @property
    def returns(self) -> int: ...
    @property
    def margin(self) -> int: ...
    @property
    def serve(self) -> int: ...


Sum = Callable[[Summed, int, Calendar], int]
"""Reads one figure off the sums of the window ending on a programme day."""

SUMS: Final[Mapping[str, Sum]] = {
    "value_365d": lambda facts, day, calendar: facts.value,
    "purchases_365d": lambda facts, day, calendar: facts.sales,
    "returns_365d": lambda facts, day, calendar: facts.returns,
    "margin_365d": lambda facts, day, calendar: facts.margin,
    "cost_to_serve_365d": lambda facts, day, calendar: facts.serve,
    "contribution_365d": lambda facts, day, calendar: clamped(facts.margin - facts.serve),
}
"""Figures that sums alone decide."""

READERS: Final[Mapping[str, Reader]] = {
    **SUMS,
    "categories_365d": lambda facts, day, calendar: len(facts.categories),
    "referrals_365d": _referrals,
}
"""Each counted figure by name: a tier reads only those that it asks for."""


def figures(history: History, day: int, calendar: Calendar) -> Figures:
    """The figures (V1) of the window that ends on programme day `day`; facts lie on or before it."""
    facts = within(history, day)
    value, sales, margin, serve = facts.value, facts.sales, facts.margin, facts.serve
    who = rhythm(facts.purchase_days) if len(facts.purchase_days) >= 2 * _GAP_DAYS else None
    return Figures(
        value,
        sales,
        facts.returns,
        margin,
        serve,
        clamped(margin - serve),
        len(facts.categories),
        _referrals(facts, day, calendar) if facts.referred else 0,
        half_even(value, sales) if sales else None,
        None if who is None else who.gap,
    )


PACE_DAYS: Final = 30
"""The days up to the last purchase by which the pace is told at which somebody bought."""


class Rhythm(NamedTuple):
    """first, last: programme days of a purchase (counted as in `history`); x: purchase days after the first; gap: the
    usual one in days, None below three purchase days; pace: purchase days in the `PACE_DAYS` that end with the last."""

    first: int
    last: int
    x: int
    gap: float | None
    pace: int

    def age(self, day: int) -> int:
        """Days on programme day `day` since the first purchase. Here and in `silent` the last one is never ahead: facts
        keep the day of the policy that booked them, so one of a zone further west may find them on the day to come."""
        return max(day, self.last) - self.first

    def silent(self, day: int) -> int:
        """Days on programme day `day` since the last purchase."""
        return max(day - self.last, 0)


@lru_cache(maxsize=1 << 13)
def rhythm(purchase_days: bytes) -> Rhythm | None:
    """Of the packed purchase days; None without any. Remembered: reviews and views ask again for what stays."""
    if not purchase_days:
        return None
    days = unpack_days(purchase_days)
    count, last = len(days), days[-1]
    gap: float | None = None
    if count >= _GAP_DAYS:
        gaps = sorted(map(sub, days[1:], days))
        middle = len(gaps) // 2
        gap = float(gaps[middle]) if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2
    return Rhythm(days[0] - 1, last - 1, count - 1, gap, count - bisect_right(days, last - PACE_DAYS))


_GAP_DAYS: Final = 3
