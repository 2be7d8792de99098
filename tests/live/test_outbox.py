"""The publisher against a real Kafka and Redis: each output once, whole commits, in order, with their position."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, ProducerFenced

from infra.localstack import Stack
from processors.customer import Told
from schemas.codec import read, write
from schemas.partitioner import partition_of
from schemas.topics import CUSTOMER_VALUE, OUTBOX_POSITIONS, TIER_CHANGES, TOLD
from sinks import outbox
from sinks import position as position_module
from sinks.commit import Record
from sinks.keys import Keys
from sinks.metrics import Metrics
from sinks.outbox import OutboxAhead, Position, Publisher, read_position
from sinks.store import Store
from tests.conftest import PARTITIONS
from tests.contract import stores

P = 3  # the partition of tests/contract/stores.py
DEADLINE_S = 60


class Scene:
    """A store and publishers of partition 3 on empty topics. `metrics`: of the publisher made last."""

    def __init__(self, kafka: str, store: Store) -> None:
        self.kafka = {"bootstrap_servers": kafka}
        self.store = store
        self.metrics = Metrics()

    async def begin(self) -> int:
        return (await self.store.take_epoch(P)).epoch

    def publisher(self) -> Publisher:
        self.metrics = Metrics()
        group = f"outbox-{os.getpid()}"
        return Publisher(self.store, P, kafka=self.kafka, group=group, partitions=PARTITIONS, metrics=self.metrics)

    async def published(self) -> Publisher:
        """A publisher that has published all there is."""
        publisher = self.publisher()
        await publisher.start(await self.store.fence(P))
        await publisher.drain()
        return publisher

    async def read(self, *topics: str) -> list[Any]:
        """All committed records of some topics, by partition and offset."""
        places = [TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            **self.kafka, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[Any] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
            return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))
        finally:
            await consumer.stop()


@pytest.fixture
def play(stack: Stack, redis_db: str, fresh_topics: Callable[[], None]) -> Callable[[Callable[[Scene], Any]], None]:
    """Runs a coroutine function on a fresh scene, with a deadline."""
    fresh_topics()

    @asynccontextmanager
    async def scene() -> AsyncIterator[Scene]:
        store = Store(redis_db, Keys("t"), erase_key=b"k")
        await store.redis.client.flushdb()
        try:
            yield Scene(stack.kafka_addr, store)
        finally:
            await store.redis.client.flushdb()
            await store.close()

    def run(act: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with scene() as it:
                await asyncio.wait_for(act(it), DEADLINE_S)

        asyncio.run(whole())

    return run


@pytest.fixture
def redis_db(stack: Stack) -> str:
    return stack.redis_url.rsplit("/", 1)[0] + "/8"


def told(customer_id: str, tier: str) -> Record:
    fields = {"customer_id": customer_id, "at": 1, "policy": "p@1", "seq": 1, "tier": tier, "tier_since": 7}
    return Record(TOLD, customer_id.encode(), write(TOLD, fields), (), customer_id)


def keys(records: list[Any], topic: str) -> list[bytes]:
    return [record.key for record in records if record.topic == topic]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_D1_outputs_leave_in_order_with_their_position_and_views(play: Any) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        names = [f"customer {n}" for n in range(40)]
        records = tuple(stores.record(n, name) for n, name in enumerate(names))
        own = Record(TIER_CHANGES, None, None, (("dlq.error", b"x"),))
        writes = tuple(stores.write(name) for name in names[:5])
        await scene.store.commit(stores.commit(epoch, 1, outbox=(*records, own), writes=writes))
        await scene.store.commit(stores.commit(epoch, 2, writes=(stores.write("later", value=5),)))
        publisher = await scene.published()
        found = await scene.read(TIER_CHANGES, CUSTOMER_VALUE, OUTBOX_POSITIONS)
        changes = [record for record in found if record.topic == TIER_CHANGES and record.key is not None]
        assert {record.key: record.value for record in changes} == {r.key: r.value for r in records}
        for record in changes:
            assert record.partition == partition_of(names[int(record.key)].encode(), PARTITIONS)
            assert record.headers == (("ce_id", b"id-" + record.key),)
        by_partition = [int(record.key) for record in changes]
        assert by_partition == sorted(by_partition, key=lambda n: (partition_of(names[n].encode(), PARTITIONS), n))
        (keyless,) = (record for record in found if record.topic == TIER_CHANGES and record.key is None)
        assert (keyless.partition, keyless.value, keyless.headers) == (P, None, (("dlq.error", b"x"),))
        views = {record.key.decode(): record for record in found if record.topic == CUSTOMER_VALUE}
        assert sorted(views) == sorted([*names[:5], "later"])
        latest = read(CUSTOMER_VALUE, views["later"].value)
        assert (latest["value_365d"], latest["at"], latest["tier"]) == (5, 1_000, None)
        assert dict(views["later"].headers)["ce_id"].decode() == latest["event_id"]
        position = await read_position(scene.kafka, P)
        assert position == Position(
            partition=P, seq=2, entry="1-41", views_seq=2, clock=2_000, positions={"purchases": 20}
        )
        assert await scene.store.outbox_size(P) == (0, 0)
        exposed = scene.metrics.exposition().decode()
        assert 'loyalty_outputs_total{topic="tier-changes"} 41.0' in exposed
        assert 'loyalty_outputs_total{topic="customer-value"} 6.0' in exposed
        assert 'loyalty_outbox_entries{partition="3"} 0.0' in exposed
        assert OUTBOX_POSITIONS not in exposed
        await publisher.stop()

    play(act)


def test_a_view_that_somebody_else_broke_holds_up_no_other(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        await scene.store.commit(stores.commit(epoch, 1, writes=tuple(map(stores.write, ("anna", "ben", "cleo")))))
        await scene.store.redis.client.delete(Keys("t").customer(P, "anna"))
        await scene.store.redis.client.hdel(Keys("t").customer(P, "ben"), "as_of")
        publisher = await scene.published()
        assert keys(await scene.read(CUSTOMER_VALUE), CUSTOMER_VALUE) == [b"cleo"]
        assert await scene.store.outbox_size(P) == (0, 0)
        told = [record for record in caplog.records if record.name == "loyalty.outbox"]
        assert [one.__dict__["customer"] for one in told] == [scene.store.log_marks.of(who) for who in ("anna", "ben")]
        assert ["anna" in told[0].getMessage(), "lacks as_of" in told[1].getMessage()] == [False, True]
        await publisher.stop()

    play(act)


def test_D1_a_publisher_that_died_after_the_kafka_commit_publishes_nothing_twice(play: Any) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        await scene.store.commit(
            stores.commit(epoch, 1, outbox=(stores.record(1), stores.record(2)), writes=(stores.write("anna"),))
        )
        died = scene.publisher()
        await died.start(await scene.store.fence(P))
        trim, trims = scene.store.published, 0

        async def dies(*_: Any) -> int:
            nonlocal trims
            trims += 1
            raise asyncio.CancelledError

        scene.store.published = dies  # type: ignore[method-assign]
        died.wake()
        await until(lambda: died._task is None or died._task.done())
        assert trims == 1
        scene.store.published = trim  # type: ignore[method-assign]
        assert await scene.store.outbox_size(P) == (2, 1), "it died before the trim"
        await scene.store.commit(stores.commit(epoch, 2, outbox=(stores.record(3),)))
        heir = await scene.published()
        found = await scene.read(TIER_CHANGES, CUSTOMER_VALUE)
        assert keys(found, TIER_CHANGES) == [b"1", b"2", b"3"]
        assert keys(found, CUSTOMER_VALUE) == [b"anna"]
        assert await scene.store.outbox_size(P) == (0, 0)
        await heir.stop()
        await died._close()

    play(act)


def test_D1_a_transaction_that_failed_is_seen_by_nobody_and_made_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        await scene.store.commit(stores.commit(epoch, 1, outbox=(stores.record(1),), writes=(stores.write("anna"),)))
        send, sent = outbox._Batches.send, 0

        async def fails_once(batches: Any) -> None:
            nonlocal sent
            await send(batches)
            sent += 1
            if sent == 1:
                raise ConnectionError("the broker went away before the commit")

        monkeypatch.setattr(outbox._Batches, "send", fails_once)
        publisher = await scene.published()
        assert sent == 2
        found = await scene.read(TIER_CHANGES, CUSTOMER_VALUE)
        assert (keys(found, TIER_CHANGES), keys(found, CUSTOMER_VALUE)) == ([b"1"], [b"anna"])
        await publisher.stop()

    play(act)


def test_the_publisher_before_is_fenced_and_ends(play: Any) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        await scene.store.commit(stores.commit(epoch, 1, outbox=(stores.record(1),)))
        old = await scene.published()
        epoch = await scene.begin()
        await scene.store.commit(stores.commit(epoch, 2, outbox=(stores.record(2),)))
        new = await scene.published()
        last = 2
        assert old._task is not None
        while not old._task.done():  # the new one, still awake, may take a record first: then the old one finds none
            last += 1
            await scene.store.commit(stores.commit(epoch, last, outbox=(stores.record(last),)))
            old.wake()
            await asyncio.wait([old._task], timeout=0.5)
        await new.drain()
        assert keys(await scene.read(TIER_CHANGES), TIER_CHANGES) == [b"%d" % n for n in range(1, last + 1)]
        await old.stop()
        await new.stop()

    play(act)


def test_a_publisher_whose_partition_another_owns_ends_whatever_fails_and_makes_no_producer(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer that was fenced says so only where nothing else is on its way to it."""
    send = outbox._Batches.send

    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        old = await scene.published()
        before = await scene.store.fence(P)
        epoch = await scene.begin()
        new = await scene.published()
        mine, ended = new._producer, asyncio.Event()

        async def fails(batches: Any) -> None:
            if batches._producer is not mine:
                raise IllegalOperation("Can't send messages while not in transaction")
            await ended.wait()
            await send(batches)

        monkeypatch.setattr(outbox._Batches, "send", fails)
        await scene.store.commit(stores.commit(epoch, 1, outbox=(stores.record(1),)))
        old.wake()
        await until(lambda: old._task is not None and old._task.done())
        late = scene.publisher()
        with pytest.raises(ProducerFenced, match=f"epoch {before.epoch} is {epoch} now"):
            await late.start(before)
        ended.set()
        await new.drain()  # with the producer it had: of any other nothing is sent here
        assert keys(await scene.read(TIER_CHANGES), TIER_CHANGES) == [b"1"]
        for one in (old, late, new):
            await one.stop()

    play(act)


