"""M4, D7, D8 on real servers: what a diff of policies says is what the change then does; and who sent what."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from tests.live.test_word_of_mouth import FIRST, sale

pytestmark = pytest.mark.live

HOUR_MS = 3_600_000
POLICY = """
[programme]
name = "another"
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
{more}
"""
BIRTHDAY = '[[care]]\nkind = "BIRTHDAY"\nshape = "calendar"\non = "birthday"\n'
HAVE = {f"c{value}": value for value in range(1_000, 41_000, 1_000)}


def what_if(must: Callable[..., list[dict[str, Any]]], have: dict[str, int]) -> None:
    """Both scenarios on the same customers: equity is what their views say, and the money needed is named."""
    equity = sum(seen["clv"] for seen in must("customers"))
    (told,) = must("what-if")
    assert (told["equity"], told["customers"]) == (equity, len(have))
    assert (
        0
        < told["difference"]
        == told["by_tier"]["gold"]["difference"]
        + told["by_tier"]["silver"]["difference"]
        + (told["by_tier"]["member"]["difference"])
    )
    assert told["retention"] < told["retention_then"] <= 1.0


def test_M4_a_diff_says_who_moves_and_the_change_then_moves_them(
    tmp_path: Path, loyalty: Callable[..., subprocess.CompletedProcess[str]], fresh_topics: Callable[[], None]
) -> None:
    fresh_topics()
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(POLICY.format(version=1, silver=10_000, gold=20_000, more=""))
    new.write_text(POLICY.format(version=2, silver=5_000, gold=30_000, more=BIRTHDAY))

    def must(*words: str, policy: Path = old) -> list[dict[str, Any]]:
        done = loyalty(*words, "--json", LOYALTY_CLOCK="data", LOYALTY_POLICY=str(policy))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def load(rows: list[dict[str, Any]], until_ms: int, policy: Path) -> None:
        file = tmp_path / f"{until_ms}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        must("import", "purchases", str(file), "--ticks", "--until-ms", str(until_ms), policy=policy)
        must("worker", "--until-caught-up", policy=policy)

    def tiers() -> dict[str, str]:
        return {seen["customer_id"]: seen["tier"] for seen in must("customers")}

    def bought(name: str, value: int) -> dict[str, Any]:
        return sale(name, 0, lines=[{"category": "cd", "quantity": 1, "net_amount": value}])

    load([bought(name, value) for name, value in HAVE.items()], FIRST + DAY_MS, old)
    before = tiers()
    (told,) = must("policy", "diff", str(new), "--all", "--sample", "1000")
    missing = loyalty("what-if", "--shift", "1/3", LOYALTY_CLOCK="data", LOYALTY_POLICY=str(old))
    assert (missing.returncode, "acquisition_cost" in missing.stderr) == (1, True)
    (few,) = must("policy", "diff", str(new), "--sample", "0")
    assert tiers() == before, "nothing is written"
    what_if(must, HAVE)
    load([sale("late", 1)], FIRST + DAY_MS + HOUR_MS, new)
    (came,) = must("funnel")
    assert [line["bought"] for line in came["funnel"] if line["way"] == "direct"] == [len(HAVE) + 1]
    (shop,) = must("producers")
    assert (shop["store"], shop["channel"], shop["events"], shop["offline"]) == (
        "7",
        "store",
        len(HAVE) + 1,
        len(HAVE) + 1,
    )
    after = tiers()
    moved = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert set(moved.values()) == {("member", "silver"), ("gold", "silver")}
    assert {one["customer_id"]: (one["tier_from"], one["tier_to"]) for one in told["movers"]} == moved
    assert [one["value_365d"] for one in told["movers"]] == sorted((HAVE[name] for name in moved), reverse=True)
    assert told["tiers"] == [
        {
            "from": pair[0], "to": pair[1], "customers": len(names), "at_once": len(names),
            "value_365d": sum(HAVE[name] for name in names),
        }
        for pair in sorted(set(moved.values()))
        if (names := [name for name, one in moved.items() if one == pair])
    ]  # fmt: skip
    assert (told["customers"], told["moved"], told["sampled"]) == (len(HAVE), len(moved), len(HAVE))
    assert (few["movers"], few["sampled"], few["care_by_month"]) == (told["movers"][:20], 0, [])
    due = must("subscribe", "care-reminders", "--from-beginning", "--until-end")
    assert len(due) == len(moved)
    expected = [row for row in told["care_by_month"] if row["kind"] == "POLICY_CHANGE"]
    assert [(row["month"], row["from"], row["to"]) for row in expected] == [("2016-07", 0, len(due))]
    assert [(one["code"], one["have"], one["of"]) for one in told["lacks"]] == [("profile", 0, len(HAVE))]
