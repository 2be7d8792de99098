"""Bytes to events, outputs to bytes.

`decode` is the one door through which a record becomes an event: framing, Avro, and the contract's rules
(`schemas/contract.py`) are checked there, once. What fails is a `BadRecord`, which becomes a dead letter.
`read` and `write` are the plain way, by dictionaries, for everything off the hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from io import BytesIO
from typing import Any, cast

from fastavro import schemaless_reader, schemaless_writer
from fastavro.validation import validate
from msgspec import to_builtins
from msgspec.structs import asdict

from processors.care.actions import PLACE
from processors.events import (
    Anniversary,
    Complaint,
    Contact,
    Dated,
    Erase,
    Event,
    Line,
    Misplaced,
    Profile,
    Purchase,
    Served,
    Tick,
)
from processors.grade import INSIDE
from processors.outputs import CareReminder, ChurnRisk, GradeChange, TierChange
from schemas import contract, framing, library, topics
from schemas.conform import misfit
from schemas.errors import BadField, BadKey, BadRecord, BrokenAvro, ConfluentFramed, Oversize, UnknownSchema
from schemas.explain import broken_at
from schemas.reader import FAILURES, reader
from schemas.registry import CONFLUENT_HEADER_BYTES, Registered
from schemas.relayed import TOLD_OF, Relayed
from schemas.renewing import Renew, Unrenewable, alike, renewer
from schemas.writer import writer

__all__ = [
    "BadField",
    "BadKey",
    "BadRecord",
    "BrokenAvro",
    "ConfluentFramed",
    "Oversize",
    "UnknownSchema",
    "decode",
    "decoder",
    "encode_care_reminder",
    "encode_churn_risk",
    "encode_event",
    "encode_grade_change",
    "encode_tier_change",
    "read",
    "write",
]

Decoder = Callable[[bytes | None, bytes | None], Event]
Decode = Callable[[str, bytes | None, bytes | None], Event]
"""As `decode`: topic, value, key to the event."""


_TARGETS: dict[str, dict[str, type]] = {
    topics.PURCHASES: {"Purchase": Purchase, "Line": Line},
    topics.COMPLAINTS: {"Complaint": Complaint},
    topics.CONTACTS: {"Contact": Contact},
    topics.CUSTOMERS: {"Customer": Profile, "Anniversary": Anniversary},
    topics.TICKS: {"Tick": Tick, "Served": Served},
    topics.RELAY: {"Relay": Relayed},
}
_REROUTED_FROM = tuple(topic for topic in topics.INPUTS if topic not in (topics.RELAY, topics.TICKS))


# ---- bytes to events


def decode(topic: str, value: bytes | None, key: bytes | None) -> Event:
    """The event in a record of an input topic. `content` is 20 bits of the body's CRC-32.

    A null on `customers` is an Erase of the customer in `key`. Raises BadRecord; KeyError: not an input topic.
    """
    return _DECODERS[topic](value, key)


def decoder(topic: str) -> Decoder:
    """`decode` for one topic, without the look-up: for loops over many records."""
    return _DECODERS[topic]


def decoding(registered: Registered) -> Decode:
    """`decode` that reads Confluent's framing too. registered: knows the ids of what it is called with."""
    decoders = _decoders(registered)
    return lambda topic, value, key: decoders[topic](value, key)


@cache
def _taker(topic: str) -> Callable[[bytes], Event]:
    """The generated reader of bodies under the newest schema."""
    return reader(library.source(topic), _TARGETS[topic], contract.RULES[topic])


def _reader(topic: str, registered: Registered | None) -> Decoder:
    head, size_max, skip = framing.header(topic), topics.bytes_max(topic), framing.HEADER_BYTES
    take, renewed = _taker(topic), _renewing(topic, registered)

    def decode_one(value: bytes | None, key: bytes | None) -> Event:
        if value is None:
            raise BrokenAvro(f"the value is null: on {topic} that means nothing; only customers takes a null, to erase")
        ours = value[:skip] == head and len(value) <= size_max
        body = value[skip:] if ours else renewed(value)
        try:
            return take(body)
        except BadField as error:
            raise _broken(topic, body) or error from None
        except FAILURES as error:
            raise _broken(topic, body) or BrokenAvro(str(error)) from None

    return decode_one


