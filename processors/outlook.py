"""What a review's day lets expect of a customer: risk, loyalty layer and worth, told together for view and figures."""

from __future__ import annotations

from typing import NamedTuple

from processors.customer import Customer
from processors.loyalty import Layer, layer_of
from processors.policy import Policy
from processors.risk import Risk, assess
from processors.value import rhythm
from processors.worth import Worth, worth


class Outlook(NamedTuple):
    """risk: None of who never bought, and where none is assessed. All as of the customer's last review."""

    risk: Risk | None
    layer: Layer
    worth: Worth


def outlook(customer: Customer, policy: Policy, risk: Risk | None = None) -> Outlook:
    """The outlook of `customer` as last reviewed. risk: that of the last review; spares work and changes nothing."""
    history, day = customer.history, policy.calendar.day_of(customer.now)
    seen = assess(customer.id, history, customer.told, day, policy) if risk is None else risk
    if seen is None:
        who = rhythm(history.purchase_days) if policy.loyalty.layers else None
        layer = layer_of(history, who, day, policy)
        return Outlook(None, layer, worth(history, None, 0.0, day, policy))
    return Outlook(seen, layer_of(history, seen.who, day, policy), worth(history, seen.who, seen.alive, day, policy))
