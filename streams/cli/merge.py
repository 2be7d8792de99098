"""D5: two ids that are one customer: `merge`, and `unmerge` to take it apart again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Final

from processors.days import utc_iso
from schemas import codec, topics
from schemas.errors import BadRecord
from schemas.framing import reframed
from schemas.partitioner import partition_of
from streams import schema_ids
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.leader import wall_ms
from streams.reading import TopicReader
from streams.sending import send_one
from streams.settings import LoyaltyError, Settings, UsageError

_CHAIN_MAX: Final = 1_000


def _merge_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the id that goes on as part of the other")
    parser.add_argument("new", metavar="NEW", help="the id under which the customer is known from now on")


def _unmerge_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the id that was merged into another")


_MERGE_DETAILS = """\
Writes the old id's profile again, with merged_into. Its view and open reminders are taken back, what it bought and said
counts for the new id, and so does whatever still comes under it. `loyalty unmerge OLD` gives both ids their own back.
"""


def run_merge(args: Namespace, settings: Settings) -> int:
    """The profile that merges one id into another."""
    if args.old == args.new:
        raise UsageError(f"{args.old} cannot be merged into itself: name two ids of one customer")
    with CustomersNow(settings) as now:
        name: str | None = args.new
        for _ in range(_CHAIN_MAX):
            name = now.moved_to(name) if name else None
            if name == args.old:
                raise UsageError(
                    f"{args.new} is itself merged into {args.old}, by itself or by others in between: "
                    f"`loyalty unmerge {args.new}` first, or merge {args.new} into {args.old} as it stands"
                )
        at = _instant(now, args.old, settings)
    sent = _write(args.old, args.new, at, settings)
    out = Output.of(args)
    if out.as_json:
        out.record(sent)
        return OK
    out.say(f"{args.old} is merged into {args.new}: {_where(sent)}")
    out.say(
        f"The worker withdraws the view and open reminders of {args.old}; its history counts for {args.new} once both\n"
        f"partitions have read on. `loyalty unmerge {args.old}` takes it apart again."
    )
    return OK


def run_unmerge(args: Namespace, settings: Settings) -> int:
    """The profile that takes a merge apart."""
    with CustomersNow(settings) as now:
        at = _instant(now, args.old, settings)
    sent = _write(args.old, None, at, settings)
    out = Output.of(args)
    if out.as_json:
        out.record(sent)
        return OK
    out.say(f"{args.old} is a customer of its own again: {_where(sent)}")
    return OK


def _where(sent: dict[str, Any]) -> str:
    return f"{sent['topic']}[{sent['partition']}]@{sent['offset']}, at {utc_iso(sent['occurred_at'])}"


def _instant(now: CustomersNow, customer_id: str, settings: Settings) -> int:
    """From when on (ms): now, which is the partition's clock where the data's own time is."""
    if settings.clock != "data":
        return wall_ms()
    clock = now.clock_of(customer_id)
    if clock is None:
        raise LoyaltyError(f"no customer {customer_id!r}: no event of that id was folded yet, or it was erased")
    return clock


def _write(customer_id: str, into: str | None, at: int, settings: Settings) -> dict[str, Any]:
    """The id's latest profile with another `merged_into`, later than it; what was sent, and where it lies."""
    key = customer_id.encode()
    with TopicReader(settings.kafka) as reader:
        partition = partition_of(key, reader.partitions(topics.CUSTOMERS))
        held = _latest(reader, partition, key, settings)
    if into is None and (held is None or held["merged_into"] is None):
        raise UsageError(f"{customer_id} is merged into nobody, as its profile on {topics.CUSTOMERS} says")
    profile = held or {"customer_id": customer_id, "joined_at": at}
    at = max(at, profile.get("occurred_at", -1) + 1)
    profile |= {
        "event_id": f"{'unmerge' if into is None else 'merge'}-{at}",
        "occurred_at": at,
        "merged_into": into,
    }
    try:
        value = codec.write(topics.CUSTOMERS, profile)
        codec.decode(topics.CUSTOMERS, value, key)  # by the contract's rules, before it is sent
    except BadRecord as error:
        raise UsageError(str(error)) from None
    framed = reframed(schema_ids.heads(settings, [topics.CUSTOMERS]), topics.CUSTOMERS, value)
    offset = send_one(settings.kafka, topics.CUSTOMERS, partition, key, framed)
    return {
        "customer_id": customer_id,
        "merged_into": into,
        "occurred_at": at,
        "topic": topics.CUSTOMERS,
        "partition": partition,
        "offset": offset,
    }


def _latest(reader: TopicReader, partition: int, key: bytes, settings: Settings) -> dict[str, Any] | None:
    """The id's profile that counts; None: there is none, or it was erased."""
    held: dict[str, Any] | None = None
    registered = schema_ids.asking(settings)
    for record in reader.stream(topics.CUSTOMERS, from_beginning=True, until_end=True, partition=partition):
        if record.key != key:
            continue
        if record.value is None:
            held = None
            continue
        try:
            profile = codec.read(topics.CUSTOMERS, record.value, registered)
        except BadRecord:
            continue  # a dead letter, in no fold
        if held is None or (held["occurred_at"], held["event_id"]) < (profile["occurred_at"], profile["event_id"]):
            held = profile
    return held


COMMANDS = [
    Command("merge", "count one id's history for another: they are one customer", _merge_arguments, run_merge,
            _MERGE_DETAILS),
    Command("unmerge", "take a merge apart again", _unmerge_arguments, run_unmerge),
]  # fmt: skip
