"""T9: benefits are earned, used, expire, and are taken back with the sale; no order of it leaves a gain."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import tier
from processors.benefits.book import KEEP_DAYS
from processors.benefits.came_to import SHOWN_MS, entitlements, next_change
from processors.history import History
from processors.policy import Policy
from processors.review import evaluated
from processors.view import view
from schemas.state import decode, encode, facts_bytes
from streams import summary
from streams.cli import ask
from streams.customers_now import whole
from tests.core.driving import HORIZON_MS, Partition, plainly
from tests.core.events import ny, sale
from tests.core.logs import cuts, unordered
from tests.oracle import benefits as oracle
from tests.oracle import dates
from tests.strategies import DAY_MS, ZONES, Plain, deliveries, parsed, policy_of

HEAD = """[programme]
name = "benefits"
version = 1
currency = "USD"
time_zone = "{zone}"
[tier_rules]
grace_days = {grace}
[currencies]
rates = {{ EUR = 1.085 }}
[[tiers]]
name = "member"
[[tiers]]
name = "silver"
min_value_365d = 1_000
[[tiers]]
name = "gold"
min_value_365d = 2_000
"""
COFFEE = '[[benefits]]\nname = "coffee"\nbuy = {{ category = "cd", quantity = 3 }}\nget = "a coffee"\nworth = 250\n'
COFFEE += "uses = {uses}\nexpires_days = {days}\n"
BAG = '[[benefits]]\nname = "bag"\nbuy = {{ amount = 500 }}\nget = "a bag"\nexpires_days = {days}\n'
VISIT = '[[benefits]]\nname = "visit"\ntiers = ["silver", "gold"]\nget = "a visit"\nworth = 900\nuses = {uses}\n'
NEW_YORK = "America/New_York"


def policy(grace: int = 0, zone: str = NEW_YORK, uses: int = 1, days: int = 60) -> str:
    return (HEAD + COFFEE + BAG + VISIT).format(zone=zone, grace=grace, uses=uses, days=days)


@st.composite
def policies(draw: st.DrawFn) -> str:
    return policy(
        draw(st.sampled_from((0, 30))), draw(st.sampled_from(ZONES)), draw(st.integers(1, 2)),
        draw(st.sampled_from((1, 30, 364, 365))),
    )  # fmt: skip


@st.composite
def stories(draw: st.DrawFn, zone: str, most: int = 10) -> list[Plain]:
    """Sales that earn, sales and contacts that use, returns of all or a part, twice, of what never was or comes later;
    of one customer, in order of time."""
    names = [f"e{n}" for n in range(draw(st.integers(4, most) | st.integers(1, 3)))]
    day = draw(st.sampled_from(("2023-01-01", "2023-12-30", "2024-02-28"))).split("-")
    at = dates.midnight(dates.date(*map(int, day)).toordinal(), zone)
    first = names[:3]  # most is about these, so that much meets
    ids = [f"benefit:{which}:{name}" for which in ("coffee", "coffee", "bag") for name in first]
    ids += [f"benefit:visit:{year}" for year in (2022, 2023, 2024, 2025, "soon")]
    ids += [f"benefit:coffee:{names[-1]}", "benefit:none:e0", "C-17"]
    lines = st.fixed_dictionaries(
        {
            "category": st.sampled_from(("cd", "cd", "cd", "wine")),
            "quantity": st.sampled_from((3, 3, 6, 7, 4, 1, 2, -1)),
            "net_amount": st.sampled_from((0, 100, 499, 500, 1000, 2000)),
        }
    )
    story = []
    for name in names:
        at += draw(
            st.sampled_from((0, 0, 1, 1, 9, DAY_MS - 1, DAY_MS, 2 * DAY_MS, 29 * DAY_MS, 30 * DAY_MS, 365 * DAY_MS))
        )
        at += draw(st.sampled_from((0, 0, 1, 3_600_000)))
        own = {"event_id": name, "customer_id": "anna", "occurred_at": at}
        what = draw(st.sampled_from(("SALE", "SALE", "SALE", "RETURN", "RETURN", "SERVICE")))
        named = draw(st.lists(st.sampled_from(ids), max_size=4))
        if what == "SERVICE":
            ways = st.sampled_from(("IN", "IN", "OUT"))
            story.append(own | {"topic": "contacts", "kind": what, "direction": draw(ways), "channel": "store",
                                "item": draw(st.sampled_from(ids))})  # fmt: skip
            continue
        bought = {"topic": "purchases", "kind": what, "currency": draw(st.sampled_from(("USD", "USD", "EUR"))),
                  "lines": draw(st.lists(lines, min_size=1, max_size=2)), "coupon_ids": tuple(named)}  # fmt: skip
        if what == "RETURN":
            bought["original_event_id"] = draw(st.sampled_from((*first, *first, *names, None)))
        story.append(own | bought)
    return story


def held(partition: Partition, customer_id: str = "anna") -> dict[str, dict[str, Any]]:
    """What the core says at the customer's own time, as the oracle says it."""
    one = partition.customers[customer_id]
    return came_to(one.history, one.told, one.now, partition.policy)


