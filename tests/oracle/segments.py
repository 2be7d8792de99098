"""V6 in plain words: the view's fields and what was counted one by one, and the condition as Python reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.oracle import dates

Event = Mapping[str, Any]


def periods(days: Iterable[int], today: int) -> int:
    """Of the last twelve periods of thirty days, the latest ending with `today`, those with one of `days` in them."""
    found = set()
    for period in range(12):
        for back in range(30):
            if today - 30 * period - back in days:
                found.add(period)
    return len(found)


def names(log: Iterable[Event], seen: Mapping[str, Any], zone: str, shares: Mapping[str, int]) -> dict[str, Any]:
    """What a condition may name. log: of one customer, each event once; seen: the view; shares: as the ticks say."""
    today = dates.day(seen["as_of"], zone)
    touches = [
        one for one in log
        if one["topic"] == "contacts" and one.get("direction") == "IN"
        and today - 364 <= dates.day(one["occurred_at"], zone) <= today
    ]  # fmt: skip
    kinds = [one["kind"] for one in touches]
    bought = {
        dates.day(one["occurred_at"], zone) for one in log if one["topic"] == "purchases" and one["kind"] == "SALE"
    }
    asked = {name: kinds.count(kind) for name, kind in (("surveys_365d", "SURVEY"), ("visits_365d", "VISIT"),
             ("services_365d", "SERVICE"), ("recommendations_365d", "RECOMMENDATION"))}  # fmt: skip
    order = {key.partition(":")[2]: least for key, least in shares.items() if ":" in key}
    value = {key: least for key, least in shares.items() if ":" not in key}
    return {
        **seen,
        **asked,
        "active_periods_360d": periods(bought, today),
        "advocacy_365d": seen["referrals_365d"] + asked["recommendations_365d"],
        "participation_365d": asked["visits_365d"] + asked["surveys_365d"] + asked["services_365d"],
        "value_share_rank": rank(seen["value_365d"], value),
        "average_order_share_rank": rank(seen["average_order"], order),
    }


def rank(held: int | None, thresholds: Mapping[str, int]) -> float | None:
    """The smallest share at whose threshold the figure is."""
    return min((float(top) for top, least in thresholds.items() if held is not None and held >= least), default=None)


def segments(conditions: Mapping[str, str], known: Mapping[str, Any]) -> list[str]:
    """Those of `conditions` (name to condition) that hold of `known`."""
    found = []
    for name, condition in conditions.items():
        try:
            if eval(condition, {}, dict(known)):
                found.append(name)
        except TypeError:
            continue  # a field that is absent meets no condition
    return found
