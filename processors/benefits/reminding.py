"""T9, C1: the care that a benefit gives rise to: it was earned, or will end before it was used."""

from __future__ import annotations

from collections.abc import Iterator

from processors.benefits.came_to import OPEN, Entitlement
from processors.care.book import Reminder
from processors.care.sections import Care
from processors.days import DAY_MS, Calendar


def reminders(care: Care, entitled: tuple[Entitlement, ...], local: Calendar) -> Iterator[Reminder]:
    """Of each benefit that can be used: wanted `after_days` after it was earned, at the same local time, or `lead_days`
    before it ends. It ends with it, or sooner by the kind's `expires_days`; have: how often it can be used, usual: what
    that is worth each time, minor units."""
    for one in entitled:
        if one.state == OPEN:
            wanted = local.plus_days(one.earned_at, care.after_days)
            if care.lead_days:
                wanted = max(one.earned_at, one.expires_at - care.lead_days * DAY_MS)
            ends = one.expires_at
            if care.expires_days is not None:
                ends = min(ends, wanted + care.expires_days * DAY_MS)
            if wanted < ends:
                last, left, worth, what = one.expires_at - 1, float(one.left), float(one.worth), one.get or one.benefit
                yield Reminder(care.kind, one.id, wanted, last, ends, left, worth, what)
