"""Redis goes away, loses its scripts, is full or read-only: nothing is applied twice, nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from infra.localstack.process import wait_until
from infra.localstack.redis import server_binary
from sinks.commit import Answer
from sinks.keys import Keys
from sinks.store import Store, StoreUnavailable
from tests.conftest import free_port
from tests.contract.stores import ERASE_KEY, PARTITION, Driven, commit, ids, real, record, write
from tests.live.running import until
from tests.proxy import Proxy

FULL = commit(1, 1, writes=(write("anna"),), counts={"x": 2**53 + 1}, outbox=(record(1), record(2)))


@pytest.fixture
def store(redis_url: str) -> Iterator[Driven]:
    with real(redis_url, patience_s=5.0) as driven:
        driven.take_epoch(PARTITION)
        driven.take_epoch(9)
        driven.commit(commit(1, 1, partition=9))  # so that Redis knows the script, and answers more than "no script"
        yield driven


@pytest.fixture
def proxied(redis_url: str, store: Driven) -> Iterator[tuple[Proxy, Callable[..., Store]]]:
    """A proxy before Redis, and what makes stores that go through it."""
    address, _, database = redis_url.removeprefix("redis://").partition("/")
    host, _, port = address.partition(":")
    with Proxy(host, int(port)) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/{database}"
        yield proxy, lambda **options: Store(url, Keys("t"), erase_key=ERASE_KEY, **options)


@pytest.mark.parametrize("silently", [False, True], ids=["connection cut", "no answer"])
@pytest.mark.parametrize("times", [1, 3])
def test_D1_a_commit_whose_reply_is_lost_is_applied_once(
    proxied: tuple[Proxy, Callable[..., Store]], store: Driven, silently: bool, times: int
) -> None:
    proxy, through = proxied

    async def lossy() -> list[Answer]:
        other = through(answer_timeout_s=0.2)
        try:
            proxy.lose(times, silently=silently, containing=b"EVALSHA")
            return [await other.commit(FULL), await other.commit(commit(1, 2, counts={"x": 1}))]
        finally:
            await other.close()

    assert asyncio.run(lossy()) == [Answer.ALREADY, Answer.DONE]
    assert proxy.lost == times
    assert store.kpi() == {"x": 2**53 + 2}
    assert store.outbox_size(PARTITION) == (2, 1)
    assert store.fence(PARTITION).seq == 2


def test_a_commit_that_never_arrived_is_made_when_redis_is_back(redis_url: str, store: Driven) -> None:
    host, _, rest = redis_url.removeprefix("redis://").partition(":")
    port, _, database = rest.partition("/")
    listen = free_port()

    async def late() -> Answer:
        other = Store(f"redis://127.0.0.1:{listen}/{database}", Keys("t"), erase_key=ERASE_KEY, patience_s=10)
        send, tries = other.redis.client.execute_command, 0

        async def counted(*command: Any) -> Any:
            nonlocal tries
            tries += 1
            return await send(*command)

        try:
            other.redis.client.execute_command = counted  # type: ignore[method-assign]
            commits = asyncio.create_task(other.commit(FULL))
            await until(lambda: tries > 1, "it was refused, and tries again")
            assert not commits.done()
            bridge = await asyncio.start_server(lambda r, w: _bridge(r, w, host, int(port)), "127.0.0.1", listen)
            async with bridge:
                answer = await commits
                await other.close()
            return answer
        finally:
            await other.close()

    assert asyncio.run(late()) is Answer.DONE
    assert store.view("anna")["customer_id"] == "anna"


async def _bridge(reader: Any, writer: Any, host: str, port: int) -> None:
    far_in, far_out = await asyncio.open_connection(host, port)

    async def pipe(source: Any, sink: Any) -> None:
        while data := await source.read(65_536):
            sink.write(data)
        sink.close()

    await asyncio.gather(pipe(reader, far_out), pipe(far_in, writer))


def test_an_outage_longer_than_patience_is_told_and_the_same_commit_works_later(store: Driven) -> None:
    async def away() -> None:
        other = Store(f"redis://127.0.0.1:{free_port()}/0", Keys("t"), erase_key=ERASE_KEY, patience_s=0.2)
        with pytest.raises(StoreUnavailable, match=r"commit of t:\{3\}:fence: Redis has not done it for 0.2 s"):
            await other.commit(FULL)
        with pytest.raises(StoreUnavailable):
            await other.load(PARTITION, ids("anna"))
        await other.close()

    asyncio.run(away())
    assert store.commit(FULL) is Answer.DONE


def test_a_redis_that_forgot_the_scripts_is_given_them_again(store: Driven) -> None:
    assert store.commit(FULL) is Answer.DONE
    store.wait(store.store.redis.client.script_flush())
    assert store.commit(FULL) is Answer.ALREADY
    store.wait(store.store.redis.client.script_flush())
    assert store.load(PARTITION, ids("anna")).customers["anna"] is not None


def test_a_cancelled_call_does_not_leave_its_answer_to_the_next(proxied: tuple[Proxy, Callable[..., Store]]) -> None:
    proxy, through = proxied

    async def interrupted() -> Any:
        other = through()
        try:
            assert (await other.fence(PARTITION)).seq == 0  # now it has a connection
            proxy.hold()
            call = asyncio.create_task(other.commit(FULL))
            await until(lambda: proxy.held, "it is done, its answer on the way")
            call.cancel()
            assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
            proxy.let_go()
            return [await other.fence(PARTITION) for _ in range(3)], await other.commit(FULL)
        finally:
            await other.close()

    fences, answer = asyncio.run(interrupted())
    assert [(fence.epoch, fence.seq) for fence in fences] == [(1, 1)] * 3
    assert answer is Answer.ALREADY


# -- a server of its own, to be spoilt


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    binary, _ = server_binary()
    server = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        assert wait_until(lambda: _pongs(url), 10)
        yield url
    finally:
        server.terminate()
        server.wait()


def _pongs(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
    ids=["full", "read-only", "no replicas"],
)
def test_a_redis_that_takes_no_writes_is_unavailable_and_half_of_nothing_is_written(
    spoilt: str, spoil: tuple[str, ...], mend: tuple[str, ...]
) -> None:
    with real(spoilt, patience_s=0.2) as driven:
        client = driven.store.redis.client
        driven.take_epoch(PARTITION)
        assert driven.commit(FULL) is Answer.DONE
        before = driven.fence(PARTITION), driven.view("anna"), driven.kpi()
        driven.wait(client.execute_command(*spoil))
        following = commit(1, 2, writes=(write("anna", value=7), write("ben")), erased={"carl": 9}, counts={"x": 1})
        with pytest.raises(StoreUnavailable):
            driven.commit(following)
        with pytest.raises(redis.RedisError):
            driven.writable()
        assert (driven.fence(PARTITION), driven.view("anna"), driven.kpi()) == before
        driven.wait(client.execute_command(*mend))
        driven.writable()
        assert driven.commit(following) is Answer.DONE
        assert driven.view("ben")["customer_id"] == "ben"


def test_a_wrong_password_is_told_at_once(spoilt: str) -> None:
    redis.Redis.from_url(spoilt).config_set("requirepass", "secret")

    async def locked_out() -> None:
        other = Store(spoilt.replace("//", "//:wrong@"), Keys("t"), erase_key=ERASE_KEY, patience_s=60)
        with pytest.raises(redis.AuthenticationError):
            await other.take_epoch(PARTITION)
        await other.close()

    asyncio.run(asyncio.wait_for(locked_out(), 5))
