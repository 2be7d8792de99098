"""What the crash tests compare with."""

from __future__ import annotations

import signal
from copy import deepcopy

import pytest

from processors.grade import INSIDE
from streams.ingest import Every
from tests.chaos import feed
from tests.chaos.conftest import CUSTOMERS
from tests.chaos.dump import Dump, differences, problems, summary
from tests.chaos.test_kill_worker import share
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]


def test_two_undisturbed_runs_end_alike(fed: World, undisturbed: Dump) -> None:
    fed.finish(LOYALTY_BATCH_RECORDS="1000", LOYALTY_DUE_SLICE="5000", LOYALTY_CACHE_CUSTOMERS="200000")
    found = fed.assert_same_as(undisturbed)
    assert len([name for name in found.states if not name.startswith(INSIDE)]) == CUSTOMERS + feed.PATRONS


def test_R3_T4_two_workers_other_batches_and_other_ticks_tell_the_same_under_the_same_ids(
    world: World, undisturbed: Dump
) -> None:
    workers = [world.worker(LOYALTY_BATCH_RECORDS=batch) for batch in ("7", "400")]
    share(workers, world)
    written = feed.write(world.settings, CUSTOMERS, every=Every(ms=7 * 3_600_000))
    world.until_seen(lambda seen: seen.records >= written * 3 // 4, "most is folded by two")
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.ends(30) == 0, worker.tail()
    world.finish()
    found = world.dump()
    assert not problems(found), f"{summary(problems(found))}\n{world.tails()}"
    assert found.alerts == undisturbed.alerts
    assert found.changes == undisturbed.changes
    assert found.reminders == undisturbed.reminders
    assert found.states == undisturbed.states


def test_the_comparison_sees_what_it_is_for(undisturbed: Dump) -> None:
    """A comparison that is blind would pass any run."""
    one, other = next(iter(undisturbed.changes)), next(iter(undisturbed.alerts))
    third = next(iter(undisturbed.reminders))

    def told(change: str) -> list[str]:
        found = deepcopy(undisturbed)
        exec(change, {"found": found, "one": one, "other": other, "third": third})
        return [
            line
            for line in problems(found) + differences(undisturbed, found)
            if any(name in line for name in (one, other, third, "outbox"))
        ]

    for change in (
        "found.states[one]['history.lifetime_value'] += 1",
        "found.states[one]['told.tier_since'] = 5",
        "del found.states[one]",
        "found.views[one]['value_365d'] = '7'",
        "found.values[one]['tier'] = 'gone'",
        "found.values[one] = None",
        "found.due[one].append(4)",
        "del found.due[one]",
        "found.changes[one].append(found.changes[one][-1])",
        "found.changes[one].pop()",
        "found.changes[one][0]['value_365d'] += 1",
        "found.alerts[other].append(found.alerts[other][-1])",
        "found.alerts[other].pop()",
        "found.alerts[other][0]['reasons'].pop()",
        "found.reminders[third].append(found.reminders[third][-1])",
        "found.reminders[third].pop()",
        "found.reminders[third][0]['status'] = 'gone'",
        "found.told[one]['tier'] = 'gone'",
        "found.unpublished['{0} outbox'] = 1",
    ):
        assert told(change), f"blind to: {change}"
