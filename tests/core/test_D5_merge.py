"""D5: two ids that are one customer, across partitions, with what they tell each other under way for as long as it
likes; against the events of both folded under one id, and a plain walk along who was merged into whom."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from processors.customer import Customer, apply, newcomer
from processors.events import Forgotten, Part
from processors.figures import shown
from processors.history import History, within
from processors.merging import PART_BYTES_MAX, own_facts
from processors.view import view
from schemas import state
from tests.core.driving import HORIZON_MS, Partition, plainly
from tests.core.events import sale
from tests.strategies import DAY_MS, Plain, event_of, policy_of

AT = 1_750_000_000_000
IDS = ("a", "b", "c", "d")
POLICY = policy_of(
    '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n[[tiers]]\nname = "gold"\n'
    "min_value_365d = 5000\n"
    '[[care]]\nkind = "HELLO"\nshape = "calendar"\non = "birthday"\nlead_days = 30\nchannel = "email"\n'
)


class Town:
    """Customers in three partitions. What partitions tell each other waits until `deliver`, the first first."""

    def __init__(self) -> None:
        self.partitions = [Partition(POLICY) for _ in range(3)]
        self.under_way: list[list[Any]] = [[] for _ in range(3)]

    def of(self, customer_id: str) -> Partition:
        return self.partitions[ord(customer_id[0]) % 3]

    def run(self, *plain: Plain) -> Town:
        for one in plain:
            self._fold(event_of(one))
        return self

    def _fold(self, event: Any) -> None:
        self.of(event.customer_id).run([event])
        self._take()

    def _take(self) -> None:
        for number, partition in enumerate(self.partitions):
            self.under_way[number] += partition.parts
            partition.parts = []

    def erase(self, customer_id: str) -> None:
        self.of(customer_id).erase(customer_id)
        self._take()

    def tick(self, at: int) -> None:
        for partition in self.partitions:
            partition.run([at])
        self._take()

    def deliver(self, number: int) -> None:
        """One record of what partition `number` has told."""
        if self.under_way[number]:
            self._fold(self.under_way[number].pop(0))

    def rest(self) -> Town:
        for _ in range(10_000):
            if not any(self.under_way):
                return self
            for number in range(3):
                self.deliver(number)
        raise AssertionError("they never come to rest")

    def customers(self) -> dict[str, Customer]:
        return {name: one for partition in self.partitions for name, one in partition.customers.items()}

    def shown(self) -> dict[str, Customer]:
        return {name: one for name, one in self.customers().items() if shown(one) is not None}

    def counts(self) -> Counter[str]:
        return sum((partition.counts for partition in self.partitions), Counter[str]())

    def lifetime(self) -> int:
        return sum(one.history.lifetime_value for one in self.shown().values())


def profile(who: str, at: int, into: str | None, number: int = 0, **fields: Any) -> Plain:
    return {
        "topic": "customers", "event_id": f"p{number}-{at}", "customer_id": who, "occurred_at": at, "joined_at": AT,
        "merged_into": into, **fields,
    }  # fmt: skip


@st.composite
def lives(draw: st.DrawFn) -> list[Plain]:
    """Events of four ids, the same event ids under each, and profiles that merge and unmerge them."""
    found: list[Plain] = []
    at = AT
    for number in range(draw(st.integers(1, 16))):
        at += draw(st.sampled_from((0, 1, DAY_MS, 40 * DAY_MS, 200 * DAY_MS)))
        who = draw(st.sampled_from(IDS))
        sort = draw(st.integers(0, 5))
        if sort < 3:
            line = {
                "category": draw(st.sampled_from(("cd", "tea"))),
                "quantity": 1,
                "net_amount": draw(st.integers(0, 9000)),
            }
            found.append(sale(
                at, number=number % 3, customer_id=who, lines=[line], kind=draw(st.sampled_from(("SALE", "RETURN"))),
                store_id=draw(st.sampled_from(("s1", "s2"))), coupon_ids=("k",) if draw(st.booleans()) else (),
            ))  # fmt: skip
        elif sort == 3:
            found.append({
                "topic": "contacts", "event_id": f"k{number % 3}", "customer_id": who, "occurred_at": at,
                "kind": draw(st.sampled_from(("CARE", "VISIT"))), "direction": draw(st.sampled_from(("IN", "OUT"))),
                "channel": "mail", "cost": 7,
            })  # fmt: skip
        else:
            into = draw(st.sampled_from((*IDS, "new", None, None)))
            found.append(profile(who, at, into, number))
    return found


def wanted(events: list[Plain]) -> dict[str, tuple[int, str]]:
    """Id to (since, into), as the latest profile of each says."""
    latest: dict[str, Plain] = {}
    for one in events:
        if one["topic"] == "customers":
            held = latest.get(one["customer_id"])
            if held is None or (held["occurred_at"], held["event_id"]) < (one["occurred_at"], one["event_id"]):
                latest[one["customer_id"]] = one
    return {
        name: (one["occurred_at"], one["merged_into"]) for name, one in latest.items() if one["merged_into"] is not None
    }


def held_merges(merges: dict[str, tuple[int, str]]) -> dict[str, str]:
    """Id to the one it is merged into; of each circle the latest merge is refused."""
    found = {name: into for name, (_, into) in merges.items() if name != into}
    for start in tuple(found):
        path = [start]
        while (name := found.get(path[-1])) is not None and name not in path:
            path.append(name)
        if name is not None:
            circle = path[path.index(name) :]
            del found[max(circle, key=lambda one: (merges[one][0], one))]
    return found


def root(name: str, merges: dict[str, str]) -> str:
    while name in merges:
        name = merges[name]
    return name


def together(events: list[Plain]) -> History:
    """All events folded under one id, each its own."""
    one = newcomer("all", 0, "member", "")
    plain = [event | {"event_id": f"{event['customer_id']}:{event['event_id']}"} for event in events]
    return reduce(lambda customer, event: apply(customer, event, POLICY), plainly(plain), one).history


def known_facts(history: History, day: int) -> History:
    return replace(within(history, day), seen=b"", profile=None, not_before=-1)


def once(events: list[Plain]) -> list[Plain]:
    """The first of each (topic, customer, id) counts."""
    found: dict[tuple[str, str, str], Plain] = {}
    for one in events:
        found.setdefault((one["topic"], one["customer_id"], one["event_id"]), one)
    return list(found.values())


def lived(events: list[Plain], data: st.DataObject) -> Town:
    """The events, what they make partitions tell each other delivered whenever."""
    town = Town()
    for one in events:
        town.run(one)
        if data.draw(st.integers(0, 3)) == 0:
            town.run(one)
        for _ in range(data.draw(st.integers(0, 3))):
            town.deliver(data.draw(st.integers(0, 2)))
    return town.rest()


@given(lives(), st.data())
@settings(max_examples=300, deadline=None)
def test_D5_each_customer_is_the_union_of_their_ids_and_nothing_is_counted_twice(
    events: list[Plain], data: st.DataObject
):
    town = lived(events, data)
    merges = held_merges(wanted(once(events)))
    town.tick(max(one["occurred_at"] for one in events))
    town.rest()
    customers = town.customers()
    assert {name: one.moved_to for name, one in customers.items() if one.moved_to} == merges
    day = POLICY.calendar.day_of(max(one.now for one in customers.values()))
    for name in town.shown():
        own = [one for one in once(events) if root(one["customer_id"], merges) == name]
        assert known_facts(customers[name].history, day) == known_facts(together(own), day), name
    everything = together(once(events))
    assert town.lifetime() == everything.lifetime_value
    counts = town.counts()
    assert counts["customers:member"] + counts["customers:gold"] == len(town.shown())
    assert counts["merged"] == len(merges)
    assert counts["merges_refused:self"] + counts["merges_refused:loop"] == len(wanted(once(events))) - len(merges)


@given(lives(), st.data())
@settings(max_examples=100, deadline=None)
def test_D5_unmerge_gives_back_each_ids_own_facts_to_the_byte(events: list[Plain], data: st.DataObject):
    town = lived(events, data)
    late = max(one["occurred_at"] for one in events) + 1
    apart = [profile(who, late, None, 99) for who in IDS]
    town.run(*apart).rest()
    alone = Town().run(*[one | {"merged_into": None} if one["topic"] == "customers" else one for one in events], *apart)
    clock = late + DAY_MS
    for name, one in alone.customers().items():
        held = town.customers()[name]
        assert held.merge is None
        assert state.facts_bytes(held, clock, HORIZON_MS, POLICY.calendar) == state.facts_bytes(
            one, clock, HORIZON_MS, POLICY.calendar
        )


@given(lives(), st.data())
@settings(max_examples=100, deadline=None)
def test_D5_facts_are_the_same_in_any_order_of_events(events: list[Plain], data: st.DataObject):
    events = once(events)
    town, other = lived(events, data), lived(data.draw(st.permutations(events)), data)
    clock = max(one["occurred_at"] for one in events) + DAY_MS
    assert town.shown().keys() == other.shown().keys()
    for name, one in town.customers().items():
        if one.moved_to != "":
            assert _bytes(other.customers()[name], clock) == _bytes(one, clock), name


def _bytes(one: Customer, clock: int) -> bytes:
    return state.facts_bytes(one, clock, HORIZON_MS, POLICY.calendar)


# ---- what it means, one by one


def merged(*before: Plain) -> Town:
    """a and b have bought, and a is merged into b."""
    town = Town().run(sale(AT, 3_000, 1, customer_id="a"), sale(AT, 4_000, 1, customer_id="b"), *before)
    return town.run(profile("a", AT + DAY_MS, "b")).rest()


def test_D5_the_figures_of_both_are_the_new_ids_and_its_tier_follows():
    town = merged()
    seen = view(town.shown()["b"], POLICY)
    assert (seen["value_365d"], seen["purchases_365d"], seen["tier"]) == (7_000, 2, "gold")
    assert [(one.customer_id, one.to_tier) for one in town.of("b").told] == [("b", "gold")]
    assert "a" not in town.shown()
    assert town.of("a").moved == ["a"]


def test_D5_twice_and_back_and_with_events_under_way():
    town = merged()
    for number in range(4):
        at = AT + (number + 2) * DAY_MS
        town.run(sale(at, 100, 5, customer_id="a"))
        town.run(profile("a", at + 1, None if number % 2 == 0 else "b"))
        assert town.rest().lifetime() == 7_000 + 100 * (number + 1)
    assert town.shown()["b"].history.lifetime_value == 7_400


def test_D5_a_repeat_of_the_merge_changes_nothing_and_a_late_older_profile_neither():
    town = merged()
    held = dict(town.customers())
    town.run(profile("a", AT + DAY_MS, "b"), profile("a", AT + 5, None)).rest()
    assert town.customers()["b"] == held["b"]
    assert town.customers()["a"].moved_to == "b"


def test_D5_into_an_unknown_id_makes_a_customer_and_a_merge_into_oneself_is_refused():
    town = merged(profile("a", AT + 1, "zoe")).run(profile("b", AT + 2 * DAY_MS, "b")).rest()
    assert town.counts()["merges_refused:self"] == 1
    town.run(profile("a", AT + 3 * DAY_MS, "zoe")).rest()
    assert view(town.shown()["zoe"], POLICY)["value_365d"] == 3_000
    assert view(town.shown()["b"], POLICY)["value_365d"] == 4_000
    town.run(profile("a", AT + 4 * DAY_MS, None)).rest()
    assert town.shown().keys() == {"a", "b"}
    assert town.of("zoe").moved == ["zoe", "zoe"]


def test_D5_an_open_reminder_of_the_old_id_is_withdrawn_and_never_comes_again():
    day = POLICY.calendar.iso_day(POLICY.calendar.day_of(AT) + 7)[5:]
    town = Town().run(profile("a", AT, None, birthday=day), sale(AT, 100, 1, customer_id="a"))
    town.tick(AT + 1)
    town.run(profile("a", AT + 2, "b", birthday=day), profile("a", AT + 3, None, birthday=day)).rest()
    assert [one.status for one in town.of("a").care] == ["DUE", "WITHDRAWN"]


def test_D5_what_the_old_id_was_told_holds_on_once_the_merge_is_undone():
    town = Town().run(sale(AT, 6_000, 1, customer_id="a"), profile("a", AT + 1, "b")).rest()
    town.run(profile("a", AT + 2, None)).rest()
    assert town.of("a").tiers("a") == [(AT, "member", "gold")]
    assert town.of("b").tiers("b")[0][1:] == ("member", "gold")


def test_D4_an_erase_takes_along_who_is_merged_and_that_of_an_old_id_its_part_alone():
    town = merged(profile("c", AT + 1, "a")).run(sale(AT, 500, 1, customer_id="c")).rest()
    assert town.lifetime() == 7_500
    town.erase("c")
    assert town.rest().lifetime() == 7_000
    town.tick(AT + 2 * DAY_MS)
    town.erase("b")
    town.rest()
    assert town.customers() == {}
    assert town.of("a").not_before.keys() >= {"a"}


def test_D4_facts_that_were_under_way_to_who_is_erased_are_erased():
    town = Town().run(sale(AT, 3_000, 1, customer_id="a"), sale(AT, 4_000, 1, customer_id="b"))
    town.tick(AT + 5)
    town.run(profile("a", AT + 3, "b"))
    town.erase("b")
    assert town.rest().customers() == {}


def test_D4_who_is_merged_after_the_erase_begins_the_new_id_afresh():
    town = Town().run(sale(AT, 3_000, 1, customer_id="a"), sale(AT, 4_000, 1, customer_id="b"))
    town.tick(AT + 5)
    town.erase("b")
    town.run(profile("a", AT + 6, "b")).rest()
    assert town.shown()["b"].history.lifetime_value == 3_000


def test_D5_an_unmerge_that_crosses_the_erase_keeps_the_old_id():
    town = merged()
    town.run(profile("a", AT + 2 * DAY_MS, None))
    town.erase("b")
    assert town.rest().customers().keys() == {"a"}


@pytest.mark.parametrize("later", [("a", "UPDATED"), ("b", "RESOLVED")])
def test_D5_a_complaint_that_goes_on_under_the_new_id_is_one_and_one_opened_under_both_is_two(later: tuple[str, str]):
    def told(who: str, at: int, status: str) -> Plain:
        return {
            "topic": "complaints", "event_id": f"c{at}", "customer_id": who, "occurred_at": at, "complaint_id": "17",
            "severity": 3, "about": "PRODUCT", "status": status,
        }  # fmt: skip

    who, status = later
    town = merged(told("a", AT + 1, "OPENED")).run(told(who, AT + 2 * DAY_MS, status)).rest()
    found = town.shown()["b"].history.complaints
    assert [(one.complaint_id, one.status, one.opened_at) for one in found] == [("17", status, AT + 1)]
    town.run(told("b", AT + 3 * DAY_MS, "OPENED")).rest()
    assert [one.complaint_id for one in town.shown()["b"].history.complaints] == ["17", "17@a"]


def test_D5_what_one_id_forbids_is_forbidden():
    town = Town().run(profile("b", AT, None, consent={"email": True, "sms": True}, acquisition_cost=100))
    town.run(profile("a", AT, "b", consent={"email": False}, acquisition_cost=50)).rest()
    known = town.shown()["b"].history.profile
    assert known is not None
    assert (known.customer_id, known.consent, known.acquisition_cost) == ("b", {"email": False, "sms": True}, 150)


def test_D5_too_many_facts_to_travel_are_refused():
    town = Town()
    many = "x" * 120
    for number in range(PART_BYTES_MAX // 100 // 60):
        lines = [{"category": f"{number}-{n}-{many}"[:128], "quantity": 1, "net_amount": 1} for n in range(60)]
        town.run(sale(AT + number, number=number, customer_id="a", lines=lines))
    town.run(profile("a", AT + DAY_MS, "b")).rest()
    assert town.counts()["merges_refused:size"] == 1
    assert town.shown().keys() == {"a"}


def test_D5_the_facts_of_others_are_not_the_customers_own():
    town = merged()
    one = town.customers()["b"]
    assert own_facts(one.history, one.merge).lifetime_value == 4_000
    assert own_facts(town.customers()["a"].history, None).lifetime_value == 3_000


def test_D5_what_is_told_of_a_merge_says_the_same_each_time_it_is_told():
    town = Town().run(sale(AT, 3_000, 1, customer_id="a"), profile("a", AT + 1, "b"))
    told = [one for queue in town.under_way for one in queue]
    assert [(type(one), one.customer_id, one.occurred_at) for one in told] == [(Part, "b", AT + 1)]
    again = Town().run(sale(AT, 3_000, 1, customer_id="a"), profile("a", AT + 1, "b"))
    assert [one for queue in again.under_way for one in queue] == told
    assert not isinstance(told[0], Forgotten)
