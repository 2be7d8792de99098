"""What is said of an output: its rules, its numbers, its policy, its cause, and the records behind it (C10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import asdict

from processors.care.life import kinds_of
from processors.care.promises import promised
from processors.care.sections import Care
from processors.charge import owner_of
from processors.outputs import CareReminder, ChurnRisk, GradeChange
from processors.policy import Policy
from schemas.codec import read
from schemas.topics import CARE_REMINDERS, CHURN_RISK, CUSTOMER_VALUE, EMPLOYEE_GRADES, POLICIES, TIER_CHANGES
from streams.explaining import Behind, Found, Published, Told

EXPLAINED: Final = (TIER_CHANGES, CHURN_RISK, CARE_REMINDERS, CUSTOMER_VALUE, EMPLOYEE_GRADES)
"""The topics whose outputs can be explained."""

RULES: Final[Mapping[str, str]] = {
    "V1": "Rolling figures",
    "T1": "Up at once",
    "T2": "Down after a grace",
    "T3": "One step down",
    "T6": "A tier at risk",
    "T7": "Lifetime club",
    "T9": "Benefits as entitlements",
    "R2": "The score",
    "R3": "Levels",
    "R6": "Fading",
    "X1": "Every exit has a reason",
    "X2": "Win-back",
    "K0": "A promise is one thing",
    "K1": "A complaint is owed a reply",
    "K2": "After the remedy",
    "K5": "From complaint to cause",
    "C1": "Kinds of care",
    "C2": "When a reminder may go",
    "C4": "Life of a reminder",
    "C5": "Nobody important is forgotten",
    "C8": "The control group",
    "E2": "Grades of those who serve",
    "E3": "Customers inside",
}
"""The rules that decide outputs, by the headings of docs/rules.md, where each is told in full."""

_OF_RISK: Final[Mapping[str, tuple[str, ...]]] = {
    "RAISED": ("R3", "R2"), "WORSENED": ("R3", "R2"), "EASED": ("R3", "R2"), "CLEARED": ("R3", "R2"),
    "LOST": ("R3", "X1"), "WON_BACK": ("R3", "X2"), "FADING": ("R6",), "RECOVERED": ("R6",),
}  # fmt: skip
_OF_STATUS: Final[Mapping[str, tuple[str, ...]]] = {
    "DUE": ("C2",), "HELD_OUT": ("C8",), "ESCALATED": ("C4",), "FULFILLED": ("C4",), "WITHDRAWN": ("C4",),
    "EXPIRED": ("C4",),
}  # fmt: skip
_OF_CAUSE: Final[Mapping[str, str]] = {
    "tier_falling": "T6", "complaint": "K1", "follow_up": "K2", "inquiry": "K0", "agreed": "K0", "rate": "K5",
    "silence": "C5", "owner": "E3", "achievement": "E3", "benefit": "T9",
}  # fmt: skip


def rules_of(topic: str, fields: Mapping[str, Any], policy: Policy | None) -> tuple[str, ...]:
    """The ids of the rules that decided an output, as it was published; policy: of its time, where it is known."""
    if topic == TIER_CHANGES:
        return tuple(_of_tier(fields, policy))
    if topic == EMPLOYEE_GRADES:
        return ("E2", *_climbed(fields, policy))
    if topic == CHURN_RISK:
        return _OF_RISK.get(fields["transition"], ("R3",))
    if topic == CARE_REMINDERS:
        care = None if policy is None else kinds_of(policy).get(fields["kind"])
        about = "" if care is None else _cause(care)
        return (_OF_CAUSE.get(about, "C1"), *_OF_STATUS.get(fields["status"], ("C4",)))
    return ("V1",)


def _climbed(fields: Mapping[str, Any], policy: Policy | None) -> Iterator[str]:
    up = fields["direction"] == "UP"
    yield "T1" if up else "T2"
    if not up and policy is not None and policy.tier_rules.one_step_down:
        yield "T3"


def _of_tier(fields: Mapping[str, Any], policy: Policy | None) -> Iterator[str]:
    yield from _climbed(fields, policy)
    if (fields["reason_code"] or "").startswith("club"):
        yield "T7"


def _cause(care: Care) -> str:
    if care.shape == "promise":
        return promised(care)
    return care.on or care.shape if care.shape == "event" or care.on == "owner" else care.shape


def explained(
    of: Published, told: Told, policies: Mapping[str, tuple[Policy, int | None]], missing: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """All of it as one object. policies: by key, with the offset on the topic; missing: records that are gone."""
    fields, found = read(of.topic, of.value), told.found
    policy = found.policy if found is not None else _labelled(fields["policy"], policies)
    return {
        "event_id": of.event_id,
        "topic": of.topic,
        "partition": of.partition,
        "offset": of.offset,
        "customer_id": fields["customer_id"],
        "at": fields["at"],
        "output": fields,
        "rules": [{"id": rule, "says": RULES[rule]} for rule in rules_of(of.topic, fields, policy)],
        "numbers": _numbers(of.topic, fields, told),
        "policy": _policy(fields["policy"], policy, policies),
        "cause": None if found is None else _caused_by(found),
        "inputs": [{**asdict(one), "cause": found is not None and one == found.record} for one in told.inputs],
        "reading": told.reading,
        "reproduced": found is not None and _same(of, found),
        "differs": None if found is None else differing(of.topic, of.value, found.value),
        "missing": list(missing),
    }


def _labelled(label: str, policies: Mapping[str, tuple[Policy, int | None]]) -> Policy | None:
    """The latest policy of that name and version."""
    return next((one for one, _ in reversed(list(policies.values())) if one.label == label), None)


def _policy(label: str, policy: Policy | None, policies: Mapping[str, tuple[Policy, int | None]]) -> dict[str, Any]:
    key = None if policy is None else policy.key
    offset = None if key is None else policies[key][1]
    where = {"topic": POLICIES, "partition": 0, "offset": offset}
    return {"label": label, "key": key, **(where if offset is not None else dict.fromkeys(where))}


def _same(of: Published, found: Found) -> bool:
    """To the byte, or, of an output of an older release, in every field."""
    return of.value == found.value or not differing(of.topic, of.value, found.value)


def differing(topic: str, published: bytes, again: bytes) -> dict[str, dict[str, Any]]:
    """The fields that are not the same, as published and as folded again."""
    one, other = read(topic, published), read(topic, again)
    return {
        name: {"published": value, "again": other[name]}
        for name, value in one.items()
        if repr(value) != repr(other[name])
    }


def _caused_by(found: Found) -> dict[str, Any]:
    """What decided that it was told then: a record, a tick that brought a policy or threshold, or time alone."""
    kind = "record" if found.record is not None else "policy" if found.changed else "time"
    seen = found.record or found.noticed
    if kind == "time" and isinstance(found.output, GradeChange) and seen and seen.occurred_at == found.output.at:
        kind = "record"  # the tick that said how they serve (E2)
    return {"kind": kind, "clock": found.clock, "record": None if seen is None else asdict(seen)}


def _numbers(topic: str, fields: Mapping[str, Any], told: Told) -> dict[str, Any]:
    output = None if told.found is None else told.found.output
    if topic == TIER_CHANGES:
        names = (
            "reason_code",
            "reason_have",
            "reason_need",
            "value_365d",
            "currency",
            "keep_until",
            "next_tier",
            "to_next",
        )
        return {name.removeprefix("reason_"): fields[name] for name in names}
    if topic == EMPLOYEE_GRADES:
        of_grade = ("reason_code", "reason_have", "reason_need", "figures", "next_grade", "to_next")
        return {name.removeprefix("reason_"): fields[name] for name in of_grade}
    if topic == CHURN_RISK:
        return _numbers_of_risk(fields, output if isinstance(output, ChurnRisk) else None)
    if topic == CARE_REMINDERS:
        return _numbers_of_care(fields, told, output if isinstance(output, CareReminder) else None)
    return {}


def _numbers_of_risk(fields: Mapping[str, Any], output: ChurnRisk | None) -> dict[str, Any]:
    numbers = {} if output is None else {one.code: one for one in output.reasons}
    reasons = []
    for one in fields["reasons"]:
        known = numbers.get(one["code"])
        reasons.append(
            {**one, "have": None if known is None else known.have, "usual": None if known is None else known.usual}
        )
    names = (
        "score", "p_no_purchase", "p_alive", "expected_purchases", "fading", "value_at_stake", "currency",
        "usual_gap_days", "last_purchase_at",
    )  # fmt: skip
    return {**{name: fields[name] for name in names}, "reasons": reasons}


def _numbers_of_care(fields: Mapping[str, Any], told: Told, output: CareReminder | None) -> dict[str, Any]:
    """Cause, times and priority; what held it back; who has it, and why they."""
    made: dict[str, Any] = {
        name: fields[name] for name in ("kind", "status", "due_at", "expires_at", "priority", "channel")
    }
    made |= {
        "shape": None,
        "cause": None,
        "wanted_at": None,
        "told_at": None,
        "have": None,
        "usual": None,
        "what": None,
    }
    made["employee_id"], made["employee_by"] = fields["employee_id"], None
    made["held_back"] = [asdict(one) for one in told.held]
    if output is None or told.found is None:
        return made
    made |= {
        "shape": output.shape,
        "have": output.have,
        "usual": output.usual,
        "what": output.what,
        "step": output.step,
    }
    made["cause"] = output.reminder_id.removeprefix(f"{output.customer_id}:{output.kind}:")
    made["employee_by"] = _who(output, told.found)
    if told.found.reminder is not None:
        one = told.found.reminder
        made["wanted_at"], made["told_at"] = one.wanted_at, None if one.told_at < 0 else one.told_at
    return made


def _who(output: CareReminder, found: Found) -> str | None:
    """Why it is theirs: in charge of the customer, of the roster (C7), on the ladder of complaints (K1)."""
    one = found.customer
    if output.employee_id is None:
        return None
    if output.step and found.policy.complaints.escalate_to:
        return "ladder"
    if one is not None and owner_of(one.history, one.told.charge) == output.employee_id:
        return "in charge"
    return "roster" if found.reminder is not None and found.reminder.employee == output.employee_id else "ladder"


def seen_of(one: Mapping[str, Any]) -> Behind:
    """A record of `cause` or `inputs` as it was."""
    return Behind(**{name: one[name] for name in Behind.__struct_fields__})
