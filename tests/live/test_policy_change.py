"""A new policy while a worker runs: who it moves to another tier is told so, once, whatever workers do meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.localstack import Stack
from processors.days import DAY_MS
from schemas import topics
from tests.chaos.dump import change_problems, changes_told
from tests.chaos.world import World
from tests.live.test_word_of_mouth import FIRST, sale

pytestmark = pytest.mark.live

POLICY = """
[programme]
name = "change"
version = {version}
currency = "USD"
[[tiers]]
name = "member"
[[tiers]]
name = "silver"
min_value_365d = {silver}
[[tiers]]
name = "gold"
min_value_365d = {gold}
[tier_rules]
grace_days = 0
[[care]]
kind = "POLICY_CHANGE"
shape = "event"
on = "policy_change"
expires_days = 30
"""
OLD = {"version": 1, "silver": 10_000, "gold": 20_000}
NEW = {"version": 2, "silver": 5_000, "gold": 30_000}
HAVE = {f"c{value}": value for value in range(1_000, 41_000, 500)}
"""Customer to what they bought for."""
RISES = "c4000"
"""Buys once more under the new policy: what lifts them is their own doing."""


def tier(value: int, policy: dict[str, int]) -> str:
    return "gold" if value >= policy["gold"] else "silver" if value >= policy["silver"] else "member"


@pytest.fixture
def world(stack: Stack, tmp_path: Path, fresh_topics: Callable[[], None]) -> Iterator[World]:
    fresh_topics()
    for policy in (OLD, NEW):
        (tmp_path / f"{policy['version']}.toml").write_text(POLICY.format(**policy))
    world = World(stack, tmp_path, prefix="change", policy=tmp_path / "1.toml", LOYALTY_DUE_SLICE="1")
    try:
        yield world
    finally:
        world.end()


def test_C1_C4_who_a_new_policy_moves_is_told_once(world: World, tmp_path: Path) -> None:
    new = str(tmp_path / "2.toml")

    def load(rows: list[dict[str, Any]], until_day: int, **more: str) -> None:
        """Rows with ticks up to a day's end, which name the policy."""
        file = tmp_path / f"{until_day}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        world.loyalty(
            "import", "purchases", str(file), "--ticks", "--until-ms", str(FIRST + until_day * DAY_MS), **more
        )

    def bought(name: str, day: int, value: int) -> dict[str, Any]:
        return sale(name, day, lines=[{"category": "cd", "quantity": 1, "net_amount": value}])

    def reminded() -> Counter[tuple[str, str, str]]:
        told = changes_told(world.settings, topics.CARE_REMINDERS)
        return Counter((name, one["kind"], one["status"]) for name, all_of in told.items() for one in all_of)

    load([bought(name, 0, value) for name, value in HAVE.items()], 2)
    worker = world.worker()
    before = world.until_seen(
        lambda seen: seen.records >= len(HAVE) + 12 and not seen.waiting, "all is folded and told"
    )
    assert not reminded()

    load([bought("c1000", 3, 500), bought(RISES, 4, 2_000)], 5, LOYALTY_POLICY=new)  # a tick lies between
    world.until_seen(lambda seen: seen.commits > before.commits + 16, "some are reviewed under the new policy")
    worker.kill()
    early = reminded()
    world.finish()  # its own file is still the old one

    moved = {name for name, value in HAVE.items() if tier(value, OLD) != tier(value, NEW)}
    assert {tier(HAVE[name], NEW) for name in moved} == {"silver"}, "some up, some down"
    assert len(early) < len(moved), "all was told before the worker was killed"
    assert reminded() == dict.fromkeys(((name, "POLICY_CHANGE", "DUE") for name in moved), 1)

    load([bought("c1000", 6, 500)], 7, LOYALTY_POLICY=new)
    world.finish(LOYALTY_POLICY=new)
    assert reminded() == dict.fromkeys(((name, "POLICY_CHANGE", "DUE") for name in moved), 1)
    changes = changes_told(world.settings)
    tiers = {name: [(one["to_tier"], one["policy"]) for one in told][-1] for name, told in changes.items()}
    assert {name for name, (_, policy) in tiers.items() if policy == "change@2"} == {*moved, RISES}
    assert {name: held for name, (held, _) in tiers.items()} == {
        name: held for name, value in HAVE.items() if (held := tier(value + 2_000 * (name == RISES), NEW)) != "member"
    }
    assert not list(change_problems(changes, {}))
