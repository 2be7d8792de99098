"""Grades of employees, said plainly: what is told, from how each serves as the ticks say it, in order of time.

A row is an instant (ms) and the figures `customers`, `buyers`, `kept`, `in_time`, `missed`, `rated`, `satisfaction`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.oracle import dates

Change = tuple[int, str, str]
"""(instant, from, to)."""


def holds(grade: Mapping[str, Any], row: Mapping[str, int]) -> bool:
    """All that the grade asks is met; what nothing has been counted for is not."""
    ended = row["in_time"] + row["missed"]
    return (
        row["customers"] >= grade.get("min_cases", 0)
        and _reached(grade.get("min_retention"), row["kept"], row["buyers"])
        and _reached(grade.get("min_in_time"), row["in_time"], ended)
        and _reached(grade.get("min_satisfaction"), row["satisfaction"], row["rated"])
    )


def _reached(need: Decimal | int | None, some: int, whole: int) -> bool:
    return need is None or (whole > 0 and Fraction(some, whole) >= Fraction(need))


def best(grades: list[Mapping[str, Any]], row: Mapping[str, int]) -> int:
    return max(rank for rank, grade in enumerate(grades) if rank == 0 or holds(grade, row))


def changes(
    rows: Iterable[tuple[int, Mapping[str, int]]], last: int, policy: Mapping[str, Any]
) -> tuple[list[Change], str | None]:
    """What is told of one employee up to and with `last`, and the grade that holds then, None: never heard of."""
    grades, rules = policy["grades"], policy.get("tier_rules", {})
    days, one_step = rules.get("grace_days", 30), rules.get("one_step_down", False)
    zone = policy["programme"].get("time_zone", "UTC")
    told: list[Change] = []
    rank, now_best, below_since = 0, 0, None
    known = False

    def look(at: int) -> None:
        nonlocal rank, below_since
        if now_best > rank:
            told.append((at, grades[rank]["name"], grades[now_best]["name"]))
            rank = now_best
        if now_best == rank:
            below_since = None
        while now_best < rank:
            below_since = at if below_since is None else below_since
            if at < dates.same_local_time(below_since, days, zone):
                return
            lower = rank - 1 if one_step else now_best
            told.append((at, grades[rank]["name"], grades[lower]["name"]))
            rank, below_since = lower, None

    def pass_time(until: int) -> None:
        while below_since is not None and (at := dates.same_local_time(below_since, days, zone)) <= until:
            look(at)

    for at, row in rows:
        pass_time(at)  # a grace that ends at this very instant has ended
        now_best, known = best(grades, row), True
        look(at)
    pass_time(last)
    return told, grades[rank]["name"] if known else None
