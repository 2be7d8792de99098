"""`loyalty explain`: the rule, the numbers, the policy and the records behind an output (C10)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any, Final

from processors.days import DAY_MS, utc_iso
from processors.grade import inside
from processors.policy import Policy
from schemas.codec import decode, decoding, in_own_framing, read
from schemas.errors import BadRecord
from schemas.partitioner import partition_of
from schemas.registry import Registered
from schemas.topics import (
    CARE_REMINDERS,
    CHURN_RISK,
    CUSTOMER_VALUE,
    EMPLOYEE_GRADES,
    INPUTS,
    OUTBOX_POSITIONS,
    POLICIES,
    TIER_CHANGES,
    TOPICS,
)
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.explaining import Behind, Published, told_again
from streams.explanation import EXPLAINED, explained, seen_of
from streams.outgoing import Outgoing
from streams.plan import LoopConfig
from streams.policies import policy_in
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import LoyaltyError, Settings
from streams.texts import read_policy

SHOWN: Final = 20
"""Records listed for a person, the last ones; --json lists all."""

HOUR_MS: Final = 3_600_000


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("event_id", metavar="EVENT_ID", help="of an output, as `loyalty subscribe TOPIC --json` has it")


def run_explain(args: Namespace, settings: Settings) -> int:
    """Finds the output, folds its customer's records again, says what is behind it."""
    out, registered = Output.of(args), asking(settings)
    with TopicReader(settings.kafka) as reader:
        of = find(reader, args.event_id, registered)
        policies = _policies(reader, settings)
        inputs = TopicInputs(reader, of.told_by)
        partitions = reader.partitions(of.topic)

        def config(policy: Policy, outgoing: Outgoing) -> LoopConfig:
            return LoopConfig(
                partitions=partitions,
                policy=policy,
                outgoing=outgoing,
                horizon_ms=settings.dedupe_days * DAY_MS,
                max_ahead_ms=settings.max_ahead_hours * HOUR_MS,
                decode=decode if registered is None else decoding(registered),
            )

        reminder = read(of.topic, of.value)["reminder_id"] if of.topic == CARE_REMINDERS else None
        told = told_again(of, inputs, [one for one, _ in policies.values()], config, reminder)
    made = explained(of, told, policies, inputs.missing())
    if args.json:
        out.record(made)
        return OK
    for line in lines(made):
        out.say(line)
    return OK


# ---- what lies in Kafka


def find(reader: TopicReader, event_id: str, registered: Registered | None = None) -> Published:
    """The output of that id, in our own framing. registered: a schema registry, asked on the way. Raises LoyaltyError.

    An id is `topic:customer:…`, and both ends may hold colons: each way to read it names a partition to look in.
    """
    topic, _, rest = event_id.partition(":")
    if topic not in EXPLAINED:
        raise LoyaltyError(
            f"{event_id!r} is no id of an output that can be explained: it begins with one of "
            f"{', '.join(f'{name}:' for name in EXPLAINED)}; `loyalty subscribe TOPIC --from-beginning --until-end "
            "--json` shows event_id"
        )
    partitions = reader.partitions(topic)
    names = [rest[:place] for place, letter in enumerate(rest) if letter == ":"]
    gone = 0
    for partition in dict.fromkeys(partition_of(name.encode(), partitions) for name in names):
        gone = max(gone, reader.begin(topic, partition))
        instants: dict[int, None] = {}
        for record in reader.stream(topic, from_beginning=True, until_end=True, partition=partition):
            instants[record.timestamp] = None
            if record.value is not None and _id_of(topic, record, registered) == event_id:
                value = in_own_framing(topic, record.value, registered)
                name = _folded_as(topic, read(topic, value))
                return Published(
                    topic=topic,
                    partition=partition,
                    offset=record.offset,
                    timestamp=record.timestamp,
                    customer_id=name,
                    event_id=event_id,
                    value=value,
                    instants=tuple(sorted(instants)),
                    home=partition_of(name.encode(), partitions),
                )
    hint = f"; what lay below offset {gone} is gone from the topic" if gone else ""
    if topic == CUSTOMER_VALUE:
        hint = f"; {topic} keeps each customer's latest view only"
    raise LoyaltyError(
        f"no output {event_id!r} on {topic}: ids are compared to the letter{hint}. `loyalty subscribe {topic} "
        "--from-beginning --until-end --json` shows them"
    )


def _folded_as(topic: str, fields: Mapping[str, Any]) -> str:
    """The id under which what an output tells of is folded: of an employee the grade's (E2)."""
    return inside(fields["employee_id"]) if topic == EMPLOYEE_GRADES else str(fields["customer_id"])


