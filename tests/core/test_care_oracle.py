"""The stranger who reads the topics notices each lie: a checker that can't fail would prove nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracle.care import untrue

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
AT = 1_700_000_000_000
POLICY: dict[str, Any] = {
    "programme": {"name": "p", "currency": "USD"},
    "complaints": {"reply_hours": [72, 48, 24, 8, 4], "follow_up_days": 7},
    "care_rules": {"no_repeat": 2, "channels": ["phone"]},
    "care": [
        {"kind": "REPLY", "shape": "promise"},
        {"kind": "FOLLOW_UP", "shape": "promise", "on": "follow_up"},
        {"kind": "HELLO", "shape": "event", "on": "visit"},
    ],
}
Record = dict[str, Any]


def opened(**fields: Any) -> Record:
    plain = {"topic": "complaints", "customer_id": "anna", "event_id": "k", "occurred_at": AT, "complaint_id": "c1",
             "status": "OPENED", "severity": 3, "satisfaction": None}  # fmt: skip
    return plain | fields


def called(at: int, **fields: Any) -> Record:
    plain = {"topic": "contacts", "customer_id": "anna", "event_id": f"t{at}", "occurred_at": at, "kind": "CARE",
             "direction": "OUT", "reminder_id": None}  # fmt: skip
    return plain | fields


def profile(**fields: Any) -> Record:
    return {"topic": "customers", "customer_id": "anna", "event_id": "p", "occurred_at": AT - 1} | fields


def told(status: str = "DUE", kind: str = "REPLY", cause: str = f"c1:{AT}", at: int = AT, **fields: Any) -> Record:
    plain = {"customer_id": "anna", "reminder_id": f"anna:{kind}:{cause}", "kind": kind, "status": status, "at": at,
             "due_at": AT + DAY_MS, "target_at": AT + DAY_MS // 2, "expires_at": AT + 30 * DAY_MS, "done_at": None,
             "step": 0, "employee_id": "eve", "suggestion": None, "text": "thank them"}  # fmt: skip
    return plain | fields


DONE = told("FULFILLED", at=AT + HOUR_MS, done_at=AT + HOUR_MS)
HELLO = {"kind": "HELLO", "target_at": None}


def lies(inputs: list[Record], outputs: list[Record]) -> list[str]:
    return list(untrue(inputs, outputs, POLICY, AT + 90 * DAY_MS))


def test_the_truth_is_no_lie() -> None:
    assert lies([profile(employee_id="eve"), opened(), called(AT + HOUR_MS)], [told(), DONE]) == []
    assert lies([profile(do_not_contact=True), opened()], []) == []
    climbed = told("ESCALATED", at=AT + DAY_MS, step=1, employee_id="boss")
    assert lies([profile(employee_id="eve"), opened()], [told(), climbed]) == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "lie"),
    [
        ([opened()], [told(), DONE], "nothing was done"),
        ([opened(), called(AT + HOUR_MS, direction="IN")], [told(), DONE], "nothing was done"),
        ([opened(), called(AT + HOUR_MS)], [told(), DONE | {"at": AT}], "before it was done"),
        ([opened(), called(AT + HOUR_MS)], [told(), DONE | {"expires_at": AT + HOUR_MS}], "when it was pointless"),
        (
            [opened(), called(AT + HOUR_MS, reminder_id=f"anna:REPLY:c1:{AT}")],
            [told(), told("EXPIRED", at=AT + 30 * DAY_MS)],
            "EXPIRED, and was done",
        ),
        ([opened()], [told(target_at=None)], "no inner target"),
        ([opened()], [told(), told("ESCALATED", at=AT + DAY_MS, step=2)], "climbs"),
        ([opened()], [told(), told("ESCALATED", at=AT + DAY_MS - 1, step=1)], "before it was late"),
        ([profile(employee_id="tom"), opened()], [told()], "for eve, not for"),
        ([opened()], [], "nobody was told of c1"),
        ([opened()], [told(at=AT + 1)], "told at"),
        ([opened(severity=5)], [told()], "owed in 4 h"),
        ([opened()], [told(text="answer")], "nobody thanks for"),
        (
            [opened(status="RESOLVED")],
            [told(kind="FOLLOW_UP", at=AT + 6 * DAY_MS)],
            "after it was settled",
        ),
        (
            [],
            [told(cause=f"{n}", suggestion=s, **HELLO) for n, s in enumerate(("a", "b", "a"))],
            "suggests again 'a'",
        ),
    ],
)
def test_each_lie_is_named(inputs: list[Record], outputs: list[Record], lie: str) -> None:
    found = lies(inputs, outputs)
    assert [one for one in found if lie in one], found


def test_C6_an_idea_may_come_again_once_it_is_no_longer_of_the_last() -> None:
    outputs = [told(cause=f"{n}", suggestion=s, **HELLO) for n, s in enumerate(("a", "b", "c", "a"))]
    assert lies([], outputs) == []
