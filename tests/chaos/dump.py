"""All that an installation holds and has told, and what differs between two of them, by customer and field.

    problems(dump)             what is wrong with one installation at rest, whatever its input was
    differences(want, got)     what two installations of the same input do not have in common

Left out of the comparison is what a run may choose for itself: epochs, commit numbers, the positions and lateness of
`relay` (transaction markers lie between its records), when a dead letter was written, and the customer's time at which
what was told went to `told` (it is that of the commit's end).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import exp
from typing import Any

import redis
from kafka import KafkaConsumer, TopicPartition
from msgspec import Struct
from msgspec.structs import asdict

from processors.care.actions import PLACE
from processors.fields import TYPES
from processors.grade import INSIDE
from processors.policy import Policy
from schemas import codec, state, topics
from sinks.access import KafkaAccess
from sinks.keys import Keys
from streams.settings import Settings

_POLL_MS = 300
_SHOWN_MAX = 25
_OWN_OF_A_RUN = ("epoch", "seq", topics.RELAY)


class Dump(Struct, kw_only=True):
    """An installation at rest. By customer id: states (flattened), views (as the hash has them), due (ms, one entry a
    partition), changes, alerts and reminders (in the order of their topics), values (last on customer-value), told
    (last on its topic)."""

    states: dict[str, dict[str, Any]]
    views: dict[str, dict[str, str]]
    due: dict[str, list[int]]
    changes: dict[str, list[dict[str, Any]]]
    alerts: dict[str, list[dict[str, Any]]]
    reminders: dict[str, list[dict[str, Any]]]
    values: dict[str, dict[str, Any] | None]
    told: dict[str, dict[str, Any] | None]
    kpi: dict[str, int]
    fences: dict[str, str]
    unpublished: dict[str, int]
    dead_letters: Counter[str]


class Kept(Struct):
    """What Redis holds of all partitions, as in `Dump`."""

    states: dict[str, dict[str, Any]]
    views: dict[str, dict[str, str]]
    due: dict[str, list[int]]
    kpi: dict[str, int]
    fences: dict[str, str]
    unpublished: dict[str, int]


# ---- reading


def dump(settings: Settings, policy: Policy) -> Dump:
    """What Redis and the read-committed topics hold now. settings: of the installation; policy: the one in force."""
    held = kept(settings, policy)
    return Dump(
        states=held.states,
        views=held.views,
        due=held.due,
        changes=changes_told(settings),
        alerts=changes_told(settings, topics.CHURN_RISK),
        reminders=changes_told(settings, topics.CARE_REMINDERS),
        values=_last(settings.kafka, topics.CUSTOMER_VALUE),
        told=_last(settings.kafka, topics.TOLD),
        kpi=held.kpi,
        fences=held.fences,
        unpublished=held.unpublished,
        dead_letters=Counter(map(_letter, committed(settings.kafka, topics.DEAD_LETTERS))),
    )


def kept(settings: Settings, policy: Policy) -> Kept:
    """What Redis holds now."""
    keys = Keys(settings.prefix)
    with redis.Redis.from_url(settings.redis) as client:
        held = [_partition(client, keys, number, settings, policy) for number in range(settings.partitions)]
    return Kept(
        states=_joined(one["states"] for one in held),
        views=_joined(one["views"] for one in held),
        due=_due(held),
        kpi=_by_partition(held, "kpi"),
        fences=_by_partition(held, "fence"),
        unpublished=_by_partition(held, "unpublished"),
    )


def _by_partition(held: list[dict[str, Any]], what: str) -> dict[str, Any]:
    return {f"{{{p}}} {name}": value for p, one in enumerate(held) for name, value in one[what].items()}


def changes_told(settings: Settings, topic: str = topics.TIER_CHANGES) -> dict[str, list[dict[str, Any]]]:
    """By customer id, what a read_committed subscriber of an output topic gets, in its order."""
    changes: dict[str, list[dict[str, Any]]] = {}
    for record in committed(settings.kafka, topic):
        fields = codec.read(topic, record.value)
        assert record.key.decode() == fields["customer_id"], f"{record}: the key is not the customer"
        changes.setdefault(fields["customer_id"], []).append(fields)
    return changes


def committed(kafka: KafkaAccess, topic: str) -> Iterator[Any]:
    """All records of the topic as a read_committed subscriber gets them, a partition's in its order."""
    consumer = KafkaConsumer(
        **kafka.options(),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_bytes=16 << 20,
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(places)
        ends = consumer.end_offsets(places)  # the last stable ones
        while any(consumer.position(place) < ends[place] for place in places):
            for found in consumer.poll(timeout_ms=_POLL_MS).values():
                yield from found
    finally:
        consumer.close()


def _partition(client: Any, keys: Keys, number: int, settings: Settings, policy: Policy) -> dict[str, Any]:
    fence = {name.decode(): text.decode() for name, text in client.hgetall(keys.fence(number)).items()}
    clock = int(fence["clock"]) if "clock" in fence else None
    horizon_ms = settings.dedupe_days * 86_400_000
    states = {}
    for customer_id, raw in _found(client, keys.state(number, ""), client.mget):
        customer = state.canonical(state.decode(raw), clock, horizon_ms, policy.calendar)
        states[customer_id] = dict(_flat("", customer))
    views = {
        customer_id: {name.decode(): text.decode() for name, text in fields.items()}
        for customer_id, fields in _found(client, keys.customer(number, ""), lambda names: _hashes(client, names))
    }
    return {
        "states": states,
        "views": views,
        "due": {name.decode(): int(at) for name, at in client.zrange(keys.due(number), 0, -1, withscores=True)},
        "kpi": {name.decode(): int(n) for name, n in client.hgetall(keys.kpi(number)).items()},
        "fence": {name: text for name, text in fence.items() if name not in _OWN_OF_A_RUN},
        "unpublished": {"outbox": client.xlen(keys.outbox(number)), "values": client.zcard(keys.values(number))},
    }


def _found(client: Any, prefix: str, read: Any) -> Iterator[tuple[str, Any]]:
    """Id and content of all keys that begin so."""
    pattern = prefix.replace("{", "[{]").replace("}", "[}]") + "*"
    names = sorted(client.scan_iter(pattern, count=2_000))
    for start in range(0, len(names), 2_000):
        part = names[start : start + 2_000]
        for name, content in zip(part, read(part), strict=True):
            yield name.decode().removeprefix(prefix), content


def _hashes(client: Any, names: list[bytes]) -> Any:
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(name)
        return pipe.execute()


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested structs as dotted names."""
    if isinstance(value, Struct):
        for name, inner in asdict(value).items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    else:
        yield path, value


def _last(kafka: KafkaAccess, topic: str) -> dict[str, dict[str, Any] | None]:
    last = {record.key.decode(): record.value for record in committed(kafka, topic)}
    found = {name: None if value is None else codec.read(topic, value) for name, value in last.items()}
    for fields in found.values():
        if fields is not None:
            fields.pop("seq", None)
    return found


def _letter(record: Any) -> str:
    headers = {name: text.decode("utf-8", "replace") for name, text in record.headers}
    told = [headers[f"dlq.{name}"] for name in ("topic", "partition", "offset", "error", "message")]
    return json.dumps([*told, None if record.value is None else record.value[:200].hex()], ensure_ascii=False)


def _joined(parts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        twice = whole.keys() & part.keys()
        assert not twice, f"in two partitions: {sorted(twice)[:5]}"
        whole.update(part)
    return whole


def _due(held: list[dict[str, Any]]) -> dict[str, list[int]]:
    due: dict[str, list[int]] = {}
    for one in held:
        for customer_id, at in one["due"].items():
            due.setdefault(customer_id, []).append(at)
    return due


# ---- judging


def problems(dump: Dump) -> list[str]:
    """What is wrong at rest: something unpublished, a due entry too many or too few, a change told twice or missing,
    a last value or told that is not the one kept, news of who was brought that are not of their last review (W2)."""
    return [
        *(f"{name} still holds {n}" for name, n in dump.unpublished.items() if n),
        *due_problems(dump),
        *change_problems(dump.changes, dump.views),
        *alert_problems(dump.alerts, dump.views),
        *_twice(topics.CARE_REMINDERS, dump.reminders),
        *_value_problems(dump),
        *_told_problems(dump),
        *_kin_problems(dump),
    ]


def due_problems(dump: Dump | Kept) -> Iterator[str]:
    """Each customer must have a state, a view and exactly one due entry, at its next review; a place and a grade have
    no view."""
    for customer_id in dump.states.keys() | dump.due.keys() | dump.views.keys():
        seen = customer_id in dump.views or customer_id.startswith((PLACE, INSIDE))
        if customer_id not in dump.states or not seen:
            yield f"customer {customer_id}: must have state, view and due entry together"
            continue
        due, at = dump.due.get(customer_id, []), dump.states[customer_id]["next_review"]
        if due != [at]:
            yield f"customer {customer_id}: due entries {due}, must be exactly [{at}]"
        if not customer_id.startswith((PLACE, INSIDE)) and dump.views[customer_id]["next_review_at"] != str(at):
            yield f"customer {customer_id}: view next_review_at {dump.views[customer_id]['next_review_at']} is not {at}"


def change_problems(changes: Mapping[str, list[dict[str, Any]]], views: Mapping[str, Any]) -> Iterator[str]:
    """No change may be told twice; each must follow from the one before, and the last lead to the tier held."""
    yield from _twice(topics.TIER_CHANGES, changes)
    for customer_id, told in changes.items():
        for before, after in pairwise(told):
            if before["to_tier"] != after["from_tier"] or before["at"] > after["at"]:
                yield f"customer {customer_id}: {before['event_id']} is followed by {after['event_id']}: one is missing"
        held = views.get(customer_id)
        if held is not None and held["tier"] != told[-1]["to_tier"]:
            yield f"customer {customer_id}: last told {told[-1]['event_id']}, but holds {held['tier']}"


def _twice(topic: str, outputs: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """An id stands for one output."""
    for event_id, times in Counter(one["event_id"] for told in outputs.values() for one in told).items():
        if times > 1:
            yield f"{topic}: {event_id} was told {times} times"


def alert_problems(alerts: Mapping[str, list[dict[str, Any]]], views: Mapping[str, Any]) -> Iterator[str]:
    """As `change_problems`, of the levels of risk; and the reasons of each alert must add up to its score."""
    yield from _twice(topics.CHURN_RISK, alerts)
    for customer_id, told in alerts.items():
        for before, after in pairwise(told):
            if before["level"] != after["previous_level"] or before["at"] > after["at"]:
                yield f"customer {customer_id}: {before['event_id']} is followed by {after['event_id']}: one is missing"
        for alert in told:
            total = sum(reason["weight"] for reason in alert["reasons"])
            if abs(1 / (1 + exp(-total)) - alert["score"]) > 1e-9:
                yield f"customer {customer_id}: the reasons of {alert['event_id']} do not add up to {alert['score']}"
        held = views.get(customer_id)
        if held is not None and held["risk_level"] != told[-1]["level"]:
            yield f"customer {customer_id}: last told {told[-1]['event_id']}, but is {held['risk_level']}"


def _value_problems(dump: Dump) -> Iterator[str]:
    for customer_id in dump.views.keys() | dump.values.keys():
        view, value = dump.views.get(customer_id), dump.values.get(customer_id)
        if view is None or value is None:
            if view is not None or value is not None:
                yield f"customer {customer_id}: hash {view}, last customer-value {value}"
            continue
        for name in view.keys() | value.keys() - {"event_id", "at"}:
            told, kept = value.get(name), view.get(name)
            if _text(name, told) != kept:
                yield f"customer {customer_id}: {name} is {kept} in the hash, {told} in the last customer-value"


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    return f"{float(value)}" if TYPES.get(name) is float else f"{value}"


def _told_problems(dump: Dump) -> Iterator[str]:
    for customer_id, told in dump.told.items():
        kept = dump.states.get(customer_id)
        if told is None or kept is None:
            if told is not None or kept is not None:
                yield f"customer {customer_id}: told {told}, kept {kept and 'a state'}"
            continue
        for name in ("tier", "tier_since", "below_since", "level", "level_since", "fading", "fading_since"):
            if told[name] != kept[f"told.{name}"]:
                yield f"customer {customer_id}: told {name} {told[name]}, keeps {kept[f'told.{name}']}"


def _kin_problems(dump: Dump) -> Iterator[str]:
    for customer_id, kept in dump.states.items():
        for name, known in kept["history.kin"].items():
            brought = dump.states.get(name)
            if brought is None or name not in kept["history.referred"]:
                continue
            heard, stands = (known.at, known.clv), (brought["now"], brought["counted.clv"])
            if heard != stands:
                yield f"customer {customer_id}: knows {heard} of {name}, who stands at {stands}"


# ---- comparing


def differences(want: Dump, got: Dump) -> list[str]:
    """One line for each thing that differs, naming customer (or partition) and field; empty: the same."""
    return [
        *_differing("state", want.states, got.states),
        *_differing("hash", want.views, got.views),
        *_differing("customer-value", want.values, got.values, {"event_id"}),
        *_differing("told", want.told, got.told, {"at"}),
        *_changes_differing(want.changes, got.changes),
        *_changes_differing(want.alerts, got.alerts),
        *_changes_differing(want.reminders, got.reminders),
        *_fields("due", "", want.due, got.due),
        *_fields("kpi", "", _compared(want.kpi), _compared(got.kpi)),
        *_fields("fence", "", want.fences, got.fences),
        *_fields("dead-letters", "", want.dead_letters, got.dead_letters),
    ]


def _compared(kpi: Mapping[str, int]) -> dict[str, int]:
    """Without what hangs on how the batches were cut: kin are told of a customer once a commit (W2)."""
    return {
        name: n
        for name, n in kpi.items()
        if not name.endswith((f"late:{topics.RELAY}", f"records:{topics.RELAY}")) and n
    }


def _differing(
    what: str, want: Mapping[str, Any], got: Mapping[str, Any], but: frozenset[str] | set[str] = frozenset()
) -> Iterator[str]:
    for customer_id in sorted(want.keys() | got.keys()):
        one, other = want.get(customer_id), got.get(customer_id)
        if one is None or other is None:
            if one is not other:
                yield f"customer {customer_id}: {what} is {_short(other)}, undisturbed {_short(one)}"
            continue
        yield from _fields(f"customer {customer_id}: {what}", " ", _without(one, but), _without(other, but))


def _without(fields: Mapping[str, Any], but: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in but}


def _fields(what: str, gap: str, want: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(want.keys() | got.keys()):
        if want.get(name) != got.get(name):
            yield f"{what}{gap or ' '}{name} is {_short(got.get(name))}, undisturbed {_short(want.get(name))}"


def _changes_differing(want: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[str]:
    for customer_id in sorted(want.keys() | got.keys()):
        one, other = want.get(customer_id, []), got.get(customer_id, [])
        if [change["event_id"] for change in one] != [change["event_id"] for change in other]:
            told = [change["event_id"] for change in other]
            yield f"customer {customer_id}: told {told}, undisturbed {[change['event_id'] for change in one]}"
            continue
        for before, after in zip(one, other, strict=True):
            yield from _fields(f"customer {customer_id}: {before['event_id']}", " ", before, after)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:150]}… ({len(text)} characters)"


def summary(lines: list[str]) -> str:
    """The first of them, and how many there are."""
    shown = "\n  ".join(lines[:_SHOWN_MAX])
    more = f"\n  … {len(lines) - _SHOWN_MAX} more" if len(lines) > _SHOWN_MAX else ""
    return f"{len(lines)} differences:\n  {shown}{more}"
