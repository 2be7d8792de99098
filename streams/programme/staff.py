"""E1, E2: those who serve, by grade and each for themselves; the numbers of `loyalty employees`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from processors.policy import Policy
from streams.programme.figure import Figure, figure
from streams.programme.sums import Sums
from streams.serving import employees

_BY_EMPLOYEE: Final = (
    ("loyalty_employee_customers", "customers"),
    ("loyalty_employee_lost_customers", "lost"),
    ("loyalty_employee_retention_ratio", "retention"),
    ("loyalty_employee_renewal_ratio", "renewal"),
    ("loyalty_employee_value_365d", "value_365d"),
    ("loyalty_employee_equity", "equity"),
    ("loyalty_employee_in_time_ratio", "in_time"),
    ("loyalty_employee_promises_kept_ratio", "kept_rate"),
    ("loyalty_employee_satisfaction", "satisfaction"),
)


def graded(sums: Sums, policy: Policy) -> Iterator[Figure]:
    """Employees by the policy's grades, lowest first (E2)."""
    held = sums.named("grade:")
    for grade in policy.grades:
        yield figure("loyalty_employees", held.get(grade.name, 0), grade=grade.name)


def staff(sums: Sums, policy: Policy, most: int | None = None) -> Iterator[Figure]:
    """The figures of each employee (E1), in the order of `loyalty employees`; `most`: of so many with the most
    customers, None: of all."""
    if most == 0:
        return
    lines = employees(sums.counts, policy.employees.least_cases)
    if most is not None:
        shown = {line.employee for line in sorted(lines, key=lambda line: (-line.customers, line.employee))[:most]}
        lines = [line for line in lines if line.employee in shown]
    for name, what in _BY_EMPLOYEE:
        for line in lines:
            yield figure(name, getattr(line, what), employee=line.employee)
