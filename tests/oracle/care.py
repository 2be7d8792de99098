"""What must hold of every output on `care-reminders`, read as a stranger reads it: input and output records alone.

`breaches` names each one that breaks a rule of C2, C4, C5, C8 or C9. It knows nothing of how reminders come about.
Inputs are plain events in their order, with `topic`; outputs are plain records; the policy is parsed TOML.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.whole import held_out

DAY_MS = 86_400_000
ENDS = ("FULFILLED", "WITHDRAWN", "EXPIRED")
Record = Mapping[str, Any]


def breaches(inputs: Sequence[Record], outputs: Sequence[Record], policy: Mapping[str, Any], clock: int) -> list[str]:
    """Every breach in words. clock: the last tick, ms; by then all is at rest."""
    kinds = {care["kind"]: care for care in policy.get("care", [])}
    by_customer: dict[str, list[Record]] = defaultdict(list)
    events: dict[str, list[Record]] = defaultdict(list)
    for one in outputs:
        by_customer[one["customer_id"]].append(one)
    for event in inputs:
        events[event["customer_id"]].append(event)
    found: list[str] = []
    for customer, told in by_customer.items():
        own = events[customer]
        found += _life(told, clock)
        found += _slots(customer, told, own, kinds, policy)
    seen = [one["event_id"] for one in outputs]
    found += [f"{name}: told twice" for name in sorted({one for one in seen if seen.count(one) > 1})]
    return found


def _life(told: Sequence[Record], clock: int) -> Iterator[str]:
    """C4: DUE or HELD_OUT first, one end at most, nothing behind it, each at its instant."""
    lives: dict[str, list[Record]] = defaultdict(list)
    for one in told:
        lives[one["reminder_id"]].append(one)
    for name, steps in lives.items():
        status = [one["status"] for one in steps]
        if status[0] not in ("DUE", "HELD_OUT"):
            yield f"{name}: begins with {status[0]}"
        if status[0] == "HELD_OUT" and len(status) > 1:
            yield f"{name}: held out, and then {status[1]}"
        if status.count("DUE") > 1:
            yield f"{name}: DUE twice"
        if any(one in ENDS for one in status[:-1]):
            yield f"{name}: goes on after its end: {status}"
        if any(one not in ("ESCALATED", *ENDS) for one in status[1:]):
            yield f"{name}: {status}"
        times = [one["at"] for one in steps]
        if times != sorted(times):
            yield f"{name}: goes back in time"
        if steps[0]["at"] >= steps[0]["expires_at"]:
            yield f"{name}: came when it was pointless"
        if status[-1] == "EXPIRED" and times[-1] != steps[-1]["expires_at"]:
            yield f"{name}: expired at {times[-1]}, not at {steps[-1]['expires_at']}"
        if status[-1] in ("DUE", "ESCALATED") and steps[-1]["expires_at"] <= clock:
            yield f"{name}: open beyond its time"


def _slots(
    customer: str, told: Sequence[Record], own: Sequence[Record], kinds: Mapping[str, Any], policy: Mapping[str, Any]
) -> Iterator[str]:
    """C2, C8, C9: consent, caps with campaigns, gaps, quiet hours, the control group."""
    rules, programme = policy.get("care_rules", {}), policy["programme"]
    cap, gap = rules.get("max_per_30_days"), rules.get("min_gap_days", 0) * DAY_MS
    others = [e["occurred_at"] for e in own if e["topic"] == "contacts" and e["kind"] == "CAMPAIGN"
              and e["direction"] == "OUT"]  # fmt: skip
    control = held_out(customer, policy)
    ours: list[int] = []
    for one in told:
        if one["status"] not in ("DUE", "HELD_OUT"):
            continue
        name, at, kind = one["reminder_id"], one["at"], kinds[one["kind"]]
        if (one["status"] == "HELD_OUT") != (control and kind.get("held_out", True)):
            yield f"{name}: {one['status']} of {customer}"
        profile = _profile(own, at)
        if profile.get("do_not_contact") or not profile.get("consent", {}).get(one["channel"], True):
            yield f"{name}: against consent"
        if kind["shape"] == "promise" and kind.get("on", "complaint") == "complaint":
            continue
        before = sorted([*ours, *(when for when in others if when <= at)])
        ours.append(at)
        if cap is not None and sum(when > at - 30 * DAY_MS for when in before) >= cap:
            yield f"{name}: beyond the cap"
        if before and at - before[-1] < gap:
            yield f"{name}: {at - before[-1]} ms after the one before"
        if "quiet_hours" in rules:
            begin, end = rules["quiet_hours"]
            zone = profile.get("time_zone") or programme.get("time_zone", "UTC")
            clock = datetime.fromtimestamp(at // 1000, ZoneInfo(zone)).strftime("%H:%M")
            if (begin <= clock < end) if begin < end else (clock >= begin or clock < end):
                yield f"{name}: went at {clock} in {zone}"


def _profile(own: Sequence[Record], at: int) -> Record:
    known = [e for e in own if e["topic"] == "customers" and e["occurred_at"] <= at]
    return max(known, key=lambda one: (one["occurred_at"], one["event_id"]), default={})