def came_to(facts: History, told: Any, now: int, rules: Policy) -> dict[str, dict[str, Any]]:
    names = ("state", "left", "used", "owed", "earned_at", "expires_at")
    return {e.id: {name: getattr(e, name) for name in names} for e in entitlements(facts, told, now, rules)}


def facts(partition: Partition) -> bytes:
    one = partition.customers["anna"]
    return facts_bytes(one, partition.clock, HORIZON_MS, partition.policy.calendar)


def buying(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in found.items() if not name.startswith("benefit:visit:")}


# ---- against the oracle


@given(policies(), st.data())
@settings(max_examples=200)
def test_T9_in_any_order_with_repeats_and_batches_facts_are_the_same_bytes_and_what_they_come_to_the_oracles(
    text, data
):
    rules = policy_of(text)
    story = data.draw(stories(rules.programme.time_zone))
    last = story[-1]["occurred_at"] + data.draw(
        st.sampled_from((0, 1, DAY_MS, 31 * DAY_MS, 399 * DAY_MS, 401 * DAY_MS))
    )
    inorder = Partition(rules).run([*plainly(story), last])
    arrived = data.draw(deliveries(story).flatmap(lambda order: unordered(order, last)).flatmap(cuts))
    partition = Partition(rules).run(plainly([*arrived, last]))
    inorder.run([until := max([last, *(one for one in arrived if isinstance(one, int))])])
    assert facts(partition) == facts(inorder)
    now = until
    mine, theirs = (evaluated(one.customers["anna"], now, rules) for one in (partition, inorder))
    assert buying(came_to(mine.history, mine.told, now, rules)) == buying(
        came_to(theirs.history, theirs.told, now, rules)
    )
    for one in (mine, theirs):
        expected = oracle.entitlements(story, parsed(text), now, one.told.tier, one.tier_since)
        assert came_to(one.history, one.told, now, rules) == expected
        assert decode(encode(one)) == one


@given(policies(), st.data())
@settings(max_examples=100)
def test_T9_counters_are_the_sum_over_customers_whatever_the_order_and_the_batches(text, data):
    rules = policy_of(text)
    story = data.draw(stories(rules.programme.time_zone))
    last = story[-1]["occurred_at"] + data.draw(st.sampled_from((0, 60 * DAY_MS, 500 * DAY_MS)))
    arrived = data.draw(deliveries(story).flatmap(lambda order: unordered(order, last)).flatmap(cuts))
    partition = Partition(rules).run(plainly(arrived))
    counted = {name: n for name, n in partition.counts.items() if name.startswith("benefits") and n}
    found = held(partition)
    expected: dict[str, int] = {}
    for name, one in found.items():
        benefit = name.split(":")[1]
        if benefit != "visit":
            expected[f"benefits:{benefit}:{one['state']}"] = expected.get(f"benefits:{benefit}:{one['state']}", 0) + 1
        if benefit == "coffee" and one["owed"]:
            expected["benefits_owed:coffee"] = expected.get("benefits_owed:coffee", 0) + 250 * one["owed"]
    assert {name: n for name, n in counted.items() if ":visit:" not in name} == expected
    partition.erase("anna")
    assert not any(n for name, n in partition.counts.items() if name.startswith("benefits"))


