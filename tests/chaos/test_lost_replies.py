"""The reply of a commit that happened is lost on its way: it is asked again, and applied once."""

from __future__ import annotations

from random import Random

import pytest

from tests.chaos.dump import Dump
from tests.chaos.proxy import LossyProxy
from tests.chaos.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

LOST = 25


def test_D1_a_commit_whose_reply_is_lost_is_applied_once(fed: World, undisturbed: Dump, rng: Random) -> None:
    redis = fed.stack.redis
    with LossyProxy(redis.host, redis.port, lose=LOST, chance=0.3, rng=rng) as proxy:
        fed.finish(LOYALTY_REDIS=proxy.url)
    assert proxy.lost == LOST, f"only {proxy.lost} of {LOST} replies were lost: {dict(proxy.answers)}"
    assert proxy.answers["ALREADY"] >= LOST, f"each lost one must be asked again: {dict(proxy.answers)}"
    assert proxy.answers["FENCED"] == 0, f"a repeat was taken for a stranger's commit: {dict(proxy.answers)}"
    fed.assert_same_as(undisturbed)
