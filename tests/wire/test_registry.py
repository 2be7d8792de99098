"""Confluent's framing: a record under any schema that resolves to ours is the event that ours would have been."""

from __future__ import annotations

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec, framing, library, renewing, topics
from schemas.errors import BadRecord, BrokenAvro, Oversize, UnknownSchema
from schemas.registry import Registered
from tests.wire.records import INPUT_TOPICS, accepted
from tests.wire.test_codec import GOOD, purchase

ID = 258
PLACE = "http://registry:8081"
EXTRAS: dict[str, tuple[Any, Any]] = {
    "note": ("string", "hello"),
    "weight": ("double", 0.5),
    "ratio": ("float", 0.25),
    "raw": ("bytes", b"\x00\xff"),
    "digest": ({"type": "fixed", "name": "Digest", "size": 4}, b"abcd"),
    "paid": ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, b"\x01"),
    "flag": ("boolean", True),
    "many": ({"type": "array", "items": ["null", "long", "string"]}, [None, 7, "x"]),
    "tags": ({"type": "map", "values": {"type": "array", "items": "int"}}, {"a": [1, -2], "b": []}),
    "nothing": ("null", None),
    "tree": (
        {
            "type": "record",
            "name": "Tree",
            "fields": [{"name": "left", "type": ["null", "Tree"]}, {"name": "value", "type": "long"}],
        },
        {"left": {"left": None, "value": 300}, "value": -1},
    ),
}
"""Fields that we know nothing of, of every kind, and a value for each."""


def told(schema: Any, schema_id: int = ID) -> Registered:
    registered = Registered(PLACE)
    registered.learn(schema_id, json.dumps(schema))
    return registered


def confluent(schema: Any, record: Any, schema_id: int = ID) -> bytes:
    with BytesIO() as out:
        out.write(framing.confluent_head(schema_id))
        schemaless_writer(out, parse_schema(json.loads(json.dumps(schema))), record)
        return out.getvalue()


def read(topic: str, schema: Any, value: bytes, key: bytes | None = None) -> Any:
    return codec.decoding(told(schema))(topic, value, key)


def copy(topic: str) -> Any:
    return json.loads(library.text(topic))


