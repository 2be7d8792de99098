"""Reading what lies in Kafka: `subscribe`, `dead-letters list|retry`."""

from __future__ import annotations

import base64
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from functools import cache
from threading import Lock
from typing import Any, Final

from processors.days import utc_iso
from processors.events import TIME_END_MS
from schemas import codec, library, topics
from schemas.errors import BadRecord
from schemas.registry import Registered
from streams.cli.board import Board
from streams.cli.command import OK, Command
from streams.cli.output import Output, Part
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import LoyaltyError, Settings

# ---- subscribe


def _subscribe_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", choices=tuple(topics.TOPICS), help=", ".join(topics.TOPICS))
    parser.add_argument("--from-beginning", action="store_true", help="not only what comes from now on")
    parser.add_argument("--until-end", action="store_true", help="stop at the end as it is now (Ctrl-C otherwise)")
    parser.add_argument("--meta", action="store_true", help="add _partition, _offset, _timestamp, _key and _headers")


_SUBSCRIBE_DETAILS = """\
read_committed: each output of a worker is seen once. A null (an erased customer) has the field `value`: null beside the
key. With --json each line has the record's fields as in schemas/TOPIC.avsc; times are UTC ms.

At a terminal `subscribe churn-risk` is a board: each customer's latest alert, those first of whom most is at stake,
redrawn as alerts come. Who is safe again leaves it; the lost stand below. With --json, --meta or in a pipe: lines.
"""


def run_subscribe(args: Namespace, settings: Settings) -> int:
    """Records of a topic, decoded."""
    out, registered = Output.of(args), asking(settings)
    with TopicReader(settings.kafka) as reader:
        found = reader.stream(args.topic, from_beginning=args.from_beginning, until_end=args.until_end)
        if args.topic == topics.CHURN_RISK and not args.meta and out.can_redraw:
            _show_board(out, found, registered)
            return OK
        for record in found:
            fields = _fields(args.topic, record, registered)
            if not args.json:
                fields = _for_people(args.topic, fields)
            out.records([fields | (_meta(record) if args.meta else {})])
    return OK


def _show_board(out: Output, found: Iterable[Any], registered: Registered | None) -> None:
    """The board of alerts, redrawn by a thread of its own: an alert is shown though none follows."""
    board, lock = Board(), Lock()

    def parts(height: int) -> list[Part]:
        with lock:
            return board.parts(height)

    with out.live(parts):
        for record in found:
            fields = _fields(topics.CHURN_RISK, record, registered)
            with lock:
                board.take(fields)


def _fields(topic: str, record: Any, registered: Registered | None = None) -> dict[str, Any]:
    """The record's fields; of a null its key and `value`; of what can't be decoded the error and the bytes."""
    if topics.TOPICS[topic].schema is None:
        return _letter_fields(record)
    if record.value is None:
        return {_KEY_FIELDS.get(topics.TOPICS[topic].key, "key"): _key_text(record.key), "value": None}
    try:
        return codec.read(topic, record.value, registered)
    except BadRecord as error:
        return {"error": error.error, "message": str(error), "value_base64": base64.b64encode(record.value).decode()}


_KEY_FIELDS: Final[Mapping[str, str]] = {"customer": "customer_id", "employee": "employee_id"}


def _key_text(key: bytes | None) -> str | None:
    return None if key is None else key.decode("utf-8", "backslashreplace")


def _letter_fields(record: Any) -> dict[str, Any]:
    headers = {name: (held or b"").decode("utf-8", "replace") for name, held in record.headers}
    value = None if record.value is None else base64.b64encode(record.value).decode()
    return {name: text for name, text in headers.items() if name.startswith("dlq.")} | {
        "key": _key_text(record.key),
        "value_base64": value,
    }


def _meta(record: Any) -> dict[str, Any]:
    return {
        "_partition": record.partition,
        "_offset": record.offset,
        "_timestamp": record.timestamp,
        "_key": _key_text(record.key),
        "_headers": {name: (held or b"").decode("utf-8", "replace") for name, held in record.headers},
    }


