"""Differences and shares with a 95% interval, from sums alone."""

from __future__ import annotations

from math import inf, sqrt
from typing import Final, NamedTuple

Z: Final = 1.959963984540054
"""So many standard errors hold 95% of a normal distribution."""


class Estimate(NamedTuple):
    """What the figures say, and between which bounds the truth lies in 95 of 100 such programmes."""

    value: float
    low: float
    high: float

    @property
    def settled(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def times(self, factor: float) -> Estimate:
        """All three by a factor that is no chance's, not below 0."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


class Sample(NamedTuple):
    """number of people, the sum and the sum of squares of what was measured of each."""

    number: int
    total: int
    squares: int

    @property
    def mean(self) -> float:
        """Of one."""
        return self.total / self.number

    @property
    def spread(self) -> float:
        """Variance of the mean."""
        variance = (self.squares - self.total * self.total / self.number) / (self.number - 1)
        return max(variance, 0.0) / self.number


def share(part: int, whole: int) -> Estimate | None:
    """A share with Wilson's interval; None of nobody.

    >>> [round(bound, 3) for bound in share(8, 10)]
    [0.8, 0.49, 0.943]

    Source: Wilson 1927, Journal of the American Statistical Association 22.
    """
    if whole <= 0:
        return None
    value, square = part / whole, Z * Z
    middle = (value + square / (2 * whole)) / (1 + square / whole)
    reach = Z * sqrt(value * (1 - value) / whole + square / (4 * whole * whole)) / (1 + square / whole)
    return Estimate(value, max(middle - reach, 0.0), min(middle + reach, 1.0))


def share_difference(part: int, whole: int, other_part: int, other_whole: int) -> Estimate | None:
    """One share less another, of two groups; None where one is empty.

    >>> [round(bound, 4) for bound in share_difference(56, 70, 48, 80)]
    [0.2, 0.0524, 0.3339]

    Source: Newcombe 1998, Statistics in Medicine 17(8), method 10.
    """
    one, other = share(part, whole), share(other_part, other_whole)
    if one is None or other is None:
        return None
    low = sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    value = one.value - other.value
    return Estimate(value, value - low, value + high)


def mean_difference(one: Sample, other: Sample) -> Estimate | None:
    """One mean less another, of two groups that may vary differently (Welch); None where one has below two people.

    >>> [round(bound, 2) for bound in mean_difference(Sample(3, 12, 56), Sample(3, 6, 14))]
    [2.0, -2.12, 6.12]

    Source: Welch 1947, Biometrika 34; the quantile of t by its expansion in Abramowitz and Stegun 26.7.5, within 1%
    from three degrees of freedom on.
    """
    if one.number < 2 or other.number < 2:
        return None
    spread = one.spread + other.spread
    below = one.spread**2 / (one.number - 1) + other.spread**2 / (other.number - 1)
    reach = _quantile(inf if below == 0 else spread**2 / below) * sqrt(spread)
    value = one.mean - other.mean
    return Estimate(value, value - reach, value + reach)


def _quantile(freedom: float) -> float:
    """Of Student's t with so many degrees of freedom, of 97.5%."""
    return (
        Z
        + (Z**3 + Z) / (4 * freedom)
        + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)
        + (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / (384 * freedom**3)
    )
