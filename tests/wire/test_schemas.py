"""The schemas on disk: names and fields of the contract, and growth that leaves nobody behind."""

from __future__ import annotations

import copy
import json
import re
from io import BytesIO
from typing import Any

import avro.schema
import pytest
from avro.io import BinaryDecoder, DatumReader
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import library, topics
from schemas.compatibility import obstacles
from tests.wire.records import data, oracle_bytes

NAMED = {
    "purchases": "Purchase",
    "complaints": "Complaint",
    "contacts": "Contact",
    "customers": "Customer",
    "ticks": "Tick",
    "churn-risk": "ChurnRisk",
    "care-reminders": "CareReminder",
    "tier-changes": "TierChange",
    "customer-value": "CustomerValue",
    "employee-grades": "EmployeeGrade",
    "relay": "Relay",
    "identities": "Identity",
    "told": "Told",
    "policies": "Policy",
    "outbox-positions": "OutboxPosition",
}
CONTRACT = {
    "purchases": "event_id customer_id occurred_at kind store_id channel currency lines original_event_id coupon_ids "
    "referrer_id employee_id",
    "complaints": "event_id customer_id occurred_at complaint_id status severity about satisfaction compensation "
    "store_id",
    "contacts": "event_id customer_id occurred_at kind direction channel reminder_id score referred_customer_id "
    "employee_id cost item reason",
    "customers": "event_id customer_id occurred_at joined_at birthday anniversaries consent do_not_contact key_account "
    "employee_id time_zone language acquisition_cost preferred_channel merged_into",
    "ticks": "at value_at_share policy served",
    "churn-risk": "event_id customer_id at policy transition level previous_level score p_alive p_no_purchase "
    "expected_purchases value_at_stake currency tier last_purchase_at usual_gap_days reasons holdout",
    "care-reminders": "event_id customer_id at policy reminder_id kind status due_at expires_at priority channel "
    "employee_id tier text suggestion",
    "tier-changes": "event_id customer_id at policy from_tier to_tier direction reason value_365d currency keep_until "
    "next_tier to_next",
    "customer-value": "event_id at customer_id as_of currency tier tier_since loyalty_layer value_365d purchases_365d "
    "returns_365d margin_365d cost_to_serve_365d contribution_365d categories_365d referrals_365d average_order "
    "usual_gap_days first_purchase_at last_purchase_at lifetime_value lifetime_purchases clv p_alive p_no_purchase "
    "expected_purchases risk_level risk_score risk_reasons open_complaints next_review_at loyalty_signs segments "
    "value_at_stake network_value benefits last_touch_at open_reminders holdout policy clv_basis paid_back_at fading "
    "would_recommend will_buy_again referrer_id exit",
    "employee-grades": "event_id customer_id at policy employee_id from_grade to_grade direction reason figures "
    "reason_code reason_have reason_need next_grade to_next",
}
ENUMS = {
    ("purchases", "kind"): "SALE RETURN",
    ("complaints", "status"): "OPENED UPDATED RESOLVED REOPENED",
    ("complaints", "about"): "PRODUCT SERVICE DELIVERY PRICE STAFF OTHER",
    ("contacts", "kind"): "CARE INQUIRY VISIT SURVEY RECOMMENDATION REFERRAL CAMPAIGN SERVICE DECLINED",
    ("contacts", "direction"): "IN OUT",
    ("churn-risk", "transition"): "RAISED WORSENED EASED CLEARED LOST WON_BACK FADING RECOVERED",
    ("churn-risk", "level"): "OK WATCH AT_RISK LOST",
    ("care-reminders", "status"): "DUE FULFILLED ESCALATED EXPIRED WITHDRAWN HELD_OUT",
    ("tier-changes", "direction"): "UP DOWN",
    ("employee-grades", "direction"): "UP DOWN",
}
ALL = sorted(NAMED)


def types(topic: str) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in library.source(topic)["fields"]}


def test_every_topic_with_avro_has_a_schema_of_its_name() -> None:
    with_schema = {name for name, topic in topics.TOPICS.items() if topic.schema}
    assert with_schema == set(NAMED) == {path.stem for path in library.HERE.glob("*.avsc")}
    assert set(topics.TOPICS) - with_schema == {topics.DEAD_LETTERS}


@pytest.mark.parametrize("topic", ALL)
def test_a_schema_has_the_name_of_the_contract_and_says_what_each_field_means(topic: str) -> None:
    schema = library.source(topic)
    assert (schema["namespace"], schema["name"]) == ("loyalty.v1", NAMED[topic])
    assert schema["doc"]
    assert all(field["doc"] for field in schema["fields"])


@pytest.mark.parametrize("topic", sorted(CONTRACT))
def test_a_schema_has_the_fields_of_the_contract(topic: str) -> None:
    assert set(CONTRACT[topic].split()) <= set(types(topic))


@pytest.mark.parametrize(("topic", "field"), sorted(ENUMS))
def test_an_enum_has_the_symbols_of_the_contract_and_a_default_to_grow_by(topic: str, field: str) -> None:
    enum = types(topic)[field]
    assert enum["symbols"] == [*ENUMS[topic, field].split(), "UNKNOWN"]
    assert enum["default"] == "UNKNOWN"


