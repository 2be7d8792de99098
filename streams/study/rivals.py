"""R5: what the score is measured against: silence, the model alone, and boosted trees on all that a fold knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from processors.history import days_of, unpack_days
from processors.lifetime import chances, expected_purchases
from processors.policy import Policy
from processors.signals import Signals
from streams.study.measures import Array, Flags
from streams.study.reviews import Case

_SEED: Final = 417


def silence(cases: Sequence[Case]) -> Array:
    """Days since the last purchase."""
    return np.array([case.day - case.who.last for case in cases], dtype=float)


def silence_in_gaps(cases: Sequence[Case]) -> Array:
    """Silence over the customer's own rhythm."""
    return np.asarray(silence(cases) / np.array([case.who.gap for case in cases], dtype=float))


def gone(cases: Sequence[Case], policy: Policy) -> Array:
    """1 - `p_alive`."""
    return np.array([1.0 - _chances(case, policy)[0] for case in cases])


def no_purchase(cases: Sequence[Case], policy: Policy) -> Array:
    """The model's chance of no purchase within the horizon."""
    return np.array([_chances(case, policy)[1] for case in cases])


def _summary(case: Case) -> tuple[int, float, float]:
    who = case.who
    return who.x, (who.last - who.first) / 7, (case.day - who.first) / 7


def _chances(case: Case, policy: Policy) -> tuple[float, float]:
    return chances(*_summary(case), policy.risk.horizon_days / 7, policy.model)


class Trees:
    """Boosted trees, small and shrunk: what can be had from these facts without being explainable.

    Their size is the best of six by cross-validation among the customers of the grocer's reviews learned from.
    """

    def __init__(self, cases: Sequence[Case], left: Flags, policy: Policy) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._policy = policy
        self._trees = HistGradientBoostingClassifier(
            max_depth=3, learning_rate=0.05, max_iter=60, min_samples_leaf=100, l2_regularization=5.0,
            early_stopping=False, random_state=_SEED,
        )  # fmt: skip
        self._trees.fit(features(cases, policy), left)

    def score(self, cases: Sequence[Case]) -> Array:
        return np.asarray(self._trees.predict_proba(features(cases, self._policy))[:, 1])


def features(cases: Sequence[Case], policy: Policy) -> Array:
    """A row a case, some thirty columns."""
    return np.array([_features(case, policy) for case in cases])


def _features(case: Case, policy: Policy) -> list[float]:
    facts, who, day = case.facts, case.who, case.day
    alive, none = _chances(case, policy)
    bought = np.array(unpack_days(facts.purchase_days), dtype=float)
    gaps = np.diff(bought)
    silent = day - who.last
    sums = [(one.day, one.value, one.sales) for one in days_of(facts)]
    spans = [
        float(sum(row[column] for row in sums if row[0] >= day - span)) for span in (30, 60, 90) for column in (1, 2)
    ]
    sales = max(facts.sales, 1)
    spoken = [value for name, value in zip(Signals._fields, case.signals, strict=True) if name in _SPOKEN]
    return [
        *spoken, alive, none, expected_purchases(*_summary(case), policy.risk.horizon_days / 7, policy.model),
        float(silent), silent / who.gap if who.gap else 0.0, float(gaps.mean()), who.gap or 0.0, float(gaps[-1]),
        float(gaps[-3:].mean()), float(gaps.max()), float(gaps.std()), float((gaps < silent).mean()), float(who.x),
        float(day - who.first), float(facts.value), float(facts.sales), *spans, facts.value / sales,
        float(len(facts.categories)), len(facts.coupons) / 2 / sales, float(len(facts.touches)), case.usual,
        case.lately,
    ]  # fmt: skip


_SPOKEN: Final = frozenset(
    {"spend_trend", "visit_trend", "narrowing", "ignored_campaigns", "rare", "few_lately", "small_spend"}
)
