"""Fault after fault while the year is folded: the end is that of a run which nobody disturbed.

LOYALTY_TEST_FAULTS says how many (`make chaos`: 200), SEED which. LOYALTY_TEST_BUT names kinds to leave out, by comma:
without a Redis that falls back every counter is compared, too. What each kind took to recover from is written as JSON
beside the logs, and as the table of docs/reliability.md to the file that LOYALTY_WRITE names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median

import msgspec
import pytest

from tests.chaos.conftest import Year
from tests.chaos.crew import Crew, Recovered
from tests.chaos.dump import Dump, differences, problems, summary
from tests.chaos.faults import KINDS, drawn, nothing
from tests.chaos.test_lost_redis import unexplained
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(7_200)]

FAULTS = int(os.environ.get("LOYALTY_TEST_FAULTS", "24"))
USED = {name: kind for name, kind in KINDS.items() if name not in os.environ.get("LOYALTY_TEST_BUT", "").split(",")}
CONTROLS = 3
"""So often nothing happens."""

DAYS = 364
NOTHING = "nothing (to compare with)"
FELL_BACK = "Redis fell back"


def table(told: Sequence[Recovered]) -> str:
    """A row for each kind. Medians are of those in mid work: at rest there is little to recover."""
    rows = [
        "| what happens | times | in mid work | lasts, s (median) | folded and told after, s (median) | (most) |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind in (NOTHING, *KINDS):
        if mine := [one for one in told if one.kind == kind]:
            midst = [one for one in mine if one.middle] or mine
            lasted, took = median(one.lasted_s for one in midst), median(one.recovered_s for one in midst)
            most = max(one.recovered_s for one in mine)
            middle = sum(one.middle for one in mine)
            rows.append(f"| {kind} | {len(mine)} | {middle} | {lasted:.1f} | {took:.1f} | {most:.1f} |")
    return "\n".join(rows) + "\n"


def test_D1_whatever_happens_the_end_is_that_of_an_undisturbed_run(
    world: World, undisturbed: Dump, rng: Random, year: Callable[[int], Year], tmp_path: Path
) -> None:
    kinds = drawn(rng, FAULTS, USED)
    count = sum(KINDS[name].parts for name in kinds) + CONTROLS + 1
    assert count <= DAYS, f"the year has {DAYS} days, a part at least one: {FAULTS} faults need {count} parts"
    before = min(DAYS - count, count // 6)
    parts = year(before + count)
    for _ in range(before):  # the households come in little by little: at first a day has little to fold
        parts.write()
    told: list[Recovered] = []
    try:
        with Crew(world, rng, parts) as crew:
            told += [crew.suffer(NOTHING, nothing) for _ in range(CONTROLS)]
            for number, name in enumerate(kinds, 1):
                told.append(crew.suffer(name, KINDS[name].fault))
                print(f"{number:3d} {told[-1]}", flush=True)
            parts.rest()
            crew.recovered()
            crew.leave()
    finally:
        (tmp_path / "faults.json").write_bytes(msgspec.json.encode(told))
        if (page := os.environ.get("LOYALTY_WRITE")) and told:
            Path(page).write_text(table(told))
        print(f"SEED of {FAULTS} faults; logs and faults.json in {world.folder} and {tmp_path}\n{table(told)}")
    world.finish()
    found = world.dump()
    differing = differences(undisturbed, found)
    wrong = problems(found) + (unexplained(differing) if FELL_BACK in kinds else differing)
    assert not wrong, f"{summary(wrong)}\n{world.tails()}"
    assert {one.kind for one in told} == {NOTHING, *USED}
    assert sum(one.middle for one in told) > len(told) // 2, f"most struck at rest, which proves little:\n{table(told)}"
