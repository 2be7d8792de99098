"""R2-R4, R6, X0, X1: how near a customer is to leaving, what that would lose, and what is told of it.

A level rises at its threshold and is left downwards only `ease` below it. LOST is declared by silence alone, beyond the
policy's multiple of the own rhythm; the next purchase is WON_BACK. At most one thing a day is told of a customer: what
else there would be to say is said when the next day begins, if it is still so. R6 who buys less is not who leaves:
`fading` is a sign of its own, told apart from the level.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log
from typing import Final, NamedTuple

from msgspec.structs import replace

from processors.care.people import held_out
from processors.charge import owner_of
from processors.customer import Customer, Exit, Told
from processors.history import History, recent
from processors.outputs import ChurnRisk, Reason
from processors.policy import Policy
from processors.signals import (
    RECENT_DAYS,
    Signals,
    by_silence,
    logit,
    numbers,
    rest,
    score_of,
    signals,
)
from processors.value import Rhythm, rhythm
from processors.word_of_mouth import referrer_of
from processors.worth import payback, worth

OK: Final = "OK"
WATCH: Final = "WATCH"
AT_RISK: Final = "AT_RISK"
LOST: Final = "LOST"
_RANK: Final = {OK: 0, WATCH: 1, AT_RISK: 2, LOST: 3}
_FADING_DAYS: Final = 3
"""Purchase days below which nobody has a habit that could fade."""


class Risk(NamedTuple):
    """who: the customer's rhythm. day: of the assessment. logit: of the score; rest: what silence does not drive of it.
    limit: days of silence beyond which they are lost. leaves: the day on which the first of the last 90 days' facts
    leaves them, None if they are empty. alive, none: `p_alive` and `p_no_purchase`."""

    who: Rhythm
    day: int
    alive: float
    none: float
    signals: Signals
    rest: float
    logit: float
    score: float
    limit: int
    leaves: int | None

    @property
    def silent(self) -> int:
        return self.who.silent(self.day)

    @property
    def lost(self) -> bool:
        return self.silent > self.limit


def assess(customer_id: str, facts: History, told: Told, day: int, policy: Policy) -> Risk | None:
    """The risk on programme day `day`; None of who never bought: there is nobody to lose. None of anybody where the
    policy assesses none.

    facts: within the window ending on `day`.
    """
    if not policy.risk.assess:
        return None
    who = rhythm(facts.purchase_days)
    if who is None:
        return None
    lately = recent(facts, day, RECENT_DAYS)
    driven = by_silence(who, policy)(day)
    falling, gone = told.below_since is not None, bool(facts.kin) and _referrer_gone(facts, customer_id)
    found = signals(facts, who, lately, day, driven, policy, falling=falling, gone=gone)
    others = rest(found, policy)
    total = logit(others, found.no_purchase, found.silence, policy)
    leaves = None if lately.first is None else lately.first + RECENT_DAYS
    return Risk(who, day, driven[0], driven[1], found, others, total, score_of(total), _limit(who, policy), leaves)


def _referrer_gone(facts: History, customer_id: str) -> bool:
    """Whether whoever brought the customer is lost or not content, as far as known (W3)."""
    referrer = referrer_of(facts, customer_id)
    known = None if referrer is None else facts.kin.get(referrer)
    return known is not None and known.level != OK


def _limit(who: Rhythm, policy: Policy) -> int:
    """Days of silence that one may have: the policy's multiple of the usual gap, bounded; without one the most."""
    bounds = policy.risk.lost
    if who.gap is None:
        return bounds.most_days
    return int(min(max(bounds.gaps * who.gap, bounds.least_days), bounds.most_days))


def level_of(risk: Risk, held: str, policy: Policy) -> str:
    """The level that `risk` asks for, where `held` is told (R3)."""
    if risk.lost:
        return LOST
    bounds, score = policy.risk, risk.score
    rank = 0 if held == LOST else _RANK.get(held, 0)
    if score >= bounds.at_risk or (rank == 2 and score >= bounds.at_risk - bounds.ease):
        return AT_RISK
    if score >= bounds.watch or (rank >= 1 and score >= bounds.watch - bounds.ease):
        return WATCH
    return OK


