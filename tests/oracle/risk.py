"""How near a customer is to leaving, at an instant: the rules R2, R3 and R6 said slowly, day by day.

Nothing is halved or remembered: every day ahead is looked at, every sum is added up anew. Who is not `careful` takes it
for granted that between the days on which facts leave nothing but silence grows: a year of tills would take an hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.oracle import dates
from tests.oracle.facts import Facts, Policy

DEFAULTS: dict[str, Any] = {
    "model": "mbg_nbd",
    "parameters": {"r": 1.396, "alpha": 1.356, "a": 0.027, "b": 28.157},
    "horizon_days": 60,
    "watch": 0.45,
    "at_risk": 0.65,
    "ease": 0.10,
    "fading": 0.60,
    "typical_value_365d": 0,
    "lost": {"gaps": 6.0, "least_days": 90, "most_days": 365},
}
WEIGHTS = {
    "intercept": -2.2, "no_purchase": 1.0, "silence": 0.3, "spend_trend": 0.7, "visit_trend": 0.6, "narrowing": 0.3,
    "open_complaint": 0.8, "bad_remedy": 0.9, "good_remedy": -0.4, "low_score": 0.5, "ignored_campaigns": 0.3,
    "declined": 0.3, "tier_falling": 0.2, "referrer_gone": 0.3,
    "rare": 0.0, "few_lately": 0.0, "small_spend": 0.0,
}  # fmt: skip


class Alert(NamedTuple):
    at: int
    transition: str
    level: str


def section(policy: Policy) -> dict[str, Any]:
    given = policy.get("risk", {})
    merged = {**DEFAULTS, **given}
    merged["parameters"] = {**DEFAULTS["parameters"], **given.get("parameters", {})}
    merged["lost"] = {**DEFAULTS["lost"], **given.get("lost", {})}
    merged["weights"] = {**WEIGHTS, **given.get("weights", {})}
    return merged


def purchase_days(facts: Facts) -> list[int]:
    return sorted({basket.day for basket in facts.sales})


def no_purchase(days: list[int], today: int, risk: dict[str, Any]) -> float:
    """The chance of no purchase within the horizon, by the formula of the paper; powers as they stand there."""
    r, alpha, a, b = (float(risk["parameters"][name]) for name in ("r", "alpha", "a", "b"))
    x, recency, age = len(days) - 1, (days[-1] - days[0]) / 7, (today - days[0]) / 7
    horizon = risk["horizon_days"] / 7
    grown = math.exp((r + x) * math.log((alpha + age) / (alpha + recency)))
    if risk["model"] == "mbg_nbd":
        alive = 1 / (1 + a / (b + x) * grown)
    else:
        alive = 1 / (1 + a / (b + x - 1) * grown) if x else 1.0
    return 1 - alive * (1 - math.exp((r + x) * math.log((alpha + age) / (alpha + age + horizon))))


def signals(facts: Facts, now: int, today: int, falling: bool, risk: dict[str, Any]) -> dict[str, float]:
    """Each signal on the day `today`, facts as known and in the window at `now`."""
    days, year = purchase_days(facts), range(today - 364, today + 1)
    quarter, before = range(today - 89, today + 1), range(today - 364, today - 89)
    dated = {fact.day for fact in (*facts.sales, *facts.returns, *facts.costs)}
    held = sorted(day for day in dated if day in before)
    span = max(held[-1] - held[0] + 1, 90) if held else None
    found = {
        "spend_trend": lacking(value(facts, quarter), value(facts, before), span),
        "visit_trend": lacking(visits(facts, quarter), visits(facts, before), span),
        "narrowing": narrowing(facts, year, quarter),
        "tier_falling": float(falling),
        "rare": below(52, visits(facts, year)),
        "few_lately": below(4, sum(day > days[-1] - 30 for day in days)),
        "small_spend": below(int(risk["typical_value_365d"]), value(facts, year)),
    }
    return (
        found
        | complaints(facts, year)
        | contacts(facts, year, quarter)
        | silence(days, facts.usual_gap_days(), today, risk)
    )


def silence(days: list[int], gap: float | None, today: int, risk: dict[str, Any]) -> dict[str, float]:
    """The two signals that grow with each day without a purchase."""
    chance = no_purchase(days, today, risk)
    odds = 8.0 if chance >= 1 else -8.0 if chance <= 0 else max(-8.0, min(8.0, math.log(chance / (1 - chance))))
    return {
        "no_purchase": odds,
        "silence": 0.0 if gap is None else min(math.log(1 + (today - days[-1]) / gap), 3.0),
    }


def below(typical: int, own: int) -> float:
    """How far the own number lies below a typical one, in logs."""
    return min(max(math.log(typical / max(own, 1)), -2.0), 4.0) if typical else 0.0


def value(facts: Facts, days: range) -> int:
    sold, returned = (sum(b.value for b in baskets if b.day in days) for baskets in (facts.sales, facts.returns))
    return sold - returned


def visits(facts: Facts, days: range) -> int:
    return sum(basket.day in days for basket in facts.sales)


def lacking(lately: int, before: int, span: int | None) -> float:
    if span is None or before <= 0:
        return 0.0
    return min(max(1 - lately / (before * 90 / span), 0.0), 1.0)


def narrowing(facts: Facts, year: range, quarter: range) -> float:
    known = {name for basket in facts.sales if basket.day in year for name in basket.categories}
    lately = {name for basket in facts.sales if basket.day in quarter for name in basket.categories}
    return (len(known) - len(lately)) / len(known) if len(known) >= 2 else 0.0


def complaints(facts: Facts, year: range) -> dict[str, float]:
    latest = [max(records, key=lambda r: (r["occurred_at"], r["event_id"])) for records in facts.cases.values()]
    grave = sum(record["severity"] for record in latest if record["status"] != "RESOLVED")
    rated = [
        record
        for record in sorted(latest, key=lambda r: r["complaint_id"])
        if record["status"] == "RESOLVED"
        and record.get("satisfaction") is not None
        and dates.day(record["occurred_at"], facts.zone) in year
    ]
    last = None
    for record in rated:
        if last is None or record["occurred_at"] >= last["occurred_at"]:
            last = record
    return {
        "open_complaint": min(grave / 5, 3.0),
        "bad_remedy": float(last is not None and last["satisfaction"] <= 2),
        "good_remedy": float(last is not None and last["satisfaction"] >= 4),
    }


def contacts(facts: Facts, year: range, quarter: range) -> dict[str, float]:
    bought = max((basket.at for basket in facts.sales), default=0)
    touches = sorted(facts.touches, key=lambda t: t["occurred_at"])
    lately = [t for t in touches if dates.day(t["occurred_at"], facts.zone) in quarter]
    ignored = sum(t["kind"] == "CAMPAIGN" and t["direction"] == "OUT" and t["occurred_at"] > bought for t in lately)
    declined = sum(t["kind"] == "DECLINED" for t in lately)
    answers = [t["score"] for t in touches if t["kind"] == "SURVEY" and t.get("score") is not None
               and dates.day(t["occurred_at"], facts.zone) in year]  # fmt: skip
    return {
        "ignored_campaigns": min(ignored, 3) / 3,
        "declined": min(declined, 3) / 3,
        "low_score": max(7 - answers[-1], 0) / 7 if answers else 0.0,
    }


def score(found: dict[str, float], risk: dict[str, Any]) -> float:
    weights = risk["weights"]
    total = float(weights["intercept"])
    for name, signal in found.items():
        total += float(weights[name]) * signal
    return 1 / (1 + math.exp(-total))


def limit(facts: Facts, risk: dict[str, Any]) -> int:
    """Days of silence that one may have."""
    gap, lost = facts.usual_gap_days(), risk["lost"]
    if gap is None:
        return int(lost["most_days"])
    return int(min(max(float(lost["gaps"]) * gap, lost["least_days"]), lost["most_days"]))


class Standing:
    """What of one customer's risk has been told."""

    def __init__(self, policy: Policy, *, careful: bool = False) -> None:
        self.risk, self.careful = section(policy), careful
        self.level, self.fading = "OK", False
        self.level_at: int | None = None
        self.told_at: int | None = None
        self.alerts: list[Alert] = []

    def state(self) -> tuple[str, bool]:
        return self.level, self.fading

    def asked(self, facts: Facts, now: int, falling: bool) -> tuple[str, bool]:
        """(level, fading) that the facts ask for at `now`."""
        today, risk = dates.day(now, facts.zone), self.risk
        days = purchase_days(facts)
        if today - days[-1] > limit(facts, risk):
            return "LOST", False
        found = signals(facts, now, today, falling, risk)
        points, ease = score(found, risk), float(risk["ease"])
        watch, at_risk = float(risk["watch"]), float(risk["at_risk"])
        if points >= at_risk or (self.level == "AT_RISK" and points >= at_risk - ease):
            level = "AT_RISK"
        elif points >= watch or (self.level in ("WATCH", "AT_RISK") and points >= watch - ease):
            level = "WATCH"
        else:
            level = "OK"
        bound = float(risk["fading"]) - (ease if self.fading else 0.0)
        return level, len(days) >= 3 and found["spend_trend"] >= bound > 0

    def look(self, facts: Facts, now: int, falling: bool) -> None:
        """One thing a day is told at most, a level before fading."""
        if not facts.sales:
            return
        level, fading = self.asked(facts, now, falling)
        if (level, fading) == self.state() or self.spoke_today(facts, now):
            return
        self.told_at = now
        if level != self.level:
            self.alerts.append(Alert(now, self.name(facts, level), level))
            self.level, self.level_at = level, now
            self.fading = self.fading and level != "LOST"
        else:
            self.alerts.append(Alert(now, "FADING" if fading else "RECOVERED", level))
            self.fading = fading

    def spoke_today(self, facts: Facts, now: int) -> bool:
        return self.told_at is not None and dates.day(self.told_at, facts.zone) == dates.day(now, facts.zone)

    def name(self, facts: Facts, level: str) -> str:
        order = ("OK", "WATCH", "AT_RISK", "LOST")
        if level == "LOST":
            return "LOST"
        if self.level == "LOST" and max(b.at for b in facts.sales) >= (self.level_at or 0):
            return "WON_BACK"
        if level == "OK":
            return "CLEARED"
        if order.index(level) < order.index(self.level):
            return "EASED"
        return "RAISED" if self.level == "OK" else "WORSENED"

    def next_days(self, facts: Facts, now: int, falling: bool) -> Iterable[int]:
        """Days after today at whose midnight to look again: what is dated leaves the quarter, the level changes by
        silence alone, the silence is too long for who buys regularly, or something is left to tell."""
        if not facts.sales:
            return
        today, days = dates.day(now, facts.zone), purchase_days(facts)
        dated = {fact.day for fact in (*facts.sales, *facts.returns, *facts.costs)}
        leaving = [day + 90 for day in dated if today - 90 < day <= today]
        window = [day + 365 for day in dated if today - 365 < day <= today]
        yield from leaving
        if self.asked(facts, now, falling) != self.state():
            yield today + 1
        gap = facts.usual_gap_days()
        if gap is not None:
            long = days[-1] + int(2.0 * gap) + 1
            if long > today:
                yield long
        if self.level == "LOST":
            return
        lost = days[-1] + limit(facts, self.risk) + 1
        yield max(lost, today + 1)
        threshold = {"OK": self.risk["watch"], "WATCH": self.risk["at_risk"]}.get(self.level)
        if threshold is None:
            return
        found = signals(facts, now, today, falling, self.risk)
        if score(found, self.risk) >= float(threshold):
            return
        for day in range(today + 1, min([*leaving, *window, lost])):
            if self.careful:
                found = signals(facts, now, day, falling, self.risk)
            if score(found | silence(days, gap, day, self.risk), self.risk) >= float(threshold):
                yield day
                return
