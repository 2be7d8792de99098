"""E2: how employees serve, from the counters of all partitions, carried by the ticks to the partition that decides each
one's grade, so that a replay decides the same; and the grades that hold.

Live, the leader tells it with the first ticks of each programme's day; a worker that has caught up once more at the
instant of the last tick. Only what is new is told, at most `ROWS_MAX` employees a tick.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from processors.events import Served
from processors.grade import gradable, inside
from processors.owners import served
from processors.policy import Policy
from schemas.partitioner import partition_of
from streams.customers_now import CustomersNow
from streams.serving import Graded

ROWS_MAX: Final = 1_000
"""Employees on one tick: some 150 kB where each id is as long as one may be."""

Rows = Mapping[int, tuple[Served, ...]]
"""Partition to the rows of its ticks."""


def news(now: CustomersNow, policy: Policy) -> Rows | None:
    """What ticks have still to say under `policy`; None: nobody is known to serve, or there are no grades."""
    if not policy.grades:
        return None
    known = {name: row for name, row in served(now.figures()).items() if gradable(name)}
    if not known:
        return None
    states = now.several(map(inside, known))
    found: dict[int, list[Served]] = defaultdict(list)
    for name, row in sorted(known.items()):
        held = states.get(inside(name))
        service = None if held is None else held.history.service
        fresh = row if service is None else _no_less(row, service.served)
        if service is None or service.served != fresh:
            found[partition_of(inside(name).encode(), now.partitions)].append(fresh)
    return {number: tuple(rows) for number, rows in found.items()}


def _no_less(row: Served, said: Served) -> Served:
    """`row`, with what was `said` of reminders where more had ended by then: these counters begin anew in a Redis that
    was filled again, and nobody is to lose a grade for it."""
    if row.in_time + row.missed >= said.in_time + said.missed:
        return row
    return replace(row, in_time=said.in_time, missed=said.missed)


def first_of(rows: Rows) -> dict[int, tuple[Served, ...]]:
    """What the next ticks take of `rows`."""
    return {number: some[:ROWS_MAX] for number, some in rows.items()}


def rest_of(rows: Rows) -> dict[int, tuple[Served, ...]]:
    """What they leave to those that follow."""
    return {number: some[ROWS_MAX:] for number, some in rows.items() if len(some) > ROWS_MAX}


def grades(now: CustomersNow, policy: Policy) -> dict[str, Graded]:
    """Employee to grade, of all who have one; none where the policy has no grades."""
    if not policy.grades:
        return {}
    counted = (name.removeprefix("graded:") for name, n in now.figures().items() if n and name.startswith("graded:"))
    found: dict[str, Graded] = {}
    for one in now.several(map(inside, counted)).values():
        service = one.history.service
        if service is not None and one.told.tier:
            found[service.served.employee_id] = Graded(one.told.tier, one.told.tier_since)
    return found
