"""E1: what is counted of those in charge of customers, as differences in the partition's counters, and read from them.

A customer counts for whom they had in charge when they were counted, so that what goes is what came. A counter is
`charge:<number>:<employee>`; who did what in time, and how content people were with remedies, others count (`tally`,
`complaints`). All partitions together give each employee's figures, for ticks, commands and the console alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from processors.census import within_bounds
from processors.charge import owner_of
from processors.customer import Customer
from processors.events import Served
from processors.risk import LOST

NUMBERS: Final = ("customers", "lost", "buyers", "kept", "before", "renewed", "value", "equity")
"""What is counted, see `InCharge`."""

_CHARGE: Final = "charge"
_SERVES: Final = ("in_time", "missed")
_REMEDIES: Final = {"complaints_rated": "rated", "complaints_satisfaction": "satisfaction"}
_NEVER: Final = -2
"""`Counted.past` of who bought nothing before the window."""


class InCharge(Struct, frozen=True):
    """What one employee has in charge. customers: all of them; lost: of them those who are lost. buyers: those who have
    bought; kept: buyers not lost. before: those who bought before the last 365 days; renewed: of them those who bought
    within these, too. value, equity: of the last 365 days, and expected, of those not lost; minor units."""

    customers: int = 0
    lost: int = 0
    buyers: int = 0
    kept: int = 0
    before: int = 0
    renewed: int = 0
    value: int = 0
    equity: int = 0


def owner_counted(customer: Customer) -> str | None:
    """For whom `customer` counts (E1); None: nobody is in charge."""
    return owner_of(customer.history, customer.told.charge)


def count_owners(counts: Counter[str], before: Customer | None, after: Customer | None) -> None:
    """Adds what changed between `before` and `after` (None: not there, or none of the customers) to `counts`."""
    for one, sign in ((before, -1), (after, 1)):
        held = None if one is None else one.counted
        if one is None or held is None or held.owner is None:
            continue
        for name, number in zip(NUMBERS, _numbers(one, held.past, held.clv), strict=True):
            if number:
                counts[f"{_CHARGE}:{name}:{held.owner}"] += sign * number


def _numbers(customer: Customer, past: int, clv: int) -> tuple[int, ...]:
    history, lost = customer.history, customer.told.level == LOST
    bought, before = history.first_purchase_at is not None, past != _NEVER
    value = 0 if lost else within_bounds(history.value)
    return (
        1, int(lost), int(bought), int(bought and not lost), int(before), int(before and history.sales > 0), value,
        0 if lost else clv,
    )  # fmt: skip


def in_charge(counts: Mapping[str, int]) -> dict[str, InCharge]:
    """Employee to what they have in charge, of all who have anybody."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for counter, number in counts.items():
        if number and counter.startswith(_CHARGE + ":"):
            _, name, employee = counter.split(":", 2)
            found[employee][name] += number
    return {employee: InCharge(**{name: held[name] for name in NUMBERS}) for employee, held in found.items()}


def served(counts: Mapping[str, int]) -> dict[str, Served]:
    """Employee to how they serve, as a tick says it (E2): of all who have anybody in charge, have had anything to do,
    or have a grade."""
    done: dict[str, Counter[str]] = defaultdict(Counter)
    for counter, number in counts.items():
        family, _, rest = counter.partition(":")
        if not number:
            continue
        if family in _SERVES:
            done[rest][family] += number
        elif family in _REMEDIES and rest.startswith("employee:"):
            done[rest.removeprefix("employee:")][_REMEDIES[family]] += number
        elif family == "graded":
            done[rest]["graded"] += number
    charges = in_charge(counts)
    nobody = InCharge()
    return {name: _served(name, charges.get(name, nobody), done.get(name, Counter())) for name in {*charges, *done}}


def _served(employee: str, held: InCharge, done: Mapping[str, int]) -> Served:
    rest = (done["in_time"], done["missed"], done["rated"], done["satisfaction"])
    return Served(employee, held.customers, held.buyers, held.kept, *rest)
