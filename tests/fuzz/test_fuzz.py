"""D6: whatever comes, the stream goes on; what cannot be folded is a dead letter that says why, and changes nothing."""

from __future__ import annotations

import pytest

from schemas import errors
from schemas.errors import BadRecord
from schemas.topics import INPUTS
from streams.plan import TOO_FAR_AHEAD, TOO_LATE
from tests.fuzz.inputs import make
from tests.fuzz.judge import DEAD, FOLDED, IGNORED, REROUTED, WAITS
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.run import Happened, run_many

INPUTS_IN_ALL = 20_000
CHUNK = 2_000

_BAD = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, BadRecord)}
EVERY_ERROR = (_BAD - {BadRecord.__name__}) | {TOO_LATE, TOO_FAR_AHEAD, "UnknownCurrency", "TooMuch"}

_happened: dict[int, Happened] = {}


def _chunk(first: int) -> Happened:
    """What became of the inputs of a chunk, run once."""
    if first not in _happened:
        _happened[first] = run_many(range(first, first + CHUNK))
    return _happened[first]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, INPUTS_IN_ALL, CHUNK))
def test_D6_no_input_stops_the_stream_or_is_folded_wrongly_and_a_reason_names_the_field(first: int) -> None:
    happened = _chunk(first)
    if happened.failed:
        pytest.fail("\n\n".join(outcome.report() for outcome in happened.failed[:5]), pytrace=False)
    assert happened.kinds[DEAD] > CHUNK / 4
    assert happened.kinds[FOLDED] > CHUNK / 4


@pytest.mark.timeout(300)
def test_the_fuzzer_is_not_blind() -> None:
    """Within two chunks each mutation, each topic, each error and each fate has come."""
    happened = Happened()
    for first in (0, CHUNK):
        happened.add(_chunk(first))
    assert not set(MUTATIONS) - set(happened.mutations)
    assert not set(INPUTS) - set(happened.topics)
    assert not EVERY_ERROR ^ set(happened.errors), "an error class that no single record causes, or one nobody knows"
    assert not {DEAD, FOLDED, IGNORED, REROUTED, WAITS} - set(happened.kinds)


def test_a_seed_is_the_whole_report() -> None:
    assert make(417) == make(417)
