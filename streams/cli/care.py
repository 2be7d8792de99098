"""Care, for those who give it: `care` lists what is to be done, `complete-care` closes one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final

from processors.days import Calendar, utc_iso
from processors.policy import Policy
from schemas import codec, topics
from schemas.partitioner import partition_of
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.fields import instant
from streams.leader import wall_ms
from streams.reading import TopicReader
from streams.sending import send_one
from streams.settings import LoyaltyError, Settings, UsageError

NOBODY: Final = "nobody"
"""Shown in place of an employee where nobody is in charge."""

Row = dict[str, Any]


def _care_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--employee", metavar="E", help="only what this employee is to do")
    parser.add_argument("--kind", metavar="K", help="only this kind of care")
    parser.add_argument("--tier", metavar="T", help="only for customers of this tier")


def run_care(args: Namespace, settings: Settings) -> int:
    """All open reminders, by employee, the most urgent first."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        policy = now.policy()
        _check("--kind", args.kind, [care.kind for care in policy.care], policy)
        _check("--tier", args.tier, [tier.name for tier in policy.tiers], policy)
        rows = reminders(now.everyone(), args.employee, args.kind, args.tier)
    if args.json:
        out.records(rows)
        return OK
    for employee, mine in groupby(rows, key=lambda row: row["employee_id"] or NOBODY):
        out.say(f"{employee}:")
        for row in mine:
            out.say(_shown(row, policy.calendar))
    people = len({row["employee_id"] or NOBODY for row in rows})
    out.say(f"{len(rows):,} open reminders, for {people:,} to do" if rows else "nobody is to be cared for now")
    return OK


def _check(option: str, name: str | None, known: list[str], policy: Policy) -> None:
    if name is not None and name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        raise UsageError(f"{option} {name!r} is not in the policy {policy.label}; {hint}")


def reminders(
    views: Iterable[Mapping[str, Any]], employee: str | None = None, kind: str | None = None, tier: str | None = None
) -> list[Row]:
    """The open reminders of `views`, with customer and tier: by employee, those of nobody last; most urgent first."""
    rows = [
        {"customer_id": seen["customer_id"], "tier": seen["tier"], **one}
        for seen in views
        if tier in (None, seen["tier"])
        for one in seen["open_reminders"] or ()
        if employee in (None, one["employee_id"]) and kind in (None, one["kind"])
    ]
    return sorted(rows, key=_urgency)


def _urgency(row: Mapping[str, Any]) -> tuple[bool, str, int, int, str]:
    mine = row["employee_id"]
    return mine is None, mine or "", row["priority"], row["due_at"], row["reminder_id"]


def _shown(row: Mapping[str, Any], calendar: Calendar) -> str:
    """Three lines: whom and until when, what to do, how to say that it is done."""
    due, until = (calendar.iso_day(calendar.day_of(row[name])) for name in ("due_at", "expires_at"))
    status = ", ESCALATED" if row["status"] == "ESCALATED" else ""
    head = f"  {row['priority']}  {row['customer_id']} ({row['tier']}), {row['kind']}, by {row['channel']}"
    return f"{head}, for {due}, until {until}{status}\n     {row['text']}\n     {row['reminder_id']}"


# ---- complete-care


def _complete_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("reminder_id", metavar="REMINDER_ID", help="as `loyalty care` shows it")
    parser.add_argument("--channel", metavar="C", help="on which it was done (default: the reminder's)")
    parser.add_argument("--employee", metavar="E", help="who did it (default: who was to do it)")
    parser.add_argument("--cost", type=int, metavar="N", help="what it cost, minor units (default: the channel's)")
    parser.add_argument("--at", metavar="TIME", help="when, ISO 8601 with an offset or UTC milliseconds (default: now)")


def run_complete(args: Namespace, settings: Settings) -> int:
    """Writes the CARE contact that fulfils a reminder."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        found = next((row for row in reminders(now.everyone()) if row["reminder_id"] == args.reminder_id), None)
        clock = now.clock()
    if found is None:
        raise LoyaltyError(
            f"no open reminder {args.reminder_id!r}: it has ended, or never was; `loyalty care` lists the open ones"
        )
    name = found["customer_id"]
    contact = {
        "event_id": f"complete-care:{args.reminder_id}",
        "customer_id": name,
        "occurred_at": _when(args.at, clock, settings),
        "kind": "CARE",
        "direction": "OUT",
        "channel": args.channel or found["channel"],
        "reminder_id": args.reminder_id,
        "employee_id": args.employee or found["employee_id"],
        "cost": args.cost,
    }
    key, value = name.encode(), codec.write(topics.CONTACTS, contact)
    codec.decode(topics.CONTACTS, value, key)  # by the contract's rules, before it is sent
    with TopicReader(settings.kafka) as reader:
        partition = partition_of(key, reader.partitions(topics.CONTACTS))
    offset = send_one(settings.kafka, topics.CONTACTS, partition, key, value)
    told = {**contact, "topic": topics.CONTACTS, "partition": partition, "offset": offset}
    if out.as_json:
        out.record(told)
        return OK
    where = f"{topics.CONTACTS}[{partition}]@{offset}"
    out.say(f"done for {name}, {found['kind']}: {where}, at {utc_iso(contact['occurred_at'])}")
    out.say("The worker marks the reminder FULFILLED. Sent again it changes nothing.")
    return OK


def _when(text: str | None, clock: int | None, settings: Settings) -> int:
    """The time of the contact: as told, else stream time where data is the clock, else the wall's."""
    if text is not None:
        try:
            return int(text) if text.isdecimal() else instant(text, "--at")
        except ValueError as error:
            raise UsageError(str(error)) from None
    return clock if settings.clock == "data" and clock is not None else wall_ms()


COMMANDS = [
    Command("care", "who is to be cared for now, by employee", _care_arguments, run_care),
    Command("complete-care", "close a reminder: somebody has cared", _complete_arguments, run_complete),
]
