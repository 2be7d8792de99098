"""What care promises, under crashes: who is to be cared for, and what came of it, hangs on no worker and no network.

The year of `import-dataset completejourney --people`, folded by one worker in peace, and once more by workers that are
killed while the same records come in repeated and late (`tests/chaos/people.py` says how late, and why no later).
"""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from processors.care.actions import PLACE
from tests.chaos import people
from tests.chaos.conftest import SEED, SMALL
from tests.chaos.dump import Dump, differences, problems, summary
from tests.chaos.world import World, ended
from tests.conftest import ROOT
from tests.live.test_care_year import Year
from tests.oracle import care as oracle

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

POLICY = Path(ROOT) / "infra" / "policy-completejourney.toml"
CUSTOMERS, KILLS = 60, 12
_NOT_COMPARED = re.compile(
    r"kpi |fence |customer friend-of-|customer place:|customer grade:|customer \S+: state history\.kin "
)
"""Counters and positions say what was sent how often, and grades go by such counters (E2); how leads nobody saw buy and
those who brought them stand, and when complaints at a place are too many, is told by `relay`, and follows its
arrival."""


def imported(world: World, folder: Path) -> None:
    """As users do it."""
    world.loyalty("import-dataset", "completejourney", "--customers", str(CUSTOMERS), "--people", str(people.PEOPLE))
    later = folder / "contacts.jsonl"
    later.write_text(json.dumps(people.VISIT))
    world.loyalty("import", "contacts", str(later), "--ticks", "--until-ms", str(people.END_MS))


def lives(dump: Dump) -> dict[str, list[str]]:
    """Reminder id to its statuses; but for places, see `_NOT_COMPARED`."""
    found: dict[str, list[str]] = {}
    for name, told in dump.reminders.items():
        for one in told if not name.startswith(PLACE) else ():
            found.setdefault(one["reminder_id"], []).append(one["status"])
    return found


def broken(year: Year) -> list[str]:
    """The rules that the outputs break, and who was forgotten."""
    policy = tomllib.loads(POLICY.read_text("utf-8"), parse_float=Decimal)
    return [
        *oracle.breaches(year.inputs, year.outputs, policy, people.END_MS),
        *oracle.untrue(year.inputs, year.outputs, policy, people.END_MS),
        *oracle.forgotten(year.inputs, year.outputs, year.tiers, policy, people.END_MS),
    ]


def in_peace(world: World, folder: Path) -> tuple[Dump, Year]:
    """One worker, each record once and in time."""
    world.begin()
    imported(world, folder)
    world.finish()
    dump = world.dump()
    assert not problems(dump), summary(problems(dump))
    statuses = {status for told in lives(dump).values() for status in told}
    assert statuses == {"DUE", "FULFILLED", "WITHDRAWN", "ESCALATED", "EXPIRED", "HELD_OUT"}
    return dump, Year(world.settings.kafka)


def repeats(dump: Dump) -> int:
    """How many records the workers knew already."""
    return sum(n for name, n in dump.kpi.items() if "duplicates:" in name)


def ill_treated(world: World, rng: Random, undisturbed: Dump) -> tuple[Dump, Year]:
    """KILLS workers killed, one that finishes; records repeated and late."""
    world.begin()
    sent, ticks = people.sent(world.settings, CUSTOMERS, SEED)
    assert min(sent.repeats, sent.late) > len(sent.items) // 20
    feeding = world.start("tests.chaos.people", str(CUSTOMERS), str(SEED))
    world.kill_workers(rng, KILLS, len(sent.items) + len(ticks) * world.settings.partitions, **SMALL)
    assert feeding.ends() == 0, feeding.tail()
    world.finish()
    dump = world.dump()
    assert repeats(dump) == repeats(undisturbed) + sent.repeats
    return dump, Year(world.settings.kafka)


def test_C2_C4_C5_D1_killed_workers_and_ill_sent_records_tell_the_same_care(
    battered: World, tmp_path: Path, rng: Random
) -> None:
    battered.end()
    world = World(battered.stack, tmp_path, prefix="care", policy=POLICY)
    with ended(world):
        undisturbed, clean = in_peace(world, tmp_path)
        found, year = ill_treated(world, rng, undisturbed)
    assert lives(found) == lives(undisturbed)
    wrong = [line for line in differences(undisturbed, found) if not _NOT_COMPARED.match(line)] + problems(found)
    assert not wrong, summary(wrong)
    year.inputs = clean.inputs  # each once, in order of time
    assert not broken(year), summary(broken(year))
