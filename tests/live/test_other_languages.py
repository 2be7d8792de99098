"""Java, Go and JavaScript: their sales lie where ours lie and fold the same; they read what is committed."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from infra.localstack import Stack
from infra.localstack.kafka import cache_dir, resolve
from processors.days import DAY_MS
from processors.outputs import TierChange
from schemas import codec
from schemas.cloudevents import headers
from schemas.partitioner import partition_of
from schemas.topics import PURCHASES, TIER_CHANGES
from tests.conftest import PARTITIONS, ROOT
from tests.live.test_examples import DEADLINE_S, Printing
from tests.toolchains import TRIES, need, npm_ci, run

pytestmark = [pytest.mark.live, pytest.mark.slow]

EXAMPLES = ROOT / "docs" / "examples"
SCHEMAS = str(ROOT / "schemas")
OURS = "us"
LANGUAGES = ("jv", "go", "js")
NAMES = ("anna", "bo", "张伟", "é", "0", "x" * 124, "dora-7")
"""Customers are `<language>-<name>`, so the same buyer lies elsewhere in each language and must fold the same."""
FIRST = 17_000 * DAY_MS + 3_600_000  # 2016-07-18, UTC
STORE, CURRENCY = "7", "USD"
POLICY = """\
[programme]
name = "shop"
version = 1
currency = "USD"
[[tiers]]
name = "member"
[[tiers]]
name = "silver"
min_value_365d = 4_000
[[tiers]]
name = "gold"
min_value_365d = 9_000
"""
Programs = Mapping[str, Mapping[str, list[str]]]
Loyalty = Callable[..., "subprocess.CompletedProcess[str]"]


def sales(language: str) -> list[tuple[str, str, int, str, int, int]]:
    """A journal: event id, customer, time, category, quantity, net amount. The later a name, the less it buys."""
    bought = [(day, name, 14 - 2 * place) for place, name in enumerate(NAMES) for day in range(0, 60, 6 + place)]
    return [
        (
            f"{name[:9]}-{day}",
            f"{language}-{name}",
            FIRST + day * DAY_MS,
            f"category {day % 3}",
            1 + day % 2,
            much * 100,
        )
        for day, name, much in sorted(bought)
    ]


def with_avro(folder: Path) -> list[Path]:
    """Kafka's own jars, and Avro's: exactly the one that docs/examples/java/jars.sha256 names."""
    import jgo

    logging.getLogger("jgo").setLevel(logging.ERROR)
    ((digest, name),) = (line.split() for line in (folder / "jars.sha256").read_text().splitlines())
    version = name.removeprefix("avro-").removesuffix(".jar")
    for left in range(TRIES - 1, -1, -1):
        try:
            loaded = jgo.build(f"org.apache.avro:avro:{version}", cache_dir=cache_dir() / "jgo").all_jars
            break
        except Exception:  # whatever a resolver and a network may raise
            if not left:
                raise
    (jar,) = (path for path in map(Path, loaded) if path.name == name)
    assert hashlib.sha256(jar.read_bytes()).hexdigest() == digest, f"{name} is not the one of jars.sha256"
    return [*resolve(print), jar]


def java(out: Path) -> dict[str, list[str]]:
    folder = EXAMPLES / "java"
    jars = ":".join(map(str, with_avro(folder)))
    sources = [path.name for path in folder.glob("*.java")]
    run(["javac", "-Xlint:all", "-Werror", "-cp", jars, "-d", str(out), *sources], folder)
    start = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}:{out}"]
    return {"till": [*start, "Till"], "tiers": [*start, "Tiers"]}


def go(out: Path) -> dict[str, list[str]]:
    run(["go", "build", "-mod=readonly", "-o", str(out), "./..."], EXAMPLES / "go", tries=TRIES, GOTOOLCHAIN="local")
    return {"till": [str(out / "till")], "tiers": [str(out / "tiers")]}


def js() -> dict[str, list[str]]:
    npm_ci(EXAMPLES / "js")
    return {name: ["node", str(EXAMPLES / "js" / f"{name}.js")] for name in ("till", "tiers")}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """How each language's till and subscriber are started: built from what their locks name."""
    need("java", "javac", "go", "node", "npm")
    out = tmp_path_factory.mktemp("built")
    with ThreadPoolExecutor() as pool:
        built = {
            "go": pool.submit(go, out / "go"),
            "jv": pool.submit(java, out / "java"),
            "js": pool.submit(js),
        }
        (out / "go").mkdir()
        return {language: made.result() for language, made in built.items()}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(POLICY)
    return str(path)


