"""C1: when each kind of care is due. A kind is an entry of the policy of one of eight shapes; a shape is a function.

A shape yields what is true of a customer now or will be by time alone: each with a cause that names it, from when on it
is wanted, what it is due for and when it is pointless. What is yielded depends on facts, on what was told and on the
calendar alone, never on numbers that drift: so a cause is there at every review within its time, or at none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import ceil
from typing import Final

from msgspec.structs import replace

from processors.benefits.reminding import reminders
from processors.care import actions, promises
from processors.care.book import Reminder
from processors.care.look import Look, Shape, afresh, after, is_over, lasting_days, reminder
from processors.care.sections import EVENTS, Care
from processors.days import DAY_MS, Calendar
from processors.history import WINDOW_DAYS, Touch, days_since, first_tries
from processors.money import EXPONENTS
from processors.policy import Policy
from processors.tier import ends_by_time, most_missed
from processors.value import rhythm

LOW_SCORE: Final = 6
"""A survey's answer up to which somebody is not content; `PRAISE`: from which they are full of praise (as in NPS)."""
PRAISE: Final = 9

_PLANS: Final[dict[tuple[str, str, str], tuple[tuple[Care, Shape], ...]]] = {}
"""By policy, tier, and what it is."""


def candidates(look: Look) -> Iterator[Reminder]:
    """What is or will be due: all with `expires_at` after now, in no order; `wanted_at` may lie ahead."""
    now, erased = look.now, look.facts.not_before >= 0
    for care, shape in _shapes(look.policy, look.told.tier, look.sort):
        for found in shape(care, look):
            if found.expires_at > now:
                yield replace(found, cause=afresh(found.cause, look)) if erased else found


def _shapes(policy: Policy, tier: str, sort: str) -> tuple[tuple[Care, Shape], ...]:
    """The kinds of care that there are for a tier, with what says when they are due; looked up once a policy."""
    found = _PLANS.get((policy.key, tier, sort))
    if found is None:
        kinds = (care for care in policy.care if care.reaches(sort) and (care.tiers is None or tier in care.tiers))
        found = _PLANS[policy.key, tier, sort] = tuple((care, _shape(care)) for care in kinds)
    return found


def _shape(care: Care) -> Shape:
    if care.shape == "event":
        return _EVENTS[care.on or ""]
    return promises.SHAPES[promises.promised(care)] if care.shape == "promise" else _SHAPES[care.shape]


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
    lead, lasts = care.lead_days, lasting_days(care)
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
    if care.on == "owner":
        yield from _owner(care, look)
    elif care.on != "key_account" or (look.profile is not None and look.profile.key_account):
        span = care.after_days or look.tier.care_every_days
        since = look.facts.first_at if look.facts.last_touch_at is None else look.facts.last_touch_at
        if span is not None and since is not None:
            yield from _silent(care, look, since, span, lasting_days(care))


def _owner(care: Care, look: Look) -> Iterator[Reminder]:
    """Who is in charge has not been in touch for nearly the policy's span: the warning before the customer goes back to
    the pool (E3)."""
    charge, span = look.told.charge, look.policy.employees.span_days
    if span is not None and charge is not None and charge.pooled_at is None:
        own = (touch.at for touch in look.facts.touches if look.by_owner(touch))
        yield from _silent(care, look, max(own, default=charge.since), span, care.lead_days or lasting_days(care))


