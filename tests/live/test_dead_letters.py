"""Dead letters in a real Kafka: found by what they were, sent again once, to where they came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from infra.localstack import Stack
from schemas.partitioner import partition_of
from schemas.topics import CONTACTS, CUSTOMERS, DEAD_LETTERS, PURCHASES, bytes_max
from sinks import dead_letters
from sinks.commit import Record
from sinks.dead_letters import ANY, TooScattered, Wanted, dead_letter, list_dead_letters, retry
from tests.conftest import PARTITIONS

GROUP = "tests"
TRACE = (("traceparent", b"00-1"),)


def letter(offset: int, topic: str = PURCHASES, error: str = "BadField", **more: Any) -> Record:
    fields = {"key": b"anna", "value": b"v%d" % offset, "headers": TRACE} | more
    return dead_letter(topic, 1, offset, **fields, error=error, message="lines[2].net_amount is -450", at=7)


def test_D6_a_dead_letter_is_the_record_and_why() -> None:
    made = letter(118, headers=(*TRACE, ("dlq.retry", b"2"), ("dlq.error", b"of the first time")))
    assert (made.topic, made.key, made.value, made.customer_id) == (DEAD_LETTERS, b"anna", b"v118", None)
    assert made.headers == (
        *TRACE,
        ("dlq.retry", b"2"),
        ("dlq.topic", b"purchases"),
        ("dlq.partition", b"1"),
        ("dlq.offset", b"118"),
        ("dlq.error", b"BadField"),
        ("dlq.message", b"lines[2].net_amount is -450"),
        ("dlq.at", b"7"),
    )


def test_D6_of_a_record_too_large_for_the_topic_the_beginning_is_kept() -> None:
    """Compressed, a broker takes a record of any size; as a dead letter it would be refused for ever."""
    made = letter(3, value=b"v" * 3_000_000, key=b"k" * 5_000_000, headers=(("big", b"h" * 2_000_000),))
    whole = sum(len(part) for part in (made.key, made.value, *(held for _, held in made.headers)) if part)
    assert whole < bytes_max(DEAD_LETTERS) // 2
    assert dict(made.headers)["dlq.size"] == b"3000000"
    assert letter(3, value=b"v" * bytes_max(PURCHASES)).value == b"v" * bytes_max(PURCHASES)


class Box:
    """Sends letters as the outbox does, and reads what was sent again."""

    def __init__(self, kafka: str) -> None:
        self.kafka = {"bootstrap_servers": kafka}

    def put(self, *letters: Record, partition: int = 2) -> None:
        producer = KafkaProducer(**self.kafka, transactional_id="letters")
        producer.init_transactions()
        producer.begin_transaction()
        for one in letters:
            producer.send(one.topic, one.value, one.key, list(one.headers), partition=partition)
        producer.commit_transaction()
        producer.close()

    def list(self, wanted: Wanted = ANY) -> list[tuple[int, bool]]:
        """(original offset, whether it was sent again) of the letters."""
        return [(one.offset, one.retried) for one in list_dead_letters(self.kafka, GROUP, wanted)]

    def retry(self, wanted: Wanted = ANY) -> list[int]:
        return [one.offset for one in retry(self.kafka, GROUP, PARTITIONS, wanted)]

    def sent(self, topic: str) -> list[Any]:
        """What lies on an input topic."""
        consumer = KafkaConsumer(**self.kafka, group_id=None, auto_offset_reset="earliest")
        places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        found = []
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=200).values():
                found += records
        consumer.close()
        return found


@pytest.fixture
def box(stack: Stack, fresh_topics: Callable[[], None]) -> Box:
    fresh_topics()
    return Box(stack.kafka_addr)


def test_each_letter_is_sent_again_once_as_it_came(box: Box) -> None:
    erase = letter(3, CUSTOMERS, value=None, key=b"ben")
    keyless = letter(4, CONTACTS, key=None)
    box.put(letter(1, headers=(*TRACE, ("dlq.retry", b"2"))), letter(2), erase, keyless)
    assert box.list() == [(1, False), (2, False), (3, False), (4, False)]
    assert box.retry() == [1, 2, 3, 4]
    first, second = box.sent(PURCHASES)
    assert (first.key, first.value, first.partition) == (b"anna", b"v1", partition_of(b"anna", PARTITIONS))
    assert tuple(first.headers) == (*TRACE, ("dlq.retry", b"3"))
    assert tuple(second.headers) == (*TRACE, ("dlq.retry", b"1"))
    (null,) = box.sent(CUSTOMERS)
    assert (null.key, null.value, null.partition) == (b"ben", None, partition_of(b"ben", PARTITIONS))
    (bare,) = box.sent(CONTACTS)
    assert (bare.key, bare.value, bare.partition) == (None, b"v4", 1)
    assert box.retry() == []
    assert box.list() == [(1, True), (2, True), (3, True), (4, True)]
    box.put(letter(5), partition=0)
    box.put(letter(6))
    assert box.retry() == [5, 6]
    assert len(box.sent(PURCHASES)) == 4


def test_a_filter_leaves_the_others_for_later(box: Box) -> None:
    errors = ["BadField", "TooLate", "BadField", "UnknownSchema", "TooLate", "BadField"]
    box.put(*(letter(n, error=error) for n, error in enumerate(errors)))
    assert [offset for offset, _ in box.list(Wanted(error="TooLate"))] == [1, 4]
    assert [offset for offset, _ in box.list(Wanted(topic=CONTACTS))] == []
    assert [offset for offset, _ in box.list(Wanted(topic=PURCHASES, partition=1, offset=3))] == [3]
    assert box.retry(Wanted(error="TooLate")) == [1, 4]
    assert box.retry(Wanted(error="TooLate")) == []
    assert [offset for offset, retried in box.list() if retried] == [1, 4]
    box.put(letter(6, error="TooLate"))
    assert box.retry(Wanted(offset=3)) == [3]
    assert box.retry(Wanted(error="TooLate")) == [6]
    assert box.retry() == [0, 2, 5]
    assert all(retried for _, retried in box.list())
    assert sorted(record.value for record in box.sent(PURCHASES)) == [b"v%d" % n for n in range(7)]


def test_a_choice_too_scattered_to_remember_is_refused_before_it_is_sent(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_METADATA_MAX", 20)
    box.put(*(letter(n, error="TooLate" if n % 2 else "BadField") for n in range(20)))
    with pytest.raises(TooScattered, match=r"dead-letters\[2\]: too many separate letters.*retry all of one topic"):
        box.retry(Wanted(error="TooLate"))
    assert box.sent(PURCHASES) == []
    assert box.retry() == list(range(20))
