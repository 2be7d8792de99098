"""A real registry (Apicurio): strangers write and read with it alone, and its death loses nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka import KafkaConsumer, KafkaProducer

from infra.localstack import Stack
from processors.events import Purchase
from schemas import codec, library, topics
from schemas.partitioner import partition_of
from streams.schema_ids import decode_of
from streams.settings import Settings
from tests.chaos.world import World, until
from tests.conftest import PARTITIONS, ROOT
from tests.live.apicurio import Apicurio
from tests.live.test_word_of_mouth import sale

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]

CUSTOMERS = [f"customer-{n}" for n in range(40)]
EXPECTED: list[tuple[Any, ...]] = []  # once, for it is the same in each test
Loyalty = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def registry(stack: Stack) -> Iterator[Apicurio]:
    made = Apicurio(stack)
    made.start()
    yield made
    made.stop()


def rows() -> list[dict[str, Any]]:
    """Purchases by time: all but one customer stop after two months."""
    ends = dict.fromkeys(CUSTOMERS, 60) | {CUSTOMERS[0]: 240}
    made = [sale(name, day, employee_id="eve" if day % 2 else None) for name in ends for day in range(0, ends[name], 9)]
    return sorted(made, key=lambda one: (one["occurred_at"], one["event_id"]))


def tills_schema() -> str:
    """A till's own: another namespace and order, a field that we don't know, none of those it never fills."""
    schema = json.loads(library.text(topics.PURCHASES))
    schema["namespace"] = "com.pos.till"
    never = ("original_event_id", "coupon_ids", "referrer_id")
    fields = [field for field in schema["fields"] if field["name"] not in never]
    schema["fields"] = [*reversed(fields), {"name": "till", "type": ["null", "string"], "default": None}]
    return json.dumps(schema)


class Till:
    """A stranger's producer: confluent-kafka's serializer, the registry, a schema; nothing of ours."""

    def __init__(self, kafka: str, registry: str, schema: str) -> None:
        client = SchemaRegistryClient({"url": registry})
        self._write = AvroSerializer(client, schema)
        self._producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})

    def send(self, sales: list[dict[str, Any]]) -> None:
        for one in sales:
            self._producer.produce(topics.PURCHASES, self.register(one), one["customer_id"].encode())
        assert self._producer.flush(30) == 0

    def register(self, one: dict[str, Any]) -> bytes:
        """The record's bytes; the first one registers the schema."""
        whole = {"channel": "store", "employee_id": None, "till": "7"} | one
        whole["lines"] = [{"sku": None, "cost": None} | line for line in one["lines"]]
        made = self._write(whole, SerializationContext(topics.PURCHASES, MessageField.VALUE))
        assert made is not None
        return bytes(made)


class Shop:
    """`loyalty` in a namespace of its own, the topics empty, with or without the registry."""

    def __init__(self, loyalty: Loyalty, folder: Path, **more: str) -> None:
        self._loyalty, self._folder, self._more = loyalty, folder, {"LOYALTY_CLOCK": "data", **more}

    def must(self, *words: str) -> list[dict[str, Any]]:
        done = self._loyalty(*words, "--json", **self._more)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def load(self, topic: str, sales: list[dict[str, Any]], *words: str) -> None:
        file = self._folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in sales))
        self.must("import", topic, str(file), *words)


def raw(kafka: str, topic: str) -> list[Any]:
    """Every record of a topic, as it lies there."""
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=3_000,
                             isolation_level="read_committed")  # fmt: skip
    found = list(consumer)
    consumer.close()
    return found


def by_registry_alone(url: str, value: bytes) -> Any:
    """A stranger's reader: the id, the registry, Avro."""
    assert value[0] == 0
    with urllib.request.urlopen(f"{url}/schemas/ids/{int.from_bytes(value[1:5], 'big')}") as answer:
        schema = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
    return fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)


def outcome(shop: Shop) -> tuple[Any, ...]:
    """What one may see of a run: views, ids of alerts and changes of tier, dead letters."""
    views = sorted(shop.must("customers"), key=lambda seen: seen["customer_id"])
    told = {
        topic: sorted(one["event_id"] for one in shop.must("subscribe", topic, "--from-beginning", "--until-end"))
        for topic in (topics.CHURN_RISK, topics.TIER_CHANGES)
    }
    return views, told, shop.must("dead-letters", "list")


