"""The partitions of a worker, without servers: leaving, outages, being fenced, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import pytest

from schemas.topics import INPUTS, PURCHASES
from sinks.store import StoreUnavailable
from streams import ownership
from streams.ownership import Ownership
from streams.partition import Fenced, PartitionStopped
from streams.record_sets import RecordSet
from streams.together import Together
from tests.live.running import Notes, NotingRunner, until


class FakeSource:
    """A consumer: counts seeks, knows ends."""

    def __init__(self) -> None:
        self.seeks = 0
        self.closed: list[int] = []
        self.ends = dict.fromkeys(INPUTS, 0)
        self.away: Exception | None = None
        self.asked = 0

    def close_partitions(self, partitions: Iterable[int] | None = None) -> None:
        self.closed += partitions or []

    async def seek_fence(self, partition: int, fence: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        self.seeks += 1
        return self.seeks, {topic: fence.get(topic, 0) for topic in INPUTS}

    async def stable_ends(self, partition: int) -> dict[str, int]:
        self.asked += 1
        if self.away is not None:
            raise self.away
        return self.ends

    def known_end(self, topic: str, partition: int) -> int | None:
        return self.ends[topic]


class Record:
    def __init__(self, offset: int) -> None:
        self.offset, self.value = offset, b"%d" % offset


def record_set(start: int, position: int, seek: int, partition: int = 0) -> RecordSet:
    records: Any = [Record(offset) for offset in range(start, position)]
    return RecordSet(PURCHASES, partition, records, start, position, seek)


async def turns() -> None:
    """All that can go on without a clock or a server has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def owning(
    test: Callable[[Ownership, FakeSource, Notes], Coroutine[Any, Any, None]],
    make: Callable[[Notes, int], Any] = NotingRunner,
    partitions: int = 1,
) -> None:
    """Run `test` with a worker that owns partitions 0.., and release them."""

    async def go() -> None:
        notes, source = Notes(), FakeSource()
        owner = Ownership(lambda partition: make(notes, partition), lambda: source)
        owner.assigned(range(partitions))
        try:
            await test(owner, source, notes)
        finally:
            await owner.release()

    asyncio.run(go())


def test_a_partition_is_open_only_once_it_stands_at_its_fence() -> None:
    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        assert not owner.ready
        assert not owner.wanted(PURCHASES, 0)
        await until(lambda: owner.ready, "it is open")
        assert owner.wanted(PURCHASES, 0)
        assert not owner.wanted(PURCHASES, 7)

    owning(test)


def test_sets_of_an_older_seek_are_refused_and_a_hole_between_sets_ends_the_worker() -> None:
    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(lambda: owner.ready, "it is open")
        owner.deliver(record_set(0, 3, seek=0))
        assert not notes.values
        assert not owner.expects(record_set(0, 3, seek=0))
        owner.deliver(record_set(0, 3, seek=1))
        owner.deliver(record_set(3, 3, seek=1))
        assert (await owner.ends(0))[PURCHASES].position == 3
        assert not owner.failed.is_set()
        owner.deliver(record_set(4, 6, seek=1))
        assert "begins at 4, not 3" in str(owner.error)
        assert notes.count() == 3

    owning(test)


def test_leaving_finishes_the_effect_in_flight_and_stops_each_runner_once() -> None:
    stops: list[str] = []
    effect = asyncio.Event()

    class Slow(NotingRunner):
        async def run(self) -> None:
            await self.stopped.wait()
            await effect.wait()
            stops.append("finished")

        async def stop(self) -> None:
            stops.append("stop")
            await super().stop()

    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(lambda: owner.ready, "it is open")
        leaving = asyncio.create_task(owner.release())
        await until(lambda: stops, "it is told to stop")
        await turns()
        assert not leaving.done()
        effect.set()
        await leaving
        assert stops == ["stop", "finished"]
        assert owner.partitions == []
        assert not owner.wanted(PURCHASES, 0)

    owning(test, Slow)


def test_a_runner_that_does_not_stop_is_left_to_the_fence_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "LEAVE_DEADLINE_S", 0.1)

    class Stuck(NotingRunner):
        async def run(self) -> None:
            await asyncio.Event().wait()

        async def stop(self) -> None:
            await asyncio.Event().wait()

    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(lambda: owner.ready, "it is open")
        async with asyncio.timeout(2):
            await owner.release()

    owning(test, Stuck)


