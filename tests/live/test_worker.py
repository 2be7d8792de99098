"""A worker process on real Kafka: how it starts, ends, hands over, and who sets the clock."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from aiokafka import AIOKafkaProducer

from processors.events import Served, Tick
from processors.policy import Policy, load_policy
from schemas import codec
from schemas.topics import COMPLAINTS, INPUTS, POLICIES, PURCHASES, TICKS
from sinks.access import KafkaAccess
from streams import policies, worker
from streams.ingest import CLOCK_HEADER, CLOCK_OF_DATA
from streams.leader import ClockRefused, LiveClock, last_ticks
from streams.partition import PartitionStopped
from streams.reading import TopicReader
from streams.settings import LoyaltyError, Settings
from streams.topics_admin import admin_client
from streams.worker import Worker
from tests.conftest import PARTITIONS, ROOT, free_port
from tests.live.noting_worker import POLICY, NotingParts
from tests.live.running import DEADLINE_S, fill, producing, until

pytestmark = pytest.mark.live

DATA = {"LOYALTY_CLOCK": "data"}


@pytest.fixture(autouse=True)
def _empty(fresh_topics: Callable[[], None]) -> None:
    fresh_topics()


@contextmanager
def process(environ: dict[str, str], *words: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A noting worker as its own process; killed at the end if it is still there."""
    env = {**environ, "LOYALTY_METRICS": f"127.0.0.1:{free_port()}", **more}
    command = [sys.executable, "-m", "tests.live.noting_worker", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        running.metrics = env["LOYALTY_METRICS"]  # type: ignore[attr-defined]
        try:
            yield running
        finally:
            running.kill()


def ready(running: Any) -> bool:
    try:
        with urlopen(f"http://{running.metrics}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPError):
        return False


def wait(condition: Callable[[], Any], what: str) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.05)


def ticks(kafka: KafkaAccess) -> dict[int, list[tuple[Tick, dict[str, bytes]]]]:
    """By partition, the ticks so far and their headers."""
    with TopicReader(kafka) as reader:
        return {
            partition: [(codec.decode(TICKS, r.value, None), dict(r.headers)) for r in records]
            for partition, records in reader.tails(TICKS, 10_000).items()
        }


def members(settings: Settings) -> int:
    with admin_client(settings.kafka) as admin:
        told = admin.describe_groups([settings.group])
    return len(json.loads(json.dumps(told, default=str))[settings.group]["members"])


def test_until_caught_up_ends_with_0_once_all_input_is_read(environ: dict[str, str], settings: Settings) -> None:
    asyncio.run(fill(settings.kafka, 100, PARTITIONS))
    with process(environ, "--until-caught-up") as running:
        out, err = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0, err
    assert int(out) == 100 * PARTITIONS * len(INPUTS)
    assert ticks_written_by_nobody(settings)


def ticks_written_by_nobody(settings: Settings) -> bool:
    with TopicReader(settings.kafka) as reader:
        return sum(map(len, reader.tails(POLICIES, 100).values())) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_the_group_knows_at_once(
    environ: dict[str, str], settings: Settings, number: signal.Signals
) -> None:
    asyncio.run(fill(settings.kafka, 20, PARTITIONS))
    with process(environ, **DATA) as running:
        wait(lambda: ready(running), "the worker is ready")
        began = time.monotonic()
        running.send_signal(number)
        _, err = running.communicate(timeout=DEADLINE_S)
        assert running.returncode == 0, err
        assert "Traceback" not in err
        assert time.monotonic() - began < 8, "it waits for nothing"
    assert members(settings) == 0, "it left the group, so that others need not wait for its session"


@pytest.mark.parametrize(
    ("fail", "told"), [("crash", "the runner fell over"), ("stopped", "partition 1 needs a person")]
)
def test_a_runner_that_fails_ends_the_worker_with_1_and_says_why(environ: dict[str, str], fail: str, told: str) -> None:
    with process(environ, NOTING_FAIL=fail, **DATA) as running:
        _, err = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 1
    assert told in err


def test_missing_topics_are_named_with_the_way_out(settings: Settings) -> None:
    with admin_client(settings.kafka) as admin:
        admin.delete_topics([COMPLAINTS])
        wait(lambda: COMPLAINTS not in admin.list_topics(), "the topic is gone")
    with pytest.raises(LoyaltyError, match=r"topic complaints is missing, or this user may not see it; run"):
        asyncio.run(Worker(settings, NotingParts(), until_caught_up=True).run())


ADDED = (
    f"topic purchases has {PARTITIONS + 1} partitions, LOYALTY_PARTITIONS asks for {PARTITIONS}: .*"
    "Kafka takes none back.*make the topics on an empty cluster"
)


def add_partition(settings: Settings) -> None:
    with admin_client(settings.kafka) as admin:
        admin.create_partitions({PURCHASES: PARTITIONS + 1})
        wait(lambda: len(admin.describe_topics([PURCHASES])[0]["partitions"]) > PARTITIONS, "the partition is there")


def test_a_worker_does_not_start_where_a_partition_was_added(settings: Settings) -> None:
    add_partition(settings)
    with pytest.raises(LoyaltyError, match=ADDED):
        asyncio.run(Worker(settings, NotingParts(), until_caught_up=True).run())


def test_a_worker_that_runs_refuses_a_partition_that_is_added(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of its customers' records would lie where nobody reads."""
    monkeypatch.setattr("streams.app.METADATA_MS", 500)

    async def go() -> None:
        one = Worker(replace(settings, clock="data"), NotingParts(), until_caught_up=False)
        running = asyncio.create_task(one.run())
        await until(lambda: one.owner.ready, "the worker is ready")
        await asyncio.to_thread(add_partition, settings)
        with pytest.raises(PartitionStopped, match=ADDED):
            await asyncio.wait_for(running, DEADLINE_S)

    asyncio.run(go())


def test_a_taken_metrics_port_is_named(settings: Settings) -> None:
    async def go() -> None:
        first = Worker(settings, NotingParts(), until_caught_up=False)
        await first.health.start(*settings.metrics_address)
        try:
            with pytest.raises(LoyaltyError, match=r"LOYALTY_METRICS is 127.0.0.1:\d+: the address is taken"):
                await Worker(settings, NotingParts(), until_caught_up=True).run()
        finally:
            await first.health.stop()

    asyncio.run(go())


def test_nothing_moving_though_there_is_work_fails_livez_and_then_ends_the_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOOK_S", 0.05)
    monkeypatch.setattr(worker, "LIVE_S", 0.3)
    monkeypatch.setattr(worker, "STALLED_S", 1.0)
    parts = NotingParts()
    stuck = Worker(_replace_clock(settings), parts, until_caught_up=False)

    async def go() -> None:
        running = asyncio.create_task(stuck.run())
        await until(lambda: len(parts.runners) == PARTITIONS and stuck.owner.ready, "it is up")
        for runner in parts.runners:
            runner.full = set(INPUTS)
        parts.away = ConnectionError("Redis is away")
        await fill(settings.kafka, 1, PARTITIONS, (PURCHASES,))
        looks = 2 * worker.STALLED_S / worker.LOOK_S
        await until(lambda: parts.refused >= looks, "it has looked for longer than STALLED_S: an outage is no stall")
        assert not running.done()
        assert not stuck._not_live()
        parts.away = None
        await until(stuck._not_live, "livez fails")
        with pytest.raises(PartitionStopped, match="nothing has moved for"):
            await running

    asyncio.run(go())


def _replace_clock(settings: Settings) -> Settings:
    from dataclasses import replace

    return replace(settings, clock="data")


def test_lag_is_told_by_topic_and_partition(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_S", 0.05)
    parts = NotingParts()
    one = Worker(_replace_clock(settings), parts, until_caught_up=False)

    async def go() -> None:
        running = asyncio.create_task(one.run())
        await until(lambda: len(parts.runners) == PARTITIONS and one.owner.ready, "it is up")
        await fill(settings.kafka, 3, PARTITIONS, (PURCHASES,))
        await until(lambda: parts.lag((PURCHASES, 2)) == 0 and parts.notes.count() == 12, "nothing lags")
        for runner in parts.runners:
            runner.full = {PURCHASES}
        await fill(settings.kafka, 5, PARTITIONS, (PURCHASES,))
        await until(lambda: parts.lag((PURCHASES, 2)) == 5, "five records lag")
        one._stop.set()
        await running
        assert sorted(parts.forgotten) == list(range(PARTITIONS))

    asyncio.run(go())


def test_one_of_many_workers_sets_the_clock_and_another_takes_it_over_on_its_death(
    environ: dict[str, str], settings: Settings
) -> None:
    more = {"LOYALTY_TICK_MS": "50", "LOYALTY_SESSION_MS": "6000"}
    with process(environ, **more) as first:
        wait(lambda: ready(first) and all(ticks(settings.kafka).values()), "the first one ticks")
        with process(environ, **more) as second:
            wait(lambda: ready(second) and members(settings) == 2, "there are two")
            first.kill()
            first.wait()
            died_ms = time.time_ns() // 1_000_000
            wait(
                lambda: all(found[-1][0].at > died_ms + 1_000 for found in ticks(settings.kafka).values()),
                "the second one ticks",
            )
    for found in ticks(settings.kafka).values():
        instants = [tick.at for tick, _ in found]
        assert instants == sorted(set(instants)), "stream time never goes back"
        named = [tick.policy for tick, _ in found if tick.policy]
        assert found[0][0].policy
        assert len(named) == 2, "each leader's first tick names the policy, the others do not"
        assert {headers[CLOCK_HEADER] for _, headers in found} == {b"wall"}
    with TopicReader(settings.kafka) as reader:
        texts = [record.key.decode() for record in reader.tails(POLICIES, 100)[0]]
    assert set(texts) == set(named)


def test_on_an_imports_ticks_no_wall_clock_is_set(settings: Settings) -> None:
    async def go() -> None:
        async with producing(settings.kafka) as producer:
            await tick(producer, 1_000, 0, b"wall")
            await tick(producer, 2_000, 0, CLOCK_OF_DATA)
        with pytest.raises(ClockRefused, match="set LOYALTY_CLOCK=data"):
            await Worker(settings, NotingParts(), until_caught_up=False).run()
        async with producing(settings.kafka) as producer:
            await tick(producer, 3_000, 0, b"wall")
        assert await asyncio.to_thread(last_ticks, settings.kafka) == {0: 3_000, 1: None, 2: None, 3: None}

    asyncio.run(go())


async def tick(producer: AIOKafkaProducer, at: int, partition: int, clock: bytes) -> None:
    value = codec.encode_event(TICKS, Tick(at=at))
    await producer.send_and_wait(TICKS, value, partition=partition, headers=[(CLOCK_HEADER, clock)])


def test_a_wall_clock_that_jumps_ahead_sets_no_time_until_it_is_right_or_the_broker_agrees(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick 400 days ahead would tell everybody's silence, and could not be taken back."""
    now, jumped = time.time_ns() // 1_000_000, 400 * 86_400_000
    walls = iter([now, now + jumped, now + jumped, now + 10])
    clock = LiveClock(settings.kafka, NotingParts().policy, 10, lambda: next(walls, now + 20))
    asked: list[int] = []

    async def ask(producer: AIOKafkaProducer, policy: Any) -> int:
        asked.append(now)
        return now

    monkeypatch.setattr("streams.policies.publish", ask)
    monkeypatch.setattr("streams.leader.ASK_AGAIN_S", 0.0)

    async def go() -> None:
        ticking = asyncio.create_task(clock.run())
        await until(lambda: clock.last_at == now + 20, "it has ticked after the jump")
        ticking.cancel()
        await asyncio.wait({ticking})

    asyncio.run(go())
    for found in ticks(settings.kafka).values():
        assert [one.at for one, _ in found] == [now, now + 10, now + 20]
    assert len(asked) == 3, "at the beginning, and at each look that found it wrong"


def test_a_policy_written_again_and_again_is_checked_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each import writes it: a worker's start took 13 s after 200 of them."""
    checked: list[bytes] = []

    def noting(record: Any) -> Policy | None:
        checked.append(record.key)
        return policy_in(record)

    policy_in = policies.policy_in
    monkeypatch.setattr(policies, "policy_in", noting)
    own, other = load_policy(POLICY), load_policy(POLICY.replace("version = 1", "version = 2"))

    async def go() -> None:
        async with producing(settings.kafka) as producer:
            for policy in (own, other, own, other, own):
                await policies.publish(producer, policy)
        found = await policies.TopicPolicies(settings.kafka, own).find(other.key)
        assert found is not None
        assert found.key == other.key

    asyncio.run(go())
    assert checked == [other.key.encode(), own.key.encode()]


def test_the_broker_says_what_time_it_is(settings: Settings) -> None:
    async def go() -> int:
        async with producing(settings.kafka) as producer:
            return await policies.publish(producer, NotingParts().policy)

    assert abs(asyncio.run(go()) - time.time_ns() // 1_000_000) < 10_000


def test_a_wall_clock_that_goes_back_is_waited_for(settings: Settings) -> None:
    walls = iter([1_000, 1_010, 900, 1_005, 1_010, 1_020, 1_030])
    clock = LiveClock(settings.kafka, NotingParts().policy, 10, lambda: next(walls, 1_040))

    async def go() -> None:
        ticking = asyncio.create_task(clock.run())
        await until(lambda: clock.last_at == 1_040, "it has ticked past the jump")
        ticking.cancel()
        await asyncio.wait({ticking})

    asyncio.run(go())
    for found in ticks(settings.kafka).values():
        assert [one.at for one, _ in found] == [1_000, 1_010, 1_020, 1_030, 1_040]


def test_E2_the_wall_clock_says_how_employees_serve_to_the_partition_that_decides(settings: Settings) -> None:
    walls = iter([1_000, 1_010])
    eve, adam = Served("eve", customers=3), Served("adam", customers=4)
    served = iter([{0: (eve,), 2: (adam, eve)}])
    clock = LiveClock(settings.kafka, NotingParts().policy, 10, lambda: next(walls, 1_020), served=lambda: next(served))

    async def go() -> None:
        ticking = asyncio.create_task(clock.run())
        await until(lambda: clock.last_at == 1_020, "it has ticked thrice")
        ticking.cancel()
        await asyncio.wait({ticking})

    asyncio.run(go())
    for partition, found in ticks(settings.kafka).items():
        first = {0: (eve,), 2: (adam, eve)}.get(partition, ())
        assert [(one.at, one.served) for one, _ in found] == [(1_000, first), (1_010, ()), (1_020, ())]
