"""V8: what a customer is expected to buy in the next days: for who plans stock."""

from __future__ import annotations

from typing import NamedTuple

from processors.customer import Customer
from processors.lifetime import expected_in_days
from processors.policy import Policy
from processors.signals import by_silence
from processors.value import rhythm


class Demand(NamedTuple):
    """Expected purchase days and net sales (minor units) within so many days."""

    days: int
    purchases: float
    amount: float


def demand(customer: Customer, days: tuple[int, ...], policy: Policy) -> tuple[Demand, ...]:
    """The customer's within each span, from their last review on (V8): expected purchase days by the model of R1, each
    for as much as one of theirs has brought so far. Of who never bought nothing is expected."""
    history = customer.history
    who = rhythm(history.purchase_days)
    if who is None:
        return tuple(Demand(span, 0.0, 0.0) for span in days)
    day = policy.calendar.day_of(customer.now)
    alive = by_silence(who, policy)(day)[0]
    usual = max(history.lifetime_value, 0) / (who.x + 1)
    living = expected_in_days(who.x, who.age(day), days, policy.model)
    return tuple(
        Demand(span, alive * expected, alive * expected * usual) for span, expected in zip(days, living, strict=True)
    )


def places(customer: Customer, by: str) -> tuple[str, ...]:
    """Where the customer's demand falls, to even parts: the store of the last purchase, or (`category`) each category
    bought in the last 365 days; none: it is not known."""
    history = customer.history
    if by == "category":
        return tuple(history.categories)
    return () if history.last_store is None else (history.last_store,)
