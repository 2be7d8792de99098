"""Headers of what is published, as CloudEvents' Kafka binding has them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.events import TIME_END_MS
from schemas import topics
from schemas.cloudevents import headers, rfc3339

AT = 1_490_000_123_456


def test_a_tier_change_has_the_headers_of_the_binding_and_its_tier() -> None:
    assert dict(headers(topics.TIER_CHANGES, 3, "tier-changes:张伟:1", AT, tier="silver")) == {
        "ce_specversion": b"1.0",
        "ce_id": "tier-changes:张伟:1".encode(),
        "ce_source": b"loyalty/3",
        "ce_type": b"loyalty.v1.TierChange",
        "ce_time": b"2017-03-20T08:55:23.456Z",
        "content-type": b"application/avro",
        "tier": b"silver",
    }


def test_a_filter_that_is_absent_is_left_out_and_a_boolean_is_text() -> None:
    got = dict(headers(topics.CHURN_RISK, 0, "e", AT, tier=None, level="AT_RISK", holdout=False))
    assert "tier" not in got
    assert (got["level"], got["holdout"]) == (b"AT_RISK", b"false")


@pytest.mark.parametrize(
    "topic", [topic.name for topic in topics.TOPICS.values() if topic.direction == "out" and topic.schema]
)
def test_every_output_names_its_record_as_type(topic: str) -> None:
    assert dict(headers(topic, 0, "e", AT))["ce_type"].startswith(b"loyalty.v1.")


@given(st.integers(0, TIME_END_MS - 1))
def test_times_are_exact_to_the_millisecond(at: int) -> None:
    read = datetime.fromisoformat(rfc3339(at))
    assert read.tzinfo == UTC
    assert (read.replace(microsecond=0).timestamp(), read.microsecond) == (at // 1000, at % 1000 * 1000)
