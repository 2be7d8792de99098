"""One record to a topic, acknowledged: for commands that send a single one."""

from __future__ import annotations

from typing import Final

from sinks.access import KafkaAccess
from streams.settings import LoyaltyError

_ACKNOWLEDGED_S: Final = 60


def send_one(kafka: KafkaAccess, topic: str, partition: int, key: bytes, value: bytes | None) -> int:
    """Its offset. With kafka-python: no event loop for one record. Raises LoyaltyError."""
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    producer = KafkaProducer(**kafka.options(), acks="all", client_id="loyalty")
    try:
        sent = producer.send(topic, value=value, key=key, partition=partition)
        return int(sent.get(timeout=_ACKNOWLEDGED_S).offset)
    except KafkaError as error:
        raise LoyaltyError(f"Kafka did not take the record for {topic}: {error}; try again") from error
    finally:
        producer.close()
