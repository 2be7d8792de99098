"""`loyalty validate`: what the worker would say of a file of records, before anybody sends it (D7)."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from processors.days import DAY_MS
from streams import schema_ids
from streams.cli.command import FAILED, OK, Command
from streams.cli.feed import importable, milliseconds
from streams.cli.output import Output
from streams.leader import wall_ms
from streams.outgoing import Outgoing
from streams.plan import LoopConfig
from streams.rows import FORMATS, check_readable, csv_rows, format_of, json_rows, read_rows
from streams.settings import Settings, UsageError
from streams.texts import read_policy, wording
from streams.validating import CONFLICT, DEAD, ELSEWHERE, KNOWN, Validator, Verdict
from streams.validating import OK as FINE

RECORDS: Final = "records"
_HOUR_MS: Final = 3_600_000

_DETAILS = """\
Needs no server. Rows are checked as `loyalty import` and the worker do: schema, amounts, currency under LOYALTY_POLICY,
time against --clock (default: now) with the settings' horizon and skew. --format records takes what a producer makes, a
JSON object a line: {"key": "anna", "value": "<base64>", "partition": 3, "timestamp": 1764072000000}, the last two where
they are known; it checks framing, key and partition too. `-` reads stdin (jsonl, csv, records; default jsonl). Exit
code 1: a dead letter, another content under a known id, or a wrong partition. --json: an object for each of these, then
one with the counts.
"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help=f"one of {', '.join(schema_ids.IMPORTED)}")
    parser.add_argument("file", metavar="FILE", help=".jsonl, .csv or .avro, or - for stdin")
    parser.add_argument("--format", choices=(*FORMATS, RECORDS), help="where the file's name does not tell it")
    parser.add_argument("--clock", type=milliseconds, metavar="MS", help="stream time, and when records arrive")
    parser.add_argument("--history", action="store_true", help="as loaded before the first tick: nothing is too old")


def _run(args: Namespace, settings: Settings) -> int:
    out, topic = Output.of(args), importable(args.topic)
    now = wall_ms() if args.clock is None else args.clock
    config = LoopConfig(
        partitions=settings.partitions,
        policy=read_policy(settings.policy),
        outgoing=Outgoing(lambda name: "", wording),
        horizon_ms=settings.dedupe_days * DAY_MS,
        max_ahead_ms=settings.max_ahead_hours * _HOUR_MS,
        decode=schema_ids.decode_of(settings),
    )
    work = Validator(topic, config, now, None if args.history else now)
    for one in _verdicts(args, topic, work):
        if one.verdict not in (FINE, KNOWN):
            _tell(out, args.file, one)
    _summary(out, topic, args.file, work)
    return OK if work.fine else FAILED


def _verdicts(args: Namespace, topic: str, work: Validator) -> Iterator[Verdict]:
    if args.file == "-":
        file_format = args.format or "jsonl"
        if file_format == "avro":
            raise UsageError("an Avro container is read from a file, not from stdin")
        source = sys.stdin.buffer
        if file_format == RECORDS:
            return work.records(source)
        return work.rows((csv_rows if file_format == "csv" else json_rows)(source, topic, "stdin"))
    path = Path(args.file)
    check_readable(path)
    if args.format == RECORDS:
        return _of_records(path, work)
    return work.rows(read_rows(path, topic, args.format or format_of(path)))


def _of_records(path: Path, work: Validator) -> Iterator[Verdict]:
    with path.open("rb") as file:
        yield from work.records(file)


def _tell(out: Output, file: str, one: Verdict) -> None:
    if out.as_json:
        out.record({"file": file} | one._asdict())
        return
    what = one.error if one.verdict == DEAD else one.verdict
    out.say(f"{file}:{one.line}: {what}: {one.message}")


def _summary(out: Output, topic: str, file: str, work: Validator) -> None:
    counts = work.counts
    told: dict[str, Any] = {
        "topic": topic,
        "file": file,
        "records": counts.total(),
        "ok": counts[FINE],
        "repeated": counts[KNOWN],
        "conflicts": counts[CONFLICT],
        "misplaced": counts[ELSEWHERE],
        "dead_letters": counts[DEAD],
        "errors": dict(work.errors.most_common()),
        "producers": [line._asdict() for line in work.producers],
    }
    if out.as_json:
        out.record(told)
        return
    names = ("ok", "repeated", "conflicts", "misplaced", "dead_letters")
    parts = [f"{told[name]:,} {name.replace('_', ' ')}" for name in names if told[name]]
    out.say(f"{told['records']:,} records for {topic}: {', '.join(parts) or 'nothing to check'}")


COMMANDS = [
    Command("validate", "what the worker would say of a file of records, without a server", _configure, _run, _DETAILS)
]
