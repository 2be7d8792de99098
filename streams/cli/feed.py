"""Getting data in: `import`, `import-dataset`, `erase`."""

from __future__ import annotations

import asyncio
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from processors.days import utc_iso
from processors.events import TIME_END_MS
from processors.policy import Policy
from schemas import codec, topics
from schemas.errors import BadField, BadRecord
from schemas.partitioner import partition_of
from streams import ingest, schema_ids
from streams.cli.command import FAILED, OK, Command
from streams.cli.output import Output, Progress
from streams.customers_now import CustomersNow
from streams.datasets import NAMES, dataset, mark_of
from streams.ingest import Done, Every, Feed, Limits, Ticking, TickState
from streams.reading import TopicReader
from streams.rows import FORMATS, BadRow, Row, check_readable, format_of, read_rows
from streams.sending import send_one
from streams.settings import LoyaltyError, Settings, UsageError
from streams.spool import Spool
from streams.texts import read_policy

IMPORTABLE = schema_ids.IMPORTED

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_BIG_FILE_BYTES = 8 << 20
_SHOWN_EVERY = 1_000
_ID_BYTES_MAX = 128


# ---- import


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help=f"one of {', '.join(IMPORTABLE)}")
    parser.add_argument("file", metavar="FILE", type=Path, help=".jsonl, .csv or .avro (an object container file)")
    parser.add_argument("--format", choices=FORMATS, help="where the file's name does not tell it")
    parser.add_argument("--ticks", action="store_true", help="sort by time and write ticks from the data's own time")
    parser.add_argument(
        "--tick-every", type=_every, metavar="STEP", help="1d (default: the programme's midnights), 6h, 15m, 30s, 500ms"
    )
    parser.add_argument("--until-ms", type=milliseconds, metavar="MS", help="add a last tick; leave later rows out")
    parser.add_argument("--dry-run", action="store_true", help="read and check everything, write nothing")


_IMPORT_DETAILS = """\
Fields are named as in schemas/TOPIC.avsc; times are ISO 8601 with an offset, or UTC milliseconds. In CSV, neighbouring
rows with one event_id are one purchase, a receipt line each; lists are split by `;` (coupon_ids: a;b, consent:
email=true;sms=false, anniversaries: wedding=06-21). Bad rows are listed with line and reason; the good ones go on, and
the exit code is 1. The same file may be imported again: what is there already changes nothing.
"""


def run_import(args: Namespace, settings: Settings) -> int:
    """Rows of a file to a topic."""
    out = Output.of(args)
    topic = importable(args.topic)
    file_format = args.format or format_of(args.file)
    check_readable(args.file)
    if args.tick_every and not args.ticks:
        raise UsageError("--tick-every is about the ticks that --ticks writes: add --ticks, or leave it out")
    policy = read_policy(settings.policy) if args.ticks or args.until_ms is not None else None
    with TopicReader(settings.kafka) as reader:
        partitions = reader.partitions(topic)
        states = _tick_state(reader, args, out)
    limits = Limits(settings, ingest.clock_of(states))
    with Spool(ordered=args.ticks) as spool:
        bad = _read_in(spool, read_rows(args.file, topic, file_format), topic, limits, args.file, out)
        for line in limits.told(settings):
            out.note(line)
        until = _until(args, spool, policy)
        told = {"topic": topic, "file": str(args.file), "rows": spool.count, "bad": bad}
        if args.dry_run and args.json:
            out.record(told | {"until_ms": until})
        elif args.dry_run:
            out.say(f"{spool.count:,} records for {topic} would be written, {bad:,} bad rows left out")
        else:
            done = _send(spool, settings, policy, states, partitions, until, args, out)
            _tell(out, told, done, until, states, policy)
    return FAILED if bad else OK


def _tick_state(reader: TopicReader, args: Namespace, out: Output) -> dict[int, TickState]:
    """What the ticks say; nothing where a till's user may not read them and no ticks are asked for."""
    try:
        return ingest.tick_state(reader)
    except LoyaltyError:
        if args.ticks or args.until_ms is not None:
            raise
        out.note("the clock is not known to this user: rows that are too old come back as dead letters, untold here")
        return {}


def importable(topic: str) -> str:
    """The topic as typed. UsageError where it takes no import."""
    if topic in IMPORTABLE:
        return topic
    near = get_close_matches(topic, IMPORTABLE, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"{topic!r} takes no import: it must be one of {', '.join(IMPORTABLE)}{hint}")


def _read_in(spool: Spool, rows: Iterable[Row | BadRow], topic: str, limits: Limits, file: Path, out: Output) -> int:
    """Fills the spool, lists the bad rows, gives their number."""
    bad = read = 0
    big = file.is_file() and file.stat().st_size > _BIG_FILE_BYTES
    with out.progress("reading") if big else _no_progress() as progress:
        for row in rows:
            reason = row if isinstance(row, BadRow) else _take(spool, row, topic, limits)
            read += 1
            if read % _SHOWN_EVERY == 0:
                progress.advance(_SHOWN_EVERY)
            if reason is not None:
                bad += 1
                if out.as_json:
                    out.records([{"file": str(file), "line": reason.line, "reason": reason.reason}])
                else:
                    out.note(f"{file}:{reason.line}: {reason.reason}")
        progress.advance(read % _SHOWN_EVERY)
    return bad


