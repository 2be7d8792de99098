"""What surrounds the worker, a process each: one that produces at an even rate, one that watches Redis, one that reads.

All three write down instants of the one monotonic clock of the machine, and work nothing out before the end. Purchases
go to all partitions; the latter two look at some of them, so that watching takes little of the core that it shares.

- Produced: just before the record is handed to the client, which sends it at once.
- In Redis: a reader who is told by Redis that a fence has moved asks where it stands, and has the answer. The fence
  moves with the views in one script, so what lies below it is visible.
- On the topic: a reader with `read_committed` has the view that tells of this purchase or a later one.
"""

from __future__ import annotations

import random
import time
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from processors.events import Line, Purchase
from schemas import codec
from schemas.topics import CUSTOMER_VALUE, PURCHASES
from sinks.keys import Keys
from streams.datasets import encoded

WATCHED: Final = (0, 5, 10)
"""Partitions."""

IDLE_S: Final = 0.05
LATE_ENDS_S: Final = 5.0


class Sent(NamedTuple):
    """One purchase. at: monotonic seconds; time_ms: its `occurred_at`; offset: -1 where the broker never said it."""

    customer: str
    time_ms: int
    at: float
    partition: int
    offset: int


def produce(pipe: Connection, kafka: str, rate: int, seconds: float, customers: int, seed: int = 1) -> None:
    """`rate` purchases a second, evenly, of `customers` in turns of a shuffled order; then Sent of those watched."""
    producer = Producer({
        "bootstrap.servers": kafka, "partitioner": "murmur2_random", "acks": "all", "enable.idempotence": True,
        "linger.ms": 0, "socket.nagle.disable": True,
    })  # fmt: skip
    ids = [f"c{n:06}" for n in range(customers)]
    random.Random(seed).shuffle(ids)
    sent: list[Sent] = []
    places: dict[int, tuple[int, int]] = {}
    began = time.monotonic()
    for n in range(int(rate * seconds)):
        while (early := began + n / rate - time.monotonic()) > 0:
            producer.poll(0)
            time.sleep(min(early, 0.001))
        customer, now_ms = ids[n % customers], time.time_ns() // 1_000_000
        purchase = Purchase(
            event_id=f"e{n}", customer_id=customer, occurred_at=now_ms, kind="SALE", store_id="s1", currency="USD",
            lines=(Line("cd", 1, 1_000 + n % 7_000),),
        )  # fmt: skip

        def acknowledged(_: Any, message: Any, n: int = n) -> None:
            if message.partition() in WATCHED:
                places[n] = message.partition(), message.offset()

        sent.append(Sent(customer, now_ms, time.monotonic(), -1, -1))
        producer.produce(PURCHASES, encoded(purchase), customer.encode(), on_delivery=acknowledged)
        producer.poll(0)
    producer.flush(60)
    pipe.send([one._replace(partition=places[n][0], offset=places[n][1]) for n, one in enumerate(sent) if n in places])


def watch(pipe: Connection, url: str, prefix: str) -> None:
    """Until something comes through the pipe; then by partition a list of (instant, position of `purchases`)."""
    client = redis.Redis.from_url(url, protocol=2)
    client.config_set("notify-keyspace-events", "Kh")
    keys = Keys(prefix)
    fences = {f"__keyspace@0__:{keys.fence(partition)}".encode(): partition for partition in WATCHED}
    heard = client.pubsub(ignore_subscribe_messages=True)
    heard.subscribe(*fences)
    found: dict[int, list[tuple[float, int]]] = {partition: [] for partition in WATCHED}
    pipe.send("ready")
    while not pipe.poll():
        message = heard.get_message(timeout=IDLE_S)
        if message is None:
            continue
        partition = fences[message["channel"]]
        position = int(client.hget(keys.fence(partition), PURCHASES) or 0)
        found[partition].append((time.monotonic(), position))
    pipe.send(found)


def read(pipe: Connection, kafka: str) -> None:
    """Until something comes through the pipe and nothing more arrives; then (instant, customer, time of the last
    purchase in ms) of each view."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "latency", "isolation.level": "read_committed",
        "enable.auto.commit": False, "fetch.wait.max.ms": 100, "socket.nagle.disable": True,
    })  # fmt: skip
    consumer.assign([TopicPartition(CUSTOMER_VALUE, partition, 0) for partition in WATCHED])
    raw: list[tuple[float, bytes, bytes]] = []
    pipe.send("ready")
    quiet = time.monotonic()
    while not pipe.poll() or time.monotonic() - quiet < LATE_ENDS_S:
        message = consumer.poll(IDLE_S)
        if message is not None and not message.error() and message.value() is not None:
            quiet = time.monotonic()
            raw.append((quiet, message.key(), message.value()))
    consumer.close()
    pipe.send([(at, key.decode(), codec.read(CUSTOMER_VALUE, value)["last_purchase_at"]) for at, key, value in raw])
