"""Clients of one Redis or of a Redis Cluster, told apart by the scheme of the URL (`sinks/addresses.py`).

A cluster's client asks where each key lies, follows it when it moves, and looks again when a node is gone. All keys of
a partition have one hash tag, so its scripts go to one master, and `meta` is never named beside another key.

Of redis-py's own retries the callers decide: the worker has none, for its patience is `connection.py`'s.
"""

from __future__ import annotations

from typing import Any, Final

import redis
from redis import asyncio as redis_async
from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from sinks.addresses import is_cluster, seeds

CLUSTER_AWAY: Final = RedisClusterException
"""What is raised where no node of a cluster answers; it is no RedisError."""

_CONNECTIONS_MAX: Final = 10_000
"""To one node, where redis-py has 100: each partition may need two at once, and a worker may have them all."""


def client_of(url: str, *, retry: Retry, **options: Any) -> Any:
    """A synchronous client. A cluster is asked at once: raises CLUSTER_AWAY or RedisError where it does not answer."""
    if not is_cluster(url):
        return redis.Redis.from_url(url, protocol=2, retry=retry, **options)
    first, *others = seeds(url)
    nodes = [ClusterNode(*_address(node)) for node in others]
    return redis.RedisCluster.from_url(
        first, startup_nodes=nodes, protocol=2, retry=retry, max_connections=_CONNECTIONS_MAX, **options
    )


def waiting_client_of(url: str, *, retry: Any, **options: Any) -> Any:
    """A client of asyncio. It connects when it is first used."""
    if not is_cluster(url):
        return redis_async.Redis.from_url(url, protocol=2, retry=retry, **options)
    first, *others = seeds(url)
    nodes = [AsyncNode(*_address(node)) for node in others]
    return redis_async.RedisCluster.from_url(
        first, startup_nodes=nodes, protocol=2, retry=retry, max_connections=_CONNECTIONS_MAX, **options
    )


def _address(url: str) -> tuple[str, int]:
    told = redis.connection.parse_url(url)
    return str(told["host"]), int(told.get("port", 6379))
