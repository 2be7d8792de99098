"""The programme's figures said plainly: over all views, as JSON has them, and all events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

Key = tuple[str, tuple[tuple[str, str], ...]]
_DAY_MS = 86_400_000
YEAR = 365


def key(name: str, **labels: str) -> Key:
    return name, tuple(sorted(labels.items()))


def day_of(ms: int, zone: str) -> int:
    return datetime.fromtimestamp(ms / 1_000, ZoneInfo(zone)).date().toordinal()


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def figures(
    views: Sequence[Mapping[str, Any]], events: Iterable[Mapping[str, Any]], tiers: Sequence[str], zone: str, clock: int
) -> dict[Key, float | None]:
    """Those that are exact: all but the shares of value, which come from classes."""
    views = [one for one in views if not one.get("staff")]
    found: dict[Key, float | None] = {}
    bought: dict[str, set[int]] = defaultdict(set)
    for one in events:
        if one.get("topic", "purchases") == "purchases" and one.get("kind", "SALE") == "SALE":
            bought[one["customer_id"]].add(day_of(one["occurred_at"], zone))
    today = day_of(clock, zone)
    for name in tiers:
        inside = [one for one in views if one["tier"] == name]
        found[key("loyalty_customers", tier=name)] = len(inside)
        for metric, field in (
            ("loyalty_value_365d", "value_365d"), ("loyalty_margin_365d", "margin_365d"),
            ("loyalty_cost_to_serve_365d", "cost_to_serve_365d"), ("loyalty_customer_equity_by_tier", "clv"),
        ):  # fmt: skip
            found[key(metric, tier=name)] = sum(one[field] for one in inside)
        last = [
            one["last_touch_at"] if one["last_touch_at"] is not None else one["first_purchase_at"]
            for one in inside
            if not one["holdout"]
        ]
        days = [clock // _DAY_MS - at // _DAY_MS for at in last if at is not None]
        if days:
            found[key("loyalty_longest_untouched_seconds", tier=name)] = max(*days, 0) * 86_400
    found[key("loyalty_customer_equity")] = sum(one["clv"] for one in views)
    buyers = [one for one in views if one["first_purchase_at"] is not None]
    active = [one for one in views if one["purchases_365d"] > 0]
    repeat = [one for one in active if one["purchases_365d"] > 1]
    before = {name for name, days in bought.items() if any(today - 2 * YEAR < day <= today - YEAR for day in days)} & {
        one["customer_id"] for one in views
    }
    stayed = before & {one["customer_id"] for one in active}
    found[key("loyalty_retention_ratio")] = ratio(len(stayed), len(before))
    found[key("loyalty_active_customers")] = len(active)
    found[key("loyalty_repeat_customers")] = len(repeat)
    found[key("loyalty_repeat_purchase_ratio")] = ratio(len(repeat), len(active))
    found[key("loyalty_prospects")] = len(views) - len(buyers)
    first = {one["customer_id"]: day_of(one["first_purchase_at"], zone) for one in buyers}
    found[key("loyalty_new_customers")] = sum(today - YEAR < day <= today for day in first.values())
    found |= _groups(buyers, first)
    for level in ("OK", "WATCH", "AT_RISK", "LOST"):
        inside = [one for one in views if one["risk_level"] == level]
        found[key("loyalty_customers_at_risk", level=level)] = len(inside)
        found[key("loyalty_value_at_stake", level=level)] = sum(max(one["clv"], 0) for one in inside)
    value, contribution = (sum(one[name] for one in views) for name in ("value_365d", "contribution_365d"))
    again = sum(one["value_365d"] for one in views if one["lifetime_purchases"] > 1)
    found[key("loyalty_funnel_customers", stage="known")] = len(views)
    found[key("loyalty_funnel_customers", stage="bought")] = len(buyers)
    found[key("loyalty_funnel_customers", stage="bought_again")] = sum(one["lifetime_purchases"] > 1 for one in views)
    found[key("loyalty_funnel_customers", stage="loyal")] = sum(one["loyalty_layer"] == "LOYAL" for one in buyers)
    referred = [one for one in views if one["referrer_id"] is not None]
    came = sum(one["first_purchase_at"] is not None for one in referred)
    found[key("loyalty_referred_customers")] = came
    found[key("loyalty_referred_leads")] = len(referred) - came
    found[key("loyalty_referred_purchases")] = sum(one["lifetime_purchases"] for one in referred)
    found[key("loyalty_returning_value_share")] = ratio(again, value)
    found[key("loyalty_contribution_per_customer")] = ratio(contribution, len(active))
    found[key("loyalty_cost_of_keeping")] = ratio(sum(one["cost_to_serve_365d"] for one in views), len(active))
    return found


def _groups(buyers: Sequence[Mapping[str, Any]], first: Mapping[str, int]) -> dict[Key, float | None]:
    """By month of joining and by layer."""
    sums: Counter[Key] = Counter()
    for one in buyers:
        month = date.fromordinal(first[one["customer_id"]]).isoformat()[:7]
        sums[key("loyalty_cohort_customers", month=month)] += 1
        sums[key("loyalty_cohort_active_customers", month=month)] += one["purchases_365d"] > 0
        sums[key("loyalty_cohort_lost_customers", month=month)] += one["risk_level"] == "LOST"
        sums[key("loyalty_cohort_value_365d", month=month)] += one["value_365d"]
        sums[key("loyalty_layer_customers", layer=one["loyalty_layer"])] += 1
        sums[key("loyalty_layer_value_365d", layer=one["loyalty_layer"])] += one["value_365d"]
    return dict(sums)


def exact_shares(values: Sequence[int], top: float) -> tuple[float | None, int]:
    """(the part of all value that the top share brings, the least value in it), the best first."""
    best = sorted(values, reverse=True)
    number = max(1, round(len(best) * top))
    return ratio(sum(best[:number]), sum(best)), max(1, best[number - 1])


def utc_day(ms: int) -> int:
    return datetime.fromtimestamp(ms / 1_000, UTC).date().toordinal()
