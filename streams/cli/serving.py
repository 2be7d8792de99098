"""Figures of service: `promises` (K0), `complaints` (K4), `employees` (E1)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from processors.money import major
from streams import serving
from streams.cli.command import OK, Command, no_arguments
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.grading import grades
from streams.settings import Settings


def _promises_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--by", choices=serving.PROMISE_SORTS, default="kind", help="a line for each (default: kind)")


def run_promises(args: Namespace, settings: Settings) -> int:
    """How many promises were kept, late and broken."""
    with CustomersNow(settings) as now:
        lines = serving.promises(now.figures(), args.by)
    _tell(Output.of(args), args.by, [line._asdict() for line in lines], "no promise has been made yet")
    return OK


def _complaints_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--by", choices=serving.COMPLAINT_SORTS, default="about", help="a line for each (default: about)"
    )


def run_complaints(args: Namespace, settings: Settings) -> int:
    """Open and resolved complaints, how long it took, and who was won back."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        lines = serving.complaints(now.figures(), args.by)
    rows = [line._asdict() for line in lines]
    if not args.json:
        for row in rows:
            row["reply in hours"] = _classes(row.pop("reply_hours"))
            row["resolved in hours"] = _classes(row.pop("resolve_hours"))
    _tell(out, args.by, rows, "no complaint so far")
    return OK


def _classes(held: Mapping[str, int]) -> str:
    """Classes of hours that have anything, as in "≤4: 12, ≤24: 3"."""
    told = [f"{'≤' + name if name.isdigit() else 'more'}: {number:,}" for name, number in held.items() if number]
    return ", ".join(told) or "-"


def run_employees(args: Namespace, settings: Settings) -> int:
    """Those in charge of customers, by how well these are kept."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        policy = now.policy()
        lines = serving.employees(now.figures(), policy.employees.least_cases, grades(now, policy))
    rows = [line._asdict() for line in lines]
    if not args.json:
        currency = policy.programme.currency
        for row in rows:
            row |= {name: major(row[name], currency) for name in ("value_365d", "equity")}
            if row["grade_since"] is not None:
                row["grade_since"] = policy.calendar.iso_day(policy.calendar.day_of(row["grade_since"]))
            if not policy.grades:
                del row["grade"], row["grade_since"]
    _tell(out, "employee", rows, "nobody is in charge of a customer, or has had anything to do")
    if not args.json and not policy.programme.figures:
        out.say("Customers are not counted by who is in charge: the policy says [programme] figures = false.")
    if rows and not args.json and any(row["rank"] is None for row in rows):
        out.say(f"Ranked is who is in charge of {policy.employees.least_cases:,} customers or more.")
    return OK


_TEXTS = {"reply in hours", "resolved in hours", "grade", "grade since"}


def _tell(out: Output, by: str, rows: list[dict[str, Any]], empty: str) -> None:
    """Rows as a table with shares in percent, or as they are."""
    if not out.as_json:
        rows = [{by if name == "name" else name: _shown(name, value) for name, value in row.items()} for row in rows]
        rows = [{name.replace("_", " "): value for name, value in row.items()} for row in rows]
    numbers = [name for name in (rows[0] if rows else ()) if name not in _TEXTS | {by}]
    out.table(rows, empty=empty, right=numbers)


def _shown(name: str, value: Any) -> Any:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if name == "satisfaction" else f"{100 * value:.1f}%"
    return value


COMMANDS = [
    Command(
        "promises", "promises kept, late and broken, by kind, store or employee", _promises_arguments, run_promises
    ),
    Command(
        "complaints", "complaints by cause, store or severity, and how they went", _complaints_arguments, run_complaints
    ),
    Command("employees", "those in charge of customers, by how well these are kept", no_arguments, run_employees),
]
