"""Bytes become events, or a BadRecord that says what to mend; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any
from zlib import crc32

import avro.schema
import pytest
from fastavro import parse_schema, schemaless_reader
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs, to_builtins

from processors.events import (
    Anniversary,
    Claim,
    Erase,
    Line,
    Mishap,
    Misplaced,
    Profile,
    Purchase,
    Referral,
    Served,
    Standing,
    Tick,
    Withdrawal,
)
from processors.outputs import ChurnRisk, Reason, TierChange, ToNext
from schemas import codec, explain, framing, library, reader, topics
from schemas.codec import BadField, BadKey, BadRecord, BrokenAvro, ConfluentFramed, Oversize, UnknownSchema
from tests.wire.records import INPUT_TOPICS, accepted, data, oracle, oracle_bytes, oracle_datum, zigzag

ALL = [topic.name for topic in topics.TOPICS.values() if topic.schema]
AT = 1_490_000_123_456


def purchase(**changes: Any) -> dict[str, Any]:
    lines = [
        {"category": "bread", "quantity": 2, "net_amount": 450},
        {"category": "milk", "quantity": 1, "net_amount": 99},
    ]
    return {
        "event_id": "till-7-0001",
        "customer_id": "anna",
        "occurred_at": AT,
        "kind": "SALE",
        "store_id": "s1",
        "currency": "USD",
        "lines": lines,
        **changes,
    }


def line(**changes: Any) -> list[dict[str, Any]]:
    return [{"category": "bread", "quantity": 2, "net_amount": 450, **changes}]


def contact(**changes: Any) -> dict[str, Any]:
    start = {"event_id": "e", "customer_id": "anna", "occurred_at": AT, "kind": "SURVEY", "direction": "IN"}
    return {**start, "channel": "store", **changes}


def complaint(**changes: Any) -> dict[str, Any]:
    start = {"event_id": "e", "customer_id": "anna", "occurred_at": AT, "complaint_id": "c", "status": "OPENED"}
    return {**start, "severity": 3, "about": "STAFF", **changes}


def profile(**changes: Any) -> dict[str, Any]:
    return {"event_id": "e", "customer_id": "anna", "occurred_at": AT, "joined_at": AT, **changes}


def served(**changes: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(("customers", "buyers", "kept", "in_time", "missed", "rated", "satisfaction"), 0)
    return {"employee_id": "eve", **numbers, **changes}


def decoded(topic: str, record: dict[str, Any], key: bytes | None = None) -> Any:
    return codec.decode(topic, codec.write(topic, record), key)


# ---- the generated readers against fastavro and avro-python3


def fields_of(event: Any) -> Any:
    """An event as plain values, without what is not on the wire."""
    plain = json.loads(json.dumps(to_builtins(event)))
    plain.pop("content", None)
    return plain


@pytest.mark.parametrize("topic", INPUT_TOPICS)
@settings(max_examples=150, deadline=None)
@given(drawn=st.data())
def test_the_generated_reader_agrees_with_fastavro_and_avro_python3(topic: str, drawn: st.DataObject) -> None:
    record = drawn.draw(accepted(topic))
    body = oracle_bytes(oracle(topic), record)
    value = framing.header(topic) + body
    event = codec.decode(topic, value, None)
    assert fields_of(event) == codec.read(topic, value) == oracle_datum(oracle(topic), body) == record
    assert explain.broken_at(library.source(topic), body) is None
    if topic != topics.TICKS:
        assert event.content == crc32(body) & 0xFFFFF  # type: ignore[union-attr]
    assert codec.encode_event(topic, event) == value  # type: ignore[arg-type]


def rerouted(event: Any, topic: str, value: bytes | None) -> bytes:
    """The record of `relay` that carries a misplaced record."""
    fields = {
        "event_id": getattr(event, "event_id", f"{topic}:3:118"),
        "kind": "REROUTED",
        "customer_id": event.customer_id,
        "occurred_at": getattr(event, "occurred_at", AT),
        "topic": topic,
        "partition": 3,
        "offset": 118,
        "recorded_at": AT + 5,
        "key": event.customer_id.encode(),
        "record": value,
    }
    return codec.write(topics.RELAY, fields)


RELAYED = Purchase(
    event_id="e", customer_id="bo", occurred_at=AT, kind="SALE", store_id="s", currency="USD", lines=(Line("a", 1, 5),)
)
GOOD = {
    topics.PURCHASES: codec.write(topics.PURCHASES, purchase()),
    topics.COMPLAINTS: codec.write(topics.COMPLAINTS, complaint()),
    topics.CONTACTS: codec.write(topics.CONTACTS, contact()),
    topics.CUSTOMERS: codec.write(
        topics.CUSTOMERS,
        profile(birthday="02-29", consent={"email": True}, anniversaries=[{"name": "wedding", "date": "2001-05-04"}]),
    ),
    topics.TICKS: codec.write(topics.TICKS, {"at": AT, "value_at_share": {"0.2": 60_000}, "policy": "d@1#0a1b2c3d"}),
    topics.RELAY: rerouted(RELAYED, topics.PURCHASES, codec.encode_event(topics.PURCHASES, RELAYED)),
}


@pytest.mark.parametrize("topic", topics.INPUTS)
def test_every_input_has_a_good_record_here(topic: str) -> None:
    codec.decode(topic, GOOD[topic], None)


@pytest.mark.parametrize("topic", topics.INPUTS)
@settings(max_examples=300, deadline=None)
@given(drawn=st.data())
def test_D6_mutated_bytes_give_an_event_or_a_bad_record_and_nothing_else(topic: str, drawn: st.DataObject) -> None:
    value = bytearray(GOOD[topic])
    for _ in range(drawn.draw(st.integers(1, 4))):
        at = drawn.draw(st.integers(0, len(value)))
        cut = drawn.draw(st.integers(0, 3))
        value[at : at + cut] = drawn.draw(st.binary(max_size=12))
    _event_or_bad_record(topic, bytes(value))


@pytest.mark.parametrize("topic", topics.INPUTS)
@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200))
def test_D6_any_bytes_behind_a_header_give_an_event_or_a_bad_record(topic: str, body: bytes) -> None:
    _event_or_bad_record(topic, framing.header(topic) + body)


def _event_or_bad_record(topic: str, value: bytes) -> None:
    body = value[framing.HEADER_BYTES :]
    sound = (
        value[: framing.HEADER_BYTES] == framing.header(topic)
        and explain.broken_at(library.source(topic), body) is None
    )
    try:
        codec.decode(topic, value, None)
    except BrokenAvro:
        assert not sound or topic == topics.RELAY, "the plain walker reads it and the generated reader does not"
    except BadRecord:
        pass
    else:
        assert sound, "the generated reader reads what the plain walker refuses"


@pytest.mark.parametrize("topic", topics.INPUTS)
def test_D6_every_truncation_is_broken_avro(topic: str) -> None:
    for end in range(framing.HEADER_BYTES, len(GOOD[topic])):
        with pytest.raises(BrokenAvro, match=r"cut short|bytes left"):
            codec.decode(topic, GOOD[topic][:end], None)


@pytest.mark.parametrize("topic", topics.INPUTS)
def test_D6_bytes_behind_the_record_are_broken_avro(topic: str) -> None:
    with pytest.raises(BrokenAvro, match="1 bytes follow"):
        codec.decode(topic, GOOD[topic] + b"\x00", None)
    with pytest.raises(BrokenAvro):
        codec.read(topic, GOOD[topic] + b"\x00")


# ---- the corners of Avro's encoding, by hand

HEAD = framing.header(topics.PURCHASES)
A_LINE = b"\x02b\x00\x02\x04"  # category b, no sku, quantity 1, net amount 2, ...
START = b"\x02e\x02a" + zigzag(AT) + b"\x00\x02s\x02c\x06USD"
END = b"\x00\x00\x00\x00"
ONE_LINE = A_LINE + b"\x00"


def raw(lines: bytes, start: bytes = START, end: bytes = END) -> Purchase:
    event = codec.decode(topics.PURCHASES, HEAD + start + lines + end, None)
    assert isinstance(event, Purchase)
    return event


def test_lines_come_in_any_number_of_blocks_with_or_without_their_size() -> None:
    plain = raw(b"\x06" + 3 * ONE_LINE + b"\x00").lines
    assert len(plain) == 3
    assert raw(3 * (b"\x02" + ONE_LINE) + b"\x00").lines == plain
    assert raw(zigzag(-3) + zigzag(3 * len(ONE_LINE)) + 3 * ONE_LINE + b"\x00").lines == plain
    assert raw(zigzag(-1) + zigzag(6) + ONE_LINE + b"\x04" + 2 * ONE_LINE + b"\x00").lines == plain
    assert len(raw(zigzag(200) + 200 * ONE_LINE + b"\x00").lines) == 200


def test_numbers_need_not_be_written_as_short_as_can_be() -> None:
    long_zero, long_one = b"\x80\x80\x00", b"\x82\x80\x00"
    short = raw(b"\x02" + ONE_LINE + b"\x00")
    odd = raw(
        b"\x82\x00" + b"\x82\x00b" + long_zero + long_one + b"\x84\x00" + long_zero + long_zero,
        b"\x82\x00e\x82\x00a" + zigzag(AT)[:-1] + bytes([zigzag(AT)[-1] | 0x80, 0]) + long_zero + b"\x02s\x02c\x06USD",
    )
    assert structs.replace(odd, content=0) == structs.replace(short, content=0)


@pytest.mark.parametrize("at", [0, 1, 63, 64, 8191, 8192, 2**33, 2**34, 2**40, 2**41 - 1, 2**41, 4_102_444_799_999])
def test_times_of_every_length_are_read(at: int) -> None:
    assert decoded(topics.PURCHASES, purchase(occurred_at=at)).occurred_at == at
    assert decoded(topics.TICKS, {"at": at}) == Tick(at=at)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (zigzag(2**40), r"lines at byte \d+ .*a block of 1099511627776 items"),
        (zigzag(-(2**63)) + b"\x00", "a block of 9223372036854775808 items"),
        (b"\x02" + b"\xff" * 10 + b"\x01", r"lines\[0\].category.*more than ten bytes"),
        (b"\x02" + b"\xff" * 9 + b"\x7f", r"lines\[0\].category.*beyond 64 bits"),
        (b"\x02\x03" + ONE_LINE, r"lines\[0\].category.*a length of -2"),
        (b"\x02\x02b\x04\x02\x02\x00\x00", r"lines\[0\].sku.*branch 2 of a union of 2"),
        (b"\x02\x02b\x01\x02\x02\x00\x00", r"lines\[0\].sku.*branch -1"),
        (b"\x02\x02\xff\x00\x02\x02\x00\x00", r"lines\[0\].category.*not UTF-8"),
        (b"\x02\x06\xed\xa0\x80\x00\x02\x02\x00\x00", r"lines\[0\].category.*not UTF-8"),
        (b"\x02\x02b\x00" + zigzag(2**31) + b"\x02\x00\x00", r"lines\[0\].quantity.*beyond 32 bits"),
        (b"\x02" + ONE_LINE, "bytes|cut short"),
    ],
)
def test_D6_what_avro_forbids_is_named_with_its_place(lines: bytes, says: str) -> None:
    with pytest.raises(BrokenAvro, match=says):
        raw(lines)


def test_D6_a_block_that_claims_too_many_lines_costs_no_memory() -> None:
    for claimed in (2**20, 2**40, 2**62):
        with pytest.raises(BrokenAvro, match="items with"):
            raw(zigzag(claimed) + 1000 * ONE_LINE)


# ---- the contract


BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    (topics.PURCHASES, purchase(event_id=""), "event_id is '': must not be empty"),
    (topics.PURCHASES, purchase(event_id="e" * 1_025), "event_id is 'eee.*at most 1,024 bytes"),
    (topics.PURCHASES, purchase(store_id="s" * 257), "store_id is 'sss.*at most 256 bytes"),
    (topics.PURCHASES, purchase(coupon_ids=["c", "c" * 1_025]), r"coupon_ids\[1\] is 'ccc.*at most 1,024 bytes"),
    (topics.PURCHASES, purchase(original_event_id="e" * 1_025), "original_event_id"),
    (topics.PURCHASES, purchase(employee_id="e" * 257), "employee_id"),
    (topics.PURCHASES, purchase(customer_id=""), "customer_id is '': must be 1 to 128 bytes"),
    (topics.PURCHASES, purchase(customer_id="张" * 43), "customer_id is .*: must be 1 to 128 bytes"),
    (topics.PURCHASES, purchase(occurred_at=-1), "occurred_at is -1: must lie in 0 <= ms"),
    (topics.PURCHASES, purchase(occurred_at=AT * 1000), "occurred_at is 1490000123456000: .*not s or us"),
    (topics.PURCHASES, purchase(occurred_at=4_102_444_800_000), "occurred_at"),
    (topics.PURCHASES, purchase(kind="UNKNOWN"), "kind is none of SALE|RETURN.*upgrade the worker"),
    (topics.PURCHASES, purchase(currency="usd"), "currency is 'usd': must be three upper-case letters"),
    (topics.PURCHASES, purchase(currency="ÄÖÜ"), "currency"),
    (topics.PURCHASES, purchase(currency=""), "currency"),
    (topics.PURCHASES, purchase(currency="EURO"), "currency"),
    (topics.PURCHASES, purchase(channel="c" * 257), "channel is 'ccc.*at most 256 bytes"),
    (topics.PURCHASES, purchase(lines=[]), "lines has 0 entries: must hold 1 to 10,000 lines"),
    (topics.PURCHASES, purchase(lines=line() * 10_001), "lines has 10,001 entries: must hold 1 to 10,000 lines"),
    (topics.PURCHASES, purchase(lines=line(category="ü" * 129)), r"lines\[0\].category"),
    (topics.PURCHASES, purchase(lines=line(quantity=-(2**31))), r"lines\[0\].quantity"),
    (
        topics.PURCHASES,
        purchase(lines=[*line(), *line(), *line(net_amount=-450)]),
        r"lines\[2\].net_amount is -450: must be >= 0 .*; send what came back as kind RETURN",
    ),
    (topics.PURCHASES, purchase(lines=line(net_amount=10**13 + 1)), r"lines\[0\].net_amount"),
    (topics.PURCHASES, purchase(lines=line(cost=-(10**13) - 1)), r"lines\[0\].cost"),
    (topics.PURCHASES, purchase(coupon_ids=["c"] * 10_001), "coupon_ids"),
    (topics.PURCHASES, purchase(referrer_id=""), "referrer_id is '': must be 1 to 128 bytes.*leave it null"),
    (topics.PURCHASES, purchase(referrer_id="place:DELIVERY@7"), "referrer_id is 'place:.*as ids of ours do"),
    (topics.PURCHASES, purchase(customer_id="grade:eve"), "customer_id is 'grade:eve'.*as ids of ours do"),
    (topics.CONTACTS, contact(referred_customer_id="place:A@7"), "referred_customer_id is 'place:.*leave it null"),
    (topics.COMPLAINTS, complaint(severity=0), "severity is 0: must be 1 to 5"),
    (topics.COMPLAINTS, complaint(severity=6), "severity"),
    (topics.COMPLAINTS, complaint(store_id="s" * 257), "store_id"),
    (topics.COMPLAINTS, complaint(satisfaction=0), "satisfaction"),
    (topics.COMPLAINTS, complaint(complaint_id=""), "complaint_id"),
    (topics.COMPLAINTS, complaint(compensation=10**13 + 1), "compensation"),
    (topics.COMPLAINTS, complaint(reward=-(10**13) - 1), "reward"),
    (
        topics.COMPLAINTS,
        complaint(customer_id="place:DELIVERY@7"),
        "customer_id is 'place:.*as ids of ours do",
    ),
    (topics.COMPLAINTS, complaint(about="UNKNOWN"), "about is none of PRODUCT|SERVICE"),
    (topics.CONTACTS, contact(score=11), "score is 11: must be 0 to 10"),
    (topics.CONTACTS, contact(score=-1), "score"),
    (topics.CONTACTS, contact(employee_id="e" * 257), "employee_id"),
    (topics.CONTACTS, contact(reminder_id="r" * 1_025), "reminder_id"),
    (topics.CONTACTS, contact(cost=-(10**13) - 1), "cost"),
    (topics.CONTACTS, contact(due_at=-1), "due_at is -1: must lie in 0 <= ms"),
    (topics.CONTACTS, contact(direction="UNKNOWN"), "direction is none of IN|OUT"),
    (topics.CONTACTS, contact(referred_customer_id=""), "referred_customer_id"),
    (topics.CUSTOMERS, profile(joined_at=-1), "joined_at"),
    (topics.CUSTOMERS, profile(birthday="9999-12-31"), "birthday is '9999-12-31'.*1800 to 2199"),
    (topics.CUSTOMERS, profile(birthday="2-9"), "birthday is '2-9': must be MM-DD or YYYY-MM-DD"),
    (topics.CUSTOMERS, profile(birthday="02-30"), "birthday"),
    (topics.CUSTOMERS, profile(birthday="2001-02-29"), "birthday"),
    (topics.CUSTOMERS, profile(birthday="٢٠٠١-02-28"), "birthday"),
    (topics.CUSTOMERS, profile(anniversaries=[{"name": "w", "date": "1-1"}]), r"anniversaries\[0\].date"),
    (topics.CUSTOMERS, profile(time_zone="Mars Base"), "time_zone"),
    (topics.CUSTOMERS, profile(anniversaries=[{"name": "n" * 257, "date": "01-01"}]), r"anniversaries\[0\].name"),
    (topics.CUSTOMERS, profile(consent={"c" * 257: True}), "consent key"),
    (topics.CUSTOMERS, profile(preferred_channel="c" * 257), "preferred_channel"),
    (topics.CUSTOMERS, profile(employee_id="e" * 257), "employee_id"),
    (topics.CUSTOMERS, profile(time_zone="Mars/Base"), "time_zone is 'Mars/Base': must be a name of the IANA database"),
    (topics.CUSTOMERS, profile(time_zone="America"), "time_zone is 'America'"),
    (topics.CUSTOMERS, profile(time_zone="A" * 64), "time_zone"),
    (topics.CUSTOMERS, profile(language="e"), "language"),
    (topics.CUSTOMERS, profile(merged_into=""), "merged_into"),
    (topics.TICKS, {"at": -1}, "at is -1"),
    (topics.TICKS, {"at": AT, "policy": "default"}, "policy is 'default': must be name@version#"),
    (topics.TICKS, {"at": AT, "value_at_share": {"20%": 1}}, "value_at_share key is '20%'"),
    (topics.TICKS, {"at": AT, "value_at_share": {"0.0": 1}}, "value_at_share key"),
    (topics.TICKS, {"at": AT, "served": [served(employee_id="")]}, r"served\[0\].employee_id is ''"),
    (topics.TICKS, {"at": AT, "served": [served(), served(missed=-1)]}, r"served\[1\].missed is -1: must be >= 0"),
    (topics.TICKS, {"at": AT, "served": [served()] * 10_001}, "served has 10,001 entries"),
]


@pytest.mark.parametrize(("topic", "record", "says"), BAD_FIELDS)
def test_D6_what_the_contract_forbids_is_a_bad_field_that_names_it(
    topic: str, record: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadField, match=says.replace("|", r"\|")) as raised:
        decoded(topic, record)
    assert raised.value.error == "BadField"
    assert str(raised.value).startswith((raised.value.path + " is", raised.value.path + " has"))
    assert len(str(raised.value)) < 300, "it is a header of the dead letter"


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        (topics.PURCHASES, purchase(customer_id="张" * 42 + "ab", occurred_at=0)),
        (topics.PURCHASES, purchase(lines=line(net_amount=0, quantity=0, cost=0) * 10_000)),
        (topics.PURCHASES, purchase(lines=line(net_amount=10**13, quantity=1 - 2**31, cost=-(10**13)))),
        (topics.PURCHASES, purchase(kind="RETURN", original_event_id="x", channel="", lines=line(category=""))),
        (topics.COMPLAINTS, complaint(severity=5, satisfaction=1, compensation=-5)),
        (topics.CONTACTS, contact(score=0, referred_customer_id="bo")),
        (topics.CUSTOMERS, profile(birthday="02-29", time_zone="America/Argentina/Buenos_Aires", language="zh-Hant")),
        (topics.CUSTOMERS, profile(birthday="2000-02-29", time_zone="Etc/GMT+3", merged_into="bo")),
        (topics.TICKS, {"at": 4_102_444_799_999, "policy": "my shop@12#0a1b2c3d"}),
    ],
)
def test_the_edges_of_the_contract_are_accepted(topic: str, record: dict[str, Any]) -> None:
    got = fields_of(decoded(topic, record))
    assert {name: got[name] for name in record if name not in ("lines", "anniversaries")} == {
        name: value for name, value in record.items() if name not in ("lines", "anniversaries")
    }


def test_defaults_of_the_contract_fill_what_was_not_sent() -> None:
    event = decoded(topics.PURCHASES, purchase())
    assert event.lines == (Line("bread", 2, 450), Line("milk", 1, 99))
    assert (event.channel, event.coupon_ids, event.referrer_id) == ("store", (), None)
    assert decoded(topics.COMPLAINTS, complaint()).compensation == 0
    assert decoded(topics.CUSTOMERS, profile()).consent == {}


def test_a_profile_is_read_with_its_days_and_consents() -> None:
    event = codec.decode(topics.CUSTOMERS, GOOD[topics.CUSTOMERS], b"anna")
    assert isinstance(event, Profile)
    assert event.anniversaries == (Anniversary("wedding", "2001-05-04"),)
    assert (event.consent, event.birthday) == ({"email": True}, "02-29")


def test_D6_a_broken_record_is_called_broken_even_where_a_field_is_bad_too() -> None:
    value = codec.write(topics.PURCHASES, purchase(event_id=""))
    with pytest.raises(BrokenAvro):
        codec.decode(topics.PURCHASES, value[:-1], None)


def test_D6_a_record_beyond_one_mebibyte_is_oversize() -> None:
    value = codec.write(topics.PURCHASES, purchase(store_id="s" * topics.RECORD_BYTES_MAX))
    with pytest.raises(Oversize, match="at most 1,048,576"):
        codec.decode(topics.PURCHASES, value, None)


def test_D6_another_topics_record_or_framing_is_told_apart() -> None:
    with pytest.raises(UnknownSchema, match="that of contacts"):
        codec.decode(topics.PURCHASES, GOOD[topics.CONTACTS], None)
    with pytest.raises(ConfluentFramed, match="schema id 7"):
        codec.decode(topics.PURCHASES, b"\x00\x00\x00\x00\x07" + GOOD[topics.PURCHASES][10:], None)


@pytest.mark.parametrize("topic", [topic for topic in topics.INPUTS if topic != topics.CUSTOMERS])
def test_D6_a_null_means_something_on_customers_alone(topic: str) -> None:
    with pytest.raises(BrokenAvro, match="only customers takes a null"):
        codec.decode(topic, None, b"anna")


def test_a_null_on_customers_erases_the_customer_in_the_key() -> None:
    assert codec.decode(topics.CUSTOMERS, None, "张伟".encode()) == Erase("张伟")


@pytest.mark.parametrize("key", [None, b"", b"a" * 129, b"\xff"])
def test_D6_a_null_without_a_customer_in_the_key_is_a_bad_key(key: bytes | None) -> None:
    with pytest.raises(BadKey, match="key"):
        codec.decode(topics.CUSTOMERS, None, key)


def test_D6_a_profile_under_another_key_is_a_bad_key_and_a_purchase_is_not() -> None:
    with pytest.raises(BadKey, match="both must be the same"):
        codec.decode(topics.CUSTOMERS, GOOD[topics.CUSTOMERS], b"bo")
    assert codec.decode(topics.PURCHASES, GOOD[topics.PURCHASES], b"bo").customer_id == "anna"  # type: ignore[union-attr]


# ---- older and newer releases


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Writes a sale under a release that has a further field and a further kind."""
    schema = json.loads(library.text(topics.PURCHASES))
    schema["fields"].append({"name": "till", "type": ["null", "string"], "default": None})
    schema["fields"][3]["type"]["symbols"].append("GIFT")
    mark = library.canonical_fingerprint(schema)
    monkeypatch.setitem(library.by_fingerprint(topics.PURCHASES), mark, parse_schema(library._plain(schema)))
    independent = avro.schema.parse(json.dumps(schema))

    def written(**changes: Any) -> bytes:
        record = codec.read(topics.PURCHASES, codec.write(topics.PURCHASES, purchase())) | {"till": "7"} | changes
        return framing.SINGLE_OBJECT + mark + oracle_bytes(independent, record)

    return written


