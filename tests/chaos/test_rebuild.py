"""`loyalty rebuild`: an empty Redis filled again from Kafka, after compaction too; and an erase that leaves no byte."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from msgspec import Struct

from schemas import codec, topics
from schemas.partitioner import partition_of
from sinks.keys import Keys
from streams.sending import send_one
from tests.chaos.dump import Dump, committed, differences, problems, summary
from tests.chaos.test_lost_redis import unexplained
from tests.chaos.world import World, until
from tests.conftest import ROOT

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

COMPACTED = (topics.CUSTOMERS, topics.CUSTOMER_VALUE, topics.TOLD)
PERSON = "the-person-0815-whom-nobody-must-find"
"""An id that stands nowhere else on the disk."""


class Cleaner(Struct):
    """Kafka's compaction, as fast as it goes: what takes months otherwise."""

    world: World

    def hurry(self) -> None:
        """Nulls need not be kept, segments are closed at the next record, the cleaner looks each 100 ms."""
        quick = {
            "delete.retention.ms": "0", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.001",
            "file.delete.delay.ms": "0",
        }  # fmt: skip
        with contextlib.closing(KafkaAdminClient(**self.world.settings.kafka.options())) as admin:
            changed = [ConfigResource(ConfigResourceType.TOPIC, topic, configs=quick) for topic in COMPACTED]
            node = str(admin.describe_cluster()["brokers"][0]["broker_id"])
            broker = ConfigResource(ConfigResourceType.BROKER, node, configs={"log.cleaner.backoff.ms": "100"})
            admin.alter_configs([*changed, broker])

    def nudge(self, key: bytes) -> None:
        """A further record behind those of `key`, so that the segment in which these lie is closed: somebody else's
        null, of whom nothing is known."""
        partition = partition_of(key, self.world.settings.partitions)
        for topic in COMPACTED:
            send_one(self.world.settings.kafka, topic, partition, b"nobody", None)

    def takes(self, key: bytes) -> None:
        """Wait until no record of `key` is left in any of the topics."""

        def gone() -> bool:
            self.nudge(key)
            return not any(
                record.key == key for topic in COMPACTED for record in committed(self.world.settings.kafka, topic)
            )

        until(gone, f"compaction takes all of {key.decode()}", 120, self.world.tails)


def loyalty(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams", *words],
        cwd=ROOT, env=world.env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def cleaner(world: World) -> Cleaner:
    return Cleaner(world)


def assert_same(before: Dump, after: Dump, world: World) -> None:
    wrong = problems(after) + unexplained(differences(before, after))
    assert not wrong, f"{summary(wrong)}\n{world.tails()}"


def test_D4_a_restored_copy_and_a_rebuild_are_as_before_and_bring_nobody_back(fed: World, cleaner: Cleaner) -> None:
    """After compaction, which has taken the null of the erase; the copy was made before it."""
    world = fed
    world.finish()
    file = world.stack.data_dir / "redis" / "appendonly.aof"
    copy = file.read_bytes()
    erased = min(name for name, changes in world.dump().changes.items() if len(changes) > 1)
    world.loyalty("erase", erased)
    world.finish()
    cleaner.hurry()
    cleaner.takes(erased.encode())
    world.finish()  # what made compaction hurry is folded, too
    before = world.dump()
    assert erased not in before.states
    world.stack.kill_redis()
    file.write_bytes(copy)
    world.stack.start_redis()
    with redis.Redis.from_url(world.settings.redis) as client:
        state = Keys(world.settings.prefix).state(partition_of(erased.encode(), world.settings.partitions), erased)
        assert client.exists(state), "the copy holds whom compaction has taken the null of"
    world.finish()
    assert_same(before, world.dump(), world)
    refused = loyalty(world, "rebuild")
    assert refused.returncode == 2, refused.stderr
    assert "--wipe" in refused.stderr
    told = json.loads(world.loyalty("rebuild", "--wipe", "--json"))
    assert told["customers"] == len(before.views)
    assert_same(before, world.dump(), world)


def test_a_rebuild_refuses_while_a_worker_is_at_work(world: World) -> None:
    worker = world.worker()
    until(worker.assigned, "the worker has its partitions", told=world.tails)
    refused = loyalty(world, "rebuild", "--wipe")
    assert refused.returncode == 1, refused.stderr
    assert "1 worker of the group" in refused.stderr


def test_D4_after_an_erase_no_byte_of_the_person_is_in_redis_in_compacted_topics_or_on_disk(
    world: World, cleaner: Cleaner
) -> None:
    at, key = 1_700_000_000_000, PERSON.encode()
    profile = {"event_id": "p-1", "customer_id": PERSON, "occurred_at": at, "joined_at": at}
    line = {"category": "GROCERY", "quantity": 1, "net_amount": 10_000_000}  # a tier: of the lowest nothing is told
    bought = {
        "event_id": "b-1", "customer_id": PERSON, "occurred_at": at, "kind": "SALE", "store_id": "1", "currency": "USD",
        "lines": [line],
    }  # fmt: skip
    partition = partition_of(key, world.settings.partitions)
    for topic, fields in ((topics.CUSTOMERS, profile), (topics.PURCHASES, bought)):
        send_one(world.settings.kafka, topic, partition, key, codec.write(topic, fields))
    send_one(world.settings.kafka, topics.TICKS, partition, None, codec.write(topics.TICKS, {"at": at + 1}))
    world.finish()
    places = {f"{topic}-{partition}" for topic in COMPACTED}
    assert _holding(world.stack.data_dir / "kafka", key) >= places, "not found where it is: looking proves nothing"
    assert (world.stack.data_dir / "redis" / "appendonly.aof").is_file()
    assert _holding(world.stack.data_dir / "redis", key)
    world.loyalty("erase", PERSON)
    world.finish()
    with redis.Redis.from_url(world.settings.redis) as client:
        client.bgrewriteaof()
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the append-only file is written anew")
        assert not [name for name in client.scan_iter(count=1_000) if key in name]
        assert client.hlen(Keys(world.settings.prefix).erased(partition)) == 1
    assert not _holding(world.stack.data_dir / "redis", key)
    cleaner.hurry()
    cleaner.takes(key)
    until(
        lambda: not places & _holding(world.stack.data_dir / "kafka", key),
        "the files that compaction replaced are gone",
        120,
        lambda: str(sorted(_holding(world.stack.data_dir / "kafka", key))),
    )


def _holding(folder: Path, text: bytes) -> set[str]:
    """Which parts of a data folder hold a file with `text` in it."""
    found = set()
    for path, _, names in os.walk(folder):  # does not mind what compaction and retention remove meanwhile
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if text in Path(path, name).read_bytes():
                    found.add(Path(path, name).relative_to(folder).parts[0])
    return found
