"""A whole programme: all events of all customers to the views and the changes of each, at a clock.

completejourney (2,469 households, 155,848 baskets) takes a minute or two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from tests.oracle.facts import Event, Policy, exact
from tests.oracle.told import Change, Life, life

TOPIC_ORDER = ("purchases", "complaints", "contacts", "customers", "relay")
"""At one instant: in this order, then as they lie in the log."""


def histories(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Each customer's events in order of time. A purchase that names a referrer is one more event for that one."""
    own: dict[str, list[Event]] = {}
    for event in events:
        own.setdefault(event["customer_id"], []).append(event)
        referrer = event.get("referrer_id")
        if event["topic"] == "purchases" and event["kind"] == "SALE" and referrer not in (None, event["customer_id"]):
            own.setdefault(referrer, []).append(referral(event))
    for log in own.values():
        log.sort(key=lambda e: (e["occurred_at"], TOPIC_ORDER.index(e["topic"])))
    return own


def referral(event: Event) -> dict[str, Any]:
    """What a purchase means for the customer it names as referrer."""
    return {
        "topic": "relay",
        "event_id": f"{event['customer_id']}:{event['event_id']}",
        "customer_id": event["referrer_id"],
        "occurred_at": event["occurred_at"],
        "referred_customer_id": event["customer_id"],
    }


def held_out(customer_id: str, policy: Policy) -> bool:
    """The control group: a fixed share of customers, by the programme's name."""
    programme = policy["programme"]
    digest = hashlib.sha256(f"{programme['name']}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < exact(programme.get("holdout", 0)) * 2**64


def lives(events: Iterable[Event], policy: Policy, clock_ms: int) -> dict[str, Life]:
    """Each customer, after all events and at the clock. Events after the clock are not looked for: leave them out."""
    return {customer_id: life(log, policy, clock_ms) for customer_id, log in histories(events).items()}


def views_of(customers: dict[str, Life], policy: Policy, clock_ms: int) -> dict[str, dict[str, Any]]:
    programme = policy["programme"]
    return {
        customer_id: {
            "customer_id": customer_id,
            **one.view(clock_ms),
            "holdout": held_out(customer_id, policy),
            "policy": f"{programme['name']}@{programme['version']}",
        }
        for customer_id, one in customers.items()
    }


def changes_of(customers: dict[str, Life]) -> dict[str, list[Change]]:
    return {customer_id: one.changes for customer_id, one in customers.items() if one.changes}


def expected_views(events: Iterable[Event], policy: Policy, clock_ms: int) -> dict[str, dict[str, Any]]:
    """Each customer's view at the clock, as far as V1 and T1-T5 fill it."""
    return views_of(lives(events, policy, clock_ms), policy, clock_ms)


def expected_changes(events: Iterable[Event], policy: Policy, clock_ms: int) -> dict[str, list[Change]]:
    """Each customer's tier changes up to and with the clock, in order; customers without any are left out."""
    return changes_of(lives(events, policy, clock_ms))
