"""The driver of a partition's loop, without servers: what it does where Redis is not what it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from schemas.told import LastTold
from schemas.topics import INPUTS, TICKS
from sinks.commit import Fence, Loaded
from sinks.memory import MemoryStore
from sinks.metrics import Metrics
from streams import runner as runner_module
from streams.partition import Fenced, PartitionLoop
from streams.runner import Runner, Shared
from streams.time_order import End
from streams.told_log import Telling
from tests.core.test_partition import Driven, P

DEADLINE_S = 10


class Awaited:
    """A store in memory as the runner calls it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            return getattr(self._store, name)(*args)

        return call


class Nothing:
    """A publisher with nothing to do (`left`: but no longer able to), and no policies."""

    left = False

    def wake(self, behind: bool = False) -> None: ...
    async def start(self, fence: Fence) -> None: ...
    async def stop(self) -> None: ...
    async def drained(self) -> bool:
        return not self.left

    async def erased(self) -> Mapping[str, int]:
        return {}

    async def told(self) -> Mapping[str, LastTold]:
        return {}

    async def find(self, key: str) -> None:
        return None


class Woken(Nothing):
    """A publisher that takes note of how it was woken."""

    def __init__(self) -> None:
        self.behind: list[bool] = []

    def wake(self, behind: bool = False) -> None:
        self.behind.append(behind)


def lived(shop: Driven, telling: Telling | None = None, publisher: Nothing | None = None) -> Driven:
    """All that lies in the shop's logs through a runner, each record set by itself."""

    async def play() -> None:
        async def ends(_: int) -> Mapping[str, End]:
            return {topic: End(shop.end_of(topic), shop.end_of(topic)) for topic in INPUTS}

        runner = Runner(
            P, store=Awaited(shop.store), publisher=publisher or Nothing(), ends=ends,
            shared=Shared(Nothing(), Metrics(), shop.config, asyncio.Lock(), telling or Telling()),
        )  # fmt: skip
        await runner.start()
        running = asyncio.create_task(runner.run())
        for topic in INPUTS:
            runner.deliver(topic, shop.logs[topic], shop.end_of(topic))
        while not await runner.published():
            await asyncio.sleep(0)
        await runner.stop()
        await running

    asyncio.run(asyncio.wait_for(play(), DEADLINE_S))
    return shop


def test_sockets_are_served_between_the_folds_of_two_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many partitions have something to fold at once: what came meanwhile is not held up by all of them."""
    monkeypatch.setattr(runner_module, "BREATH_S", -1.0)  # each fold takes long
    happened: list[str] = []

    async def play() -> None:
        async def ends(_: int) -> Mapping[str, End]:
            return {topic: End(1, 1) if topic == TICKS else End(0, 0) for topic in INPUTS}

        core, runners = asyncio.Lock(), []
        for _ in range(3):
            shop = Driven()
            shop.tick(1_000)
            runner = Runner(
                P, store=Awaited(shop.store), publisher=Nothing(), ends=ends,
                shared=Shared(Nothing(), Metrics(), shop.config, core, Telling()),
            )  # fmt: skip
            await runner.start()
            runner.deliver(TICKS, shop.logs[TICKS], 1)
            runners.append(runner)
        running = [asyncio.create_task(runner.run()) for runner in runners]
        while not all([await runner.published() for runner in runners]):
            happened.append("served")
            await asyncio.sleep(0)
        for runner in runners:
            await runner.stop()
        await asyncio.gather(*running)

    folded = PartitionLoop.loaded

    def noted(loop: PartitionLoop, loaded: Loaded) -> None:
        happened.append("folded")
        folded(loop, loaded)

    monkeypatch.setattr(PartitionLoop, "loaded", noted)
    asyncio.run(asyncio.wait_for(play(), DEADLINE_S))
    assert happened.count("folded") >= 3
    assert "folded folded" not in " ".join(happened)


@pytest.mark.parametrize("left", [False, True], ids=["all published", "outputs came back"])
def test_an_owner_with_nothing_to_do_notices_a_redis_that_fell_back_before_it_says_that_all_is_done(left: bool) -> None:
    async def play() -> None:
        shop = Driven()
        shop.tick(1_000)

        async def ends(_: int) -> Mapping[str, End]:
            return {topic: End(shop.end_of(topic), shop.end_of(topic)) for topic in INPUTS}

        nothing = Nothing()
        runner = Runner(
            P, store=Awaited(shop.store), publisher=nothing, ends=ends,
            shared=Shared(nothing, Metrics(), shop.config, asyncio.Lock(), Telling()),
        )  # fmt: skip
        await runner.start()
        saved = deepcopy(shop.store.partitions)
        running = asyncio.create_task(runner.run())
        runner.deliver(TICKS, shop.logs[TICKS], 1)
        while not await runner.published():
            await asyncio.sleep(0)
        assert shop.store.fence(P).seq == 1
        shop.store.partitions, nothing.left = saved, left
        assert not await runner.published()
        with pytest.raises(Fenced, match="does not stand where it was left"):
            await running

    asyncio.run(asyncio.wait_for(play(), DEADLINE_S))


@pytest.mark.parametrize(("ago_ms", "behind"), [(0, [False, False]), (60_000, [True, False])], ids=["live", "late"])
def test_publishing_is_held_back_where_the_input_is_old_not_where_some_of_it_waits(
    ago_ms: int, behind: list[bool]
) -> None:
    shop, woken = Driven(batch_records=1), Woken()
    now_ms = int(time.time() * 1_000)
    for n in range(2):
        shop.buy("anna", now_ms - ago_ms + n)
    lived(shop, publisher=woken)
    assert woken.behind == behind