def test_another_release_is_resolved_to_the_newest(newer: Callable[..., bytes]) -> None:
    event = codec.decode(topics.PURCHASES, newer(), None)
    assert event == codec.decode(topics.PURCHASES, GOOD[topics.PURCHASES], None), (
        "content too: it is of the newest form"
    )
    assert codec.read(topics.PURCHASES, newer()) == codec.read(topics.PURCHASES, GOOD[topics.PURCHASES])


def test_D6_a_symbol_of_a_newer_release_is_a_bad_field_and_no_silent_default(newer: Callable[..., bytes]) -> None:
    with pytest.raises(BadField, match=r"kind is none of SALE\|RETURN, or one that this version does not know"):
        codec.decode(topics.PURCHASES, newer(kind="GIFT"), None)


def test_D6_the_contract_holds_for_other_releases_too(newer: Callable[..., bytes]) -> None:
    with pytest.raises(BadField, match="currency"):
        codec.decode(topics.PURCHASES, newer(currency="usd"), None)
    with pytest.raises(BrokenAvro, match="follow"):
        codec.decode(topics.PURCHASES, newer() + b"\x00", None)
    with pytest.raises(BrokenAvro, match="bytes left"):
        codec.decode(topics.PURCHASES, newer()[:-1], None)


# ---- relay


