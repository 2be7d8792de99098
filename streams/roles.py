"""Who may do what on a secure Kafka and Redis: the least that each role needs, as data.

    worker      reads inputs, writes ticks, outputs and internal topics; all keys of the prefix
    pos         writes purchases, complaints, contacts, customers; reads nothing, has no user of Redis
    subscriber  reads outputs, and the views in Redis that outputs repeat; its groups begin with `subscriber-`
    reader      `loyalty customer` and the like: reads states and views in Redis, policies in Kafka; writes nothing
    console     `loyalty console`: reads outputs, inputs, dead letters, states and views; writes `contacts`
    ops         sees what there is: topics, groups, lag, settings; neither a record nor a customer

Besides, `admin` may do all: it makes topics. docs/security.md shows the table; tests/live/test_secure.py holds it, each
refusal too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from schemas import topics
from sinks.keys import Keys
from streams.settings import Settings

SUBSCRIBERS: Final = "subscriber-"
"""What the consumer groups of subscribers begin with."""

POS_TOPICS: Final = (topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.CUSTOMERS)
OUTPUTS: Final = tuple(topic.name for topic in topics.TOPICS.values() if topic.direction == "out" and topic.schema)
"""Without the dead letters: what a till sent is between it and the workers."""

_WORKERS_OWN: Final = (topics.RELAY, topics.TOLD, topics.OUTBOX_POSITIONS, topics.IDENTITIES, topics.POLICIES)

_SCRIPTS: Final = (
    "+eval +evalsha +get +set +mget +del +hget +hmget +hgetall +hset +hsetnx +hdel +hlen +hincrby +xadd +xlen +xrange "
    "+xtrim +zadd +zrem +zcard +zrangebyscore +zremrangebyscore +zunionstore +multi +exec"
)
"""What the scripts call, and what is called beside them: a test compares it with them."""

_CONNECTS: Final = "+ping +select +time"


class Grant(NamedTuple):
    """Operations on a kind of Kafka resource. prefixed: on all whose name begins so; `*` stands for any name."""

    kind: str
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


class Role(NamedTuple):
    """A user of both servers. redis: rules as in its ACL file; empty: no user of Redis."""

    name: str
    kafka: tuple[Grant, ...]
    redis: str

    @property
    def redis_commands(self) -> tuple[str, ...]:
        """The commands that `redis` allows, as its rules name them."""
        return tuple(word.removeprefix("+") for word in self.redis.split() if word.startswith("+"))


def roles(settings: Settings) -> tuple[Role, ...]:
    """Those of one installation: its topics, its prefix, its group."""
    return (_worker(settings), _pos(), _subscriber(settings), _reader(settings), _console(settings), _ops())


def _on_topics(names: tuple[str, ...], *operations: str) -> tuple[Grant, ...]:
    return tuple(Grant("topic", name, operations) for name in names)


def _worker(settings: Settings) -> Role:
    kafka = (
        *_on_topics((*POS_TOPICS,), "READ"),
        *_on_topics((*OUTPUTS, topics.DEAD_LETTERS), "WRITE"),
        *_on_topics((*_WORKERS_OWN, topics.TICKS), "READ", "WRITE"),
        *_on_topics(tuple(topics.TOPICS), "DESCRIBE_CONFIGS"),
        Grant("group", settings.group, ("READ",)),
        Grant("transactional_id", f"{settings.prefix}-", ("WRITE", "DESCRIBE"), prefixed=True),
    )
    return Role("worker", kafka, f"~{Keys(settings.prefix).every()} {_SCRIPTS} {_CONNECTS}")


def _pos() -> Role:
    return Role("pos", _on_topics(POS_TOPICS, "WRITE"), "")


def _subscriber(settings: Settings) -> Role:
    kafka = (*_on_topics(OUTPUTS, "READ"), Grant("group", SUBSCRIBERS, ("READ",), prefixed=True))
    views = " ".join(f"~{pattern}" for pattern in Keys(settings.prefix).every_view())
    return Role("subscriber", kafka, f"{views} +hget +hmget +hgetall {_CONNECTS}")


def _reader(settings: Settings) -> Role:
    redis = f"~{Keys(settings.prefix).every()} +get +mget +hget +hgetall +zscan {_CONNECTS}"
    return Role("reader", _on_topics((topics.POLICIES,), "READ"), redis)


def _console(settings: Settings) -> Role:
    """Without what *Send again* writes: that takes the rights of a till on every input."""
    read = tuple(topic for topic in topics.TOPICS if topic not in (topics.TOLD, topics.IDENTITIES))
    kafka = (
        *_on_topics(read, "READ"),
        *_on_topics((topics.CONTACTS,), "WRITE"),
        Grant("group", f"{settings.group}-dead-letters", ("DESCRIBE",)),
    )
    redis = f"~{Keys(settings.prefix).every()} +get +mget +hget +hmget +hgetall +zscan +xlen +zcard +zrange {_CONNECTS}"
    return Role("console", kafka, redis)


def _ops() -> Role:
    kafka = (
        Grant("topic", "*", ("DESCRIBE", "DESCRIBE_CONFIGS")),
        Grant("group", "*", ("DESCRIBE",)),
        Grant("cluster", "kafka-cluster", ("DESCRIBE", "DESCRIBE_CONFIGS")),
    )
    return Role("ops", kafka, f"resetkeys +info +dbsize +config|get {_CONNECTS}")
