"""M4 what-if: what scenarios say, held against the sentence of the formula worked out year by year, without algebra."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import what_if as core
from processors.policy import Policy
from processors.review import evaluated
from processors.value import Rhythm
from processors.view import view
from processors.what_if import Base, Sums, Unknown
from streams.cli.what_if import _fraction
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.strategies import DAY_MS, event_of, histories, policies, policy_of

HEAD = '[programme]\nname = "if"\nversion = 1\ncurrency = "USD"\ntime_zone = "{zone}"\n[[tiers]]\nname = "member"\n'
CLV = "[clv]\nhorizon_days = {days}\ndiscount_rate = {rate}\nspend = {{ p = 0.53, q = 3.97, v = 5278.7 }}\n"
NOON = ny("2024-05-01T12:00")


def grown(pieces: list[float], years: list[float], left: float, *, lasting: bool) -> float:
    """What a customer brings when of each transition (or of the first alone) only `left` of the loss still happens."""
    total, bought = 0.0, years[0]
    for place, piece in enumerate(pieces):
        if place:
            kept = years[place] / years[place - 1]
            changed = 1.0 - left * (1.0 - kept) if lasting or place == 1 else kept
            bought *= changed
        total += piece * (bought / years[place])
    return total


@st.composite
def flows(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Pieces and yearly purchases, which never rise."""
    years = sorted(draw(st.lists(st.floats(0.01, 50.0), min_size=2, max_size=6)), reverse=True)
    worth = draw(st.lists(st.floats(0.1, 1.0), min_size=len(years), max_size=len(years)))
    pieces = [year * one for year, one in zip(years, worth, strict=True)]
    return pieces[: draw(st.integers(1, len(pieces)))], years


@given(flows(), st.floats(0.0, 2.0))
def test_M4_the_polynomial_is_the_sentence_worked_out_year_by_year(drawn, left):
    pieces, years = drawn
    for lasting, terms in zip((True, False), core.polynomials(pieces, years), strict=True):
        told = sum(one * left**power for power, one in enumerate(terms))
        assert told == pytest.approx(grown(pieces, years, left, lasting=lasting), rel=1e-6, abs=1e-9)
    if left <= 1.0:
        lasting, once = (sum(one * left**power for power, one in enumerate(t)) for t in core.polynomials(pieces, years))
        assert lasting >= once - 1e-9
        assert once >= sum(pieces) - 1e-6, "who is kept brings no less"


def filled(policy: Policy, drawn: list) -> tuple[Base, list]:
    """A base of some customers, each a history of their own, and their views."""
    base, views = Base(policy.programme.currency, {}), []
    clock = max(event["occurred_at"] for events in drawn for event in events) + 5 * DAY_MS
    partition = Partition(policy)
    for number, events in enumerate(drawn):
        partition.run([event_of(event | {"customer_id": f"c{number}"}) for event in events])
    partition.run([clock])
    for customer in partition.customers.values():
        base.take(customer, clock, policy)
        views.append(view(evaluated(customer, clock, policy), policy))
    return base, views


@given(st.data(), st.booleans(), st.fractions(Fraction(-1, 2), Fraction(1, 2), max_denominator=50))
@settings(max_examples=30)
def test_M4_V4_equity_is_the_sum_of_clv_and_retention_moves_by_what_was_asked(data, fitted, by):
    text = data.draw(policies("UTC"))
    if fitted:
        text += CLV.format(days=data.draw(st.sampled_from((365, 500, 1095, 1200))), rate="0.1")
    policy = policy_of(text)
    drawn = data.draw(st.lists(histories("UTC", most=8), min_size=1, max_size=4))
    base, views = filled(policy, drawn)
    assert base.equity == sum(one["clv"] for one in views)
    assert sum(one.customers for one in base.tiers.values()) == len(views)
    if base.retention is None:
        with pytest.raises(Unknown, match="nobody is expected to buy"):
            core.retention_up(base, by)
        return
    assert 0.0 <= base.retention <= 1.0
    effect = core.retention_up(base, by)
    assert effect.retention_then == pytest.approx(min(base.retention * (1.0 + float(by)), 1.0))
    assert effect.difference == sum(difference for _, difference in effect.by_tier.values())
    assert core.retention_up(base, Fraction(0)).difference == 0
    if fitted and by > 0 and all((one["margin_365d"] or 0) >= 0 and one["lifetime_value"] > 0 for one in views):
        assert effect.difference >= -len(base.tiers)


