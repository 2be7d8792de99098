"""R1, V3: parameters by maximum likelihood, with standard errors and a verdict; and the score's weights (R2).

For `loyalty fit` and studies alone: numpy and scipy are imported here and nowhere on a worker's path.

Parameters are fitted as logarithms, so that all are positive; their standard errors come from the inverse Hessian of
the logarithms (delta method). A fit can be trusted if the optimiser ended inside the bounds, on level ground, from more
than one start, the Hessian there is positive definite, and there were enough customers who came back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import exp, isfinite, log, nan
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, psi

from processors.lifetime import Model, Spend

Array = NDArray[np.float64]

LEAST_CUSTOMERS: Final = 200
LEAST_BACK: Final = 50
"""Customers with a second purchase day: fewer say next to nothing of how rates differ."""
LOOSE: Final = 0.5
"""A standard error of a logarithm above this leaves the parameter open by a factor of 2.7 either way."""
_BOUND: Final = log(1e5)
_LEVEL: Final = 1e-5
"""The slope a case, by a logarithm, above which the optimiser has stopped short of the top."""
_SAME: Final = 0.1
"""Ends whose log likelihoods differ by less are one end: data cannot tell them apart."""


class Fit(NamedTuple):
    """model: fitted. errors: standard errors of r, alpha, a, b, nan where the likelihood is flat. customers: all;
    back: those with a second purchase day. verdict: in one sentence whether, and why, to trust it."""

    model: Model
    errors: tuple[float, float, float, float]
    log_likelihood: float
    customers: int
    back: int
    trusted: bool
    verdict: str


class SpendFit(NamedTuple):
    """spend: p, q, v, fitted; None: there is nothing to fit. correlation: of the number of purchase days with their
    mean, which the model takes to be none."""

    spend: Spend | None
    errors: tuple[float, float, float]
    log_likelihood: float
    customers: int
    correlation: float
    trusted: bool
    verdict: str


class Bin(NamedTuple):
    """A tenth of all cases, by what was predicted of them: means of the prediction and of what happened."""

    predicted: float
    happened: float
    cases: int


class WeightsFit(NamedTuple):
    """errors: standard errors, the intercept's first; nan where there is
    none: at a bound, and of a signal that is always 0. bins: calibration."""

    intercept: float
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    log_likelihood: float
    cases: int
    happened: int
    bins: tuple[Bin, ...]


# ---- BG/NBD, MBG/NBD


def fit_model(summaries: Iterable[tuple[int, float, float]], kind: str) -> Fit:
    """The model of `kind` ("mbg_nbd", "bg_nbd") most likely for (x, recency, age) of many customers, in weeks.

    Raises ValueError without customers.
    """
    counted = Counter(summaries)
    if not counted:
        raise ValueError("no customer has bought: there is nothing to fit")
    x, recency, age = (np.array(column, dtype=float) for column in zip(*counted, strict=True))
    count = np.array(list(counted.values()), dtype=float)

    def loss(logs: Array) -> tuple[float, Array]:
        value, slope = _likelihood(np.exp(logs), x, recency, age, kind == "mbg_nbd")
        return -float(count @ value), -(slope @ count) * np.exp(logs)

    week = float(count @ age / count.sum())
    starts = [[0.5, week / 4, 0.5, 2.0], [1.0, week, 0.1, 10.0], [1.0, 1.0, 1.0, 1.0]]
    found = _least(loss, starts, count.sum())
    r, alpha, a, b = (float(value) for value in np.exp(found.x))
    customers, back = int(count.sum()), int(count[x > 0].sum())
    logs = _errors_of_logs(lambda at: loss(at)[1], found.x)
    trusted, verdict = _verdict(("r", "alpha", "a", "b"), found, logs, customers, back)
    errors = logs * np.exp(found.x)
    model = Model(kind, r, alpha, a, b)
    return Fit(model, tuple(errors.tolist()), -float(found.fun), customers, back, trusted, verdict)


def _likelihood(parameters: Array, x: Array, recency: Array, age: Array, mbg: bool) -> tuple[Array, Array]:
    """(log likelihood, its slope by r, alpha, a, b as four rows) of each customer."""
    r, alpha, a, b = parameters
    shape, stays, leaves = r + x, b + x + mbg, b + x - (not mbg)
    with np.errstate(all="ignore"):
        alive = betaln(a, stays) - shape * np.log(alpha + age)
        gone = betaln(a + 1.0, leaves) - shape * np.log(alpha + recency)
        if not mbg:
            gone = np.where(x > 0, gone, -np.inf)
        both = np.logaddexp(alive, gone)
        here = np.exp(alive - both)
        left = np.where(here < 1.0, 1.0 - here, 0.0)
        base = gammaln(shape) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
        known, held = psi(a + b), psi(a + stays)
        lost = np.where(left > 0.0, left * psi(leaves), 0.0)
        slope = np.array(
            [
                psi(shape) - psi(r) + np.log(alpha) - here * np.log(alpha + age) - left * np.log(alpha + recency),
                r / alpha - here * shape / (alpha + age) - left * shape / (alpha + recency),
                here * psi(a) + left * psi(a + 1.0) - held - psi(a) + known,
                here * psi(stays) + lost - held - psi(b) + known,
            ]
        )
    return base + both, slope


def _least(loss: Callable[[Array], tuple[float, Array]], starts: list[list[float]], scale: float) -> Any:
    """The best end of several starts, as scipy's result; `loss` is of logarithms. scale: so many cases.

    Besides, `level`: the optimiser did not stop on a slope; `agree`, of `tried`: so many starts ended as high.
    """

    def scaled(logs: Array) -> tuple[float, Array]:
        value, slope = loss(logs)
        return value / scale, slope / scale

    ends = []
    for start in starts:
        begin = np.clip(np.log(start), -_BOUND, _BOUND)
        options = {"maxiter": 2_000, "ftol": 1e-14, "gtol": 1e-9}
        bounds = [(-_BOUND, _BOUND)] * len(start)
        ends.append(minimize(scaled, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options))
    best = min((end for end in ends if isfinite(end.fun)), key=lambda end: float(end.fun))
    best.level = bool(np.abs(best.jac).max() < _LEVEL)
    best.agree = sum((float(end.fun) - float(best.fun)) * scale < _SAME for end in ends if isfinite(end.fun))
    best.tried = len(starts)
    best.fun = float(best.fun) * scale
    return best


def _errors_of_logs(slope: Callable[[Array], Array], at: Array) -> Array:
    """Standard errors from the inverse of the Hessian of -log likelihood, nan where it is not positive definite."""
    step, size = 1e-4, len(at)
    hessian = np.empty((size, size))
    for place in range(size):
        more = np.zeros(size)
        more[place] = step
        hessian[place] = (slope(at + more) - slope(at - more)) / (2 * step)
    hessian = (hessian + hessian.T) / 2
    if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian)[0] <= 0.0:
        return np.full(size, nan)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(hessian))))


def _verdict(names: Sequence[str], found: Any, errors: Array, customers: int, back: int) -> tuple[bool, str]:
    """(whether the fit can be trusted, a sentence that says why)."""
    if customers < LEAST_CUSTOMERS or back < LEAST_BACK:
        return False, (
            f"not to be trusted: {customers} customers, {back} of whom came back; "
            f"at least {LEAST_CUSTOMERS} and {LEAST_BACK} are needed"
        )
    ends = [name for name, value in zip(names, found.x, strict=True) if abs(value) > _BOUND - 0.1]
    if ends:
        return False, f"not to be trusted: {', '.join(ends)} ran to the end of the range, so the data do not hold it"
    if not found.level:
        return False, f"not to be trusted: the optimiser stopped short of the top ({found.message})"
    if found.agree < 2:
        return False, f"not to be trusted: of {found.tried} starts one alone ended here, so another end may be higher"
    if not np.isfinite(errors).all():
        return False, "not to be trusted: the likelihood is flat, so that other parameters would do as well"
    loose = [name for name, error in zip(names, errors, strict=True) if error > LOOSE]
    if loose:
        return True, (
            f"to be used with care: {' and '.join(loose)} can be told within a factor of "
            f"{exp(max(errors)):.1f} only; what they predict together is surer than each alone"
        )
    return True, f"can be trusted: {customers} customers, {back} of whom came back, and no parameter is loose"


# ---- Gamma-Gamma


def fit_spend(spent: Iterable[tuple[int, float]]) -> SpendFit:
    """Gamma-Gamma for (number of purchase days, mean amount of one) of customers who came back.

    A mean of 0 or less has no place in the model and is left out; so is who has no day.
    """
    rows = [(n, mean) for n, mean in spent if n > 0 and mean > 0.0]
    if len(rows) < 3:
        words = f"not fitted: {len(rows)} customers who came back, with a gain"
        return SpendFit(None, (nan, nan, nan), nan, len(rows), nan, False, words)
    n, mean = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    unit = float(np.mean(mean))
    scaled = mean / unit

    def loss(logs: Array) -> tuple[float, Array]:
        value, slope = _spend_likelihood(np.exp(logs), n, scaled)
        return -float(value.sum()), -slope.sum(axis=1) * np.exp(logs)

    found = _least(loss, [[5.0, 4.0, 0.5], [1.0, 3.0, 2.0], [20.0, 2.0, 0.1]], len(rows))
    p, q, v = (float(value) for value in np.exp(found.x))
    logs = _errors_of_logs(lambda at: loss(at)[1], found.x)
    trusted, verdict = _verdict(("p", "q", "v"), found, logs, len(rows), len(rows))
    correlation = float(np.corrcoef(n, mean)[0, 1]) if np.ptp(n) > 0 and np.ptp(mean) > 0 else 0.0
    if q <= 1.0:
        trusted, verdict = False, f"not to be trusted: q is {q:.3g}, and not above 1 there is no mean"
    elif trusted and abs(correlation) > 0.3:
        verdict = f"to be used with care: who comes often spends otherwise (correlation {correlation:+.2f})"
    errors = logs * np.exp(found.x) * np.array([1.0, 1.0, unit])
    spend = Spend(p, q, v * unit) if q > 1.0 else None
    value = -float(found.fun) - len(rows) * log(unit)
    return SpendFit(spend, tuple(errors.tolist()), value, len(rows), correlation, trusted, verdict)


def _spend_likelihood(parameters: Array, n: Array, mean: Array) -> tuple[Array, Array]:
    """(log likelihood, its slope by p, q, v as three rows) of each customer."""
    p, q, v = parameters
    shape, scale = p * n, v + n * mean
    value = (
        gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
        + (shape - 1.0) * np.log(mean) + shape * np.log(n) - (shape + q) * np.log(scale)
    )  # fmt: skip
    both = psi(shape + q)
    slope = np.array(
        [
            n * (both - psi(shape) + np.log(mean) + np.log(n) - np.log(scale)),
            both - psi(q) + np.log(v) - np.log(scale),
            q / v - (shape + q) / scale,
        ]
    )
    return value, slope


# ---- weights


def fit_weights(
    signals: Any,
    outcomes: Any,
    nonnegative: Sequence[bool],
    ridge: float = 1.0,
    *,
    towards: Sequence[float] | None = None,
    nonpositive: Sequence[bool] | None = None,
    groups: Any = None,
) -> WeightsFit:
    """Logistic regression of `outcomes` (0 or 1) on `signals` (a row a case, a column a signal).

    nonnegative, nonpositive: columns whose weight may not be below, above 0. ridge: penalty on half the squared
    distance from `towards` (0 unless given), so that a signal that never speaks keeps that weight; the intercept is
    free. groups: who a case is of; cases of one customer are then not taken for independent in the standard errors.
    """
    table, happened = np.asarray(signals, dtype=float), np.asarray(outcomes, dtype=float)
    cases, columns = table.shape
    if not 0.0 < happened.sum() < cases:
        raise ValueError(f"{int(happened.sum())} of {cases} cases left: weights need some who did and some who did not")
    aim = np.zeros(columns) if towards is None else np.asarray(towards, dtype=float)
    full = np.hstack([np.ones((cases, 1)), table])
    low = [0.0 if yes else -np.inf for yes in nonnegative]
    high = [0.0 if yes else np.inf for yes in nonpositive or [False] * columns]

    def loss(weights: Array) -> tuple[float, Array]:
        total, away = full @ weights, weights[1:] - aim
        value = float(np.logaddexp(0.0, total).sum() - happened @ total) + ridge / 2 * float(away @ away)
        slope = full.T @ (expit(total) - happened)
        slope[1:] += ridge * away
        return value / cases, slope / cases

    start = np.concatenate([[0.0], np.clip(aim, low, high)])
    bounds = [(-np.inf, np.inf), *zip(low, high, strict=True)]
    options = {"maxiter": 5_000, "ftol": 1e-14, "gtol": 1e-9}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    chance = expit(full @ found.x)
    at_bound = [False, *(w == 0.0 in (lo, hi) for w, lo, hi in zip(found.x[1:], low, high, strict=True))]
    errors = _weight_errors(full, happened - chance, chance * (1 - chance), ridge, np.array(at_bound), groups)
    value = float(np.log(np.where(happened > 0.5, chance, 1 - chance).clip(1e-300)).sum())
    return WeightsFit(
        float(found.x[0]),
        tuple(found.x[1:].tolist()),
        tuple(errors.tolist()),
        value,
        cases,
        int(happened.sum()),
        calibration(chance, happened),
    )


def _weight_errors(
    full: Array, residual: Array, spread: Array, ridge: float, at_bound: NDArray[np.bool_], groups: Any
) -> Array:
    free = ~at_bound & full.any(axis=0)
    part = full[:, free]
    hessian = part.T @ (part * spread[:, None])
    hessian[1:, 1:] += ridge * np.eye(hessian.shape[0] - 1)
    cover = np.linalg.pinv(hessian)
    if groups is not None:
        _, place = np.unique(np.asarray(groups), return_inverse=True)
        scores = np.zeros((place.max() + 1, part.shape[1]))
        np.add.at(scores, place, part * residual[:, None])
        cover = cover @ (scores.T @ scores) @ cover
    errors = np.full(full.shape[1], nan)
    errors[free] = np.sqrt(np.diag(cover).clip(0.0))
    return errors


def calibration(predicted: Any, outcomes: Any, bins: int = 10) -> tuple[Bin, ...]:
    """Cases in `bins` parts of equal size by what was predicted: the mean of it, and of what happened."""
    chance, happened = np.asarray(predicted, dtype=float), np.asarray(outcomes, dtype=float)
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return tuple(Bin(float(chance[part].mean()), float(happened[part].mean()), len(part)) for part in parts)
