"""V1: the rolling figures, against the oracle and on the days where a formula may slip."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.customer import apply, newcomer
from processors.history import History
from processors.value import figures
from tests.core.driving import LAST_MS, Partition, plainly
from tests.core.events import ny, sale
from tests.oracle import Facts, life
from tests.strategies import CATEGORIES, DAY_MS, deliveries, event_of, histories, instants, parsed, policies, policy_of

POLICY = """
[programme]
name = "table"
version = 1
currency = "USD"
time_zone = "America/New_York"
[[tiers]]
name = "member"
[margin]
default_rate = 0.25
rates = { wine = 0.35 }
[costs]
complaint = 1500
channels = { phone = 300 }
[currencies]
rates = { EUR = 1.085, JPY = 0.0065, KWD = 3.2575 }
"""
NAMES = ("value_365d", "purchases_365d", "returns_365d", "margin_365d", "cost_to_serve_365d", "contribution_365d",
         "categories_365d", "referrals_365d", "average_order", "usual_gap_days")  # fmt: skip


def folded(events, policy):
    start = newcomer("anna", 0, policy.tiers[0].name, "")
    return reduce(lambda one, event: apply(one, event_of(event), policy), events, start).history


@given(policies(), st.data())
def test_V1_figures_equal_the_oracle_in_any_order_and_with_repeats(text, data):
    policy, plain = policy_of(text), parsed(text)
    zone = policy.programme.time_zone
    events = data.draw(histories(zone))
    now = max(events[-1]["occurred_at"], data.draw(instants(zone)))
    history = folded(data.draw(deliveries(events)), policy)
    expected = Facts(plain)
    for event in events:
        expected.fold(event)
    view = expected.view(now)
    figs = figures(history, policy.calendar.day_of(now), policy.calendar)
    assert {name: getattr(figs, name) for name in NAMES} == {name: view[name] for name in NAMES}
    kept = ("lifetime_value", "lifetime_purchases", "first_purchase_at", "last_purchase_at")
    assert {name: getattr(history, name) for name in kept} == {name: view[name] for name in kept}
    assert sum(one.status != "RESOLVED" for one in history.complaints) == view["open_complaints"]
    assert history.first_at == events[0]["occurred_at"]


@pytest.mark.parametrize(
    ("at", "now", "counts"),
    [
        ("2023-03-01T00:00", "2024-02-28T23:59:59.999", True),  # 364 days before, no leap day between
        ("2023-03-01T23:59:59.999", "2024-02-29T00:00", False),
        ("2024-02-29T12:00", "2025-02-27T23:59:59.999", True),  # a purchase on the leap day
        ("2024-02-29T12:00", "2025-02-28T00:00", False),
        ("2024-02-28T23:59:59.999", "2025-02-27T00:00", False),  # 365 days later; the leap day lies between
        ("2024-03-10T03:00", "2025-03-09T23:59:59.999", True),  # the clocks change on both days
        ("2023-11-05T00:30", "2024-11-03T23:59:59.999", True),
        ("2023-11-05T00:30", "2024-11-04T00:00", False),
        ("2024-06-01T12:00", "2024-06-01T12:00", True),  # the window has now's own day
    ],
)
def test_V1_the_window_is_the_last_365_programme_days_with_todays(at, now, counts):
    policy = policy_of(POLICY)
    history = folded([sale(ny(at))], policy)
    figs = figures(history, policy.calendar.day_of(ny(now)), policy.calendar)
    assert (figs.purchases_365d, figs.value_365d) == ((1, 100) if counts else (0, 0))
    assert history.lifetime_value == 100


@pytest.mark.parametrize(
    ("currency", "net", "cost", "value", "margin"),
    [
        ("USD", 2, None, 2, 0),  # 0.5 to the even 0
        ("USD", 6, None, 6, 2),  # 1.5 to the even 2
        ("USD", 10, None, 10, 2),  # 2.5 to the even 2
        ("USD", 100, 130, 100, -30),
        ("EUR", 100, None, 108, 27),  # 108.5 to the even 108, then a quarter of that
        ("EUR", 300, 100, 326, 218),  # 325.5 to 326, cost 108.5 to 108: each line and its cost is converted by itself
        ("JPY", 1, None, 1, 0),  # 0.65 of a cent
        ("JPY", 1000, 999, 650, 1),  # cost 649.35
        ("KWD", 1000, None, 326, 82),  # thousandths: 3.2575 dollars are 325.75 cents; a quarter of 326 is 81.5
        ("USD", 10**13, 1, 10**13, 10**13 - 1),
    ],
)
def test_V1_currencies_and_margins_round_half_even_line_by_line(currency, net, cost, value, margin):
    policy = policy_of(POLICY)
    line = {"category": "cd", "quantity": 1, "net_amount": net, "cost": cost}
    at = ny("2024-06-01T12:00")
    one = folded([sale(at, currency=currency, lines=[line])], policy)
    assert (one.value, one.margin) == (value, margin)
    three = folded([sale(at, currency=currency, lines=[line] * 3)], policy)
    assert (three.value, three.margin) == (3 * value, 3 * margin)
    back = folded([sale(at, currency=currency, lines=[line], kind="RETURN")], policy)
    assert (back.value, back.margin) == (-value, -margin)


def test_V1_the_rate_of_a_category_goes_before_the_default_rate():
    policy = policy_of(POLICY)
    lines = [{"category": name, "quantity": 1, "net_amount": 1000} for name in ("wine", "cd")]
    assert folded([sale(ny("2024-06-01T12:00"), lines=lines)], policy).margin == 350 + 250


def test_V1_a_contact_costs_what_it_says_else_what_its_channel_costs_else_nothing():
    policy, at = policy_of(POLICY), ny("2024-06-01T12:00")
    for cost, channel, expected in ((0, "phone", 0), (7, "phone", 7), (None, "phone", 300), (None, "smoke", 0)):
        contact = {"topic": "contacts", "event_id": "1", "customer_id": "anna", "occurred_at": at, "kind": "CARE",
                   "direction": "OUT", "channel": channel, "cost": cost}  # fmt: skip
        assert folded([contact], policy).serve == expected


def test_V1_each_referred_customer_counts_once_on_the_day_first_named():
    policy = policy_of(POLICY)
    named = [
        ("bob", "2023-01-01T12:00"),
        ("bob", "2024-01-01T12:00"),
        ("carl", "2023-06-01T12:00"),
        ("anna", "2024-01-01"),
    ]
    contacts = [
        {"topic": "contacts", "event_id": str(n), "customer_id": "anna", "occurred_at": ny(at), "kind": "REFERRAL",
         "direction": "IN", "channel": "store", "referred_customer_id": who}
        for n, (who, at) in enumerate(named)
    ]  # fmt: skip
    history = folded(contacts, policy)
    days = {at: policy.calendar.day_of(ny(at)) for at in ("2023-12-31T12:00", "2024-01-01T12:00", "2024-06-01")}
    counts = {at: figures(history, day, policy.calendar).referrals_365d for at, day in days.items()}
    assert counts == {"2023-12-31T12:00": 2, "2024-01-01T12:00": 1, "2024-06-01": 0}  # nobody refers oneself


@pytest.mark.parametrize(
    ("days", "gap"),
    [((1,), None), ((1, 1, 5), None), ((1, 5, 6), 2.5), ((1, 2, 4, 12), 2.0), ((1, 400, 420), 209.5), ((6, 1, 5), 2.5)],
)
def test_V1_usual_gap_is_the_median_between_distinct_purchase_days_of_all_time(days, gap):
    policy = policy_of(POLICY)
    events = [sale(ny("2022-01-01T12:00") + day * 86_400_000, number=n) for n, day in enumerate(days)]
    assert figures(folded(events, policy), 30_000, policy.calendar).usual_gap_days == gap


def test_V1_average_order_is_value_by_purchases_half_even_and_absent_without_any():
    policy, at = policy_of(POLICY), ny("2024-06-01T12:00")
    day = policy.calendar.day_of(at)
    back = sale(at, 1, 9, kind="RETURN")
    for amounts, returned, average in (((1, 2), False, 2), ((1, 4), False, 2), ((0,), True, -1), ((), True, None)):
        events = [sale(at, amount, n) for n, amount in enumerate(amounts)] + [back] * returned
        assert figures(folded(events, policy), day, policy.calendar).average_order == average


def test_V1_no_facts_no_figures():
    policy = policy_of(POLICY)
    figs = figures(History(), 20_000, policy.calendar)
    assert {getattr(figs, name) for name in NAMES[:-2]} == {0}
    assert (figs.average_order, figs.usual_gap_days) == (None, None)


@given(st.lists(st.tuples(st.sampled_from(CATEGORIES), st.integers(0, 500)), max_size=8), st.integers(500, 900))
def test_V1_categories_are_those_of_sales_in_the_window(bought, today):
    policy = policy_of(POLICY)
    events = [
        sale(ny("2022-01-01T12:00") + day * 86_400_000, number=n,
             lines=[{"category": name, "quantity": 1, "net_amount": 5}])
        for n, (name, day) in enumerate(bought)
    ]  # fmt: skip
    first = policy.calendar.day_of(ny("2022-01-01T12:00"))
    within = {name for name, day in bought if day > today - 365}
    assert figures(folded(events, policy), first + today, policy.calendar).categories_365d == len(within)


@pytest.mark.parametrize(
    "zone", ["America/New_York", "UTC", "Pacific/Kiritimati", "Asia/Kathmandu", "Pacific/Pago_Pago"]
)
@pytest.mark.parametrize("at", [0, 1, 4_102_444_799_999])
def test_V1_figures_at_the_first_and_the_last_valid_instant(zone, at):
    text = POLICY.replace("America/New_York", zone)
    policy, expected = policy_of(text), Facts(parsed(text))
    expected.fold(sale(at))
    figs = figures(folded([sale(at)], policy), policy.calendar.day_of(at), policy.calendar)
    assert {name: getattr(figs, name) for name in NAMES} == {name: expected.view(at)[name] for name in NAMES}
    partition = Partition(policy).run(plainly([sale(at), min(at + 500 * DAY_MS, LAST_MS)]))
    assert (
        partition.customers["anna"].next_review == life([sale(at)], parsed(text), min(at + 500 * DAY_MS, LAST_MS)).due
    )