@pytest.fixture
def expected(loyalty: Loyalty, stack: Stack, fresh_topics: Callable[[], None], tmp_path: Path) -> tuple[Any, ...]:
    """The outcome without a registry; the topics are empty afterwards."""
    fresh_topics()
    if not EXPECTED:
        plain = Shop(loyalty, tmp_path, LOYALTY_PREFIX="plain", LOYALTY_GROUP="plain")
        plain.load(topics.PURCHASES, rows(), "--ticks")
        plain.must("worker", "--until-caught-up")
        EXPECTED.append(outcome(plain))
        assert len(EXPECTED[0][0]) == len(CUSTOMERS)
        assert all(EXPECTED[0][1].values())
        assert raw(stack.kafka_addr, topics.CUSTOMER_VALUE)[0].value[:2] == b"\xc3\x01"
        fresh_topics()
    return EXPECTED[0]


def test_D1_what_strangers_write_is_folded_as_ours_and_what_we_write_they_read_by_the_registry_alone(
    stack: Stack, registry: Apicurio, loyalty: Loyalty, expected: tuple[Any, ...], tmp_path: Path
) -> None:
    shop = Shop(loyalty, tmp_path, LOYALTY_SCHEMA_REGISTRY_URL=registry.url)
    sales = rows()
    shop.load(topics.PURCHASES, sales[:100])
    tills = [
        Till(stack.kafka_addr, registry.url, schema) for schema in (library.text(topics.PURCHASES), tills_schema())
    ]
    for at, one in enumerate(sales[100:]):  # by turns, and each in its time
        tills[at % 2].send([one])
    lie = raw(stack.kafka_addr, topics.PURCHASES)
    assert len(lie) == len(sales)
    assert {record.value[0] for record in lie} == {0}
    assert len({record.value[:5] for record in lie}) > 1
    repeat_in_the_other_framing(stack.kafka_addr, sales[0])
    misplace(stack.kafka_addr, lie)
    shop.load(topics.PURCHASES, sales[-1:], "--ticks")
    shop.must("worker", "--until-caught-up")
    same(outcome(shop), expected)

    for topic in (topics.CHURN_RISK, topics.TIER_CHANGES, topics.CUSTOMER_VALUE):
        ours = shop.must("subscribe", topic, "--from-beginning", "--until-end")
        strangers = [by_registry_alone(registry.url, record.value) for record in raw(stack.kafka_addr, topic)]
        assert sorted(one["event_id"] for one in ours) == sorted(one["event_id"] for one in strangers)
    for topic in (topics.TOLD, topics.OUTBOX_POSITIONS, topics.TICKS, topics.RELAY):
        assert {record.value[:2] for record in raw(stack.kafka_addr, topic)} == {b"\xc3\x01"}, "ours alone"
    with urllib.request.urlopen(f"{registry.url}/config/{topics.CHURN_RISK}-value") as answer:
        assert json.load(answer)["compatibilityLevel"] == "FULL_TRANSITIVE"
    told = {row["what"]: row["found"] for row in shop.must("doctor") if "what" in row}
    assert told["schema registry"] == f"answers at {registry.url}"
    assert told["schemas of outputs"] == "all there"
    shop.must("summary")