def in_topic(stack: Stack) -> Iterator[tuple[int, bytes, bytes]]:
    """Partition, key and value of every purchase."""
    consumer = KafkaConsumer(bootstrap_servers=stack.kafka_addr)
    places = [TopicPartition(PURCHASES, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning()
    left = sum(consumer.end_offsets(places).values())
    while left:
        for records in consumer.poll(1_000).values():
            left -= len(records)
            yield from ((record.partition, record.key, record.value) for record in records)
    consumer.close()


def change(customer: str, to: str, at: int) -> tuple[TierChange, bytes]:
    made = TierChange(
        customer_id=customer, at=at, policy="shop@1", from_tier="member", to_tier=to, direction="UP",
        code="min_value_365d", have=1, need=1, value_365d=1, currency=CURRENCY, keep_until=None, next_tier=None,
        to_next=(), benefits=(),
    )  # fmt: skip
    return made, codec.encode_tier_change(made, "by hand")


def publish(stack: Stack, *changes: tuple[TierChange, bytes], abort: bool = False) -> None:
    """Writes changes as a publisher does, in a transaction."""
    producer = KafkaProducer(bootstrap_servers=stack.kafka_addr, transactional_id="by-hand", acks="all")
    producer.init_transactions()
    producer.begin_transaction()
    for made, value in changes:
        key = made.customer_id.encode()
        head = headers(TIER_CHANGES, 0, made.event_id, made.at, tier=made.to_tier)
        place = partition_of(key, PARTITIONS)
        producer.send(TIER_CHANGES, value, key=key, partition=place, headers=list(head)).get(30)
    producer.abort_transaction() if abort else producer.commit_transaction()
    producer.close()


@contextmanager
def subscribers(stack: Stack, programs: Programs, *tier: str) -> Iterator[dict[str, Printing]]:
    """Each language's subscriber, all at once; asked to end at the end, which they must do by themselves and well."""
    with ExitStack() as closing:
        started = {
            language: closing.enter_context(
                subprocess.Popen(
                    [*words["tiers"], stack.kafka_addr, SCHEMAS, *tier],
                    text=True,
                    encoding="utf-8",
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            )
            for language, words in programs.items()
        }
        for process in started.values():
            closing.callback(process.kill)
        printing = {language: Printing(process) for language, process in started.items()}
        yield printing
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        ended = {language: process.wait(DEADLINE_S) for language, process in started.items()}
        assert ended == {"jv": 143, "go": 0, "js": 0}, [one.lines[-5:] for one in printing.values()]  # 143: as JVMs do


def own(lines: list[str]) -> list[str]:
    return sorted(line for line in lines if line.count("\t") == 3)


def test_records_of_other_languages_lie_where_ours_lie_fold_the_same_and_are_told(
    stack: Stack, programs: Programs, policy: str, loyalty: Loyalty, fresh_topics: Callable[[], None], tmp_path: Path
) -> None:
    fresh_topics()
    for language in LANGUAGES:
        journal = tmp_path / language
        journal.write_text("".join("\t".join(map(str, sale)) + "\n" for sale in sales(language)), "utf-8")
        words = [*programs[language]["till"], stack.kafka_addr, SCHEMAS, STORE, CURRENCY]
        with journal.open() as lines:
            done = subprocess.run(words, stdin=lines, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert (done.returncode, done.stdout) == (0, f"{len(sales(language))} sales sent\n"), done.stderr

    def must(*words: str) -> list[dict[str, Any]]:
        done = loyalty(*words, "--json", LOYALTY_CLOCK="data", LOYALTY_POLICY=policy)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    rows = tmp_path / "ours.jsonl"
    rows.write_text("".join(json.dumps(row(sale)) + "\n" for sale in sales(OURS)), "utf-8")
    must("import", PURCHASES, str(rows), "--until-ms", str(FIRST + 61 * DAY_MS))

    values: dict[str, list[bytes]] = defaultdict(list)
    for partition, key, value in in_topic(stack):
        assert partition == partition_of(key, PARTITIONS), key.decode()
        language = key.decode()[:2]
        values[language].append(value.replace(f"{language}-".encode(), b""))
    assert len(values[OURS]) == len(sales(OURS))
    assert {language: sorted(values[language]) for language in LANGUAGES} == dict.fromkeys(
        LANGUAGES, sorted(values[OURS])
    )

    must("worker", "--until-caught-up")
    views: dict[str, list[str]] = defaultdict(list)
    for view in must("customers"):
        language, _, name = view["customer_id"].partition("-")
        views[language].append(json.dumps(view, sort_keys=True, ensure_ascii=False).replace(f"{language}-{name}", name))
    assert {language: sorted(views[language]) for language in LANGUAGES} == dict.fromkeys(
        LANGUAGES, sorted(views[OURS])
    )
    assert {json.loads(view)["tier"] for view in views[OURS]} == {"member", "silver", "gold"}

    told = sorted(line(one) for one in must("subscribe", TIER_CHANGES, "--from-beginning", "--until-end"))
    assert len(told) > 20
    publish(stack, change("us-aborted", "gold", FIRST), abort=True)
    publish(stack, *(last := [change(f"us-last{number}", "silver", FIRST) for number in range(12)]))
    told = sorted([*told, *(line(fields(value)) for _, value in last)])
    with subscribers(stack, programs) as printing:
        for one in printing.values():
            for made, _ in last:
                one.until(f"{made.customer_id}\t")
            assert own(one.lines) == told
    publish(stack, change("us-passed", "silver", FIRST + 1), gold := change("us-passed", "gold", FIRST + 2))
    with subscribers(stack, programs, "gold") as printing:  # begun again: what was acted on does not come again
        for one in printing.values():
            one.until("us-passed\t")
            assert own(one.lines) == [line(fields(gold[1]))]


def row(sale: tuple[str, str, int, str, int, int]) -> dict[str, Any]:
    event_id, customer, at, category, quantity, amount = sale
    return {
        "event_id": event_id, "customer_id": customer, "occurred_at": at, "kind": "SALE", "store_id": STORE,
        "currency": CURRENCY, "lines": [{"category": category, "quantity": quantity, "net_amount": amount}],
    }  # fmt: skip


def fields(value: bytes) -> dict[str, Any]:
    return codec.read(TIER_CHANGES, value)


def line(told: Mapping[str, Any]) -> str:
    return "\t".join(str(told[name]) for name in ("customer_id", "from_tier", "to_tier", "reason"))


def test_the_pom_names_what_the_test_runs_with() -> None:
    pom = (EXAMPLES / "java" / "pom.xml").read_text()
    jars = (EXAMPLES / "java" / "jars.sha256").read_text() + (ROOT / "infra/localstack/jars.sha256").read_text()
    for artifact in ("avro", "kafka-clients"):
        version = pom.partition(f"<artifactId>{artifact}</artifactId>")[2].partition("<version>")[2].partition("<")[0]
        assert f"  {artifact}-{version}.jar" in jars


SOURCES = sorted(path for kind in ("java/*.java", "go/*/*.go", "js/*.js") for path in EXAMPLES.glob(kind))


@pytest.mark.parametrize("example", SOURCES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_example_is_short_and_explained(example: Path) -> None:
    assert len(example.read_text("utf-8").splitlines()) <= 150
    assert f"{example.relative_to(EXAMPLES).parts[0]}/" in (EXAMPLES / "README.md").read_text("utf-8")
