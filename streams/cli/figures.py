"""The programme's figures: `kpi`, `exporter`."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from processors.days import utc_iso
from streams.cli.ask import money
from streams.cli.command import OK, Command, no_arguments
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.programme import Figure, read_programme
from streams.settings import Settings

_DAY_S = 86_400


def run_kpi(args: Namespace, settings: Settings) -> int:
    """The table of figures."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        found = read_programme(now)
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
        "exporter",
        "serve the programme's figures to Prometheus",
        no_arguments,
        run_exporter,
        details="On LOYALTY_EXPORTER: /metrics, /livez, /readyz. One of them serves a whole installation; beyond "
        "loopback it needs LOYALTY_METRICS_TOKEN. SIGTERM and SIGINT end it; exit 0.",
    ),
]
