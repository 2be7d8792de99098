"""Answers after a real import and a real worker: the same figures everywhere, and to the cent as the log says."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from infra.localstack import Stack
from processors.days import DAY_MS
from schemas import codec, topics
from schemas.partitioner import partition_of
from sinks.access import KafkaAccess
from sinks.keys import Keys
from sinks.lookup import Lookup
from streams import datasets
from streams.customers_now import FIELDS
from streams.topics_admin import create_topics, delete_topics
from tests.conftest import PARTITIONS, ROOT, environ_of

pytestmark = pytest.mark.live

CUSTOMERS = 40
CLOCK = 897_350_399_999  # 1998-06-08T23:59:59.999Z, the end of the last row's day
END_DAY = 10_385  # 1998-06-08, the last day on which one of these bought


class Programme:
    """A small programme that has been imported and folded; its commands."""

    def __init__(self, stack: Stack) -> None:
        self.environ = environ_of(stack, f"ask{os.getpid()}") | {"LOYALTY_CLOCK": "data"}
        delete_topics(KafkaAccess(stack.kafka_addr))
        create_topics(KafkaAccess(stack.kafka_addr), PARTITIONS)
        self.kafka = stack.kafka_addr
        self.must("import-dataset", "cdnow", "--customers", str(CUSTOMERS))
        self.catch_up()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streams", *words], cwd=ROOT, env=self.environ,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def must(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def catch_up(self) -> None:
        self.must("worker", "--until-caught-up")

    def json(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.must(*words, "--json").splitlines()]


@pytest.fixture(scope="module")
def programme(stack: Stack) -> Programme:
    return Programme(stack)


def in_window(row: datasets.Sold) -> bool:
    return END_DAY - 364 <= row.day <= END_DAY


def sold() -> dict[str, list[datasets.Sold]]:
    by_customer: dict[str, list[datasets.Sold]] = {}
    for row in datasets.cdnow_rows():
        by_customer.setdefault(row.customer, []).append(row)
    return {name: by_customer[name] for name in sorted(by_customer)[:CUSTOMERS]}


def test_customers_as_json_are_all_with_all_fields_and_to_the_cent(programme: Programme) -> None:
    views = {seen["customer_id"]: seen for seen in programme.json("customers")}
    log = sold()
    assert set(views) == set(log)
    for name, rows in log.items():
        seen = views[name]
        assert set(FIELDS) <= set(seen)
        assert seen["as_of"] == (END_DAY + 1) * DAY_MS - 1
        assert seen["value_365d"] == sum(row.cents for row in rows if in_window(row))
        assert seen["purchases_365d"] == sum(1 for row in rows if in_window(row))
        assert seen["lifetime_value"] == sum(row.cents for row in rows)
        assert seen["last_purchase_at"] == max(row.day for row in rows) * DAY_MS + datasets.NOON_MS
        assert isinstance(seen["benefits"], list)
        assert seen["clv"] == round(3 * seen["contribution_365d"])  # the plain formula: none was fitted
        assert seen["clv_basis"] == "plain"
        assert all(reason["text"] for reason in seen["risk_reasons"])


def test_a_customer_is_the_same_alone_and_among_all_and_nothing_is_written(programme: Programme) -> None:
    (stored,) = programme.json("customer", "00003", "--as-stored")
    (alone,) = programme.json("customer", "00003")
    (among,) = (seen for seen in programme.json("customers") if seen["customer_id"] == "00003")
    assert alone == among
    assert stored["as_of"] <= alone["as_of"] == CLOCK, "shown as of the partition's clock"
    assert [stored] == programme.json("customer", "00003", "--as-stored")
    text = programme.must("customer", "00003")
    assert "tier " in text
    assert "1998-06-08T23:59:59.999Z" in text
    assert "USD" in text


def test_an_unknown_customer_is_told_with_what_to_try(programme: Programme) -> None:
    done = programme.run("customer", "3")
    assert done.returncode == 1
    assert "no customer '3'" in done.stderr
    assert "loyalty customers" in done.stderr


def test_customers_by_tier(programme: Programme) -> None:
    everybody = programme.json("customers")
    for tier in {seen["tier"] for seen in everybody}:
        assert programme.json("customers", "--tier", tier) == [seen for seen in everybody if seen["tier"] == tier]
    wrong = programme.run("customers", "--tier", "silvre")
    assert (wrong.returncode, "did you mean silver?" in wrong.stderr) == (2, True)
    few = [one for one in everybody if "vital-few" in one["segments"]]
    assert programme.json("customers", "--segment", "vital-few") == few
    (summary,) = programme.json("summary")
    assert next(one for one in summary["segments"] if one["segment"] == "vital-few")["customers"] == len(few)
    wrong = programme.run("customers", "--segment", "vital few")
    assert (wrong.returncode, "did you mean vital-few?" in wrong.stderr) == (2, True)
    assert programme.json("customers", "--risk", "LOST") == [one for one in everybody if one["risk_level"] == "LOST"]


def test_people_see_the_best_first_and_how_many_there_are(programme: Programme) -> None:
    lines = programme.must("customers").splitlines()
    best = sorted(programme.json("customers"), key=lambda seen: (-seen["value_365d"], seen["customer_id"]))
    assert lines[1].split()[0] == best[0]["customer_id"]
    assert len(lines) == 22
    assert f"{CUSTOMERS} customers; the 20 of most value are shown, --json lists all" in lines[-1]


def test_the_last_view_on_the_topic_is_the_hash(programme: Programme) -> None:
    last = {seen["customer_id"]: seen for seen in programme.json(
        "subscribe", topics.CUSTOMER_VALUE, "--from-beginning", "--until-end"
    )}  # fmt: skip
    lookup = Lookup(programme.environ["LOYALTY_REDIS"], Keys(programme.environ["LOYALTY_PREFIX"]))
    try:
        assert set(last) == set(sold())
        for name, seen in last.items():
            held = lookup.view(name)
            assert held is not None
            told = {field: value for field, value in seen.items() if field in FIELDS and value is not None}
            assert {field: str(value) for field, value in told.items()} == held
    finally:
        lookup.close()


def test_subscribing_ends_where_it_should_and_tells_where_records_lie(programme: Programme) -> None:
    assert programme.json("subscribe", topics.PURCHASES, "--until-end") == []
    whole = programme.json("subscribe", topics.PURCHASES, "--from-beginning", "--until-end", "--meta")
    assert len(whole) == sum(map(len, sold().values()))
    for record in whole:
        assert record["_partition"] == partition_of(record["customer_id"].encode(), PARTITIONS)
        assert record["_key"] == record["customer_id"]
    changes = programme.json("subscribe", topics.TIER_CHANGES, "--from-beginning", "--until-end")
    assert changes
    assert len({change["event_id"] for change in changes}) == len(changes)
    assert all(change["reason"] for change in changes)
    assert "to_tier=" in programme.must("subscribe", topics.TIER_CHANGES, "--from-beginning", "--until-end")
    assert programme.run("subscribe", "nowhere").returncode == 2


def test_the_summary_adds_up(programme: Programme) -> None:
    (told,) = programme.json("summary")
    everybody = programme.json("customers")
    assert told["customers"] == len(everybody)
    assert sum(tier["customers"] for tier in told["tiers"]) == len(everybody)
    assert sum(tier["value_365d"] for tier in told["tiers"]) == sum(seen["value_365d"] for seen in everybody)
    assert told["records"][topics.PURCHASES] == sum(map(len, sold().values()))
    gone = [seen["exit"] for seen in everybody if seen["exit"] is not None]
    assert told["exits"]["lost"] >= len(gone)
    assert sum(told["exits"]["tiers"].values()) == told["exits"]["lost"]
    assert told["word_of_mouth"] is None  # nobody named anybody, see test_word_of_mouth
    text = programme.must("summary")
    for tier in told["tiers"]:
        assert tier["tier"] in text
    assert "The best 20% of the customers brought" in text
    assert "Records:" in text


def test_dead_letters_are_listed_and_sent_again(programme: Programme) -> None:
    from kafka import KafkaProducer

    before = programme.json("dead-letters", "list")
    producer = KafkaProducer(bootstrap_servers=programme.kafka)
    offset = producer.send(topics.PURCHASES, value=b"broken", key=b"anna", partition=0).get(timeout=30).offset
    producer.close()
    programme.catch_up()
    (letter,) = programme.json("dead-letters", "list", "--topic", topics.PURCHASES, "--offset", str(offset))
    assert (letter["partition"], letter["offset"], letter["key"]) == (0, offset, "anna")
    assert base64.b64decode(letter["value_base64"]) == b"broken"
    assert letter["error"] == "UnknownSchema"
    assert programme.json("dead-letters", "list", "--error", "TooLate") == []
    text = programme.must("dead-letters", "list")
    assert f"purchases[0]@{offset}" in text
    assert "dead-letters retry" in text
    (sent,) = programme.json("dead-letters", "retry", "--error", "UnknownSchema")
    assert sent["offset"] == offset
    assert programme.json("dead-letters", "retry") == []
    programme.catch_up()
    assert len(programme.json("dead-letters", "list")) == len(before) + 2  # it came back: nobody mended it


def test_an_erased_customer_is_gone_and_told_as_null(programme: Programme) -> None:
    programme.must("erase", "00007")
    programme.catch_up()
    assert programme.run("customer", "00007").returncode == 1
    assert "00007" not in {seen["customer_id"] for seen in programme.json("customers")}
    last = programme.json("subscribe", topics.CUSTOMER_VALUE, "--from-beginning", "--until-end")
    assert [seen for seen in last if seen["customer_id"] == "00007"][-1] == {"customer_id": "00007", "value": None}
    null = {"customer_id": "00007", "value": None}
    assert null in programme.json("subscribe", topics.CUSTOMERS, "--from-beginning", "--until-end")
    assert "value=-" in programme.must("subscribe", topics.CUSTOMERS, "--from-beginning", "--until-end")


def test_customers_are_shown_under_the_policy_in_force_wherever_its_file_is(programme: Programme) -> None:
    shipped = ROOT / "infra" / "policy-completejourney.toml"
    before = programme.json("customers")
    other = subprocess.run(
        [sys.executable, "-m", "streams", "customers", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**programme.environ, "LOYALTY_POLICY": str(shipped)}, check=True,
    )  # fmt: skip
    assert [json.loads(line) for line in other.stdout.splitlines()] == before


def test_nothing_yet_is_said_plainly(loyalty: Callable[..., subprocess.CompletedProcess[str]], stack: Stack) -> None:
    done = loyalty("customer", "anna")
    assert (done.returncode, "no worker has folded anything" in done.stderr) == (1, True)
    assert loyalty("customers", "--json").stdout == ""
    assert "no customers" in loyalty("customers").stdout
    away = loyalty("customers", LOYALTY_REDIS="127.0.0.1:1")
    assert (away.returncode, "Redis does not answer" in away.stderr) == (1, True)
    gone = loyalty("subscribe", topics.PURCHASES, "--until-end", LOYALTY_KAFKA="127.0.0.1:1")
    assert (gone.returncode, "does not answer" in gone.stderr) == (1, True)


def test_an_undecodable_record_is_shown_with_its_bytes(programme: Programme) -> None:
    found = programme.json("subscribe", topics.PURCHASES, "--from-beginning", "--until-end")
    broken = [record for record in found if "error" in record]
    assert broken
    assert {base64.b64decode(record["value_base64"]) for record in broken} == {b"broken"}
    assert codec.UnknownSchema.__name__ in {record["error"] for record in broken}