@pytest.mark.parametrize("topic", ALL)
def test_times_are_timestamp_millis_and_an_option_defaults_to_null(topic: str) -> None:
    for name, kind in types(topic).items():
        if re.search(r"(_at|^at|_since|^until|^clock|^keep_until)$", name):
            instant = kind[1] if isinstance(kind, list) else kind
            assert instant == {"type": "long", "logicalType": "timestamp-millis"}, name
    for field in library.source(topic)["fields"]:
        if isinstance(field["type"], list):
            assert (field["type"][0], field["default"]) == ("null", None), field["name"]


def test_all_of_a_view_may_be_absent_but_who_when_and_by_what() -> None:
    required = {field["name"] for field in library.source("customer-value")["fields"] if "default" not in field}
    assert required == {"event_id", "customer_id", "at", "as_of", "policy"}


# ---- growth


@pytest.mark.parametrize("topic", ALL)
def test_the_newest_schema_is_released(topic: str) -> None:
    assert library.released(topic)[-1] == library.source(topic), (
        f"schemas/{topic}.avsc changed: copy it to schemas/released/{topic}/<next number>.avsc"
    )


@pytest.mark.parametrize("topic", ALL)
def test_each_release_reads_and_is_read_by_every_other_one(topic: str) -> None:
    for one in library.released(topic):
        for other in library.released(topic):
            assert obstacles(one, other) == []


def purchase() -> dict[str, Any]:
    return copy.deepcopy(library.source("purchases"))


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def required_field(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "till", "type": "string"})


def gone_field(schema: dict[str, Any]) -> None:
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "store_id"]


def other_type(schema: dict[str, Any]) -> None:
    field(schema, "occurred_at")["type"] = "string"


def wider_number(schema: dict[str, Any]) -> None:
    field(schema, "lines")["type"]["items"]["fields"][2]["type"] = "long"


def other_name(schema: dict[str, Any]) -> None:
    schema["name"] = "Sale"


def no_null(schema: dict[str, Any]) -> None:
    field(schema, "employee_id")["type"] = "string"
    del field(schema, "employee_id")["default"]


def symbol_without_default(schema: dict[str, Any]) -> None:
    kind = field(schema, "kind")["type"]
    del kind["default"]
    kind["symbols"] = ["SALE", "RETURN", "GIFT"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (required_field, "till"),
        (gone_field, "store_id"),
        (other_type, "occurred_at"),
        (wider_number, "lines[].quantity"),
        (other_name, "Sale"),
        (no_null, "employee_id"),
        (symbol_without_default, "kind"),
    ],
)
def test_an_incompatible_change_is_found_and_named(change: Any, place: str) -> None:
    changed = purchase()
    change(changed)
    found = obstacles(changed, purchase()) + obstacles(purchase(), changed)
    assert any(place in text for text in found)


def option(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "till", "type": ["null", "string"], "default": None})


def symbol(schema: dict[str, Any]) -> None:
    field(schema, "kind")["type"]["symbols"].append("GIFT")


@pytest.mark.parametrize("change", [option, symbol])
def test_a_new_option_and_a_new_symbol_are_growth(change: Any) -> None:
    changed = purchase()
    change(changed)
    assert obstacles(changed, purchase()) == obstacles(purchase(), changed) == []


GROWING = [required_field, gone_field, other_type, wider_number, no_null, symbol_without_default, option, symbol]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(GROWING), st.booleans())
def test_what_is_called_compatible_is_read_by_fastavro_and_by_avro_python3(
    drawn: st.DataObject, change: Any, changed_writes: bool
) -> None:
    changed = purchase()
    change(changed)
    writer, reader = (changed, purchase()) if changed_writes else (purchase(), changed)
    if obstacles(reader, writer):
        return
    datum = drawn.draw(data(writer, {}))
    body = oracle_bytes(avro.schema.parse(json.dumps(writer)), datum)
    read = schemaless_reader(BytesIO(body), parse_schema(library._plain(writer)), parse_schema(library._plain(reader)))
    assert read["event_id"] == datum["event_id"]
    if datum["kind"] in field(reader, "kind")["type"]["symbols"]:  # avro-python3 knows no default of an enum
        independent = DatumReader(avro.schema.parse(json.dumps(writer)), avro.schema.parse(json.dumps(reader)))
        assert independent.read(BinaryDecoder(BytesIO(body))) == read


@pytest.mark.parametrize("topic", ALL)
@settings(max_examples=25, deadline=None)
@given(drawn=st.data())
def test_fastavro_and_avro_python3_write_the_same_bytes(topic: str, drawn: st.DataObject) -> None:
    datum = drawn.draw(data(library.source(topic), {}))
    with BytesIO() as out:
        schemaless_writer(out, library.newest(topic), datum)
        assert out.getvalue() == oracle_bytes(avro.schema.parse(library.text(topic)), datum)
