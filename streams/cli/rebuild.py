"""`loyalty rebuild`: fills an empty Redis again from what lies in Kafka."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from schemas import topics
from sinks.emptying import empty
from sinks.keys import Keys
from sinks.lookup import Lookup
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.settings import LoyaltyError, Settings, UsageError
from streams.topics_admin import group_members

_DETAILS = """\
All input is folded again, of which facts follow in any order; what each customer was told is laid over as it
was published, who was erased stays so, and each customer is reviewed once, at the clock. Nothing is published
twice; views go out again on `customer-value`. What was counted as it happened begins at zero: its records are
on the topics. With the workers stopped; one that runs fills a Redis that lost all by itself, in the same way.

A user of Redis with all rights on the installation's keys is needed for --wipe: workers may not scan."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--wipe", action="store_true", help="remove all that Redis holds of this installation first (LOYALTY_PREFIX)"
    )


def run_rebuild(args: Namespace, settings: Settings) -> int:
    """Wipe where asked to, then be the worker that catches up."""
    out = Output.of(args)
    members = group_members(settings.kafka, settings.group)
    if members:
        raise LoyaltyError(
            f"{members} worker{'s' * (members > 1)} of the group {settings.group} would write meanwhile: stop them "
            f"first. One that was killed is a member for {settings.session_ms / 1_000:g} s more"
        )
    _make_way(args.wipe, settings, out)
    began = time.monotonic()
    code = _work(settings)
    if code == OK:
        _say(settings, out, time.monotonic() - began)
    return code


def _make_way(wipe: bool, settings: Settings, out: Output) -> None:
    keys = Keys(settings.prefix)
    if wipe:
        out.note(f"{empty(settings.redis, keys):,} keys of {settings.prefix} removed")
        return
    lookup = Lookup(settings.redis, keys)
    try:
        stands = [number for number, fence in lookup.fences().items() if fence.seq]
    finally:
        lookup.close()
    if stands:
        raise UsageError(
            f"Redis holds this installation ({settings.prefix}) in {len(stands)} partitions: `loyalty rebuild --wipe` "
            "removes it first; a worker goes on from where it stands"
        )


def _work(settings: Settings) -> int:
    from streams.assembly import Assembly  # here, not above: `loyalty rebuild --help` needs no Kafka client
    from streams.worker import run

    return run(settings, lambda: Assembly(settings), until_caught_up=True)


def _say(settings: Settings, out: Output, took_s: float) -> None:
    lookup = Lookup(settings.redis, Keys(settings.prefix))
    try:
        fences = lookup.fences().values()
        customers = sum(n for name, n in lookup.figures().items() if name.startswith("customers:"))
    finally:
        lookup.close()
    offsets = sum(n for fence in fences for topic, n in fence.positions.items() if topic != topics.TICKS)
    out.record(
        {
            "customers": customers,
            "offsets": offsets,
            "seconds": round(took_s, 1),
            "offsets_per_second": round(offsets / took_s),
        }
    )


COMMANDS = [
    Command("rebuild", "fill an empty Redis again from Kafka", _arguments, run_rebuild, _DETAILS),
]
