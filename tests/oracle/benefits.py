"""T9, slowly: what a customer's benefits come to, from all their events ever, one use at a time.

`entitlements` answers for an instant. The tier held, and since when, is told (it depends on the order of events), so it
is an argument; all else is a fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from tests.oracle import dates
from tests.oracle.facts import converted, zone_of

Event = Mapping[str, Any]
Policy = Mapping[str, Any]

FORGOTTEN_DAYS = 400


def entitlements(
    events: Sequence[Event], policy: Policy, now: int, tier: str, tier_since: int
) -> dict[str, dict[str, Any]]:
    """By id: what there is at `now`. events: of one customer, in any order, repeats too; all at or before `now`."""
    zone = zone_of(policy)
    first: dict[tuple[str, str], Event] = {}
    for event in events:
        first.setdefault((event["topic"], event["event_id"]), event)
    today = dates.day(now, zone)
    known = [one for one in first.values() if dates.day(one["occurred_at"], zone) > today - FORGOTTEN_DAYS]
    found: dict[str, dict[str, Any]] = {}
    for benefit in policy.get("benefits", []):
        if "buy" in benefit:
            for sale in known:
                if sale["topic"] == "purchases" and sale["kind"] == "SALE":
                    found |= _of_sale(benefit, sale, known, policy, now)
        else:
            found |= _of_tier(benefit, known, policy, now, tier, tier_since)
    return found


def _of_sale(benefit: Any, sale: Event, known: list[Event], policy: Policy, now: int) -> dict[str, dict[str, Any]]:
    buy = benefit["buy"]
    full = buy.get("quantity", buy.get("amount"))
    got = _measure(sale, buy, policy)
    if got < full:
        return {}
    for back in known:
        if (
            back["topic"] == "purchases"
            and back["kind"] == "RETURN"
            and back.get("original_event_id") == sale["event_id"]
        ):
            got -= abs(_measure(back, buy, policy))
    granted = 0
    while got >= full:
        granted, got = granted + benefit.get("uses", 1), got - full
    name = f"benefit:{benefit['name']}:{sale['event_id']}"
    at = sale["occurred_at"]
    ends = dates.same_local_time(at, benefit["expires_days"], zone_of(policy))
    uses = sorted(_uses(name, known))
    right = [use for use in uses if use < ends]
    return {name: _said(granted, len(right), len(uses) - len(right), at, ends, now)}


def _of_tier(
    benefit: Any, known: list[Event], policy: Policy, now: int, tier: str, since: int
) -> dict[str, dict[str, Any]]:
    """A calendar year's, while a tier of it is held; of a year gone by, if it was held at its end already; and any that
    was used. What was used after the tier was lost had no right, as long as it stays lost."""
    zone, allowed = zone_of(policy), benefit.get("uses", 1)
    this = date.fromordinal(dates.day(now, zone)).year
    found = {}
    named = [one.get("item") for one in known] + [name for one in known for name in one.get("coupon_ids", ())]
    years = {f"benefit:{benefit['name']}:{year}": year for year in range(1970, 2100)}
    for year in sorted({this, this - 1} | {years[name] for name in named if name in years}):
        begins, ends = (dates.midnight(date(y, 1, 1).toordinal(), zone) for y in (year, year + 1))
        name = f"benefit:{benefit['name']}:{year}"
        uses = sorted(_uses(name, known))
        holds = tier in benefit["tiers"]
        whole = holds and since < ends and (year == this or year == this - 1)
        if not uses and not whole:
            continue
        wrong = [use for use in uses if use >= ends or (not holds and use >= since)]
        right = len(uses) - len(wrong)
        granted = allowed if whole else min(allowed, right)
        found[name] = _said(granted, right, len(wrong), max(begins, since) if whole else begins, ends, now)
    return found


def _said(granted: int, right: int, wrong: int, at: int, ends: int, now: int) -> dict[str, Any]:
    owed, used = wrong, 0
    for _ in range(right):
        if used < granted:
            used += 1
        else:
            owed += 1
    left = granted - used if now < ends else 0
    if owed:
        state = "OWED"
    elif not granted:
        state = "TAKEN_BACK"
    elif used == granted:
        state = "USED"
    else:
        state = "OPEN" if now < ends else "EXPIRED"
    return {"state": state, "left": left, "used": used, "owed": owed, "earned_at": at, "expires_at": ends}


def _uses(name: str, known: list[Event]) -> Iterator[int]:
    """The instant of each use that no return has given back."""
    for event in known:
        if event["topic"] == "purchases" and event["kind"] == "SALE":
            named = list(event.get("coupon_ids", ())).count(name)
        elif event["topic"] == "contacts" and event["kind"] == "SERVICE" and event["direction"] == "IN":
            named = int(event.get("item") == name)
        else:
            continue
        returns = [one for one in known if one["topic"] == "purchases" and one["kind"] == "RETURN"]
        mine = [one for one in returns if one.get("original_event_id") == event["event_id"]]
        named -= sum(list(one.get("coupon_ids", ())).count(name) for one in mine)
        for _ in range(max(named, 0)):
            yield event["occurred_at"]


def _measure(event: Event, buy: Mapping[str, Any], policy: Policy) -> int:
    lines = [line for line in event["lines"] if buy.get("category") in (None, line["category"])]
    if "quantity" in buy:
        return sum(line["quantity"] for line in lines)
    return sum(converted(line["net_amount"], event["currency"], policy) for line in lines)