@given(st.integers(0, 60), st.integers(0, 700), st.integers(0, 300), st.sampled_from((200, 365, 366, 730, 900, 1095)))
def test_M4_what_a_customer_brings_is_their_clv_where_serving_costs_nothing(x, span, silent, days):
    policy = policy_of(HEAD.format(zone="UTC") + CLV.format(days=days, rate="0.1"))
    first = 19_000
    gaps = [first + span * n // max(x, 1) for n in range(x + 1)]
    events = [sale(day * DAY_MS + 1, 10_000, n) for n, day in enumerate(sorted(set(gaps)))]
    clock = (max(gaps) + silent) * DAY_MS + 5
    customer = Partition(policy).run(plainly([*events, clock])).customers["anna"]
    base = Base("USD", {})
    base.take(customer, clock, policy)
    for terms in (base.tiers["member"].lasting, base.tiers["member"].once):
        assert sum(terms) == pytest.approx(base.equity, abs=0.6, rel=1e-9)


def test_M4_retention_is_of_the_living_and_counts_purchases():
    policy = policy_of(HEAD.format(zone="UTC"))
    years = core.yearly(Rhythm(19_000, 19_300, 40, 7.0, 4), 19_300, policy)
    assert len(years) == 3
    assert years[0] > years[1] > years[2] > 0


BASE = Base("USD", {"gold": Sums(10, 1_000_000, (600_000.0, -200_000.0), (600_000.0, -200_000.0))}, 100.0, 80.0)


def with_costs(won: int = 90_000, keeping: int = 30_000) -> Base:
    return Base("USD", BASE.tiers, 100.0, 80.0, 30, won, 300_000, keeping)


def test_M4_retention_up_by_5_percent_by_hand():
    """80% becomes 84%: of what leaving took, 16/20 is left: -200,000 x (0.8 - 1)."""
    told = core.retention_up(BASE, Fraction(5, 100))
    assert (told.equity, told.difference, round(told.retention_then, 9)) == (1_000_000, 40_000, 0.84)
    assert told.as_json()["equity_then"] == 1_040_000
    assert core.retention_up(BASE, Fraction(1)).difference == 200_000, "nobody leaves any more: it ends at 1"


def test_M4_a_third_of_the_budget_into_keeping_by_hand():
    """30,000 of 90,000 doubles keeping: of the 20% that leave 0.2 x 0.2 = 4% still do, a fifth of the loss."""
    told = core.shift_budget(with_costs(), Fraction(1, 3))
    assert told.shift is not None
    assert (told.shift.moved, told.shift.won_less, told.shift.lost_value) == (30_000, 10.0, 100_000)
    assert (round(told.retention_then, 9), told.shift.kept_value) == (0.96, 160_000)
    assert told.difference == 60_000
    low = core.shift_budget(with_costs(), Fraction(1, 3), ceiling=Fraction(85, 100))
    assert low.retention_then < 0.85
    assert low.difference < told.difference


@given(st.floats(0.01, 0.89), st.floats(0.9, 1.0), st.floats(1.0, 50.0), st.floats(1.0, 50.0))
def test_M4_each_further_coin_keeps_fewer_and_never_above_the_ceiling(now, ceiling, times, more):
    once, twice = core.kept_by(now, ceiling, times), core.kept_by(now, ceiling, times + more)
    assert now - 1e-9 <= once <= twice <= ceiling
    middle = core.kept_by(now, ceiling, times + more / 2)
    assert middle - once >= twice - middle - 1e-9


@pytest.mark.parametrize(
    ("base", "ceiling", "missing"),
    [
        (with_costs(won=0), 1, "acquisition_cost"),
        (with_costs(keeping=0), 1, r"\[costs\]"),
        (with_costs(), Fraction(8, 10), "the ceiling must lie above it"),
        (Base("USD", {}), 1, "nobody is expected to buy"),
    ],
)
def test_M4_what_is_not_known_is_named_with_where_it_comes_from(base, ceiling, missing):
    with pytest.raises(Unknown, match=missing):
        core.shift_budget(base, Fraction(1, 3), ceiling=Fraction(ceiling))


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", Fraction(1, 20)), ("0.05", Fraction(1, 20)), ("1/3", Fraction(1, 3)), ("much", None), ("1/0", None)],
)
def test_M4_shares_are_read_as_people_write_them(text, share):
    assert _fraction(text) == share
