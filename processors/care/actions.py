"""K5: from complaint to cause. Complaints about the same thing at the same place above the policy's rate open an
action.

A place is folded like a customer: each complaint opened is told to it through the relay, and an action is a reminder of
its own, for who is to find the cause and by when. It is closed only by the rate, and opens anew when that rises again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from processors.care.book import Reminder
from processors.care.look import Look, reminder
from processors.care.sections import Care
from processors.days import DAY_MS
from processors.events import Complaint, Mishap
from processors.history import id_hash
from processors.policy import Policy

PLACE: Final = "place:"
"""How the id of a place begins; no customer's does."""
_ID_BYTES_MAX: Final = 128
_ACT_DAYS: Final = 14


def mishap(event: Complaint, policy: Policy) -> Mishap | None:
    """What the place is told of a complaint opened; None: nothing, or no rate is kept of such."""
    if event.status != "OPENED" or event.store_id is None or not any(care.shape == "rate" for care in policy.care):
        return None
    place = f"{PLACE}{event.about}@{event.store_id}"
    if len(place.encode()) > _ID_BYTES_MAX:
        return None
    names = event.complaint_id, event.event_id  # hashed: the place outlives who complained there
    event_id = ":".join(id_hash(event.customer_id, name).hex() for name in names)
    return Mishap(event_id=event_id, customer_id=place, occurred_at=event.occurred_at)


def rate(care: Care, look: Look) -> Iterator[Reminder]:
    """An action while the place has `min_complaints` or more of the last `within_days` days."""
    place, most, span = look.facts.place, care.min_complaints, care.within_days
    if place is None or most is None or span is None or len(place.mishaps) < most:
        return
    calendar, now = look.policy.calendar, look.now
    days = sorted(place.mishaps.values())
    ends = calendar.midnight(days[-most] + span)  # the day on which the rate falls by time alone
    if now >= ends:
        return
    held = next((one for one in look.told.care.open if one.kind == care.kind), None)
    cause, since = (str(now), now) if held is None else (held.cause, held.wanted_at)
    lately = sum(day + span > calendar.day_of(now) for day in days)
    due = since + (care.escalate_days or _ACT_DAYS) * DAY_MS
    found = reminder(care, cause, since, due, ends, float(lately), float(span), place.about)
    yield replace(found, store=place.store)
