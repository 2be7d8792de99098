"""Tasks that must end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN_S: Final = 0.5


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and return once all have ended, whatever with; the caller looks at those it cares for.

    Again and again: up to Python 3.11 `asyncio.wait_for` hides a cancellation where its call ends in the same turn
    (python/cpython 86296, mended in 3.12), and libraries below us use it; a task that loops would go on for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
