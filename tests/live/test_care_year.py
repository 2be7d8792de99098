"""A real year with made-up people around it, and four months of silence: all care there is, and no rule broken.

By a stranger's means: the records of the topics, the policy's text and `tests/oracle/care.py`, nothing of the core.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.localstack import Stack
from schemas import codec, topics
from sinks.access import KafkaAccess
from streams.reading import TopicReader
from tests.chaos.people import END_MS, PEOPLE, VISIT
from tests.chaos.world import World
from tests.conftest import ROOT
from tests.oracle import care as oracle

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1_500)]

POLICY = Path(ROOT) / "infra" / "policy-completejourney.toml"
CUSTOMERS = int(os.environ.get("LOYALTY_TEST_CUSTOMERS", "400" if os.environ.get("CI") else "150"))
NEVER_HERE = {"POLICY_CHANGE"}
"""One policy, so that it moves nobody."""


class Year:
    """What lies in the topics when all is done."""

    def __init__(self, kafka: KafkaAccess) -> None:
        with TopicReader(kafka) as reader:
            self.inputs = [
                one | {"topic": topic}
                for topic in (topics.CUSTOMERS, topics.CONTACTS, topics.COMPLAINTS, topics.PURCHASES)
                for one in read(reader, topic)
            ]
            self.inputs.sort(key=lambda one: one["occurred_at"])
            self.outputs = read(reader, topics.CARE_REMINDERS)
            self.tiers = read(reader, topics.TIER_CHANGES)


def read(reader: TopicReader, topic: str) -> list[dict[str, Any]]:
    found = reader.stream(topic, from_beginning=True, until_end=True)
    return [codec.read(topic, record.value) for record in found if record.value is not None]


@pytest.fixture(scope="module")
def year(make_stack: Callable[[], Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    stack = make_stack()
    stack.up()
    world = World(
        stack,
        tmp_path_factory.mktemp("care"),
        prefix="loyalty",
        policy=POLICY,
        LOYALTY_PARTITIONS="4",
        LOYALTY_SESSION_MS="30000",
    )
    try:
        world.loyalty("topics", "create")
        world.loyalty("import-dataset", "completejourney", "--customers", str(CUSTOMERS), "--people", str(PEOPLE))
        later = tmp_path_factory.mktemp("later") / "contacts.jsonl"
        later.write_text(json.dumps(VISIT))
        world.loyalty("import", "contacts", str(later), "--ticks", "--until-ms", str(END_MS))
        world.finish(1_200)
        yield Year(KafkaAccess(stack.kafka_addr))
    finally:
        world.end()
        stack.down()


@pytest.fixture(scope="module")
def policy() -> dict[str, Any]:
    return tomllib.loads(POLICY.read_text("utf-8"), parse_float=Decimal)


def test_C1_there_is_care_of_every_kind(year: Year, policy: dict[str, Any]) -> None:
    kinds = Counter(one["kind"] for one in year.outputs)
    assert {care["kind"] for care in policy["care"]} - set(kinds) <= NEVER_HERE
    assert {one["status"] for one in year.outputs} == {
        "DUE", "HELD_OUT", "FULFILLED", "WITHDRAWN", "ESCALATED", "EXPIRED",
    }  # fmt: skip
    assert all(one["text"] for one in year.outputs)


def test_C2_C4_C8_C9_K1_no_output_breaks_a_rule(year: Year, policy: dict[str, Any]) -> None:
    found = oracle.breaches(year.inputs, year.outputs, policy, END_MS)
    assert not found, f"{len(found)} breaches: {found[:10]}"


def test_C4_C6_C7_K0_K1_K2_K3_what_is_said_was_so(year: Year, policy: dict[str, Any]) -> None:
    found = list(oracle.untrue(year.inputs, year.outputs, policy, END_MS))
    assert not found, f"{len(found)} untrue: {found[:10]}"


def test_C5_nobody_important_is_forgotten(year: Year, policy: dict[str, Any]) -> None:
    found = list(oracle.forgotten(year.inputs, year.outputs, year.tiers, policy, END_MS))
    assert not found, f"{len(found)} forgotten: {found[:10]}"
