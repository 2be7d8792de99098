"""V2, V3, R4: break-even and lifetime value, against the papers' forms in high precision and the log itself."""

from __future__ import annotations

import mpmath
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.review import evaluated
from processors.view import view
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.oracle import dates, life
from tests.oracle import worth as oracle
from tests.strategies import DAY_MS, Plain, histories, parsed, policies, policy_of

AT = 1_750_000_000_000
PLAIN = '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'


@st.composite
def clvs(draw: st.DrawFn) -> str:
    """A table [clv]: years in full, less than one, and with a rest; fitted or not."""
    spend = draw(
        st.sampled_from(("", "spend = { p = 0.5321, q = 3.9713, v = 5278.7 }", "spend = { p = 6, q = 1.2, v = 9 }"))
    )
    return (
        f"\n[clv]\nhorizon_days = {draw(st.sampled_from((1, 100, 364, 365, 366, 730, 800, 1095)))}\n"
        f"discount_rate = {draw(st.sampled_from((0, 0.1, 0.5)))}\n{spend}\n"
    )


def near(got: float, want: mpmath.mpf, room: float = 0.0) -> bool:
    return abs(got - want) <= room + 1e-6 * abs(want)


@given(policies(), clvs(), st.data())
@settings(max_examples=150, deadline=None)
def test_V3_R1_R4_lifetime_value_is_the_papers_at_any_day(text, clv, data):
    text += clv
    policy, zone = policy_of(text), parsed(text)["programme"]["time_zone"]
    events = data.draw(histories(zone))
    clock = events[-1]["occurred_at"] + data.draw(st.integers(0, 700)) * DAY_MS
    anna = Partition(policy).run([*plainly(events), clock]).customers["anna"]
    shown = view(evaluated(anna, clock, policy), policy)
    facts, today = life(events, parsed(text)).facts, dates.day(clock, zone)
    with mpmath.workdps(30):
        want, basis = oracle.clv(facts, clock, today, parsed(text))
        bought = oracle.expected_purchases(facts, today, parsed(text))
    assert shown["clv_basis"] == basis
    assert shown["clv"] == want if basis == "plain" else near(shown["clv"], want, 0.5001)
    if bought is None:
        assert (shown["expected_purchases"], shown["value_at_stake"]) == (None, None)
    else:
        assert near(shown["expected_purchases"], bought)
        assert shown["value_at_stake"] == max(shown["clv"], 0)


def won_for(cost: int, at: int, number: int) -> Plain:
    return {
        "topic": "customers", "event_id": f"p{number}", "customer_id": "anna", "occurred_at": at, "joined_at": AT,
        "acquisition_cost": cost,
    }  # fmt: skip


@given(policies(), st.data())
@settings(max_examples=150, deadline=None)
def test_V2_the_day_of_break_even_is_kept(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    for event in events:
        if event["topic"] == "customers":
            event["acquisition_cost"] = data.draw(st.sampled_from((0, 0, 1, 50, 300, 100_000)))
    anna = Partition(policy).run(plainly(events)).customers["anna"]
    assert view(anna, policy)["paid_back_at"] == oracle.paid_back_at(events, parsed(text))


def test_V2_neither_a_return_nor_a_dearer_past_takes_break_even_back():
    policy = policy_of(PLAIN)
    day = DAY_MS
    log = [won_for(500, AT, 1), sale(AT + day, 1_000, 1), sale(AT + 2 * day, 1_000, 2)]  # a margin of a quarter each
    partition = Partition(policy).run(plainly(log[:2]))
    assert view(partition.customers["anna"], policy)["paid_back_at"] is None
    partition.run(plainly(log[2:]))
    partition.run(plainly([sale(AT + 3 * day, 1_000, 2, kind="RETURN"), won_for(9_000, AT + 4 * day, 2)]))
    assert view(partition.customers["anna"], policy)["paid_back_at"] == AT + 2 * day
