"""The simulation's model of Kafka and a real broker, asked the same at random: offsets, what is read, who is fenced."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from kafka.admin import NewTopic

from infra.localstack import Stack
from sinks.access import KafkaAccess
from streams.topics_admin import admin_client
from tests.simulation.kafka import Kafka, Producer, ProducerFenced

SEEDS = 3
STEPS = 40
DEADLINE_S = 30.0
IDS = ("one", "two")


class Life:
    """One life of a transactional producer, in the model and at the broker."""

    def __init__(self, model: Producer, real: AIOKafkaProducer) -> None:
        self.model, self.real = model, real
        self.open = self.sent = False


class Twins:
    """One partition in both. happened: what the seed came to."""

    def __init__(self, rng: Random, servers: str, topic: str, consumer: AIOKafkaConsumer) -> None:
        self.rng, self.servers, self.topic, self.consumer = rng, servers, topic, consumer
        self.kafka = Kafka(1)
        self.lives: dict[str, Life] = {}
        self.former: list[Life] = []
        self.numbers = iter(range(1_000))
        self.happened: set[str] = set()

    async def step(self) -> None:
        """One call at both, seldom by a producer that was fenced; then both are read."""
        kind = self.rng.choices(("begin", "send", "commit", "start", "zombie"), (4, 6, 4, 1, 1))[0]
        name = self.rng.choice(IDS)
        if name not in self.lives or kind == "start":
            await self.start(name)
        elif kind == "zombie":
            await self.zombie()
        else:
            await getattr(self, kind)(self.lives[name])
        await self.same()

    async def start(self, name: str) -> None:
        """The next life under an id: the one before is fenced, its open transaction aborted."""
        before = self.lives.pop(name, None)
        if before is not None:
            self.happened.add("aborted" if before.open else "fenced")
            self.former.append(before)
        real = AIOKafkaProducer(bootstrap_servers=self.servers, transactional_id=f"{self.topic}-{name}")
        await real.start()
        self.lives[name] = Life(self.kafka.init_producer(name), real)

    async def begin(self, life: Life) -> None:
        if not life.open:
            life.model.begin()
            await life.real.begin_transaction()
            life.open, life.sent = True, False

    async def send(self, life: Life) -> None:
        await self.begin(life)
        value = b"%d" % next(self.numbers)
        life.sent = True
        life.model.send(self.topic, 0, 0, None, value)
        await life.real.send_and_wait(self.topic, value, partition=0)

    async def commit(self, life: Life) -> None:
        if life.open:
            life.model.commit()
            await life.real.commit_transaction()
            life.open = False
            self.happened.add("committed")

    async def zombie(self) -> None:
        """Who was fenced tries to end what it had open: neither lets it. Of an empty transaction no broker hears."""
        late = [life for life in self.former if life.open and life.sent]
        if not late:
            return
        life = self.rng.choice(late)
        life.open = False
        with pytest.raises(ProducerFenced):
            life.model.commit()
        with pytest.raises(KafkaError):
            await life.real.commit_transaction()
        self.happened.add("zombie")

    async def same(self) -> None:
        """The last stable offset and what lies below it: markers are written behind the answer, so it is waited for."""
        log = self.kafka.log(self.topic, 0)
        place = TopicPartition(self.topic, 0)

        async def end() -> bool:
            return bool((await self.consumer.end_offsets([place]))[place] == log.end)

        await until(end, f"the last stable offset is {log.end}")
        wanted, position = log.fetch(0, 1_000)
        found: list[Any] = []
        await self.consumer.seek_to_beginning(place)

        async def read() -> bool:
            found.extend((await self.consumer.getmany(place, timeout_ms=50)).get(place, ()))
            return bool(await self.consumer.position(place) == position)

        await until(read, f"the position is {position}")
        assert [(r.offset, r.value) for r in found] == [(r.offset, r.value) for r in wanted]


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while not await condition():
        assert time.monotonic() < give_up, f"not within {DEADLINE_S:.0f} s: {what}"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def twins(rng: Random, servers: str, topic: str) -> AsyncIterator[Twins]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=20
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    made = Twins(rng, servers, topic, consumer)
    try:
        yield made
    finally:
        for life in (*made.lives.values(), *made.former):
            with contextlib.suppress(KafkaError, AssertionError):
                await asyncio.wait_for(life.real.stop(), 5)
        await consumer.stop()


@pytest.fixture
def topic(stack: Stack, request: pytest.FixtureRequest) -> Any:
    """A topic of our own, gone afterwards."""
    name = f"twins-{request.node.callspec.params['seed']}"
    with admin_client(KafkaAccess(stack.kafka_addr)) as admin:
        admin.create_topics([NewTopic(name, 1, 1)], wait_for_metadata=True)
        yield name
        admin.delete_topics([name])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_D1_the_model_of_kafka_and_a_broker_answer_alike(stack: Stack, topic: str, seed: int) -> None:
    async def go() -> set[str]:
        async with twins(Random(seed), stack.kafka_addr, topic) as both:
            for _ in range(STEPS):
                await both.step()
            return both.happened

    assert asyncio.run(go()) >= {"committed", "aborted", "zombie"}
