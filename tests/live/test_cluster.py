"""A Redis Cluster of three masters ends as a single Redis does, and every command finds its way there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from infra.localstack import Stack
from infra.localstack.cluster import BUS
from tests.conftest import PARTITIONS, free_port

pytestmark = pytest.mark.live

MASTERS = 3
PREFIX = "loyalty"
FACTS = (b"tier", b"value_365d", b"purchases_365d", b"lifetime_value", b"last_purchase_at")
Loyalty = Callable[..., "subprocess.CompletedProcess[str]"]
Dump = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three masters on loopback; the Kafka is the shared one."""
    nodes = ",".join(f"127.0.0.1:{port}" for port in sorted(free_port(12_000, 22_000, BUS) for _ in range(MASTERS)))
    made = Stack(stack.kafka_addr, f"redis+cluster://{nodes}", tmp_path_factory.mktemp("cluster"))
    try:
        made.start_redis()
        yield made
    finally:
        made.down()


def lived(loyalty: Loyalty, fresh_topics: Callable[[], None], url: str, group: str) -> dict[str, str]:
    """The sample folded into the Redis at `url`, from empty topics; the environment that reads it."""
    fresh_topics()
    where = {
        "LOYALTY_REDIS": url, "LOYALTY_PREFIX": PREFIX, "LOYALTY_GROUP": group, "LOYALTY_CLOCK": "data",
        "LOYALTY_ERASE_KEY": "the same for both",
    }  # fmt: skip
    for words in (("import-dataset", "cdnow-sample", "--customers", "120"), ("worker", "--until-caught-up")):
        done = loyalty(*words, **where)
        assert done.returncode == 0, done.stderr
    return where


def dump(client: Any) -> Dump:
    """Every key of the installation with what it holds; without what batches there were, and when."""
    held: Dump = {}
    for key in client.scan_iter(match=f"{PREFIX}:*", count=1_000):
        kind = client.type(key)
        read = {
            "hash": client.hgetall,
            "string": client.get,
            "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        }
        held[key.decode()] = read[kind.decode()](key) if kind.decode() in read else client.xrange(key)
        if key.endswith(b":fence"):
            for name in (b"epoch", b"seq"):
                held[key.decode()].pop(name)
    return held


def facts(held: Dump) -> Dump:
    """Of each customer's view what follows from events alone: a rebuild reviews once, at the clock."""
    return {key: [view[name] for name in FACTS] for key, view in held.items() if ":customer:" in key}


def told(loyalty: Loyalty, where: dict[str, str], *words: str) -> list[Any]:
    """The lines of a command with --json."""
    done = loyalty(*words, "--json", **where)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_cluster_of_three_masters_ends_as_a_single_redis_does(
    stack: Stack, cluster: Stack, loyalty: Loyalty, fresh_topics: Callable[[], None]
) -> None:
    with redis.Redis.from_url(stack.redis_url) as single:
        for key in single.scan_iter(match=f"{PREFIX}:*"):
            single.delete(key)
        alone = lived(loyalty, fresh_topics, stack.redis_url, "alone")
        expected = dump(single)
        answers = {words: told(loyalty, alone, *words) for words in (("customers",), ("kpi",))}
        for key in single.scan_iter(match=f"{PREFIX}:*"):
            single.delete(key)
    assert len([key for key in expected if ":customer:" in key]) == 120

    spread = lived(loyalty, fresh_topics, cluster.redis_url, "spread")
    first = cluster.redises[0]
    with redis.RedisCluster(host=first.host, port=first.port) as client:
        assert dump(client) == expected
        assert all(client.dbsize(target_nodes=node) for node in client.get_primaries()), "a master holds nothing"

        assert answers == {words: told(loyalty, spread, *words) for words in answers}
        checks = {row["what"]: row for row in told(loyalty, spread, "doctor")[1:] if "what" in row}
        assert checks["redis cluster"]["found"] == f"{MASTERS} masters with 1 + 2 + 1 of {PARTITIONS} partitions"

        done = loyalty("rebuild", "--wipe", **spread)
        assert done.returncode == 0, done.stderr
        assert facts(dump(client)) == facts(expected)


def test_a_single_servers_address_is_refused_where_it_is_a_clusters(cluster: Stack, loyalty: Loyalty) -> None:
    first = cluster.redises[0]
    done = loyalty("customers", LOYALTY_REDIS=f"redis://{first.host}:{first.port}/0", LOYALTY_PREFIX="no")
    assert done.returncode == 1
    assert "LOYALTY_REDIS=redis+cluster://" in done.stderr


def test_a_cluster_that_was_stopped_comes_back_as_it_was(cluster: Stack, tmp_path: Path) -> None:
    first = cluster.redises[0]
    with redis.RedisCluster(host=first.host, port=first.port) as client:
        client.set("kept", "1")
        cluster.down()
        cluster.start_redis()
        assert {row["state"] for row in cluster.status() if row["server"] != "kafka"} == {"running"}
        assert client.get("kept") == b"1"