@pytest.mark.parametrize("outage", [StoreUnavailable("away"), ConnectionError("away"), TimeoutError()])
def test_an_outage_starts_the_partition_again_from_its_fence(outage: Exception) -> None:
    runs = []

    class Once(NotingRunner):
        async def run(self) -> None:
            runs.append(self)
            if len(runs) == 1:
                raise outage
            await super().run()

    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(lambda: len(runs) == 2 and owner.ready, "it runs again")
        assert source.seeks == 2
        assert not owner.expects(record_set(0, 3, seek=1))
        assert owner.expects(record_set(0, 3, seek=2))
        assert not owner.failed.is_set()

    owning(test, Once)


def test_who_is_fenced_again_and_again_gives_up_and_names_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "FENCED_PAUSE_S", (0.0, 0.0, 0.0))
    starts = []

    class Contested(NotingRunner):
        async def run(self) -> None:
            starts.append(self)
            raise Fenced("epoch 7 is 8 now")

    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(owner.failed.is_set, "it gives up")
        assert len(starts) == 4
        assert isinstance(owner.error, PartitionStopped)
        assert "LOYALTY_PREFIX" in str(owner.error)

    owning(test, Contested)


def test_any_other_error_of_a_runner_ends_the_worker() -> None:
    class Broken(NotingRunner):
        async def run(self) -> None:
            raise ZeroDivisionError

    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(owner.failed.is_set, "the worker is told")
        assert isinstance(owner.error, ZeroDivisionError)

    owning(test, Broken)


def test_asking_for_ends_waits_out_kafka_and_ends_when_the_partition_leaves() -> None:
    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(lambda: owner.ready, "it is open")
        source.away = ConnectionError("away")
        asking = asyncio.create_task(owner.ends(0))
        await until(lambda: source.asked >= 2, "it asks again")
        assert not asking.done()
        source.away = None
        assert (await asking)[PURCHASES].end == 0
        source.away = ConnectionError("away")
        before = source.asked
        asking = asyncio.create_task(owner.ends(0))
        await until(lambda: source.asked > before, "it asks")
        await owner.release()
        with pytest.raises(Fenced):
            await asking

    owning(test)


def test_caught_up_is_idle_published_and_read_to_the_end() -> None:
    async def test(owner: Ownership, source: FakeSource, notes: Notes) -> None:
        await until(lambda: owner.ready, "it is open")
        assert await owner.caught_up()
        source.ends = {**source.ends, PURCHASES: 2}
        assert not await owner.caught_up()
        assert await owner.work_waits()
        owner.deliver(record_set(0, 2, seek=1))
        assert await owner.caught_up()
        assert not await owner.work_waits()
        assert owner.mirror()[PURCHASES, 0] == 2
        assert owner.lags()[PURCHASES, 0] == 0

    owning(test)


def test_one_question_serves_all_who_wait_and_none_is_answered_by_an_older_one() -> None:
    asked: list[frozenset[int]] = []
    go_on = asyncio.Event()

    async def ask(numbers: frozenset[int]) -> int:
        asked.append(numbers)
        await go_on.wait()
        return len(asked)

    async def test() -> None:
        together = Together(ask)
        first = [asyncio.create_task(together.of(number)) for number in (1, 2)]
        await until(lambda: asked, "the first question is sent")
        later = [asyncio.create_task(together.of(number)) for number in (1, 3, 4)]
        await turns()
        assert asked == [{1, 2}], "those who come later wait for the next question"
        go_on.set()
        assert await asyncio.gather(*first) == [1, 1]
        assert await asyncio.gather(*later) == [2, 2, 2]
        assert asked == [{1, 2}, {1, 3, 4}]

    asyncio.run(test())


def test_a_question_that_fails_fails_for_those_who_asked_it_alone() -> None:
    answers: list[Any] = [ConnectionError("away"), 5]

    async def ask(numbers: frozenset[int]) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def test() -> None:
        together = Together(ask)
        with pytest.raises(ConnectionError):
            await together.of(1)
        assert await together.of(1) == 5

    asyncio.run(test())
