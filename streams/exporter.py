"""`loyalty exporter`: the programme's figures from Redis over HTTP, in one place, so that sums are right.

Figures are read when they are asked for, at most once in `KEPT_S`: many who scrape cost Redis no more than one.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from streams import refusals
from streams.customers_now import CustomersNow
from streams.health import HealthServer
from streams.programme import read_programme
from streams.programme.exposition import Table
from streams.settings import LoyaltyError, Settings

KEPT_S: Final = 2.0


class Exporter:
    """Serves `/metrics`, `/livez`, `/readyz` (Redis answers) on `LOYALTY_EXPORTER`."""

    def __init__(self, settings: Settings) -> None:
        self._now = CustomersNow(settings)
        self._address, self._employees = settings.exporter_address, settings.exporter_employees
        self._table = Table()
        self._read_at = -KEPT_S
        self._reading = asyncio.Lock()
        self._server = HealthServer(
            self._table.registry,
            not_live=list,
            not_ready=self._not_ready,
            token=settings.metrics_token,
            setting="LOYALTY_EXPORTER",
            fresh=self._fresh,
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    async def start(self) -> None:
        """Listen. Raises LoyaltyError."""
        await self._server.start(*self._address)

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop()
        self._now.__exit__()

    async def _fresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at >= KEPT_S:
                await asyncio.to_thread(self._read)
                self._read_at = time.monotonic()

    def _read(self) -> None:
        self._now.renew()
        try:
            if not self._now.worked:
                raise LoyaltyError("no worker has been here yet: start `loyalty worker`, then ask again")
            self._table.figures = read_programme(self._now, self._employees)
        except Exception as error:
            told = refusals.told(error)
            if told is None:
                raise
            raise LoyaltyError(told) from error

    async def _not_ready(self) -> list[str]:
        try:
            await self._fresh()
        except LoyaltyError as error:
            return [str(error)]
        return []


async def serve(settings: Settings, started: Callable[[int], None]) -> None:
    """Until SIGTERM or SIGINT. started: told the port."""
    exporter = Exporter(settings)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await exporter.start()
    started(exporter.port)
    with suppress(asyncio.CancelledError):
        await ended.wait()
    await exporter.stop()
