"""The fields of the view, named once: what any reader finds in the customer's hash in Redis and on `customer-value`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TYPES: Final[Mapping[str, type[str | int | float]]] = {
    "customer_id": str,
    "as_of": int,
    "currency": str,
    "tier": str,
    "tier_since": int,
    "value_365d": int,
    "purchases_365d": int,
    "returns_365d": int,
    "margin_365d": int,
    "cost_to_serve_365d": int,
    "contribution_365d": int,
    "categories_365d": int,
    "referrals_365d": int,
    "average_order": int,
    "usual_gap_days": float,
    "first_purchase_at": int,
    "last_purchase_at": int,
    "lifetime_value": int,
    "lifetime_purchases": int,
    "open_complaints": int,
    "next_review_at": int,
    "benefits": str,
    "holdout": int,
    "policy": str,
    "loyalty_layer": str,
    "loyalty_signs": str,
    "clv": int,
    "clv_basis": str,
    "p_alive": float,
    "p_no_purchase": float,
    "expected_purchases": float,
    "risk_level": str,
    "risk_score": float,
    "risk_reasons": str,
    "value_at_stake": int,
    "network_value": int,
    "last_touch_at": int,
    "paid_back_at": int,
    "fading": float,
    "would_recommend": int,
    "will_buy_again": int,
    "exit": str,
    "referrer_id": str,
    "open_reminders": str,
    "employee_id": str,
    "staff": int,
    "entitlements": str,
    "club_since": int,
    "segments": str,
}
"""Each field and what its text in the hash is read as."""

FIELDS: Final = tuple(TYPES)
"""The fields, in the order of `Values`."""

_JSON: Final = frozenset(
    {"benefits", "loyalty_signs", "risk_reasons", "exit", "open_reminders", "entitlements", "segments"}
)
WORDS: Final = tuple(name for name, kind in TYPES.items() if kind is str and name not in _JSON)
"""Fields of one text: what a condition may compare with texts."""

NUMBERS: Final = tuple(name for name, kind in TYPES.items() if kind is not str)
"""Fields of one number."""

MORE_NUMBERS: Final = (
    "active_periods_360d", "surveys_365d", "visits_365d", "services_365d", "recommendations_365d", "advocacy_365d",
    "participation_365d",
)  # fmt: skip
"""Numbers of the condition language that are no fields of the view. active_periods_360d: of the last twelve periods of
thirty days those with a purchase. surveys to recommendations: contacts by which the customer came to us; advocacy:
customers brought and recommendations; participation: visits, surveys answered and services used."""

SEGMENT_NUMBERS: Final = (
    "tier_since", "value_365d", "purchases_365d", "returns_365d", "margin_365d", "cost_to_serve_365d",
    "contribution_365d", "categories_365d", "referrals_365d", "average_order", "usual_gap_days", "first_purchase_at",
    "last_purchase_at", "lifetime_value", "lifetime_purchases", "open_complaints", "holdout", "last_touch_at",
    "paid_back_at", "would_recommend", "will_buy_again", "club_since",
)  # fmt: skip
SEGMENT_WORDS: Final = ("tier", "risk_level", "loyalty_layer", "referrer_id", "employee_id")
"""Fields of the view that a segment may ask for: those that hold until the next review."""

SHARE_RANKS: Final[Mapping[str, str]] = {
    "value_share_rank": "value_365d",
    "average_order_share_rank": "average_order",
}
"""Ranks among all customers, 0.2 the end of the top fifth, and the figure by which they go: `rank <= share` alone."""
