"""Harmless questions to a broker as whoever we are: may this login do what its role needs, and how late is it there.

Topics and the cluster tell what a login may do. Groups and transactional ids tell it only of those that exist, so there
a request is sent that is checked for its right first and then refused for another reason: a heartbeat of nobody, the
end of a transaction that none has begun.

The clock: a transaction that covers no topic of ours is begun under a name of its own, asked for its start, which is
the broker's time, and aborted. It leaves a mark in Kafka's own topics of transactions and groups, none in any of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from kafka.protocol.consumer.group import HeartbeatRequest
from kafka.protocol.metadata import CoordinatorType
from kafka.protocol.producer.transaction import AddOffsetsToTxnRequest, EndTxnRequest, InitProducerIdRequest
from kafka.structs import TopicPartition

from schemas.topics import TICKS, TOPICS
from sinks.access import KafkaAccess
from sinks.probing import Ahead
from streams.roles import Grant, Role
from streams.settings import LoyaltyError
from streams.topics_admin import admin_client

PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.1
_NAME: Final = "doctor"
_TRANSACTION_MS: Final = 10_000

_STALE: Final = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)

T = TypeVar("T")


def missing(kafka: KafkaAccess, role: Role) -> dict[str, list[str]]:
    """What the role needs and this login may not: `topic ticks` to its operations. Raises LoyaltyError."""
    try:
        with admin_client(kafka) as admin:
            may = _Rights(admin)
            lacks: dict[str, list[str]] = {}
            for grant in role.kafka:
                for operation in grant.operations:
                    if not may.all_of(grant, operation):
                        lacks.setdefault(_shown(grant), []).append(operation)
            return lacks
    except (KafkaError, OSError) as error:
        raise LoyaltyError(f"Kafka at {kafka} did not tell what this login may do: {error!r}; try again") from error


def _shown(grant: Grant) -> str:
    kind = grant.kind.replace("_", " ")
    return f"{kind} {grant.name}{'*' if grant.prefixed else ''}" if grant.kind != "cluster" else "the cluster"


class _Rights:
    """What one login may do, asked once."""

    def __init__(self, admin: KafkaAdminClient) -> None:
        self._admin = admin
        told = admin.describe_topics(list(TOPICS))
        self._topics = {topic["name"]: set(topic.get("authorized_operations") or ()) for topic in told}
        self._cluster = set(admin.describe_cluster().get("authorized_operations") or ())

    def all_of(self, grant: Grant, operation: str) -> bool:
        """Whether the operation is allowed on all that the grant names."""
        if grant.kind == "topic":
            names = TOPICS if grant.name == "*" else (grant.name,)
            return all(operation in self._topics.get(name, ()) for name in names)
        if grant.kind == "cluster":
            return operation in self._cluster
        name = _NAME if grant.name == "*" else f"{grant.name}{_NAME}" if grant.prefixed else grant.name
        allows = _group_allows if grant.kind == "group" else _transaction_allows
        return allows(self._admin, name, operation)


def _group_allows(admin: KafkaAdminClient, group: str, operation: str) -> bool:
    try:
        node = _coordinator(admin, group, CoordinatorType.GROUP)
        if operation != "DESCRIBE":  # who may not describe a group finds no coordinator of it
            _send(admin, node, HeartbeatRequest(group_id=group, generation_id=0, member_id=_NAME))
    except kafka_errors.GroupAuthorizationFailedError:
        return False
    except kafka_errors.UnknownMemberIdError:
        return True
    return True


def _transaction_allows(admin: KafkaAdminClient, name: str, operation: str) -> bool:
    try:
        node = _coordinator(admin, name, CoordinatorType.TRANSACTION)
        if operation != "DESCRIBE":
            _send(admin, node, EndTxnRequest(transactional_id=name, producer_id=0, producer_epoch=0, committed=False))
    except kafka_errors.TransactionalIdAuthorizationFailedError:
        return False
    except (kafka_errors.InvalidProducerIdMappingError, kafka_errors.InvalidTxnStateError, *_STALE):
        return True
    return True


def _coordinator(admin: KafkaAdminClient, name: str, kind: CoordinatorType) -> int:
    """The node that knows of a group or transactional id. A new cluster makes its topics of them when first asked."""
    return int(_patiently(lambda: admin._manager.run(admin._find_coordinator_ids, [name], kind))[name])


def _send(admin: KafkaAdminClient, node: int, request: Any) -> Any:
    """What the node answers. Raises the KafkaError that it tells."""

    async def send() -> Any:
        return await admin._manager.send(request, node_id=node)

    answer = admin._manager.run(send)
    if answer.error_code:
        raise kafka_errors.for_code(answer.error_code)
    return answer


def _patiently(ask: Callable[[], T]) -> T:
    """What `ask` gives, as soon as the broker can. Raises KafkaError."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > give_up:
                raise
        time.sleep(_PAUSE_S)


def ahead(kafka: KafkaAccess, prefix: str, group: str) -> Ahead | None:
    """How the broker's clock stands to ours; None: this login may not ask, as only a worker may.

    prefix: of the transactional id; group: one that this login may read. Raises LoyaltyError.
    """
    name = f"{prefix}-{_NAME}"
    try:
        with admin_client(kafka) as admin:
            return _transaction_begun(admin, name, group)
    except (
        kafka_errors.TransactionalIdAuthorizationFailedError,
        kafka_errors.GroupAuthorizationFailedError,
        kafka_errors.IncompatibleBrokerVersion,
    ):
        return None
    except (KafkaError, OSError) as error:
        raise LoyaltyError(f"Kafka at {kafka} did not tell its time: {error!r}; try again") from error


def _transaction_begun(admin: KafkaAdminClient, name: str, group: str) -> Ahead:
    node = _coordinator(admin, name, CoordinatorType.TRANSACTION)
    new = InitProducerIdRequest(
        transactional_id=name, transaction_timeout_ms=_TRANSACTION_MS, producer_id=-1, producer_epoch=-1
    )
    begun = _patiently(lambda: _send(admin, node, new))
    ours = {"transactional_id": name, "producer_id": begun.producer_id, "producer_epoch": begun.producer_epoch}
    asked_ms = time.time() * 1_000
    _patiently(lambda: _send(admin, node, AddOffsetsToTxnRequest(**ours, group_id=group)))
    answered_ms = time.time() * 1_000
    try:
        told = admin.describe_transactions([name])[name]
        return Ahead.between(asked_ms, told.transaction_start_time_ms, answered_ms)
    finally:
        _send(admin, node, EndTxnRequest(**ours, committed=False))


def newest_tick_ms(kafka: KafkaAccess) -> int | None:
    """The broker's time of the newest tick; None: there is none, or this login may not see them."""
    try:
        with admin_client(kafka) as admin:
            told = admin.list_partition_offsets({TopicPartition(TICKS, 0): OffsetSpec.MAX_TIMESTAMP})
            newest = int(told[TopicPartition(TICKS, 0)].timestamp)
            return newest if newest >= 0 else None
    except (KafkaError, OSError):
        return None
