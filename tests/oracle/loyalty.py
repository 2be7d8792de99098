"""The loyalty layer, its signs, and what was said: the rules L1 to L3, from the events as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.oracle import dates
from tests.oracle.facts import Event, Facts, Policy, exact, zone_of

DEFAULTS: dict[str, dict[str, Any]] = {
    "repeats": {"min_purchases_365d": 4, "max_silence_gaps": 2},
    "speaks_up": {"min_contacts_365d": 1},
    "varied": {"min_categories_365d": 3},
    "recommends": {"min_365d": 1},
    "steadfast": {"min_purchases_365d": 4, "min_full_price_share": 0.8},
}


def signs(log: Iterable[Event], now: int, policy: Policy) -> dict[str, bool]:
    """Which of the five signs hold at `now`; `log`: what has been folded by then, each once."""
    zone, rules = (
        zone_of(policy),
        {name: {**own, **policy.get("loyalty", {}).get(name, {})} for name, own in DEFAULTS.items()},
    )
    today, facts, seen = dates.day(now, zone), Facts(policy), []
    for event in log:
        if facts.fold(event):
            seen.append((dates.day(event["occurred_at"], zone), event))
    year = [event for day, event in seen if day > today - 365]
    came = [event for event in year if event["topic"] == "contacts" and event["direction"] == "IN"]
    sales = [event for event in year if event["topic"] == "purchases" and event["kind"] == "SALE"]
    full = [event for event in sales if not event.get("coupon_ids")]
    days, gap = sorted({basket.day for basket in facts.sales}), facts.usual_gap_days()
    early = {name for b in facts.sales if b.day <= days[0] + 90 for name in b.categories} if days else set()
    steadfast = rules["steadfast"]
    return {
        "repeats": len(sales) >= rules["repeats"]["min_purchases_365d"]
        and gap is not None
        and today - days[-1] <= float(rules["repeats"]["max_silence_gaps"]) * gap,
        "speaks_up": sum(one["kind"] in ("SURVEY", "INQUIRY") for one in came)
        >= rules["speaks_up"]["min_contacts_365d"],
        "varied": max(facts.categories_365d(now), len(early)) >= rules["varied"]["min_categories_365d"],
        "recommends": facts.referrals_365d(now) + sum(one["kind"] == "RECOMMENDATION" for one in came)
        >= rules["recommends"]["min_365d"],
        "steadfast": len(sales) >= max(steadfast["min_purchases_365d"], 1)
        and exact(len(full)) / len(sales) >= exact(steadfast["min_full_price_share"]),
    }


def layer(held: dict[str, bool], grave: bool) -> str:
    """L2. grave: a complaint of severity 4 or more is open."""
    more = sum(held.values()) - held["repeats"]
    if not held["repeats"]:
        return "NONE"
    if more >= 3:
        return "LOYAL"
    return "PREFERENCE" if more and not grave else "HABIT"


def said(log: Iterable[Event], now: int, policy: Policy, item: str) -> int | None:
    """L3: the last answer of the year to the survey's question."""
    zone = zone_of(policy)
    answers = [
        (event["occurred_at"], event["score"])
        for event in log
        if event["topic"] == "contacts" and event["kind"] == "SURVEY" and event.get("score") is not None
        and event.get("item") == item and dates.day(event["occurred_at"], zone) > dates.day(now, zone) - 365
    ]  # fmt: skip
    return max(answers)[1] if answers else None
