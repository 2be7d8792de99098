"""What a customer is worth: the rules V2 and V3 said slowly, by the papers' closed forms in high precision."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import mpmath

from tests.oracle.facts import Event, Facts, Policy, half_even
from tests.oracle.risk import purchase_days, section

YEAR = 365
DEFAULTS = {"horizon_days": 1095, "discount_rate": 0.1, "network_share": 0}


def lifetime_contribution(facts: Facts) -> int:
    earned = sum(b.margin for b in facts.sales) - sum(b.margin for b in facts.returns)
    return earned - sum(cost.amount for cost in facts.costs)


def paid_back_at(log: Iterable[Event], policy: Policy) -> int | None:
    """V2: the instant at which lifetime contribution had covered what it cost to win the customer, kept for good.

    `log`: in order of time. Who cost nothing had paid back with the first purchase.
    """
    facts, cost, paid, latest = Facts(policy), 0, None, (-1, "")
    for event in log:
        facts.fold(event)
        if event["topic"] == "customers" and (event["occurred_at"], event["event_id"]) > latest:
            latest = (event["occurred_at"], event["event_id"])
            cost = event.get("acquisition_cost", 0)
        if paid is None and cost > 0 and facts.sales and lifetime_contribution(facts) >= cost:
            paid = event["occurred_at"]
    if paid is None and cost <= 0:
        return min((basket.at for basket in facts.sales), default=None)
    return paid


def alive(days: list[int], today: int, risk: dict[str, Any]) -> mpmath.mpf:
    """The chance that the customer still buys (Fader et al. 2005, Batislam et al. 2007)."""
    r, alpha, a, b = (mpmath.mpf(str(risk["parameters"][name])) for name in ("r", "alpha", "a", "b"))
    x, recency, age = len(days) - 1, mpmath.mpf(days[-1] - days[0]) / 7, mpmath.mpf(today - days[0]) / 7
    if risk["model"] == "bg_nbd" and not x:
        return mpmath.mpf(1)
    odds = a / (b + x - (risk["model"] == "bg_nbd")) * ((alpha + age) / (alpha + recency)) ** (r + x)
    return 1 / (1 + odds)


def bought_if_alive(days: list[int], today: int, ahead: int, risk: dict[str, Any]) -> mpmath.mpf:
    """Expected purchase days within `ahead` days of who is still there, by the hypergeometric form; not for a = 1."""
    r, alpha, a, b = (mpmath.mpf(str(risk["parameters"][name])) for name in ("r", "alpha", "a", "b"))
    x, age, horizon = len(days) - 1, mpmath.mpf(today - days[0]) / 7, mpmath.mpf(ahead) / 7
    beta = b + x + (risk["model"] == "mbg_nbd")
    grown = mpmath.hyp2f1(r + x, a - 1, a + beta - 1, -horizon / (alpha + age))
    return (a + beta - 1) / (a - 1) * (1 - grown)


def clv(facts: Facts, now: int, today: int, policy: Policy) -> tuple[mpmath.mpf | int, str]:
    """V3: (expected contribution in minor units, "model" or "plain")."""
    rules, risk, days = {**DEFAULTS, **policy.get("clv", {})}, section(policy), purchase_days(facts)
    horizon, spend = rules["horizon_days"], rules.get("spend")
    if not days or spend is None:
        return half_even(Fraction(facts.contribution_365d(now) * horizon, YEAR)), "plain"
    p, q, v = (mpmath.mpf(str(spend[name])) for name in ("p", "q", "v"))
    earned, bought = sum(b.margin for b in facts.sales) - sum(b.margin for b in facts.returns), len(days)
    usual = (p * v + p * earned) / (p * bought + q - 1)  # Fader, Hardie 2013, with the own mean earned / bought
    total, start = mpmath.mpf(0), 0
    while start < horizon:
        end = min(start + YEAR, horizon)
        more = bought_if_alive(days, today, end, risk) - (bought_if_alive(days, today, start, risk) if start else 0)
        costs = mpmath.mpf(facts.cost_to_serve_365d(now)) * (end - start) / YEAR
        middle = mpmath.mpf(start + end) / 2 / YEAR
        total += (more * usual - costs) / (1 + mpmath.mpf(str(rules["discount_rate"]))) ** middle
        start = end
    return total * alive(days, today, risk), "model"


def expected_purchases(facts: Facts, today: int, policy: Policy) -> mpmath.mpf | None:
    """R1: purchase days expected in the next 365 days."""
    days, risk = purchase_days(facts), section(policy)
    return alive(days, today, risk) * bought_if_alive(days, today, YEAR, risk) if days else None