def test_a_producer_fenced_by_no_other_owner_is_made_again(play: Any) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        await scene.store.commit(stores.commit(epoch, 1, outbox=(stores.record(1),)))
        publisher = await scene.published()
        thief = AIOKafkaProducer(**scene.kafka, transactional_id=f"{publisher._group}-{P}")
        await thief.start()
        await thief.stop()
        await scene.store.commit(stores.commit(epoch, 2, outbox=(stores.record(2),)))
        publisher.wake()
        await publisher.drain()
        assert keys(await scene.read(TIER_CHANGES), TIER_CHANGES) == [b"1", b"2"]
        await publisher.stop()

    play(act)


def test_stop_does_not_wait_for_a_kafka_that_is_away(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "STOP_S", 0.2)
    sending = asyncio.Event()

    async def never(_: Any) -> None:
        sending.set()
        await asyncio.Event().wait()

    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        publisher = await scene.published()
        with monkeypatch.context() as away:
            away.setattr(outbox._Batches, "send", never)
            await scene.store.commit(stores.commit(epoch, 1, outbox=(stores.record(1),)))
            publisher.wake()
            await sending.wait()
            await asyncio.wait_for(publisher.stop(), 10)
        await publisher.stop()  # again is no error
        heir = await scene.published()
        assert keys(await scene.read(TIER_CHANGES), TIER_CHANGES) == [b"1"]
        await heir.stop()

    play(act)


