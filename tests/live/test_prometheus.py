"""A real Prometheus on two real workers and the exporter: what it says while all is well, and the runbooks' drills.

In each drill something is broken, the alert's own expression becomes true by query, what the runbook says is done, and
it is no longer true. Nobody waits for an alert's `for:`, and windows of minutes are asked as windows of seconds. The
tests share one deployment, in this order; each leaves it whole.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import redis
import yaml
from kafka import KafkaProducer

from infra.grafana.dashboards import dashboards
from infra.grafana.panels import queries
from infra.localstack import Stack
from processors.events import Line, Purchase
from schemas import codec
from schemas.topics import PURCHASES
from sinks.access import KafkaAccess
from streams.topics_admin import create_topics, delete_topics
from tests.conftest import PARTITIONS, ROOT, environ_of, free_port
from tests.prometheus import Prometheus, complaints_of, serving, tool

pytestmark = [pytest.mark.live, pytest.mark.slow]

RULES = ROOT / "infra" / "prometheus"
DEADLINE_S = 40.0
SESSION_MS = "6000"
ALERTS = {
    rule["alert"]: rule["expr"]
    for path in sorted(RULES.glob("*.rules.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
OF_WORKERS = {rule["alert"] for rule in yaml.safe_load((RULES / "worker.rules.yml").read_text())["groups"][0]["rules"]}


def shortly(expression: str) -> str:
    """The expression with each window of minutes as one of five seconds."""
    return re.sub(r"(\[|offset )\d+m", r"\g<1>5s", expression)


class Deployment:
    """Two workers on the shared stack with the exporter of the programme's figures, and a Prometheus that scrapes all
    three each second, under the shipped rules."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self._folder = stack, folder
        self.environ = environ_of(stack, f"prom{os.getpid()}") | {
            "LOYALTY_SESSION_MS": SESSION_MS, "LOYALTY_TICK_MS": "200",
        }  # fmt: skip
        self.places = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.exporter = f"127.0.0.1:{free_port()}"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.prometheus: Prometheus

    def config(self) -> Path:
        """The shipped example, with this deployment's addresses and a scrape a second."""
        made = yaml.safe_load((RULES / "prometheus.yml").read_text())
        made["global"] = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
        made["rule_files"] = [str(RULES / name) for name in made["rule_files"]]
        worker, programme, *_ = made["scrape_configs"]
        worker["static_configs"] = [{"targets": self.places}]
        programme["static_configs"] = [{"targets": [self.exporter]}]
        programme["scrape_interval"] = "1s"
        made["scrape_configs"] = [worker, programme]
        path = self._folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(made))
        return path

    def start(self, place: str) -> None:
        """`loyalty worker`, its metrics at `place`; or the exporter at its own."""
        log = (self._folder / f"worker-{place.rpartition(':')[2]}.log").open("ab")
        command = [sys.executable, "-m", "streams", "exporter" if place == self.exporter else "worker"]
        env = {**self.environ, "LOYALTY_METRICS": place, "LOYALTY_EXPORTER": self.exporter}
        self.workers[place] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        log.close()

    def loyalty(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of a runbook."""
        command = [sys.executable, "-m", "streams", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False, timeout=60
        )

    def whole(self) -> None:
        """Wait until both answer, each partition has one owner, ticks come and nothing waits."""
        ask = self.prometheus.until
        ask('count(up{job="loyalty-worker"} == 1) == 2', "both workers answer")
        ask('up{job="loyalty-programme"} == 1', "the exporter answers")
        ask(f"sum(loyalty_partition_owned) == {PARTITIONS}", "each partition has an owner")
        ask("time() - max(loyalty_last_tick_timestamp_seconds) < 5", "somebody writes ticks")
        ask(f"count(time() - loyalty_stream_time_seconds < 10) == {PARTITIONS}", "stream time goes with the clock")

    def tails(self) -> str:
        """The ends of the workers' logs."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self._folder.glob("worker-*.log"))

    def end(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait(10)


@pytest.fixture(scope="module")
def deployed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    kafka = KafkaAccess(stack.kafka_addr)
    delete_topics(kafka)
    create_topics(kafka, PARTITIONS)
    folder = tmp_path_factory.mktemp("prometheus")
    deployment = Deployment(stack, folder)
    with serving(deployment.config(), folder / "data", free_port()) as deployment.prometheus:
        try:
            for place in (*deployment.places, deployment.exporter):
                deployment.start(place)
            deployment.whole()
            yield deployment
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{deployment.tails()}") from failed
        finally:
            deployment.end()


def sale(number: int, occurred_at: int) -> bytes:
    lines = (Line(category="tea", sku=None, quantity=1, net_amount=1_000, cost=None),)
    event = Purchase(
        event_id=f"sale-{number}", customer_id=f"c{number % 20}", occurred_at=occurred_at, kind="SALE", store_id="1",
        channel="store", currency="USD", lines=lines,
    )  # fmt: skip
    return codec.encode_event(PURCHASES, event)


def sell(deployment: Deployment, values: Mapping[str, bytes] | list[tuple[str, bytes]]) -> None:
    """Records to `purchases` as a till sends them."""
    pairs = values.items() if isinstance(values, Mapping) else values
    producer = KafkaProducer(**KafkaAccess(deployment.stack.kafka_addr).options())
    for key, value in pairs:
        producer.send(PURCHASES, value, key=key.encode())
    producer.flush(DEADLINE_S)
    producer.close()


def test_all_rules_are_loaded_and_none_is_true_while_all_is_well(deployed: Deployment) -> None:
    now = time.time_ns() // 1_000_000
    sell(deployed, [(f"c{n % 20}", sale(n, now)) for n in range(200)])
    prometheus = deployed.prometheus
    prometheus.until('sum(loyalty_records_total{topic="purchases"}) == 200', "all sales are folded")
    groups = prometheus.get("rules")["groups"]
    loaded = {rule["name"]: rule.get("lastError", "") for g in groups for rule in g["rules"]}
    assert set(ALERTS) <= set(loaded)
    assert not any(loaded.values()), loaded
    true = {name: found for name in OF_WORKERS if (found := prometheus.query(ALERTS[name]))}
    assert not true
    prometheus.until("sum(loyalty_customers) == 20", "the exporter has counted all customers")
    with urlopen(f"http://{deployed.exporter}/metrics", timeout=10) as exposition:
        assert not complaints_of(tool("promtool"), exposition.read())
    build = prometheus.query("loyalty_build_info")
    assert len(build) == 2
    assert all(("clock", "wall") in labels for labels in build)


def test_a_frozen_leader_is_seen_and_ended_and_another_sets_the_clock(deployed: Deployment) -> None:
    prometheus = deployed.prometheus
    (leading,) = (dict(labels)["instance"] for labels in prometheus.query("loyalty_clock_leader == 1"))
    frozen = deployed.workers[leading]
    frozen.send_signal(signal.SIGSTOP)
    try:
        down = prometheus.until(ALERTS["LoyaltyWorkerDown"], "the frozen worker is down")
        assert [dict(labels)["instance"] for labels in down] == [leading]
        prometheus.until(ALERTS["LoyaltyClockMissing"], "nobody writes ticks")
        missing = prometheus.until(ALERTS["LoyaltyPartitionWithoutOwner"], "its partitions have no owner")
        assert ("partition", "0") in next(iter(missing)) or len(missing) > 1
    finally:
        frozen.kill()  # as the runbook says: kill -KILL, then start it again
        frozen.wait(10)
    deployed.start(leading)
    for name in ("LoyaltyWorkerDown", "LoyaltyPartitionWithoutOwner", "LoyaltyClockMissing"):
        prometheus.until(ALERTS[name], f"{name} is mended", holds=False)
    deployed.whole()


def test_a_full_redis_is_seen_and_given_room_and_the_partitions_go_on(deployed: Deployment) -> None:
    prometheus = deployed.prometheus
    with redis.Redis.from_url(deployed.stack.redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            prometheus.until(ALERTS["LoyaltyRedisUnwritable"], "Redis takes no writes")
            prometheus.until(shortly(ALERTS["LoyaltyPartitionStuck"]), "partitions stand still")
            with pytest.raises(HTTPError) as not_ready:
                urlopen(f"http://{deployed.places[0]}/readyz", timeout=15)
            assert "Redis takes no writes" in not_ready.value.read().decode()
        finally:
            client.config_set("maxmemory", 0)  # as the runbook says: give it more
    prometheus.until(ALERTS["LoyaltyRedisUnwritable"], "it takes writes again", holds=False)
    prometheus.until(shortly(ALERTS["LoyaltyPartitionStuck"]), "the partitions go on", holds=False)
    deployed.whole()


def test_poison_records_are_seen_and_listed_with_the_reason(deployed: Deployment) -> None:
    prometheus = deployed.prometheus
    sell(deployed, [(f"c{n}", b"\x00poison %d" % n) for n in range(10)])
    found = prometheus.until(ALERTS["LoyaltyPoisonRecords"], "dead letters are seen")
    ((_, error),) = {label for labels in found for label in labels if label[0] == "error"}
    sell(deployed, [(f"c{n}", b"\x00poison %d" % n) for n in range(10, 20)])
    prometheus.until(ALERTS["LoyaltyDeadLetterRatio"], "more than 1% are dead letters")
    listed = deployed.loyalty("dead-letters", "list", "--topic", "purchases", "--error", error, "--json")
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == 20
    prometheus.until(shortly(ALERTS["LoyaltyPoisonRecords"]), "no more have come", holds=False)
    deployed.whole()


def test_an_exporter_that_is_down_is_seen_and_started_again(deployed: Deployment) -> None:
    prometheus, exporter = deployed.prometheus, deployed.workers[deployed.exporter]
    exporter.kill()
    exporter.wait(10)
    prometheus.until(ALERTS["LoyaltyProgrammeExporterDown"], "the exporter is down")
    deployed.start(deployed.exporter)  # as the runbook says: loyalty exporter
    prometheus.until(ALERTS["LoyaltyProgrammeExporterDown"], "it answers again", holds=False)
    deployed.whole()


def test_every_query_of_the_dashboards_is_answered(deployed: Deployment) -> None:
    def answers(board: dict[str, Any]) -> dict[str, bool]:
        asked = [query.replace("$__rate_interval", "1m") for query in queries(board)]
        return {query: bool(deployed.prometheus.query(query)) for query in asked}

    pipeline = answers(dashboards()["pipeline.json"])
    empty = {query for query, has_data in pipeline.items() if not has_data}
    silent = ("loyalty_duplicates_total", "loyalty_late_total", "loyalty_rerouted_total")
    assert not [query for query in empty if not any(name in query for name in silent)]
    programme = answers(dashboards()["programme.json"])
    empty = {query for query, has_data in programme.items() if not has_data}
    unheard = (
        "loyalty_lost",
        "loyalty_won_back",
        "loyalty_retention",
        "loyalty_care_reminders",
        "loyalty_complaints",
        "untouched",
    )
    assert not [query for query in empty if not any(name in query for name in unheard)]


def test_doctor_finds_nothing_wrong_with_the_deployment(deployed: Deployment) -> None:
    told = deployed.loyalty("doctor")
    assert told.returncode == 0, told.stdout + told.stderr