@st.composite
def others(draw: st.DrawFn, topic: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A schema that resolves to ours, a record as it was written under it, and what it is under ours."""
    schema, record = copy(topic), draw(accepted(topic))
    if draw(st.booleans()):
        schema["namespace"] = "pos.team"
    written = _other_record(draw, schema, record, EXTRAS)
    return schema, written, record


def _other_record(draw: st.DrawFn, schema: Any, record: dict[str, Any], extras: dict[str, Any]) -> dict[str, Any]:
    """Changes `schema`, and `record` where the change loses something; gives what is written under it."""
    left_out = [field for field in schema["fields"] if "default" in field and draw(st.integers(0, 3)) == 0]
    for field in left_out:
        schema["fields"].remove(field)
        record[field["name"]] = [] if field["default"] == [] else field["default"]
    written = {name: value for name, value in record.items() if all(name != field["name"] for field in left_out)}
    for field in schema["fields"]:
        written[field["name"]] = _other_value(draw, field, written[field["name"]])
    for name in draw(st.lists(st.sampled_from(sorted(extras)), unique=True, max_size=3)) if extras else ():
        kind, value = extras[name]
        schema["fields"].insert(draw(st.integers(0, len(schema["fields"]))), {"name": name, "type": kind})
        written[name] = value
    if draw(st.booleans()):
        schema["fields"] = draw(st.permutations(schema["fields"]))
    return written


def _other_value(draw: st.DrawFn, field: Any, value: Any) -> Any:
    kind = field["type"]
    if isinstance(kind, list) and draw(st.booleans()):
        field["type"] = kind = list(reversed(kind))
        field.pop("default", None)
    if isinstance(kind, dict) and kind["type"] == "enum" and draw(st.booleans()):
        kind["symbols"] = draw(st.permutations(kind["symbols"]))
    if isinstance(kind, dict) and kind["type"] == "array" and isinstance(kind["items"], dict):
        items, change = kind["items"], draw(st.booleans())
        if change and items["type"] == "record" and value:
            columns = draw(st.permutations(items["fields"]))
            items["fields"] = [*columns, {"name": "extra", "type": ["null", "string"], "default": None}]
            return [{**one, "extra": None} for one in value]
    if isinstance(kind, list) and "string" in kind and isinstance(value, str) and draw(st.integers(0, 4)) == 0:
        field["type"] = "string"
        field.pop("default", None)
    return value


@pytest.mark.parametrize("topic", INPUT_TOPICS)
@settings(max_examples=150, deadline=None)
@given(drawn=st.data())
def test_under_any_schema_that_resolves_to_ours_it_is_the_same_event_with_the_same_content(
    topic: str, drawn: st.DataObject
) -> None:
    schema, written, record = drawn.draw(others(topic))
    value = confluent(schema, written)
    assert read(topic, schema, value) == codec.decode(topic, codec.write(topic, record), None)
    assert codec.read(topic, value, told(schema)) == record
    assert codec.in_own_framing(topic, value, told(schema)) == codec.write(topic, record)


@pytest.mark.parametrize("topic", INPUT_TOPICS)
@settings(max_examples=150, deadline=None)
@given(drawn=st.data())
def test_the_generated_function_makes_the_bytes_that_fastavro_would(topic: str, drawn: st.DataObject) -> None:
    schema, written, _ = drawn.draw(others(topic))
    foreign, body = library.foreign(schema), confluent(schema, written)[5:]
    try:
        renew = renewing.renewer(foreign, library.newest(topic))
    except renewing.Unrenewable:
        return
    assert renew(body) == codec._slowly(topic, foreign, body)


@settings(max_examples=300, deadline=None)
@given(drawn=st.data())
def test_D6_damaged_bytes_under_another_schema_become_a_bad_record_and_nothing_else(drawn: st.DataObject) -> None:
    schema, written, _ = drawn.draw(others(topics.PURCHASES))
    value = bytearray(confluent(schema, written))
    for _ in range(drawn.draw(st.integers(1, 4))):
        value[drawn.draw(st.integers(5, len(value) - 1))] = drawn.draw(st.integers(0, 255))
    damaged = bytes(value[: drawn.draw(st.integers(5, len(value)))])
    with suppress(BadRecord):
        read(topics.PURCHASES, schema, damaged)


def test_what_is_cut_short_is_told_with_the_writers_field() -> None:
    schema = copy(topics.PURCHASES)
    schema["fields"].insert(0, {"name": "note", "type": "string"})
    value = confluent(schema, purchase(note="a" * 20, channel="web"))
    with pytest.raises(BrokenAvro, match="note at byte 0 of the Avro body: a length of 20 with 9 bytes left"):
        read(topics.PURCHASES, schema, value[:15])
    with pytest.raises(BrokenAvro, match="3 bytes follow the end"):
        read(topics.PURCHASES, schema, value + b"abc")


@pytest.mark.parametrize("topic", topics.INPUTS[:4])
def test_our_own_schema_from_the_registry_is_ours(topic: str) -> None:
    value = framing.confluent_head(ID) + GOOD[topic][10:]
    assert read(topic, copy(topic), value) == codec.decode(topic, GOOD[topic], None)


def test_a_null_erases_and_single_object_encoding_is_read_beside_it() -> None:
    decode = codec.decoding(told(copy(topics.CUSTOMERS)))
    assert decode(topics.CUSTOMERS, None, b"anna") == codec.decode(topics.CUSTOMERS, None, b"anna")
    assert decode(topics.CUSTOMERS, GOOD[topics.CUSTOMERS], None) == codec.decode(
        topics.CUSTOMERS, GOOD[topics.CUSTOMERS], None
    )


def _without(name: str) -> Any:
    schema = copy(topics.PURCHASES)
    schema["fields"] = [field for field in schema["fields"] if field["name"] != name]
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (copy(topics.CONTACTS), "is Contact: purchases takes loyalty.v1.Purchase"),
        ("string", "is no record"),
        (["null", "string"], "is no record"),
        (_without("store_id"), "cannot be resolved to schemas/purchases.avsc: store_id: not written"),
        ({"type": "record", "name": "Purchase", "fields": []}, "and 4 more; register one that can be"),
        ({"type": "enum", "name": "Purchase"}, "is no Avro schema"),
        ({"type": "recrod", "name": "Purchase"}, "is no Avro schema"),
        ({"type": ["recrod"]}, "is no Avro schema"),
        ([], "is no record"),
    ],
)
def test_D6_an_id_whose_schema_is_not_the_topics_is_refused_by_id_registry_and_reason(schema: Any, says: str) -> None:
    value = framing.confluent_head(ID) + GOOD[topics.PURCHASES][10:]
    with pytest.raises(UnknownSchema, match=f"schema id 258 of the registry {PLACE} .*{says}"):
        read(topics.PURCHASES, schema, value)


def test_D6_schemas_made_to_harm_are_refused_and_bodies_end_early() -> None:
    registered = Registered(PLACE)
    registered.learn(ID, "[" * 100_000)
    with pytest.raises(UnknownSchema, match="is no Avro schema"):
        registered.schema(topics.PURCHASES, ID)
    bomb = copy(topics.PURCHASES)
    empty = {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}
    bomb["fields"].insert(0, {"name": "bomb", "type": empty})
    body = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"  # a block of 2^62 items of no bytes each
    with pytest.raises(BrokenAvro, match="bomb at byte 0"):
        read(topics.PURCHASES, bomb, framing.confluent_head(ID) + body)
    nested: Any = "string"
    for _ in range(40):  # more loops than Python nests
        nested = {"type": "array", "items": nested}
    loops = copy(topics.PURCHASES)
    loops["fields"].append({"name": "loops", "type": nested})
    value = framing.confluent_head(ID) + GOOD[topics.PURCHASES][10:] + b"\0"
    assert read(topics.PURCHASES, loops, value) == codec.decode(topics.PURCHASES, GOOD[topics.PURCHASES], None)
    tree = copy(topics.PURCHASES)
    more = {"name": "more", "type": {"type": "array", "items": "Tree"}}
    branch = {"type": "record", "name": "Tree", "fields": [more]}
    tree["fields"].append({"name": "tree", "type": branch})
    for depth, says in ((40, None), (5_000, "nested too deep")):
        value = framing.confluent_head(ID) + GOOD[topics.PURCHASES][10:] + b"\2" * depth + b"\0" * (depth + 1)
        if says is None:
            assert read(topics.PURCHASES, tree, value) == codec.decode(topics.PURCHASES, GOOD[topics.PURCHASES], None)
        else:
            with pytest.raises(BrokenAvro, match=says):
                read(topics.PURCHASES, tree, value)
    hostile = copy(topics.PURCHASES)
    hostile["fields"].append({"name": "x = __import__('os')", "type": "string", "default": ""})
    value = framing.confluent_head(ID) + GOOD[topics.PURCHASES][10:] + b"\0"
    assert read(topics.PURCHASES, hostile, value) == codec.decode(topics.PURCHASES, GOOD[topics.PURCHASES], None)


def test_what_is_generated_for_a_schema_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that places by CRC-32 misplaces nearly all of its records: each is read and sent on."""
    made: list[Any] = []
    make = codec.renewer
    monkeypatch.setattr(codec, "renewer", lambda *schemas: made.append(schemas) or make(*schemas))
    schema = copy(topics.PURCHASES)
    schema["fields"].reverse()
    registered, value = told(schema), confluent(schema, purchase(channel="web"))
    decode = codec.decoding(registered)
    for _ in range(3):
        decode(topics.PURCHASES, value, None)
        codec.in_own_framing(topics.PURCHASES, value, registered)
    assert len(made) == 1


def test_D6_too_large_is_too_large_in_either_framing() -> None:
    value = framing.confluent_head(ID) + bytes(topics.RECORD_BYTES_MAX)
    decode = codec.decoding(told(copy(topics.PURCHASES)))
    for _ in range(2):
        with pytest.raises(Oversize):
            decode(topics.PURCHASES, value, None)
        decode(topics.PURCHASES, framing.confluent_head(ID) + GOOD[topics.PURCHASES][10:], None)


def test_the_ids_to_ask_for_are_those_that_nobody_has_asked_for() -> None:
    registered = told(copy(topics.PURCHASES), 7)
    registered.refuse(8, "is unknown there")
    framed = [framing.confluent_head(n) + b"x" for n in (7, 8, 9, 9, 10)]
    values = [GOOD[topics.PURCHASES], None, b"", b"\0\0\0", *framed]
    assert registered.unknown(values) == {9, 10}
    registered.forget(8)
    assert registered.unknown(values) == {8, 9, 10}


def test_an_id_that_nobody_asked_for_is_our_own_fault() -> None:
    with pytest.raises(AssertionError, match="schema id 9 was not asked for"):
        codec.decoding(Registered(PLACE))(topics.PURCHASES, framing.confluent_head(9) + b"x", None)


def test_a_command_asks_when_it_meets_an_id() -> None:
    asked: list[int] = []
    registered = Registered(PLACE)

    def ask(schema_id: int) -> None:
        asked.append(schema_id)
        registered.learn(schema_id, library.text(topics.PURCHASES))

    registered.ask = ask
    value = framing.confluent_head(ID) + GOOD[topics.PURCHASES][10:]
    for _ in range(2):
        codec.read(topics.PURCHASES, value, registered)
    assert asked == [ID]


def test_what_leaves_is_reframed_under_any_release_and_all_else_stays() -> None:
    topic = topics.CHURN_RISK
    marks = list(library.by_mark(topic))
    assert len(marks) > 1, "churn-risk has grown once"
    heads = {topic: {b"\xc3\x01" + mark: framing.confluent_head(n) for n, mark in enumerate(marks)}}
    for n, mark in enumerate(marks):
        assert framing.reframed(heads, topic, b"\xc3\x01" + mark + b"body") == framing.confluent_head(n) + b"body"
    assert framing.reframed(heads, topic, None) is None
    assert framing.reframed(heads, topic, b"other bytes") == b"other bytes"
    assert framing.reframed(heads, topics.DEAD_LETTERS, b"\xc3\x01" + marks[0]) == b"\xc3\x01" + marks[0]
    assert framing.reframed({}, topic, b"\xc3\x01" + marks[0]) == b"\xc3\x01" + marks[0]