@pytest.mark.parametrize("topic", [topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.CUSTOMERS])
def test_a_misplaced_record_travels_whole(topic: str) -> None:
    event = codec.decode(topic, GOOD[topic], b"anna")
    assert not isinstance(event, Tick | Misplaced)
    value = rerouted(event, topic, GOOD[topic])
    assert codec.decode(topics.RELAY, value, b"anna") == Misplaced(
        event=event, topic=topic, recorded_at=AT + 5, customer_id="anna"
    )
    assert codec.read(topics.RELAY, value)["offset"] == 118


def test_a_misplaced_erase_travels_as_its_null() -> None:
    value = rerouted(Erase("anna"), topics.CUSTOMERS, None)
    assert codec.decode(topics.RELAY, value, b"anna").event == Erase("anna")  # type: ignore[union-attr]


def test_a_record_of_the_full_size_still_fits_into_relay() -> None:
    room = topics.RECORD_BYTES_MAX - len(GOOD[topics.PURCHASES]) - 8
    full = codec.write(topics.PURCHASES, purchase(lines=[*purchase()["lines"], *line(sku="s" * (room - 64))]))
    event = codec.decode(topics.PURCHASES, full, None)
    value = rerouted(event, topics.PURCHASES, full)
    assert codec.decode(topics.RELAY, value, None).event == event  # type: ignore[union-attr]


