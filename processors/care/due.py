"""C1: when each kind of care is due. A kind is an entry of the policy of one of seven shapes; a shape is a function.

A shape yields what is true of a customer now or will be by time alone: each with a cause that names it, from when on it
is wanted, what it is due for and when it is pointless. What is yielded depends on facts, on what was told and on the
calendar alone, never on numbers that drift: so a cause is there at every review within its time, or at none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from math import ceil
from typing import Final

from msgspec.structs import replace

from processors.benefits.reminding import reminders
from processors.care.book import Reminder
from processors.care.sections import EVENTS, PROMISES, Care
from processors.customer import Told
from processors.days import DAY_MS, Calendar, calendar_of
from processors.events import Profile
from processors.history import WINDOW_DAYS, ComplaintState, History, Touch, days_since, first_tries
from processors.policy import Policy
from processors.sections import Tier
from processors.tier import most_missed
from processors.value import rhythm

HOUR_MS: Final = 3_600_000
_EXPIRES_DAYS: Final = 30
_PROMISE_EXPIRES_DAYS: Final = 365
LOW_SCORE: Final = 6
"""A survey's answer up to which somebody is not content; `PRAISE`: from which they are full of praise (as in NPS)."""
PRAISE: Final = 9


Shape = Callable[[Care, "Look"], Iterator[Reminder]]
"""Of a kind what is or will be due."""

_PLANS: Final[dict[tuple[str, str], tuple[tuple[Care, Shape], ...]]] = {}
"""By policy and tier."""


class Look:
    """What the shapes look at, for one review. facts: within the window; told: what holds from this review on; rose:
    the tier was raised in it; moved: a new policy changed the tier in it."""

    def __init__(self, facts: History, told: Told, now: int, policy: Policy, *, rose: bool, moved: bool) -> None:
        self.facts, self.told, self.now, self.policy = facts, told, now, policy
        self.rose, self.moved = rose, moved

    @property
    def profile(self) -> Profile | None:
        return self.facts.profile

    @cached_property
    def local(self) -> Calendar:
        """The customer's clocks; the programme's where they named none."""
        profile = self.facts.profile
        named = None if profile is None else profile.time_zone
        return self.policy.calendar if named is None else calendar_of(named)

    @cached_property
    def tier(self) -> Tier:
        return self.policy.tiers[self.policy.tier_rank(self.told.tier) or 0]

    @cached_property
    def day(self) -> int:
        """The customer's day."""
        return self.local.day_of(self.now)

    @cached_property
    def years(self) -> tuple[int, int, int]:
        """The customer's last year, this one and the next: what comes each year lies in one of them."""
        year = self.local.year_of(self.day)
        return year - 1, year, year + 1


def candidates(look: Look) -> Iterator[Reminder]:
    """What is or will be due: all with `expires_at` after now, in no order; `wanted_at` may lie ahead."""
    now, erased = look.now, look.facts.not_before >= 0
    for care, shape in _shapes(look.policy, look.told.tier):
        for found in shape(care, look):
            if found.expires_at > now:
                yield replace(found, cause=_afresh(found.cause, look)) if erased else found


def _shapes(policy: Policy, tier: str) -> tuple[tuple[Care, Shape], ...]:
    """The kinds of care that there are for a tier, with what says when they are due; looked up once a policy."""
    found = _PLANS.get((policy.key, tier))
    if found is None:
        kinds = (care for care in policy.care if care.tiers is None or tier in care.tiers)
        found = _PLANS[policy.key, tier] = tuple((care, _shape(care)) for care in kinds)
    return found


def _shape(care: Care) -> Shape:
    if care.shape == "event":
        return _EVENTS[care.on or ""]
    return _PROMISES[promised(care)] if care.shape == "promise" else _SHAPES[care.shape]


def _afresh(cause: str, look: Look) -> str:
    """Who comes back after an erase starts afresh, with the same birthday but other reminders (D4)."""
    erased = look.facts.not_before
    return cause if erased < 0 else f"{cause}@{erased}"


def _reminder(
    care: Care,
    cause: object,
    wanted: int,
    due: int,
    expires: int,
    have: float = 0.0,
    usual: float = 0.0,
    what: str = "",
) -> Reminder:
    return Reminder(care.kind, str(cause), wanted, due, expires, have, usual, what)


