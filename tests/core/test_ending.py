"""Tasks that swallow a cancellation end all the same."""

from __future__ import annotations

import asyncio

import pytest

from streams import ending


async def _looks_for_ever(calls: list[asyncio.Future[None]]) -> None:
    while True:
        calls.append(asyncio.get_running_loop().create_future())
        await asyncio.wait_for(calls[-1], 60)


async def _deaf_once(heard: list[int]) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append(1)
            if len(heard) > 1:
                raise


def test_a_task_that_swallows_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)

    async def go() -> list[int]:
        heard: list[int] = []
        task = asyncio.create_task(_deaf_once(heard))
        await asyncio.sleep(0)
        await asyncio.wait_for(ending.cancelled([task]), 10)
        assert task.cancelled()
        return heard

    assert len(asyncio.run(go())) == 2


def test_a_call_that_ends_in_the_turn_of_the_cancellation_hides_it_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race of `asyncio.wait_for` in Python 3.11."""
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)

    async def go() -> None:
        calls: list[asyncio.Future[None]] = []
        task = asyncio.create_task(_looks_for_ever(calls))
        while not calls:
            await asyncio.sleep(0)
        calls[0].set_result(None)
        await asyncio.wait_for(ending.cancelled([task]), 10)
        assert task.cancelled()

    asyncio.run(go())


def test_nothing_to_cancel_is_nothing_to_wait_for() -> None:
    asyncio.run(ending.cancelled([]))
