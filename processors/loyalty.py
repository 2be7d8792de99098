"""L1-L3: the loyalty layer, what is felt told from what is done.

L1 five signs: repeats (often enough and not silent for too many of the own gaps), speaks up (survey answers,
inquiries), varied (categories of the year, or tried within the first quarter), recommends (referrals and
recommendations), steadfast (share of purchases without a coupon). L2 NONE: does not repeat; HABIT: repeats;
PREFERENCE: and one more sign, with no open complaint of severity 4 or more; LOYAL: and three more. L3 what surveys say
is kept beside what is done, and decides no layer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from processors.days import Calendar
from processors.history import WINDOW_DAYS, History, tried_until
from processors.policy import Policy
from processors.signals import GRAVE, RECENT_DAYS
from processors.value import Rhythm

SIGNS: Final = ("repeats", "speaks_up", "varied", "recommends", "steadfast")
_SPOKEN: Final = ("SURVEY", "INQUIRY")


class Step(msgspec.Struct, frozen=True):
    """The one step that would raise the layer: a sign, or `resolve_complaint`; what there is and what it takes."""

    sign: str
    have: float
    need: float


class Layer(NamedTuple):
    """layer: NONE, HABIT, PREFERENCE or LOYAL. signs: which of `SIGNS` hold. step: None at the top."""

    layer: str
    signs: tuple[bool, ...]
    step: Step | None


_UNSEEN: Final = Layer("NONE", (False,) * len(SIGNS), None)


def layer_of(facts: History, who: Rhythm | None, day: int, policy: Policy) -> Layer:
    """The layer on programme day `day` (L1, L2); facts: within the window ending on it."""
    if not policy.loyalty.layers:
        return _UNSEEN
    measured = _measured(facts, who, day, policy)
    signs = tuple(have >= need for have, need in measured)
    silent = _silent_for_too_long(who, day, policy)
    signs = (signs[0] and not silent, *signs[1:])
    grave = any(one.status != "RESOLVED" and one.severity >= GRAVE for one in facts.complaints)
    more = sum(signs[1:])
    if not signs[0]:
        return Layer("NONE", signs, Step("repeats", *measured[0]))
    if more >= 3:
        return Layer("LOYAL", signs, None)
    if more and grave:
        return Layer("HABIT", signs, Step("resolve_complaint", 0, 1))
    return Layer("PREFERENCE" if more else "HABIT", signs, _nearest(measured, signs))


def _nearest(measured: tuple[tuple[float, float], ...], signs: tuple[bool, ...]) -> Step:
    missing = [(have / need, -place) for place, (have, need) in enumerate(measured) if not signs[place]]
    place = -max(missing)[1]
    return Step(SIGNS[place], *measured[place])


def _measured(facts: History, who: Rhythm | None, day: int, policy: Policy) -> tuple[tuple[float, float], ...]:
    """(have, need) of each sign (L1); of `steadfast` purchases, and shares of them once there are enough."""
    rules, sales = policy.loyalty, facts.sales
    spoken = sum(touch.direction == "IN" and touch.kind in _SPOKEN for touch in facts.touches)
    praised = sum(touch.direction == "IN" and touch.kind == "RECOMMENDATION" for touch in facts.touches)
    tried = 0 if who is None else tried_until(facts, min(who.first + RECENT_DAYS, day))
    enough, full = max(rules.steadfast.min_purchases_365d, 1), sales - len(facts.coupons) // 2
    steadfast = (sales, enough) if sales < enough else (full / sales, float(rules.steadfast.min_full_price_share))
    return (
        (sales, rules.repeats.min_purchases_365d),
        (spoken, rules.speaks_up.min_contacts_365d),
        (max(len(facts.categories), tried), rules.varied.min_categories_365d),
        (_referred(facts, day, policy.calendar) + praised, rules.recommends.min_365d),
        steadfast,
    )


def _referred(facts: History, day: int, calendar: Calendar) -> int:
    return sum(calendar.day_of(at) > day - WINDOW_DAYS for at in facts.referred.values())


def _silent_for_too_long(who: Rhythm | None, day: int, policy: Policy) -> bool:
    return who is None or who.gap is None or day - who.last > policy.loyalty.repeats.max_silence_gaps * who.gap


def silent_day(who: Rhythm | None, day: int, policy: Policy) -> int | None:
    """The programme day after `day` from which the silence is too long for `repeats`; None: it is already."""
    if who is None or who.gap is None or not policy.loyalty.layers:
        return None
    first = who.last + int(policy.loyalty.repeats.max_silence_gaps * who.gap) + 1
    return first if first > day else None


def signs_json(found: Layer) -> str:
    """`loyalty_signs` of the view: each sign, and the step that would raise the layer."""
    return _UNSEEN_JSON if found is _UNSEEN else _json(found)


@lru_cache(maxsize=4096)
def _json(found: Layer) -> str:
    return msgspec.json.encode({**dict(zip(SIGNS, found.signs, strict=True)), "step": found.step}).decode()


_UNSEEN_JSON: Final = _json(_UNSEEN)


def answers(facts: History) -> tuple[int | None, int | None]:
    """(would recommend, will buy again): the last answers of the year, 0 to 10 (L3)."""
    if not facts.touches:
        return None, None
    said = {touch.item: touch.score for touch in facts.touches if touch.kind == "SURVEY" and touch.score is not None}
    return said.get("WOULD_RECOMMEND", said.get(None)), said.get("WILL_BUY_AGAIN")
