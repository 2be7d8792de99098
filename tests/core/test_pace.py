"""When the publishers of a worker may begin a transaction: the first at once, then in turns, a hurried one at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from sinks.outbox import BETWEEN_MAX_S, BETWEEN_S, Pace


async def begun(pace: Pace, number: int, hurry: asyncio.Event) -> list[float]:
    """After how many seconds each of `number` publishers that are woken at once may begin."""
    began = time.monotonic()

    async def one() -> float:
        await pace.turn(hurry)
        return time.monotonic() - began

    return sorted(await asyncio.gather(*(one() for _ in range(number))))


@pytest.mark.parametrize(
    ("took_s", "between_s"), [(0.0, BETWEEN_S), (0.06, 0.03), (60.0, BETWEEN_MAX_S)], ids=["fast", "slow", "hangs"]
)
def test_transactions_of_one_worker_begin_apart_by_half_of_what_one_takes(took_s: float, between_s: float) -> None:
    pace = Pace()
    pace.took(took_s)
    first, second, third = asyncio.run(begun(pace, 3, asyncio.Event()))
    assert first < between_s
    assert second >= between_s
    assert third >= 2 * between_s


def test_who_is_in_a_hurry_waits_for_nobody() -> None:
    async def go() -> list[float]:
        pace, hurry = Pace(), asyncio.Event()
        pace.took(60.0)
        hurry.set()
        return await begun(pace, 20, hurry)

    assert asyncio.run(go())[-1] < BETWEEN_MAX_S


def test_who_is_in_a_hurry_takes_no_turn_of_the_others() -> None:
    async def go() -> float:
        pace, hurry = Pace(), asyncio.Event()
        pace.took(60.0)
        hurry.set()
        await begun(pace, 20, hurry)
        return (await begun(pace, 1, asyncio.Event()))[0]

    assert asyncio.run(go()) < BETWEEN_MAX_S