def _take(spool: Spool, row: Row, topic: str, limits: Limits) -> BadRow | None:
    """Into the spool as bytes, checked by the worker's own door; why not, if not."""
    try:
        value = codec.write(topic, row.fields)
        event: Any = codec.decode(topic, value, None)
    except BadField as error:
        return BadRow(row.line_of(error.path), str(error))
    except BadRecord as error:
        return BadRow(row.line, str(error))
    limits.look(event.occurred_at)
    spool.add(event.occurred_at, topic, event.customer_id.encode(), value)
    return None


def _until(args: Namespace, spool: Spool, policy: Policy | None) -> int | None:
    """The instant of the last tick; None where none is written."""
    if args.until_ms is not None:
        return int(args.until_ms)
    if not args.ticks or spool.last_ms is None:
        return None
    assert policy is not None
    return ingest.end_of_day(spool.last_ms, policy.calendar)


def _send(
    feed: Spool, settings: Settings, policy: Policy | None, states: dict[int, TickState], partitions: int,
    until: int | None, args: Namespace, out: Output,
) -> Done:  # fmt: skip
    if until is None or policy is None:
        return asyncio.run(_write(settings, feed, partitions, None, None, out))
    every = (args.tick_every or Every(days=1)) if args.ticks else Every(ms=ingest.MAX_STEP_MS)
    return _send_ticking(feed, settings, policy, states, partitions, until, every, out)


def _send_ticking(
    feed: Feed, settings: Settings, policy: Policy, states: dict[int, TickState], partitions: int, until: int,
    every: Every, out: Output,
) -> Done:  # fmt: skip
    """The rows with their ticks. Raises LoyaltyError where the clock is past their end or the steps are too many."""
    resume = ingest.resumed_at(states, feed.mark)
    if resume is not None and resume >= until:
        return Done(0, feed.count, 0, 0)
    ingest.refuse_past(ingest.clock_of(states), until)
    first = until if feed.first_ms is None else feed.first_ms
    steps = ingest.steps_between(first, until, every)
    if steps > ingest.TICKS_MAX:
        raise LoyaltyError(
            f"{steps:,} ticks from {utc_iso(first)} to {utc_iso(until)} are more than {ingest.TICKS_MAX:,}: give "
            "a larger --tick-every, or mend the row whose time lies so far from the others"
        )
    after = {partition: state.clock for partition, state in states.items()}
    times = ingest.tick_times(first, until, every, policy.calendar)
    if not getattr(feed, "ordered", True):
        resume = None  # in the file's order only a finished import says what is there
    return asyncio.run(_write(settings, feed, partitions, Ticking(times, until, after, policy, feed.mark), resume, out))


async def _write(
    settings: Settings, feed: Feed, partitions: int, ticking: Ticking | None, resume: int | None, out: Output
) -> Done:
    heads = await schema_ids.heads_soon(settings, schema_ids.IMPORTED)
    producer = ingest.producer_for(settings)
    await producer.start()
    try:
        with out.progress("importing", feed.count) as progress:
            sender = ingest.Sender(producer, heads)
            return await ingest.write_feed(sender, feed, partitions, ticking, resume, progress)
    finally:
        await producer.stop()


def _tell(
    out: Output, told: dict[str, Any], done: Done, until: int | None, states: dict[int, TickState],
    policy: Policy | None,
) -> None:  # fmt: skip
    """What happened, and what it waits for."""
    if out.as_json:
        out.record(told | done._asdict() | {"until_ms": until if done.ticks else None})
        return
    parts = [f"{done.written:,} records written"]
    if done.skipped:
        parts.append(f"{done.skipped:,} were there already")
    if told.get("bad"):
        parts.append(f"{told['bad']:,} bad rows left out")
    if done.left_out:
        assert until is not None
        parts.append(f"{done.left_out:,} left out: later than the last tick, {utc_iso(until)}")
    if done.ticks:
        assert until is not None
        parts.append(f"{done.ticks:,} ticks to {utc_iso(until)}")
    out.say(f"{told['topic']}: " + ", ".join(parts))
    if until is None and done.written:
        clock = ingest.clock_of(states)
        waits = "no tick yet" if clock is None else f"the clock is at {utc_iso(clock)}"
        out.note(f"the records wait for the next tick ({waits}): `loyalty worker` with LOYALTY_CLOCK=wall writes one "
                 "each second, an import with --ticks or --until-ms writes its own")  # fmt: skip


class _NoProgress:
    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def tell(self, text: str) -> None: ...


def _no_progress() -> _NoProgress:
    return _NoProgress()