@given(policies(), st.data())
@settings(max_examples=100)
def test_T9_nothing_changes_by_time_alone_before_the_next_review(text, data):
    rules = policy_of(text)
    story = data.draw(stories(rules.programme.time_zone))
    anna = Partition(rules).run(plainly(story)).customers["anna"]
    for _ in range(8):
        found = entitlements(anna.history, anna.told, anna.now, rules)
        until = next_change(found, anna.history.ledger, anna.now, rules)
        assert anna.now < until
        assert anna.next_review <= until
        if until == dates.NEVER_MS:
            break
        at = data.draw(st.integers(anna.now, until - 1) | st.just(until - 1))
        before, later = view(anna, rules)["entitlements"], view(evaluated(anna, at, rules), rules)["entitlements"]
        assert before == later
        anna = evaluated(anna, until, rules)


# ---- what never happens


def bought(n: int, pieces: int, at: int, *used: str) -> Plain:
    line = {"category": "cd", "quantity": pieces, "net_amount": 10 * pieces}
    return sale(at, event_id=f"e{n}", lines=[line], coupon_ids=tuple(used))


def back(n: int, of: int, pieces: int, at: int, *given_back: str) -> Plain:
    return bought(n, pieces, at, *given_back) | {"kind": "RETURN", "original_event_id": f"e{of}"}


START = ny("2024-03-05T12:00")
MINE = "benefit:coffee:e0"


