"""L1-L3: signs, layer and answers, against the rules' own sentences over the events as they are."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.loyalty import SIGNS
from processors.review import evaluated
from processors.view import view
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.oracle import loyalty as oracle
from tests.strategies import DAY_MS, ZONES, Plain, parsed, policy_of, times

_KINDS = ("SURVEY", "SURVEY", "INQUIRY", "RECOMMENDATION", "REFERRAL", "CARE", "CAMPAIGN")


@st.composite
def programmes(draw: st.DrawFn) -> str:
    return (
        f'[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\ntime_zone = "{draw(st.sampled_from(ZONES))}"\n'
        f"[loyalty]\nrepeats = {{ min_purchases_365d = {draw(st.integers(1, 5))}, "
        f"max_silence_gaps = {draw(st.sampled_from((1.0, 1.5, 2.0, 20.0)))} }}\n"
        f"speaks_up = {{ min_contacts_365d = {draw(st.integers(1, 2))} }}\n"
        f"varied = {{ min_categories_365d = {draw(st.integers(1, 4))} }}\n"
        f"recommends = {{ min_365d = {draw(st.integers(1, 2))} }}\n"
        f"steadfast = {{ min_purchases_365d = {draw(st.integers(0, 4))}, "
        f"min_full_price_share = {draw(st.sampled_from(('0', '0.5', '0.75', '1')))} }}\n"
        '[[tiers]]\nname = "member"\n'
    )


@st.composite
def lives(draw: st.DrawFn, zone: str) -> list[Plain]:
    """Mostly purchases, of some categories and now and then with a coupon; contacts and complaints in between."""
    found = []
    for number, at in enumerate(draw(times(zone, 1, 16))):
        event: Plain = {"event_id": f"e{number}", "customer_id": "anna", "occurred_at": at}
        match draw(st.sampled_from(("sale", "sale", "sale", "sale", "contact", "contact", "complaint"))):
            case "sale":
                names = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=2))
                event |= {
                    "topic": "purchases", "kind": draw(st.sampled_from(("SALE", "SALE", "SALE", "RETURN"))),
                    "currency": "USD", "coupon_ids": draw(st.sampled_from(((), (), ("k",)))),
                    "lines": [{"category": name, "quantity": 1, "net_amount": 100} for name in names],
                }  # fmt: skip
            case "contact":
                event |= {
                    "topic": "contacts", "kind": draw(st.sampled_from(_KINDS)), "channel": "store",
                    "direction": draw(st.sampled_from(("IN", "IN", "OUT"))),
                    "score": draw(st.none() | st.integers(0, 10)),
                    "item": draw(st.sampled_from((None, "WOULD_RECOMMEND", "WILL_BUY_AGAIN"))),
                    "referred_customer_id": draw(st.sampled_from((None, "bob", "carl"))),
                }  # fmt: skip
            case "complaint":
                event |= {
                    "topic": "complaints", "complaint_id": draw(st.sampled_from(("c1", "c2"))),
                    "status": draw(st.sampled_from(("OPENED", "RESOLVED"))), "severity": draw(st.integers(2, 5)),
                    "about": "STAFF", "satisfaction": None,
                }  # fmt: skip
        found.append(event)
    return found


@given(programmes(), st.data())
@settings(max_examples=400, deadline=None)
def test_L1_L2_signs_and_layer_are_the_rules_at_any_day(text, data):
    policy, plain = policy_of(text), parsed(text)
    log = data.draw(lives(plain["programme"]["time_zone"]))
    clock = log[-1]["occurred_at"] + data.draw(st.sampled_from((0, 1, 5, 30, 90, 200, 364, 365, 366))) * DAY_MS
    anna = Partition(policy).run([*plainly(log), clock]).customers["anna"]
    shown = view(evaluated(anna, clock, policy), policy)
    told = json.loads(str(shown["loyalty_signs"]))
    held = oracle.signs(log, clock, plain)
    assert {name: told[name] for name in SIGNS} == held
    latest: dict[str, Plain] = {}
    for event in log:
        if event["topic"] == "complaints":
            kept = latest.setdefault(event["complaint_id"], event)
            latest[event["complaint_id"]] = max(kept, event, key=lambda one: (one["occurred_at"], one["event_id"]))
    grave = any(one["status"] != "RESOLVED" and one["severity"] >= 4 for one in latest.values())
    assert shown["loyalty_layer"] == oracle.layer(held, grave)
    step = told["step"]
    if shown["loyalty_layer"] == "LOYAL":
        assert step is None
    elif step["sign"] == "resolve_complaint":
        assert shown["loyalty_layer"] == "HABIT"
        assert oracle.layer(held, grave=False) == "PREFERENCE"
    else:
        assert not held[step["sign"]]
        assert step["have"] < step["need"] or step["sign"] == "repeats"  # often enough, and silent for too long


@given(programmes(), st.data())
@settings(max_examples=150, deadline=None)
def test_L3_the_last_answers_of_the_year_are_kept_and_decide_no_layer(text, data):
    policy, plain = policy_of(text), parsed(text)
    log = data.draw(lives(plain["programme"]["time_zone"]))
    for event in log:  # a question that is not named asks whether they would recommend
        if event["topic"] == "contacts" and event["item"] is None:
            event["kind"] = "CARE"
    clock = log[-1]["occurred_at"] + data.draw(st.sampled_from((0, 30, 364, 365))) * DAY_MS
    anna = Partition(policy).run([*plainly(log), clock]).customers["anna"]
    shown = view(evaluated(anna, clock, policy), policy)
    for field, item in (("would_recommend", "WOULD_RECOMMEND"), ("will_buy_again", "WILL_BUY_AGAIN")):
        scores = [e for e in log if e["topic"] == "contacts" and e["item"] == item]
        if len({e["occurred_at"] for e in scores}) == len(scores):  # of two at one instant either is the last
            assert shown[field] == oracle.said(log, clock, plain, item)
    lower = [{**event, "score": 0} if event.get("score") else event for event in log]
    other = Partition(policy).run([*plainly(lower), clock]).customers["anna"]
    assert view(evaluated(other, clock, policy), policy)["loyalty_signs"] == shown["loyalty_signs"]


def shown_of(log: list[Plain], clock: int, rules: str = "") -> Plain:
    policy = policy_of(f'[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n{rules}\n[[tiers]]\nname = "member"\n')
    return view(evaluated(Partition(policy).run([*plainly(log), clock]).customers["anna"], clock, policy), policy)


AT = 1_750_000_000_000
WEEKLY = [sale(AT + 7 * n * DAY_MS, coupon_ids=("k",)) for n in range(5)]
LAST = WEEKLY[-1]["occurred_at"]


def test_L1_repeats_holds_on_the_last_day_of_the_gaps_and_no_longer():
    rules = "[loyalty]\nrepeats = { min_purchases_365d = 5, max_silence_gaps = 2.0 }"
    for days, layer in ((13, "HABIT"), (14, "HABIT"), (15, "NONE")):
        assert shown_of(WEEKLY, LAST + days * DAY_MS, rules)["loyalty_layer"] == layer


def test_L2_an_open_complaint_keeps_from_preference_at_severity_4():
    rules = "[loyalty]\nrepeats = { min_purchases_365d = 5 }\nspeaks_up = { min_contacts_365d = 1 }"
    asked = {"topic": "contacts", "event_id": "i", "customer_id": "anna", "occurred_at": LAST, "kind": "INQUIRY",
             "direction": "IN", "channel": "store"}  # fmt: skip
    for severity, status, layer in ((3, "OPENED", "PREFERENCE"), (4, "OPENED", "HABIT"), (4, "RESOLVED", "PREFERENCE")):
        complaint = {"topic": "complaints", "event_id": "c", "customer_id": "anna", "occurred_at": LAST,
                     "complaint_id": "c1", "status": status, "severity": severity, "about": "STAFF"}  # fmt: skip
        assert shown_of([*WEEKLY, asked, complaint], LAST, rules)["loyalty_layer"] == layer