def _id_of(topic: str, record: Any, registered: Registered | None) -> str | None:
    for name, value in record.headers:
        if name == "ce_id":
            return str((value or b"").decode("utf-8", "replace"))
    try:
        return str(read(topic, record.value, registered)["event_id"])
    except BadRecord:
        return None


def _policies(reader: TopicReader, settings: Settings) -> dict[str, tuple[Policy, int | None]]:
    """Policies by key, with the offset of each on the topic, in its order; then the one of LOYALTY_POLICY."""
    found: dict[str, tuple[Policy, int | None]] = {}
    for record in reader.stream(POLICIES, from_beginning=True, until_end=True):
        policy = policy_in(record)
        if policy is not None:
            found[policy.key] = policy, record.offset
    try:
        own = read_policy(settings.policy)
        found.setdefault(own.key, (own, None))
    except LoyaltyError:
        if not found:
            raise
    return found


class TopicInputs:
    """The input topics of a partition, as they lie in Kafka."""

    def __init__(self, reader: TopicReader, partition: int) -> None:
        self._reader, self._partition = reader, partition
        self.begins: Mapping[str, int] = {topic: reader.begin(topic, partition) for topic in INPUTS}
        self._holes: dict[tuple[str, int], int] = {}

    def records(self, topic: str) -> Iterator[Any]:
        """All of the topic, in order of offsets; of a compacted one it is noted which are not there."""
        following, compacted = self.begins[topic], TOPICS[topic].compacted
        for record in self._reader.stream(topic, from_beginning=True, until_end=True, partition=self._partition):
            if compacted and record.offset > following:
                self._holes[topic, following] = record.offset - 1
            following = record.offset + 1
            yield record

    def positions(self) -> Iterator[tuple[int, Mapping[str, int]]]:
        """How far the partition was folded, as each publication said that is left of a compacted topic."""
        for record in self._reader.stream(
            OUTBOX_POSITIONS, from_beginning=True, until_end=True, partition=self._partition
        ):
            if record.value is not None:
                yield record.timestamp, read(OUTBOX_POSITIONS, record.value)["positions"]

    def missing(self) -> list[dict[str, Any]]:
        """What can't be read any more: (topic, partition, first and last offset, why)."""
        gone = [(topic, 0, begin - 1, "retention") for topic, begin in self.begins.items() if begin]
        gone += [(topic, first, last, "compaction") for (topic, first), last in self._holes.items()]
        return [
            {"topic": topic, "partition": self._partition, "from": first, "to": last, "why": why}
            for topic, first, last, why in gone
        ]


# ---- for a person


def lines(made: Mapping[str, Any]) -> Iterator[str]:
    """A few lines: what was told, by which rule, from which numbers, under which policy, and the records behind it."""
    place = f"{made['topic']}[{made['partition']}]@{made['offset']}"
    yield f"{place} of customer {made['customer_id']}, at {utc_iso(made['at'])}"
    yield f"  {_headline(made['topic'], made['output'])}"
    yield "rules       " + "; ".join(f"{rule['id']} {rule['says']}" for rule in made["rules"]) + " (docs/rules.md)"
    for title, line in _numbers(made["topic"], made["numbers"]):
        yield f"{title:<12}{line}"
    yield "policy      " + _policy(made["policy"])
    yield "because     " + _cause(made["cause"])
    yield from _inputs(made["inputs"])
    yield "reproduced  " + _verdict(made)
    yield from (f"            {line}" for line in _differences(made))


def _headline(topic: str, output: Mapping[str, Any]) -> str:
    if topic == TIER_CHANGES:
        return f"{output['direction']} from {output['from_tier']} to {output['to_tier']}: {output['reason']}"
    if topic == CHURN_RISK:
        return (
            f"{output['transition']}, from {output['previous_level']} to {output['level']}, score {output['score']:.3f}"
        )
    if topic == CARE_REMINDERS:
        return f"{output['kind']} {output['status']}: {output['text']}"
    if topic == EMPLOYEE_GRADES:
        return f"{output['direction']} from {output['from_grade']} to {output['to_grade']}: {output['reason']}"
    return f"tier {output['tier']}, value_365d {output['value_365d']}"


