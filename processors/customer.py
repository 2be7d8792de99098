"""A customer is a fold over their own events: `apply` is pure, knows no clock, and a repeat changes nothing (D1, D3).

Amounts are booked under the policy in force when the event is folded: currency rates, margin rates and costs are part
of the fact, so that a later policy does not rewrite what a year was worth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from processors.events import Complaint, Contact, Dated, Profile, Purchase, Referral
from processors.history import (
    ComplaintState,
    History,
    content_of,
    id_hash,
    on_day,
    with_purchase_day,
    with_seen,
)
from processors.money import AMOUNT_END, TooMuch, half_even
from processors.policy import Policy

FOREVER: Final = 253_402_300_800_000
"""10000-01-01: the `next_review` of a customer whom time alone cannot change."""


NO_DAY: Final = -2
"""Before every valid day: 1970 begins on day -1 west of Greenwich."""


class Told(Struct, frozen=True, array_like=True, gc=False):
    """What the world was last told. `tier_since`: ms of the last change, None if never changed. `below_since`: since
    when, without a break, the qualified tier has been below `tier` (ms)."""

    tier: str
    tier_since: int | None = None
    below_since: int | None = None


class Customer(Struct, frozen=True, array_like=True, gc=False):
    """Facts and told. `now`: the instant of the last review, never going back; `next_review` > `now`, both ms.
    `context`: policy and shares of that review, by name."""

    id: str
    history: History
    told: Told
    now: int
    next_review: int
    context: str

    @property
    def tier_since(self) -> int:
        """Since when the tier holds; of a tier never changed, the first event's `occurred_at`."""
        since = self.told.tier_since
        if since is None:
            since = self.now if self.history.first_at is None else self.history.first_at
        return since


def newcomer(customer_id: str, now: int, tier: str, context: str, not_before: int = -1) -> Customer:
    """An unknown customer, created by the first event at its own time `now` (D3), in the lowest tier."""
    return Customer(customer_id, History(not_before=not_before), Told(tier), now, FOREVER, context)


def apply(customer: Customer, event: Dated, policy: Policy, keep_from: int = 0) -> Customer:
    """The customer after `event`. A repeat of (kind, id) changes nothing: the first under an id wins.

    keep_from: ids of events before this instant (ms) need not be kept: they would be refused as too late.
    Raises `Unbookable`: the policy has no rate for its currency, or a sum would be too large.
    """
    history = customer.history
    key = id_hash(event.name, event.event_id)
    if content_of(history.seen, key) is not None:
        return customer
    at = event.occurred_at
    changes = _FOLD[type(event)](history, event, policy)
    changes["seen"] = with_seen(history.seen, key, at, event.content, keep_from)
    if history.first_at is None or at < history.first_at:
        changes["first_at"] = at
    folded = replace(history, **changes)
    return Customer(customer.id, folded, customer.told, customer.now, customer.next_review, customer.context)


Changes = dict[str, Any]
"""Fields of `History` to replace."""


def _purchase(history: History, event: Purchase, policy: Policy) -> Changes:
    at, day = event.occurred_at, policy.calendar.day_of(event.occurred_at)
    value, margin = booked(event, policy)
    sale = event.kind == "SALE"
    lifetime = history.lifetime_value + (value if sale else -value)
    if not -AMOUNT_END < lifetime < AMOUNT_END:
        raise TooMuch
    if not sale:
        changes = on_day(history, day, -value, 0, 1, -margin, 0)
        changes["lifetime_value"] = lifetime
        return changes
    changes = on_day(history, day, value, 1, 0, margin, 0)
    first, last = history.first_purchase_at, history.last_purchase_at
    changes["lifetime_value"] = lifetime
    changes["lifetime_purchases"] = history.lifetime_purchases + 1
    if first is None or at < first:
        changes["first_purchase_at"] = at
    if last is None or at > last:
        changes["last_purchase_at"] = at
    changes["purchase_days"] = with_purchase_day(history.purchase_days, day)
    changes["categories"] = _with_categories(history.categories, event, day)
    return changes


def booked(event: Purchase, policy: Policy) -> tuple[int, int]:
    """(value, margin) of a purchase in the programme's minor units, both before the sign of its kind.

    Converted and rounded half even line by line. A line without `cost` takes the policy's margin rate for its category.
    """
    value = margin = 0
    convert = None if event.currency == policy.programme.currency else policy.rates.convert
    rate_of = policy.margin.rate_of
    for line in event.lines:
        net, cost = line.net_amount, line.cost
        if convert is not None:
            net = convert(net, event.currency)
            cost = None if cost is None else convert(cost, event.currency)
        value += net
        if cost is None:
            numerator, denominator = rate_of(line.category)
            margin += half_even(net * numerator, denominator)
        else:
            margin += net - cost
    return value, margin


def _with_categories(categories: dict[str, int], event: Purchase, day: int) -> dict[str, int]:
    newer = {line.category: day for line in event.lines if categories.get(line.category, NO_DAY) < day}
    merged = categories | newer if newer else categories
    return merged if len(merged) == len(categories) else dict(sorted(merged.items()))


def _complaint(history: History, event: Complaint, policy: Policy) -> Changes:
    serve = event.compensation + (policy.costs.complaint if event.status == "OPENED" else 0)
    changes = on_day(history, policy.calendar.day_of(event.occurred_at), 0, 0, 0, 0, serve)
    latest = ComplaintState(
        event.complaint_id, event.occurred_at, event.event_id, event.status, event.severity,
        event.about, event.satisfaction, event.store_id,
    )  # fmt: skip
    by_id = {state.complaint_id: state for state in history.complaints}
    held = by_id.get(event.complaint_id)
    if held is None or (held.at, held.event_id) < (latest.at, latest.event_id):
        by_id[event.complaint_id] = latest
        changes["complaints"] = tuple(by_id[name] for name in sorted(by_id))
    return changes


def _contact(history: History, event: Contact, policy: Policy) -> Changes:
    """Nobody refers oneself (W1)."""
    cost = policy.costs.channels.get(event.channel, 0) if event.cost is None else event.cost
    changes = on_day(history, policy.calendar.day_of(event.occurred_at), 0, 0, 0, 0, cost)
    if event.kind == "REFERRAL" and event.referred_customer_id not in (None, event.customer_id):
        changes["referred"] = _with_referred(history, event.referred_customer_id, event.occurred_at)
    return changes


def _referral(history: History, event: Referral, policy: Policy) -> Changes:
    return {"referred": _with_referred(history, event.referred_customer_id, event.occurred_at)}


def _with_referred(history: History, brought: str, at: int) -> dict[str, int]:
    """Each referred customer once, on the day it was first named."""
    named = history.referred.get(brought)
    if named is not None and named <= at:
        return history.referred
    return dict(sorted((history.referred | {brought: at}).items()))


def _profile(history: History, event: Profile, policy: Policy) -> Changes:
    held = history.profile
    if held is None or (held.occurred_at, held.event_id) < (event.occurred_at, event.event_id):
        return {"profile": event}
    return {}


_FOLD: Final[dict[type, Callable[..., Changes]]] = {
    Purchase: _purchase,
    Complaint: _complaint,
    Contact: _contact,
    Referral: _referral,
    Profile: _profile,
}
