"""The view: the contract's fields, as the oracle has them, at the customer's own time and at a reader's clock."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.review import evaluated
from processors.view import from_hash, values, view
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.core.test_T_tier import THREE, ladder
from tests.oracle import life
from tests.oracle.whole import TOPIC_ORDER, expected_views
from tests.strategies import DAY_MS, histories, parsed, policies, policy_of

CONTRACT = """customer_id as_of currency tier tier_since value_365d purchases_365d returns_365d margin_365d
cost_to_serve_365d contribution_365d categories_365d referrals_365d average_order usual_gap_days first_purchase_at
last_purchase_at lifetime_value lifetime_purchases open_complaints next_review_at benefits holdout policy loyalty_layer
clv p_alive p_no_purchase expected_purchases risk_level risk_score risk_reasons loyalty_signs value_at_stake
network_value last_touch_at"""
DRIFTING = {"p_alive", "p_no_purchase", "expected_purchases", "clv", "risk_score"}
DRIFTING |= {"risk_reasons", "value_at_stake", "network_value"}


@given(policies(), st.data())
@settings(max_examples=60)
def test_V1_T5_the_view_at_the_clock_equals_the_oracles_field_by_field(text, data):
    policy = policy_of(text)
    drawn = data.draw(histories(policy.programme.time_zone))
    events = sorted(drawn, key=lambda one: (one["occurred_at"], TOPIC_ORDER.index(one["topic"])))  # as partitions read
    clock = events[-1]["occurred_at"] + data.draw(st.integers(-30, 500)) * DAY_MS
    anna = Partition(policy).run([*plainly(events), clock]).customers["anna"]
    shown = view(evaluated(anna, clock, policy), policy)
    expected = expected_views(events, parsed(text), clock)["anna"]
    known = {**shown, "benefits": json.loads(shown["benefits"])}
    assert {name: known[name] for name in expected} == expected
    assert set(CONTRACT.split()) <= set(shown)


@given(policies(), st.data())
@settings(max_examples=100)
def test_what_a_review_has_assessed_is_what_the_view_would_assess(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    partition = Partition(policy)
    cut = data.draw(st.integers(0, len(events)))
    partition.run(plainly(events[:cut]))
    batch = partition.batch({"anna"})
    for event in plainly(events[cut:]):
        batch.fold(event, None)
    batch.settle(events[-1]["occurred_at"] + data.draw(st.integers(0, 500)) * DAY_MS)
    changes = batch.changes()
    for name, customer in changes.customers.items():
        assert customer is not None
        assert values(customer, policy) == values(customer, policy, None, changes.outlooks.get(name))


@given(policies(), st.data())
@settings(max_examples=60)
def test_T2_what_holds_until_the_next_review_is_the_same_as_stored_and_at_the_clock(text, data):
    """All that does not drift: a reader who finds the hash and one who asks at the clock read the same."""
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    last = events[-1]["occurred_at"]
    anna = Partition(policy).run(plainly(events)).customers["anna"]
    clock = data.draw(st.integers(last, min(anna.next_review, last + 900 * DAY_MS) - 1))
    stored, asked = view(anna, policy), view(evaluated(anna, clock, policy), policy)
    assert {name for name in stored if stored[name] != asked[name]} <= {"as_of", *DRIFTING}


@given(policies(), st.data())
def test_the_hash_is_read_back_as_it_was_written(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    shown = view(Partition(policy).run(plainly(events)).customers["anna"], policy)
    held = {name: value for name, value in shown.items() if value is not None}
    assert from_hash({name: str(value) for name, value in held.items()}) == held


def test_a_reader_whose_clock_is_behind_sees_the_customers_own_time():
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    anna = Partition(policy).run(plainly([sale(at)])).customers["anna"]
    assert evaluated(anna, at - 1, policy) == anna


def test_T5_a_tier_that_the_policy_no_longer_has_brings_nothing():
    at = ny("2024-01-10T12:00")
    text = ladder(*THREE).replace("min_value_365d = 200", 'min_value_365d = 200\nbenefits = ["gift", "\u00e9clair"]')
    anna = Partition(policy_of(text)).run(plainly([sale(at, 200)])).customers["anna"]
    assert json.loads(view(anna, policy_of(text))["benefits"]) == ["gift", "\u00e9clair"]
    assert view(anna, policy_of(ladder().replace("member", "guest")))["benefits"] == "[]"


def test_the_tier_since_of_a_tier_never_changed_is_the_first_events_time():
    at = ny("2024-01-10T12:00")
    events = [sale(at, 5), sale(at + 5, 5, 1), sale(at + 500 * DAY_MS, 5, 2)]
    policy = policy_of(ladder(*THREE))
    shown = view(Partition(policy).run(plainly(events)).customers["anna"], policy)
    assert shown["tier_since"] == at == life(events, parsed(ladder(*THREE))).view(0)["tier_since"]
