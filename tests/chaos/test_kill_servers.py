"""Redis and Kafka are killed in the middle of the work, come back, and nothing is lost or told twice."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.chaos.conftest import Year
from tests.chaos.dump import Dump
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 5


def outages(world: World, parts: Year, outage: Callable[[], None]) -> None:
    """KILLS times in the middle of the work of one worker, which must live through all of them."""
    worker = world.worker()
    for number in range(KILLS):
        parts.strike()
        outage()
        assert worker.code is None, f"the worker did not live through outage {number + 1}\n{world.tails()}"
        parts.folded()
    parts.rest()
    worker.signal(signal.SIGTERM)
    assert worker.ends(60) == 0, world.tails()


def test_D1_redis_is_killed_five_times(world: World, undisturbed: Dump, year: Callable[[int], Year]) -> None:
    def outage() -> None:
        assert world.stack.kill_redis()
        world.stack.start_redis()

    outages(world, year(KILLS + 1), outage)
    world.finish()
    world.assert_same_as(undisturbed)


def test_D1_the_broker_is_killed_five_times(world: World, undisturbed: Dump, year: Callable[[int], Year]) -> None:
    def outage() -> None:
        assert world.stack.kill_kafka()
        world.stack.start_kafka()

    outages(world, year(KILLS + 1), outage)
    world.finish()
    world.assert_same_as(undisturbed)


def test_D1_the_power_fails(world: World, undisturbed: Dump, year: Callable[[int], Year]) -> None:
    """Worker, Redis and broker at once."""
    parts = year(2)
    worker = world.worker()
    parts.strike()
    worker.signal(signal.SIGKILL)
    world.stack.kill_redis()
    world.stack.kill_kafka()
    worker.kill()
    world.stack.up()
    parts.rest()
    world.finish()
    world.assert_same_as(undisturbed)
