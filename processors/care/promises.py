"""K0-K3: what we owe by a time: a reply to a complaint, its follow-up, an answer, whatever else was promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from processors.care.book import Reminder
from processors.care.look import HOUR_MS, Look, Shape, reminder
from processors.care.sections import PROMISES, Care
from processors.days import DAY_MS
from processors.history import WINDOW_DAYS, ComplaintState, Touch

_EXPIRES_DAYS: Final = 365
UNHAPPY: Final = 2
"""Satisfaction with the remedy, of 5, up to which a complaint starts again."""


def promised(care: Care) -> str:
    """What a promise is about: `on`, else what the shipped kinds are about."""
    return care.on or _BY_KIND.get(care.kind, "complaint")


_BY_KIND: Final = {"COMPLAINT_FOLLOW_UP": "follow_up", "ANSWER_INQUIRY": "inquiry"}


def _complaint(care: Care, look: Look) -> Iterator[Reminder]:
    """A reply to a complaint that is not settled, from the moment it was opened, or opened again (K1)."""
    for one in look.facts.complaints:
        if one.status != "RESOLVED" or unhappy(one):
            opened = opened_at(one)
            latest = opened + look.policy.complaints.reply_hours[0] * HOUR_MS  # not due: that may drift with who is who
            expires = latest + (care.expires_days or _EXPIRES_DAYS) * DAY_MS
            if expires <= look.now:
                continue
            hours = reply_hours(one, look)
            due = opened + hours * HOUR_MS
            cause, grave = f"{one.complaint_id}:{opened}", float(severity_of(one, look))
            owed = reminder(care, cause, opened, due, expires, grave, float(hours), one.about)
            yield replace(owed, store=one.store_id, owed=True)


def _follow_up(care: Care, look: Look) -> Iterator[Reminder]:
    """Whether it is well, some days after a complaint was settled (K2)."""
    rules = look.policy.complaints
    days, hours = care.after_days or rules.follow_up_days, care.reply_hours or rules.reply_hours[0]
    lasts_ms = (
        days + (care.expires_days or _EXPIRES_DAYS) + 1
    ) * DAY_MS + hours * HOUR_MS  # clocks may change: one more
    for one in look.facts.complaints:
        if one.status == "RESOLVED" and not unhappy(one) and look.now - resolved_at(one) < lasts_ms:
            since = look.local.plus_days(resolved_at(one), days)
            cause = f"{one.complaint_id}:{resolved_at(one)}"
            owed = _owed(care, cause, since, since + hours * HOUR_MS, days, hours, one.about)
            yield replace(owed, store=one.store_id, owed=True)


def _inquiry(care: Care, look: Look) -> Iterator[Reminder]:
    """An answer to an inquiry, within the hours that a complaint of severity 1 has, or those of the kind (K0)."""
    hours = care.reply_hours or look.policy.complaints.reply_hours[0]
    for touch in look.facts.touches:
        if touch.kind == "INQUIRY" and touch.direction == "IN":
            owed = _owed(care, touch.at, touch.at, touch.at + hours * HOUR_MS, 0, hours, touch.item or "")
            yield _while_known(owed, touch, look)


def _agreed(care: Care, look: Look) -> Iterator[Reminder]:
    """What was agreed to be done by a time, whatever it is: a call back, a delivery, a benefit owed (K0). A contact
    with `due_at` says so, and its `item` what. The same at the same instant is one promise, due at the latest."""
    agreed: dict[str, tuple[int, Touch]] = {}
    for touch in look.facts.touches:
        if touch.due_at is not None:
            cause, due = f"{touch.at}:{touch.item or ''}", max(touch.due_at, touch.at)
            if cause not in agreed or agreed[cause][0] < due:
                agreed[cause] = due, touch
    for cause, (due, touch) in agreed.items():
        hours = max(1, (due - touch.at) // HOUR_MS)
        yield _while_known(_owed(care, cause, touch.at, due, 0, hours, touch.item or ""), touch, look)


def _while_known(owed: Reminder, touch: Touch, look: Look) -> Reminder:
    """A promise that ends, broken, at the latest when the contact that made it is forgotten."""
    return replace(owed, expires_at=min(owed.expires_at, look.policy.calendar.midnight(touch.day + WINDOW_DAYS)))


def _owed(care: Care, cause: object, since: int, due: int, have: int, hours: int, what: str) -> Reminder:
    expires = due + (care.expires_days or _EXPIRES_DAYS) * DAY_MS
    return replace(reminder(care, cause, since, due, expires, float(have), float(hours), what), owed=True)


SHAPES: Final[dict[str, Shape]] = {
    "complaint": _complaint,
    "follow_up": _follow_up,
    "inquiry": _inquiry,
    "agreed": _agreed,
}
assert set(SHAPES) == set(PROMISES)


def unhappy(one: ComplaintState) -> bool:
    """Whether the customer is not content with the remedy: the complaint starts again, one severity harder (K2)."""
    return one.status == "RESOLVED" and one.satisfaction is not None and one.satisfaction <= UNHAPPY


def opened_at(one: ComplaintState) -> int:
    """When a complaint was last opened, or was said to be remedied badly (ms); of one whose opening never came, its
    latest record."""
    return one.at if one.opened_at < 0 or unhappy(one) else one.opened_at


def resolved_at(one: ComplaintState) -> int:
    """When a complaint was settled, for the first time since it was last opened (ms), whatever was noted since."""
    return next((at for at in one.resolved if at >= one.opened_at), one.at)


def severity_of(one: ComplaintState, look: Look) -> int:
    """The severity that counts: one more for each time it was opened again (K2), and for another about the same thing
    within `repeat_days` before it (K3); at most 5."""
    span = look.policy.complaints.repeat_days * DAY_MS
    mine = opened_at(one)
    again = any(
        other.complaint_id != one.complaint_id and other.about == one.about and 0 <= mine - opened_at(other) <= span
        for other in look.facts.complaints
    )
    return min(5, one.severity + one.reopened + again + unhappy(one))


def reply_hours(one: ComplaintState, look: Look) -> int:
    """Within how many hours a reply is due: by severity, half of it for who has brought others or recommends us, for
    more people hear of it (K1); at least one."""
    hours = look.policy.complaints.reply_hours[severity_of(one, look) - 1]
    return max(1, hours // 2) if reaches_far(look) else hours


def reaches_far(look: Look) -> bool:
    """Whether others listen to the customer: they have brought somebody, or recommended us, in the last 365 days."""
    since, day_of = look.policy.calendar.day_of(look.now) - WINDOW_DAYS, look.policy.calendar.day_of
    return any(day_of(at) > since for at in look.facts.referred.values()) or any(
        touch.kind == "RECOMMENDATION" and touch.direction == "IN" for touch in look.facts.touches
    )


def unbounded(care: Care) -> bool:
    """Whether a promise obeys consent alone (C2): a reply to a complaint, and what was agreed with the customer."""
    return care.shape == "promise" and promised(care) in ("complaint", "agreed")


def inner_target(one: Reminder, look: Look) -> int:
    """The instant (ms) by which a promise is to be kept so that it is kept for sure: the policy's share of its time."""
    share = look.policy.promises.inner_share
    return one.wanted_at + (one.due_at - one.wanted_at) * share.numerator // share.denominator


def kept_at(one: Reminder, promise: str, touch: Touch, mine: str) -> bool:
    """Whether a contact of ours keeps the promise: it names it, or, without an id, comes within its time; of what was
    agreed it must be about the same thing."""
    if touch.direction != "OUT":
        return False
    if touch.reminder_id is not None:
        return touch.kind == "CARE" and touch.reminder_id == mine
    if promise == "agreed":
        return bool(one.what) and touch.item == one.what and one.wanted_at < touch.at < one.expires_at
    since = max(one.told_at, one.wanted_at)  # of one that waits: nobody has been told
    return touch.kind == "CARE" and since <= touch.at < one.expires_at
