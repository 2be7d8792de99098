"""D8 the funnel: how those who came in the last 365 days came, and how far they got; and the prospects among all.

A prospect is a customer who has asked something within the last 365 days and has never bought. Who came lately is known
from their first contact on, for contacts are kept as long as the window is: so the way by which they came is certain.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from processors.customer import Customer
from processors.days import DAY_MS
from processors.history import WINDOW_DAYS, History, Touch, within
from processors.loyalty import layer_of
from processors.policy import Policy
from processors.value import rhythm
from processors.word_of_mouth import referrer_of

INQUIRY, REFERRED, DIRECT = "inquiry", "referred", "direct"
WAYS: Final = (INQUIRY, REFERRED, DIRECT)
_FELT: Final = ("PREFERENCE", "LOYAL")


class Prospect(NamedTuple):
    """Somebody who has asked and never bought. asked: how often within the window; asked_at: when last (ms), on which
    channel, about what; answered: whether we have been in touch since; referrer: who brought them; employee: in
    charge."""

    customer_id: str
    asked: int
    asked_at: int
    channel: str
    about: str | None
    answered: bool
    referrer: str | None
    employee: str | None


class Stages(Struct):
    """Those who came by one way. came: all of them; bought: of them who ever did; again: on two days or more; felt:
    loyalty beyond habit; lost: after they had bought. days: from the first contact to the first purchase, summed up
    over those who bought. value, contribution: of the last 365 days, minor units."""

    came: int = 0
    bought: int = 0
    again: int = 0
    felt: int = 0
    lost: int = 0
    days: int = 0
    value: int = 0
    contribution: int = 0


class Funnel(Struct):
    """stages: by way. prospects, unanswered: of all customers, whenever they came."""

    stages: dict[str, Stages]
    prospects: int = 0
    unanswered: int = 0

    def take(self, customer: Customer, clock: int, policy: Policy) -> Prospect | None:
        """One more customer, as of `clock` (ms); what is to be known of them where they are a prospect (D8)."""
        day = policy.calendar.day_of(max(clock, customer.now))
        facts = within(customer.history, day)
        found = prospect(customer.id, facts)
        if found is not None:
            self.prospects += 1
            self.unanswered += not found.answered
        first = facts.first_at
        if first is not None and policy.calendar.day_of(first) > day - WINDOW_DAYS:
            held = self.stages.setdefault(way(customer.id, facts), Stages())
            _count(held, facts, first, customer.told.level, day, policy)
        return found


def prospect(customer_id: str, facts: History) -> Prospect | None:
    """The customer as a prospect; None: they have bought, or have not asked lately. facts: within the window (D8)."""
    asked = inquiries(facts)
    if not asked or facts.first_purchase_at is not None:
        return None
    last = asked[-1]
    ours = (touch for touch in facts.touches if touch.direction == "OUT" and touch.kind != "CAMPAIGN")
    answered = any(touch.at >= last.at for touch in ours)
    return Prospect(
        customer_id,
        len(asked),
        last.at,
        last.channel,
        last.item,
        answered,
        referrer_of(facts, customer_id),
        None if facts.profile is None else facts.profile.employee_id,
    )


def inquiries(facts: History) -> list[Touch]:
    """What the customer asked within the window, by time."""
    return [touch for touch in facts.touches if touch.kind == "INQUIRY" and touch.direction == "IN"]


def way(customer_id: str, facts: History) -> str:
    """How somebody came who is known for less than a window: brought by another, else by an inquiry before the first
    purchase, else directly (D8)."""
    if referrer_of(facts, customer_id) is not None:
        return REFERRED
    asked, bought = inquiries(facts), facts.first_purchase_at
    return INQUIRY if asked and (bought is None or asked[0].at <= bought) else DIRECT


def _count(held: Stages, facts: History, first: int, level: str, day: int, policy: Policy) -> None:
    held.came += 1
    held.value += facts.value
    held.contribution += facts.margin - facts.serve
    who = rhythm(facts.purchase_days)
    if who is None or facts.first_purchase_at is None:
        return
    held.bought += 1
    held.again += who.x > 0
    held.felt += layer_of(facts, who, day, policy).layer in _FELT
    held.lost += level == "LOST"
    held.days += max(facts.first_purchase_at - first, 0) // DAY_MS
