"""The worker's event loop: uvloop's, and what of it must not be so.

To write on a connection that the peer has just closed is an error of the network: asyncio drops what is written, and
tells by `drain` or the reader. uvloop raises RuntimeError there (MagicStack/uvloop#506), which neither redis-py nor
aiokafka takes for an outage: the worker ended, where it should have waited. Here it is as asyncio has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import uvloop

from streams.logins import is_encrypted
from streams.settings import Settings


class Wire:
    """A transport of uvloop's on which writing behind its end is no error."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it, or drop it where nobody listens any more."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Send them, or drop them where nobody listens any more."""
        if not self._transport.is_closing():
            self._transport.writelines(parts)


class Loop(uvloop.Loop):
    """uvloop's, with connections that close as asyncio's do."""

    async def create_connection(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """See asyncio's."""
        transport, protocol = await super().create_connection(*args, **kwargs)
        return Wire(transport), protocol

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """See asyncio's."""
        transport, protocol = await super().create_unix_connection(*args, **kwargs)
        return Wire(transport), protocol


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's, which is quicker; with TLS asyncio's own. uvloop 0.23 waits 30 s for the peer's last word when a
    connection with TLS is closed (MagicStack/uvloop#471), and each partition's start closes one."""
    encrypted = settings.kafka.encrypted or is_encrypted(settings.redis)
    return asyncio.new_event_loop if encrypted else Loop
