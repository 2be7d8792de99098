"""R1, R2, V3: a policy's numbers from history: the models of purchase days and margins, and the score's weights.

Nothing of the future decides: parameters are checked by fitting them to what lay `horizon_days` before the end, and
weights by fitting them to earlier reviews, whose outcomes were known before the first of the later ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import mul
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from processors.fitting import (
    LEAST_BACK,
    Bin,
    Fit,
    SpendFit,
    WeightsFit,
    calibration,
    fit_model,
    fit_spend,
    fit_weights,
)
from processors.history import History, recent, unpack_days, within
from processors.lifetime import Model, chances, expected_purchases
from processors.policy import Policy
from processors.signals import RECENT_DAYS, Signals, by_silence, score_of, signals
from processors.value import Rhythm, rhythm
from streams.replay import Histories, folded

REVIEW_DAYS: Final = 30
REVIEWS_MAX: Final = 12
LEAST_PURCHASE_DAYS: Final = 3
RIDGE: Final = 1.0
FREE: Final = frozenset({"rare", "few_lately", "small_spend"})
GOOD: Final = frozenset({"good_remedy"})


class Check(NamedTuple):
    """The model as fitted `horizon_days` before the end, against what came. auc: of its chance of no purchase."""

    model: Model
    customers: int
    expected: float
    happened: int
    auc: float
    bins: tuple[Bin, ...]


class Case(NamedTuple):
    """A customer as reviewed on `day`. left: bought nothing within the horizon after it."""

    customer_id: str
    day: int
    who: Rhythm
    signals: Signals
    left: bool


class Weighed(NamedTuple):
    """weights: fitted to all reviews, with `policy`. earlier: to the earlier alone; bins, auc, average_precision: of
    the later under those. silent: signals that never spoke, and so kept the policy's weight.
    watch, at_risk: scores that a fifth, a tenth of the reviews exceed. caught: share of the leavers above each."""

    policy: Policy
    weights: WeightsFit
    earlier: WeightsFit
    later_cases: int
    later_left: int
    auc: float
    average_precision: float
    bins: tuple[Bin, ...]
    silent: tuple[str, ...]
    watch: float
    at_risk: float
    caught: tuple[float, float]


class Fitted(NamedTuple):
    """end: the last programme day of the history. check, weighed: None, and why in `missing`."""

    end: int
    model: Fit
    spend: SpendFit
    typical_value_365d: int
    check: Check | None
    weighed: Weighed | None
    missing: tuple[str, ...]


def fit_history(found: Histories, kind: str, end: int, policy: Policy) -> Fitted:
    """All that a policy's [risk] and [clv] take from history, whose last programme day is `end`.

    Raises ValueError where nobody has bought.
    """
    horizon, missing = policy.risk.horizon_days, []
    stop = policy.calendar.midnight(end + 1)
    facts = [next(folded(name, own, [stop], policy, found)).history for name, own in found.events.items()]
    facts = [one for one in facts if one.purchase_days]
    model = fit_model((_summary(unpack(one), end) for one in facts), kind)
    spend = fit_spend(_spent(facts))
    values = [value for one in facts if (value := within(one, end).value) > 0]
    typical = policy.risk.typical_value_365d or (int(median(values)) if values else 0)
    check = _check([unpack(one) for one in facts], kind, end, horizon)
    if check is None:
        missing.append(f"no check: too few customers had come back {horizon} days before the end")
    weighing = _weighed(found, model.model, typical, end, policy)
    weighed = None if isinstance(weighing, str) else weighing
    if isinstance(weighing, str):
        missing.append(weighing)
    return Fitted(end, model, spend, typical, check, weighed, tuple(missing))


def unpack(facts: History) -> list[int]:
    """The programme days of purchases, sorted."""
    return [day - 1 for day in unpack_days(facts.purchase_days)]


def _summary(days: Sequence[int], end: int) -> tuple[int, float, float]:
    """(x, recency, age) in weeks, as the fold has them."""
    return len(days) - 1, (days[-1] - days[0]) / 7, (end - days[0]) / 7


def _spent(facts: Iterable[History]) -> list[tuple[int, float]]:
    counted = [(len(one.purchase_days) // 2, one.lifetime_margin) for one in facts]
    return [(n, margin / n) for n, margin in counted if n > 1]


# ---- the model against what came


def _check(bought: list[list[int]], kind: str, end: int, horizon: int) -> Check | None:
    cut = end - horizon
    before = [[day for day in days if day <= cut] for days in bought]
    known = [(own, days) for own, days in zip(before, bought, strict=True) if own]
    if sum(len(own) > 1 for own, _ in known) < LEAST_BACK:
        return None
    summaries = [_summary(own, cut) for own, _ in known]
    model = fit_model(summaries, kind).model
    weeks = horizon / 7
    expected = sum(expected_purchases(*one, weeks, model) for one in summaries)
    none = [chances(*one, weeks, model)[1] for one in summaries]
    later = [len(days) - len(own) for own, days in known]
    left = [not count for count in later]
    return Check(model, len(known), expected, sum(later), auc(none, left), calibration(none, left))


def auc(scores: Iterable[float], outcomes: Iterable[bool]) -> float:
    """The chance that one who left has the higher score than one who did not; ties count half. nan without both."""
    from scipy.stats import rankdata

    found, left = np.asarray(list(scores)), np.asarray(list(outcomes), dtype=bool)
    gone, here = int(left.sum()), int((~left).sum())
    if not gone or not here:
        return float("nan")
    return float((rankdata(found)[left].sum() - gone * (gone + 1) / 2) / (gone * here))


def average_precision(scores: Iterable[float], outcomes: Iterable[bool]) -> float:
    """Mean, over those who left, of the share of leavers among all with at least their score. nan without any."""
    found, left = np.asarray(list(scores)), np.asarray(list(outcomes), dtype=bool)
    if not left.any():
        return float("nan")
    order = np.argsort(-found, kind="stable")
    ranked, hit = found[order], left[order]
    last = np.searchsorted(-ranked, -ranked, side="right")  # those of one score come together
    return float((np.cumsum(hit)[last - 1] / last)[hit].mean())


# ---- weights


def _weighed(found: Histories, model: Model, typical: int, end: int, policy: Policy) -> Weighed | str:
    horizon = policy.risk.horizon_days
    policy = replace(policy, model=model, risk=replace(policy.risk, typical_value_365d=typical))
    cases = list(review_cases(found, end, policy))
    days = sorted({case.day for case in cases})
    first_later = next((day for day in days[len(days) - max(1, len(days) // 3) :]), None)
    if first_later is None:
        return "no weights: the history is too short for a review whose outcome is known"
    earlier = [case for case in cases if case.day + horizon <= first_later]
    later = [case for case in cases if case.day >= first_later]
    if min(_both(earlier), _both(later)) < LEAST_BACK // 5:
        return (
            f"no weights: too little to learn from in {len(days)} reviews, {REVIEW_DAYS} days apart: "
            f"{sum(case.left for case in cases)} of {len(cases)} cases left"
        )
    known = replace(policy, model=_model_at(found, model.kind, first_later, policy))
    learned = _fit([_under(case, known) for case in earlier], policy)
    seen = [_under(case, known) for case in later]
    scores = scored(seen, learned)
    left = [case.left for case in seen]
    final = _fit(cases, policy)
    watch, at_risk, caught = _levels(cases, final)
    silent = tuple(name for place, name in enumerate(Signals._fields) if not any(case.signals[place] for case in cases))
    return Weighed(
        policy, final, learned, len(later), sum(left), auc(scores, left), average_precision(scores, left),
        calibration(scores, left), silent, watch, at_risk, caught,
    )  # fmt: skip


def review_cases(found: Histories, end: int, policy: Policy) -> Iterable[Case]:
    """Customers as they were on each of the last days that lie a review apart and whose outcome `end` knows.

    Those with a habit that can be lost: three purchase days, and not silent beyond the horizon already.
    """
    horizon, day_of = policy.risk.horizon_days, policy.calendar.day_of
    first = min((day_of(own[0].occurred_at) for own in found.events.values() if own), default=end)
    days = [end - horizon - REVIEW_DAYS * back for back in range(REVIEWS_MAX)]
    days = [day for day in reversed(days) if day >= first + RECENT_DAYS]
    if not days:
        return
    stops = [policy.calendar.midnight(day + 1) for day in (*days, end)]
    for name, own in found.events.items():
        *then, last = folded(name, own, stops, policy, found)
        bought = unpack(last.history)
        for day, customer in zip(days, then, strict=True):
            who = rhythm(customer.history.purchase_days)
            if who is None or who.x + 1 < LEAST_PURCHASE_DAYS or day - who.last > horizon:
                continue
            facts = within(customer.history, day)
            driven = by_silence(who, policy)(day)
            given = signals(facts, who, recent(facts, day, RECENT_DAYS), day, driven, policy)
            yield Case(name, day, who, given, not any(day < then <= day + horizon for then in bought))


def _both(cases: Sequence[Case]) -> int:
    """How many left, or did not: the fewer of the two."""
    left = sum(case.left for case in cases)
    return min(left, len(cases) - left)


def _model_at(found: Histories, kind: str, day: int, policy: Policy) -> Model:
    stop = policy.calendar.midnight(day + 1)
    days = (unpack(next(folded(name, own, [stop], policy, found)).history) for name, own in found.events.items())
    return fit_model((_summary(own, day) for own in days if own), kind).model


def _under(case: Case, policy: Policy) -> Case:
    """The case with the chance that another model gives."""
    no_purchase = by_silence(case.who, policy)(case.day)[2]
    return case._replace(signals=case.signals._replace(no_purchase=no_purchase))


def _fit(cases: Sequence[Case], policy: Policy) -> WeightsFit:
    names = Signals._fields
    return fit_weights(
        [case.signals for case in cases],
        [case.left for case in cases],
        [name not in FREE and name not in GOOD for name in names],
        RIDGE,
        towards=policy.weights,
        nonpositive=[name in GOOD for name in names],
        groups=[case.customer_id for case in cases],
    )


def scored(cases: Sequence[Case], fit: WeightsFit) -> list[float]:
    """The score of each case under the fitted weights."""
    return [
        score_of(fit.intercept + sum(map(mul, fit.weights, case.signals)))  # as `signals.logit`, of all at once
        for case in cases
    ]


def _levels(cases: Sequence[Case], fit: WeightsFit) -> tuple[float, float, tuple[float, float]]:
    """(watch, at_risk, (share of the leavers above each)): what a fifth and a tenth of the cases exceed."""
    scores = np.array(scored(cases, fit))
    left = np.array([case.left for case in cases])
    watch, at_risk = (round(float(np.quantile(scores, share)), 3) for share in (0.8, 0.9))
    watch = max(watch, 0.002)
    at_risk = max(at_risk, watch + 0.001)
    caught = tuple(float((scores[left] >= bound).mean()) for bound in (watch, at_risk))
    return watch, at_risk, (caught[0], caught[1])
