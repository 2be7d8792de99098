"""D1-D4: the data promises of the core, over late, repeated, shuffled and returned events."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.state import facts_bytes
from tests.core.driving import HORIZON_MS, Partition, plainly
from tests.core.events import ny, sale
from tests.core.logs import cuts, unordered, with_relays
from tests.core.test_T_tier import THREE, ladder
from tests.oracle import Facts, life
from tests.strategies import DAY_MS, deliveries, event_of, histories, late_deliveries, parsed, policies, policy_of


def facts(partition: Partition, customer_id: str = "anna") -> bytes:
    one = partition.customers[customer_id]
    return facts_bytes(one, partition.clock, HORIZON_MS, partition.policy.calendar)


# -- D1


@given(policies(), st.data())
def test_D1_facts_are_the_same_bytes_and_figures_the_oracles_in_any_order_with_repeats(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, purchases=data.draw(st.booleans())))
    last = events[-1]["occurred_at"] + data.draw(st.integers(0, 500)) * DAY_MS
    ordered = Partition(policy).run([*plainly(events), last])
    arrived = data.draw(deliveries(events).flatmap(lambda order: unordered(order, last)).flatmap(cuts))
    partition = Partition(policy).run(plainly([*arrived, last]))
    until = max([last, *(one for one in arrived if isinstance(one, int))])
    ordered.run([until])
    assert facts(partition) == facts(ordered)
    expected = Facts(parsed(text))
    for event in events:
        expected.fold(event)
    figs, held = expected.view(partition.customers["anna"].now), partition.figures("anna")
    names = held.__struct_fields__
    assert {name: getattr(held, name) for name in names} == {name: figs[name] for name in names}


@given(policies(), st.data())
@settings(max_examples=150)
def test_D1_what_is_told_of_late_events_follows_from_the_log_alone_whatever_the_batches(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    last = events[-1]["occurred_at"] + data.draw(st.sampled_from((0, 31, 400))) * DAY_MS
    log = data.draw(late_deliveries(events).flatmap(lambda arrived: unordered(arrived, last)))
    partition = Partition(policy).run(plainly(data.draw(cuts(log))))
    expected = life([{"topic": "ticks", "at": one} if isinstance(one, int) else one for one in log], parsed(text))
    told = partition.tiers("anna")
    assert told == [(one.at, one.from_tier, one.to_tier) for one in expected.changes]
    assert partition.customers["anna"].next_review == expected.due
    assert all(before[2] == after[1] and before[0] <= after[0] for before, after in pairwise(told))
    assert len({one.event_id for one in partition.told}) == len(told), "nothing is told twice"


@given(policies(), st.data())
@settings(max_examples=60)
def test_D1_customers_do_not_meet_and_referrals_reach_who_referred(text, data):
    policy, names = policy_of(text), ("anna", "bob", "carl")
    events = with_relays(data.draw(histories(policy.programme.time_zone, customers=names)))
    last = events[-1]["occurred_at"] + 400 * DAY_MS
    partition = Partition(policy).run(plainly([*data.draw(cuts(events)), last]))
    for name in names:
        own = [event for event in events if event["customer_id"] == name]
        assert (name in partition.customers) == bool(own), "known by the first event, and only then (D3)"
        expected = life(own, parsed(text), last)
        assert partition.tiers(name) == [(one.at, one.from_tier, one.to_tier) for one in expected.changes]
    relayed = [event_of(event) for event in events if event["topic"] == "relay"]
    assert [(r.customer_id, r.occurred_at, r.referred_customer_id) for r in partition.referrals] == [
        (r.customer_id, r.occurred_at, r.referred_customer_id) for r in relayed
    ]
    assert len({(r.customer_id, r.event_id) for r in partition.referrals}) == len(relayed)
    held = {tier.name: partition.counts[f"customers:{tier.name}"] for tier in policy.tiers}
    assert held == {
        tier.name: sum(one.told.tier == tier.name for one in partition.customers.values()) for tier in policy.tiers
    }


@pytest.mark.parametrize("stores", [("s1", "s2"), ("s2", "s1")])
def test_D1_of_two_purchases_at_one_instant_the_same_store_is_the_last_in_either_order(stores):
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    log = [sale(at, number=number, store_id=store) for number, store in enumerate(("s1", "s2"))]
    arrived = sorted(log, key=lambda one: stores.index(one["store_id"]))
    assert facts(Partition(policy).run(plainly(arrived))) == facts(Partition(policy).run(plainly(log)))


@given(st.permutations(("bob", "carl", "dora")), st.permutations(("case1", "case2", "case3")))
def test_D1_facts_are_the_same_bytes_in_any_order_of_those_referred_and_of_complaints(referred, cases):
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    log = [
        {"topic": "contacts", "event_id": who, "customer_id": "anna", "occurred_at": at, "kind": "REFERRAL",
         "direction": "IN", "channel": "store", "referred_customer_id": who}
        for who in referred
    ] + [
        {"topic": "complaints", "event_id": case, "customer_id": "anna", "occurred_at": at, "complaint_id": case,
         "status": "OPENED", "severity": 1, "about": "PRICE"}
        for case in cases
    ]  # fmt: skip
    log += [sale(at, number=n, lines=[{"category": c, "quantity": 1, "net_amount": 1}]) for n, c in enumerate(referred)]
    partitions = [Partition(policy).run(plainly(events)) for events in (log, log[::-1])]
    assert facts(partitions[0]) == facts(partitions[1])


def test_D1_the_first_under_an_id_wins_and_another_content_is_counted_as_a_conflict():
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    first, other = event_of(sale(at, 100, content=1)), event_of(sale(at, 999, content=2))
    partition = Partition(policy).run([first, first, None, other, first])
    assert partition.figures("anna").value_365d == 100
    assert partition.counts["duplicates:Purchase"] == 3
    assert partition.counts["conflicts:Purchase"] == 1
    assert not partition.told


def test_D1_one_id_on_two_topics_or_of_two_customers_is_two_events():
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    contact = {"topic": "contacts", "event_id": "1", "customer_id": "anna", "occurred_at": at, "kind": "REFERRAL",
               "direction": "IN", "channel": "store", "referred_customer_id": "eve"}  # fmt: skip
    mine = [sale(at, event_id="1", customer_id=name, referrer_id="zoe") for name in ("anna", "bob")]
    partition = Partition(policy).run(plainly([contact, *mine]))
    figs = partition.figures("anna")
    assert (figs.purchases_365d, figs.referrals_365d, partition.figures("bob").purchases_365d) == (1, 1, 1)
    assert not +partition.counts - Partition(policy).run(plainly([contact, *mine])).counts
    partition.run(partition.referrals)
    assert partition.figures("zoe").referrals_365d == 2, "two customers' purchases under one id name the same referrer"


def test_D1_ids_are_forgotten_with_the_horizon_and_not_before():
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    first = event_of(sale(at, 100))
    partition = Partition(policy, horizon_ms=400 * DAY_MS).run([first, at + 400 * DAY_MS, None, first])
    assert partition.counts["duplicates:Purchase"] == 1
    partition.run([at + 400 * DAY_MS + 1, None, event_of(sale(at + 1, 7, 1))])
    assert len(partition.customers["anna"].history.seen) == 16, "the older id is not kept, the newer is"


@pytest.mark.parametrize("clock", [None, 0, ny("2030-01-01T00:00")])
def test_D1_now_is_a_newcomers_first_event_and_never_goes_back(clock):
    policy, at = policy_of(ladder(*THREE)), ny("2024-01-10T12:00")
    log = [event_of(sale(at, 100)), event_of(sale(at - 400 * DAY_MS, 500, 1))]
    partition = Partition(policy).run([*([] if clock is None else [clock, None]), *log])
    anna = partition.customers["anna"]
    assert anna.now == at if clock in (None, 0) else anna.now > at
    assert anna.tier_since == at - 400 * DAY_MS, "of a tier never changed: the first event's time"


# -- D2


def test_D2_a_return_takes_back_value_and_margin_on_its_own_day_and_the_sale_stays_a_purchase():
    bought, back = ny("2023-03-10T12:00"), ny("2023-05-10T12:00")
    policy = policy_of(ladder("min_value_365d = 1000"))
    partition = Partition(policy).run(plainly([sale(bought, 400), sale(back, 400, kind="RETURN")]))
    figs, anna = partition.figures("anna"), partition.customers["anna"]
    assert (figs.value_365d, figs.margin_365d, figs.purchases_365d, figs.returns_365d) == (0, 0, 1, 1)
    assert (figs.categories_365d, figs.average_order) == (1, 0)
    assert (anna.history.lifetime_value, anna.history.lifetime_purchases) == (0, 1)
    assert anna.history.last_purchase_at == bought
    figs = partition.run([ny("2024-03-09T00:00")]).figures("anna")
    assert (figs.value_365d, figs.margin_365d, figs.purchases_365d, figs.returns_365d) == (-400, -100, 0, 1)


def test_D2_a_return_without_a_known_sale_stands_by_itself_and_never_buys_a_tier():
    at = ny("2023-05-10T12:00")
    needs = ("min_purchases_365d = 1", "min_purchases_365d = 1\nmin_categories_365d = 1\nmin_margin_365d = 1")
    unknown = sale(at, 400, kind="RETURN", original_event_id="never-seen")
    partition = Partition(policy_of(ladder(*needs))).run(plainly([unknown, at + 500 * DAY_MS]))
    assert (partition.told, partition.customers["anna"].history.lifetime_value) == ([], -400)


# -- D3


def test_D3_any_event_makes_a_customer_in_the_lowest_tier_and_a_profile_may_come_later():
    at = ny("2024-01-10T12:00")
    firsts = [
        sale(at, 5),
        {"topic": "complaints", "complaint_id": "c", "status": "OPENED", "severity": 1, "about": "PRICE"},
        {"topic": "contacts", "kind": "VISIT", "direction": "IN", "channel": "store"},
        {"topic": "customers", "joined_at": 5},
        {"topic": "relay", "referred_customer_id": "bob"},
    ]
    for first in firsts:
        event = first | {"event_id": "1", "customer_id": "anna", "occurred_at": at}
        profile = {"topic": "customers", "event_id": "2", "customer_id": "anna", "occurred_at": at + 5, "joined_at": 9}
        partition = Partition(policy_of(ladder(*THREE))).run(plainly([event]))
        anna = partition.customers["anna"]
        assert (anna.told.tier, anna.tier_since, anna.now) == ("member", at, at)
        assert anna.next_review > at
        partition.run(plainly([profile]))
        assert partition.customers["anna"].history.profile.joined_at == 9
        assert partition.customers["anna"].tier_since == at
        assert partition.counts["customers:member"] == 1


@given(st.permutations([(1, "b", 10), (2, "a", 20), (2, "b", 30), (0, "z", 40)]))
def test_D3_of_profiles_the_latest_by_time_and_id_wins(order):
    at = ny("2024-01-10T12:00")
    log = [
        {"topic": "customers", "event_id": name, "customer_id": "anna", "occurred_at": at + n, "joined_at": joined}
        | {"event_id": f"{name}{joined if name != 'b' else name * joined}"}
        for n, name, joined in order
    ]
    partition = Partition(policy_of(ladder(*THREE))).run(plainly(log))
    assert partition.customers["anna"].history.profile.joined_at == 30


# -- D4, as far as the core goes


@given(policies(), st.data())
@settings(max_examples=60)
def test_D4_after_an_erase_what_was_before_is_dropped_and_what_comes_later_starts_afresh(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, least=2))
    cut = data.draw(st.integers(1, len(events)))
    old = events[:cut]
    clock = data.draw(st.none() | st.integers(0, 40 * DAY_MS).map(lambda ahead: old[-1]["occurred_at"] + ahead))
    partition = Partition(policy).run([*plainly(old), *([] if clock is None else [clock])])
    now = partition.customers["anna"].now
    partition.erase("anna")
    assert "anna" not in partition.customers
    mark = partition.not_before["anna"]
    assert mark == max(now, -1 if clock is None else clock)
    left = {
        name: n for name, n in partition.counts.items() if n and not name.startswith("nth_margin:")
    }  # may be a loss
    assert +Counter(left) == {name: n for name, n in left.items() if "customers" not in name}
    before = len(partition.told)
    partition.run(plainly([*data.draw(deliveries(old)), *events[cut:]]))
    fresh = Partition(policy).run(plainly(event for event in events[cut:] if event["occurred_at"] > mark))
    fresh.run([] if clock is None else [clock])
    assert partition.told[before:] == fresh.told
    assert ("anna" in partition.customers) == ("anna" in fresh.customers)
    if "anna" in fresh.customers:
        mine, theirs = partition.customers["anna"], fresh.customers["anna"]
        assert (mine.told, mine.now, mine.next_review) == (theirs.told, theirs.now, theirs.next_review)
        assert mine.history.not_before == mark
        assert mine.history.seen == theirs.history.seen


def test_D4_erased_and_back_in_one_batch_and_erased_again_the_mark_only_grows():
    at = ny("2024-01-10T12:00")
    partition = Partition(policy_of(ladder(*THREE))).run([event_of(sale(at, 600)), at + 5])
    late, later = event_of(sale(at + 5, 600, 1)), event_of(sale(at + 6, 200, 2))
    partition.erase("anna", [late, later])
    assert partition.counts["erased:Purchase"] == 1
    assert partition.figures("anna").value_365d == 200
    assert partition.customers["anna"].history.not_before == at + 5
    assert (partition.counts["customers:silver"], partition.counts["customers:member"]) == (1, 0)
    partition.erase("anna")
    assert partition.not_before["anna"] == at + 6
    partition.erase("anna")
    assert partition.not_before["anna"] == at + 6
    partition.erase("nobody")
    assert partition.not_before["nobody"] == at + 5, "an erase of someone unknown holds back what still comes"
    assert partition.counts["customers:silver"] == 0


def test_D4_an_erase_before_the_first_tick_of_someone_unknown_leaves_nothing_to_hold_back():
    partition = Partition(policy_of(ladder(*THREE)))
    partition.erase("anna")
    assert not partition.not_before
