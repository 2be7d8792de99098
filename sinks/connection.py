"""Scripts against Redis, again and again until they are answered: every script of ours may be sent twice.

redis-py's own retries are off. They would be harmless for these scripts, but are not for anything else, and they hide
how long Redis has been away.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, TypeVar

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoScriptError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from sinks.addresses import is_cluster
from sinks.clients import CLUSTER_AWAY, waiting_client_of

ANSWER_TIMEOUT_S: Final = 10.0
"""Longer than the longest script: 5,000 customers take about 0.1 s, marking a million for a new policy 1 s."""

CONNECT_TIMEOUT_S: Final = 3.0
PATIENCE_S: Final = 15.0
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.05, 1.0

_TRANSIENT: Final = re.compile(r"\b(OOM|READONLY|LOADING|BUSY|MISCONF|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS)\b")
"""Errors of a server that will do later what it can't do now. Redis 6.2 hides the code inside a script's message."""

T = TypeVar("T")

_AWAY: Final = (RedisError, CLUSTER_AWAY, OSError)


class StoreUnavailable(Exception):
    """Redis did not answer, or could not write, for `PATIENCE_S`. Nothing is lost: ask the same again."""


class Script:
    """A Lua script beside this module, and the digest by which Redis knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (Path(__file__).parent / f"{name}.lua").read_bytes()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest()


class Connection:
    """A client of one Redis, or of a cluster. patience_s: so long a call is tried before StoreUnavailable.

    url: see `sinks/addresses.py`. clustered: whether it is a cluster, where a node may be gone while others answer.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.clustered = is_cluster(url)
        self.client = waiting_client_of(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=answer_timeout_s,
            socket_connect_timeout=min(CONNECT_TIMEOUT_S, answer_timeout_s),
            socket_keepalive=True,
        )
        self._patience_s = patience_s

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        await self.client.aclose()

    async def run(self, script: Script, key: str, *arguments: bytes | str | int) -> Any:
        """What `script` answers for `key`. Raises StoreUnavailable."""

        async def once() -> Any:
            try:
                return await self.client.execute_command("EVALSHA", script.digest, 1, key, *arguments)
            except NoScriptError:
                return await self.client.execute_command("EVAL", script.text, 1, key, *arguments)

        return await self.patiently(once, f"{script.name} of {key}")

    async def patiently(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """`call` until it is answered. It must be one that may be sent twice. Raises StoreUnavailable."""
        give_up = time.monotonic() + self._patience_s
        pause = _PAUSE_MIN_S
        while True:
            try:
                return await call()
            except _AWAY as error:
                if not transient(error):
                    raise
                if time.monotonic() + pause > give_up:
                    raise StoreUnavailable(
                        f"{what}: Redis has not done it for {self._patience_s:g} s ({type(error).__name__}: {error}); "
                        f"check it with: loyalty doctor"
                    ) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX_S)


def transient(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        return False
    if isinstance(error, ConnectionError | TimeoutError | CLUSTER_AWAY | OSError):
        return True
    return (isinstance(error, ResponseError) and _TRANSIENT.search(str(error)) is not None) or _code(error)


def _code(error: Exception) -> bool:
    """redis-py takes the code off some errors and names a class after it."""
    return type(error).__name__ in ("OutOfMemoryError", "ReadOnlyError", "ClusterDownError", "TryAgainError")