def test_a_referral_travels_and_its_content_does_not_depend_on_where_it_came_from() -> None:
    referral = Referral(event_id="r", customer_id="anna", occurred_at=AT, referred_customer_id="bo")
    value = codec.encode_event(topics.RELAY, referral)
    elsewhere = codec.write(topics.RELAY, codec.read(topics.RELAY, value) | {"offset": 7, "topic": topics.PURCHASES})
    assert codec.decode(topics.RELAY, value, None) == codec.decode(topics.RELAY, elsewhere, None)
    assert structs.replace(codec.decode(topics.RELAY, value, None), content=0) == referral


@pytest.mark.parametrize(
    "event",
    [
        Claim(event_id="c", customer_id="bo", occurred_at=AT, referrer_id="anna"),
        Withdrawal(event_id="w", customer_id="cy", occurred_at=AT, referred_customer_id="bo", referrer_id="anna"),
        Standing(event_id="s", customer_id="anna", occurred_at=AT, level="OK", clv=-5, referred_customer_id="bo"),
        Standing(event_id="s", customer_id="bo", occurred_at=AT, level="LOST", clv=7, referrer_id="anna"),
        Mishap(event_id="m:e", customer_id="place:DELIVERY@7", occurred_at=AT),
    ],
)
def test_W1_K5_what_partitions_tell_each_other_travels_whole(event: Claim | Mishap | Standing | Withdrawal) -> None:
    assert codec.decode(topics.RELAY, codec.encode_event(topics.RELAY, event), None) == event


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("CLAIM", "referrer_id is null"),
        ("WITHDRAWAL", "referrer_id is null"),
        ("STANDING", "level is None: a STANDING says one of OK, UNHAPPY, LOST"),
        ("MISHAP", "a MISHAP is of a place, as in place:DELIVERY@7"),
        ("UNKNOWN", "kind is none of REROUTED"),
    ],
)
def test_W1_a_claim_without_a_referrer_or_an_unknown_kind_is_refused(kind: str, says: str) -> None:
    referral = Referral(event_id="r", customer_id="anna", occurred_at=AT, referred_customer_id="bo")
    record = codec.read(topics.RELAY, codec.encode_event(topics.RELAY, referral)) | {"kind": kind}
    with pytest.raises(BadField, match=says):
        codec.decode(topics.RELAY, codec.write(topics.RELAY, record), None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"topic": "ticks"}, "topic is 'ticks': must be one of purchases"),
        ({"customer_id": "bo"}, "customer_id is 'bo': the record inside is of 'anna'"),
        ({"kind": "REFERRAL"}, "referred_customer_id is null"),
        ({"kind": "UNKNOWN"}, "kind is none of REROUTED"),
    ],
)
def test_a_relay_record_that_makes_no_sense_is_a_bad_field(changes: dict[str, Any], says: str) -> None:
    event = codec.decode(topics.PURCHASES, GOOD[topics.PURCHASES], None)
    value = rerouted(event, topics.PURCHASES, GOOD[topics.PURCHASES])
    with pytest.raises(BadField, match=says):
        codec.decode(topics.RELAY, codec.write(topics.RELAY, codec.read(topics.RELAY, value) | changes), None)


