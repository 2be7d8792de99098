"""R2: the signals of leaving, each a number between bounds, from the facts alone; the score is a logistic of them.

`no_purchase` and `silence` grow with each day without a purchase, and nothing else changes between the days on which a
dated fact leaves the last 90 or the last 365 days: so between such days longer silence never lowers the risk, and the
day on which a level is crossed can be searched.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, log1p
from operator import mul
from typing import Final, NamedTuple

from processors.history import WINDOW_DAYS, History, Recent
from processors.lifetime import chances_by_age
from processors.policy import Policy
from processors.value import PACE_DAYS, Rhythm

RECENT_DAYS: Final = 90
"""What "lately" means for trends: a quarter, long enough for who buys once a month."""

_LOGIT_MAX: Final = 8.0
_SILENCE_MAX: Final = 3.0
_HIGH_MAX: Final = 3


class Signals(NamedTuple):
    """In the order of the policy's weights; 0: nothing speaks for or against leaving.

    no_purchase: logit of the model's chance of no purchase within the horizon. silence: log of 1 + silence in own
    gaps. spend_trend, visit_trend: share of the own expectation that the last 90 days lack. narrowing: share of the
    year's categories not bought in the last 90 days. open_complaint: severities of open complaints over 5, at most 3.
    rare, few_lately: log of weekly purchases over the year's, over those of the 30 days to the last; small_spend: of
    the policy's typical value of a year over the own. These three are below 0 for who buys more, and within -2 and 4.
    """

    no_purchase: float
    silence: float
    spend_trend: float = 0.0
    visit_trend: float = 0.0
    narrowing: float = 0.0
    open_complaint: float = 0.0
    bad_remedy: float = 0.0
    good_remedy: float = 0.0
    low_score: float = 0.0
    ignored_campaigns: float = 0.0
    declined: float = 0.0
    tier_falling: float = 0.0
    referrer_gone: float = 0.0
    rare: float = 0.0
    few_lately: float = 0.0
    small_spend: float = 0.0


def by_silence(who: Rhythm, policy: Policy) -> Callable[[int], tuple[float, float, float, float]]:
    """What a day without a purchase changes, by the programme day: (`p_alive`, `p_no_purchase` within the policy's
    horizon, and the signals `no_purchase` and `silence`, neither of which falls as days pass) (R1, R2)."""
    first, last, gap = who.first, who.last, who.gap
    weeks = policy.risk.horizon_days / 7
    chances_at = chances_by_age(who.x, (last - first) / 7, policy.model)

    def on(day: int) -> tuple[float, float, float, float]:
        day = max(day, last)  # as in `Rhythm.age`
        alive, none = chances_at((day - first) / 7, weeks)
        if 0.0 < none < 1.0:
            odds = log(none / (1.0 - none))
            odds = -_LOGIT_MAX if odds < -_LOGIT_MAX else _LOGIT_MAX if odds > _LOGIT_MAX else odds
        else:
            odds = -_LOGIT_MAX if none <= 0.0 else _LOGIT_MAX
        silence = 0.0 if gap is None else log1p((day - last) / gap)
        return alive, none, odds, silence if silence < _SILENCE_MAX else _SILENCE_MAX

    return on


def signals(
    facts: History,
    who: Rhythm,
    lately: Recent,
    day: int,
    driven: tuple[float, float, float, float],
    policy: Policy,
    *,
    falling: bool = False,
    gone: bool = False,
) -> Signals:
    """The signals on programme day `day` of who has bought (R2). facts: within the window ending on `day`; lately: of
    its last `RECENT_DAYS`. driven: see `by_silence`. falling: a tier's grace is running. gone: who brought them is
    lost or not content (W3)."""
    _, _, no_purchase, silence = driven
    spend = visits = 0.0
    if lately.past_span:
        spend = lacking(lately.value, facts.value - lately.value, lately.past_span)
        visits = lacking(lately.sales, facts.sales - lately.sales, lately.past_span)
    opened, bad, good = _complaints(facts, day, policy) if facts.complaints else (0.0, 0.0, 0.0)
    low, ignored, declined = _contacts(facts, day) if facts.touches else (0.0, 0.0, 0.0)
    return Signals(
        no_purchase,
        silence,
        spend,
        visits,
        narrowing(facts, day),
        opened,
        bad,
        good,
        low,
        ignored,
        declined,
        1.0 if falling else 0.0,
        1.0 if gone else 0.0,
        _below(_WEEKS, facts.sales),
        _below(_WEEKLY, who.pace),
        _below(policy.risk.typical_value_365d, facts.value),
    )


def _below(typical: int, own: int) -> float:
    """Log of `typical` over `own`, within bounds; 0 where nothing is typical."""
    if typical <= 0:
        return 0.0
    below = log(typical / own) if own > 1 else log(typical)
    return -2.0 if below < -2.0 else 4.0 if below > 4.0 else below  # in the hottest loop: no calls


_WEEKS: Final = 52
_WEEKLY: Final = 4


def lacking(lately: int, before: int, past_span: int) -> float:
    """The share of the own expectation that the last 90 days lack, 0 to 1 (R6); 0 where nothing is expected.

    Expected is the rate of the days before, from the first to the last that held anything, over 90 days at least.
    """
    if before <= 0:
        return 0.0
    expected = before * RECENT_DAYS / max(past_span, RECENT_DAYS)
    lacks = 1.0 - lately / expected
    return 0.0 if lacks < 0.0 else 1.0 if lacks > 1.0 else lacks


def narrowing(facts: History, day: int) -> float:
    """The share of the year's categories that the last 90 days lack, 0 to 1."""
    known = facts.categories
    if len(known) < 2:
        return 0.0
    since = day - RECENT_DAYS
    return len([last for last in known.values() if last <= since]) / len(known)


