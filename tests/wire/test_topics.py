"""The topic table against the contract."""

from __future__ import annotations

import pytest

from schemas import topics

DIRECTIONS = {
    "in": {"purchases", "complaints", "contacts", "customers", "ticks"},
    "out": {"churn-risk", "care-reminders", "tier-changes", "customer-value", "employee-grades", "dead-letters"},
    "internal": {"relay", "identities", "told", "policies", "outbox-positions"},
}


@pytest.mark.parametrize("direction", sorted(DIRECTIONS))
def test_the_topics_are_those_of_the_design(direction: str) -> None:
    assert {name for name, topic in topics.TOPICS.items() if topic.direction == direction} == DIRECTIONS[direction]


def test_the_compacted_topics_are_those_that_hold_state() -> None:
    compacted = {name for name, topic in topics.TOPICS.items() if topic.config()["cleanup.policy"] == "compact"}
    assert compacted == {"customers", "customer-value", "identities", "told", "policies", "outbox-positions"}


def test_inputs_carry_the_brokers_time_and_are_kept_for_good_ticks_come_last() -> None:
    assert topics.INPUTS == ("purchases", "complaints", "contacts", "customers", "relay", "ticks")
    for name in topics.INPUTS:
        config = topics.TOPICS[name].config()
        assert (config["message.timestamp.type"], config["retention.ms"]) == ("LogAppendTime", "-1")


def test_a_record_of_the_full_size_fits_where_it_may_travel_whole() -> None:
    assert topics.bytes_max("purchases") == topics.RECORD_BYTES_MAX
    for name in ("relay", "dead-letters"):
        assert topics.bytes_max(name) >= topics.RECORD_BYTES_MAX + 64 * 1024


def test_an_erase_is_not_compacted_away_before_somebody_has_folded_it() -> None:
    for name in ("customers", "customer-value"):
        assert int(topics.TOPICS[name].config()["delete.retention.ms"]) >= 90 * 86_400_000
