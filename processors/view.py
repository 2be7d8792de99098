"""The view: what any reader finds in the customer's hash in Redis and on `customer-value`, its fields named once."""

from __future__ import annotations

import json
from typing import Final

from processors.care.people import held_out
from processors.customer import Customer
from processors.policy import Policy
from processors.value import figures

Value = str | int | float | None
View = dict[str, Value]

INTEGERS: Final = frozenset(
    (
        "as_of",
        "tier_since",
        "value_365d",
        "purchases_365d",
        "returns_365d",
        "margin_365d",
        "cost_to_serve_365d",
        "contribution_365d",
        "categories_365d",
        "referrals_365d",
        "average_order",
        "first_purchase_at",
        "last_purchase_at",
        "lifetime_value",
        "lifetime_purchases",
        "open_complaints",
        "next_review_at",
        "clv",
        "value_at_stake",
        "network_value",
        "last_touch_at",
        "holdout",
    )
)
NUMBERS: Final = frozenset(
    (
        "usual_gap_days",
        "p_alive",
        "p_no_purchase",
        "expected_purchases",
        "risk_score",
    )
)


FIELDS: Final = (
    "customer_id",
    "as_of",
    "currency",
    "tier",
    "tier_since",
    "value_365d",
    "purchases_365d",
    "returns_365d",
    "margin_365d",
    "cost_to_serve_365d",
    "contribution_365d",
    "categories_365d",
    "referrals_365d",
    "average_order",
    "usual_gap_days",
    "first_purchase_at",
    "last_purchase_at",
    "lifetime_value",
    "lifetime_purchases",
    "open_complaints",
    "next_review_at",
    "benefits",
    "holdout",
    "policy",
)
"""The fields, in the order of `Values`."""

Values = tuple[Value, ...]
"""The values of `FIELDS`."""


def values(customer: Customer, policy: Policy, was: Values | None = None) -> Values:
    """The view of `customer` as last reviewed; amounts in minor units, times ms; None: absent from the hash, null in
    JSON. was: the same customer's before, to spare what only another policy could change."""
    history, told, now = customer.history, customer.told, customer.now
    figs = figures(history, policy.calendar.day_of(now), policy.calendar)
    rank = policy.tier_rank(told.tier)
    return (
        customer.id,
        now,
        policy.programme.currency,
        told.tier,
        customer.tier_since,
        figs.value_365d,
        figs.purchases_365d,
        figs.returns_365d,
        figs.margin_365d,
        figs.cost_to_serve_365d,
        figs.contribution_365d,
        figs.categories_365d,
        figs.referrals_365d,
        figs.average_order,
        figs.usual_gap_days,
        history.first_purchase_at,
        history.last_purchase_at,
        history.lifetime_value,
        history.lifetime_purchases,
        sum(state.status != "RESOLVED" for state in history.complaints) if history.complaints else 0,
        customer.next_review,
        _benefits(policy.tiers[rank].benefits if rank is not None else ()),
        was[_HOLDOUT]
        if was is not None and was[_POLICY] == policy.label
        else int(held_out(policy.programme.name, customer.id, policy.programme.holdout)),
        policy.label,
    )


_HOLDOUT: Final = FIELDS.index("holdout")
_POLICY: Final = FIELDS.index("policy")


def view(customer: Customer, policy: Policy) -> View:
    """`values` by name."""
    return dict(zip(FIELDS, values(customer, policy), strict=True))


def _benefits(names: tuple[str, ...]) -> str:
    return _BENEFITS.get(names) or _BENEFITS.setdefault(names, json.dumps(names, ensure_ascii=False))


_BENEFITS: Final[dict[tuple[str, ...], str]] = {}


def from_hash(fields: dict[str, str]) -> View:
    """The view as read back from Redis, numbers as numbers. Absent fields stay absent."""
    return {name: _value(name, text) for name, text in fields.items()}


def _value(name: str, text: str) -> Value:
    if name in INTEGERS:
        return int(text)
    return float(text) if name in NUMBERS else text
