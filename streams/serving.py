"""How well customers are served: promises kept (K0), complaints (K4), and the figures of who is in charge (E1).

From the programme's counters; functions of these alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from processors.care.tally import ABOVE, HOURS
from processors.events import Served
from processors.owners import InCharge, in_charge, served
from streams.summary import share

PROMISE_SORTS: Final = ("kind", "store", "employee")
COMPLAINT_SORTS: Final = ("about", "store", "severity")
_CLASSES: Final = (*map(str, HOURS), ABOVE)


class Promises(NamedTuple):
    """K0, of one kind, store or employee: promises that ended kept, late or broken, of the kept those within the inner
    target, and those open past their due. kept_rate: kept of all that ended; None: none has."""

    name: str
    kept: int
    in_target: int
    late: int
    broken: int
    overdue: int
    kept_rate: float | None


def promises(counts: Mapping[str, int], by: str) -> list[Promises]:
    """A line for each kind, store or employee (`by`), by name."""
    found = []
    for name, held in _by_name(counts, by, ("kept", "in_target", "late", "broken", "overdue")).items():
        kept, late, broken = held["kept"], held["late"], held["broken"]
        rate = share(kept, kept + late + broken)
        found.append(Promises(name, kept, held["in_target"], late, broken, held["overdue"], rate))
    return found


class Complaints(NamedTuple):
    """K4, of what complaints are about, of one store or severity: open ones, of them overdue ones, resolved ones; of
    those whose complainant said how content they are with the remedy (1 to 5) the share recovered (4 or 5) and the
    average; times to reply and to resolve by class of hours (up to 1, 4, 8, 24, 72, 168, 720, above)."""

    name: str
    open: int
    overdue: int
    resolved: int
    recovered: float | None
    satisfaction: float | None
    reply_hours: Mapping[str, int]
    resolve_hours: Mapping[str, int]


def complaints(counts: Mapping[str, int], by: str) -> list[Complaints]:
    """A line for each of `by`: about, store or severity, by name."""
    kinds = ("open", "overdue", "resolved", "rated", "recovered", "satisfaction")
    families = [f"complaints_{kind}" for kind in kinds]
    for what in ("reply", "resolve"):
        families += [f"{what}_le_{hours}" for hours in _CLASSES]
    return [
        Complaints(
            name,
            held["complaints_open"],
            held["complaints_overdue"],
            held["complaints_resolved"],
            share(held["complaints_recovered"], held["complaints_rated"]),
            share(held["complaints_satisfaction"], held["complaints_rated"]),
            {hours: held[f"reply_le_{hours}"] for hours in _CLASSES},
            {hours: held[f"resolve_le_{hours}"] for hours in _CLASSES},
        )
        for name, held in _by_name(counts, by, families).items()
    ]


def _by_name(counts: Mapping[str, int], by: str, families: Iterable[str]) -> dict[str, Counter[str]]:
    """Name to family to number, of the counters `family:by:name`."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    wanted = set(families)
    for counter, number in counts.items():
        family, _, rest = counter.partition(":")
        sort, _, name = rest.partition(":")
        if number and sort == by and family in wanted:
            found[name][family] += number
    return dict(sorted(found.items()))


class Graded(NamedTuple):
    """The grade that an employee holds (E2), and since when (ms), None: from the beginning."""

    grade: str
    grade_since: int | None


class Employee(NamedTuple):
    """E1, of who is in charge. customers: in charge of now; lost: of them those who are lost. retention: of the buyers
    among them the part that is not lost; renewal: of those who bought before the last 365 days the part that bought
    within them. value_365d, equity: value and expected contribution of those not lost, each as of their last review,
    minor units. in_time: of reminders that ended by being done or not, the part done; kept_rate: of promises;
    satisfaction: average with remedies, 1 to 5. rank: by retention, then in_time, then satisfaction, among those with
    enough customers; None: not ranked. grade: the one that holds (E2), None: none; grade_since: ms, None: from the
    beginning. Shares are None where there is nothing to divide by."""

    employee: str
    rank: int | None
    customers: int
    lost: int
    retention: float | None
    renewal: float | None
    value_365d: int
    equity: int
    in_time: float | None
    kept_rate: float | None
    satisfaction: float | None
    grade: str | None = None
    grade_since: int | None = None


def employees(
    counts: Mapping[str, int], least_cases: int, grades: Mapping[str, Graded] = MappingProxyType({})
) -> list[Employee]:
    """A line for each employee who is in charge of anybody, has had anything to do, or has a grade; the ranked first,
    by rank. counts: of all partitions together; grades: by employee."""
    kept = {line.name: line.kept_rate for line in promises(counts, "employee")}
    serve, charges, nobody = served(counts), in_charge(counts), InCharge()
    lines = [
        _line(name, charges.get(name, nobody), serve.get(name, Served(name)), kept.get(name))._replace(
            **grades[name]._asdict() if name in grades else {}
        )
        for name in sorted({*serve, *kept})
    ]
    ranked = sorted((line for line in lines if line.customers >= least_cases), key=_merit, reverse=True)
    rest = [line for line in lines if line.customers < least_cases]
    return [*(line._replace(rank=place) for place, line in enumerate(ranked, start=1)), *rest]


def _line(name: str, own: InCharge, serves: Served, kept: float | None) -> Employee:
    return Employee(
        name,
        None,
        own.customers,
        own.lost,
        share(own.kept, own.buyers),
        share(own.renewed, own.before),
        own.value,
        own.equity,
        share(serves.in_time, serves.in_time + serves.missed),
        kept,
        share(serves.satisfaction, serves.rated),
    )


def _merit(line: Employee) -> tuple[float, float, float, str]:
    return line.retention or 0.0, line.in_time or 0.0, line.satisfaction or 0.0, line.employee
