"""Redis comes back as it was a while ago, or empty: facts are folded again, and nothing is told that was told."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.chaos.conftest import Year
from tests.chaos.dump import Dump, differences, problems, summary
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]


_OF_THIS_REDIS = re.compile(
    r"kpi |fence \S+ (since|recovers) |customer grade:\S+: state history\.service\.served\.(in_time|missed) "
)
"""Counters say what this Redis has seen, and ticks say of those who serve what counters say."""

_TICKS = re.compile(r"fence \S+ ticks is '(\d+)', undisturbed '(\d+)'")
"""All was caught up twice, with other customers: so the thresholds that segments ask for came by one tick more."""

_REVIEWED_ANEW = re.compile(r"(customer [^:]+): (state now|hash as_of|customer-value as_of|customer-value at) is ")
_DRIFTS = re.compile(
    r"(customer [^:]+): (?:state counted\.clv|(?:hash|customer-value) (?:clv|expected_purchases|network_value|p_alive"
    r"|p_no_purchase|risk_reasons|risk_score|value_at_stake)) is "
)
"""Who was folded again is reviewed once at the clock, by which `now` moves, and with it what silence alone drives."""

_OF_KIN = re.compile(r"customer [^:]+: (?:state history\.kin|(?:hash|customer-value) network_value) is ")
"""Whoever brought them hears how they stand as of that review; that it is of their last one is among `problems`."""


def unexplained(told: list[str]) -> list[str]:
    """The differences that a recovery must not leave."""
    anew = {found[1] for line in told if (found := _REVIEWED_ANEW.match(line))}
    return [
        line
        for line in told
        if not (_OF_THIS_REDIS.match(line) or _REVIEWED_ANEW.match(line))
        and not (anew and _OF_KIN.match(line))
        and not ((drifts := _DRIFTS.match(line)) and drifts[1] in anew)
    ]


def assert_recovered(world: World, undisturbed: Dump) -> None:
    """Facts, tiers, changes, due entries and views as undisturbed, nothing told twice."""
    found = world.dump()
    left = unexplained(differences(undisturbed, found))
    ticks = [it for line in left if (it := _TICKS.match(line)) and int(it[1]) == int(it[2]) + 1]
    wrong = problems(found) + [line for line in left if line not in {it[0] for it in ticks}]
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
