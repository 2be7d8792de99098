"""R1, V3: what a customer's purchase days let expect: BG/NBD, MBG/NBD and Gamma-Gamma in closed form, in log space.

A customer buys at a rate of their own (Gamma: r, alpha) and may leave for good after each purchase with a chance of
their own (Beta: a, b); in MBG/NBD after the first purchase, too. Of the history the models need x: purchase days after
the first, recency: from the first to the last, age: from the first to now; all times in weeks.

Sources: Fader, Hardie, Lee 2005, Marketing Science 24(2) (BG/NBD); Batislam, Denizel, Filiztekin 2007, International
Journal of Research in Marketing 24(3) (MBG/NBD); Fader, Hardie 2013, "The Gamma-Gamma Model of Monetary Value".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, expm1, inf, lgamma, log, log1p, sqrt
from typing import Final

from msgspec import Struct


class Model(Struct, frozen=True):
    """kind: "mbg_nbd" or "bg_nbd". r, alpha: shape and rate of how often customers buy a week; a, b: of leaving."""

    kind: str
    r: float
    alpha: float
    a: float
    b: float


class Spend(Struct, frozen=True):
    """Gamma-Gamma: p, q shapes, v scale, in the unit of the amounts; q > 1, or there is no mean."""

    p: float
    q: float
    v: float


def chances(x: int, recency: float, age: float, horizon: float, m: Model) -> tuple[float, float]:
    """(`p_alive`, `p_no_purchase`): the second is the chance of no purchase within `horizon` weeks from now.

    It never falls as `age` grows: whoever is still there has been silent for longer.

    >>> bg = Model("bg_nbd", r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> round(chances(2, 30.43, 38.86, 39.0, bg)[0], 4)
    0.7266
    """
    return chances_by_age(x, recency, m)(age, horizon)


def chances_by_age(x: int, recency: float, m: Model) -> Callable[[float, float], tuple[float, float]]:
    """`chances` of one customer as time passes: of (age, horizon) in weeks, what does not change worked out once."""
    shape, alpha = m.r + x, m.alpha
    mbg = m.kind == "mbg_nbd"
    leaves = mbg or x > 0  # BG/NBD lets a customer leave only after a repeat purchase
    until_last = alpha + recency
    odds_then = log(m.a / (m.b + x - (not mbg))) if leaves else -inf  # of being gone, right after the last purchase

    def at(age: float, horizon: float) -> tuple[float, float]:
        rate = alpha + age
        silent = -expm1(-shape * log1p(horizon / rate))  # the chance that who is still there buys within the horizon
        if not leaves:
            return 1.0, 1.0 - silent
        odds = shape * log(rate / until_last) + odds_then
        if odds > 0.0:
            gone = exp(-odds)
            alive = gone / (1.0 + gone)
        else:
            alive = 1.0 / (1.0 + exp(odds))
        return alive, 1.0 - alive * silent

    return at


def p_alive(x: int, recency: float, age: float, m: Model) -> float:
    """Probability that the customer still buys."""
    return chances(x, recency, age, 1.0, m)[0]


def p_no_purchase(x: int, recency: float, age: float, horizon: float, m: Model) -> float:
    """Probability of no purchase within `horizon` weeks from now, given the history."""
    return chances(x, recency, age, horizon, m)[1]


def expected_purchases(x: int, recency: float, age: float, horizon: float, m: Model) -> float:
    """Expected purchase days within `horizon` weeks from now, given the history.

    >>> bg = Model("bg_nbd", r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> round(expected_purchases(2, 30.43, 38.86, 39.0, bg), 4)
    1.226
    """
    return p_alive(x, recency, age, m) * expected_of_the_living(x, age, (horizon,), m)[0]


@lru_cache(maxsize=1 << 15)
def expected_in_days(x: int, age: int, horizons: tuple[int, ...], m: Model) -> tuple[float, ...]:
    """Expected purchase days within each horizon of a customer who has not left; age and horizons in days.

    Remembered: it depends on x and age alone, which are whole, so that many customers share it.
    """
    return expected_of_the_living(x, age / 7, tuple(days / 7 for days in horizons), m)


def expected_of_the_living(x: int, age: float, horizons: tuple[float, ...], m: Model) -> tuple[float, ...]:
    """Expected purchase days within each horizon (weeks) of a customer who has not left.

    Given p, the chance to leave after a purchase, and s = horizon / (alpha + age), they are
    g(p) = (1 - (1 + p s)^-(r + x)) / p; p of who is still there is Beta(a, b + x), in MBG/NBD Beta(a, b + x + 1).
    """
    beta = m.b + x + (1 if m.kind == "mbg_nbd" else 0)
    shape, rate = m.r + x, m.alpha + age
    return tuple(_mean_over_leaving(shape, horizon / rate, m.a, beta) for horizon in horizons)


_LOW: Final = 28.0
_LOWEST: Final = 70.0
_MANY: Final = 2_000.0
_STEP: Final = 0.4
_REACH: Final = 45.0
_NEGLIGIBLE: Final = 1e-16


def _mean_over_leaving(shape: float, s: float, a: float, beta: float) -> float:
    """The mean of g over Beta(a, beta), by the trapezoidal rule over w = log(p / (1 - p)).

    Where the Beta density has no end at 0 or 1 (a or beta below 1) the straight line through g(0) and g(1), whose mean
    is plain, is taken off, and what is left vanishes at both ends.
    """
    at_0 = shape * s  # of who never leaves
    nodes, mean_0, mean_1 = _nodes(a, beta, _LOW if at_0 < _MANY else _LOWEST)
    total = -sum([weight * expm1(-shape * log1p(p * s)) for p, weight in nodes])
    if a >= 1.0 and beta >= 1.0:
        return total
    at_1 = -expm1(-shape * log1p(s))
    return total + at_0 * (beta / (a + beta) - mean_0) + at_1 * (a / (a + beta) - mean_1)


@lru_cache(maxsize=1 << 10)
def _nodes(a: float, beta: float, low: float) -> tuple[tuple[tuple[float, float], ...], float, float]:
    """((p, its weight over p), ...), and the sums of weight x (1 - p) and of weight x p.

    The rule converges exponentially: the integrand is analytic within a quarter turn of the real line, and narrow only
    where both a and beta are large.
    """
    norm = lgamma(a + beta) - lgamma(a) - lgamma(beta)
    step = min(_STEP, 0.8 / sqrt(1.0 + min(a, beta)))
    peak = min(max(log(a / beta), -low), _REACH)
    nodes, zero, one = [], 0.0, 0.0
    for n in range(-int((peak + low) / step), int((_REACH - peak) / step) + 1):
        w = peak + n * step
        kept = log1p(exp(-w)) if w > -1.0 else log1p(exp(w)) - w  # -log p
        lost = log1p(exp(w)) if w < 1.0 else log1p(exp(-w)) + w  # -log (1 - p)
        weight, p = step * exp(norm - a * kept - beta * lost), exp(-kept)
        zero, one = zero + weight * exp(-lost), one + weight * p
        if weight > _NEGLIGIBLE:
            nodes.append((p, weight / p))
    return tuple(nodes), zero, one


def expected_spend(x: int, mean: float, s: Spend) -> float:
    """The amount that a purchase of the customer will bring: their mean of `x` purchases, drawn to the population's.

    >>> round(expected_spend(2, 35.0, Spend(p=6.25, q=3.74, v=15.44)), 2)
    35.04
    """
    weight = s.p * x
    return (s.q - 1.0) / (weight + s.q - 1.0) * (s.p * s.v / (s.q - 1.0)) + weight / (weight + s.q - 1.0) * mean


def log_likelihood(x: int, recency: float, age: float, m: Model) -> float:
    """Log of the likelihood of one customer's (x, recency, age)."""
    shape = m.r + x
    base = lgamma(shape) - lgamma(m.r) + m.r * log(m.alpha)
    mbg = m.kind == "mbg_nbd"
    alive = _log_beta(m.a, m.b + x + mbg) - _log_beta(m.a, m.b) - shape * log(m.alpha + age)
    gone = -inf
    if mbg or x:
        gone = _log_beta(m.a + 1.0, m.b + x - (not mbg)) - _log_beta(m.a, m.b) - shape * log(m.alpha + recency)
    top = max(alive, gone)
    return base + top + log(exp(alive - top) + exp(gone - top))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
