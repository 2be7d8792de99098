"""D1 and the promises of the fence: whatever crashes, each event is folded once and each output told once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.faults import RATES
from tests.simulation.run import run

SEEDS = 200
CHUNK = 20

_happened: dict[int, Counter[str]] = {}


def _chunk(first: int) -> Counter[str]:
    """What happened in the seeds of a chunk, run once."""
    if first not in _happened:
        total: Counter[str] = Counter()
        for seed in range(first, first + CHUNK):
            outcome = run(seed)
            if outcome.error is not None:
                pytest.fail(outcome.report(), pytrace=False)
            total += outcome.happened
        _happened[first] = total
    return _happened[first]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_D1_each_event_is_folded_once_and_each_output_told_once_whatever_crashes(first: int) -> None:
    assert _chunk(first)["redelivery"] > 0


@pytest.mark.timeout(300)
def test_every_fault_happens_within_forty_seeds() -> None:
    happened = _chunk(0) + _chunk(CHUNK)
    missing = [fault for fault in (*RATES, "fenced", "recovered", "compacted", "misplaced") if not happened[fault]]
    assert not missing, f"a run without faults proves nothing: {missing}"


def test_a_seed_is_the_whole_report() -> None:
    assert run(7).happened == run(7).happened