def same(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    """The same, or which customers' fields differ."""
    mine, theirs = ({seen["customer_id"]: seen for seen in views} for views in (found[0], expected[0]))
    differ = {
        (name, field): (mine[name].get(field), value)
        for name, seen in theirs.items()
        for field, value in seen.items()
        if mine.get(name, {}).get(field) != value
    }
    assert not differ
    assert found == expected


def repeat_in_the_other_framing(kafka: str, one: dict[str, Any]) -> None:
    producer, key = KafkaProducer(bootstrap_servers=kafka), one["customer_id"].encode()
    producer.send(topics.PURCHASES, codec.write(topics.PURCHASES, one), key, partition=partition_of(key, PARTITIONS))
    producer.close()


def misplace(kafka: str, lie: list[Any]) -> None:
    """A repeat of a record of each schema, in the wrong partition: it travels on to a worker that needs no registry."""
    producer = KafkaProducer(bootstrap_servers=kafka)
    for record in {record.value[:5]: record for record in lie}.values():
        elsewhere = (partition_of(record.key, PARTITIONS) + 1) % PARTITIONS
        producer.send(topics.PURCHASES, record.value, record.key, partition=elsewhere)
    producer.close()


def test_the_example_for_senders_with_a_registry_sends_a_sale_that_is_taken(
    stack: Stack, registry: Apicurio, settings: Settings, fresh_topics: Callable[[], None], tmp_path: Path
) -> None:
    fresh_topics()
    page = (ROOT / "docs/use/wire-format.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "confluent_kafka" in block)
    example = example.replace("http://127.0.0.1:8081", registry.url).replace("127.0.0.1:9392", stack.kafka_addr)
    subprocess.run([sys.executable, "-c", example], cwd=ROOT, check=True, timeout=60)
    (record,) = raw(stack.kafka_addr, topics.PURCHASES)
    decode = decode_of(replace(settings, schema_registry_url=registry.url))
    event = decode(topics.PURCHASES, record.value, record.key)
    assert isinstance(event, Purchase)
    assert (event.customer_id, record.partition) == ("anna", partition_of(b"anna", PARTITIONS))


def test_D6_an_id_of_another_registry_is_a_dead_letter_and_the_next_record_goes_on(
    stack: Stack, registry: Apicurio, loyalty: Loyalty, fresh_topics: Callable[[], None], tmp_path: Path
) -> None:
    fresh_topics()
    shop = Shop(loyalty, tmp_path, LOYALTY_SCHEMA_REGISTRY_URL=registry.url)
    Till(stack.kafka_addr, registry.url, library.text(topics.PURCHASES)).send(rows()[:1])
    (good,) = raw(stack.kafka_addr, topics.PURCHASES)
    producer = KafkaProducer(bootstrap_servers=stack.kafka_addr)
    foreign = (123_456).to_bytes(5, "big") + good.value[5:]
    producer.send(topics.PURCHASES, foreign, good.key, partition=good.partition)
    producer.close()
    shop.load(topics.PURCHASES, rows()[1:2], "--ticks")
    shop.must("worker", "--until-caught-up")
    (letter,) = shop.must("dead-letters", "list")
    assert letter["error"] == "UnknownSchema"
    assert letter["message"].startswith(f"schema id 123456 of the registry {registry.url} is unknown there")
    assert len(shop.must("customers")) == 2 - (rows()[0]["customer_id"] == rows()[1]["customer_id"])


def test_D6_a_registry_that_dies_stops_what_needs_it_and_nothing_is_lost(
    stack: Stack,
    registry: Apicurio,
    loyalty: Loyalty,
    environ: dict[str, str],
    expected: tuple[Any, ...],
    tmp_path: Path,
) -> None:
    prefix = environ["LOYALTY_PREFIX"]
    world = World(stack, tmp_path, prefix=prefix, policy=Settings.from_env({}).policy,
                  LOYALTY_SCHEMA_REGISTRY_URL=registry.url)  # fmt: skip
    shop = Shop(loyalty, tmp_path, LOYALTY_SCHEMA_REGISTRY_URL=registry.url)
    days = sorted({one["occurred_at"] for one in rows()})
    first, known, other, last = ([one for one in rows() if one["occurred_at"] in some]
                                 for some in (days[:2], days[2:3], days[3:5], days[5:]))  # fmt: skip
    old = Till(stack.kafka_addr, registry.url, library.text(topics.PURCHASES))
    new = Till(stack.kafka_addr, registry.url, tills_schema().replace("com.pos.till", "com.pos.other"))
    old.send(first)
    new.register(other[0])
    try:
        registry_dies(world, shop, registry, (old, new), (first, known, other))
        shop.load(topics.PURCHASES, last, "--ticks")
        shop.must("worker", "--until-caught-up")
        same(outcome(shop), expected)
    finally:
        world.end()


def registry_dies(
    world: World,
    shop: Shop,
    registry: Apicurio,
    tills: tuple[Till, Till],
    sales: tuple[list[Any], list[Any], list[Any]],
) -> None:
    """A worker meets ids that it knows and one that it doesn't while the registry is dead, and ends when told to."""
    (old, new), (first, known, other) = tills, sales
    worker = world.worker()
    world.until_seen(lambda seen: seen.records == len(first), "what came first is folded")
    registry.kill()
    old.send(known)
    folded = world.until_seen(lambda seen: seen.records == len(first + known), "a known id needs no registry").records
    new.send(other)
    url = until(worker.metrics_url, "it serves /readyz")
    said = "wait for the schema registry: the schema registry"
    until(lambda: said in health(f"{url}/readyz")[1], "it says why it is not ready, once it has asked")
    assert health(f"{url}/readyz")[0] == 503
    assert health(f"{url}/livez")[0] == 200
    with pytest.raises(AssertionError, match=r"the schema registry .* gives no answer"):
        shop.load(topics.PURCHASES, known)
    seen = world.seen()
    assert seen is not None
    assert seen.records == folded
    registry.start()
    world.until_seen(lambda seen: seen.records == folded + len(other), "it goes on")
    assert health(f"{url}/readyz") == (200, "ok\n")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0


def health(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
