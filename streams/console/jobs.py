"""Questions that take a pass over all customers: asked once, answered when they are, the last few answers kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

KEPT: Final = 8


class Answer(Struct):
    """value: what came of it; error: why nothing did; neither: it is being worked on."""

    value: Any = None
    error: str = ""

    @property
    def waits(self) -> bool:
        return self.value is None and not self.error


class Jobs:
    """run: does a question's work elsewhere; told: is called when one is answered; wrong: an error in a line."""

    def __init__(
        self, run: Callable[..., Awaitable[Any]], told: Callable[[], None], wrong: Callable[[BaseException], str]
    ) -> None:
        self._run, self._told, self._wrong = run, told, wrong
        self._held: dict[str, Answer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, key: str, what: Callable[..., Any], *arguments: Any) -> Answer:
        """The answer under `key`; the first time the work is begun. An error is told once, then it is tried anew."""
        held = self._held.pop(key, None)
        if held is None:
            held = Answer()
            task = asyncio.create_task(self._work(held, what, *arguments))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not held.error:
            self._held[key] = held
        while len(self._held) > KEPT:
            self._held.pop(next(iter(self._held)))
        return held

    def stop(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()

    async def _work(self, held: Answer, what: Callable[..., Any], *arguments: Any) -> None:
        try:
            held.value = await self._run(what, *arguments)
        except Exception as error:
            held.error = self._wrong(error)
        self._told()
