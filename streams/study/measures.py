"""R5: how well a score tells who leaves, in numbers, and how sure they are: the bootstrap draws customers, not rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from streams.study.fit import auc, average_precision

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

TOP: Final = 0.1
DRAWS: Final = 1_000
SEED: Final = 417
INSIDE: Final = (2.5, 97.5)


class Outcomes(NamedTuple):
    """A row a case. customer: numbered from 0. rate: the amount a day that ranks beside the score.
    lost: what the customer's leaving lost of the next 90 days' revenue, 0 of who stayed."""

    customer: NDArray[np.int64]
    left: Flags
    rate: Array
    lost: Array

    def drawn(self, rows: NDArray[np.int64]) -> Outcomes:
        return Outcomes(self.customer[rows], self.left[rows], self.rate[rows], self.lost[rows])


def top(scores: Array, share: float = TOP) -> Array:
    """1 for each case of the `share` with the highest scores, 0 for others; those of one score divide the places left
    among them, so that no order of the rows matters."""
    places = round(share * len(scores))
    made = np.zeros(len(scores))
    if not places:
        return made
    bound = np.partition(scores, -places)[-places]
    above, at = scores > bound, scores == bound
    made[above] = 1.0
    made[at] = (places - above.sum()) / at.sum()
    return made


def recall_at_top(scores: Array, left: Flags) -> float:
    """The share of those who left that the top tenth holds."""
    return share_of(top(scores), left)


def precision_at_top(scores: Array, left: Flags) -> float:
    """The share of the top tenth that left."""
    taken = top(scores)
    return share_of(left, taken)


def cover(scores: Array, of: Outcomes) -> float:
    """The share of the lost revenue that the tenth with the highest score x usual rate holds."""
    return share_of(top(scores * of.rate), of.lost)


def share_of(part: Any, whole: Any) -> float:
    """How much of `whole` lies in `part` (0 to 1 a row); nan of nothing."""
    total = float(np.sum(whole))
    return float(np.dot(np.asarray(part, dtype=float), np.asarray(whole, dtype=float)) / total) if total else np.nan


MEASURES: Final[Mapping[str, Callable[[Array, Outcomes], float]]] = {
    "auc": lambda scores, of: auc(scores, of.left),
    "average_precision": lambda scores, of: average_precision(scores, of.left),
    "recall": lambda scores, of: recall_at_top(scores, of.left),
    "precision": lambda scores, of: precision_at_top(scores, of.left),
    "cover": cover,
}


class Measured(NamedTuple):
    """low, high: between them lie 95% of the draws."""

    value: float
    low: float
    high: float


def measured(scores: Mapping[str, Array], of: Outcomes) -> dict[str, dict[str, Measured]]:
    """Every measure of every score, by names."""
    drawn = {name: {measure: np.empty(DRAWS) for measure in MEASURES} for name in scores}
    for number, rows in enumerate(draws(of.customer)):
        sample = of.drawn(rows)
        for name, own in scores.items():
            taken = own[rows]
            for measure, work in MEASURES.items():
                drawn[name][measure][number] = work(taken, sample)
    return {
        name: {measure: within(work(own, of), drawn[name][measure]) for measure, work in MEASURES.items()}
        for name, own in scores.items()
    }


def within(value: float, drawn: Any) -> Measured:
    """`value` with the bounds of what was drawn."""
    known = np.asarray(drawn)[np.isfinite(drawn)]
    low, high = np.percentile(known, INSIDE) if len(known) else (np.nan, np.nan)
    return Measured(float(value), float(low), float(high))


def draws(customer: NDArray[np.int64], times: int = DRAWS) -> Any:
    """Rows of as many customers as there are, drawn with replacement, each with all of their rows; seeded."""
    chance = np.random.default_rng(SEED)
    customers, rows = int(customer.max()) + 1, np.arange(len(customer))
    for _ in range(times):
        count = np.bincount(chance.integers(0, customers, customers), minlength=customers)
        yield np.repeat(rows, count[customer])


def numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """Customers as numbers from 0, in the order of their names."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


# ---- drift


def recalibration(logits: Array, left: Flags) -> tuple[float, float]:
    """(intercept, slope >= 0) that make the logits fit what happened; the slope is drawn to 1, as outcomes are few."""
    happened = left.astype(float)

    def loss(at: Array) -> tuple[float, Array]:
        total = at[0] + at[1] * logits
        away = expit(total) - happened
        value = float(np.logaddexp(0.0, total).sum() - happened @ total + 5.0 * (at[1] - 1.0) ** 2)
        return value, np.array([away.sum(), away @ logits + 10.0 * (at[1] - 1.0)])

    found = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(None, None), (0.0, None)])
    return float(found.x[0]), float(found.x[1])


# ---- how early


def early(leads: Array, names: Sequence[str]) -> tuple[Measured, Measured]:
    """(share found, mean lead of those found), of leads in days by customer, nan where nobody was alerted."""
    if not len(leads):
        none = Measured(np.nan, np.nan, np.nan)
        return none, none
    drawn = [leads[rows] for rows in draws(numbered(names))]
    found = within(_share_found(leads), [_share_found(one) for one in drawn])
    return found, within(_mean_lead(leads), [_mean_lead(one) for one in drawn])


def _share_found(leads: Array) -> float:
    return float(np.isfinite(leads).mean()) if len(leads) else np.nan


def _mean_lead(leads: Array) -> float:
    known = leads[np.isfinite(leads)]
    return float(known.mean()) if len(known) else np.nan