@cache
def _time_fields(topic: str) -> frozenset[str]:
    if topics.TOPICS[topic].schema is None:
        return frozenset()
    fields = library.source(topic)["fields"]
    return frozenset(field["name"] for field in fields if "timestamp-millis" in str(field["type"]))


_FOR_MACHINES: Final = frozenset({"event_id", "policy"})


def _for_people(topic: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """For people: times as ISO 8601; ids for machines, lists of records and fields without a value are left out."""
    times = _time_fields(topic)
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _FOR_MACHINES or (isinstance(value, list) and value and isinstance(value[0], dict)):
            continue
        if name in times and isinstance(value, int):
            shown[name] = utc_iso(value) if 0 <= value < TIME_END_MS else value
        elif (value is not None and value not in ([], {}, "")) or name == "value":
            shown[name] = value
    return shown


# ---- dead letters


def _letters_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--topic", choices=topics.INPUTS, metavar="TOPIC", help="only what lay on this topic")
    parser.add_argument("--partition", type=int, metavar="P", help="only what lay on this partition of it")
    parser.add_argument("--offset", type=int, metavar="N", help="only what lay at this offset")
    parser.add_argument("--error", metavar="CLASS", help="only this class, as BadField or TooLate")


def _wanted_letters(args: Namespace) -> Any:
    from sinks.dead_letters import Wanted

    return Wanted(topic=args.topic, partition=args.partition, offset=args.offset, error=args.error)


def run_list(args: Namespace, settings: Settings) -> int:
    """Dead letters and why."""
    from sinks.dead_letters import list_dead_letters

    out = Output.of(args)
    with TopicReader(settings.kafka) as reader:
        reader.partitions(topics.DEAD_LETTERS)  # says so where there is none
    found = list_dead_letters(settings.kafka.options(), settings.group, _wanted_letters(args))
    if args.json:
        out.records(_letter_json(letter) for letter in found)
        return OK
    rows = [
        {
            "record": f"{letter.topic}[{letter.partition}]@{letter.offset}",
            "customer": _key_text(letter.key),
            "error": letter.error,
            "message": letter.message,
            "sent again": letter.retries or letter.retried,
        }
        for letter in found
    ]
    out.table(rows, empty="no dead letters")
    if rows:
        out.say(f"{len(rows):,} dead letters. Once the cause is mended, `loyalty dead-letters retry` sends them again")
    return OK


def _letter_json(letter: Any) -> dict[str, Any]:
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "error": letter.error,
        "message": letter.message,
        "at": letter.at,
        "key": _key_text(letter.key),
        "value_base64": None if letter.value is None else base64.b64encode(letter.value).decode(),
        "retries": letter.retries,
        "retried": letter.retried,
        "letter_partition": letter.letter_partition,
        "letter_offset": letter.letter_offset,
    }


def run_retry(args: Namespace, settings: Settings) -> int:
    """Dead letters to where they came from."""
    from sinks.dead_letters import TooScattered, retry

    out = Output.of(args)
    with TopicReader(settings.kafka) as reader:
        partitions = {topic: reader.partitions(topic) for topic in topics.INPUTS}
    sent = 0
    try:
        for letter in retry(settings.kafka.options(), settings.group, partitions, _wanted_letters(args)):
            sent += 1
            if args.json:
                out.records([_letter_json(letter)])
    except TooScattered as error:
        raise LoyaltyError(str(error)) from error
    out.say(f"{sent:,} dead letters sent again" + ("; they come back here if the cause is still there" if sent else ""))
    return OK


COMMANDS = [
    Command("subscribe", "read a topic, decoded", _subscribe_arguments, run_subscribe, _SUBSCRIBE_DETAILS),
    Command("dead-letters list", "records that could not be used, and why", _letters_arguments, run_list),
    Command("dead-letters retry", "send them again", _letters_arguments, run_retry),
]
