"""What a record says and whether it may, slowly: fastavro and the contract's sentences (`docs/use/wire-format.md`).

Imports nothing of the production code but the names of topics and the schemas' files, so that it can be asked whether a
fold was right, and whether a refusal was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.validation import validate
from msgspec import Struct

from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, INPUTS, PURCHASES, RELAY, TICKS
from tests.fuzz.mutations import FOREIGN, foreign_of, head_of, registry_id, schemas_of

TIME_END_MS = 4_102_444_800_000
RECORD_MAX, RELAY_MAX = 1_048_576, 2_097_152
DEAD = ("BrokenAvro", "UnknownSchema", "ConfluentFramed", "Oversize", "BadKey", "BadField")


class Reading(Struct):
    """errors: the classes of which its dead letter may be, none: it is an event. fields: what it says, where that could
    be read. bad: the fields that the contract forbids, as paths without places. schema, body: of its writer. erased:
    whom it erases. inner: of a record on its way the record inside. unsure: facts travel in it in a format of our own,
    which is not read here."""

    errors: tuple[str, ...] = ()
    fields: dict[str, Any] | None = None
    bad: tuple[str, ...] = ()
    schema: Any = None
    body: bytes = b""
    erased: str | None = None
    inner: Reading | None = None
    unsure: bool = False

    @property
    def canonical(self) -> bool:
        """The bytes are those that fastavro would write, so nothing can be wrong with them."""
        if self.fields is None:
            return False
        fields: Any = schemaless_reader(BytesIO(self.body), self.schema, None)
        if not validate(fields, self.schema, raise_errors=False):  # it reads ints of any size
            return False
        again = BytesIO()
        schemaless_writer(again, self.schema, fields)
        return again.getvalue() == self.body and (self.inner is None or self.inner.canonical)


def read(topic: str, value: bytes | None, key: bytes | None, registry: bool) -> Reading:
    """What a record of `topic` is. registry: there is one, that of the tests."""
    if value is None:
        return _null(topic, key)
    if len(value) > (RELAY_MAX if topic == RELAY else RECORD_MAX):
        return Reading(("Oversize",))
    schema, body = _framed(topic, value, registry and topic != RELAY)
    if isinstance(schema, str):
        return Reading((schema,))
    fields = _avro(topic, schema, body)
    if fields is None:
        return Reading(("BrokenAvro",))
    reading = Reading(fields=fields, bad=tuple(forbidden(topic, fields)), schema=schema, body=body)
    reading.unsure = topic == RELAY and fields["kind"] == "PART" and fields["record"] is not None
    if reading.bad:
        reading.errors = ("BadField",)
    elif topic == CUSTOMERS and key is not None and key != fields["customer_id"].encode():
        reading.errors = ("BadKey",)
    elif topic == RELAY and fields["kind"] == "REROUTED":
        _inside(reading, fields)
    return reading


def _null(topic: str, key: bytes | None) -> Reading:
    if topic != CUSTOMERS:
        return Reading(("BrokenAvro",))
    try:
        name = (key or b"").decode()
    except UnicodeDecodeError:
        return Reading(("BadKey",))
    return (
        Reading(erased=name)
        if 0 < len(key or b"") <= 128 and not name.startswith(("place:", "grade:"))
        else Reading(("BadKey",))
    )


def _inside(reading: Reading, fields: dict[str, Any]) -> None:
    if fields["topic"] not in (PURCHASES, COMPLAINTS, CONTACTS, CUSTOMERS):
        reading.errors, reading.bad = ("BadField",), ("topic",)
        return
    inner = reading.inner = read(fields["topic"], fields["record"], fields["key"], False)
    reading.errors, reading.bad = inner.errors, inner.bad
    who = inner.erased if inner.fields is None else inner.fields["customer_id"]
    if not inner.errors and who != fields["customer_id"]:
        reading.errors, reading.bad = ("BadField",), ("customer_id",)


def _framed(topic: str, value: bytes, registry: bool) -> tuple[Any, bytes]:
    """(schema of the writer, body), or (error, ...)."""
    if not value or (value[:2] == b"\xc3\x01" and len(value) < 10) or value == b"\xc3":
        return "BrokenAvro", b""
    if value[:1] == b"\0":
        if len(value) < 5:
            return "BrokenAvro", b""
        number = int.from_bytes(value[1:5], "big")
        found = _by_id(topic).get(number, "UnknownSchema") if registry else "ConfluentFramed"
        return found, value[5:]
    return _by_head(topic).get(value[:10], "UnknownSchema"), value[10:]


@cache
def _by_head(topic: str) -> dict[bytes, Any]:
    return {head_of(topic, number): parsed(topic, number) for number in range(len(schemas_of(topic)))}


@cache
def _by_id(topic: str) -> dict[int, Any]:
    ours = {registry_id(topic, number): parsed(topic, number) for number in range(len(schemas_of(topic)))}
    return ours | {FOREIGN + registry_id(topic, 0): parse_schema(timeless(foreign_of(topic)))}


@cache
def parsed(topic: str, number: int = -1) -> Any:
    """A released schema for fastavro, times as the numbers that they are."""
    return parse_schema(timeless(schemas_of(topic)[number]))


def timeless(node: Any) -> Any:
    """`node` without logical types."""
    if isinstance(node, dict):
        if node.get("logicalType") and "name" not in node:
            return node["type"]
        return {name: timeless(value) for name, value in node.items()}
    return [timeless(one) for one in node] if isinstance(node, list) else node


def _avro(topic: str, schema: Any, body: bytes) -> dict[str, Any] | None:
    """The fields as the newest schema has them; None: these bytes are no such record."""
    source = BytesIO(body)
    try:
        fields: Any = schemaless_reader(source, schema, parsed(topic))
    except Exception:
        return None
    return fields if source.tell() == len(body) and not _counts_from_the_end(schema, body) else None


def _counts_from_the_end(schema: Any, body: bytes) -> bool:
    """Whether an enum has a symbol below 0, which fastavro takes for one from the end; it writes as many bytes, and
    an even one for an odd one. (A number with more bytes than it needs, which is none of that, is written shorter.)"""
    again = BytesIO()
    try:
        schemaless_writer(again, schema, schemaless_reader(BytesIO(body), schema, None))
    except Exception:  # numbers beyond their type are read, but not written
        return False
    written = again.getvalue()
    return len(written) == len(body) and any(
        one != other and other & 1 and not one & 1 for one, other in zip(written, body, strict=True)
    )


def avro(topic: str, body: bytes) -> dict[str, Any] | None:
    """The fields of a body under the newest schema of any topic; None: it is none."""
    return _avro(topic, parsed(topic), body)


# ---- the contract


def forbidden(topic: str, fields: dict[str, Any]) -> Iterator[str]:
    """Each field that holds what the contract forbids."""
    if topic == TICKS:
        yield from _tick(fields)
        return
    if not fields["event_id"] or (topic != RELAY and not _reference(fields["event_id"])):
        yield "event_id"
    if not _id(fields["customer_id"]) or (topic != RELAY and fields["customer_id"].startswith(("place:", "grade:"))):
        yield "customer_id"
    if not 0 <= fields["occurred_at"] < TIME_END_MS:
        yield "occurred_at"
    yield from _MORE[topic](fields)


def _id(text: str | None) -> bool:
    return text is None or 0 < len(text.encode()) <= 128


def _other(text: str | None) -> bool:
    return _id(text) and not (text or "").startswith(("place:", "grade:"))


def _amount(number: int | None) -> bool:
    return number is None or abs(number) <= 10**13


def _name(text: str | None) -> bool:
    return text is None or len(text.encode()) <= 256


def _reference(text: str | None) -> bool:
    return text is None or len(text.encode()) <= 1_024


def _names(fields: dict[str, Any], *names: str) -> Iterator[str]:
    yield from (name for name in names if not _name(fields[name]))


def _tick(fields: dict[str, Any]) -> Iterator[str]:
    if not 0 <= fields["at"] < TIME_END_MS:
        yield "at"
    for key in fields["value_at_share"]:
        share = key.removeprefix("average_order:")
        if not re.fullmatch(r"(0?\.[0-9]{1,9}|1(\.0{1,9})?)", share) or not float(share) > 0:
            yield "value_at_share key"
    if fields["policy"] and not re.fullmatch(r"[^\x00-\x1f]+@[0-9]+#[0-9a-f]{8}", fields["policy"]):
        yield "policy"
    if len(fields["served"]) > 10_000:
        yield "served"
    for place, one in enumerate(fields["served"]):
        if not 0 < len(one["employee_id"].encode()) <= 122:
            yield f"served[{place}].employee_id"
        yield from (f"served[{place}].{name}" for name, n in one.items() if name != "employee_id" and n < 0)


def _purchase(fields: dict[str, Any]) -> Iterator[str]:
    if fields["kind"] == "UNKNOWN":
        yield "kind"
    yield from _names(fields, "store_id", "channel", "employee_id")
    if not _reference(fields["original_event_id"]):
        yield "original_event_id"
    if not all(map(_reference, fields["coupon_ids"])):
        yield "coupon_ids[]"
    if not re.fullmatch("[A-Z]{3}", fields["currency"]):
        yield "currency"
    if not 0 < len(fields["lines"]) <= 10_000:
        yield "lines"
    for line in fields["lines"]:
        if not _name(line["category"]):
            yield "lines[].category"
        if line["quantity"] == -(2**31):
            yield "lines[].quantity"
        if not 0 <= line["net_amount"] <= 10**13:
            yield "lines[].net_amount"
        if not _amount(line["cost"]):
            yield "lines[].cost"
    if len(fields["coupon_ids"]) > 10_000:
        yield "coupon_ids"
    if not _other(fields["referrer_id"]):
        yield "referrer_id"


def _complaint(fields: dict[str, Any]) -> Iterator[str]:
    if not fields["complaint_id"] or not _id(fields["complaint_id"]):
        yield "complaint_id"
    for name in ("status", "about"):
        if fields[name] == "UNKNOWN":
            yield name
    yield from _names(fields, "store_id")
    if not 1 <= fields["severity"] <= 5:
        yield "severity"
    if fields["satisfaction"] is not None and not 1 <= fields["satisfaction"] <= 5:
        yield "satisfaction"
    for name in ("compensation", "reward"):
        if not _amount(fields[name]):
            yield name


def _contact(fields: dict[str, Any]) -> Iterator[str]:
    for name in ("kind", "direction"):
        if fields[name] == "UNKNOWN":
            yield name
    yield from _names(fields, "channel", "item", "employee_id")
    if not _reference(fields["reminder_id"]):
        yield "reminder_id"
    if fields["score"] is not None and not 0 <= fields["score"] <= 10:
        yield "score"
    if not _other(fields["referred_customer_id"]):
        yield "referred_customer_id"
    if not _amount(fields["cost"]):
        yield "cost"
    if fields["reason"] is not None and not 0 < len(fields["reason"].encode()) <= 64:
        yield "reason"
    if fields["due_at"] is not None and not 0 <= fields["due_at"] < TIME_END_MS:
        yield "due_at"


def _profile(fields: dict[str, Any]) -> Iterator[str]:
    if not 0 <= fields["joined_at"] < TIME_END_MS:
        yield "joined_at"
    if fields["birthday"] is not None and not _day(fields["birthday"]):
        yield "birthday"
    for name in ("anniversaries", "consent"):
        if len(fields[name]) > 100:
            yield name
    yield from _names(fields, "employee_id", "preferred_channel")
    if not all(map(_name, fields["consent"])):
        yield "consent key"
    if not all(_name(one["name"]) for one in fields["anniversaries"]):
        yield "anniversaries[].name"
    if not all(_day(one["date"]) for one in fields["anniversaries"]):
        yield "anniversaries[].date"
    if fields["time_zone"] is not None and not _zone(fields["time_zone"]):
        yield "time_zone"
    tag = "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"
    if fields["language"] is not None and not re.fullmatch(tag, fields["language"]):
        yield "language"
    if not _amount(fields["acquisition_cost"]):
        yield "acquisition_cost"
    if not _other(fields["merged_into"]):
        yield "merged_into"


@cache
def _zone(name: str) -> bool:
    try:
        return re.fullmatch("[A-Za-z][A-Za-z0-9_+/-]{0,63}", name) is not None and bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        return False


def _day(text: str) -> bool:
    if not re.fullmatch("([0-9]{4}-)?[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        return 1800 <= date.fromisoformat(text if len(text) > 5 else f"2000-{text}").year <= 2199
    except ValueError:
        return False


def _relay(fields: dict[str, Any]) -> Iterator[str]:
    """What partitions tell each other has fields that its kind needs."""
    kind = fields["kind"]
    if not 0 <= fields["recorded_at"] < TIME_END_MS:
        yield "recorded_at"
    if not _id(fields["referred_customer_id"]):
        yield "referred_customer_id"
    needs = {
        "REFERRAL": ("referred_customer_id",), "CLAIM": ("referrer_id",), "STANDING": ("level", "clv"),
        "WITHDRAWAL": ("referred_customer_id", "referrer_id"), "PART": ("other_id",), "FORGOTTEN": ("other_id",),
    }  # fmt: skip
    if kind == "UNKNOWN":
        yield "kind"
    for name in needs.get(kind, ()):
        if fields[name] is None:
            yield name
    if kind == "STANDING" and fields["level"] not in ("OK", "UNHAPPY", "LOST"):
        yield "level"
    if kind == "STANDING" and (fields["referrer_id"] is None) == (fields["referred_customer_id"] is None):
        yield "referrer_id"
    if kind == "MISHAP" and not re.match("place:.*@", fields["customer_id"], re.DOTALL):
        yield "customer_id"


_MORE = {PURCHASES: _purchase, COMPLAINTS: _complaint, CONTACTS: _contact, CUSTOMERS: _profile, RELAY: _relay}
FIELDS = {
    topic: frozenset(field["name"] for schema in schemas_of(topic) for field in schema["fields"]) for topic in INPUTS
}
"""By topic the names that a message may begin with."""
