"""The worker's loop: what a connection does that the peer closes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from sinks.connection import Connection, Script, StoreUnavailable
from streams.event_loop import Loop, loop_factory
from streams.settings import Settings

AT_ONCE = struct.pack("ii", 1, 0)
LOOPS = pytest.mark.parametrize("loop", [Loop, asyncio.new_event_loop])
"""Ours, and the one that it must be like."""


@pytest.fixture
def closes() -> Iterator[int]:
    """The port of a server that accepts and resets at once."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                _reset(server.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def _reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    peer.close()


@LOOPS
def test_what_is_written_to_who_has_left_is_told_as_an_error_of_the_network(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def write(server: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        _reset(server.accept()[0])
        with pytest.raises(ConnectionError):
            await reader.read()
        writer.write(b"one")
        writer.writelines([b"two", b"three"])
        with pytest.raises(ConnectionError):
            await writer.drain()
        assert writer.is_closing()

    with socket.create_server(("127.0.0.1", 0)) as server, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(write(server))


@LOOPS
def test_a_redis_that_closes_at_once_is_one_that_is_away(
    loop: Callable[[], asyncio.AbstractEventLoop], closes: int
) -> None:
    """Whether the close is seen before the first word is sent differs from one connection to the next: so many."""

    async def ask() -> None:
        connection = Connection(f"redis://127.0.0.1:{closes}/0", patience_s=0)
        for _ in range(200):
            with pytest.raises(StoreUnavailable):
                await connection.run(Script("fence"), "loyalty:fence:{0}", "")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())


def test_what_is_written_arrives() -> None:
    async def echoed(server: socket.socket) -> bytes:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        writer.write(b"one ")
        writer.writelines([b"two ", b"three"])
        writer.write_eof()
        peer, _ = server.accept()
        with closing(peer):
            peer.sendall(await asyncio.to_thread(peer.recv, 100, socket.MSG_WAITALL))
        told = await reader.read()
        writer.close()
        await writer.wait_closed()
        return told

    with socket.create_server(("127.0.0.1", 0)) as server, asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(echoed(server)) == b"one two three"


@pytest.mark.parametrize(("settings", "loop"), [
    ({}, Loop),
    ({"LOYALTY_KAFKA_SECURITY": "SSL"}, asyncio.new_event_loop),
    ({"LOYALTY_REDIS": "rediss://redis:6380/0"}, asyncio.new_event_loop),
    ({"LOYALTY_REDIS": "rediss+cluster://redis:6380"}, asyncio.new_event_loop),
])  # fmt: skip
def test_with_tls_the_loop_is_one_that_closes_such_connections_at_once(
    settings: dict[str, str], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    assert loop_factory(Settings.from_env(settings)) is loop