def _numbers(topic: str, numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if topic == TIER_CHANGES:
        yield "numbers", f"{numbers['code']}: have {numbers['have']}, need {numbers['need']}; amounts in minor units"
        for step in numbers["to_next"]:
            yield "", f"{numbers['next_tier']} needs {step['condition']} {step['need']}, have {step['have']}"
    elif topic == CHURN_RISK:
        yield (
            "numbers",
            f"at stake {numbers['value_at_stake']} {numbers['currency']} (minor units); weights add up to the logit",
        )
        for one in numbers["reasons"]:
            yield "", f"{one['weight']:+.3f} {one['code']}: {one['text']}"
    elif topic == CARE_REMINDERS:
        yield from _numbers_of_care(numbers)
    elif topic == EMPLOYEE_GRADES:
        yield "numbers", f"{numbers['code']}: have {numbers['have']}, need {numbers['need']}"
        yield "", ", ".join(f"{name} {value:g}" for name, value in sorted(numbers["figures"].items()))
        for step in numbers["to_next"]:
            yield "", f"{numbers['next_grade']} needs {step['condition']} {step['need']}, have {step['have']}"


def _numbers_of_care(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cause = "" if numbers["cause"] is None else f"cause {numbers['cause']}, "
    yield "numbers", f"{cause}due {utc_iso(numbers['due_at'])}, until {utc_iso(numbers['expires_at'])}"
    wanted = "" if numbers["wanted_at"] is None else f", wanted from {utc_iso(numbers['wanted_at'])}"
    yield "", f"priority {numbers['priority']}, by {numbers['channel']}{wanted}"
    for one in numbers["held_back"]:
        until = "without end" if one["until"] is None else f"until {utc_iso(one['until'])}"
        yield "", f"held back by {one['reason'] or 'one of a lower number'}, {until}, seen at {utc_iso(one['at'])}"
    if numbers["employee_id"] is not None:
        yield "", f"for {numbers['employee_id']}" + (f", {numbers['employee_by']}" if numbers["employee_by"] else "")


def _policy(policy: Mapping[str, Any]) -> str:
    if policy["key"] is None:
        return f"{policy['label']}, whose text is not on topic {POLICIES}: set LOYALTY_POLICY to its file"
    where = "the file of LOYALTY_POLICY" if policy["offset"] is None else f"{POLICIES}[0]@{policy['offset']}"
    return f"{policy['key']}, text at {where}"


def _cause(cause: Mapping[str, Any] | None) -> str:
    if cause is None:
        return "not told again, so nothing more is known than what had been written by then"
    seen = None if cause["record"] is None else seen_of(cause["record"])
    if cause["kind"] == "record" and seen is not None:
        return _record(seen)
    words = "another policy or threshold" if cause["kind"] == "policy" else "time alone"
    return words + ("" if seen is None else f": {_record(seen)}")


def _record(one: Behind) -> str:
    at = "" if one.occurred_at is None else f" of {utc_iso(one.occurred_at)}"
    told = f"{one.place}  {one.event} {one.event_id or ''}".rstrip() + at
    return (
        told
        + (f", first at {one.origin}" if one.origin else "")
        + (f", left out: {one.left_out}" if one.left_out else "")
    )


def _inputs(inputs: list[Mapping[str, Any]]) -> Iterator[str]:
    shown = inputs[-SHOWN:]
    more = f", the last {SHOWN} (--json lists all)" if len(inputs) > SHOWN else ""
    yield f"records     {len(inputs):,} of the customer folded by then{more}:"
    for one in shown:
        yield f"            {_record(seen_of(one))}" + ("  <- the cause" if one["cause"] else "")


def _verdict(made: Mapping[str, Any]) -> str:
    if made["reproduced"]:
        return f"yes: the same output, its records read {made['reading']}"
    if made["differs"]:
        return f"no: told again, but not the same in {', '.join(made['differs'])}"
    return "no: not told again from what Kafka holds"


def _differences(made: Mapping[str, Any]) -> Iterator[str]:
    gone = made["missing"] if not made["reproduced"] else [one for one in made["missing"] if one["why"] == "retention"]
    for one in gone:
        why = "retention removed them" if one["why"] == "retention" else "compaction, or markers of transactions"
        yield f"gone: {one['topic']}[{one['partition']}]@{one['from']} to {one['to']}: {why}"
    if made["reproduced"]:
        return
    for name, values in (made["differs"] or {}).items():
        yield f"{name}: published {values['published']!r}, again {values['again']!r}"
    yield "When a worker read each record is not kept: what came late, or waited behind others, may have been known"
    yield "then or not. LOYALTY_DEDUPE_DAYS and LOYALTY_MAX_AHEAD_HOURS must be what they were, too."


COMMANDS = [
    Command(
        "explain",
        "why an output was told: rule, numbers, policy, input records",
        _arguments,
        run_explain,
        "Reads the output's partition of every input topic and folds its customer's records again, until it is told\n"
        "once more: `reproduced yes` means the very same. With --json one object: rules, numbers, policy, cause,\n"
        "inputs (topic, partition, offset, occurred_at, event_id), differs, missing.",
    )
]
