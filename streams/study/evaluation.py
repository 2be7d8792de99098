"""R5, R6: what the risk score is worth on a history: beside other scores, month by month, and for fading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace
from scipy.special import expit, logit

from processors.days import Calendar
from processors.fitting import Bin, WeightsFit, calibration, fit_weights
from processors.policy import Policy
from processors.sections import Weights
from processors.signals import Signals
from streams.replay import Histories
from streams.study import rivals
from streams.study.fit import FREE, GOOD, RIDGE
from streams.study.measures import (
    MEASURES,
    TOP,
    Array,
    Measured,
    Outcomes,
    draws,
    early,
    measured,
    numbered,
    recalibration,
    share_of,
    top,
    within,
)
from streams.study.reviews import (
    REVENUE_DAYS,
    Case,
    Protocol,
    Silence,
    cases_of,
    protocol_of,
    silences,
    trained,
)
from streams.study.told import AsTold, as_told

ALERTED: Final = 0.2
"""The share of the reviews learned from that lies above each score's threshold: as `loyalty fit` sets `watch`."""
FITTED: Final = "score, fitted on the past"
TREES: Final = "boosted trees"
OWN: Final = "score, this policy's weights"
DEFAULT: Final = "score, default weights"
CHANCE: Final = "model's chance of no purchase"
_A_MONTH: Final = 31

Score = Callable[[Sequence[Case]], Array]


class Row(NamedTuple):
    """measures: by name, as in `MEASURES`. found: share of those fallen silent who had been above the threshold before
    the horizon was over; lead: how many days before its end on the mean. alerted: share of the test's reviews above."""

    name: str
    measures: Mapping[str, Measured]
    found: Measured
    lead: Measured
    alerted: float


class Month(NamedTuple):
    """The fitted score's mean over a month's reviews, the share that left, and the mean after recalibration on what was
    known by then (None: nothing was). role: train, between or test. log_loss: of the score, before and after."""

    day: str
    role: str
    cases: int
    predicted: float
    happened: float
    mended: float | None
    log_loss: float
    log_loss_mended: float | None


class Fading(NamedTuple):
    """share: of all decline in spend, the part that lies with the tenth ranked highest by `name`."""

    name: str
    share: Measured


class Evaluation(NamedTuple):
    """customers, left: of the test. gain: AUC of the fitted score over the model's chance, on the same draws.
    other_cover: of the fitted score, by other meanings of what was lost. decline_of_leavers: share of all decline that
    lies with those who left. told: alerts as a worker would have told them, by whose weights and thresholds."""

    protocol: Protocol
    policy: Policy
    weights: WeightsFit
    cases: tuple[int, int]
    customers: tuple[int, int]
    left: tuple[int, int]
    silences: int
    rows: tuple[Row, ...]
    gain: Measured
    other_cover: Mapping[str, float]
    months: tuple[Month, ...]
    bins: tuple[Bin, ...]
    fading: tuple[Fading, ...]
    decline_of_leavers: float
    told: Mapping[str, AsTold]


def evaluate(found: Histories, policy: Policy, step: Callable[[str], None] = lambda _: None) -> Evaluation:
    """The whole of it. step: told what is being done. Raises LoyaltyError where the history is too short."""
    protocol = protocol_of(found, policy)
    step("fold the history up to each review")
    known = trained(found, protocol, policy)
    cases = cases_of(found, protocol, known)
    train, test = _on(cases, protocol.train), _on(cases, protocol.test)
    step("fit the weights and the trees on the past")
    weights = fitted_weights(train)
    scores = scores_of(train, weights, known, policy)
    step("follow those who fell silent, day by day")
    days = range(protocol.test[0], protocol.test[-1] + _A_MONTH)
    gone = silences(found, days, protocol.end, known)
    step("draw customers anew, a thousand times")
    table = {name: score(test) for name, score in scores.items()}
    of = outcomes(test)
    sure = measured(table, of)
    rows = tuple(_row(name, score, train, test, gone, sure[name]) for name, score in scores.items())
    step("tell alerts as a worker would")
    policies = {FITTED: as_fitted(known, weights, scores[FITTED](train)), OWN: policy}
    return Evaluation(
        protocol,
        known,
        weights,
        (len(train), len(test)),
        (_people(train), _people(test)),
        (sum(case.left for case in train), sum(case.left for case in test)),
        len(gone),
        rows,
        _gain(table[FITTED], table[CHANCE], of),
        _other_cover(table[FITTED], test),
        months_of(cases, scores[FITTED], protocol),
        calibration(table[FITTED], of.left),
        fading_of(test, table[FITTED]),
        share_of(of.left, declines(test)),
        {name: as_told(found, one, protocol, gone, test) for name, one in policies.items()},
    )