def _every(text: str) -> Every:
    found = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text)
    if found is None or int(found.group(1)) == 0:
        raise ArgumentTypeError(f"{text!r} is no step: write a number and d, h, m, s or ms, as 1d or 15m")
    number, unit = int(found.group(1)), found.group(2)
    return Every(days=number) if unit == "d" else Every(ms=number * _UNITS_MS[unit])


def milliseconds(text: str) -> int:
    """An argument that is an instant."""
    if not text.isdecimal() or not 0 <= int(text) < TIME_END_MS:
        raise ArgumentTypeError(f"{text!r} is no instant: write UTC milliseconds, 0 to {TIME_END_MS - 1}")
    return int(text)


# ---- import-dataset


def _dataset_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES, metavar="|".join(NAMES), help="which")
    parser.add_argument("--customers", type=_positive, metavar="N", help="only the first N customers by number")
    parser.add_argument(
        "--people", type=int, metavar="SEED", help="with made-up profiles, complaints and contacts around the real till"
    )


_DATASET_DETAILS = """\
cdnow: 69,659 purchases of 23,570 customers of a music shop, 1997-1998. cdnow-sample: a tenth of them, as the literature
uses it. completejourney: a grocer's year: 155,848 baskets and 6,589 campaign mailings of 2,469 households, 2017.
Always with a tick a day; the last is 1 ms before the programme's midnight that follows the last record. An import that
was cut short goes on where it stopped; one that is complete says so and writes nothing.
--people adds what no till knows: birthdays, consent, staff in charge, complaints, surveys. They are made up, by the
seed, so that every rule can be tried on a real year.
"""


def run_import_dataset(args: Namespace, settings: Settings) -> int:
    """A data set to its topics, in one order of time, with ticks."""
    out = Output.of(args)
    policy = read_policy(settings.policy)
    mark = mark_of(args.name, args.customers) + ("" if args.people is None else f"/people-{args.people}")
    with TopicReader(settings.kafka) as reader:
        states = ingest.tick_state(reader)
        partitions = reader.partitions(topics.PURCHASES)
    told: dict[str, Any] = {"topic": args.name, "customers": args.customers}
    if ingest.is_complete(states, mark):
        clock = ingest.clock_of(states)
        assert clock is not None
        if out.as_json:
            out.record(told | Done(0, 0, 0, 0)._asdict() | {"complete": True})
        out.say(f"{args.name} is there already, to {utc_iso(clock)}: nothing written")
        return OK
    feed = dataset(args.name, args.customers)
    if feed.last_ms is None:
        raise LoyaltyError(f"{args.name} has no records of the first {args.customers} customers")
    until = ingest.end_of_day(feed.last_ms, policy.calendar)
    if args.people is not None:
        from streams.people import with_people

        feed = with_people(feed, args.people)
    done = _send_ticking(feed, settings, policy, states, partitions, until, Every(days=1), out)
    _tell(out, told, done, until, states, policy)
    return OK


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is no number of customers: must be 1 or more")
    return int(text)


# ---- erase


def _erase_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the customer's id")


def run_erase(args: Namespace, settings: Settings) -> int:
    """The null on `customers` that erases."""
    out = Output.of(args)
    key = args.id.encode()
    if not 0 < len(key) <= _ID_BYTES_MAX:
        raise UsageError(f"the id has {len(key)} bytes: must be 1 to {_ID_BYTES_MAX} bytes of UTF-8")
    with CustomersNow(settings) as now:  # before anything is sent: an erase that leaves a profile behind is none
        along = now.merged(args.id)
    with TopicReader(settings.kafka) as reader:
        partitions = reader.partitions(topics.CUSTOMERS)
    partition = partition_of(key, partitions)
    offset = send_one(settings.kafka, topics.CUSTOMERS, partition, key, None)
    for name in along:  # the worker forgets them by itself; this takes their profiles out of the topic
        send_one(settings.kafka, topics.CUSTOMERS, partition_of(name.encode(), partitions), name.encode(), None)
    told = {"customer_id": args.id, "topic": topics.CUSTOMERS, "partition": partition, "offset": offset}
    told |= {"merged_ids": along}
    if out.as_json:
        out.record(told)
        return OK
    if along:
        out.say(f"erased along with it, for they are merged into it: {', '.join(along)}")
    out.say(f"the erase of {args.id} is on {topics.CUSTOMERS}[{partition}]@{offset}")
    out.say(
        "The worker now removes state, view and due entry and publishes a null on customer-value. What stays is a\n"
        "keyed hash of the id with the instant: events up to it are dropped, also in a rebuild; later ones start\n"
        "afresh. "
        "The input topics keep the records themselves until their retention ends."
    )
    return OK


COMMANDS = [
    Command(
        "import", "send a JSONL, CSV or Avro file of events to a topic", _import_arguments, run_import, _IMPORT_DETAILS
    ),
    Command(
        "import-dataset", "send a data set: cdnow, cdnow-sample, completejourney", _dataset_arguments,
        run_import_dataset, _DATASET_DETAILS,
    ),
    Command("erase", "forget a customer", _erase_arguments, run_erase),
]  # fmt: skip
