"""`/metrics`, `/livez`, `/readyz` of a worker, on LOYALTY_METRICS.

/livez    200 while the loop moves. Knows nothing of Kafka and Redis: in an outage of theirs a restart helps nobody.
/readyz   200 once the partitions stand at their fences and Redis takes writes; else 503 and what is missing.

With a token (LOYALTY_METRICS_TOKEN) each request must bring it as `Authorization: Bearer …`, else 401; without one the
server listens on this machine alone.
"""

from __future__ import annotations

import errno
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streams.logins import is_loopback
from streams.settings import LoyaltyError

log = logging.getLogger("loyalty.health")


class HealthServer:
    """registry: what /metrics shows. not_live, not_ready: what is wrong, one line each; none where all is well.
    token: what a request must bring; empty: nothing, and only on loopback. setting: that named the address.
    fresh: awaited before /metrics is shown; a LoyaltyError of it is told with 503."""

    def __init__(
        self,
        registry: CollectorRegistry,
        not_live: Callable[[], list[str]],
        not_ready: Callable[[], Awaitable[list[str]]],
        token: str = "",
        setting: str = "LOYALTY_METRICS",
        fresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._registry, self._not_live, self._not_ready = registry, not_live, not_ready
        self._token = token.encode()
        self._setting, self._fresh = setting, fresh
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Serve on host:port; port 0 takes a free one, see `port`. Raises LoyaltyError where it is taken, or where
        others would reach it without a token."""
        if not self._token and not is_loopback(host):
            raise LoyaltyError(f"{self._setting} is {host}:{port}, which others reach: set LOYALTY_METRICS_TOKEN")
        app = web.Application(middlewares=[self._only_with_token])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise LoyaltyError(_no_port(self._setting, host, port, error)) from error
        addresses: Any = self._runner.addresses
        self.port = addresses[0][1]
        log.info("metrics on http://%s:%d/metrics", f"[{host}]" if ":" in host else host, self.port)

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _only_with_token(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """401 to a request without the token. The comparison takes as long whatever was sent."""
        scheme, _, brought = request.headers.get("Authorization", "").partition(" ")
        given = brought.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
        if self._token and not hmac.compare_digest(given, self._token):
            return web.Response(status=401, text="a token is needed\n", headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._fresh is not None:
            try:
                await self._fresh()
            except LoyaltyError as error:
                return _told([str(error)])
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(self._registry), headers={"Content-Type": content_type})

    async def _livez(self, request: web.Request) -> web.Response:
        return _told(self._not_live())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _told(await self._not_ready())


def _told(wrong: list[str]) -> web.Response:
    return web.Response(text="\n".join(wrong or ["ok"]) + "\n", status=503 if wrong else 200)


def _no_port(setting: str, host: str, port: int, error: OSError) -> str:
    why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
    return (
        f"{setting} is {host}:{port}: the address {why}; set another one for this process (port 0 takes any free one)"
    )
