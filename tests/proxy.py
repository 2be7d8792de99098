"""A small TCP proxy that loses or withholds replies: what was asked is done, and nobody hears of it.

    with Proxy("127.0.0.1", 6392) as proxy:
        proxy.lose(1)                      # the next reply is lost and its connection cut
        proxy.lose(1, silently=True)       # lost, the connection stays: the client waits until its timeout
        proxy.lose(1, containing=b"...")   # only the reply to a request that contains these bytes
        proxy.hold()                       # replies wait, those that do are counted in `held`, until let_go()

It runs in a thread of its own, so both asyncio and blocking clients may use it.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

_CHUNK = 1 << 16


@dataclass
class _Order:
    """Replies still to lose."""

    left: int = 0
    silently: bool = False
    containing: bytes = b""


class Proxy:
    """Forwards to host:port from a free port of loopback, `port`. `lost`: replies lost; `held`: replies that waited."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._order = _Order()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open = asyncio.Event()
        self._open.set()
        self.lost = self.held = 0
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lose(self, times: int, *, silently: bool = False, containing: bytes = b"") -> None:
        """Lose the next `times` replies (to requests that contain some bytes)."""
        self._order = _Order(times, silently, containing)

    def hold(self) -> None:
        """Let replies wait until `let_go`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def let_go(self) -> None:
        """Send on what waits, and all that follows."""
        self._loop.call_soon_threadsafe(self._open.set)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            server_in, server_out = await asyncio.open_connection(*self._target)
        except OSError:
            client_out.close()
            return
        link = _Link()
        asked = asyncio.create_task(self._requests(client_in, server_out, link))
        try:
            while data := await server_in.read(_CHUNK):
                if link.doomed:
                    self.lost += 1
                    link.doomed = False
                    if self._silently(link):
                        continue
                    return
                if not self._open.is_set():
                    self.held += 1
                    await self._open.wait()
                if not link.deaf:
                    client_out.write(data)
                    await client_out.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            asked.cancel()
            client_out.close()
            server_out.close()

    def _silently(self, link: _Link) -> bool:
        link.deaf = link.silently
        return link.silently

    async def _requests(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, link: _Link) -> None:
        tail = b""
        while data := await client.read(_CHUNK):
            order = self._order
            tail = (tail + data)[-2 * _CHUNK :]
            if order.left and order.containing in tail:
                order.left -= 1
                link.doomed, link.silently, tail = True, order.silently, b""
            server.write(data)
            await server.drain()
        server.close()


@dataclass
class _Link:
    """One connection. doomed: the next reply is lost; deaf: and all that follow."""

    doomed: bool = False
    silently: bool = False
    deaf: bool = False
