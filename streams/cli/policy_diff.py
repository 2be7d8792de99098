"""`loyalty policy diff`: whom another policy would move, on the customers as they are (M4)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final

from processors.days import utc_iso
from processors.money import major
from streams.cli.command import FAILED, OK, Command
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.policy_diff import AHEAD_DAYS, SAMPLE, Diff, policy_diff
from streams.settings import LoyaltyError, Settings, UsageError
from streams.texts import read_policy

SHOWN: Final = 20
_DAYS_MAX: Final = 366

_DETAILS = f"""\
Every customer that Redis holds is reviewed at its partition's clock under the policy in force and under FILE; nothing
is written. A rise in tier is at once, a fall once its grace is over. Reminders are expected as they would go in the
days ahead if nothing but time happened, for a sample of {SAMPLE:,} customers that is the same each time. Amounts stay
as they were booked. What histories lack that FILE needs is said at the end. Exit code 1: FILE is no policy, or nobody
is held.
"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the other policy")
    parser.add_argument("--all", action="store_true", help=f"all customers who move, not the {SHOWN} of most value")
    parser.add_argument(
        "--days", type=int, default=AHEAD_DAYS, metavar="N", help=f"look so far ahead (default: {AHEAD_DAYS}; 0: not)"
    )
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help=f"customers to look ahead for (default: {SAMPLE:,})"
    )


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    if not 0 <= args.days <= _DAYS_MAX or args.sample < 0:
        raise UsageError(f"--days must be 0 to {_DAYS_MAX}, and --sample 0 or more")
    policy = read_policy(args.file)
    limit = None if args.all else SHOWN
    with CustomersNow(settings) as now:
        if not now.worked:
            raise LoyaltyError("no worker has been here: `loyalty worker` folds the events that customers are made of")
        days = args.days if args.sample else 0
        with out.progress("customers") as bar:
            found = policy_diff(now, policy, days=days, sample=args.sample, limit=limit, told=bar.advance)
    if args.json:
        out.record(found.as_json())
    else:
        _say(out, found)
    return OK if found.customers else FAILED


def _say(out: Output, found: Diff) -> None:
    if not found.customers:
        out.say("no customers yet: `loyalty import`, then `loyalty worker`")
        return
    told, currency = found.as_json(), found.currency
    when = "before the first tick" if found.as_of is None else f"at {utc_iso(found.as_of)}"
    out.say(
        f"{found.policy_from} → {found.policy_to} {when}: {found.moved:,} of {found.customers:,} customers are treated "
        "otherwise"
    )
    before, after = found.equity
    out.say(f"expected contribution of all: {major(before, currency)} → {major(after, currency)}")
    _table(out, "tier", told["tiers"], "value_365d", currency)
    _table(out, "level of risk", told["levels"], "value_at_stake", currency)
    if told["segments"]:
        out.say()
        out.table(told["segments"], title="customers in each segment", right=["from", "to"])
    changed = [row for row in told["care"] if row["from"] != row["to"]]
    out.say("\nreminders open right after the change:")
    out.table(changed, empty="as many of each kind as now")
    _say_ahead(out, told)
    _say_movers(out, told["movers"], found, currency)
    for lack in told["lacks"]:
        out.say(f"note: {lack['text']}")


def _table(out: Output, what: str, rows: list[dict[str, Any]], amount: str, currency: str) -> None:
    shown = [row | {amount: major(row[amount], currency)} for row in rows]
    out.say()
    out.table(
        [{name.replace("_", " "): value for name, value in row.items()} for row in shown],
        title=f"{what}: who moves",
        empty="nobody",
        right=[amount.replace("_", " ")],
    )


def _say_ahead(out: Output, told: dict[str, Any]) -> None:
    if not told["sampled"]:
        return
    rows = [
        {
            "month": row["month"],
            "care": row["kind"],
            "from": round(row["from"]),
            "to": round(row["to"]),
            "difference": round(row["to"] - row["from"]),
        }
        for row in told["care_by_month"]
    ]
    of = f"by {told['sampled']:,} of {told['customers']:,} customers"
    out.say(f"\nreminders that go in the {told['days']} days ahead if nothing but time happens, {of}:")
    out.table(rows, empty="none")


def _say_movers(out: Output, movers: list[dict[str, Any]], found: Diff, currency: str) -> None:
    rows = []
    for one in movers:
        tier = _step(one["tier_from"], one["tier_to"])
        late = " in the end" if tier and not one["at_once"] else ""
        care = [f"+{kind}" for kind in one["care_new"]] + [f"-{kind}" for kind in one["care_gone"]]
        rows.append(
            {
                "customer": one["customer_id"],
                "value 365 d": major(one["value_365d"], currency),
                "tier": tier + late or "-",
                "risk": _step(one["level_from"], one["level_to"]) or "-",
                "care": ", ".join(care) or "-",
            }
        )
    out.say()
    left = found.moved - len(rows)
    out.table(rows, title="who is treated otherwise", empty="nobody", right=["value 365 d"])
    if left:
        out.say(f"{left:,} more: --all lists them")


def _step(old: str, new: str) -> str:
    return "" if old == new else f"{old} → {new}"


COMMANDS = [
    Command("policy diff", "whom another policy would move, and what it would have done", _configure, _run, _DETAILS),
]
