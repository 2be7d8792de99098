"""A year of real tills through real servers is, for every household, what plain Python makes of the contract.

LOYALTY_TEST_CUSTOMERS=N takes the first N households; by default 150, and in CI all 2,469.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from infra.localstack import Stack
from schemas import topics
from streams.reading import TopicReader
from tests.chaos.dump import Dump, differences, kept, problems, summary
from tests.chaos.world import World
from tests.conftest import ROOT
from tests.live import grocer
from tests.oracle import histories, life
from tests.oracle.whole import held_out

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1_500)]

POLICY = Path(ROOT) / "infra" / "policy-completejourney.toml"
CUSTOMERS = int(os.environ.get("LOYALTY_TEST_CUSTOMERS", "0" if os.environ.get("CI") else "150")) or None
CAREFUL_EACH = 250
"""Of so many households the oracle looks at one's risk on each day of the year, at the others' when it is due."""

UNTIL_MS = 1_514_782_799_999
"""2017-12-31T23:59:59.999-05:00"""


class Expected:
    """What the oracle says of every household at the end of the year: its view, and its changes in order."""

    def __init__(self) -> None:
        policy = _policy()
        programme = policy["programme"]
        self.views: dict[str, dict[str, Any]] = {}
        self.changes: dict[str, list[tuple[int, str, str, int]]] = {}
        logs = list(enumerate(histories(grocer.events(CUSTOMERS)).values()))
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
            for customer_id, view, changes in processes.map(_lived, logs, chunksize=20):
                self.views[customer_id] = view | {
                    "customer_id": customer_id,
                    "holdout": int(held_out(customer_id, policy)),
                    "policy": f"{programme['name']}@{programme['version']}",
                }
                if changes:
                    self.changes[customer_id] = changes


@cache
def _policy() -> dict[str, Any]:
    return tomllib.loads(POLICY.read_text(), parse_float=Decimal)


def _lived(numbered: tuple[int, list[Any]]) -> tuple[str, dict[str, Any], list[tuple[int, str, str, int]]]:
    number, log = numbered
    one = life(log, _policy(), careful=number % CAREFUL_EACH == 0)
    return log[0]["customer_id"], one.view(UNTIL_MS), [tuple(change) for change in one.changes]


@pytest.fixture(scope="module")
def replayed(make_stack: Callable[[], Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A fresh stack, the year imported and folded by one worker."""
    stack = make_stack()
    stack.up()
    world = World(
        stack, tmp_path_factory.mktemp("first-light"), prefix="loyalty", policy=POLICY, LOYALTY_PARTITIONS="12"
    )
    try:
        world.loyalty("topics", "create")
        run(world)
        yield world
    finally:
        world.end()
        stack.down()


def run(world: World) -> None:
    """The two commands."""
    some = () if CUSTOMERS is None else ("--customers", str(CUSTOMERS))
    world.loyalty("import-dataset", "completejourney", *some)
    world.finish(1_200)


@pytest.fixture(scope="module")
def expected() -> Expected:
    return Expected()


@pytest.fixture(scope="module")
def found(replayed: World) -> Dump:
    return replayed.dump()


def test_V1_T1_every_view_is_the_oracles_to_the_cent_and_the_day(replayed: World, expected: Expected) -> None:
    told = [json.loads(line) for line in replayed.loyalty("customers", "--json").splitlines()]
    views = {view["customer_id"]: view for view in told}
    assert len(views) == len(told), "a customer is listed twice"
    assert views.keys() == expected.views.keys()
    wrong = [
        f"customer {customer_id}: {name} is {views[customer_id][name]!r}, the contract says {value!r}"
        for customer_id, view in expected.views.items()
        for name, value in view.items()
        if not _same(name, views[customer_id][name], value)
    ]
    assert not wrong, summary(wrong)


def _same(name: str, held: Any, expected: Any) -> bool:
    """Care looks at a customer sooner than tiers and risk do: when is not this oracle's, test_C_care holds it."""
    return bool(held == expected or (name == "next_review_at" and UNTIL_MS < held < expected))


def test_T1_T2_every_change_is_told_once_as_the_oracle_has_it(found: Dump, expected: Expected) -> None:
    told = {
        customer_id: [(c["at"], c["from_tier"], c["to_tier"], c["value_365d"]) for c in changes]
        for customer_id, changes in found.changes.items()
    }
    everyone = told.keys() | expected.changes.keys()
    wrong = [
        f"customer {customer_id}: told {told.get(customer_id)}, the contract says {expected.changes.get(customer_id)}"
        for customer_id in sorted(everyone)
        if told.get(customer_id) != expected.changes.get(customer_id)
    ]
    assert not wrong, summary(wrong)
    directions = Counter(c["direction"] for changes in found.changes.values() for c in changes)
    assert directions["UP"] > len(expected.views) // 4, directions


def test_D1_D2_last_values_are_the_hashes_and_each_customer_is_due_once(found: Dump, expected: Expected) -> None:
    assert not problems(found), summary(problems(found))
    assert found.values.keys() == found.due.keys() == expected.views.keys()
    assert not found.dead_letters


def test_D1_a_second_run_starts_from_what_is_there_and_changes_nothing(replayed: World, found: Dump) -> None:
    def told() -> dict[str, int]:
        with TopicReader(replayed.settings.kafka) as reader:
            return {name: reader.count(name) for name in (*outputs, topics.TOLD)}

    outputs = [name for name, topic in topics.TOPICS.items() if topic.direction != "internal"]
    before = told()
    run(replayed)
    assert told() == before, "no record, not even a transaction's marker, was written where subscribers read"
    held = kept(replayed.settings, replayed.policy)
    assert not (wrong := differences(found, replace(found, **asdict(held)))), summary(wrong)