def _silent(care: Care, look: Look, since: int, span: int, days: int) -> Iterator[Reminder]:
    """The reminder of a silence since `since` that is to last `span` days at most, each `days` long."""
    due = look.local.plus_days(since, span)
    wanted, lasts = due - care.lead_days * DAY_MS, days * DAY_MS
    begun = wanted if look.now < wanted else wanted + (look.now - wanted) // lasts * lasts
    for at in (begun, begun + lasts):  # this one, and the one that follows where it ends early
        silent = float((at - since) // DAY_MS)
        yield reminder(care, at, at, max(at, due), at + lasts, silent, float(span))


def _rhythm(care: Care, look: Look) -> Iterator[Reminder]:
    """The own usual gap is over: they need more of what they buy."""
    who = rhythm(look.facts.purchase_days)
    if who is None or who.gap is None or look.told.level == "LOST":
        return
    calendar = look.policy.calendar  # purchase days are the programme's
    due = calendar.midnight(who.last + ceil(who.gap) + care.after_days)
    wanted = due - care.lead_days * DAY_MS
    yield reminder(care, who.last, wanted, due, due + lasting_days(care) * DAY_MS, who.gap, who.gap)


# ---- level: of risk


def _level(care: Care, look: Look) -> Iterator[Reminder]:
    told = look.told
    if told.level == care.level and told.level_since is not None and not is_over(care, look, told.level_since):
        yield after(care, look, told.level_since, told.level_since)


# ---- event: something happened


def _first_purchase(care: Care, look: Look) -> Iterator[Reminder]:
    at = look.facts.first_purchase_at
    if at is not None and not is_over(care, look, at):
        yield after(care, look, "first", at)


def _purchase(care: Care, look: Look) -> Iterator[Reminder]:
    """A day on which they bought, for `min_amount` or more in all."""
    calendar, unit = look.policy.calendar, 10 ** EXPONENTS[look.policy.programme.currency]
    for one in days_since(look.facts, calendar.day_of(look.now) - care.after_days - lasting_days(care) - 2):
        if one.sales and one.value >= (care.min_amount or 0):
            begins = calendar.midnight(one.day)
            yield after(care, look, one.day, max(begins, look.facts.first_purchase_at or 0), have=one.value / unit)


def _new_category(care: Care, look: Look) -> Iterator[Reminder]:
    """A day on which they first bought of a category, but for the very first day of all."""
    first, *later = sorted(set(first_tries(look.facts))) or [0]
    for day in later:
        if day > first:
            yield after(care, look, day, look.policy.calendar.midnight(day))


def _bought(care: Care, look: Look) -> Iterator[Reminder]:
    """They bought of a category in the last 365 days: to call back what was faulty. Once, whenever the policy says
    so."""
    day = look.facts.categories.get(care.category or "")
    if day is not None:
        found = after(care, look, care.category, look.policy.calendar.midnight(day), what=care.category or "")
        ends = look.policy.calendar.midnight(day + (care.expires_days or WINDOW_DAYS))
        yield replace(found, expires_at=max(ends, found.wanted_at + 1))


def _tier_falling(care: Care, look: Look) -> Iterator[Reminder]:
    """The tier will be lost within `lead_days` if nothing but time happens, and what would keep it (T6). With a grace
    as long as that the customer is below by then; with a shorter one it is seen ahead."""
    told, facts, policy = look.told, look.facts, look.policy
    since, grace = told.below_since, policy.tier_rules.grace_days
    day, begun = policy.calendar.day_of(look.now), since
    if since is None and grace < care.lead_days:
        ends = ends_by_time(facts, told, look.now, policy)
        if ends is not None:
            since, facts = ends
            day, begun = policy.calendar.day_of(since), 0
    if since is None or begun is None:
        return
    due = policy.calendar.plus_days(since, grace)
    code, have, need = most_missed(facts, told, day, policy)
    wanted = max(begun, due - care.lead_days * DAY_MS)
    yield reminder(care, since, wanted, due, due, have, need, f"{told.tier}:{code}")


def _policy_change(care: Care, look: Look) -> Iterator[Reminder]:
    """A new policy has another tier for them, at once or after the grace: true from the review that found it on, as
    long as it is worth explaining."""
    erased, book = look.facts.not_before, look.told.care
    for one in (*book.open, *book.waiting):
        if one.kind == care.kind:
            yield one if erased < 0 else replace(one, cause=one.cause.removesuffix(f"@{erased}"))
    if look.moved:
        yield after(care, look, look.now, look.now, what=look.moved)


def _tier_up(care: Care, look: Look) -> Iterator[Reminder]:
    """The tier rose: true from the review that found it on, as long as it stays what it then became."""
    since = look.told.tier_since
    if since is None or is_over(care, look, since):
        return
    book = look.told.care
    known = any(one.key == (care.kind, afresh(str(since), look)) for one in (*book.open, *book.waiting))
    if look.rose or known:
        yield after(care, look, since, since, what=look.told.tier)


def _touches(wanted: Callable[[Touch], bool]) -> Shape:
    def shape(care: Care, look: Look) -> Iterator[Reminder]:
        for touch in look.facts.touches:
            if touch.direction == "IN" and wanted(touch) and not is_over(care, look, touch.at):
                yield after(care, look, touch.at, touch.at, have=float(touch.score or 0), what=touch.item or "")

    return shape


def _referral(care: Care, look: Look) -> Iterator[Reminder]:
    for name, at in look.facts.referred.items():
        if not is_over(care, look, at):
            yield after(care, look, name, at, what=name)


def _achievement(care: Care, look: Look) -> Iterator[Reminder]:
    """Something that deserves recognition, noted as a contact whose `item` is ACHIEVEMENT, or `ACHIEVEMENT: what`."""
    for touch in look.facts.touches:
        name, _, what = (touch.item or "").partition(":")
        if name == "ACHIEVEMENT" and not is_over(care, look, touch.at):
            yield after(care, look, touch.at, touch.at, what=what.strip())


def _benefit(care: Care, look: Look) -> Iterator[Reminder]:
    """A benefit was earned and can be used (T9)."""
    return reminders(care, look.entitled, look.local)


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
    "achievement": _achievement,
    "benefit": _benefit,
}
assert set(_EVENTS) == set(EVENTS)


_SHAPES: Final[dict[str, Shape]] = {
    "calendar": _calendar,
    "festival": _festival,
    "silence": _silence,
    "rhythm": _rhythm,
    "level": _level,
    "rate": actions.rate,
}
