"""Where Redis is: one server, or some nodes of a Redis Cluster. Text alone, no client is loaded.

`redis+cluster://host:port,host:port` names a cluster by nodes to ask first (the others are found through them), with
`rediss+cluster` for TLS; login, path and query go as in any other URL of redis-py and hold for all nodes. A cluster has
the database 0 alone.
"""

from __future__ import annotations

from typing import Final

CLUSTER: Final = "+cluster://"


def is_cluster(url: str) -> bool:
    """Whether it names a Redis Cluster."""
    return CLUSTER in url


def seeds(url: str) -> list[str]:
    """The URL of each node that is named, as redis-py takes it; the URL itself where it is no cluster's."""
    scheme, cluster, rest = url.partition(CLUSTER)
    if not cluster:
        return [url]
    login, nodes, tail = _parted(rest)
    return [f"{scheme}://{login}{node}{tail}" for node in nodes.split(",")]


def at(url: str, host: str, port: int) -> str:
    """One server's URL with another address in it: a node that was found through the one named."""
    scheme, _, rest = url.partition("://")
    login, _, tail = _parted(rest)
    return f"{scheme}://{login}{f'[{host}]' if ':' in host else host}:{port}{tail}"


def _parted(rest: str) -> tuple[str, str, str]:
    """What follows the scheme: login with its @, addresses, path and query."""
    end = next((place for place, letter in enumerate(rest) if letter in "/?"), len(rest))
    login, sign, nodes = rest[:end].rpartition("@")
    return login + sign, nodes, rest[end:]
