"""What leaves a partition for its subscribers: sentences in the programme's language, headers to skip by."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from processors.events import Forgotten, Link, Part
from processors.history import History
from processors.outputs import ChurnRisk, Reason
from processors.policy import Policy
from processors.step import Changes, Telling
from schemas import codec, library, topics
from schemas.errors import BadField
from schemas.relayed import facts_mark, payload_of
from sinks.commit import Record
from streams.outgoing import Outgoing
from streams.texts import wording
from tests.conftest import ROOT
from tests.simulation.shop import policy

DAY_MS = 86_400_000
AT = 1_490_000_123_456
RISK = ChurnRisk(
    customer_id="张伟",
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
    last_purchase_at=AT - 31 * DAY_MS,
    usual_gap_days=9.0,
    reasons=(Reason("silence", 1.9, 31.0, 9.0), Reason("low_score", 0.4, 3.0, 0.0), Reason("base", -0.7, 0.0, 0.0)),
    holdout=False,
)


def speaking(language: str) -> Policy:
    made = policy(1, "UTC", 8_000, "min_referrals_365d = 2", 10, "false")
    return replace(made, programme=replace(made.programme, language=language))


def published(*outputs: ChurnRisk, language: str = "en") -> list[Record]:
    told = tuple(Telling(output.customer_id, output) for output in outputs)
    changes = Changes(customers={}, told=(), outputs=told, erased=(), counts={})
    return list(Outgoing(lambda _: "mark", wording).records(3, 7, changes, speaking(language)))


def fields(record: Record) -> dict[str, Any]:
    assert record.value is not None
    return codec.read(topics.CHURN_RISK, record.value)


@pytest.mark.parametrize(
    ("language", "silence"), [("en", "bought every 9 days, silent for 31"), ("zh", "平时每9天买一次，已有31天没来")]
)
def test_R2_a_risk_goes_out_with_its_reasons_in_the_programmes_language(language: str, silence: str) -> None:
    (record,) = published(RISK, language=language)
    assert (record.topic, record.key) == (topics.CHURN_RISK, "张伟".encode())
    reasons = fields(record)["reasons"]
    assert [reason["code"] for reason in reasons] == ["silence", "low_score", "base"]
    assert [reason["weight"] for reason in reasons] == [1.9, 0.4, -0.7]
    assert reasons[0]["text"] == silence


@pytest.mark.parametrize("holdout", [True, False])
def test_R3_a_risk_has_the_headers_by_which_a_reader_skips(holdout: bool) -> None:
    (record,) = published(replace(RISK, holdout=holdout))
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"churn-risk:张伟:{AT}:WATCH:AT_RISK".encode(),
        "ce_source": b"loyalty/3",
        "ce_type": b"loyalty.v1.ChurnRisk",
        "ce_time": b"2017-03-20T08:55:23.456Z",
        "content-type": b"application/avro",
        "tier": b"gold",
        "level": b"AT_RISK",
        "transition": b"WORSENED",
        "holdout": b"true" if holdout else b"false",
    }
    assert fields(record)["holdout"] is holdout


def test_R3_outputs_leave_in_their_order() -> None:
    fading = replace(RISK, transition="FADING", previous_level="AT_RISK", fading=0.4)
    assert [fields(record)["event_id"] for record in published(RISK, fading)] == [RISK.event_id, fading.event_id]


def test_what_subscribers_are_told_names_every_transition_field_and_header() -> None:
    page = (ROOT / "docs" / "use" / "subscribing.md").read_text("utf-8")
    schema = {field["name"]: field for field in library.source(topics.CHURN_RISK)["fields"]}
    transitions = set(schema["transition"]["type"]["symbols"]) - {"UNKNOWN"}
    assert {row.split("`")[1] for row in page.splitlines() if row.startswith("| `") and "`" in row} >= transitions
    (record,) = published(RISK)
    headers = [name for name, _ in record.headers if not name.startswith("ce_") and name != "content-type"]
    assert f"| `churn-risk` | {', '.join(f'`{name}`' for name in headers)} (`true` or `false`) |" in page
    plain = {"event_id", "customer_id", "at", "policy", "tier", "transition", "level", "previous_level", "holdout"}
    assert all(f"`{name}`" in page for name in schema.keys() - plain)


PART = Part(
    event_id="", customer_id="b", occurred_at=5, source="a", links={"a": Link("b", 3)},
    facts=History(first_at=1, lifetime_value=7, categories={"cd": 2}),
)  # fmt: skip
HELD = payload_of(PART) or b""
PART = replace(PART, event_id=f"a:5:{facts_mark(HELD[1:])}")


@pytest.mark.parametrize(
    "event",
    [
        PART,
        replace(PART, links={}, facts=None),
        Forgotten(event_id="a:b:9", customer_id="a", occurred_at=9, into="b"),
    ],
)
def test_D5_what_partitions_tell_each_other_of_merged_ids_travels_whole(event: Part | Forgotten) -> None:
    changes = Changes(customers={}, told=(), outputs=(Telling("a", event),), erased=(), counts={}, moved=("a",))
    relayed, gone = Outgoing(lambda _: "mark", wording).records(3, 7, changes, speaking("en"))
    assert codec.decode(topics.RELAY, relayed.value, relayed.key) == event
    assert (relayed.key, gone) == (event.customer_id.encode(), Record(topics.CUSTOMER_VALUE, b"a", None, (), "a"))


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"other_id": None}, "other_id is null: a PART says whose facts it holds"),
        ({"record": b"\x02"}, "this release reads"),
        ({"record": b"\x01\xff"}, "does not hold the facts of 'a'"),
        ({"record": HELD.replace(b"cd", b"\xffd")}, "does not hold the facts of 'a'"),
        ({"record": HELD.replace(b"cd", b"ce")}, "record or occurred_at is not what event_id says of the facts of 'a'"),
        ({"occurred_at": 4}, "record or occurred_at is not what event_id says"),
        ({"other_id": "c"}, "does not say since when 'c' is merged"),
        ({"kind": "FORGOTTEN", "other_id": None}, "FORGOTTEN says with whom"),
    ],
)
def test_D5_a_part_that_cannot_be_read_is_refused(broken: dict[str, Any], says: str) -> None:
    changes = Changes(customers={}, told=(), outputs=(Telling("a", PART),), erased=(), counts={})
    (relayed,) = Outgoing(lambda _: "mark", wording).records(3, 7, changes, speaking("en"))
    assert relayed.value is not None
    value = codec.write(topics.RELAY, codec.read(topics.RELAY, relayed.value) | broken)
    with pytest.raises(BadField, match=says):
        codec.decode(topics.RELAY, value, None)