def test_a_long_backlog_leaves_in_transactions_of_whole_commits(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "ENTRIES_MAX", 7)
    monkeypatch.setattr(outbox, "VIEWS_MAX", 2)

    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        for seq in range(1, 11):
            records = tuple(stores.record(10 * seq + n) for n in range(5))
            names = ("every time", f"c{seq}")
            await scene.store.commit(
                stores.commit(epoch, seq, outbox=records, writes=tuple(stores.write(name, value=seq) for name in names))
            )
        publisher = await scene.published()
        found = await scene.read(TIER_CHANGES, CUSTOMER_VALUE, OUTBOX_POSITIONS)
        assert keys(found, TIER_CHANGES) == [b"%d" % (10 * seq + n) for seq in range(1, 11) for n in range(5)]
        positions = [read(OUTBOX_POSITIONS, r.value) for r in found if r.topic == OUTBOX_POSITIONS]
        assert [p["entry"] for p in positions][:5] == ["2-5", "4-5", "6-5", "8-5", "10-5"]
        for position in positions[:5]:
            assert position["seq"] == int(position["entry"].split("-")[0])
            assert position["positions"] == {"purchases": 10 * position["seq"]}
            assert position["clock"] == 1_000 * position["seq"]
        values = [r.key for r in found if r.topic == CUSTOMER_VALUE]
        assert sorted(values) == sorted([*(b"c%d" % seq for seq in range(1, 11)), b"every time"])
        assert positions[-1]["views_seq"] == 10
        await publisher.stop()

    play(act)


