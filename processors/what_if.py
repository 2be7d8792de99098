"""M4 what-if: what more retention, or money moved from winning to keeping, would do to customer equity, by R1's model.

Equity is the sum of `clv`. Of each customer the model lets expect F0, F1, ... purchases in the years ahead; retention
from one year to the next is R = F1 / F0, of all their purchases together the programme's. A what-if lets a part t of
what leaving takes away still be taken: R' = 1 - t (1 - R) for every customer, so whoever is likely to leave gains most,
nobody's passes 1, and the programme's becomes 1 - t (1 - R) by the same t. What a customer brings is then a polynomial
in t; its coefficients add up over customers, which makes every scenario cheap after one pass.

Money moved follows Blattberg and Deighton: of all who could be kept, spending K keeps c (1 - exp(-k K)), c being the
ceiling and k fitted to today's spending and retention; so R' = c (1 - (1 - R / c)^((K + moved) / K)), and each further
coin keeps fewer. A year's money keeps for one year: only the first transition changes, but who was kept stays on. Who
is not won for it is lost with what last year's newcomers brought and are expected to bring.

Sources: Gupta, Lehmann, Stuart 2004, "Valuing Customers", Journal of Marketing Research 41(1) (equity and retention);
Fader, Hardie 2010, "Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring Heterogeneity", Marketing
Science 29(1) (retention by customer, not one rate for all); Blattberg, Deighton 1996, "Manage Marketing by the Customer
Equity Test", Harvard Business Review 74(4).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from math import ceil
from typing import Any, Final, NamedTuple

from msgspec import Struct

from processors.customer import Customer
from processors.history import WINDOW_DAYS, History, within
from processors.lifetime import expected_in_days, expected_spend
from processors.money import half_even
from processors.policy import Policy
from processors.signals import by_silence
from processors.value import Rhythm, rhythm
from processors.worth import worth

_YEAR: Final = 365
CEILING: Final = Fraction(1)
"""Retention that no money exceeds. It is for who knows the trade to say how many move away or need nothing more."""


class Unknown(ValueError):
    """A question that the programme's records can't answer; the text says what is missing and where it comes from."""


class Sums(Struct):
    """Of one tier. clv: minor units. lasting, once: coefficients of what customers bring (minor units, today's worth)
    as a polynomial in t, where every year's retention changes, and where the first one's alone does."""

    customers: int = 0
    clv: int = 0
    lasting: tuple[float, ...] = ()
    once: tuple[float, ...] = ()


class Base(Struct):
    """What scenarios start from. bought, again: expected purchases of this year and of the next, of all. gained: who
    bought for the first time in the last 365 days, won: what winning them cost, brought: their contribution so far and
    their clv. keeping: cost to serve of the last 365 days, contacts and remedies. Amounts in minor units."""

    currency: str
    tiers: dict[str, Sums]
    bought: float = 0.0
    again: float = 0.0
    gained: int = 0
    won: int = 0
    brought: int = 0
    keeping: int = 0

    @property
    def equity(self) -> int:
        """The sum of all clv (V4), minor units."""
        return sum(one.clv for one in self.tiers.values())

    @property
    def retention(self) -> float | None:
        """Of the purchases expected this year the part expected the year after; None: nobody is expected to buy."""
        return self.again / self.bought if self.bought > 0.0 else None

    def take(self, customer: Customer, clock: int, policy: Policy) -> None:
        """One more customer, as of `clock` (ms)."""
        day = policy.calendar.day_of(max(clock, customer.now))
        facts = within(customer.history, day)
        who = rhythm(facts.purchase_days)
        alive = 0.0 if who is None else by_silence(who, policy)(day)[0]
        expected = worth(facts, who, alive, day, policy)
        held = self.tiers.setdefault(customer.told.tier, Sums())
        held.customers += 1
        held.clv += expected.clv
        self.keeping += facts.serve
        if who is None:
            return
        years = yearly(who, day, policy)
        self.bought += alive * years[0]
        self.again += alive * years[1]
        self._brings(held, _pieces(who, day, policy), years, _scale(facts, who, alive, expected.clv, day, policy))
        if who.first > day - WINDOW_DAYS:
            self.gained += 1
            self.won += 0 if facts.profile is None else facts.profile.acquisition_cost
            self.brought += facts.margin - facts.serve + expected.clv

    def _brings(self, held: Sums, pieces: Sequence[float], years: Sequence[float], scale: float) -> None:
        lasting, once = polynomials(pieces, years)
        held.lasting = _added(held.lasting, [scale * one for one in lasting])
        held.once = _added(held.once, [scale * one for one in once])


class Shift(NamedTuple):
    """Of money moved. budget: what winning cost last year; moved: of it; keeping: what that cost. won, won_less:
    customers. kept_value: what keeping more is worth; lost_value: what those not won would have brought. Amounts in
    minor units."""

    budget: int
    moved: int
    keeping: int
    won: int
    won_less: float
    kept_value: int
    lost_value: int


class Effect(NamedTuple):
    """What a scenario does. difference: to equity, all in all; by_tier: tier to (equity, difference by keeping), all
    minor units. shift: of a scenario that moves money."""

    scenario: str
    currency: str
    customers: int
    equity: int
    difference: int
    retention: float
    retention_then: float
    by_tier: dict[str, tuple[int, int]]
    shift: Shift | None = None

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it, a shift's figures beside the others."""
        told = self._asdict() | {"equity_then": self.equity + self.difference}
        del told["shift"]
        told["by_tier"] = {name: {"equity": n[0], "difference": n[1]} for name, n in self.by_tier.items()}
        return told if self.shift is None else told | self.shift._asdict()


def retention_up(base: Base, by: Fraction) -> Effect:
    """Retention of every year higher by `by` of itself (0.05: 80% becomes 84%), at most 1. Raises Unknown."""
    now = _retention(base)
    then = min(now * (1.0 + float(by)), 1.0)
    tiers = _differences(base, _left(now, then), lasting=True)
    total = sum(difference for _, difference in tiers.values())
    scenario = f"retention {float(by):+.1%}"
    return Effect(scenario, base.currency, _customers(base), base.equity, total, now, then, tiers)


def shift_budget(base: Base, share: Fraction, *, ceiling: Fraction = CEILING) -> Effect:
    """`share` of what winning customers cost last year goes into keeping them instead, for one year. Raises Unknown."""
    now = _retention(base)
    if base.won <= 0:
        raise Unknown("what winning customers cost is not known: send acquisition_cost with profiles on customers")
    if base.keeping <= 0:
        raise Unknown("what keeping customers costs is not known: give [costs] in the policy, or cost with contacts")
    if float(ceiling) <= now:
        raise Unknown(f"retention is {now:.1%} already: the ceiling must lie above it, and at most at 100%")
    moved = half_even(base.won * share.numerator, share.denominator)
    then = kept_by(now, float(ceiling), (base.keeping + moved) / base.keeping)
    tiers = _differences(base, _left(now, then), lasting=False)
    kept = sum(difference for _, difference in tiers.values())
    lost = half_even(base.brought * share.numerator, share.denominator)
    shift = Shift(base.won, moved, base.keeping, base.gained, base.gained * float(share), kept, lost)
    scenario = f"{float(share):.1%} of the acquisition budget into keeping"
    return Effect(scenario, base.currency, _customers(base), base.equity, kept - lost, now, then, tiers, shift)


def kept_by(now: float, ceiling: float, times: float) -> float:
    """Retention with `times` today's spending on keeping, where today's gives `now`, below `ceiling`.

    >>> round(kept_by(0.5, 0.9, 1.0), 6), round(kept_by(0.5, 0.9, 2.0), 4)
    (0.5, 0.7222)
    """
    return float(ceiling * (1.0 - (1.0 - now / ceiling) ** times))


def _retention(base: Base) -> float:
    now = base.retention
    if now is None:
        raise Unknown("nobody is expected to buy: there is nobody to keep")
    return now


def _left(now: float, then: float) -> float:
    """t: the part of what leaving takes that it still takes."""
    return (1.0 - then) / (1.0 - now) if now < 1.0 else 1.0


def _differences(base: Base, left: float, *, lasting: bool) -> dict[str, tuple[int, int]]:
    found = {}
    for name, held in base.tiers.items():
        terms = held.lasting if lasting else held.once
        found[name] = held.clv, round(sum(one * (left**power - 1.0) for power, one in enumerate(terms)))
    return found


def _customers(base: Base) -> int:
    return sum(one.customers for one in base.tiers.values())


# ---- one customer


def yearly(who: Rhythm, day: int, policy: Policy) -> tuple[float, ...]:
    """Expected purchases of whole years ahead of who is still there, as many as the horizon has, at least two."""
    return _steps(expected_in_days(who.x, who.age(day), _year_ends(policy.clv.horizon_days), policy.model))


def _pieces(who: Rhythm, day: int, policy: Policy) -> tuple[float, ...]:
    """The same of the horizon's years, the last one cut at the horizon, each at today's worth from its middle."""
    ends = _cut(policy.clv.horizon_days)
    steps = _steps(expected_in_days(who.x, who.age(day), ends, policy.model))
    rate, starts = 1.0 + float(policy.clv.discount_rate), (0, *ends)
    middles = ((start + end) / 2 / _YEAR for start, end in zip(starts, ends, strict=False))
    return tuple(step / rate**middle for step, middle in zip(steps, middles, strict=True))


def polynomials(pieces: Sequence[float], years: Sequence[float]) -> tuple[list[float], list[float]]:
    """What a customer brings as polynomials in t, lowest power first: all transitions changed, and the first alone.

    pieces: at today's worth, year by year; years: expected purchases, from which retention follows.
    """
    lasting, once = [0.0], [0.0, 0.0]
    grown = [1.0]  # the pieces' growth over what was expected
    for place, piece in enumerate(pieces):
        lasting = list(_added(lasting, [piece * one for one in grown]))
        if place == 0:
            once[0] += piece
        else:
            first = _transition(years, 0)
            once[0] += piece * first[0]
            once[1] += piece * first[1]
        if place + 1 < len(pieces):
            grown = _times(grown, _transition(years, place))
    return lasting, once


def _transition(years: Sequence[float], place: int) -> tuple[float, float]:
    """(1 - t (1 - R)) / R as (constant, factor of t), R the retention from year `place` to the next; (0, 0) where
    nothing is expected of it anyhow."""
    now, then = years[place], years[place + 1]
    return (now / then, 1.0 - now / then) if then > 0.0 else (0.0, 0.0)


def _times(terms: Sequence[float], factor: tuple[float, float]) -> list[float]:
    constant, slope = factor
    return list(_added([one * constant for one in terms], [0.0, *(one * slope for one in terms)]))


def _added(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip_longest(one, other, fillvalue=0.0))


def _scale(facts: History, who: Rhythm, alive: float, clv: int, day: int, policy: Policy) -> float:
    """What a purchase expected of the living is worth: the chance that they are, times the expected margin; where clv
    is the plain formula's, such that all of them make it."""
    if policy.spend is not None:
        bought = who.x + 1
        return alive * expected_spend(bought, facts.lifetime_margin / bought, policy.spend)
    total = sum(_pieces(who, day, policy))
    return clv / total if total > 0.0 else 0.0


def _steps(until: Sequence[float]) -> tuple[float, ...]:
    return tuple(after - before for before, after in zip((0.0, *until), until, strict=False))


@lru_cache
def _year_ends(horizon: int) -> tuple[int, ...]:
    return tuple(_YEAR * year for year in range(1, max(ceil(horizon / _YEAR), 2) + 1))


@lru_cache
def _cut(horizon: int) -> tuple[int, ...]:
    return (*range(_YEAR, horizon, _YEAR), horizon)
