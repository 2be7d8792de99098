"""W1, W4: one referrer each, the same for any order of deliveries, against a plain book of who named whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.view import view
from processors.word_of_mouth import referrer_of
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.strategies import DAY_MS, Plain, policy_of

AT = 1_750_000_000_000
PEOPLE = ("anna", "bob", "carl", "dora")
POLICY = policy_of('[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n')


def told_by(who: str, at: int, brought: str, number: int) -> Plain:
    return {
        "topic": "contacts", "event_id": f"c{number}", "customer_id": who, "occurred_at": at, "kind": "REFERRAL",
        "direction": "IN", "channel": "store", "referred_customer_id": brought,
    }  # fmt: skip


def bought(who: str, at: int, referrer: str | None, number: int) -> Plain:
    return sale(at, 1, number, customer_id=who, referrer_id=referrer)


@st.composite
def worlds(draw: st.DrawFn) -> list[Plain]:
    found = []
    for number in range(draw(st.integers(1, 10))):
        at, (who, other) = (
            AT + draw(st.integers(0, 6)),
            draw(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE))),
        )
        found.append((told_by if draw(st.booleans()) else bought)(who, at, other, number))
    return found


class Book(dict[tuple[str, str], int]):
    """(referrer, brought) to when first named: all that the rule needs, and the rule in three sentences."""

    def __init__(self, events: list[Plain]) -> None:
        for one in events:
            who, at = one["customer_id"], one["occurred_at"]
            pair = (who, one["referred_customer_id"]) if one["topic"] == "contacts" else (one["referrer_id"], who)
            if pair[0] != pair[1] and None not in pair:
                self[pair] = min(at, self.get(pair, at))

    def referrer(self, who: str) -> str | None:
        claims = sorted((at, referrer) for (referrer, brought), at in self.items() if brought == who)
        if not claims:
            return None
        at, first = claims[0]
        return None if (self.get((who, first), at + 1), who) < (at, first) else first

    def brought(self, who: str) -> dict[str, int]:
        return {b: at for (a, b), at in sorted(self.items()) if a == who and self.referrer(b) == who}

    def refused(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (a, b), at in self.items():
            if self.referrer(b) != a:
                stands = [(since, by) for (by, name), since in self.items() if name == b and by != a]
                back = self.get((b, a))
                loop = back is not None and (back, b) < min([(at, a), *stands])
                found["loop" if loop else "second"] += 1
        return found


def delivered(events: list[Plain], data: st.DataObject) -> Partition:
    """All events, and what they send, in any order and with repeats, until nothing is under way."""
    partition, under_way = Partition(POLICY), plainly(events)
    while under_way:
        event = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
        partition.run([event])
        if data.draw(st.integers(0, 5)) == 0:
            partition.run([event])
        under_way += [*partition.referrals, *partition.claims]
        partition.referrals, partition.claims = [], []
    return partition


@given(worlds(), st.data())
@settings(max_examples=200, deadline=None)
def test_W1_each_has_one_referrer_the_same_in_any_order(events: list[Plain], data: st.DataObject):
    partition, book = delivered(events, data), Book(events)
    other = delivered(events, data)
    for name, customer in partition.customers.items():
        assert referrer_of(customer.history, name) == book.referrer(name), name
        assert customer.history.referred == book.brought(name), name
        assert partition.figures(name).referrals_365d == len(book.brought(name))
        twin = other.customers[name].history
        assert (twin.claims, twin.referred, twin.refused) == (
            customer.history.claims, customer.history.referred, customer.history.refused,
        )  # fmt: skip
    refused = {reason: partition.counts[f"referrals_refused:{reason}"] for reason in ("loop", "second")}
    assert refused == {reason: book.refused()[reason] for reason in refused}


@given(worlds(), st.data())
@settings(max_examples=100, deadline=None)
def test_W4_who_came_through_others_is_counted_whatever_came_first(events: list[Plain], data: st.DataObject):
    partition, book = delivered(events, data), Book(events)
    sales = Counter(one["customer_id"] for one in events if one["topic"] == "purchases")
    brought = {name for name in PEOPLE if book.referrer(name)}
    expected = {
        "gained": len(sales),
        "gained_referred": len(sales.keys() & brought),
        "leads_referred": len(brought - sales.keys()),
        "sales_referred": sum(n for name, n in sales.items() if name in brought),
    }
    assert {name: partition.counts[name] for name in expected} == expected


def settled(*events: Plain) -> Partition:
    partition: Any = Partition(POLICY).run(plainly(list(events)))
    while partition.referrals or partition.claims:
        under_way: list[Any] = [*partition.referrals, *partition.claims]
        partition.referrals, partition.claims = [], []
        partition.run(under_way)
    return partition


def test_W1_the_first_who_was_named_keeps_the_customer_and_the_view_says_who():
    partition = settled(told_by("anna", AT + 2, "bob", 1), bought("bob", AT + 1, "carl", 2))
    assert view(partition.customers["bob"], POLICY)["referrer_id"] == "carl"
    assert [partition.figures(name).referrals_365d for name in ("anna", "carl")] == [0, 1]
    assert partition.counts["referrals_refused:second"] == 1


def test_W1_a_late_earlier_claim_takes_the_customer_back():
    partition = settled(
        bought("bob", AT + 5, "carl", 1), bought("bob", AT + 9, "anna", 2), bought("bob", AT, "anna", 3)
    )
    assert view(partition.customers["bob"], POLICY)["referrer_id"] == "anna"
    assert [partition.figures(name).referrals_365d for name in ("anna", "carl")] == [1, 0]


def test_W1_of_two_who_brought_each_other_the_earlier_claim_holds():
    partition = settled(bought("bob", AT, "anna", 1), bought("anna", AT + DAY_MS, "bob", 2))
    assert [view(partition.customers[name], POLICY)["referrer_id"] for name in ("anna", "bob")] == [None, "anna"]
    assert [partition.figures(name).referrals_365d for name in ("anna", "bob")] == [1, 0]
    assert partition.counts["referrals_refused:loop"] == 1


def test_W1_nobody_refers_oneself_and_it_is_counted():
    partition = settled(bought("anna", AT, "anna", 1), told_by("anna", AT, "anna", 2))
    assert partition.counts["referrals_refused:self"] == 2
    assert view(partition.customers["anna"], POLICY)["referrer_id"] is None


def test_W1_a_claim_on_who_is_unknown_makes_a_lead():
    partition = settled(told_by("anna", AT, "bob", 1))
    assert (partition.counts["leads_referred"], partition.counts["gained"]) == (1, 0)
    lead = partition.customers["bob"]
    assert (lead.history.first_at, referrer_of(lead.history, "bob")) == (None, "anna")
    partition.run(plainly([bought("bob", AT + DAY_MS, None, 2)]))
    assert (partition.counts["leads_referred"], partition.counts["gained_referred"]) == (0, 1)


def test_W1_who_was_erased_is_not_brought_back_by_what_was_claimed_before():
    partition = settled(told_by("anna", AT, "bob", 1))
    partition.erase("bob")
    partition.run(settled_claims := plainly([told_by("anna", AT, "bob", 1)]))
    partition.run([*Partition(POLICY).run(settled_claims).claims])
    assert "bob" not in partition.customers
    assert partition.counts["erased:Claim"] == 1
