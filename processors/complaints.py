"""K4: complaints as figures: open, overdue, resolved and in what time, recovered; by what they are about, by store,
severity and who is in charge of the customer."""

from __future__ import annotations

from collections import Counter
from typing import Final

from processors.care.promises import resolved_at
from processors.care.tally import hours_class
from processors.charge import owner_of
from processors.customer import Customer

RECOVERED: Final = 4
"""Satisfaction with the remedy, of 5, from which on a complainant is won back."""


def count_complaints(counts: Counter[str], before: Customer | None, after: Customer | None) -> None:
    """Adds what changed between `before` and `after` (None: not there) to `counts` (K4).

    By `about`, `store`, `severity` and `employee`, as in `complaints_open:about:DELIVERY`: complaints_open, of them
    complaints_overdue, complaints_resolved, complaints_rated, their complaints_satisfaction (sum of 1 to 5),
    complaints_recovered, and of the resolved the class of hours it took, `resolve_le_24`. overdue: promises open past
    their due, by `kind`, `store` and `employee`.
    """
    now, was = _figures(after), _figures(before)
    if now != was:
        for name in now.keys() | was.keys():
            counts[name] += now.get(name, 0) - was.get(name, 0)


_NONE: Final[Counter[str]] = Counter()


def _figures(customer: Customer | None) -> Counter[str]:
    if customer is None or not (customer.history.complaints or customer.told.care.open):
        return _NONE
    found = Counter[str]()
    owner = owner_of(customer.history, customer.told.charge)
    late = [due for due in customer.told.care.open if due.owed and due.due_at <= customer.now]
    waited = {due.cause.rpartition(":")[0] for due in late}
    for one in customer.history.complaints:
        sorts = {"about": one.about, "store": one.store_id, "severity": str(one.severity), "employee": owner}
        numbers = {"complaints_open": 1, "complaints_overdue": int(one.complaint_id in waited)}
        if one.status == "RESOLVED":
            numbers = {
                "complaints_resolved": 1,
                f"resolve_le_{hours_class(max(resolved_at(one) - one.opened_at, 0) if one.opened_at >= 0 else 0)}": 1,
            }
        if one.satisfaction is not None:
            numbers |= {"complaints_rated": 1, "complaints_satisfaction": one.satisfaction}
            numbers["complaints_recovered"] = int(one.satisfaction >= RECOVERED)
        _add(found, numbers, sorts)
    for due in late:
        _add(found, {"overdue": 1}, {"kind": due.kind, "store": due.store, "employee": due.employee or owner})
    return found


def _add(found: Counter[str], numbers: dict[str, int], sorts: dict[str, str | None]) -> None:
    for sort, name in sorts.items():
        if name is not None:
            for what, number in numbers.items():
                found[f"{what}:{sort}:{name}"] += number
