"""W1-W4: one referrer each, the same for any order of deliveries, against a plain book of who named whom; and what kin
hear of each other."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.events import Standing
from processors.view import view
from processors.word_of_mouth import referrer_of
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.strategies import DAY_MS, Plain, policy_of

AT = 1_750_000_000_000
PEOPLE = ("anna", "bob", "carl", "dora")
POLICY = policy_of(
    '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n[clv]\nnetwork_share = 0.1\n'
)


def told_by(who: str, at: int, brought: str, number: int) -> Plain:
    return {
        "topic": "contacts", "event_id": f"c{number}", "customer_id": who, "occurred_at": at, "kind": "REFERRAL",
        "direction": "IN", "channel": "store", "referred_customer_id": brought,
    }  # fmt: skip


def bought(who: str, at: int, referrer: str | None, number: int) -> Plain:
    return sale(at, 7_777, number, customer_id=who, referrer_id=referrer)


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
    news: list[Standing] = []
    while under_way or news:
        at = data.draw(st.integers(-len(news[:1]), len(under_way) - 1))
        event = under_way.pop(at) if at >= 0 else news.pop(0)  # one partition's news comes in turn
        partition.run([event])
        if data.draw(st.integers(0, 5)) == 0:
            partition.run([event])
        under_way += [*partition.referrals, *partition.claims]
        news += partition.news
        partition.referrals, partition.claims, partition.news = [], [], []
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
    return heard(partition)


def heard(partition: Any) -> Partition:
    """All that partitions tell each other, until nothing is under way."""
    while partition.referrals or partition.claims or partition.news:
        under_way: list[Any] = [*partition.referrals, *partition.claims, *partition.news]
        partition.referrals, partition.claims, partition.news = [], [], []
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


# ---- W2, W3: how kin stand


def angry(who: str, at: int, severity: int, number: int, status: str = "OPENED", content: int | None = None) -> Plain:
    return {
        "topic": "complaints", "event_id": f"k{number}", "customer_id": who, "occurred_at": at,
        "complaint_id": f"case {number}", "status": status, "severity": severity, "about": "goods",
        "satisfaction": content,
    }  # fmt: skip


@st.composite
def years(draw: st.DrawFn) -> list[Plain | int]:
    """People who buy, name each other, complain and fall silent, and ticks in between."""
    found: list[Plain | int] = []
    at = AT
    for number in range(draw(st.integers(2, 14))):
        at += draw(st.sampled_from((1, DAY_MS, 30 * DAY_MS, 200 * DAY_MS)))
        who, other = draw(st.tuples(st.sampled_from(PEOPLE), st.sampled_from((*PEOPLE, None))))
        match draw(st.sampled_from(("buys", "buys", "names", "complains", "is answered", "nothing"))):
            case "buys":
                found.append(bought(who, at, other, number))
            case "names" if other is not None:
                found.append(told_by(who, at, other, number))
            case "complains":
                found.append(angry(who, at, draw(st.integers(3, 5)), number))
            case "is answered":
                found.append(angry(who, at, 3, number, "RESOLVED", draw(st.integers(1, 5))))
        if draw(st.booleans()):
            found.append(at)
    return [*found, at + draw(st.integers(0, 500)) * DAY_MS]


def stands(partition: Partition, who: str) -> str:
    """LOST, UNHAPPY or OK, by the rule's own sentence."""
    customer = partition.customers[who]
    if customer.told.level == "LOST":
        return "LOST"
    day = customer.now // DAY_MS
    rated = [c for c in customer.history.complaints if c.status == "RESOLVED" and c.at // DAY_MS > day - 365]
    last = max(rated, key=lambda c: (c.at, c.complaint_id), default=None)
    grave = any(c.status != "RESOLVED" and c.severity >= 4 for c in customer.history.complaints)
    return "UNHAPPY" if grave or (last is not None and (last.satisfaction or 5) <= 2) else "OK"


@given(years(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_W2_W3_kin_know_of_each_other_what_holds_once_all_is_heard(log: list[Plain | int], at_once: bool):
    partition = Partition(POLICY)
    for part in [log] if at_once else [[entry] for entry in log]:
        heard(partition.run(plainly(part)))
    views = {name: view(customer, POLICY) for name, customer in partition.customers.items()}
    referrers = {name: referrer_of(one.history, name) for name, one in partition.customers.items()}
    for name, seen in views.items():
        brought = [other for other, referrer in referrers.items() if referrer == name]
        assert sorted(partition.customers[name].history.referred) == sorted(brought)
        assert seen["network_value"] == seen["clv"] + round(Fraction(sum(int(views[b]["clv"]) for b in brought), 10))
        if seen["risk_score"] is not None:
            codes = {reason["code"] for reason in json.loads(str(seen["risk_reasons"]))}
            referrer = referrers[name]
            gone = referrer is not None and stands(partition, referrer) != "OK"
            assert ("referrer_gone" in codes) == gone, (name, referrer)
    bad = {name for name, referrer in referrers.items() if referrer and stands(partition, referrer) != "OK"}
    came = {name for name, referrer in referrers.items() if referrer}
    sales = {name: int(seen["lifetime_purchases"] or 0) for name, seen in views.items()}
    lost = {name for name, one in partition.customers.items() if one.told.level == "LOST"}
    at_all = {referrer for referrer in referrers.values() if referrer}
    expected = {
        "gained_referred": sum(sales[name] > 0 for name in came),
        "gained_referred:unhappy": sum(sales[name] > 0 for name in bad),
        "leads_referred:unhappy": sum(sales[name] == 0 for name in bad),
        "sales_referred:unhappy": sum(sales[name] for name in bad),
        "lost_referred": len(came & lost),
        "lost_referred:unhappy": len(bad & lost),
        "referrers": len(at_all),
        "referrers:unhappy": sum(stands(partition, name) != "OK" for name in at_all),
    }
    assert {name: partition.counts[name] for name in expected} == expected


def test_W3_a_lost_referrer_raises_the_risk_until_they_come_back():
    log = [bought("anna", AT + n * DAY_MS, None, n) for n in range(4)]
    log += [bought("bob", AT + 100 * DAY_MS + n * DAY_MS, "anna" if n == 0 else None, 10 + n) for n in range(4)]
    partition = settled(*log)
    heard(partition.run([AT + 104 * DAY_MS]))
    assert partition.customers["anna"].told.level == "LOST"
    bob = partition.customers["bob"]
    reasons = {one["code"]: one["weight"] for one in json.loads(str(view(bob, POLICY)["risk_reasons"]))}
    assert reasons["referrer_gone"] == 0.3
    heard(partition.run(plainly([bought("anna", AT + 105 * DAY_MS, None, 20), AT + 106 * DAY_MS])))
    assert "referrer_gone" not in str(view(partition.customers["bob"], POLICY)["risk_reasons"])


@pytest.mark.parametrize("back", [False, True])
def test_W2_nothing_is_expected_any_more_of_who_was_erased_though_they_come_back(back: bool):
    days = [bought("bob", AT + n * DAY_MS, None if n else "anna", 2 + n) for n in range(3)]
    partition = settled(bought("anna", AT, None, 1), *days)
    seen = view(partition.customers["anna"], POLICY)
    assert seen["network_value"] > seen["clv"]
    again = plainly([bought("bob", AT + 30 * DAY_MS, None, 9)]) if back else []
    partition.erase("bob", again)
    assert ("bob" in partition.customers) is back
    seen = view(heard(partition).customers["anna"], POLICY)
    assert seen["network_value"] == seen["clv"]


def test_W2_the_same_news_again_changes_nothing():
    partition = Partition(POLICY).run(plainly([bought("bob", AT, "anna", 1)]))
    partition.run([*partition.referrals])
    (news,) = partition.news
    partition.run([news])
    anna, told = partition.customers["anna"], len(partition.news)
    partition.run([news])
    assert partition.customers["anna"] is anna
    assert (partition.counts["duplicates:Standing"], len(partition.news)) == (1, told)


def test_W2_news_of_kin_makes_nobody_known():
    news = Standing(event_id="n", customer_id="zoe", occurred_at=AT, level="OK", clv=5, referred_customer_id="bob")
    assert Partition(POLICY).run([news]).customers == {}
