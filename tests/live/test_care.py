"""C4, C10 on the real stack: a reminder is due, listed, explained, done by a command, and fulfilled by the worker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from schemas.partitioner import partition_of
from tests.conftest import PARTITIONS
from tests.live.test_word_of_mouth import FIRST, sale

pytestmark = pytest.mark.live

POLICY = """
[programme]
name = "care"
version = 1
currency = "USD"
[[tiers]]
name = "member"
[complaints]
escalate_to = ["desk", "head"]
[[care]]
kind = "COMPLAINT_REPLY"
shape = "promise"
priority = 1
[[care]]
kind = "BIRTHDAY"
shape = "calendar"
lead_days = 3
expires_days = 10
free = true
"""


def test_C4_C10_a_reminder_is_due_listed_done_and_fulfilled(
    tmp_path: Path, loyalty: Callable[..., subprocess.CompletedProcess[str]], fresh_topics: Callable[[], None]
) -> None:
    fresh_topics()
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return loyalty(*words, LOYALTY_CLOCK="data", LOYALTY_POLICY=str(policy))

    def must(*words: str) -> list[dict[str, Any]]:
        done = run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def load(topic: str, rows: list[dict[str, Any]], *words: str) -> None:
        file = tmp_path / f"{topic}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        must("import", topic, str(file), *words)

    profile = {"event_id": "p", "customer_id": "anna", "occurred_at": FIRST, "joined_at": FIRST, "birthday": "07-22",
               "employee_id": "eve"}  # fmt: skip
    complaint = {"event_id": "k", "customer_id": "anna", "occurred_at": FIRST + 2 * DAY_MS, "complaint_id": "k1",
                 "status": "OPENED", "severity": 3, "about": "STAFF"}  # fmt: skip
    load("customers", [profile])
    load("complaints", [complaint])
    load("purchases", [sale("anna", 0), sale("anna", 2)], "--ticks", "--until-ms", str(FIRST + 2 * DAY_MS + 1_000))
    must("worker", "--until-caught-up")

    listed = must("care")
    assert [(one["kind"], one["employee_id"], one["customer_id"]) for one in listed] == [
        ("COMPLAINT_REPLY", "eve", "anna"), ("BIRTHDAY", "eve", "anna"),
    ]  # fmt: skip
    reply = listed[0]
    assert "Complaint about STAFF" in reply["text"]
    assert must("care", "--employee", "adam") == []
    assert run("care", "--kind", "BIRTHDAI").returncode == 2
    lines = run("care").stdout.splitlines()
    assert lines[0] == "eve:"
    assert lines[1] == "  1  anna (member), COMPLAINT_REPLY, by store, for 2016-07-21 01:00, until 2017-07-23"
    assert [line.strip() for line in lines[2:4]] == [reply["text"], reply["reminder_id"]]
    assert lines[-1] == "2 open reminders, for 1 to do"
    shown = run("customer", "anna").stdout
    assert f"COMPLAINT_REPLY DUE, for 2016-07-21T01:00:00.000Z: {reply['text']}; BIRTHDAY DUE, for " in shown
    whys = {one["kind"]: one["state"] for one in must("customer", "anna", "--why")}
    assert whys == {"COMPLAINT_REPLY": "OPEN", "BIRTHDAY": "OPEN"}
    assert "there is one, since" in run("customer", "anna", "--why").stdout

    assert run("complete-care", "anna:NOTHING").returncode == 1
    completed_twice(run, must, reply)
    load("purchases", [sale("anna", 3)], "--ticks", "--until-ms", str(FIRST + 4 * DAY_MS))
    must("worker", "--until-caught-up")
    assert [one["kind"] for one in must("care")] == ["BIRTHDAY"]
    assert run("complete-care", reply["reminder_id"]).returncode == 1
    told = must("subscribe", "care-reminders", "--from-beginning", "--until-end")
    mine = [one["status"] for one in told if one["reminder_id"] == reply["reminder_id"]]
    assert mine == ["DUE", "FULFILLED"]
    (summary,) = must("summary")
    kinds = {line["kind"]: line for line in summary["care"]}
    assert kinds["COMPLAINT_REPLY"]["status"] == {"DUE": 1, "FULFILLED": 1}
    assert kinds["COMPLAINT_REPLY"]["in_time"] == 1.0
    assert "Reminders so far" in run("summary").stdout


def completed_twice(
    run: Callable[..., subprocess.CompletedProcess[str]], must: Callable[..., list[dict[str, Any]]], one: dict[str, Any]
) -> None:
    """What is wrong is refused and sends nothing; then it is done, in its customer's partition, and once more."""
    before = must("care")
    for wrong in (("--at", "yesterday"), ("--at", "2016-07-21T01:00:00"), ("--cost", str(10**30))):
        refused = run("complete-care", one["reminder_id"], *wrong)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
    assert must("care") == before
    (sent,) = must("complete-care", one["reminder_id"], "--channel", "phone")
    assert (sent["channel"], sent["employee_id"]) == ("phone", "eve")
    assert sent["occurred_at"] == must("customer", "anna")[0]["as_of"]
    assert sent["partition"] == partition_of(b"anna", PARTITIONS)
    again = run("complete-care", one["reminder_id"], "--channel", "phone")
    assert "marks the reminder FULFILLED" in again.stdout, again.stderr
