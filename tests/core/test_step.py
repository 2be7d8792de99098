"""One batch: what it counts, what it tells, how it is cut in slices, and what a new policy or threshold does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import tier
from processors.history import days_of
from processors.money import TooMuch, UnknownCurrency
from processors.step import DUE_STEPS_MAX, Batch
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.core.test_T_tier import THREE, ladder
from tests.oracle import Life
from tests.strategies import DAY_MS, event_of, histories, parsed, policies, policy_of

AT = ny("2023-01-10T12:00")


def batch_of(partition: Partition, *ids: str) -> Batch:
    return partition.batch(ids)


def test_a_slice_ends_after_so_many_reviews_of_one_customer_and_the_rest_comes_with_the_next():
    policy = policy_of(ladder("min_value_365d = 100000"))
    days = 3 * DUE_STEPS_MAX
    partition = Partition(policy).run(plainly(sale(AT + n * DAY_MS, 5, n) for n in range(days)))
    clock, slices = AT + 900 * DAY_MS, 0
    while True:
        before = partition.customers["anna"]
        batch = batch_of(partition, "anna")
        done = batch.settle(clock, ("anna",))
        partition.keep(batch.changes())
        slices += 1
        assert days - len(days_of(partition.customers["anna"].history)) <= slices * DUE_STEPS_MAX
        assert partition.customers["anna"].now > before.now
        if done:
            break
    assert slices >= days / DUE_STEPS_MAX
    assert partition.customers["anna"].next_review > clock
    partition.clock = clock
    at_once = Partition(policy).run([*plainly(sale(AT + n * DAY_MS, 5, n) for n in range(days)), clock])
    assert partition.customers == at_once.customers


def test_before_an_event_all_due_reviews_are_made_however_many():
    policy = policy_of(ladder("min_value_365d = 1"))
    log = [sale(AT + n * DAY_MS, 5, n) for n in range(300)]
    partition = Partition(policy).run(plainly([*log, sale(AT + 2000 * DAY_MS, 5, 999)]))
    assert [one.to_tier for one in partition.told] == ["silver", "member", "silver"]


def test_an_unknown_currency_is_refused_and_nothing_has_changed():
    policy = policy_of(ladder(*THREE))
    partition = Partition(policy).run(plainly([sale(AT, 300)]))
    batch = batch_of(partition, "anna", "bob")
    for name in ("anna", "bob"):
        with pytest.raises(UnknownCurrency, match="EUR"):
            batch.fold(event_of(sale(AT + 400 * DAY_MS, 1, 1, currency="EUR", customer_id=name)), None)
    changes = batch.changes()
    assert (changes.customers, changes.outputs, +changes.counts if changes.counts else {}) == ({}, (), {})
    batch.fold(event_of(sale(AT + 1, 1, 1)), None)
    assert batch.changes().customers["anna"].history.lifetime_value == 301


def test_an_amount_beyond_64_bits_is_refused_and_nothing_has_changed():
    policy = policy_of(ladder(*THREE))
    partition = Partition(policy).run(plainly([sale(AT, 2**62)]))
    batch = batch_of(partition, "anna")
    for at in (AT + 1, AT + 400 * DAY_MS):  # on the same day, and after a year that has left the window
        with pytest.raises(TooMuch, match="would pass 9,223,372,036,854,775,807 minor units"):
            batch.fold(event_of(sale(at, 2**62, 1)), None)
    assert (batch.changes().customers, batch.changes().outputs) == ({}, ())
    back = {"kind": "RETURN"}
    batch.fold(event_of(sale(AT + 400 * DAY_MS, 2**62, 2, **back)), None)
    batch.fold(event_of(sale(AT + 400 * DAY_MS, 2**62, 3)), None)
    assert batch.changes().customers["anna"].history.lifetime_value == 2**62


def test_only_who_changed_is_in_the_changes():
    partition = Partition(policy_of(ladder(*THREE))).run(plainly([sale(AT, 300), sale(AT, 1, customer_id="bob")]))
    batch = batch_of(partition, "anna", "bob")
    batch.fold(event_of(sale(AT, 300)), None)  # a repeat
    batch.settle(AT + DAY_MS, ("anna", "bob"))  # nobody is due
    changes = batch.changes()
    assert (changes.customers, changes.told, changes.outputs) == ({}, (), ())
    assert changes.counts == {"duplicates:Purchase": 1}


def test_told_names_whose_told_differs_from_before():
    partition = Partition(policy_of(ladder(*THREE)))
    for log, told in (
        ([sale(AT, 1)], ()),  # a newcomer in the lowest tier is told to nobody
        ([sale(AT, 300, 1)], ("anna",)),
        ([sale(AT + 1, 1, 2)], ()),
        ([sale(AT + 2, 250, 3, kind="RETURN")], ("anna",)),  # a grace begins
        ([sale(AT + 3, 250, 4)], ("anna",)),  # and ends
        ([sale(AT + 4, 250, 5, kind="RETURN"), sale(AT + 5, 250, 6)], ()),  # begins and ends in one batch
    ):
        batch = batch_of(partition, "anna")
        for event in plainly(log):
            batch.fold(event, None)
        changes = batch.changes()
        assert changes.told == told, log
        partition.keep(changes)


def test_outputs_of_a_batch_stand_in_the_order_in_which_they_came_about():
    log = [sale(AT, 300), sale(AT + 1, 300, 1, customer_id="bob", referrer_id="carl"), sale(AT + 2, 600, 2)]
    batch = batch_of(Partition(policy_of(ladder(*THREE))), "anna", "bob")
    for event in plainly(log):
        batch.fold(event, None)
    said = [(one.customer_id, type(one.output).__name__) for one in batch.changes().outputs]
    folded = [("anna", "TierChange"), ("bob", "TierChange"), ("bob", "Referral"), ("anna", "TierChange")]
    assert said == [*folded, ("bob", "Standing")]


def test_a_return_refers_nobody_nor_does_a_repeat_nor_oneself():
    log = [
        sale(AT, 1, referrer_id="bob"),
        sale(AT, 1, referrer_id="bob"),
        sale(AT, 1, 2, kind="RETURN", referrer_id="carl"),
        sale(AT, 1, 3, referrer_id="anna"),
        sale(AT, 1, 4, referrer_id=""),
    ]
    partition = Partition(policy_of(ladder(*THREE))).run(plainly(log))
    assert [(one.customer_id, one.referred_customer_id) for one in partition.referrals] == [("bob", "anna")]


def test_events_without_a_tick_are_settled_by_none():
    batch = batch_of(Partition(policy_of(ladder(*THREE))), "anna")
    batch.fold(event_of(sale(AT, 300)), None)
    assert batch.settle(None)
    assert batch.changes().customers["anna"].now == AT


SHARES = st.dictionaries(st.just("0.2"), st.integers(0, 3000), min_size=1)


@given(policies(), st.data())
@settings(max_examples=60)
def test_V5_a_new_threshold_is_seen_once_by_all_at_the_instant_of_its_tick(text, data):
    """The ladder gets one more tier, for a top share: nobody is in it before a tick says what it takes."""
    text += '[[tiers]]\nname = "vital"\nmin_value_share_rank = 0.2\nmin_value_365d = 1\n'
    policy, oracle = policy_of(text), Life(parsed(text))
    events = data.draw(histories(policy.programme.time_zone))
    partition, clock = Partition(policy), 0
    for event in [*events, None]:
        if data.draw(st.booleans()):
            shares = data.draw(SHARES)
            partition.run([clock])
            partition.around_is(tier.surroundings(policy, clock, shares), policy)
            oracle.take({"topic": "ticks", "at": clock, "value_at_share": shares})
        if event is not None:
            partition.run([event_of(event)])
            oracle.take(event)
            clock = event["occurred_at"]
    end = events[-1]["occurred_at"] + 800 * DAY_MS
    oracle.until(end)
    assert partition.run([end]).tiers("anna") == [(one.at, one.from_tier, one.to_tier) for one in oracle.changes]


def test_T1_a_new_policy_reviews_everybody_once_at_the_instant_of_its_tick():
    old, new = ladder("min_value_365d = 200"), ladder("min_value_365d = 400", "min_value_365d = 500")
    partition = Partition(policy_of(old)).run(plainly([sale(AT, 300), sale(AT, 600, customer_id="bob"), AT + DAY_MS]))
    policy, clock = policy_of(new), AT + DAY_MS
    partition.around_is(tier.surroundings(policy, clock), policy)
    assert partition.tiers("bob")[1:] == [(clock, "silver", "gold")]
    anna = partition.customers["anna"]
    assert (anna.told.tier, anna.told.below_since, anna.now) == ("silver", clock, clock), "a grace begins"
    assert partition.run([clock + 31 * DAY_MS]).tiers("anna")[1:] == [(clock + 30 * DAY_MS, "silver", "member")]
    before = dict(partition.customers)
    partition.around_is(tier.surroundings(policy, clock), policy)
    assert partition.customers == before, "once"


def test_T1_a_threshold_that_no_tier_asks_for_touches_nobody():
    policy = policy_of(ladder(*THREE))
    assert tier.surroundings(policy, 5, {"0.2": 7}).context == tier.surroundings(policy).context
    partition = Partition(policy).run(plainly([sale(AT, 300)]))
    before = dict(partition.customers)
    partition.around_is(tier.surroundings(policy, AT + 5, {"0.2": 7}), policy)
    assert partition.customers == before


@given(policies(), st.data())
def test_D1_the_same_batch_again_changes_nothing(text, data):
    policy = policy_of(text)
    events = plainly(data.draw(histories(policy.programme.time_zone)))
    partition = Partition(policy).run(events)
    before, told = dict(partition.customers), list(partition.told)
    partition.run(events)
    assert (partition.customers, partition.told) == (before, told)
    assert sum(partition.counts[f"duplicates:{event.name}"] for event in {type(e): e for e in events}.values()) == len(
        events
    )
