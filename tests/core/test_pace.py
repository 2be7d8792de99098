"""When the publishers of a worker may begin a transaction: the first at once, then in turns, a hurried one at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from sinks import outbox
from sinks.outbox import BETWEEN_MAX_S, BETWEEN_S, Pace

NOW_S = 1_000.0


@pytest.fixture(autouse=True)
def stands_still(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still, and for how many seconds each publisher was told to wait, in the order they came."""
    waits: list[float] = []

    async def waited(hurry: asyncio.Event, until: float) -> bool:
        if until > NOW_S and not hurry.is_set():
            waits.append(until - NOW_S)
        return False

    monkeypatch.setattr(outbox, "time", SimpleNamespace(monotonic=lambda: NOW_S))
    monkeypatch.setattr(outbox, "_waited", waited)
    return waits


def turns(pace: Pace, number: int, *, hurried: bool = False) -> None:
    """`number` publishers of one worker, woken at the same instant."""

    async def all_of_them() -> None:
        hurry = asyncio.Event()
        if hurried:
            hurry.set()
        for _ in range(number):
            await pace.turn(hurry)

    asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("took_s", "between_s"), [(0.0, BETWEEN_S), (0.06, 0.03), (60.0, BETWEEN_MAX_S)], ids=["fast", "slow", "hangs"]
)
def test_transactions_of_one_worker_begin_apart_by_half_of_what_one_takes(
    took_s: float, between_s: float, stands_still: list[float]
) -> None:
    pace = Pace()
    pace.took(took_s)
    turns(pace, 3)
    assert stands_still == pytest.approx([between_s, 2 * between_s])


def test_who_is_in_a_hurry_waits_for_nobody(stands_still: list[float]) -> None:
    pace = Pace()
    pace.took(60.0)
    turns(pace, 20, hurried=True)
    assert stands_still == []


def test_who_is_in_a_hurry_takes_no_turn_of_the_others(stands_still: list[float]) -> None:
    pace = Pace()
    pace.took(60.0)
    turns(pace, 20, hurried=True)
    turns(pace, 1)
    assert stands_still == []


def test_while_input_waits_publishing_rests_for_what_the_core_owes_the_fold(stands_still: list[float]) -> None:
    pace = Pace(share=0.5)
    pace.behind()
    pace.took_of_core(0.1)
    turns(pace, 1)
    assert stands_still == pytest.approx([0.1], abs=0.05)  # what a transaction itself costs comes on top


def test_once_the_fold_has_caught_up_nothing_is_owed(stands_still: list[float]) -> None:
    pace = Pace(share=0.5)
    pace.took_of_core(0.1)
    turns(pace, 1)
    assert stands_still == []