# ---- writing


@pytest.mark.parametrize("topic", ALL)
@settings(max_examples=25, deadline=None)
@given(drawn=st.data())
def test_what_is_written_is_read_back(topic: str, drawn: st.DataObject) -> None:
    record = drawn.draw(data(library.source(topic), {}))
    assert codec.read(topic, codec.write(topic, record)) == record


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (purchase(net_amnt=5), "net_amnt is no field of Purchase"),
        (purchase(lines=line(net_amnt=5)), r"lines\[0\].net_amnt is no field of Line; did you mean net_amount\?"),
        ({"event_id": "e"}, "customer_id is missing and has no default"),
        (purchase(lines=line(quantity="3")), r"lines\[0\].quantity is '3': must be a whole number"),
        (purchase(lines=line(quantity=2**31)), r"lines\[0\].quantity is 2147483648: must be a number of 32 bits"),
        (purchase(lines=line(net_amount=4.5)), r"lines\[0\].net_amount is 4.5: must be a whole number"),
        (purchase(kind="GIFT"), r"kind is 'GIFT': must be one of SALE\|RETURN"),
        (purchase(lines="bread"), "lines is 'bread': must be a list"),
        (purchase(lines=[5]), r"lines\[0\] is 5: must be a Line with its fields"),
        (purchase(store_id=None), "store_id is None: must be text"),
    ],
)
def test_what_cannot_be_written_is_named(record: dict[str, Any], says: str) -> None:
    with pytest.raises(BadField, match=says):
        codec.write(topics.PURCHASES, record)


