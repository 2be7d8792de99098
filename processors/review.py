"""A review is a pure function: who is this customer now, what changed since they were last told, when to look again.

`next_review` is exact: the earliest instant at which the answer could change by time alone. The window's figures change
at the programme's midnight on which a day leaves; a running grace ends at its own instant.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from processors import tier
from processors.customer import FOREVER, Customer
from processors.history import WINDOW_DAYS, first_leaving_day, within
from processors.outputs import Output
from processors.policy import Policy
from processors.tier import Surroundings


class Review(Struct, frozen=True, gc=False):
    """customer: as reviewed, `now` at the review, `next_review` > `now`. outputs: what is to be told, in order."""

    customer: Customer
    outputs: tuple[Output, ...]


def review(customer: Customer, now: int, around: Surroundings, policy: Policy) -> Review:
    """The review of `customer` at `now` (ms, never before their last one)."""
    assert now >= customer.now, f"{customer.id}: a review at {now} after one at {customer.now}"
    calendar = policy.calendar
    day = calendar.day_of(now)
    history = within(customer.history, day)
    verdict = tier.decide(customer.told, tier.qualified(around.ladder, history, day, calendar), now, policy)
    leaving = first_leaving_day(history, calendar, day)
    due = FOREVER if leaving is None else calendar.begins_after(leaving + WINDOW_DAYS, now)
    if verdict.deadline is not None and verdict.deadline < due:
        due = verdict.deadline
    assert due > now, f"{customer.id}: reviewed at {now}, due again at {due}"
    reviewed = Customer(customer.id, history, verdict.told, now, due, around.context)
    return Review(reviewed, tier.changes(reviewed, verdict, around, policy) if verdict.steps else ())


def advance(
    customer: Customer, until: int, around: Surroundings, policy: Policy, *, steps_max: int
) -> Iterator[Review]:
    """The reviews of `customer` at each own due instant up to and including `until` (ms), at most `steps_max`.

    They happen at the due instant, never at the tick, so neither tick spacing nor batch split changes what is told.
    """
    for _ in range(steps_max):
        if customer.next_review > until:
            return
        seen = review(customer, customer.next_review, around, policy)
        customer = seen.customer
        yield seen


def evaluated(customer: Customer, clock: int, policy: Policy) -> Customer:
    """The customer as of `clock`, told unchanged: what a reader is shown, nothing is written."""
    now = max(clock, customer.now)
    return replace(customer, history=within(customer.history, policy.calendar.day_of(now)), now=now)
