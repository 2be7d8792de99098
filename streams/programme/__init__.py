"""The programme's figures (V4, V5, M): one table from the counters, for `loyalty kpi`, the exporter and the console."""

from __future__ import annotations

from collections.abc import Mapping

from processors.policy import Policy
from streams.customers_now import CustomersNow
from streams.programme.arms import arms
from streams.programme.care import care, stores
from streams.programme.constants import constants
from streams.programme.figure import CATALOGUE, WITHOUT_SUMS, Figure
from streams.programme.leaving import leaving, mouth
from streams.programme.people import people
from streams.programme.staff import graded, staff
from streams.programme.sums import Sums
from streams.programme.value import value

__all__ = ["CATALOGUE", "Figure", "programme_figures", "read_programme"]


def programme_figures(
    counts: Mapping[str, int], policy: Policy, clock: int | None, employees: int | None = 0
) -> list[Figure]:
    """The table. counts: of all partitions together; clock: stream time (ms), None before the first tick. employees: of
    how many there are figures of their own (E1), None: of all. A policy that keeps no sums has what stands without."""
    sums = Sums(counts, None if clock is None else policy.calendar.day_of(clock))
    table = [
        *people(sums, policy),
        *value(sums, policy),
        *leaving(sums, clock),
        *mouth(sums),
        *care(sums, clock),
        *graded(sums, policy),
        *arms(sums),
        *constants(sums, policy, clock),
        *stores(sums, policy),
        *staff(sums, policy, employees),
    ]
    return table if policy.programme.figures else [one for one in table if one.name in WITHOUT_SUMS]


def read_programme(now: CustomersNow, employees: int | None = 0) -> list[Figure]:
    """The table as Redis has it now: one read of each partition's counters, however many customers there are."""
    return programme_figures(now.figures(), now.policy(), now.clock(), employees)
