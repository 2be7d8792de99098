"""One question for all who have one at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Together(Generic[T]):
    """One question for all who have one: those who come while one is under way share the next."""

    def __init__(self, ask: Callable[[frozenset[int]], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._waiting: set[int] = set()
        self._next: asyncio.Task[T] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def of(self, number: int) -> T:
        """The answer to a question that is asked after this call and names `number`. Raises what asking raises."""
        self._waiting.add(number)
        if self._next is None:
            self._next = asyncio.ensure_future(self._round())
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())  # told to those who wait
        return await asyncio.shield(self._next)

    async def _round(self) -> T:
        async with self._one_at_a_time:
            await asyncio.sleep(0)  # others of this turn of the loop come along
            waiting, self._waiting, self._next = frozenset(self._waiting), set(), None
            return await self._ask(waiting)