def _broken(topic: str, body: bytes) -> BrokenAvro | None:
    where = broken_at(library.source(topic), body)
    return None if where is None else BrokenAvro(where)


@lru_cache(maxsize=64)  # of a process's one registry: what was generated for an id is kept
def _renewing(topic: str, registered: Registered | None) -> Callable[[bytes], bytes]:
    """From a record under another framing or schema to its body as the newest schema writes it, so that one reader
    checks them all, and `content` is the same whoever wrote it."""
    known: dict[bytes, tuple[Renew, library.Schema]] = {}
    size_max = topics.bytes_max(topic)

    def renewed(value: bytes) -> bytes:
        head = value[: CONFLUENT_HEADER_BYTES if value[:1] == b"\0" else framing.HEADER_BYTES]
        found = known.get(head)
        if found is None or len(value) > size_max:
            schema, _ = framing.unframe(topic, value, registered)
            found = known[head] = (_renewer(topic, schema), schema)
        renew, schema = found
        body = value[len(head) :]
        try:
            return renew(body)
        except (*FAILURES, RecursionError):  # the latter: of a foreign field, nested deeper than Python takes it
            return _slowly(topic, schema, body)

    return renewed


def _renewer(topic: str, schema: library.Schema) -> Renew:
    newest = library.newest(topic)
    if alike(schema, newest):
        return bytes  # as it stands
    try:
        return renewer(schema, newest)
    except (Unrenewable, SyntaxError, RecursionError):  # the latter: nested deeper than Python takes it
        return lambda body: _slowly(topic, schema, body)


def _slowly(topic: str, schema: library.Schema, body: bytes) -> bytes:
    with BytesIO() as out:
        schemaless_writer(out, library.newest(topic), _resolved(topic, schema, body))
        return out.getvalue()


def in_own_framing(topic: str, value: bytes, registered: Registered | None) -> bytes:
    """`value`, decoded before, so that it can be read without a registry; it stays unless Confluent-framed."""
    if registered is None or value[:1] != b"\0":
        return value
    return framing.header(topic) + _renewing(topic, registered)(value)


def _resolved(topic: str, writer: library.Schema, body: bytes) -> dict[str, Any]:
    where = broken_at(writer, body)  # fastavro overlooks negative lengths and what follows a record
    if where is not None:
        raise BrokenAvro(where)
    try:
        return cast(dict[str, Any], schemaless_reader(BytesIO(body), writer, library.newest(topic)))
    except Exception as error:
        raise BrokenAvro(f"the record cannot be resolved to the newest schema of {topic}: {error}") from None


def _profile_reader(registered: Registered | None) -> Decoder:
    profile = _reader(topics.CUSTOMERS, registered)

    def decode_one(value: bytes | None, key: bytes | None) -> Event:
        if value is None:
            return Erase(_customer_of(key))
        event = cast(Profile, profile(value, key))
        if key is not None and key != event.customer_id.encode():
            raise BadKey(
                f"the key is {key[:60]!r} and customer_id is {event.customer_id!r}: on customers, which is compacted "
                f"by key, both must be the same"
            )
        return event

    return decode_one


def _customer_of(key: bytes | None) -> str:
    if not key or len(key) > contract.CUSTOMER_ID_BYTES_MAX:
        raise BadKey(f"a null on customers erases the customer in the key: {len(key or b'')} bytes, must be 1 to 128")
    if key.startswith((PLACE.encode(), INSIDE.encode())):
        raise BadKey(f"the key {key[:60]!r} begins with {PLACE!r} or {INSIDE!r}, as ids of ours do, and no customer's")
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise BadKey(f"the key {key[:60]!r} is not UTF-8: a customer's id must be") from None


def _relay_reader() -> Decoder:
    """Of our own framing alone, inside as well: who sends a record on gives it that (`in_own_framing`)."""
    relayed = _reader(topics.RELAY, None)

    def decode_one(value: bytes | None, key: bytes | None) -> Event:
        record = cast(Relayed, relayed(value, key))
        return _RELAYED[record.kind](record)

    return decode_one


def _rerouted(record: Relayed) -> Misplaced:
    if record.topic not in _REROUTED_FROM:
        raise BadField("topic", f"is {record.topic!r}: must be one of {', '.join(_REROUTED_FROM)}")
    event = cast("Purchase | Complaint | Contact | Profile | Erase", decode(record.topic, record.record, record.key))
    if event.customer_id != record.customer_id:
        raise BadField("customer_id", f"is {record.customer_id!r}: the record inside is of {event.customer_id!r}")
    return Misplaced(event=event, topic=record.topic, recorded_at=record.recorded_at, customer_id=record.customer_id)