def fades(risk: Risk, told: Told, policy: Policy) -> bool:
    """Whether the customer is said to buy less than they used to (R6)."""
    if risk.who.x + 1 < _FADING_DAYS or risk.lost:
        return False
    bound = policy.risk.fading - (policy.risk.ease if told.fading else 0.0)
    return risk.signals.spend_trend >= bound > 0.0


class Verdict(NamedTuple):
    """told: what holds from now on. transition: what is to be said, None for nothing. waits: there is more to say, and
    it waits for the next day."""

    told: Told
    transition: str | None
    waits: bool


def decide(risk: Risk, facts: History, told: Told, now: int, policy: Policy) -> Verdict:
    """What a review at `now` (ms) says of the risk (R3, R6): one thing a day at most."""
    level, fading = level_of(risk, told.level, policy), fades(risk, told, policy)
    if level == told.level and fading == told.fading:
        return Verdict(told, None, False)
    day_of = policy.calendar.day_of
    since = max(told.level_since or -1, told.fading_since or -1)
    if since >= 0 and day_of(since) == risk.day:
        return Verdict(told, None, True)
    if level != told.level:
        transition = _transition(told, level, facts)
        faded = told.fading and level != LOST  # who is lost does not fade any more, and need not be told so
        return Verdict(replace(told, level=level, level_since=now, fading=faded), transition, fading != faded)
    return Verdict(replace(told, fading=fading, fading_since=now), "FADING" if fading else "RECOVERED", False)


def _transition(told: Told, level: str, facts: History) -> str:
    if level == LOST:
        return "LOST"
    if told.level == LOST:
        if (facts.last_purchase_at or 0) >= (told.level_since or 0):
            return "WON_BACK"
        return "CLEARED" if level == OK else "EASED"  # late news of a purchase before they were lost
    if level == OK:
        return "CLEARED"
    if _RANK[level] < _RANK[told.level]:
        return "EASED"
    return "RAISED" if told.level == OK else "WORSENED"


def next_day(risk: Risk, told: Told, until: int | None, policy: Policy) -> int | None:
    """The first programme day after `risk.day` on which, by silence alone, another level would be asked for.

    until: the day on which a dated fact leaves; nothing but silence changes before it, and a review comes then anyhow.
    """
    if told.level == LOST:
        return None
    found = risk.who.last + risk.limit + 1
    if found <= risk.day:
        found = risk.day + 1  # told on the next day
    bounds = policy.risk
    threshold = bounds.watch if told.level == OK else bounds.at_risk if told.level == WATCH else None
    if threshold is None or risk.score >= threshold:
        return found
    last = found - 1 if until is None else min(found, until) - 1
    return found if last <= risk.day else _crossing(risk, last, threshold, policy) or found


def _crossing(risk: Risk, high: int, threshold: float, policy: Policy) -> int | None:
    """The first day after `risk.day`, up to `high`, whose score is `threshold` by silence alone; None: there is none.

    A line between the ends of what is left says where to look, which nearly always finds it in two steps; a look at
    its neighbour then ends the search. Where the line misleads, halving does.
    """
    rest, on = risk.rest, by_silence(risk.who, policy)

    def logit_on(day: int) -> float:
        _, _, no_purchase, silence = on(day)
        return logit(rest, no_purchase, silence, policy)

    at_high = logit_on(high)
    if score_of(at_high) < threshold:
        return None
    low, at_low, goal = risk.day, risk.logit, log(threshold / (1.0 - threshold)) if threshold < 1.0 else at_high
    lines = _LINES
    while high - low > 1:
        middle = (low + high) // 2
        if lines:
            lines -= 1
            share = (goal - at_low) / (at_high - at_low) if at_high > at_low else 0.5
            middle = min(max(low + ceil(share * (high - low)), low + 1), high - 1)
        at_middle = logit_on(middle)
        if score_of(at_middle) >= threshold:
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
    return high