def _complaints(facts: History, day: int, policy: Policy) -> tuple[float, float, float]:
    """(open severities over 5, at most 3; the last remedy of the year was bad; was good)."""
    grave, last = 0, None
    day_of, since = policy.calendar.day_of, day - WINDOW_DAYS
    for one in facts.complaints:
        if one.status != "RESOLVED":
            grave += one.severity
        elif one.satisfaction is not None and day_of(one.at) > since and (last is None or one.at >= last.at):
            last = one
    bad = 1.0 if last is not None and last.satisfaction is not None and last.satisfaction <= 2 else 0.0
    good = 1.0 if last is not None and last.satisfaction is not None and last.satisfaction >= 4 else 0.0
    return min(grave / 5.0, float(_HIGH_MAX)), bad, good


def _contacts(facts: History, day: int) -> tuple[float, float, float]:
    """(last survey's points below 7 over 7; campaigns of the last 90 days since the last purchase, at most 3, over 3;
    reminders declined in the last 90 days, likewise)."""
    score, ignored, declined = None, 0, 0
    since, bought = day - RECENT_DAYS, facts.last_purchase_at or 0
    for touch in facts.touches:
        if touch.kind == "SURVEY" and touch.score is not None:
            score = touch.score
        elif touch.day > since:
            if touch.kind == "DECLINED":
                declined += 1
            elif touch.kind == "CAMPAIGN" and touch.direction == "OUT" and touch.at > bought:
                ignored += 1
    low = 0.0 if score is None else max(7 - score, 0) / 7
    return low, min(ignored, _HIGH_MAX) / _HIGH_MAX, min(declined, _HIGH_MAX) / _HIGH_MAX


GRAVE: Final = 4
"""The severity from which an open complaint stands for itself."""


def unhappy(facts: History, day: int, policy: Policy) -> bool:
    """Whether the customer has told us that they are not content (W3): an open complaint of severity `GRAVE` or more,
    a bad last remedy, or a last survey below 7."""
    if any(one.status != "RESOLVED" and one.severity >= GRAVE for one in facts.complaints):
        return True
    bad = facts.complaints and _complaints(facts, day, policy)[1]
    return bool(bad or (facts.touches and _contacts(facts, day)[0]))


def rest(found: Signals, policy: Policy) -> float:
    """The part of the score's logit that silence does not drive: the intercept and each other signal's weight."""
    others: float = sum(map(mul, policy.weights[2:], found[2:]))
    return policy.risk.weights.intercept + others


def logit(rest: float, no_purchase: float, silence: float, policy: Policy) -> float:
    """The score's logit: the intercept and each signal times its weight."""
    weights = policy.weights
    return rest + weights[0] * no_purchase + weights[1] * silence


def score_of(total: float) -> float:
    """1 / (1 + exp(-total)), without overflow."""
    if total >= 0.0:
        return 1.0 / (1.0 + exp(-total))
    grown = exp(total)
    return grown / (1.0 + grown)


def numbers(
    code: str, facts: History, who: Rhythm, found: Signals, day: int, none: float, policy: Policy
) -> tuple[float, float]:
    """(have, usual) of the sentence that says the signal `code` (see `texts/`); none: `p_no_purchase`."""
    read = _NUMBERS.get(code)
    if read is not None:
        return read(facts, who, day, policy)
    if code == "no_purchase":
        return none * 100.0, float(policy.risk.horizon_days)
    return getattr(found, code) * 100.0, float(RECENT_DAYS)


def _silent(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    return float(who.silent(day)), who.gap or 0.0


def _categories(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    since = day - RECENT_DAYS
    return float(sum(last > since for last in facts.categories.values())), float(len(facts.categories))


def _open(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    grave = [one.severity for one in facts.complaints if one.status != "RESOLVED"]
    return float(len(grave)), float(max(grave, default=0))


def _satisfaction(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    rated = [one for one in facts.complaints if one.status == "RESOLVED" and one.satisfaction is not None]
    return float(max(rated, key=lambda one: one.at).satisfaction or 0), 5.0


def _survey(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    return float([one.score for one in facts.touches if one.kind == "SURVEY" and one.score is not None][-1]), 10.0


def _ignored(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    since, bought = day - RECENT_DAYS, facts.last_purchase_at or 0
    sent = [t for t in facts.touches if t.kind == "CAMPAIGN" and t.direction == "OUT" and t.at > bought]
    return float(sum(touch.day > since for touch in sent)), float(RECENT_DAYS)


def _declined(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    since = day - RECENT_DAYS
    return float(sum(t.kind == "DECLINED" and t.day > since for t in facts.touches)), float(RECENT_DAYS)


def _year(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    return float(facts.sales), float(_WEEKS)


def _pace(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    return float(who.pace), float(PACE_DAYS)


def _spend(facts: History, who: Rhythm, day: int, policy: Policy) -> tuple[float, float]:
    typical = policy.risk.typical_value_365d
    return round(100.0 * facts.value / typical, 1) if typical else 0.0, 100.0


_NUMBERS: Final[dict[str, Callable[[History, Rhythm, int, Policy], tuple[float, float]]]] = {
    "silence": _silent,
    "narrowing": _categories,
    "open_complaint": _open,
    "bad_remedy": _satisfaction,
    "good_remedy": _satisfaction,
    "low_score": _survey,
    "ignored_campaigns": _ignored,
    "declined": _declined,
    "rare": _year,
    "few_lately": _pace,
    "small_spend": _spend,
}
