"""The programme's figures: `kpi`, `exporter`."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from processors.days import utc_iso
from streams.cli.ask import money
from streams.cli.command import OK, Command, no_arguments
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.forecast import DAYS, SORTS, forecast
from streams.programme import Figure, read_programme
from streams.settings import Settings

_DAY_S = 86_400
_DAYS_MAX = 3_650


def run_kpi(args: Namespace, settings: Settings) -> int:
    """The table of figures."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        found = read_programme(now, employees=None)
        policy, clock, worked = now.policy(), now.clock(), now.worked
    if args.json:
        for one in found:
            out.record({"figure": one.name, "labels": one.labels, "value": one.value, "unit": one.unit})
        return OK
    if not worked:
        out.say("no worker has been here yet: `loyalty worker`")
        return OK
    currency = policy.programme.currency
    when = "before the first tick" if clock is None else f"at {utc_iso(clock)}"
    out.say(f"Figures of {policy.label} {when}; amounts in {currency}. docs/use/figures.md says what each means.")
    if not policy.programme.figures:
        out.say("Of what all customers come to nothing is kept: the policy says [programme] figures = false.")
    for group, figures in groupby(found, key=lambda one: one.group):
        _say_group(out, group, list(figures), currency)
    return OK


def _say_group(out: Output, group: str, figures: Sequence[Figure], currency: str) -> None:
    """Figures without labels one a line; those by the same label side by side."""
    plain = [one for one in figures if not one.labels]
    if plain:
        out.say()
        rows = [{"figure": one.help.removesuffix("."), "value": shown(one, currency)} for one in plain]
        out.table(rows, title=group, right=["value"])
    labelled: dict[tuple[str, ...], list[Figure]] = {}
    for one in figures:
        if one.labels:
            labelled.setdefault(tuple(one.labels), []).append(one)
    for labels, held in labelled.items():
        rows = _side_by_side(labels, held, currency)
        out.say()
        out.table(
            rows, title=f"{group} by {' and '.join(labels)}", right=[name for name in rows[0] if name != labels[0]]
        )


def _side_by_side(labels: Sequence[str], figures: Sequence[Figure], currency: str) -> list[dict[str, Any]]:
    """A row for each value of the first label; a column for each figure, or each value of a second label."""
    rows: dict[str, dict[str, Any]] = {}
    columns: dict[str, None] = {}
    for one in figures:
        words = one.name.removeprefix("loyalty_").removesuffix("_total").replace("_", " ")
        column = words if len(labels) == 1 else one.labels[labels[1]]
        columns[column] = None
        rows.setdefault(one.labels[labels[0]], {labels[0]: one.labels[labels[0]]})[column] = shown(one, currency)
    return [{labels[0]: row[labels[0]], **{name: row.get(name, "-") for name in columns}} for row in rows.values()]


def shown(one: Figure, currency: str) -> str:
    """The value as people read it: amounts in major units, ratios of a whole in percent, spans in days."""
    if one.value is None:
        return "-"
    if one.unit == "minor units":
        return money(round(one.value), currency) or "-"
    if one.unit == "ratio":
        return f"{100 * one.value:.1f}%" if abs(one.value) <= 1 else f"{one.value:,.2f}"
    if one.unit == "seconds":
        return f"{one.value / _DAY_S:,.0f} days"
    return f"{one.value:,}" if isinstance(one.value, int) else f"{one.value:,.2f}"


def _forecast_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--by", choices=SORTS, default=SORTS[0], help=f"a line for each (default: {SORTS[0]})")
    parser.add_argument(
        "--days", type=_days, nargs="+", default=list(DAYS), metavar="N", help="spans in days (default: 30 90)"
    )


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _DAYS_MAX:
        raise ArgumentTypeError(f"{text!r} must be 1..{_DAYS_MAX:,} days")
    return int(text)


def run_forecast(args: Namespace, settings: Settings) -> int:
    """Expected purchases and amounts (V8)."""
    out = Output.of(args)
    spans = tuple(dict.fromkeys(args.days))
    with CustomersNow(settings) as now:
        lines = forecast(now.everybody(), args.by, spans)
        currency = now.policy().programme.currency
    rows: list[dict[str, Any]] = []
    for line in lines:
        row: dict[str, Any] = {args.by: line.name}
        for span, purchases, amount in zip(spans, line.purchases, line.amounts, strict=True):
            row[f"purchases_{span}d"] = purchases if args.json else f"{purchases:,.1f}"
            row[f"amount_{span}d"] = amount if args.json else money(amount, currency)
        rows.append(row)
    if not args.json:
        rows = [{name.replace("_", " "): value for name, value in row.items()} for row in rows]
    out.table(
        rows, empty="nobody has bought yet", right=[name for name in (rows[0] if rows else ()) if name != args.by]
    )
    return OK


def run_exporter(args: Namespace, settings: Settings) -> int:
    """Serve until stopped."""
    from streams.exporter import serve  # here, not above: `loyalty kpi` needs no HTTP server

    host = settings.exporter_address[0]
    out = Output.of(args)
    asyncio.run(serve(settings, lambda port: out.note(f"the programme's figures: http://{host}:{port}/metrics")))
    return OK


COMMANDS = [
    Command(
        "kpi",
        "the programme's figures: customers, value, retention, care, stores",
        no_arguments,
        run_kpi,
        details="With --json one figure a line: {figure, labels, value, unit}; the same names and numbers as the "
        "exporter's /metrics. Amounts are in minor units there.",
    ),
    Command(
        "forecast",
        "what will be bought in the next 30 and 90 days, by store or category",
        _forecast_arguments,
        run_forecast,
        details="Expected purchase days by each customer's own rhythm, at what one of theirs has brought so far; by "
        "category in even parts over those of their last year. Looks at everybody, as of now; with --json amounts are "
        "in minor units.",
    ),
    Command(
        "exporter",
        "serve the programme's figures to Prometheus",
        no_arguments,
        run_exporter,
        details="On LOYALTY_EXPORTER: /metrics, /livez, /readyz. One of them serves a whole installation; beyond "
        "loopback it needs LOYALTY_METRICS_TOKEN. SIGTERM and SIGINT end it; exit 0.",
    ),
]