_LINES: Final = 6


# ---- what is said


def reasons(risk: Risk, facts: History, policy: Policy, *also: Reason) -> tuple[Reason, ...]:
    """Each signal's part of the score's logit, strongest first, the intercept last: their weights add up (R2)."""
    found = list(also)
    for code, weight, signal in zip(Signals._fields, policy.weights, risk.signals, strict=True):
        part = weight * signal
        if part:
            have, usual = numbers(code, facts, risk.who, risk.signals, risk.day, risk.none, policy)
            found.append(Reason(code, part, have, usual))
    found.sort(key=lambda reason: -reason.weight)
    found.append(Reason("base", policy.risk.weights.intercept, 0.0, 0.0))
    return tuple(found)


def said(customer: Customer, risk: Risk, was: Told, transition: str, policy: Policy) -> ChurnRisk:
    """The alert (R2-R4) for `customer` as reviewed; was: what was told before."""
    facts, told = customer.history, customer.told
    expected = worth(facts, risk.who, risk.alive, risk.day, policy)
    assert expected.purchases is not None, "who can be lost has bought"
    return ChurnRisk(
        customer_id=customer.id,
        at=customer.now,
        policy=policy.label,
        transition=transition,
        level=told.level,
        previous_level=was.level,
        score=risk.score,
        p_alive=risk.alive,
        p_no_purchase=risk.none,
        expected_purchases=expected.purchases,
        value_at_stake=expected.at_stake,
        currency=policy.programme.currency,
        tier=told.tier,
        last_purchase_at=facts.last_purchase_at,
        usual_gap_days=risk.who.gap,
        reasons=reasons(risk, facts, policy, *_beside(risk, transition)),
        holdout=held_out(policy.programme.name, customer.id, policy.programme.holdout),
        fading=risk.signals.spend_trend,
    )


def _beside(risk: Risk, transition: str) -> Iterator[Reason]:
    """What the level follows from beside the score; its weight in the score is none."""
    if transition == "LOST":
        yield Reason("lost", 0.0, float(risk.silent), float(risk.limit))
    elif transition in ("FADING", "RECOVERED"):
        yield Reason("fading", 0.0, risk.signals.spend_trend * 100.0, float(RECENT_DAYS))


def exit_after(verdict: Verdict, facts: History, risk: Risk, now: int, policy: Policy) -> Exit | None:
    """The exit that is kept: made at LOST, then only told how it went on: the reason said, and that they are back."""
    told, held = verdict.told, verdict.told.exit
    if held is None and verdict.transition != "LOST":
        return None
    since = facts.last_purchase_at or -1  # a reason given before they were lost, as by one who cancels, counts
    said = [touch.reason for touch in facts.touches if touch.reason is not None and touch.at > since]
    if verdict.transition == "LOST":
        return replace(exit_of(facts, told, risk, now, policy), told=said[-1] if said else None)
    assert held is not None
    if verdict.transition == "WON_BACK":
        return replace(held, won_back_at=now)
    if told.level == LOST and said and said[-1] != held.told:
        return replace(held, told=said[-1])
    return held


def exit_of(facts: History, told: Told, risk: Risk, now: int, policy: Policy) -> Exit:
    """What is known at the moment of LOST (X0); its reason is the strongest of the risk (X1)."""
    why = reasons(risk, facts, policy)
    first = why[0]
    return Exit(
        at=now,
        reason=first.code if first.weight > 0.0 and first.code != "base" else "silence",
        tier=told.tier,
        value_365d=facts.value,
        value_at_stake=worth(facts, risk.who, risk.alive, risk.day, policy).at_stake,
        touches=sum(touch.direction == "OUT" for touch in facts.touches),
        open_complaints=sum(one.status != "RESOLVED" for one in facts.complaints),
        paid_back=payback(facts, told.paid_back_at) is not None,
        store=facts.last_store,
        employee=owner_of(facts, told.charge),
        reasons={reason.code: round(reason.weight, 6) for reason in why},
    )