@given(st.integers(1, 12), st.data())
def test_T9_buy_earn_use_refund_in_any_order_ends_where_it_began(pieces, data):
    """All that was bought comes back, in parts, with what it was used for or without."""
    parts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    total = sum(parts)
    log = [bought(0, total, START)]
    log += [back(10 + n, 0, part, START + n + 1) for n, part in enumerate(parts)]
    uses = data.draw(st.integers(0, total // 3))
    kept = data.draw(st.integers(0, uses))
    log += [bought(20 + n, 1, START + n, MINE) for n in range(uses)]
    log += [back(40 + n, 20 + n, 1, START + n, MINE) for n in range(uses - kept)]
    log += [one for one in log if data.draw(st.booleans())]
    rules = policy_of(policy())
    partition = Partition(rules).run(plainly(data.draw(st.permutations(log).flatmap(cuts))))
    found = held(partition)
    if total < 3:
        assert found == {}
        return
    assert (found[MINE]["left"], found[MINE]["used"], found[MINE]["owed"]) == (0, 0, kept)
    assert found[MINE]["state"] == ("OWED" if kept else "TAKEN_BACK")
    assert partition.counts["benefits_owed:coffee"] == 250 * kept, "exactly the worth that was used"


@given(st.data())
def test_T9_what_is_had_by_right_is_never_more_than_what_was_kept_earns(data):
    rules = policy_of(policy())
    story = data.draw(stories(NEW_YORK))
    partition = Partition(rules).run(plainly(data.draw(deliveries(story).flatmap(cuts))))
    sales = {one["event_id"]: one for one in story if one.get("kind") == "SALE"}
    for name, one in buying(held(partition)).items():
        _, benefit, of = name.split(":")
        pieces = sum(line["quantity"] for line in sales[of]["lines"] if line["category"] == "cd")
        backs = [one for one in story if one["kind"] == "RETURN" and one.get("original_event_id") == of]
        if any(one["occurred_at"] < sales[of]["occurred_at"] - 30 * DAY_MS for one in backs):
            continue  # no return: forgotten before its sale is
        gone = sum(abs(sum(line["quantity"] for line in b["lines"] if line["category"] == "cd")) for b in backs)
        assert min(one["left"], one["used"], one["owed"]) >= 0
        if benefit == "coffee":
            assert one["left"] + one["used"] <= max(pieces - gone, 0) // 3


@pytest.mark.parametrize("order", list(permutations(range(5)))[::7])
def test_T9_several_returns_of_one_sale_never_take_back_more_than_it_earned(order):
    log = [bought(0, 3, START), back(1, 0, 3, START + 1), back(2, 0, 3, START + 2)]
    log += [bought(3, 6, START + 3), back(4, 0, 9, START + 4)]
    found = held(Partition(policy_of(policy())).run(plainly(log[n] for n in order)))
    assert found[MINE] | {"earned_at": 0, "expires_at": 0} == {
        "state": "TAKEN_BACK", "left": 0, "used": 0, "owed": 0, "earned_at": 0, "expires_at": 0
    }  # fmt: skip
    assert (found["benefit:coffee:e3"]["state"], found["benefit:coffee:e3"]["left"]) == ("OPEN", 2)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_T9_a_use_is_given_back_once_and_only_by_a_return_of_the_sale_that_used_it(order):
    log = [bought(0, 3, START), bought(1, 1, START + 1, MINE), back(2, 1, 1, START + 2, MINE, MINE)]
    log += [back(3, 0, 0, START + 3, MINE)]
    partition = Partition(policy_of(policy())).run(plainly(log[n] for n in order))
    assert (held(partition)[MINE]["state"], held(partition)[MINE]["left"]) == ("OPEN", 1)
    again = [bought(4, 1, START + 4, MINE), bought(5, 1, START + 5, MINE), back(6, 1, 1, START + 6, MINE)]
    found = held(partition.run(plainly(again)))[MINE]
    assert (found["state"], found["left"], found["used"], found["owed"]) == ("OWED", 0, 1, 1)


def test_T9_a_part_returned_takes_what_it_no_longer_fills_and_the_rest_stays():
    log = [bought(0, 7, START)]
    partition = Partition(policy_of(policy())).run(plainly(log))
    lefts = []
    for n, pieces in enumerate((1, 1, 2, 1)):
        partition.run(plainly([back(n + 1, 0, pieces, START + n + 1)]))
        lefts.append(held(partition)[MINE]["left"])
    assert lefts == [2, 1, 1, 0]


def test_T9_a_return_that_names_no_sale_takes_nothing_and_gives_nothing_back():
    log = [bought(0, 3, START), bought(1, 1, START + 1, MINE)]
    log += [back(2, 0, 3, START + 2, MINE) | {"original_event_id": None}, back(3, 99, 3, START + 3, MINE)]
    found = held(Partition(policy_of(policy())).run(plainly(log)))
    assert (found[MINE]["state"], found[MINE]["used"]) == ("USED", 1)


# ---- boundaries


@pytest.mark.parametrize(("late", "state", "owed"), [(-1, "USED", 0), (0, "OWED", 1)])
def test_T9_it_ends_at_the_same_local_time_and_a_use_from_that_instant_on_is_owed(late, state, owed):
    at = ny("2024-02-20T12:00")  # the clocks change within the sixty days
    ends = ny("2024-04-20T12:00")
    partition = Partition(policy_of(policy())).run([*plainly([bought(0, 3, at)]), ends - 1])
    assert held(partition)[MINE]["state"] == "OPEN"
    found = held(partition.run(plainly([bought(1, 1, ends + late, MINE)])))[MINE]
    assert (found["state"], found["owed"], found["expires_at"]) == (state, owed, ends)


def test_T9_what_was_not_used_expires_at_its_instant_is_shown_a_month_and_forgotten_in_the_end():
    partition = Partition(policy_of(policy())).run(plainly([bought(0, 3, START)]))
    ends = held(partition)[MINE]["expires_at"]
    states = []
    for at in (ends - 1, ends, ends + SHOWN_MS - 1, ends + SHOWN_MS):
        anna = partition.run([at]).customers["anna"]
        shown = view(anna, partition.policy)["entitlements"]
        states.append(None if shown is None else json.loads(str(shown))[0]["state"])
        assert view(evaluated(anna, at, partition.policy), partition.policy)["entitlements"] == shown, "as stored"
    assert states == ["OPEN", "EXPIRED", "EXPIRED", None]
    assert partition.counts["benefits:coffee:EXPIRED"] == 1
    forgotten = dates.midnight(dates.day(START, NEW_YORK) + KEEP_DAYS, NEW_YORK)
    assert partition.run([forgotten - 1]).customers["anna"].history.ledger is not None
    assert partition.run([forgotten]).customers["anna"].history.ledger is None
    assert not partition.counts["benefits:coffee:EXPIRED"]


def test_T9_the_terms_are_those_of_the_sale_whatever_the_policy_says_later():
    partition = Partition(policy_of(policy())).run([*plainly([bought(0, 6, START)]), START + 1])
    later = policy_of(HEAD.format(zone=NEW_YORK, grace=0).replace("version = 1", "version = 2"))
    partition.around_is(tier.surroundings(later, START + 2), later)
    log = [bought(1, 1, START + 3, MINE), back(2, 0, 3, START + 4)]
    found = entitlements((anna := partition.run(plainly(log)).customers["anna"]).history, anna.told, anna.now, later)
    assert [(one.id, one.state, one.left, one.used, one.worth, one.get) for one in found] == [
        (MINE, "USED", 0, 1, 250, None)
    ]
    assert partition.counts["benefits:coffee:USED"] == 1
    assert partition.counts["benefits:coffee:OPEN"] == 0


def visits(partition: Partition) -> list[tuple[str, str, int, int]]:
    return [(name[-4:], e["state"], e["left"], e["owed"]) for name, e in held(partition).items() if "visit" in name]


def service(n: int, at: int, year: int, **fields: object) -> Plain:
    return {"topic": "contacts", "event_id": f"c{n}", "customer_id": "anna", "occurred_at": at, "kind": "SERVICE",
            "direction": "IN", "channel": "store", "item": f"benefit:visit:{year}", **fields}  # fmt: skip


def test_T9_a_tier_gives_it_each_calendar_year_and_what_was_not_used_is_gone():
    new_year = ny("2025-01-01T00:00")
    rules = policy_of(policy(uses=2))
    partition = Partition(rules).run([*plainly([sale(ny("2024-11-01T09:00"), 1000)]), new_year - 1])
    assert visits(partition) == [("2024", "OPEN", 2, 0)]
    partition.run(plainly([service(1, new_year - 1, 2024), service(2, new_year - 1, 2024, direction="OUT")]))
    assert visits(partition) == [("2024", "OPEN", 1, 0)]
    assert partition.customers["anna"].next_review <= new_year
    assert visits(partition.run([new_year])) == [("2024", "EXPIRED", 0, 0), ("2025", "OPEN", 2, 0)]
    partition.run(plainly([service(3, new_year, 2024)]))
    assert visits(partition)[0] == ("2024", "OWED", 0, 1), "of the year gone by"
    late = [service(n, new_year + n, 2025) for n in (4, 5, 6)]
    assert visits(partition.run(plainly(late)))[1] == ("2025", "OWED", 0, 1)
    back_again = sale(new_year + 9, 0, kind="RETURN", original_event_id="c6", coupon_ids=("benefit:visit:2025",))
    assert visits(partition.run(plainly([back_again])))[1] == ("2025", "USED", 0, 0)


def test_T9_the_first_leap_day_use_is_not_forgotten_before_its_year_is_over():
    first, end = ny("2024-01-01T00:00"), ny("2024-12-31T23:59")
    log = [sale(first - DAY_MS, 1000), service(1, first, 2024), sale(ny("2024-06-01T12:00"), 1000, number=2)]
    assert visits(Partition(policy_of(policy())).run([*plainly(log), end]))[-1] == ("2024", "USED", 0, 0)


def test_T9_a_tier_kept_by_its_grace_gives_on_and_one_lost_or_regained_gives_nothing_twice():
    at, back_at = ny("2024-03-01T12:00"), ny("2024-04-01T12:00")
    partition = Partition(policy_of(policy(grace=30, uses=2))).run(plainly([sale(at, 1000), service(1, at + 1, 2024)]))
    partition.run(plainly([sale(back_at, 1000, 9, kind="RETURN", original_event_id=f"s0-{at}")]))
    lost = ny("2024-05-01T12:00")
    assert visits(partition.run([lost - 1])) == [("2024", "OPEN", 1, 0)], "in its grace"
    assert visits(partition.run([lost])) == [("2024", "USED", 0, 0)], "what is left went with the tier"
    partition.run(plainly([service(2, lost, 2024)]))
    assert visits(partition) == [("2024", "OWED", 0, 1)], "used without the tier"
    assert visits(partition.run(plainly([sale(lost + 1, 3000, 3)]))) == [("2024", "USED", 0, 0)], "no third one"


def test_T9_the_view_shows_the_id_a_till_names_and_the_day_of_the_club():
    text = policy() + '[club]\nfloor_tier = "silver"\nmin_lifetime_purchases = 1\n'
    anna = Partition(policy_of(text)).run(plainly([bought(0, 3, START)])).customers["anna"]
    shown = view(anna, policy_of(text))
    assert shown["club_since"] == START
    visit, coffee = json.loads(str(shown["entitlements"]))[::-1]
    assert coffee["id"] == MINE
    assert visit == {
        "id": "benefit:visit:2024", "benefit": "visit", "state": "OPEN", "left": 1, "used": 0, "owed": 0, "worth": 900,
        "get": "a visit", "earned_at": START, "expires_at": ny("2025-01-01T00:00"),
    }  # fmt: skip


def test_T9_who_never_earned_a_benefit_keeps_nothing_of_it_and_an_earned_one_is_no_coupon():
    partition = Partition(policy_of(policy())).run(plainly([sale(START, 100), sale(START, 1, 2, coupon_ids=("C-1",))]))
    assert partition.customers["anna"].history.ledger is None
    assert view(partition.customers["anna"], partition.policy)["entitlements"] is None
    coupons = partition.customers["anna"].history.coupons
    assert len(coupons) == 2
    partition.run(plainly([bought(0, 3, START + 1), bought(1, 1, START + 2, MINE)]))
    assert partition.customers["anna"].history.coupons == coupons, "L3: it was earned"


def test_T9_erased_it_is_gone():
    partition = Partition(policy_of(policy())).run(plainly([bought(0, 3, START)]))
    partition.erase("anna", plainly([bought(1, 1, START + 9, MINE)]))
    assert held(partition) == {}
    assert not partition.counts["benefits:coffee:OPEN"]


# ---- care, and what people read


def reminded(kind: str, log: list[Plain], until: int) -> list[tuple[str, int, int]]:
    text = policy() + f'[[care]]\nkind = "BENEFIT"\nshape = "event"\non = "benefit"\nfree = true\n{kind}'
    partition = Partition(policy_of(text)).run([*plainly(log), until])
    assert len({one.event_id for one in partition.care}) == len(partition.care)
    return [(one.status, one.at, one.due_at) for one in partition.care]


def test_T9_C1_who_can_use_a_benefit_is_reminded_before_it_ends_and_no_more_once_it_was_used():
    ends = ny("2024-05-04T12:00")
    due = ("DUE", ends - 14 * DAY_MS, ends - 1)
    log = [bought(0, 3, START)]
    assert reminded("lead_days = 14\n", log, ends) == [due, ("EXPIRED", ends, ends - 1)]
    used = [*log, bought(1, 1, ends - DAY_MS, MINE)]
    assert reminded("lead_days = 14\n", used, ends) == [due, ("WITHDRAWN", ends - DAY_MS, ends - 1)]
    assert reminded("lead_days = 14\n", [*log, back(1, 0, 1, START + 1)], ends) == []
    assert reminded("after_days = 2\nexpires_days = 5\n", log, START + 8 * DAY_MS) == [
        ("DUE", ny("2024-03-07T12:00"), ends - 1),
        ("EXPIRED", ny("2024-03-07T12:00") + 5 * DAY_MS, ends - 1),
    ]
    assert reminded("after_days = 60\n", log, ends + DAY_MS) == [], "it would come too late"


def test_T9_people_read_what_there_is_and_the_summary_adds_up():
    log = [bought(0, 7, START), bought(1, 1, START + 1, MINE), bought(2, 3, START + 2), back(3, 2, 3, START + 3)]
    log += [bought(4, 1, START + 4, "benefit:coffee:e2")]
    rules = policy_of(policy())
    seen = whole(view(Partition(rules).run(plainly(log)).customers["anna"], rules))
    shown = {name: seen[name] for name in ("currency", "entitlements")}
    assert ask._readable(shown)["entitlements"] == (
        f"coffee OPEN, 1 left (a coffee, 2.50 USD) until 2024-05-04T16:00:00.000Z [{MINE}]; "
        "coffee OWED, 1 used without a right (a coffee, 2.50 USD) until 2024-05-04T16:00:00.002Z [benefit:coffee:e2]"
    )
    assert summary.benefits([seen, seen, seen | {"entitlements": None}]) == [
        summary.BenefitLine("coffee", {"OPEN": 2, "OWED": 2}, 2, 500)
    ]