CHANGE = TierChange(
    customer_id="anna",
    at=AT,
    policy="default@1",
    from_tier="member",
    to_tier="silver",
    direction="UP",
    code="min_value_365d",
    have=20_100,
    need=20_000,
    value_365d=20_100,
    currency="USD",
    keep_until=None,
    next_tier="gold",
    to_next=(ToNext("min_value_365d", 20_100, 60_000),),
    benefits=("free delivery",),
)


def test_T4_a_tier_change_says_why_and_what_would_raise_it() -> None:
    record = codec.read(topics.TIER_CHANGES, codec.encode_tier_change(CHANGE, "201.00 of 200.00"))
    assert record["event_id"] == CHANGE.event_id
    assert (record["reason"], record["reason_code"]) == ("201.00 of 200.00", "min_value_365d")
    assert (record["reason_have"], record["reason_need"]) == (20_100, 20_000)
    assert record["to_next"] == [{"condition": "min_value_365d", "have": 20_100, "need": 60_000}]
    assert record["benefits"] == ["free delivery"]


RISK = ChurnRisk(
    customer_id="anna",
    at=AT,
    policy="default@1",
    transition="WORSENED",
    level="AT_RISK",
    previous_level="WATCH",
    score=0.83,
    p_alive=0.41,
    p_no_purchase=0.72,
    expected_purchases=6.5,
    value_at_stake=12_345,
    currency="USD",
    tier="gold",
    last_purchase_at=AT - 31 * 86_400_000,
    usual_gap_days=9.0,
    reasons=(Reason("silence", 1.9, 31.0, 9.0), Reason("base", -0.3, 0.0, 0.0)),
    holdout=True,
    fading=0.25,
)


