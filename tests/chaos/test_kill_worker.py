"""Workers die, freeze, leave and join in the middle of their work; what is kept and told is that of one undisturbed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import chain
from operator import gt
from random import Random

import pytest

from tests.chaos.conftest import CUSTOMERS, Year
from tests.chaos.dump import Dump
from tests.chaos.world import COUNTED, Process, World, until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 30


def input_records(undisturbed: Dump) -> int:
    """All there is to read, that of `relay` not counted."""
    return sum(int(at) for name, at in undisturbed.fences.items() if name.split()[1] in COUNTED)


def test_D1_thirty_kills_of_the_worker_during_the_import(world: World, undisturbed: Dump, rng: Random) -> None:
    feeding = world.start("tests.chaos.feed", str(CUSTOMERS))
    world.kill_workers(rng, KILLS, input_records(undisturbed))
    assert feeding.ends() == 0, feeding.tail()
    world.finish()
    world.assert_same_as(undisturbed)


def share(workers: list[Process], world: World) -> None:
    """Wait until each has partitions, and together they have all."""

    def shared() -> bool:
        owned = [worker.assigned() for worker in workers]
        return all(owned) and sorted(chain.from_iterable(owned)) == list(range(world.settings.partitions))

    until(shared, f"{len(workers)} workers share the partitions", told=world.tails)


def test_D1_one_of_two_workers_is_killed(
    world: World, undisturbed: Dump, rng: Random, year: Callable[[int], Year]
) -> None:
    parts = year(3)
    workers = [world.worker(), world.worker()]
    for _ in range(2):
        share(workers, world)
        parts.strike()
        workers.pop(rng.randrange(2)).kill()
        parts.folded()
        workers.append(world.worker())
    parts.strike()
    assert [worker.code for worker in workers] == [None, None], world.tails()
    for worker in workers:
        worker.kill()
    world.finish()
    world.assert_same_as(undisturbed)


def test_D1_workers_join_and_leave_by_sigterm_and_end_with_0(
    world: World, undisturbed: Dump, rng: Random, year: Callable[[int], Year]
) -> None:
    parts = year(4)
    workers = [world.worker(), world.worker()]
    for _ in range(2):
        share(workers, world)
        parts.strike()
        leaving = workers.pop(rng.randrange(2))
        leaving.signal(signal.SIGTERM)
        assert leaving.ends(30) == 0, leaving.tail()
        share(workers, world)
        joining = world.worker()
        until(joining.metrics_url, "another begins", told=world.tails)
        parts.strike()  # it joins while this is folded
        workers.append(joining)
    share(workers, world)
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.ends(30) for worker in workers] == [0, 0], world.tails()
    world.finish()
    world.assert_same_as(undisturbed)


def test_D1_a_worker_that_froze_is_refused_when_it_wakes(
    world: World, undisturbed: Dump, year: Callable[[int], Year]
) -> None:
    parts = year(3)
    frozen = world.worker()
    parts.strike()
    frozen.signal(signal.SIGSTOP)
    seen = world.until_seen(lambda _: True, "Redis answers")
    other = world.worker()
    world.until_seen(lambda now: all(map(gt, now.epochs, seen.epochs)), "another took all over")
    parts.strike()
    frozen.signal(signal.SIGCONT)
    parts.strike()
    share([frozen, other], world)
    assert [frozen.code, other.code] == [None, None], world.tails()
    for worker in (frozen, other):
        worker.signal(signal.SIGTERM)
    assert [worker.ends(30) for worker in (frozen, other)] == [0, 0], world.tails()
    world.finish()
    world.assert_same_as(undisturbed)
