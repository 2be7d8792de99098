"""C2, C3, C9: when a reminder may go, on which channel, and who comes first where there is one slot.

Caps and gaps count what went in the last 30 times 24 hours: our reminders and the campaigns of others. Quiet hours are
the customer's local time. A channel may be used unless the customer said no to it; who is not to be contacted has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from processors.care.sections import Care, CareRules
from processors.customer import FOREVER
from processors.days import DAY_MS, Calendar
from processors.events import Profile
from processors.history import History

SPAN_MS: Final = 30 * DAY_MS
CONSENT, CAP, GAP, QUIET = "consent", "cap", "gap", "quiet"
_ANYWHERE: Final = "store"
"""The channel where neither customer nor policy names one: who serves them tells them."""


def channel_for(care: Care, profile: Profile | None, rules: CareRules) -> str | None:
    """The channel of a reminder: the kind's own, else the customer's, else the policy's first; None: they consent to
    none of these (C2)."""
    if profile is not None and profile.do_not_contact:
        return None
    if care.channel is not None:
        named: Iterable[str] = (care.channel,)
    else:
        own = () if profile is None or profile.preferred_channel is None else (profile.preferred_channel,)
        named = (*own, *rules.channels) or (_ANYWHERE,)
    refused = {} if profile is None else profile.consent
    return next((channel for channel in named if refused.get(channel, True)), None)


def campaigns(facts: History) -> list[int]:
    """When others sent the customer marketing (C9), ms, sorted."""
    return [touch.at for touch in facts.touches if touch.kind == "CAMPAIGN" and touch.direction == "OUT"]


def first_allowed(now: int, sent: Sequence[int], rules: CareRules, local: Calendar) -> tuple[int, str]:
    """(the first instant from `now` on at which a reminder may go, what holds it back until then; "" for nothing) (C2).

    sent: when others went, ms, sorted. local: the customer's clocks. FOREVER: never.
    """
    cap, gap = rules.max_per_30_days, rules.min_gap_days * DAY_MS
    if cap == 0:
        return FOREVER, CAP
    at, held = now, ""
    while True:
        if cap is not None and len(sent) >= cap and sent[-cap] + SPAN_MS > at:
            at, held = sent[-cap] + SPAN_MS, CAP
        elif sent and sent[-1] + gap > at:
            at, held = sent[-1] + gap, GAP
        elif (end := quiet_until(at, rules, local)) > at:
            at, held = end, QUIET
        else:
            return at, held


def quiet_until(at: int, rules: CareRules, local: Calendar) -> int:
    """The end of the quiet hours in which `at` lies (ms), or `at` itself; they may go over midnight."""
    if rules.quiet_hours is None:
        return at
    begin, end = map(_minutes, rules.quiet_hours)
    minute = local.minute_of(at)
    quiet = begin <= minute < end if begin < end else minute >= begin or minute < end
    return local.next_at(end, at) if quiet else at


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])
