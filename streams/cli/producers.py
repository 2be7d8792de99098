"""`loyalty producers`: how those who send do (D7)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from streams.cli.command import OK, Command, no_arguments
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.producers import producers
from streams.settings import Settings

_DETAILS = """\
A line for each store and channel of purchases, complaints and contacts. late: before stream time when their turn came;
repeated: an id known already; dead: refused, see `loyalty dead-letters list`; misplaced: in the wrong partition, mend
the sender's partitioner (murmur2); ahead: happened after the broker recorded it, so the sender's clock is wrong;
offline: recorded an hour or more after it happened. `unread`: what could not be read names no store.
"""


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    with CustomersNow(settings) as now:
        lines = producers(now.figures())
    rows = [line._asdict() for line in lines]
    if not args.json:
        for row in rows:
            row["dead"] = row.pop("dead_lettered")
            row["schema"] = _versions(row.pop("schemas"))
    names = ("store", "channel", "events", "late", "repeated", "dead", "misplaced", "ahead", "offline", "schema")
    out.table(rows, columns=() if args.json else names, empty="no store has sent anything yet")
    return OK


def _versions(held: Mapping[str, int]) -> str:
    """As in "1: 20, 2: 3"; of one version its name alone."""
    if len(held) < 2:
        return next(iter(held), "-")
    return ", ".join(f"{name}: {number:,}" for name, number in held.items())


COMMANDS = [
    Command("producers", "what stores send: late, repeated, refused, misplaced, skew", no_arguments, _run, _DETAILS)
]
