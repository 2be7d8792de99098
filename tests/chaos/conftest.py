"""One ill-treated stack for all crash tests, and the end state of a run that nobody disturbed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from infra.localstack import Stack
from tests.chaos import feed
from tests.chaos.dump import Dump, problems, summary
from tests.chaos.world import Process, World, ended
from tests.conftest import ROOT

CUSTOMERS = int(os.environ.get("LOYALTY_TEST_CUSTOMERS", "200"))
SMALL = {"LOYALTY_BATCH_RECORDS": "60", "LOYALTY_DUE_SLICE": "40", "LOYALTY_CACHE_CUSTOMERS": "200"}
"""Many commits to die in."""
SEED = int(os.environ.get("SEED", "1"))


@pytest.fixture(scope="session")
def battered(make_stack: Callable[[], Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A stack of our own and the installation on it."""
    stack = make_stack()
    stack.up()
    policy = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text(_without_thanks((Path(ROOT) / "infra" / "policy-completejourney.toml").read_text("utf-8")))
    world = World(stack, tmp_path_factory.mktemp("chaos"), prefix="chaos", policy=policy, **SMALL)
    try:
        yield world
    finally:
        world.end()
        stack.down()


def _without_thanks(policy: str) -> str:
    """Who brought whom comes by relay: when somebody is thanked for it follows the arrival, also in a run by itself."""
    kinds = policy.split("[[care]]\n")
    kept = [kind for kind in kinds if not kind.startswith('kind = "THANK_REFERRAL"')]
    assert len(kept) == len(kinds) - 1
    return "[[care]]\n".join(kept)


@pytest.fixture(scope="session")
def undisturbed(battered: World) -> Dump:
    """The end state of one worker that nobody disturbs; nothing may be wrong with it."""
    battered.begin()
    feed.write(battered.settings, CUSTOMERS)
    battered.finish()
    dump = battered.dump()
    assert not problems(dump), f"{summary(problems(dump))}\n{battered.tails()}"
    told = Counter(change["direction"] for changes in dump.changes.values() for change in changes)
    assert min(told["UP"], told["DOWN"]) > CUSTOMERS // 20, f"a feed in which little is told proves little: {told}"
    assert any(name.endswith("rerouted:contacts") for name in dump.kpi), dump.kpi
    assert dump.dead_letters
    return dump


@pytest.fixture
def world(battered: World, undisturbed: Dump) -> Iterator[World]:
    """The installation, empty."""
    with ended(battered):
        battered.begin()
        yield battered


@pytest.fixture
def fed(world: World) -> World:
    """The installation with all its input written, nothing read."""
    feed.write(world.settings, CUSTOMERS)
    return world


class Year:
    """The input, written in parts while workers read: one worker has soon fetched all there is."""

    def __init__(self, world: World, rng: Random, parts: int) -> None:
        self._world, self._rng, self._parts = world, rng, parts
        self._part = self.records = 0

    @property
    def average(self) -> int:
        """About how many records a part has."""
        return max(1, len(feed.records(CUSTOMERS)) // self._parts)

    def write(self) -> int:
        """Write the next part; how many records."""
        written = feed.write(self._world.settings, CUSTOMERS, self._part, self._parts)
        self._part, self.records = self._part + 1, self.records + written
        return written

    def strike_with(self, worker: Process) -> None:
        """Kill the worker in the middle of the next part."""
        self.strike()
        worker.kill()

    def strike(self) -> None:
        """Write the next part and return in the middle of its being folded."""
        before = self.records
        written = self.write()
        least = before + self._rng.randint(1, written * 3 // 4)
        seen = self._world.until_seen(lambda now: now.records >= least, f"{least} records are folded")
        assert seen.records < self.records, "the part is folded to its end: what comes now proves little"

    def folded(self) -> None:
        """Wait until all that was written is folded."""
        self._world.until_seen(lambda now: now.records >= self.records, f"all {self.records} records are folded")

    def rest(self) -> None:
        """Write what is left."""
        while self._part < self._parts:
            self.write()


@pytest.fixture
def year(world: World, rng: Random) -> Callable[[int], Year]:
    """The year in so many parts, on an empty installation."""
    return lambda parts: Year(world, rng, parts)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Random:
    """SEED=7 repeats one; each test has its own from it."""
    return Random(f"{SEED}:{request.node.name}")