def _on(cases: Sequence[Case], days: Sequence[int]) -> list[Case]:
    wanted = frozenset(days)
    return [case for case in cases if case.day in wanted]


def _people(cases: Sequence[Case]) -> int:
    return len({case.customer_id for case in cases})


# ---- scores


def fitted_weights(train: Sequence[Case]) -> WeightsFit:
    """The score's weights from these reviews alone, bounded as `loyalty fit` bounds them, drawn to 0."""
    names = Signals._fields
    return fit_weights(
        [case.signals for case in train],
        [case.left for case in train],
        [name not in FREE and name not in GOOD for name in names],
        RIDGE,
        nonpositive=[name in GOOD for name in names],
        groups=[case.customer_id for case in train],
    )


def scores_of(train: Sequence[Case], weights: WeightsFit, known: Policy, policy: Policy) -> dict[str, Score]:
    """Every score by name; each learned, if at all, from `train`. known: `policy` with what the past says."""
    default, own = Weights(), policy.risk.weights
    scores: dict[str, Score] = {
        "silence": rivals.silence,
        "silence over own rhythm": rivals.silence_in_gaps,
        "1 - p_alive": lambda cases: rivals.gone(cases, known),
        CHANCE: lambda cases: rivals.no_purchase(cases, known),
        TREES: rivals.Trees(train, np.array([case.left for case in train]), known).score,
        DEFAULT: _logistic(default.intercept, _listed(default)),
    }
    if own != default:
        scores[OWN] = _logistic(own.intercept, _listed(own))
    return scores | {FITTED: _logistic(weights.intercept, weights.weights)}


def as_fitted(known: Policy, weights: WeightsFit, learned: Array) -> Policy:
    """`known` with the fitted weights, and the levels at the scores that a fifth and a tenth of the reviews learned
    from exceed; a level is left a third below `watch`."""
    watch, at_risk = (float(np.quantile(learned, 1.0 - share)) for share in (ALERTED, ALERTED / 2))
    own = Weights(intercept=weights.intercept, **dict(zip(Signals._fields, weights.weights, strict=True)))
    levels = replace(known.risk, weights=own, watch=watch, at_risk=at_risk, ease=watch / 3)
    return replace(known, risk=levels, weights=weights.weights)


def _listed(weights: Weights) -> tuple[float, ...]:
    return tuple(float(getattr(weights, name)) for name in Signals._fields)


def _logistic(intercept: float, weights: Sequence[float]) -> Score:
    def score(cases: Sequence[Case]) -> Array:
        given = np.array([case.signals for case in cases])
        return np.asarray(expit(intercept + given @ np.array(weights)))

    return score


def outcomes(cases: Sequence[Case]) -> Outcomes:
    """What became of them. Lost: what a leaver bought less than usual on the next 90 days."""
    left = np.array([case.left for case in cases])
    return Outcomes(
        numbered([case.customer_id for case in cases]),
        left,
        np.array([case.usual for case in cases]),
        np.where(left, declines(cases), 0.0),
    )


def declines(cases: Sequence[Case]) -> Array:
    """How much less than usual each bought on the next 90 days; 0 of who bought more."""
    usual, later = np.array([case.usual for case in cases]), np.array([case.next for case in cases])
    return np.asarray(np.maximum(usual * REVENUE_DAYS - later, 0.0))


# ---- how early


