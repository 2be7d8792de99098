"""V5: amounts in classes whose counts add up over partitions: ranks and shares of all without sorting anybody.

A class is a whole number made of an amount's leading seven bits and how many follow, so two machines never differ, and
amounts of one class differ by less than 1/64: its middle is wrong by less than 0.8%. Below 128 a class is one amount.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

SHARES: Final = ("0.01", "0.05", "0.1", "0.2", "0.5")
"""The top shares of customers that figures tell (V5), as the ticks' `value_at_share` writes them."""

_BITS: Final = 6


def class_of(amount: int) -> int:
    """The class of an amount above 0.

    >>> class_of(127), class_of(128), class_of(129), class_of(130), class_of(255), class_of(256)
    (127, 128, 128, 129, 191, 192)
    """
    shift = amount.bit_length() - _BITS - 1
    return amount if shift <= 0 else (shift << _BITS) + (amount >> shift)


def middle_of(number: int) -> int:
    """The amount in the middle of a class.

    >>> [middle_of(class_of(amount)) for amount in (1, 127, 1_000, 1_000_000)]
    [1, 127, 1003, 1003519]
    """
    shift = (number >> _BITS) - 1
    if shift <= 0:
        return number
    return ((number - (shift << _BITS)) << shift) + (1 << shift) // 2 - 1


class Class(NamedTuple):
    """How many customers lie in a class, and the sums over them that rank by it: the amount, and whatever else."""

    number: int
    customers: int
    sums: tuple[int, ...]


class Spread:
    """customers: all who are ranked, those with nothing too. classes: of those with more than 0, in any order;
    ranked: how many these are."""

    def __init__(self, customers: int, classes: Iterable[Class]) -> None:
        self.customers = customers
        self.classes: Sequence[Class] = sorted(classes, reverse=True)
        self.ranked = sum(one.customers for one in self.classes)

    def top(self, share: float) -> int:
        """How many customers the top `share` is: at least one, rounded half to even."""
        return max(1, round(self.customers * share))

    def amount_at(self, rank: int) -> int:
        """The amount of the customer at `rank`, 1 the first; 0 where they have nothing."""
        for one in self.classes:
            rank -= one.customers
            if rank <= 0:
                return middle_of(one.number)
        return 0

    def least_of_top(self, share: float) -> int:
        """The least amount of the top `share` (V5), at least 1: who brings nothing is in no top share."""
        return max(1, self.amount_at(self.top(share)))

    def brought_by(self, first: int, last: int, what: int = 0) -> float:
        """The sum `what` over the customers at ranks `first` to `last`, 1 the first; of a class that lies across an end
        the part that its average gives. What those with an amount of 0 and less have in it counts nothing."""
        total, before = 0.0, 0
        for one in self.classes:
            taken = min(last, before + one.customers) - max(first - 1, before)
            if taken > 0:
                total += one.sums[what] * (taken / one.customers)
            before += one.customers
        return total