def test_R2_a_churn_risk_carries_its_reasons_as_codes_weights_and_sentences() -> None:
    record = codec.read(topics.CHURN_RISK, codec.encode_churn_risk(RISK, ["silent for 31 days", "where all start"]))
    same = structs.asdict(RISK)
    del same["cause"]
    assert record == same | {
        "event_id": RISK.event_id,
        "reasons": [
            {"code": "silence", "weight": 1.9, "text": "silent for 31 days"},
            {"code": "base", "weight": -0.3, "text": "where all start"},
        ],
    }


def test_R2_a_churn_risk_without_a_purchase_and_a_missing_sentence() -> None:
    new = structs.replace(RISK, last_purchase_at=None, usual_gap_days=None, p_alive=1.0, p_no_purchase=1.0, fading=0.0)
    record = codec.read(topics.CHURN_RISK, codec.encode_churn_risk(new, ["a", "b"]))
    assert (record["last_purchase_at"], record["usual_gap_days"], record["fading"]) == (None, None, 0.0)
    with pytest.raises(ValueError, match="shorter"):
        codec.encode_churn_risk(new, ["a"])


def test_R3_the_id_of_a_churn_risk_names_customer_instant_and_what_changed() -> None:
    assert RISK.event_id == f"churn-risk:anna:{AT}:WATCH:AT_RISK"
    assert structs.replace(RISK, cause="purchases:9").event_id == f"churn-risk:anna:{AT}:WATCH:AT_RISK:purchases:9"
    fading = structs.replace(RISK, transition="FADING", previous_level="AT_RISK")
    assert fading.event_id == f"churn-risk:anna:{AT}:FADING"
    assert structs.replace(fading, transition="RECOVERED", cause="c").event_id == f"churn-risk:anna:{AT}:RECOVERED:c"


