"""A small TCP proxy that loses, withholds or delays what passes, or lets nothing through.

    with Proxy("127.0.0.1", 6392) as proxy:
        proxy.lose(1)                      # the next reply is lost and its connection cut
        proxy.lose(1, silently=True)       # lost, the connection stays: the client waits until its timeout
        proxy.lose(1, containing=b"...")   # only the reply to a request that contains these bytes
        proxy.hold()                       # replies wait, those that do are counted in `held`, until let_go()
        proxy.hold(both=True)              # requests too: a network that swallows everything, no connection breaks
        proxy.cut()                        # connections break, new ones do at once and are counted in `refused`; mend()
        proxy.delay(0.2)                   # each reply comes so many seconds late, counted in `late`; delay(0) ends it

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
    """Forwards to host:port from a free port of loopback, `port`. `lost`: replies lost; `held`: replies that waited (or
    requests, where those wait); `late`: replies that came late; `refused`: connections that broke at once."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._order = _Order()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open, self._requests_open = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._requests_open.set()
        self._delay_s, self._cut = 0.0, False
        self._links: set[_Link] = set()
        self.lost = self.held = self.late = self.refused = 0
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

    def hold(self, *, both: bool = False) -> None:
        """Let replies wait until `let_go`; both: requests as well."""
        self._loop.call_soon_threadsafe(self._open.clear)
        if both:
            self._loop.call_soon_threadsafe(self._requests_open.clear)

    def let_go(self) -> None:
        """Send on what waits, and all that follows."""
        for one in (self._open, self._requests_open):
            self._loop.call_soon_threadsafe(one.set)

    def delay(self, seconds: float) -> None:
        """Each reply waits so long from now on."""
        self._delay_s = seconds

    def cut(self) -> None:
        """Break all connections, and each new one at once, until `mend`."""

        async def now() -> None:
            self._cut = True
            for link in self._links:
                link.abort()

        self._call(now())

    def mend(self) -> None:
        """Connections come about again."""
        self._cut = False

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        if self._cut:
            self.refused += 1
            client_out.close()
            return
        try:
            server_in, server_out = await asyncio.open_connection(*self._target)
        except OSError:
            self.refused += 1
            client_out.close()
            return
        link = _Link(client_out, server_out)
        self._links.add(link)
        if self._cut:  # meanwhile
            link.abort()
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
                if self._delay_s:
                    self.late += 1
                    await asyncio.sleep(self._delay_s)
                if not link.deaf:
                    client_out.write(data)
                    await client_out.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            asked.cancel()
            client_out.close()
            server_out.close()

    def _silently(self, link: _Link) -> bool:
        link.deaf = link.silently
        return link.silently

    async def _requests(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, link: _Link) -> None:
        tail = b""
        while data := await client.read(_CHUNK):
            if not self._requests_open.is_set():
                self.held += 1
                await self._requests_open.wait()
            order = self._order
            tail = (tail + data)[-2 * _CHUNK :]
            if order.left and order.containing in tail:
                order.left -= 1
                link.doomed, link.silently, tail = True, order.silently, b""
            server.write(data)
            await server.drain()
        server.close()


@dataclass(eq=False)
class _Link:
    """One connection. doomed: the next reply is lost; deaf: and all that follow."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    doomed: bool = False
    silently: bool = False
    deaf: bool = False

    def abort(self) -> None:
        """Both ends of it, at once: a reply half sent is never ended."""
        for end in (self.client, self.server):
            end.transport.abort()