def _row(
    name: str, score: Score, train: Sequence[Case], test: Sequence[Case], gone: Sequence[Silence],
    measures: Mapping[str, Measured],
) -> Row:  # fmt: skip
    bound = float(np.quantile(score(train), 1.0 - ALERTED))
    leads = np.array([_lead(score, one, bound) for one in gone], dtype=float)
    found, lead = early(leads, [one.customer_id for one in gone])
    return Row(name, measures, found, lead, float((score(test) >= bound).mean()))


def _lead(score: Score, one: Silence, bound: float) -> float:
    """Days from the first midnight above `bound` to the end of the horizon; nan: there was none before it."""
    above = score(one.cases) >= bound
    return float(len(one.cases) - int(above.argmax())) if above.any() else np.nan


def _gain(one: Array, other: Array, of: Outcomes) -> Measured:
    auc = MEASURES["auc"]
    drawn = []
    for rows in draws(of.customer):
        sample = of.drawn(rows)
        drawn.append(auc(one[rows], sample) - auc(other[rows], sample))
    return within(auc(one, of) - auc(other, of), drawn)


def _other_cover(score: Array, test: Sequence[Case]) -> dict[str, float]:
    """The cover of the fitted score where "past rate" and "lost" are taken otherwise."""
    left, later = np.array([case.left for case in test]), np.array([case.next for case in test])
    made = {}
    for words, rate in (
        ("the year's rate", np.array([case.usual for case in test])),
        ("the last 90 days' rate", np.array([case.lately for case in test])),
    ):
        for what, lost in (
            ("all of it", rate * REVENUE_DAYS),
            ("less what they still bought", rate * REVENUE_DAYS - later),
        ):
            made[f"{words}, {what}"] = share_of(top(score * rate), np.where(left, np.maximum(lost, 0.0), 0.0))
    return made


# ---- drift


def months_of(cases: Sequence[Case], score: Score, protocol: Protocol) -> tuple[Month, ...]:
    """Predicted against happened. Mended: intercept and slope fitted to the reviews whose outcome was known on that day
    and that the weights have not been learned from, or, while there are none, to the last one of those."""
    made = []
    for day in protocol.days:
        own = _on(cases, [day])
        if not own:
            continue
        chance, left = score(own), np.array([case.left for case in own])
        role = "train" if day in protocol.train else "test" if day in protocol.test else "between"
        mended = None
        if role == "test":
            mended = expit(_mended(logit(chance), _known(cases, day, protocol), score))
        made.append(
            Month(
                Calendar.iso_day(day), role, len(own), float(chance.mean()), float(left.mean()),
                None if mended is None else float(mended.mean()), _log_loss(chance, left),
                None if mended is None else _log_loss(mended, left),
            )
        )  # fmt: skip
    return tuple(made)


def _known(cases: Sequence[Case], day: int, protocol: Protocol) -> list[Case]:
    known = [one for one in protocol.days if one + protocol.horizon <= day]
    later = [one for one in known if one not in protocol.train]
    return _on(cases, later or known[-1:])


def _mended(logits: Array, known: Sequence[Case], score: Score) -> Array:
    intercept, slope = recalibration(logit(score(known)), np.array([case.left for case in known]))
    return np.asarray(intercept + slope * logits)


def _log_loss(chance: Array, left: Array) -> float:
    return -float(np.log(np.where(left, chance, 1.0 - chance).clip(1e-12)).mean())


# ---- fading


def fading_of(test: Sequence[Case], score: Array) -> tuple[Fading, ...]:
    """R6: how much of all decline in spend each ranking's top tenth holds."""
    usual, decline = np.array([case.usual for case in test]), declines(test)
    trend = np.array([case.signals.spend_trend for case in test])
    ranked = {
        "spend_trend x usual rate": trend * usual,
        "score x usual rate": score * usual,
        "usual rate alone": usual,
        "spend_trend alone": trend,
        "the decline itself (best possible)": decline,
    }
    customers = numbered([case.customer_id for case in test])
    drawn: dict[str, list[float]] = {name: [] for name in ranked}
    for rows in draws(customers):
        for name, own in ranked.items():
            drawn[name].append(share_of(top(own[rows]), decline[rows]))
    made = [Fading(name, within(share_of(top(own), decline), drawn[name])) for name, own in ranked.items()]
    return (*made, Fading("anyone (chance)", Measured(TOP, TOP, TOP)))