def _since(
    care: Care, look: Look, cause: object, at: int, have: float = 0.0, usual: float = 0.0, what: str = ""
) -> Reminder:
    """Of something that happened at `at`: wanted `after_days` later, at the same local time."""
    due = look.local.plus_days(at, care.after_days)
    return _reminder(care, cause, due, due, due + _lasts(care) * DAY_MS, have, usual, what)


def _over(care: Care, look: Look, at: int) -> bool:
    """Whether what happened at `at` is over for sure, clocks that change apart: so most of it costs nothing more."""
    return look.now - at > (care.after_days + _lasts(care) + 1) * DAY_MS


def _lasts(care: Care) -> int:
    return care.expires_days or _EXPIRES_DAYS


# ---- calendar, festival: a day in the customer's own calendar


def _calendar(care: Care, look: Look) -> Iterator[Reminder]:
    for name, date in _dates(care.on or "birthday", look):
        if not care.once:
            yield from _yearly(care, look, name, date)
        elif len(date) > len("MM-DD"):
            yield _on_day(care, look, name, look.local.day_named(date))


def _dates(on: str, look: Look) -> Iterator[tuple[str, str]]:
    """(name, date) of what the profile has under `on`: birthday, joined, anniversaries (all), one of them by name."""
    profile = look.profile
    if profile is None:
        return
    if on == "birthday":
        if profile.birthday is not None:
            yield on, profile.birthday
    elif on == "joined":
        yield on, look.local.iso_day(look.local.day_of(profile.joined_at))
    else:
        for one in profile.anniversaries:
            if on in ("anniversaries", one.name):
                yield one.name, one.date


def _yearly(care: Care, look: Look, name: str, date: str) -> Iterator[Reminder]:
    """This year's, last year's if it still lasts, and the next."""
    first = int(date[:4]) if len(date) > len("MM-DD") else 0
    for one in look.years:
        if one > first:
            yield _on_day(care, look, name, look.local.occurrence(date, one), one - first if first else 0)


def _festival(care: Care, look: Look) -> Iterator[Reminder]:
    for festival in look.policy.feasts.festivals:
        if care.on not in (None, festival.name):
            continue
        if festival.date is not None:
            for one in look.years:
                yield _on_day(care, look, festival.name, look.local.occurrence(festival.date, one))
        for date in festival.dates:
            yield _on_day(care, look, festival.name, look.local.day_named(date))


def _on_day(care: Care, look: Look, name: str, day: int, years: int = 0) -> Reminder:
    lead, lasts = care.lead_days, _lasts(care)
    return _dated(care.kind, name, day + care.after_days, lead, lasts, years, look.local)


@lru_cache(maxsize=65_536)
def _dated(kind: str, name: str, day: int, lead: int, lasts: int, years: int, local: Calendar) -> Reminder:
    """Remembered: many have their birthday on one day, and each review asks for three years' of it."""
    midnight = local.midnight
    wanted, due, expires = midnight(day - lead), midnight(day), midnight(day + lasts)
    return Reminder(kind, f"{name}:{local.iso_day(day)}", wanted, due, expires, float(years), 0.0, name)


# ---- silence, rhythm: since the last touch by us, since the last purchase


