"""`loyalty funnel`: how those who came lately came, how far they got, and who has asked and not bought (D8)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from processors.days import utc_iso
from processors.money import major
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.funnel import FunnelLine, Report, funnel
from streams.settings import Settings

SHOWN: Final = 20

_DETAILS = """\
Of the people first heard of in the last 365 days: who came by an inquiry, who was brought by a customer, who bought
straight away, and of each how many bought, came back, feel more than habit, or are lost. A prospect has asked something
in the last 365 days and never bought; who still waits for an answer comes first.
"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"all prospects, not the first {SHOWN}")


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    with CustomersNow(settings) as now:
        found = funnel(now)
    if args.json:
        out.record(found.as_json())
    else:
        _say(out, found, everybody=args.all)
    return OK


def _say(out: Output, found: Report, *, everybody: bool) -> None:
    rows = [_row(line, found.currency) for line in found.lines]
    out.table(rows, title="Who came in the last 365 days", right=[name for name in rows[0] if name != "way"])
    shown = found.prospects if everybody else found.prospects[:SHOWN]
    out.say()
    out.table(
        [
            {
                "prospect": one.customer_id,
                "asked": one.asked,
                "last": utc_iso(one.asked_at),
                "channel": one.channel,
                "about": one.about or "-",
                "answered": "yes" if one.answered else "no",
                "brought by": one.referrer or "-",
                "in charge": one.employee or "-",
            }
            for one in shown
        ],
        title=f"{len(found.prospects):,} prospects; {found.unanswered:,} wait for an answer",
        empty="nobody has asked without buying",
    )
    if len(shown) < len(found.prospects):
        out.say(f"{len(found.prospects) - len(shown):,} more: --all lists them")


def _row(line: FunnelLine, currency: str) -> dict[str, object]:
    return {
        "way": line.way,
        "came": line.came,
        "bought": line.bought,
        "of who came": _percent(line.bought_share),
        "days to buy": "-" if line.days_to_buy is None else f"{line.days_to_buy:.1f}",
        "again": line.again,
        "of who bought": _percent(line.again_share),
        "more than habit": line.felt,
        "lost": line.lost,
        "value 365 d": major(line.value_365d, currency),
        "contribution": major(line.contribution_365d, currency),
    }


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.1f}%"


_HELP: Final = "how new customers came, how far they got, who asked and has not bought"
COMMANDS = [Command("funnel", _HELP, _configure, _run, _DETAILS)]