_RELAYED: dict[str, Callable[[Relayed], Event]] = {"REROUTED": _rerouted, **TOLD_OF}


def _decoders(registered: Registered | None) -> dict[str, Decoder]:
    plain = (topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.TICKS)
    return {
        **{topic: _reader(topic, registered) for topic in plain},
        topics.CUSTOMERS: _profile_reader(registered),
        topics.RELAY: _relay_reader(),
    }


_DECODERS: dict[str, Decoder] = _decoders(None)


# ---- dictionaries


def read(topic: str, value: bytes, registered: Registered | None = None) -> dict[str, Any]:
    """A record of any topic with a schema, resolved to the newest; times are UTC ms. Raises BadRecord.

    registered: what a registry told, where one is configured."""
    schema, body = framing.unframe(topic, value, registered)
    return _resolved(topic, schema, body)


def write(topic: str, record: Mapping[str, Any]) -> bytes:
    """`record` under the newest schema, framed. Missing fields take their default; nothing unknown is let through.

    Raises BadField, which names the field. The contract's rules are not checked: `decode` does.
    """
    fields = dict(record)
    if not validate(fields, library.newest(topic), raise_errors=False):  # the writer itself would cut 4.5 down to 4
        raise misfit(library.source(topic), record) or BadField("the record", f"does not fit the schema of {topic}")
    return _written(topic, fields)


def _written(topic: str, fields: dict[str, Any]) -> bytes:
    with BytesIO() as out:
        out.write(framing.header(topic))
        try:
            schemaless_writer(
                out, library.newest(topic), fields, strict_allow_default=True, disable_tuple_notation=True
            )
        except Exception as error:
            found = misfit(library.source(topic), fields)
            raise found or BadField("the record", f"cannot be written to {topic}: {error}") from None
        return out.getvalue()


# ---- events and outputs to bytes


def encode_event(topic: str, event: Dated | Tick) -> bytes:
    """An input event as a producer sends it. What goes to `relay` is of unknown origin here."""
    fields = to_builtins(event)
    fields.pop("content", None)
    if topic == topics.RELAY:
        fields |= {"kind": event.name.upper(), "topic": "", "partition": -1, "offset": -1}
        fields["recorded_at"] = fields["occurred_at"]
    return _written(topic, fields)


def encode_tier_change(change: TierChange, reason: str) -> bytes:
    """A tier change as it is published; `reason`: its sentence."""
    fields = asdict(change)
    fields["event_id"], fields["reason"] = change.event_id, reason
    fields["reason_code"], fields["reason_have"], fields["reason_need"] = change.code, change.have, change.need
    fields["to_next"] = [asdict(step) for step in change.to_next]
    return writer(topics.TIER_CHANGES)(fields)


def encode_grade_change(change: GradeChange, reason: str) -> bytes:
    """A grade's change as it is published; `reason`: its sentence."""
    fields = asdict(change)
    fields["event_id"], fields["employee_id"], fields["reason"] = change.event_id, change.customer_id, reason
    fields["reason_code"], fields["reason_have"], fields["reason_need"] = change.code, change.have, change.need
    fields["to_next"] = [asdict(step) for step in change.to_next]
    return writer(topics.EMPLOYEE_GRADES)(fields)


def encode_care_reminder(reminder: CareReminder, text: str, suggestion: str | None) -> bytes:
    """A reminder as it is published; `text`: its sentence."""
    fields = asdict(reminder)
    fields["event_id"], fields["text"], fields["suggestion"] = reminder.event_id, text, suggestion
    return writer(topics.CARE_REMINDERS)(fields)


def encode_churn_risk(risk: ChurnRisk, texts: Sequence[str]) -> bytes:
    """A churn risk as it is published; `texts`: a sentence for each of its reasons, in their order."""
    fields = asdict(risk)
    fields["event_id"] = risk.event_id
    fields["reasons"] = [
        {"code": reason.code, "weight": reason.weight, "text": text}
        for reason, text in zip(risk.reasons, texts, strict=True)
    ]
    return writer(topics.CHURN_RISK)(fields)
