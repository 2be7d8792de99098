"""Record sets over real Kafka: from the fence, in order, past markers, co-assigned, with true ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from schemas.topics import COMPLAINTS, INPUTS, PURCHASES, RELAY
from streams.partition import PartitionStopped
from streams.settings import Settings
from tests.conftest import PARTITIONS
from tests.live.running import Notes, NotingRunner, expected, fill, producing, running, until

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _empty(fresh_topics: Callable[[], None]) -> None:
    fresh_topics()


async def committed(settings: Settings, tp: tuple[str, int]) -> int | None:
    consumer = AIOKafkaConsumer(**settings.kafka.options(), group_id=settings.group, enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(*tp))
        return offset
    finally:
        await consumer.stop()


def test_every_record_is_handed_over_once_in_order_and_the_fence_is_mirrored(settings: Settings) -> None:
    async def go() -> None:
        await fill(settings.kafka, 300, PARTITIONS)
        notes = Notes()
        async with running(settings, notes):
            await until(lambda: notes.count() >= 300 * PARTITIONS * len(INPUTS), "all records are there")
        assert notes.values == expected(300, PARTITIONS)
        assert await committed(settings, (PURCHASES, 1)) == 300

    asyncio.run(go())


def test_reading_begins_at_the_fence_whatever_kafka_holds_as_committed(settings: Settings) -> None:
    async def go() -> None:
        await fill(settings.kafka, 50, PARTITIONS, (PURCHASES,))
        async with running(settings, Notes()) as app:
            await until(lambda: app.owner.progress >= PARTITIONS, "the group has committed something")
        assert await committed(settings, (PURCHASES, 2)) == 50
        notes = Notes()
        notes.fences = {2: {PURCHASES: 20}}
        async with running(settings, notes):
            await until(lambda: notes.count() >= 50 * (PARTITIONS - 1) + 30, "the records from the fences on")
        assert notes.values[PURCHASES, 2] == expected(50, PARTITIONS)[PURCHASES, 2][20:]
        assert notes.values[PURCHASES, 1] == expected(50, PARTITIONS)[PURCHASES, 1]

    asyncio.run(go())


def test_a_full_topic_holds_up_no_other_and_is_read_on_when_it_has_room(settings: Settings) -> None:
    async def go() -> None:
        await fill(settings.kafka, 200, PARTITIONS, (PURCHASES, COMPLAINTS))
        notes, made = Notes(), []

        def make(partition: int) -> NotingRunner:
            runner = NotingRunner(notes, partition)
            runner.full.add(PURCHASES)
            made.append(runner)
            return runner

        async with running(settings, notes, make=make):
            await until(lambda: notes.count() == 200 * PARTITIONS, "all complaints")
            assert {topic for topic, _ in notes.values} == {COMPLAINTS}
            for runner in made:
                runner.full.clear()
            await until(lambda: notes.count() == 400 * PARTITIONS, "then all purchases", seconds=5)
        assert notes.values == expected(200, PARTITIONS, (PURCHASES, COMPLAINTS))

    asyncio.run(go())


def test_positions_pass_markers_and_aborted_records_and_reach_the_last_stable_offset(settings: Settings) -> None:
    async def go() -> None:
        async with producing(settings.kafka, transactional_id=f"{settings.group}-t") as producer:
            async with producer.transaction():
                await producer.send_and_wait(RELAY, b"kept", partition=0)
            await producer.begin_transaction()
            await producer.send_and_wait(RELAY, b"aborted", partition=0)
            await producer.abort_transaction()
            notes = Notes()
            async with running(settings, notes) as app:
                await until(lambda: reached(app, 0, RELAY, 4), "the position is behind all markers")
                assert notes.values == {(RELAY, 0): [b"kept"]}
                assert notes.fences[0][RELAY] == 4

    asyncio.run(go())


async def reached(app: Any, partition: int, topic: str, position: int) -> bool:
    end = (await app.owner.ends(partition))[topic]
    return bool(end.position == end.end == position)


def test_an_end_is_the_last_stable_offset_of_now_not_the_high_watermark(settings: Settings) -> None:
    async def go() -> None:
        notes = Notes()
        async with running(settings, notes) as app, producing(settings.kafka) as plain:
            await until(lambda: app.owner.ready and app.owner.owns(0), "the partition is open")
            await plain.send_and_wait(PURCHASES, b"a", partition=0)
            assert (await app.owner.ends(0))[PURCHASES].end == 1
            async with producing(settings.kafka, transactional_id=f"{settings.group}-open") as producer:
                await producer.begin_transaction()
                await producer.send_and_wait(PURCHASES, b"pending", partition=0)
                await plain.send_and_wait(PURCHASES, b"behind it", partition=0)
                assert (await app.owner.ends(0))[PURCHASES].end == 1
                await producer.commit_transaction()
            await until(lambda: reached(app, 0, PURCHASES, 4), "the end moves with the transaction")
        assert notes.values[PURCHASES, 0] == [b"a", b"pending", b"behind it"]

    asyncio.run(go())


def test_a_fence_below_the_logs_start_stops_the_partition_and_says_what_is_gone(settings: Settings) -> None:
    async def go() -> None:
        await fill(settings.kafka, 30, PARTITIONS, (PURCHASES,))
        admin = AIOKafkaAdminClient(**settings.kafka.options())
        await admin.start()
        await admin.delete_records({TopicPartition(PURCHASES, 1): RecordsToDelete(before_offset=10)})
        await admin.close()
        notes = Notes()
        notes.fences = {1: {PURCHASES: 4}}
        async with running(settings, notes) as app:
            await until(app.owner.failed.is_set, "the worker is told")
            assert isinstance(app.owner.error, PartitionStopped)
            assert f"{PURCHASES}[1]: the fence is at 4, the log starts at 10: 6 gone" in str(app.owner.error)
        notes = Notes()
        async with running(settings, notes):
            await until(
                lambda: notes.count() == 30 * PARTITIONS - 10, "without a fence the log's start is the beginning"
            )

    asyncio.run(go())


def test_a_fence_past_the_logs_end_stops_the_partition(settings: Settings) -> None:
    async def go() -> None:
        notes = Notes()
        notes.fences = {0: {PURCHASES: 7}}
        async with running(settings, notes) as app:
            await until(app.owner.failed.is_set, "the worker is told")
            assert "the fence is at 7, the log ends at 0" in str(app.owner.error)

    asyncio.run(go())


def test_a_partition_that_starts_again_reads_from_its_fence_and_nothing_stale(settings: Settings) -> None:
    async def go() -> None:
        await fill(settings.kafka, 200, PARTITIONS, (PURCHASES,))
        notes, made = Notes(), []

        class Failing(NotingRunner):
            async def run(self) -> None:
                if self is made[0]:
                    await until(lambda: self.sets, "something was delivered")
                    notes.fences[self.partition] = {PURCHASES: 5}
                    notes.values[PURCHASES, self.partition] = []
                    raise ConnectionError("Redis went away")
                await super().run()

        def make(partition: int) -> NotingRunner:
            runner = (Failing if partition == 0 else NotingRunner)(notes, partition)
            if partition == 0:
                made.append(runner)
            return runner

        async with running(settings, notes, make=make):
            await until(lambda: len(made) == 2 and len(notes.values[PURCHASES, 0]) >= 195, "read again from 5")
        assert notes.values[PURCHASES, 0] == expected(200, 1)[PURCHASES, 0][5:]

    asyncio.run(go())


def test_workers_that_join_and_leave_share_whole_numbers_and_lose_or_repeat_nothing(settings: Settings) -> None:
    async def go() -> None:
        notes, apps = Notes(), {}

        def shares() -> list[list[int]]:
            return sorted(sorted(app.owner.partitions) for app in apps.values() if app.owner.ready)

        def sizes() -> list[int]:
            return sorted(map(len, shares()))

        def co_assigned() -> bool:
            return all(
                {(tp.topic, tp.partition) for tp in app.source.assignment()}
                == {(topic, number) for topic in INPUTS for number in app.owner.partitions}
                for app in apps.values()
            )

        async with producing(settings.kafka) as producer:
            sent = 0

            async def more() -> None:
                nonlocal sent
                for _ in range(20):
                    for partition in range(PARTITIONS):
                        for topic in INPUTS:
                            value = b"%s %d %d" % (topic.encode(), partition, sent)
                            await producer.send(topic, value, key=b"k%d" % sent, partition=partition)
                    sent += 1
                await producer.flush()

            async with running(settings, notes, 1) as apps[1]:
                await more()
                await until(lambda: sizes() == [PARTITIONS], "one has all")
                async with running(settings, notes, 2) as apps[2]:
                    await more()
                    await until(lambda: sizes() == [2, 2] and co_assigned(), "two share")
                    async with running(settings, notes, 3) as apps[3]:
                        await more()
                        await until(lambda: sizes() == [1, 1, 2] and co_assigned(), "three share")
                        await more()
                    del apps[3]
                    await more()
                    await until(lambda: sizes() == [2, 2] and co_assigned(), "two share again")
                del apps[2]
                await more()
                await until(lambda: notes.count() == sent * PARTITIONS * len(INPUTS), "all records")
        assert notes.values == expected(sent, PARTITIONS)
        assert {owner for owners in notes.owners.values() for owner in owners} == {1, 2, 3}

    asyncio.run(go())
