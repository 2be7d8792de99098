"""E1, E2 on the real stack: grades follow what ticks say, are told once, listed and explained, and outlive Redis."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from schemas.topics import EMPLOYEE_GRADES
from tests.live.test_word_of_mouth import FIRST, sale

pytestmark = pytest.mark.live

POLICY = """
[programme]
name = "grades"
version = 1
currency = "USD"
[[tiers]]
name = "member"
[tier_rules]
grace_days = 10
[employees]
least_cases = 1
[[grades]]
name = "adviser"
[[grades]]
name = "senior"
min_cases = 3
min_retention = 0.5
"""
NAMES = ("anna", "bo", "chen")


def profile(name: str, days: int, owner: str) -> dict[str, Any]:
    at = FIRST + days * DAY_MS
    return {"event_id": f"p{days}", "customer_id": name, "occurred_at": at, "joined_at": FIRST, "employee_id": owner}


def test_E1_E2_grades_are_told_once_listed_explained_and_outlive_redis(
    tmp_path: Path, loyalty: Callable[..., subprocess.CompletedProcess[str]], fresh_topics: Callable[[], None]
) -> None:
    fresh_topics()
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)

    def must(*words: str) -> list[dict[str, Any]]:
        done = loyalty(*words, "--json", LOYALTY_CLOCK="data", LOYALTY_POLICY=str(policy))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def live_until(days: int, *profiles: dict[str, Any]) -> None:
        """These profiles, a purchase, and time up to so many days after the first."""
        for topic, rows in (("customers", list(profiles)), ("purchases", [sale(NAMES[0], days - 1)])):
            file = tmp_path / f"{topic}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
            more = ("--ticks", "--until-ms", str(FIRST + days * DAY_MS)) if topic == "purchases" else ()
            must("import", topic, str(file), *more)
        must("worker", "--until-caught-up")

    def told() -> list[dict[str, Any]]:
        found = must("subscribe", EMPLOYEE_GRADES, "--from-beginning", "--until-end")
        return sorted(found, key=lambda one: one["at"])

    live_until(2, *(profile(name, 0, "eve") for name in NAMES))
    (up,) = told()
    assert (up["employee_id"], up["from_grade"], up["to_grade"], up["direction"]) == ("eve", "adviser", "senior", "UP")
    assert (up["at"], up["figures"]) == (FIRST + 2 * DAY_MS, {"cases": 3.0, "retention": 1.0})
    (eve,) = must("employees")
    assert (eve["employee"], eve["rank"], eve["grade"], eve["grade_since"]) == ("eve", 1, "senior", up["at"])
    kpi = {(one["figure"], *one["labels"].values()): one["value"] for one in must("kpi")}
    assert kpi["loyalty_employee_customers", "eve"] == eve["customers"] == 3
    assert kpi["loyalty_employee_value_365d", "eve"] == eve["value_365d"] > 0
    assert (kpi["loyalty_employees", "adviser"], kpi["loyalty_employees", "senior"]) == (0, 1)

    live_until(4, *(profile(name, 3, "adam") for name in NAMES))  # from now on eve is below
    assert [one["employee_id"] for one in told()] == ["eve", "adam"]
    live_until(20)
    assert [(one["employee_id"], one["at"] - FIRST, one["to_grade"]) for one in told()[2:]] == [
        ("eve", 14 * DAY_MS, "adviser")
    ]
    (made,) = must("explain", told()[2]["event_id"])
    assert (made["reproduced"], [rule["id"] for rule in made["rules"]]) == (True, ["E2", "T2"])
    (held,) = must("customer", "adam", "--export")
    assert (held["grade"]["grade"], held["grade"]["serves"]["served"]["customers"]) == ("senior", 3)
    assert {one["topic"] for one in held["records"]} >= {EMPLOYEE_GRADES}
    before = told(), must("employees")
    must("rebuild", "--wipe")
    must("worker", "--until-caught-up")
    assert (told(), must("employees")) == before

    must("erase", "adam")  # whose customers name them still: at that very instant no tick says so again and again
    for _ in range(2):
        must("worker", "--until-caught-up")
    assert [one for one in must("employees") if one["employee"] == "adam" and one["grade"]] == []
