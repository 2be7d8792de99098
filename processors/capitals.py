"""V7 three capitals of a customer: brand, value and relation, each 0 to 100 by rank among all customers.

What ranks are points, whole numbers that follow from facts and from `clv` as it was counted: so counters by points,
kept as differences like every sum of the programme, are the ranking of everybody, and one customer's rank is read from
them. Nothing of it is part of a review. Tenure is counted from a fixed month: all grow by one a month together, so that
no rank moves by it and nobody has to be counted anew.

brand: what they do for our name: customers they brought, recommendations and what they would give us, of 0 to 10.
value: `clv`, in classes of 1.6% (`sketch`); nothing and losses are one.
relation: months since we first heard of them, contacts of the year, channels they consent to, months on end in which
they bought, up to the last one they did.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from processors.customer import Customer
from processors.days import DAY_MS
from processors.history import FIRST_DAY, History, unpack_days
from processors.money import half_even
from processors.sketch import class_of

_FAMILY: Final = "capital_"
_BROUGHT, _RECOMMENDED, _NO_SCORE = 20, 10, 5
_TOUCH, _CONSENT, _STREAK = 2, 3, 2
_TOUCHES_MAX, _STREAK_MAX = 24, 24
_BROUGHT_MAX: Final = 50
_TENURE_FROM: Final = 2_400
"""Months after 1970 began: later than anybody's first contact."""


class Points(NamedTuple):
    """What a customer ranks by in each capital."""

    brand: int
    value: int
    relation: int


class Capitals(NamedTuple):
    """Ranks, 0 to 100: the share of customers with fewer points, those with as many counting half."""

    brand: int
    value: int
    relation: int


def points(facts: History, clv: int) -> Points:
    """The points of a customer (V7). facts: within the window; clv: minor units."""
    return Points(_brand(facts), class_of(clv) if clv > 0 else 0, _relation(facts))


def _brand(facts: History) -> int:
    if not facts.touches and not facts.referred:
        return _NO_SCORE
    given, score = 0, _NO_SCORE
    for touch in facts.touches:  # by time
        given += touch.kind == "RECOMMENDATION" and touch.direction == "IN"
        if touch.kind == "SURVEY" and touch.score is not None:
            score = touch.score
    brought = min(len(facts.referred), _BROUGHT_MAX)
    return _BROUGHT * brought + _RECOMMENDED * min(given, _BROUGHT_MAX) + score


def _relation(facts: History) -> int:
    first = 0 if facts.first_at is None else max(facts.first_at, 0)
    tenure = _TENURE_FROM - month_of(first // DAY_MS)
    consents = 0 if facts.profile is None else sum(facts.profile.consent.values())
    touches = min(len(facts.touches), _TOUCHES_MAX)
    streak = min(months_on_end(facts.purchase_days), _STREAK_MAX)
    return tenure + _TOUCH * touches + _CONSENT * consents + _STREAK * streak


def month_of(day: int) -> int:
    """The month that a day since 1970 lies in, months being a 48th of four years: the same in every time zone.

    >>> month_of(0), month_of(31), month_of(365), month_of(1461)
    (0, 1, 11, 48)
    """
    return day * 48 // 1461


@lru_cache(maxsize=1 << 13)
def months_on_end(purchase_days: bytes) -> int:
    """So many months without a gap, up to the last one with a purchase, have one; 0: nobody bought."""
    months = sorted({month_of(max(day + FIRST_DAY, 0)) for day in unpack_days(purchase_days)}, reverse=True)
    return next((n for n, month in enumerate(months) if month != months[0] - n), len(months))


def count_capitals(counts: Counter[str], before: Customer | None, after: Customer | None) -> None:
    """Add to `counts` what changed between `before` and `after` in how many customers have which points (V7)."""
    old, new = _counted(before), _counted(after)
    if old == new:
        return
    for place in range(len(Points._fields)):
        was, now = None if old is None else old[place], None if new is None else new[place]
        if was != now:
            if was is not None:
                counts[_name(place, was)] -= 1
            if now is not None:
                counts[_name(place, now)] += 1


@lru_cache(maxsize=1 << 13)
def _name(place: int, class_: int) -> str:
    return f"{_FAMILY}{Points._fields[place]}:{class_}"


def _counted(customer: Customer | None) -> Points | None:
    if customer is None or customer.counted is None:
        return None
    return points(customer.history, customer.counted.clv)


class Ranking:
    """Everybody's points, from the programme's counters of all partitions together. customers: how many are ranked."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._ladders = [_Ladder.of(f"{_FAMILY}{name}:", counts) for name in Points._fields]
        self.customers = self._ladders[0].customers

    def of(self, own: Points) -> Capitals | None:
        """The capitals of who has `own` points (V7); None: nobody is counted yet."""
        if not self.customers:
            return None
        return Capitals(*(ladder.rank(one) for ladder, one in zip(self._ladders, own, strict=True)))


class _Ladder(NamedTuple):
    """classes: rising; below: customers below each, and all of them at the end."""

    classes: list[int]
    below: list[int]

    @classmethod
    def of(cls, lead: str, counts: Mapping[str, int]) -> _Ladder:
        held = sorted((int(key[len(lead) :]), n) for key, n in counts.items() if n and key.startswith(lead))
        return cls([one for one, _ in held], list(accumulate((n for _, n in held), initial=0)))

    @property
    def customers(self) -> int:
        return self.below[-1]

    def rank(self, own: int) -> int:
        at = bisect_left(self.classes, own)
        there = at < len(self.classes) and self.classes[at] == own
        return half_even(100 * (self.below[at] + self.below[at + there]), 2 * self.customers)
