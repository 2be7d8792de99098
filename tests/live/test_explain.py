"""C10 on the real stack: an output of each topic is explained from what lies in Kafka, down to the offsets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from schemas.partitioner import partition_of
from schemas.topics import CARE_REMINDERS, CHURN_RISK, COMPLAINTS, CUSTOMER_VALUE, PURCHASES, TICKS, TIER_CHANGES
from streams.stages import AS_COMMITTED
from tests.conftest import PARTITIONS
from tests.live.test_word_of_mouth import FIRST, sale

pytestmark = pytest.mark.live

POLICY = """
[programme]
name = "explain"
version = 1
currency = "USD"
[[tiers]]
name = "member"
[[tiers]]
name = "silver"
min_value_365d = 2_000
[complaints]
escalate_to = ["desk", "head"]
[[care]]
kind = "COMPLAINT_REPLY"
shape = "promise"
priority = 1
texts = { en = "Answer {tier} {what}" }
"""


def test_C10_each_output_is_explained_down_to_the_offsets(
    tmp_path: Path, loyalty: Callable[..., subprocess.CompletedProcess[str]], fresh_topics: Callable[[], None]
) -> None:
    fresh_topics()
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return loyalty(*words, **({"LOYALTY_CLOCK": "data", "LOYALTY_POLICY": str(policy)} | more))

    def must(*words: str, **more: str) -> list[dict[str, Any]]:
        done = run(*words, "--json", **more)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def load(topic: str, rows: list[dict[str, Any]], *words: str) -> None:
        file = tmp_path / f"{topic}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        must("import", topic, str(file), *words)

    complaint = {"event_id": "k", "customer_id": "shop:7", "occurred_at": FIRST + 20 * DAY_MS + 7, "complaint_id": "k1",
                 "status": "OPENED", "severity": 3, "about": "STAFF"}  # fmt: skip
    load(COMPLAINTS, [complaint])
    rows = [sale(name, day) for day in range(0, 40, 7) for name in ("shop:7", "bo", "chen")]
    load(PURCHASES, rows, "--ticks", "--until-ms", str(FIRST + 300 * DAY_MS))
    must("worker", "--until-caught-up")

    mine = partition_of(b"shop:7", PARTITIONS)
    explained = {}
    for topic in (TIER_CHANGES, CHURN_RISK, CARE_REMINDERS, CUSTOMER_VALUE):
        told = must("subscribe", topic, "--from-beginning", "--until-end", "--meta")
        ours = [one for one in told if one["customer_id"] == "shop:7"]
        assert ours, topic
        for one in ours:
            (made,) = must("explain", one["event_id"])
            assert (made["reproduced"], made["reading"]) == (True, AS_COMMITTED), made
            assert (made["topic"], made["partition"], made["offset"]) == (topic, mine, one["_offset"])
            assert made["output"]["event_id"] == one["event_id"]
            assert made["policy"]["offset"] == 0
            assert made["missing"] == []
            assert {(one["topic"], one["partition"]) for one in made["inputs"]} <= {
                (PURCHASES, mine),
                (COMPLAINTS, mine),
            }
            explained[topic, one.get("status") or one.get("transition") or one.get("direction")] = made

    rise = explained[TIER_CHANGES, "UP"]
    cause = next(one for one in rise["inputs"] if one["cause"])
    assert (cause["topic"], cause["occurred_at"]) == (PURCHASES, rise["at"])
    lost = explained[CHURN_RISK, "LOST"]
    assert lost["cause"]["kind"] == "time"
    assert lost["cause"]["record"]["topic"] == TICKS
    assert [rule["id"] for rule in lost["rules"]] == ["R3", "X1"]
    due = explained[CARE_REMINDERS, "DUE"]
    assert (due["numbers"]["employee_id"], due["numbers"]["employee_by"]) == ("desk", "ladder")
    assert due["output"]["text"].startswith("Answer ")
    assert explained[CARE_REMINDERS, "ESCALATED"]["cause"]["kind"] == "time"

    said = run("explain", rise["event_id"]).stdout
    assert "rules       T1 Up at once" in said
    assert "reproduced  yes: " in said
    assert f"{PURCHASES}[{mine}]@{cause['offset']}" in said
    unknown = run("explain", rise["event_id"] + "x")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (1, False)
    assert "ids are compared to the letter" in unknown.stderr
    nowhere = run("explain", rise["event_id"], LOYALTY_POLICY=str(tmp_path / "none.toml"))
    assert nowhere.returncode == 0, nowhere.stderr
