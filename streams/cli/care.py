"""Care, for those who give it: `care` lists what is to be done, `complete-care` closes one."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final

from processors.days import Calendar, utc_iso
from processors.events import TIME_END_MS
from processors.policy import Policy
from schemas import topics
from schemas.errors import BadRecord
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.closing import done, open_reminder, reminders, send_contact
from streams.customers_now import CustomersNow
from streams.fields import cell_instant
from streams.leader import wall_ms
from streams.settings import Settings, UsageError

NOBODY: Final = "nobody"
"""Shown in place of an employee where nobody is in charge."""


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
        rows = reminders(now.everyone(places=True), args.employee, args.kind, args.tier)
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
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"
        raise UsageError(f"{option} {name!r} is not in the policy {policy.label}; {hint}")


def _shown(row: Mapping[str, Any], calendar: Calendar) -> str:
    """Three lines: whom and until when, what to do, how to say that it is done."""
    due, until = (calendar.iso_day(calendar.day_of(row[name])) for name in ("due_at", "expires_at"))
    hour, minute = divmod(calendar.minute_of(row["due_at"]), 60)
    status = ", ESCALATED" if row["status"] == "ESCALATED" else ""
    head = f"  {row['priority']}  {row['customer_id']} ({row['tier']}), {row['kind']}, by {row['channel']}"
    return (
        f"{head}, for {due} {hour:02}:{minute:02}, until {until}{status}\n     {row['text']}\n     {row['reminder_id']}"
    )


# ---- complete-care


def _complete_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("reminder_id", metavar="REMINDER_ID", help="as `loyalty care` shows it")
    parser.add_argument("--channel", metavar="C", help="on which it was done (default: the reminder's)")
    parser.add_argument("--employee", metavar="E", help="who did it (default: who was to do it)")
    parser.add_argument("--cost", type=int, metavar="N", help="what it cost, minor units (default: the channel's)")
    parser.add_argument(
        "--at", metavar="TIME", type=_time, help="when, ISO 8601 with an offset or UTC milliseconds (default: now)"
    )


def _time(text: str) -> int:
    """UTC ms of what was typed."""
    try:
        at = cell_instant(text)
    except BadRecord as error:
        raise ArgumentTypeError(str(error)) from None
    if not 0 <= at < TIME_END_MS:
        raise ArgumentTypeError(f"{text!r} is no instant: must lie in 0 <= ms < {TIME_END_MS}")
    return at


def run_complete(args: Namespace, settings: Settings) -> int:
    """Writes the CARE contact that fulfils a reminder."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        seen, row = open_reminder(args.reminder_id, now.one)
    at = args.at if args.at is not None else seen["as_of"] if settings.clock == "data" else wall_ms()
    contact = done(row, at, args.channel, args.employee, args.cost)
    name = row["customer_id"]
    partition, offset = send_contact(settings, contact)
    if out.as_json:
        out.record({**contact, "topic": topics.CONTACTS, "partition": partition, "offset": offset})
        return OK
    out.say(f"done for {name}, {row['kind']}: {topics.CONTACTS}[{partition}]@{offset}, at {utc_iso(at)}")
    out.say("The worker marks the reminder FULFILLED at the next tick. Sent again it changes nothing.")
    if settings.clock == "data":
        out.note("that tick comes with an import: --ticks or --until-ms")
    return OK


COMMANDS = [
    Command("care", "who is to be cared for now, by employee", _care_arguments, run_care),
    Command("complete-care", "close a reminder: somebody has cared", _complete_arguments, run_complete),
]
