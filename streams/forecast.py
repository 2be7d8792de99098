"""V8: expected purchases and amounts of the next days, summed by store or category over everybody as of now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from processors.charge import CUSTOMERS, sort_of
from processors.customer import Customer
from processors.demand import demand, places
from processors.policy import Policy

SORTS: Final = ("store", "category")
DAYS: Final = (30, 90)
UNKNOWN: Final = "unknown"


class Forecast(NamedTuple):
    """One store or category: of each span of days the expected purchase days and net sales (minor units)."""

    name: str
    purchases: tuple[float, ...]
    amounts: tuple[int, ...]


def forecast(customers: Iterable[tuple[Customer, Policy]], by: str, days: Sequence[int] = DAYS) -> list[Forecast]:
    """A line for each, the most sales within the longest span first. What falls nowhere known is `UNKNOWN`'s."""
    spans = tuple(days)
    purchases: dict[str, list[float]] = {}
    amounts: dict[str, list[float]] = {}
    for customer, policy in customers:
        if sort_of(customer.history) != CUSTOMERS or customer.history.first_purchase_at is None:
            continue
        names = places(customer, by) or (UNKNOWN,)
        found = demand(customer, spans, policy)
        for name in names:
            bought, paid = (held.setdefault(name, [0.0] * len(spans)) for held in (purchases, amounts))
            for place, one in enumerate(found):
                bought[place] += one.purchases / len(names)
                paid[place] += one.amount / len(names)
    lines = [Forecast(name, tuple(purchases[name]), tuple(map(round, amounts[name]))) for name in purchases]
    longest = max(range(len(spans)), key=spans.__getitem__)
    return sorted(lines, key=lambda line: (-line.amounts[longest], line.name))
