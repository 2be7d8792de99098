"""Where Redis is: what the URL of a cluster stands for."""

from __future__ import annotations

import pytest
from redis.exceptions import RedisClusterException, ResponseError

from sinks.addresses import at, is_cluster, seeds
from sinks.connection import transient


@pytest.mark.parametrize(("url", "nodes"), [
    ("redis://h:1/2", ["redis://h:1/2"]),
    ("unix:///redis.sock", ["unix:///redis.sock"]),
    ("redis+cluster://a:1", ["redis://a:1"]),
    ("rediss+cluster://u:p@a:1,b:2/0?ssl_ca_certs=/x", [
        "rediss://u:p@a:1/0?ssl_ca_certs=/x", "rediss://u:p@b:2/0?ssl_ca_certs=/x",
    ]),
    ("redis+cluster://[::1]:1,b:2?x=/", ["redis://[::1]:1?x=/", "redis://b:2?x=/"]),
])  # fmt: skip
def test_each_node_that_is_named_has_the_urls_login_and_query(url: str, nodes: list[str]) -> None:
    assert seeds(url) == nodes
    assert is_cluster(url) == (nodes != [url])


def test_a_node_that_was_found_is_reached_as_the_one_that_was_named() -> None:
    assert at("rediss://u:p@a:1/0?x=1", "b", 2) == "rediss://u:p@b:2/0?x=1"
    assert at("redis://a:1", "::1", 2) == "redis://[::1]:2"


def test_a_cluster_of_which_no_node_answers_is_asked_again() -> None:
    assert transient(RedisClusterException("Redis Cluster cannot be connected"))
    assert not transient(ResponseError("MOVED 1 a:1"))
