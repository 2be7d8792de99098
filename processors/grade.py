"""E2: the grades of employees, won and lost by the code that decides tiers (T1-T4).

An employee is folded like a customer, under an id of their own: a tick says how they serve, over all partitions (E1),
and the review that follows compares it with `[[grades]]`. Up at once, to the highest grade all of whose conditions
hold; down after the grace of `[tier_rules]`, one grade a grace where it says so; each change is told once, with the
condition that decided and what the next grade asks. A figure that nothing has been counted for meets no condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from processors import merging
from processors.customer import FOREVER, Customer, Told
from processors.events import Dated, Forgotten, Served, Serving
from processors.outputs import GradeChange, GradeStep
from processors.policy import Policy
from processors.sections import GRADE_CONDITIONS, Grade
from processors.tier import Step, Verdict, decide

INSIDE: Final = "grade:"
"""How the id begins under which an employee's grade is folded; no customer's does."""

EMPLOYEE_BYTES_MAX: Final = 128 - len(INSIDE)
"""Of an employee's id in UTF-8: one that is longer has no grade, for no customer's id may be."""

Known = tuple[str, Fraction | None, Fraction]
"""A condition: its name, what there is (None: nothing to measure by), what it needs."""


def inside(employee: str) -> str:
    """The id under which the grade of `employee` is folded.

    >>> inside("eve")
    'grade:eve'
    """
    return INSIDE + employee


def gradable(employee: str) -> bool:
    """Whether an employee of that id can have a grade."""
    return 0 < len(employee.encode()) <= EMPLOYEE_BYTES_MAX


def first(event: Dated, policy: Policy) -> str:
    """The tier, of an employee the grade, in which whoever `event` makes known begins; "": there are no grades."""
    if isinstance(event, Serving):
        return policy.grades[0].name if policy.grades else ""
    return policy.tiers[0].name


def figures(served: Served) -> dict[str, Fraction | None]:
    """The figures by which grades are decided, by name: None where there is nothing to measure by.

    cases: customers in charge of; retention: of the buyers among them the part not lost; in_time: of the reminders
    that ended the part done; satisfaction: the average with remedies, 1 to 5.
    """
    return {
        "cases": Fraction(served.customers),
        "retention": _part(served.kept, served.buyers),
        "in_time": _part(served.in_time, served.in_time + served.missed),
        "satisfaction": _part(served.satisfaction, served.rated),
    }


def _part(some: int, whole: int) -> Fraction | None:
    return Fraction(some, whole) if whole else None


def conditions(grade: Grade, served: Served) -> list[Known]:
    """What `grade` asks, and what there is, in the order of `GRADE_CONDITIONS`."""
    have = figures(served)
    asked = ((name, getattr(grade, name)) for name in GRADE_CONDITIONS)
    return [
        (name, have[name.removeprefix("min_")], Fraction(need) if isinstance(need, int) else need.fraction)
        for name, need in asked
        if need is not None
    ]


def qualified(grades: tuple[Grade, ...], served: Served) -> int:
    """The rank of the highest grade all of whose conditions hold (T1); the lowest has none."""
    for rank in range(len(grades) - 1, 0, -1):
        if all(have is not None and have >= need for _, have, need in conditions(grades[rank], served)):
            return rank
    return 0


def review(customer: Customer, now: int, context: str, policy: Policy) -> tuple[Customer, tuple[GradeChange, ...]]:
    """The employee after a review at `now` (ms), and what is to be told. What was told stands where the policy has no
    grades."""
    service = customer.history.service
    assert service is not None, f"{customer.id}: no employee"
    if not policy.grades:
        return _seen(customer, customer.told, now, FOREVER, context), ()
    verdict = decide(customer.told, qualified(policy.grades, service.served), now, policy, policy.grades)
    due = FOREVER if verdict.deadline is None else verdict.deadline
    told = tuple(_change(service.served, step, now, verdict, policy) for step in verdict.steps)
    return _seen(customer, verdict.told, now, due, context), told


def _seen(customer: Customer, told: Told, now: int, due: int, context: str) -> Customer:
    return Customer(customer.id, customer.history, told, now, due, context)


def _change(served: Served, step: Step, now: int, verdict: Verdict, policy: Policy) -> GradeChange:
    grades, up = policy.grades, step.to_rank > step.from_rank
    code, have, need = _decided(conditions(grades[step.to_rank if up else step.from_rank], served), up)
    above = grades[step.to_rank + 1] if step.to_rank + 1 < len(grades) else None
    return GradeChange(
        customer_id=served.employee_id,
        at=now,
        policy=policy.label,
        from_grade=grades[step.from_rank].name,
        to_grade=grades[step.to_rank].name,
        direction="UP" if up else "DOWN",
        code=code,
        have=_number(have),
        need=_number(need),
        figures=told_figures(served),
        next_grade=None if above is None else above.name,
        to_next=() if above is None else steps_to(above, served),
    )


def _decided(known: list[Known], up: bool) -> tuple[str, Fraction | None, Fraction | None]:
    """(condition, have, need), as of a tier: going up the tightest one met, going down the one missed by the most."""
    missed = known if up else [row for row in known if row[1] is None or row[1] < row[2]]
    if not missed:
        return "policy", None, None  # a grade that the policy changed under the employee
    return min(missed, key=lambda row: (row[1] or Fraction(0)) / row[2] if row[2] else Fraction(1))


def told_figures(served: Served) -> Mapping[str, float]:
    """The figures behind a grade, by name; what nothing has been counted for is left out."""
    return {name: float(value) for name, value in figures(served).items() if value is not None}


def steps_to(grade: Grade, served: Served) -> tuple[GradeStep, ...]:
    """What `grade` asks and what there is (T4)."""
    return tuple(GradeStep(name, _number(have), float(need)) for name, have, need in conditions(grade, served))


def _number(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def forgets(customer: Customer, event: Forgotten) -> bool:
    """Whether the erase that `event` tells of takes this id along: an id merged into the erased one (D5), or the grade
    of who was erased (D4)."""
    service = customer.history.service
    if service is not None:
        return service.served.employee_id == event.into
    return merging.goes_along(customer.merge, event)


def taken_along(erased: str, at: int, policy: Policy) -> tuple[Forgotten, ...]:
    """What tells the partition of a grade that its employee is erased, up to `at` (ms); nothing where there are no
    grades. Whether there is one to forget, that partition knows."""
    if not policy.grades or not gradable(erased) or erased.startswith(INSIDE):
        return ()
    name = inside(erased)
    return (Forgotten(event_id=f"{name}:{at}", customer_id=name, occurred_at=at, into=erased),)