def test_D4_the_null_of_an_erase_comes_between_the_views_before_and_after(play: Any) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        null = Record(CUSTOMER_VALUE, b"anna", None, (), "anna")
        await scene.store.commit(stores.commit(epoch, 1, writes=(stores.write("anna", value=1),)))
        publisher = await scene.published()
        await scene.store.commit(stores.commit(epoch, 2, writes=(stores.write("anna", value=2),)))
        await scene.store.commit(stores.commit(epoch, 3, erased={"anna": 9}, outbox=(null,)))
        await scene.store.commit(stores.commit(epoch, 4, writes=(stores.write("anna", value=4),)))
        await publisher.drain()
        values = [r.value and read(CUSTOMER_VALUE, r.value)["value_365d"] for r in await scene.read(CUSTOMER_VALUE)]
        assert values == [1, None, 4]
        await publisher.stop()

    play(act)


def test_a_redis_behind_what_was_published_is_noticed_at_the_start(play: Any) -> None:
    async def act(scene: Scene) -> None:
        epoch = await scene.begin()
        first = (told("anna", "gold"), told("ben", "silver"))
        await scene.store.commit(stores.commit(epoch, 1, outbox=first))
        second = (told("anna", "member"), Record(TOLD, b"ben", None, (), "ben"))
        await scene.store.commit(stores.commit(epoch, 2, outbox=second))
        await (await scene.published()).stop()
        await scene.store.redis.client.flushdb()
        await scene.begin()
        publisher = scene.publisher()
        with pytest.raises(
            OutboxAhead, match=r"Redis stands at commit 0, but 2 were published.*folded again from Kafka"
        ) as ahead:
            await publisher.start(await scene.store.fence(P))
        assert (ahead.value.position.seq, ahead.value.position.positions) == (2, {"purchases": 20})
        place = partition_of(b"anna", PARTITIONS)
        publisher.partition = place
        assert (await publisher.told())["anna"].told == Told("member", 7)
        assert "ben" not in await publisher.told()
        await publisher.stop()

    play(act)


def test_the_position_is_found_behind_many_aborted_transactions(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position_module, "_READ_BACK", 3)

    async def act(scene: Scene) -> None:
        assert await read_position(scene.kafka, P) == Position(partition=P)
        epoch = await scene.begin()
        await scene.store.commit(stores.commit(epoch, 1, outbox=(stores.record(1),)))
        publisher = await scene.published()
        producer = publisher._producer
        assert producer is not None
        for n in range(30):
            await producer.begin_transaction()
            await producer.send_and_wait(OUTBOX_POSITIONS, b"%d" % n, key=b"3", partition=P)
            await producer.abort_transaction()
        assert (await read_position(scene.kafka, P)).entry == "1-1"
        await publisher.stop()

    play(act)