def _silence(care: Care, look: Look) -> Iterator[Reminder]:
    """No touch by us for the tier's `care_every_days`, or for `after_days` where the kind says so. As long as it
    lasts, one reminder follows the other: nobody is ever left without (C5)."""
    if care.on == "key_account" and not (look.profile is not None and look.profile.key_account):
        return
    span = care.after_days or look.tier.care_every_days
    facts = look.facts
    since = facts.first_at if facts.last_touch_at is None else facts.last_touch_at
    if span is None or since is None:
        return
    due = look.local.plus_days(since, span)
    wanted, lasts = due - care.lead_days * DAY_MS, _lasts(care) * DAY_MS
    begun = wanted if look.now < wanted else wanted + (look.now - wanted) // lasts * lasts
    for at in (begun, begun + lasts):  # this one, and the one that follows where it ends early
        silent = float((at - since) // DAY_MS)
        yield _reminder(care, at, at, max(at, due), at + lasts, silent, float(span))


def _rhythm(care: Care, look: Look) -> Iterator[Reminder]:
    """The own usual gap is over: they need more of what they buy."""
    who = rhythm(look.facts.purchase_days)
    if who is None or who.gap is None or look.told.level == "LOST":
        return
    calendar = look.policy.calendar  # purchase days are the programme's
    due = calendar.midnight(who.last + ceil(who.gap) + care.after_days)
    wanted = due - care.lead_days * DAY_MS
    yield _reminder(care, who.last, wanted, due, due + _lasts(care) * DAY_MS, who.gap, who.gap)


# ---- level: of risk


def _level(care: Care, look: Look) -> Iterator[Reminder]:
    told = look.told
    if told.level == care.level and told.level_since is not None and not _over(care, look, told.level_since):
        yield _since(care, look, told.level_since, told.level_since)


# ---- event: something happened


def _first_purchase(care: Care, look: Look) -> Iterator[Reminder]:
    at = look.facts.first_purchase_at
    if at is not None and not _over(care, look, at):
        yield _since(care, look, "first", at)


def _purchase(care: Care, look: Look) -> Iterator[Reminder]:
    """A day on which they bought, for `min_amount` or more in all."""
    calendar = look.policy.calendar
    for one in days_since(look.facts, calendar.day_of(look.now) - care.after_days - _lasts(care) - 2):
        if one.sales and one.value >= (care.min_amount or 0):
            begins = calendar.midnight(one.day)
            yield _since(care, look, one.day, max(begins, look.facts.first_purchase_at or 0), have=one.value / 100)


def _new_category(care: Care, look: Look) -> Iterator[Reminder]:
    """A day on which they first bought of a category, but for the very first day of all."""
    first, *later = sorted(set(first_tries(look.facts))) or [0]
    for day in later:
        if day > first:
            yield _since(care, look, day, look.policy.calendar.midnight(day))


def _bought(care: Care, look: Look) -> Iterator[Reminder]:
    """They bought of a category in the last 365 days: to call back what was faulty."""
    day = look.facts.categories.get(care.category or "")
    if day is not None:
        yield _since(care, look, day, look.policy.calendar.midnight(day), what=care.category or "")


def _tier_falling(care: Care, look: Look) -> Iterator[Reminder]:
    """The tier will be lost within `lead_days` if nothing but time happens, and what would keep it (T6)."""
    since, told = look.told.below_since, look.told
    if since is None:
        return
    due = look.policy.calendar.plus_days(since, look.policy.tier_rules.grace_days)
    day = look.policy.calendar.day_of(look.now)
    code, have, need = most_missed(look.facts, told, day, look.policy)
    wanted = max(since, due - care.lead_days * DAY_MS)
    yield _reminder(care, since, wanted, due, due, have, need, f"{told.tier}:{code}")


def _tier_up(care: Care, look: Look) -> Iterator[Reminder]:
    yield from _at_review(care, look, look.rose)


def _policy_change(care: Care, look: Look) -> Iterator[Reminder]:
    yield from _at_review(care, look, look.moved)


def _at_review(care: Care, look: Look, now: bool) -> Iterator[Reminder]:
    """What a review itself found: true from it on, as long as the tier stays what it then became."""
    since = look.told.tier_since
    if since is None or _over(care, look, since):
        return
    book = look.told.care
    known = any(one.key == (care.kind, _afresh(str(since), look)) for one in (*book.open, *book.waiting))
    if now or known:
        yield _since(care, look, since, since, what=look.told.tier)


def _touches(wanted: Callable[[Touch], bool]) -> Shape:
    def shape(care: Care, look: Look) -> Iterator[Reminder]:
        for touch in look.facts.touches:
            if touch.direction == "IN" and wanted(touch) and not _over(care, look, touch.at):
                yield _since(care, look, touch.at, touch.at, have=float(touch.score or 0), what=touch.item or "")

    return shape


def _referral(care: Care, look: Look) -> Iterator[Reminder]:
    for name, at in look.facts.referred.items():
        if not _over(care, look, at):
            yield _since(care, look, name, at, what=name)


def _benefit(care: Care, look: Look) -> Iterator[Reminder]:
    """A benefit was earned and can be used (T9)."""
    return reminders(care, look.facts, look.told, look.now, look.local, look.policy)


_EVENTS: Final[dict[str, Shape]] = {
    "first_purchase": _first_purchase,
    "purchase": _purchase,
    "new_category": _new_category,
    "bought": _bought,
    "tier_up": _tier_up,
    "tier_falling": _tier_falling,
    "policy_change": _policy_change,
    "referral": _referral,
    "low_score": _touches(lambda one: one.kind == "SURVEY" and one.score is not None and one.score <= LOW_SCORE),
    "praise": _touches(
        lambda one: one.kind == "RECOMMENDATION" or (one.kind == "SURVEY" and (one.score or 0) >= PRAISE)
    ),
    "suggestion": _touches(lambda one: one.item == "SUGGESTION"),
    "visit": _touches(lambda one: one.kind == "VISIT"),
    "service": _touches(lambda one: one.kind == "SERVICE"),
    "benefit": _benefit,
}
assert set(_EVENTS) == set(EVENTS)


# ---- promise: what we owe an answer by a time


def promised(care: Care) -> str:
    """What a promise is about: `on`, else what the shipped kinds are about."""
    return care.on or _BY_KIND.get(care.kind, "complaint")


_BY_KIND: Final = {"COMPLAINT_FOLLOW_UP": "follow_up", "ANSWER_INQUIRY": "inquiry"}


def _complaint(care: Care, look: Look) -> Iterator[Reminder]:
    """A reply to a complaint that is not settled, from the moment it was opened, or opened again (K1)."""
    for one in look.facts.complaints:
        if one.status != "RESOLVED":
            opened = opened_at(one)
            hours = reply_hours(one, look)
            due = opened + hours * HOUR_MS
            latest = opened + look.policy.complaints.reply_hours[0] * HOUR_MS  # not due: that may drift with who is who
            expires = latest + (care.expires_days or _PROMISE_EXPIRES_DAYS) * DAY_MS
            cause, grave = f"{one.complaint_id}:{opened}", float(severity_of(one, look))
            yield _reminder(care, cause, opened, due, expires, grave, float(hours), one.about)


def _follow_up(care: Care, look: Look) -> Iterator[Reminder]:
    """Whether it is well, some days after a complaint was settled (K2)."""
    for one in look.facts.complaints:
        if one.status == "RESOLVED":
            days = care.after_days or look.policy.complaints.follow_up_days
            since = look.local.plus_days(one.at, days)
            hours = care.reply_hours or look.policy.complaints.reply_hours[0]
            cause = f"{one.complaint_id}:{one.at}"
            yield _owed(care, cause, since, since + hours * HOUR_MS, days, hours, one.about)


def _inquiry(care: Care, look: Look) -> Iterator[Reminder]:
    """An answer to an inquiry, within the hours that a complaint of severity 1 has, or those of the kind (K0)."""
    hours = care.reply_hours or look.policy.complaints.reply_hours[0]
    for touch in look.facts.touches:
        if touch.kind == "INQUIRY" and touch.direction == "IN":
            yield _owed(care, touch.at, touch.at, touch.at + hours * HOUR_MS, 0, hours, touch.item or "")


def _owed(care: Care, cause: object, since: int, due: int, have: int, hours: int, what: str) -> Reminder:
    expires = due + (care.expires_days or _PROMISE_EXPIRES_DAYS) * DAY_MS
    return _reminder(care, cause, since, due, expires, float(have), float(hours), what)


_PROMISES: Final[dict[str, Shape]] = {
    "complaint": _complaint,
    "follow_up": _follow_up,
    "inquiry": _inquiry,
}
assert set(_PROMISES) == set(PROMISES)


def opened_at(one: ComplaintState) -> int:
    """When a complaint was last opened (ms); of one whose opening never came, its latest record."""
    return one.at if one.opened_at < 0 else one.opened_at


def severity_of(one: ComplaintState, look: Look) -> int:
    """The severity that counts: one more for each time it was opened again (K2), and for another about the same thing
    within `repeat_days` before it (K3); at most 5."""
    span = look.policy.complaints.repeat_days * DAY_MS
    mine = opened_at(one)
    again = any(
        other.complaint_id != one.complaint_id and other.about == one.about and 0 <= mine - opened_at(other) <= span
        for other in look.facts.complaints
    )
    return min(5, one.severity + one.reopened + again)


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


_SHAPES: Final[dict[str, Shape]] = {
    "calendar": _calendar,
    "festival": _festival,
    "silence": _silence,
    "rhythm": _rhythm,
    "level": _level,
}
