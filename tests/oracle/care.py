"""What must hold of every output on `care-reminders`, read as a stranger reads it: input and output records alone.

`breaches` names each one that breaks a rule of C2, C4, C8 or C9, `forgotten` who was (C5), and `untrue` what is said
and was not so: done, nobody's fault, somebody's to do, owed by another time (C4, C6, C7, K0 to K3). They know nothing
of how reminders come about. Inputs are plain events in their order, with `topic`; outputs are plain records; the policy
is parsed TOML.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.whole import held_out

DAY_MS = 86_400_000
_LOOK_MS = 11 * 3_600_000
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
        if kind["shape"] == "rate":  # reaches nobody
            continue
        if (one["status"] == "HELD_OUT") != (control and kind.get("held_out", True)):
            yield f"{name}: {one['status']} of {customer}"
        profiles = _profiles(own, at)
        if all(_refuses(known, one["channel"]) for known in profiles):
            yield f"{name}: against consent"
        if kind["shape"] == "promise" and kind.get("on", "complaint") in ("complaint", "agreed"):
            continue
        before = sorted([*ours, *(when for when in others if when < at)])  # of that instant may have come behind it
        ours.append(at)
        if cap is not None and sum(when > at - 30 * DAY_MS for when in before) >= cap:
            yield f"{name}: beyond the cap"
        if before and at - before[-1] < gap:
            yield f"{name}: {at - before[-1]} ms after the one before"
        if "quiet_hours" in rules:
            zones = {known.get("time_zone") or programme.get("time_zone", "UTC") for known in profiles}
            clocks = {zone: _clock(at, zone) for zone in zones}
            if all(_quiet(clock, *rules["quiet_hours"]) for clock in clocks.values()):
                yield f"{name}: went at {clocks}"


def _refuses(profile: Record, channel: str) -> bool:
    return bool(profile.get("do_not_contact")) or not profile.get("consent", {}).get(channel, True)


def _clock(at: int, zone: str) -> str:
    return datetime.fromtimestamp(at // 1000, ZoneInfo(zone)).strftime("%H:%M")


def _quiet(clock: str, begin: str, end: str) -> bool:
    return begin <= clock < end if begin < end else clock >= begin or clock < end


def _profiles(own: Sequence[Record], at: int) -> list[Record]:
    """What may have been known at `at`: the latest profile of before, and those of that very instant."""
    return [_profile(own, at - 1), *(e for e in own if e["topic"] == "customers" and e["occurred_at"] == at)]


def forgotten(
    inputs: Sequence[Record], outputs: Sequence[Record], tiers: Sequence[Record], policy: Mapping[str, Any], clock: int
) -> Iterator[str]:
    """C5, looked at every eleven hours until the clock, so at every hour of the day: who has a tier with
    `care_every_days` and neither a touch behind them within it nor a reminder before them, though one might go. tiers:
    the records of `tier-changes`.

    None might go to who refuses all channels, is held out, costs more than they bring (no reminder of their span was
    ever told), had a reminder or campaign within the cap's or the gap's days, or has quiet hours.
    """
    span = {tier["name"]: tier.get("care_every_days") for tier in policy["tiers"]}
    lowest, rules = policy["tiers"][0]["name"], policy.get("care_rules", {})
    events: dict[str, list[Record]] = defaultdict(list)
    told: dict[str, list[Record]] = defaultdict(list)
    moves: dict[str, list[Record]] = defaultdict(list)
    for records, place in ((inputs, events), (outputs, told), (tiers, moves)):
        for one in records:
            place[one["customer_id"]].append(one)
    for customer, own in events.items():
        if held_out(customer, policy):
            continue
        own.sort(key=lambda one: one["occurred_at"])
        touches = [e["occurred_at"] for e in own if e["topic"] == "contacts" and e["direction"] == "OUT"]
        sent = [e["occurred_at"] for e in own if e["topic"] == "contacts" and e["kind"] == "CAMPAIGN"]
        sent += [one["at"] for one in told[customer] if one["status"] == "DUE"]
        for at in range(own[0]["occurred_at"], clock, _LOOK_MS):
            tier = [lowest, *(one["to_tier"] for one in moves[customer] if one["at"] <= at)][-1]
            days = span.get(tier)
            behind = max([own[0]["occurred_at"], *(when for when in touches if when <= at)])
            if days is None or at - behind < (days + 1) * DAY_MS:  # a day of room for quiet hours
                continue
            lives: dict[str, str] = {}
            for one in told[customer]:
                if one["at"] <= at:
                    lives[one["reminder_id"]] = one["status"]
            profile = _profile(own, at)
            refuses = profile.get("do_not_contact") or not all(profile.get("consent", {}).get(name, True)
                                                               for name in rules.get("channels", []))  # fmt: skip
            lately = [when for when in sent if at - 30 * DAY_MS < when <= at]
            full = len(lately) >= rules.get("max_per_30_days", 10**9) or any(
                at - when < (rules.get("min_gap_days", 0) + 1) * DAY_MS for when in lately
            )
            zone = profile.get("time_zone") or policy["programme"].get("time_zone", "UTC")
            if "quiet_hours" in rules and _quiet(_clock(at, zone), *rules["quiet_hours"]):
                continue  # it comes in the morning, and at another hour somebody looks again
            open_ = any(status in ("DUE", "ESCALATED") for status in lives.values())
            if not (open_ or refuses or full):
                yield f"{customer}: {tier}, forgotten at {at}, the last touch at {behind}"
                break


def _profile(own: Sequence[Record], at: int) -> Record:
    known = [e for e in own if e["topic"] == "customers" and e["occurred_at"] <= at]
    return max(known, key=lambda one: (one["occurred_at"], one["event_id"]), default={})


# ---- what is said, and whether it was so

HOUR_MS = 3_600_000


def untrue(inputs: Sequence[Record], outputs: Sequence[Record], policy: Mapping[str, Any], clock: int) -> Iterator[str]:
    """C4, C6, C7, K0-K3: what the outputs say and the inputs do not bear out, and complaints that nobody was told
    of."""
    kinds = {care["kind"]: care for care in policy.get("care", [])}
    events: dict[str, list[Record]] = defaultdict(list)
    lives: dict[str, list[Record]] = defaultdict(list)
    told: dict[str, list[Record]] = defaultdict(list)
    for event in inputs:
        events[event["customer_id"]].append(event)
    for one in outputs:
        if kinds[one["kind"]]["shape"] != "rate":
            lives[one["reminder_id"]].append(one)
            told[one["customer_id"]].append(one)
    for name, steps in lives.items():
        own, care = events[steps[0]["customer_id"]], kinds[steps[0]["kind"]]
        yield from _ended_so(name, steps, own)
        if care["shape"] == "promise":
            yield from _climbed_so(name, steps)
    for customer, mine in told.items():
        yield from _in_charge_so(mine, events[customer], kinds)
        yield from _heard_again(mine, policy.get("care_rules", {}).get("no_repeat", 0))
    for customer, own in events.items():
        yield from _unanswered(customer, own, told[customer], policy, clock)


def _ended_so(name: str, steps: Sequence[Record], own: Sequence[Record]) -> Iterator[str]:
    """C4: what is FULFILLED was done by us, or settled, at the instant it says; what EXPIRED was not done by its
    name."""
    last, begun = steps[-1], steps[0]
    if last["status"] == "FULFILLED":
        deeds = [
            e for e in own if e["occurred_at"] == last["done_at"] and (
                (e["topic"] == "contacts" and e["direction"] == "OUT")
                or (e["topic"] == "complaints" and (e["status"] == "RESOLVED" or e["satisfaction"] is not None))
            )
        ]  # fmt: skip
        if not deeds:
            yield f"{name}: FULFILLED, and nothing was done at {last['done_at']}"
        if not last["done_at"] <= last["at"]:
            yield f"{name}: FULFILLED before it was done"
        if last["done_at"] >= last["expires_at"] and not any(e.get("reminder_id") == name for e in deeds):
            yield f"{name}: FULFILLED by what came when it was pointless"
    elif last["status"] == "EXPIRED":
        named = [e for e in own if e["topic"] == "contacts" and e["kind"] == "CARE" and e["direction"] == "OUT"
                 and e["reminder_id"] == name and begun["at"] <= e["occurred_at"] < last["at"]]  # fmt: skip
        if named:
            yield f"{name}: EXPIRED, and was done"


def _climbed_so(name: str, steps: Sequence[Record]) -> Iterator[str]:
    """K0, K1: a promise has an inner target before its end, climbs from its end on, and not before."""
    if any(one["target_at"] is None or one["target_at"] > one["due_at"] for one in steps):
        yield f"{name}: no inner target before its end"
    climbs = [one for one in steps if one["status"] == "ESCALATED"]
    if [one["step"] for one in climbs] != list(range(1, len(climbs) + 1)):
        yield f"{name}: climbs {[one['step'] for one in climbs]}"
    if any(one["at"] < one["due_at"] for one in climbs):
        yield f"{name}: escalated before it was late"


def _in_charge_so(told: Sequence[Record], own: Sequence[Record], kinds: Mapping[str, Any]) -> Iterator[str]:
    """C7, E3: it is for whoever is in charge, unless the customer went back to the pool."""
    pooled_at = -1
    for one in told:
        if one["status"] == "EXPIRED" and kinds[one["kind"]].get("on") == "owner":
            pooled_at = one["at"]
        if one["status"] != "DUE":
            continue
        known = _profiles(own, one["at"])
        owners = {profile.get("employee_id") for profile in known if profile.get("occurred_at", 0) > pooled_at}
        if owners and None not in owners and one["employee_id"] not in owners:
            yield f"{one['reminder_id']}: for {one['employee_id']}, not for {owners}"


def _heard_again(told: Sequence[Record], no_repeat: int) -> Iterator[str]:
    """C6: no suggestion that came with one of the last `no_repeat` of its kind."""
    heard: dict[str, list[str]] = defaultdict(list)
    for one in told:
        if one["status"] in ("DUE", "HELD_OUT") and one["suggestion"] is not None and no_repeat:
            before = heard[one["kind"]]
            if one["suggestion"] in before[-no_repeat:]:
                yield f"{one['reminder_id']}: suggests again {one['suggestion']!r}"
            before.append(one["suggestion"])


def _unanswered(
    customer: str, own: Sequence[Record], told: Sequence[Record], policy: Mapping[str, Any], clock: int
) -> Iterator[str]:
    """K1-K3: each complaint opened has its reply, due within the hours of its severity or sooner, and thanked for;
    unless it was settled that instant, or the customer refuses all channels. No follow-up comes before its days are
    over."""
    rules = policy["complaints"]
    kinds = {care["kind"]: care.get("on", "complaint") for care in policy["care"] if care["shape"] == "promise"}
    replies = [one for one in told if kinds.get(one["kind"]) == "complaint" and one["status"] == "DUE"]
    settled = [e for e in own if e["topic"] == "complaints" and e["status"] == "RESOLVED"]
    for event in own:
        if (
            event["topic"] != "complaints"
            or event["status"] not in ("OPENED", "REOPENED")
            or event["occurred_at"] > clock
        ):
            continue
        at, hours = event["occurred_at"], rules["reply_hours"][event["severity"] - 1]
        mine = [one for one in replies if f":{event['complaint_id']}:{at}" in one["reminder_id"]]
        at_once = any(e["complaint_id"] == event["complaint_id"] and e["occurred_at"] == at for e in settled)
        channels = policy.get("care_rules", {}).get("channels", [])
        refuses = any(
            known.get("do_not_contact") or not any(known.get("consent", {}).get(one, True) for one in channels)
            for known in _profiles(own, at)
        )
        if not mine and not at_once and not refuses:
            yield f"{customer}: nobody was told of {event['complaint_id']}, opened at {at}"
        for one in mine:
            if one["at"] != at or one["due_at"] > at + hours * HOUR_MS:
                yield f"{one['reminder_id']}: told at {one['at']}, due {one['due_at']}; owed in {hours} h from {at}"
            if policy["programme"].get("language", "en") == "en" and "thank" not in one["text"]:
                yield f"{one['reminder_id']}: a complaint that nobody thanks for"
    for one in told:
        if kinds.get(one["kind"]) == "follow_up" and one["status"] == "DUE":
            since = max((e["occurred_at"] for e in settled if f":{e['complaint_id']}:" in one["reminder_id"]
                         and e["occurred_at"] <= one["at"]), default=one["at"])  # fmt: skip
            if one["at"] < since + rules["follow_up_days"] * DAY_MS - HOUR_MS:  # clocks may change in between
                yield f"{one['reminder_id']}: asks {one['at'] - since} ms after it was settled"
