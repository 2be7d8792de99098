"""The view: what any reader finds in the customer's hash in Redis and on `customer-value`, its fields named once."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from processors.benefits.came_to import entitlements, shown
from processors.care.life import said
from processors.care.look import Look
from processors.care.people import held_out
from processors.charge import STAFF, owner_of, sort_of
from processors.customer import Customer
from processors.fields import FIELDS, TYPES
from processors.kin import network_value
from processors.loyalty import answers, signs_json
from processors.outlook import Outlook, outlook
from processors.outputs import Reason
from processors.policy import Policy
from processors.risk import reasons
from processors.segments import as_json, segments_of
from processors.value import figures
from processors.word_of_mouth import referrer_of
from processors.worth import payback

Value = str | int | float | None
View = dict[str, Value]

Values = tuple[Value, ...]
"""The values of `FIELDS`."""


def values(customer: Customer, policy: Policy, was: Values | None = None, seen: Outlook | None = None) -> Values:
    """The view of `customer` as last reviewed; amounts in minor units, times ms; None: absent from the hash, null in
    JSON. was: the same customer's before; seen: as of the last review, as `counted` then is. Both spare work and change
    nothing."""
    history, told, now = customer.history, customer.told, customer.now
    day = policy.calendar.day_of(now)
    figs = figures(history, day, policy.calendar)
    rank = policy.tier_rank(told.tier)
    named = None if seen is None or customer.counted is None else customer.counted.segments
    seen = outlook(customer, policy) if seen is None else seen
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
        *_outlook(customer, policy, seen),
        referrer_of(history, customer.id),
        _reminders(customer, policy) if told.care.open else "[]",
        owner_of(history, told.charge),
        1 if sort_of(history) == STAFF else None,
        _entitlements(customer, policy) if policy.benefits or history.ledger is not None else None,
        told.club_since,
        as_json(segments_of(customer, policy, seen) if named is None else named) if policy.segments else None,
    )


def _reminders(customer: Customer, policy: Policy) -> str:
    """`open_reminders`: those that are DUE or ESCALATED, the most urgent first, as on `care-reminders` (C4)."""
    told = customer.told
    look = Look(customer.history, told, customer.now, policy, rose=False)
    outputs = [said(customer.id, one, "ESCALATED" if one.step else "DUE", look) for one in told.care.open]
    outputs.sort(key=lambda one: (one.priority, one.due_at, one.reminder_id))
    return json.dumps([{name: getattr(one, name) for name in _SHOWN} for one in outputs], ensure_ascii=False)


def _entitlements(customer: Customer, policy: Policy) -> str | None:
    """`entitlements`: those that a till may use, or that matter still, the earliest earned first (T9)."""
    found = shown(entitlements(customer.history, customer.told, customer.now, policy), customer.now)
    return _write_json(found).decode() if found else None


_SHOWN: Final = (
    "reminder_id", "kind", "status", "due_at", "expires_at", "priority", "channel", "employee_id", "have", "usual",
    "what", "day", "target_at", "store_id",
)  # fmt: skip


def _outlook(customer: Customer, policy: Policy, found: Outlook) -> Values:
    """The fields from `loyalty_layer` on: loyalty, worth, risk."""
    history, told = customer.history, customer.told
    seen, layer, expected = found
    score = why = stake = fading = None
    if seen is not None:
        score, fading, stake = seen.score, seen.signals.spend_trend, expected.at_stake
        why = _write_json([_said(one) for one in reasons(seen, history, policy)]).decode()
    return (
        layer.layer,
        signs_json(layer),
        expected.clv,
        expected.basis,
        None if seen is None else seen.alive,
        None if seen is None else seen.none,
        expected.purchases,
        told.level,
        score,
        why,
        stake,
        network_value(history, expected.clv, policy) if history.kin else expected.clv,
        history.last_touch_at,
        payback(history, told.paid_back_at),
        fading,
        *answers(history),
        None if told.exit is None else _write_json(told.exit).decode(),
    )


def _said(reason: Reason) -> dict[str, str | float]:
    """A reason in `risk_reasons`: the numbers of its sentence instead of the sentence, which is made when read."""
    return {
        "code": reason.code,
        "weight": round(reason.weight, 6),
        "have": round(reason.have, 1),
        "usual": round(reason.usual, 1),
    }


_write_json: Final = msgspec.json.Encoder().encode
_HOLDOUT: Final = FIELDS.index("holdout")
_POLICY: Final = FIELDS.index("policy")


def view(customer: Customer, policy: Policy) -> View:
    """`values` by name."""
    return dict(zip(FIELDS, values(customer, policy), strict=True))


def _benefits(names: tuple[str, ...]) -> str:
    return _BENEFITS.get(names) or _BENEFITS.setdefault(names, json.dumps(names, ensure_ascii=False))


_BENEFITS: Final[dict[tuple[str, ...], str]] = {}


def from_hash(fields: dict[str, str]) -> View:
    """The view as read back from Redis, numbers as numbers. Absent fields stay absent; of another release: text."""
    return {name: TYPES.get(name, str)(text) for name, text in fields.items()}