def test_R6_a_reader_of_the_first_release_sees_a_newer_transition_as_unknown() -> None:
    fading = structs.replace(RISK, transition="FADING", previous_level="AT_RISK")
    body = codec.encode_churn_risk(fading, ["a", "b"])[framing.HEADER_BYTES :]
    first = parse_schema(library._plain(library.released(topics.CHURN_RISK)[0]))
    read = schemaless_reader(BytesIO(body), library.newest(topics.CHURN_RISK), first)
    assert isinstance(read, dict)
    assert (read["transition"], read["level"], "fading" in read) == ("UNKNOWN", "AT_RISK", False)


# ---- the reader itself


@example(["a"] * 3)
@given(st.lists(st.text(max_size=8), max_size=50))
def test_a_shared_field_keeps_one_object_a_string(categories: list[str]) -> None:
    record = purchase(lines=[*line(), *(line(category=name)[0] for name in categories)])
    one, two = decoded(topics.PURCHASES, record), decoded(topics.PURCHASES, record)
    assert all(a.category is b.category for a, b in zip(one.lines, two.lines, strict=True))


def test_the_table_of_shared_strings_is_bounded() -> None:
    table: dict[bytes, str] = {}
    for number in range(reader.SHARED_MAX + 10):
        reader.learn(table, b"%d" % number, str(number))
    assert len(table) == 10


def test_the_generated_source_can_be_read() -> None:
    source = reader.source_of(library.source(topics.TICKS), {"Tick": Tick, "Served": Served}, {})
    assert source.startswith("def read(b):\n    p, end = 0, len(b)\n")
    assert "raise Broken" in source
