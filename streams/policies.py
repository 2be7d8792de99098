"""The topic `policies`: the text of each policy that a tick names, found by its key, written before it is named."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from processors.policy import Policy, PolicyError
from schemas.codec import BadRecord, read, write
from schemas.topics import POLICIES
from sinks.access import KafkaAccess
from streams.texts import usable_policy

log = logging.getLogger("loyalty.policies")

_PLACE: Final = TopicPartition(POLICIES, 0)
_PAUSE_S: Final = (0.1, 0.5, 1.0, 2.0)
_READ_MS: Final = 500


class TopicPolicies:
    """Policies by key. `own`: the one from LOYALTY_POLICY, which needs no reading."""

    def __init__(self, kafka: KafkaAccess, own: Policy) -> None:
        self._kafka = kafka
        self._known = {own.key: own}

    async def announce(self) -> None:
        """Write the own policy's text unless the topic holds it: a later worker under another file must find it.

        Raises KafkaError.
        """
        (own,) = self._known.values()
        if own.key in await self._all():
            return
        producer = AIOKafkaProducer(**self._kafka.options(), acks="all", enable_idempotence=True)
        await producer.start()
        try:
            await publish(producer, own)
        finally:
            await producer.stop()

    async def find(self, key: str) -> Policy | None:
        """The policy, None where the topic has none of that key. Waits out an outage of Kafka."""
        attempt = 0
        while key not in self._known:
            try:
                found = await self._all()
            except (KafkaError, OSError) as outage:
                log.warning("reading the topic policies waits for Kafka: %r", outage)
                await asyncio.sleep(_PAUSE_S[min(attempt, len(_PAUSE_S) - 1)])
                attempt += 1
                continue
            if key not in found:
                return None
            self._known[key] = found[key]
        return self._known[key]

    async def _all(self) -> dict[str, Policy]:
        """All that the topic holds and can be used, by key."""
        consumer = AIOKafkaConsumer(
            **self._kafka.options(), isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([_PLACE])
            end = (await consumer.end_offsets([_PLACE]))[_PLACE]
            await consumer.seek_to_beginning(_PLACE)
            records: list[Any] = []
            while await consumer.position(_PLACE) < end:
                for more in (await consumer.getmany(timeout_ms=_READ_MS)).values():
                    records = distinct([*records, *more])
            return {one.key: one for record in records if (one := policy_in(record)) is not None}
        finally:
            await consumer.stop()


def distinct(records: Iterable[Any]) -> list[Any]:
    """One record of each text under each key, in the order in which they were written last: every import and every
    leader writes its text again, compaction takes its time, and to check one text takes 40 ms."""
    last: dict[tuple[Any, Any], Any] = {}
    for record in records:
        last.pop((record.key, record.value), None)
        last[record.key, record.value] = record
    return list(last.values())


async def publish(producer: AIOKafkaProducer, policy: Policy) -> int:
    """Write the policy's text under its key and wait until the broker has it; the broker's time then, ms. Again is
    harmless. Raises KafkaError."""
    fields = {
        "name": policy.programme.name,
        "version": policy.programme.version,
        "sha256": hashlib.sha256(policy.text.encode()).hexdigest(),
        "text": policy.text,
    }
    ack = await producer.send_and_wait(POLICIES, write(POLICIES, fields), key=policy.key.encode(), partition=0)
    at: int = ack.timestamp
    return at


def policy_in(record: Any) -> Policy | None:
    """The policy of a record, None where it holds none that can be used: told, and as if it were not there."""
    if record.value is None or record.key is None:
        return None
    try:
        policy = usable_policy(read(POLICIES, record.value)["text"], POLICIES)
    except (BadRecord, PolicyError) as bad:
        log.error("policies[0]@%d cannot be used: %s", record.offset, bad, extra=_lies(record))
        return None
    if policy.key.encode() != record.key:
        said = f"{record.key!r}, its text is {policy.key}"
        log.error("policies[0]@%d is called %s", record.offset, said, extra=_lies(record))
        return None
    return policy


def _lies(record: Any) -> dict[str, Any]:
    return {"topic": POLICIES, "partition": 0, "offset": record.offset}
