"""Harmless questions to a Redis as whoever we are: may this login do what its role needs, and how late is it there.

Rights: a command is refused before it is looked at, so commands that write are queued in a transaction which is never
executed, and the others read a key that cannot be there: the view of a customer without a name.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.retry import Retry

from sinks.addresses import at, seeds
from sinks.clients import CLUSTER_AWAY, client_of
from sinks.keys import Keys

TIMEOUT_S: Final = 5.0

_KEY: Final = "<key>"

CALLS: Final[dict[str, tuple[str, ...]]] = {
    "get": (_KEY,), "set": (_KEY, "x"), "mget": (_KEY,), "del": (_KEY,),
    "hget": (_KEY, "x"), "hmget": (_KEY, "x"), "hgetall": (_KEY,), "hset": (_KEY, "x", "x"),
    "hsetnx": (_KEY, "x", "x"), "hdel": (_KEY, "x"), "hlen": (_KEY,), "hincrby": (_KEY, "x", "0"),
    "xadd": (_KEY, "*", "x", "x"), "xlen": (_KEY,), "xrange": (_KEY, "-", "+"), "xtrim": (_KEY, "MAXLEN", "0"),
    "zadd": (_KEY, "0", "x"), "zrem": (_KEY, "x"), "zcard": (_KEY,),
    "zrange": (_KEY, "0", "0"), "zrangebyscore": (_KEY, "0", "0"),
    "zremrangebyscore": (_KEY, "0", "0"), "zunionstore": (_KEY, "1", _KEY), "zscan": (_KEY, "0"),
    "eval": ("return 0", "1", _KEY), "evalsha": ("0" * 40, "1", _KEY), "ping": (), "select": ("0",), "time": (),
    "info": ("server",), "dbsize": (), "config|get": ("maxmemory",), "multi": (), "exec": (),
}  # fmt: skip
"""Words after each command that a role may name (`streams/roles.py`), enough for Redis to take it as well-formed."""


class Told(NamedTuple):
    """What a Redis tells everybody who may log in. role: master | replica."""

    version: str
    role: str


class Ahead(NamedTuple):
    """A server's clock less ours, ms; the truth lies within `within_ms` of it: half of the time that asking took."""

    ms: float
    within_ms: float

    @classmethod
    def between(cls, asked_ms: float, theirs_ms: float, answered_ms: float) -> Ahead:
        """From a question asked and answered by our clock."""
        return cls(theirs_ms - (asked_ms + answered_ms) / 2, (answered_ms - asked_ms) / 2)

    @property
    def least_ms(self) -> float:
        """How far the two clocks are apart at the least, whatever the network did."""
        return max(0.0, abs(self.ms) - self.within_ms)


def spread(url: str, keys: Keys, partitions: int) -> dict[str, int]:
    """The URL of each master of a cluster, and how many partitions lie there. Raises one of FAILURES."""
    options = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    with client_of(url, retry=Retry(NoBackoff(), 0), **options) as cluster:
        found = {(node.host, node.port): 0 for node in cluster.get_primaries()}
        for partition in range(partitions):
            node = cluster.nodes_manager.get_node_from_slot(key_slot(keys.fence(partition).encode()))
            found[node.host, node.port] += 1
    return {at(seeds(url)[0], *address): number for address, number in sorted(found.items())}


def told(url: str) -> Told:
    """By HELLO, which no ACL can forbid. Raises RedisError or OSError where Redis does not answer this login."""
    with _connection(url) as connection:
        answer = _ask(connection, "HELLO")
    pairs = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    text = {_text(name): _text(held) for name, held in pairs.items()}
    return Told(text["version"], text["role"])


def ahead(url: str) -> Ahead | None:
    """How Redis's clock stands to ours; None: this login may not ask. Raises RedisError or OSError."""
    with _connection(url) as connection:
        _ask(connection, "PING")
        asked_ms = time.time() * 1_000
        try:
            seconds, micros = _ask(connection, "TIME")
        except NoPermissionError:
            return None
        return Ahead.between(asked_ms, int(seconds) * 1_000 + int(micros) / 1_000, time.time() * 1_000)


def refused(url: str, keys: Keys, commands: Collection[str]) -> list[str]:
    """Which of the commands this login may not give on our keys. Raises RedisError or OSError."""
    key, lacks = keys.customer(0, ""), []
    with _connection(url) as connection:
        if "multi" in commands:
            lacks += [name for name in ("multi", "exec") if name in commands and _refuses(connection, name, key)]
            if lacks:
                return lacks  # outside of a transaction the others would do something
            _ask(connection, "MULTI")
        lacks += [
            name for name in commands
            if name in CALLS and name not in ("multi", "exec") and _refuses(connection, name, key)
        ]  # fmt: skip
        return lacks  # the connection ends here, and what was queued with it


def _refuses(connection: Any, name: str, key: str) -> bool:
    words = [key if word == _KEY else word for word in CALLS[name]]
    try:
        _ask(connection, *name.upper().split("|"), *words)
    except NoPermissionError:
        return True
    except ResponseError:
        pass  # it was looked at, so it is allowed
    return False


def _ask(connection: Any, *words: str) -> Any:
    connection.send_command(*words)
    return connection.read_response()


@contextmanager
def _connection(url: str) -> Iterator[Any]:
    """One connection of its own, ended afterwards."""
    client = redis.Redis.from_url(
        url, protocol=2, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )
    connection = client.connection_pool.get_connection()
    try:
        yield connection
    finally:
        connection.disconnect()
        client.close()


def _text(held: Any) -> str:
    return held.decode() if isinstance(held, bytes) else str(held)


FAILURES: Final = (RedisError, CLUSTER_AWAY, OSError)
"""What these raise where Redis does not answer; redis is imported in sinks/ alone."""
