"""Redis and Kafka are killed in the middle of the work, come back, and nothing is lost or told twice."""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random

import pytest

from tests.chaos.dump import Dump
from tests.chaos.test_kill_worker import input_records
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 5


def outages(world: World, rng: Random, total: int, outage: Callable[[], None]) -> None:
    """KILLS times in the middle of the work of one worker, which must live through all of them."""
    worker = world.worker()
    for number in range(KILLS):
        seen = world.until_seen(lambda _: True, "Redis answers")
        least = seen.records + rng.randint(1, total // (KILLS + 3))
        found = world.until_seen(
            lambda now, least=least: now.records >= least, f"outage {number + 1} at {least} records"
        )
        assert found.records < total, "all is folded: an outage now proves nothing"
        outage()
        assert worker.code is None, f"the worker did not live through outage {number + 1}\n{world.tails()}"
    last = world.until_seen(lambda now: True, "Redis answers")
    world.until_seen(lambda now: now.commits > last.commits or now.records >= total, "the worker goes on")
    worker.signal(signal.SIGTERM)
    assert worker.ends(60) == 0, world.tails()


def test_D1_redis_is_killed_five_times(fed: World, undisturbed: Dump, rng: Random) -> None:
    def outage() -> None:
        assert fed.stack.kill_redis()
        fed.stack.start_redis()

    outages(fed, rng, input_records(undisturbed), outage)
    fed.finish()
    fed.assert_same_as(undisturbed)


def test_D1_the_broker_is_killed_five_times(fed: World, undisturbed: Dump, rng: Random) -> None:
    def outage() -> None:
        assert fed.stack.kill_kafka()
        fed.stack.start_kafka()

    outages(fed, rng, input_records(undisturbed), outage)
    fed.finish()
    fed.assert_same_as(undisturbed)


def test_D1_the_power_fails(fed: World, undisturbed: Dump, rng: Random) -> None:
    """Worker, Redis and broker at once, twice."""
    total = input_records(undisturbed)
    for _ in range(2):
        worker = fed.worker()
        seen = fed.until_seen(lambda _: True, "Redis answers")
        least = seen.records + rng.randint(1, total // 4)
        fed.until_seen(lambda now, least=least: now.records >= least, f"{least} records are folded")
        worker.signal(signal.SIGKILL)
        fed.stack.kill_redis()
        fed.stack.kill_kafka()
        worker.kill()
        fed.stack.up()
    fed.finish()
    fed.assert_same_as(undisturbed)
