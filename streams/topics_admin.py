"""Topics in Kafka, made from the table in `schemas/topics.py`: create what is missing, check what is there."""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from schemas.topics import TOPICS, Topic
from sinks.access import KafkaAccess
from streams.settings import LoyaltyError, split_address

TIMEOUT_MS = 30_000
_COORDINATOR_SECONDS = 10
CHECKED_CONFIG = ("message.timestamp.type", "cleanup.policy", "retention.ms", "max.message.bytes")
"""What `check` compares: each, when wrong, loses data or changes what is decided."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic of the table as the cluster has it. `partitions` is 0 where it is missing."""

    name: str
    partitions: int
    wrong: tuple[str, ...]
    timestamp_type: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a Kafka cluster says of itself. `release`: the newest that our client knows its protocol to stand for.

    features: name to the level that is in force, such as `transaction.version`.
    """

    brokers: int
    release: tuple[int, ...]
    features: Mapping[str, int]


@contextlib.contextmanager
def admin_client(kafka: KafkaAccess) -> Iterator[KafkaAdminClient]:
    """A client for administration. Raises LoyaltyError where Kafka does not answer."""
    logging.getLogger("kafka").setLevel(logging.ERROR)
    try:
        _refused(kafka)
        admin = KafkaAdminClient(**kafka.options(), bootstrap_timeout_ms=10_000, request_timeout_ms=TIMEOUT_MS)
    except (KafkaError, OSError) as error:
        raise LoyaltyError(
            f"Kafka at {kafka} does not answer ({error}; {kafka.why_silent()}); start it with `loyalty stack up` or "
            "set LOYALTY_KAFKA"
        ) from error
    try:
        yield admin
    finally:
        admin.close()


def _refused(kafka: KafkaAccess) -> None:
    """Raises OSError at once where no server listens at all; the client would try again for its whole timeout."""
    refusals: list[OSError] = []
    addresses = kafka.servers.split(",")
    for address in addresses:
        try:
            socket.create_connection(split_address(address), timeout=5).close()
            return
        except OSError as error:
            refusals.append(error)
    raise refusals[-1]


def cluster(kafka: KafkaAccess) -> Cluster:
    """Raises LoyaltyError where Kafka does not answer."""
    with admin_client(kafka) as admin:
        brokers = admin.describe_cluster()["brokers"]
        data = admin.get_broker_version_data(brokers[0]["broker_id"])
        return Cluster(len(brokers), tuple(data.broker_version), _features(admin))


def _features(admin: KafkaAdminClient) -> Mapping[str, int]:
    try:
        told = admin.describe_features()
    except KafkaError:  # brokers before 2.7 know none
        return {}
    return {name: found["finalized"][1] for name, found in sorted(told.items()) if "finalized" in found}


def partitions_of(topic: Topic, partitions: int) -> int:
    """How many partitions `topic` has in a programme of `partitions`."""
    return topic.partitions or partitions


def miscounted(topic: str, have: int, want: int) -> str:
    """What is wrong about a topic of `have` partitions in a programme of `want`, and the way out."""
    fixed = TOPICS[topic].partitions
    if fixed:
        return f"has {have} partitions, it must have {fixed} whatever LOYALTY_PARTITIONS is: make it anew with as many"
    told = f"has {have} partitions, LOYALTY_PARTITIONS asks for {want}: "
    if have < want:
        return told + f"a customer's records must stay where they are; set LOYALTY_PARTITIONS={have}"
    return told + (
        f"set LOYALTY_PARTITIONS={have} if all topics were begun so; if partitions were added since, Kafka takes none "
        f"back and customers have moved: stop the producers, make the topics on an empty cluster and import the "
        f"records there, under another LOYALTY_PREFIX"
    )


def create_topics(kafka: KafkaAccess, partitions: int) -> list[str]:
    """Make the topics that are missing and return their names. Idempotent.

    Raises LoyaltyError if one is there with another number of partitions: customers would move between partitions.
    """
    with admin_client(kafka) as admin:
        there = {found.name: found for found in _found(admin, partitions)}
        for topic in TOPICS.values():
            have, want = there[topic.name].partitions, partitions_of(topic, partitions)
            if have not in (0, want):
                raise LoyaltyError(f"topic {topic.name} {miscounted(topic.name, have, want)}")
        missing = [topic for topic in TOPICS.values() if not there[topic.name].partitions]
        new = {
            topic.name: NewTopic(topic.name, partitions_of(topic, partitions), -1, topic_configs=topic.config())
            for topic in missing
        }
        with contextlib.suppress(TopicAlreadyExistsError):  # somebody else makes them at this moment
            if new:
                admin.create_topics(list(new.values()), timeout_ms=TIMEOUT_MS, wait_for_metadata=True)
        _wake_coordinator(admin)
        return [topic.name for topic in missing]


def _wake_coordinator(admin: KafkaAdminClient) -> None:
    """A new cluster makes the topic of group offsets when it is first asked for, and refuses groups until it is there.

    Better here than in the first worker's log. Best effort: a cluster need not let us ask.
    """
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while time.monotonic() < deadline:
        try:
            admin.list_group_offsets(["loyalty"])
            return
        except KafkaError as error:
            if not error.retriable:
                return
            time.sleep(0.1)


def group_members(kafka: KafkaAccess, group: str) -> int:
    """How many consumers are at work in a group. Raises LoyaltyError where Kafka does not answer."""
    with admin_client(kafka) as admin:
        return len(admin.describe_groups([group])[group]["members"])


def delete_topics(kafka: KafkaAccess) -> None:
    """Remove every topic of the table with all records (tests)."""
    with admin_client(kafka) as admin:
        there = [name for name in admin.list_topics() if name in TOPICS]
        with contextlib.suppress(UnknownTopicOrPartitionError):
            if there:
                admin.delete_topics(there, timeout_ms=TIMEOUT_MS)
        _wait_gone(admin, set(there))


def _wait_gone(admin: KafkaAdminClient, names: set[str]) -> None:
    """The broker answers before its metadata has followed; a topic made meanwhile would be taken for the old one."""
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while left := names.intersection(admin.list_topics()):
        if time.monotonic() > deadline:
            raise LoyaltyError(f"topics {', '.join(sorted(left))} are still there {TIMEOUT_MS} ms after their deletion")
        time.sleep(0.02)


def check_topics(kafka: KafkaAccess, partitions: int) -> list[Found]:
    """Each topic of the table with what is wrong about it. Raises LoyaltyError where Kafka does not answer."""
    with admin_client(kafka) as admin:
        found = _found(admin, partitions)
        return _with_config(admin, found)


def _found(admin: KafkaAdminClient, partitions: int) -> list[Found]:
    present = set(admin.list_topics())
    names = [name for name in TOPICS if name in present]
    counts = {told["name"]: len(told["partitions"]) for told in admin.describe_topics(names)} if names else {}
    rows = []
    for topic in TOPICS.values():
        have, want = counts.get(topic.name, 0), partitions_of(topic, partitions)
        wrong: tuple[str, ...] = ()
        if not have:
            wrong = ("is missing, or this user may not see it; run `loyalty topics create`",)
        elif have != want:
            wrong = (miscounted(topic.name, have, want),)
        rows.append(Found(topic.name, have, wrong))
    return rows


def _with_config(admin: KafkaAdminClient, found: list[Found]) -> list[Found]:
    there = [row.name for row in found if row.partitions]
    configs = _configs(admin, there)
    rows = []
    for row in found:
        wrong = list(row.wrong)
        want = TOPICS[row.name].config()
        for name in CHECKED_CONFIG if configs.get(row.name) else ():  # none at all: not told to this user
            have = configs[row.name].get(name)
            if name in want and have != want[name]:
                wrong.append(f"has {name}={have}, needs {want[name]}")
        told_type = configs.get(row.name, {}).get("message.timestamp.type", "")
        rows.append(Found(row.name, row.partitions, tuple(wrong), told_type))
    return rows


def _configs(admin: KafkaAdminClient, names: list[str]) -> Mapping[str, Mapping[str, str]]:
    """Topic to setting to value, defaults included."""
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    told = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: entry["value"] for key, entry in entries.items()} for name, entries in told.items()}
