"""Redis comes back as it was a while ago, or empty: facts are folded again, and nothing is told that was told."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.chaos.conftest import Year
from tests.chaos.dump import Dump, differences, problems, summary
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


_ONE_REVIEW_AT_THE_CLOCK = re.compile(
    r"(kpi |fence \S+ (since|recovers) |.*: (state now|\S+ as_of|customer-value at) is )"
)
"""What a recovery may change: who was folded again is reviewed once at the clock, by which `now` moves (and the views
say as of when); counters say what this Redis has seen."""


def assert_recovered(world: World, undisturbed: Dump) -> None:
    """Facts, tiers, changes, due entries and views as undisturbed, nothing told twice."""
    found = world.dump()
    other = [line for line in differences(undisturbed, found) if not _ONE_REVIEW_AT_THE_CLOCK.match(line)]
    wrong = problems(found) + other
    assert not wrong, f"{summary(wrong)}\n{world.tails()}"
    assert world.last_says("folded again up to what was published"), world.tails()


def test_D1_a_redis_that_fell_back_is_brought_up_to_what_was_told(
    world: World, undisturbed: Dump, year: Callable[[int], Year]
) -> None:
    parts = year(3)
    parts.write()
    world.finish()
    then = world.keys()
    parts.strike_with(world.worker())
    world.restore(then)
    parts.rest()
    world.finish()
    assert_recovered(world, undisturbed)


def test_D1_a_redis_that_lost_all_is_filled_again(world: World, undisturbed: Dump, year: Callable[[int], Year]) -> None:
    parts = year(3)
    parts.write()
    world.finish()
    parts.strike_with(world.worker())
    world.restore({})
    parts.rest()
    world.finish()
    assert_recovered(world, undisturbed)
