"""The systems side by side: how each is started, and what it promises about Redis."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.peers import java, work
from tests.bench.peers.work import ROOT

PYTHON: Final = ROOT / ".venv-peers" / "bin" / "python"
PROGRAMS: Final = Path(__file__).with_name("programs")
OURS_PROMISE: Final = "fenced writes, each output once, resumes where Redis stands"


class System(NamedTuple):
    """One row. commands: from an empty folder, what runs one after the other, the last of them the peer itself.
    policy: of ours; daily: with a tick a day instead of one before the first purchase."""

    name: str
    what: str
    guarantee: str
    commands: Callable[[Path], list[list[str]]]
    policy: Callable[[], str] | None = None
    daily: bool = False
    capped: bool = False


def _program(name: str) -> Callable[[Path], list[list[str]]]:
    return lambda _: [[str(PYTHON), str(PROGRAMS / f"{name}.py")]]


def _bytewax(folder: Path) -> list[list[str]]:
    kept = folder / "recovery"
    kept.mkdir()
    run = [str(PYTHON), "-m", "bytewax.run", "bytewax_flow:flow", "-r", str(kept), "-s", "1", "-b", "0"]
    return [[str(PYTHON), "-m", "bytewax.recovery", str(kept), "1"], run]


def _streams(guarantee: str) -> Callable[[Path], list[list[str]]]:
    def commands(folder: Path) -> list[list[str]]:
        out = folder / "classes"
        out.mkdir()
        return [java.program("StreamsW1", out, guarantee)]

    return commands


def _worker(_: Path) -> list[list[str]]:
    return [[sys.executable, "-m", "streams", "worker"]]


SYSTEMS: Final = (
    System("loyalty-w1", "this project, value and tiers alone", OURS_PROMISE, _worker, work.policy_w1),
    System("faust", "faust-streaming 0.15.3, `take` and a dict", "none after a restart", _program("faust_take")),
    System("quixstreams-eos", "Quix Streams 3.28.1, exactly-once", "at least once to Redis", _program("quix")),
    System("bytewax", "Bytewax 0.21.1, recovery each second", "at least once", _bytewax),
    System("pathway", "Pathway 0.33.0, a snapshot each second", "at least once", _program("pathway_graph")),
    System(
        "kafka-streams-eos", "Kafka Streams 4.4.0, exactly_once_v2", "at least once to Redis",
        _streams("exactly_once_v2"),
    ),
    System("kafka-streams", "Kafka Streams 4.4.0, at least once", "at least once", _streams("at_least_once")),
    System("loyalty-w1-daily", "as loyalty-w1, a tick a day", OURS_PROMISE, _worker, work.policy_w1, daily=True),
    System(
        "loyalty-full", "this project, all rules of the shipped policy", OURS_PROMISE, _worker, work.policy_full,
        capped=True,
    ),
    System(
        "loyalty-full-daily", "as loyalty-full, a tick a day", OURS_PROMISE, _worker, work.policy_full, daily=True,
        capped=True,
    ),
)  # fmt: skip
