"""Runs each scenario on the core and on the oracle: two engines that share no line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import pytest

from processors.review import evaluated
from processors.view import view
from tests.core.driving import Partition
from tests.oracle import Life, dates, whole
from tests.scenarios.language import Line, Plain, Scenario, listed
from tests.strategies import event_of, parsed, policy_of

FILES = sorted(Path(__file__).parent.glob("*.txt"))


class Engine(Protocol):
    """What a scenario needs of an engine."""

    def take(self, events: list[Plain | int]) -> None:
        """Events in the order of the log; numbers are ticks."""

    def view(self, who: str) -> Plain | None:
        """The view as of the later of clock and the customer's own time."""

    def told(self, who: str) -> list[Plain]:
        """`to_tier` and `at` of each change; and, if it can say why: `code`, `have`, `need`, `keep_until`."""


class Core:
    """The production core, in one batch or one a line."""

    def __init__(self, policy: str, *, at_once: bool) -> None:
        self.partition, self.at_once = Partition(policy_of(policy)), at_once

    def take(self, events: list[Plain | int]) -> None:
        log: list[Any] = []
        for event in events:
            log += [event if isinstance(event, int) else event_of(event)] + ([] if self.at_once else [None])
        self.partition.run(log)
        relayed, self.partition.referrals = self.partition.referrals, []
        self.partition.run(relayed)

    def view(self, who: str) -> Plain | None:
        customer, clock = self.partition.customers.get(who), self.partition.clock
        if customer is None:
            return None
        return view(evaluated(customer, -1 if clock is None else clock, self.partition.policy), self.partition.policy)

    def told(self, who: str) -> list[Plain]:
        fields = ("to_tier", "at", "code", "have", "need", "keep_until")
        return [{n: getattr(one, n) for n in fields} for one in self.partition.told if one.customer_id == who]


class Oracle:
    """The contract's sentences, slow."""

    def __init__(self, policy: str) -> None:
        self.policy, self.lives, self.clock = parsed(policy), {}, -1

    def take(self, events: list[Plain | int]) -> None:
        for event in events:
            if isinstance(event, int):
                self.clock = max(self.clock, event)
                for one in self.lives.values():
                    one.take({"topic": "ticks", "at": event})
                continue
            for name, own in whole.histories([event]).items():
                self.lives.setdefault(name, Life(self.policy))
                for each in own:
                    self.lives[name].take(each)
                self.lives[name].take({"topic": "ticks", "at": self.clock})

    def view(self, who: str) -> Plain | None:
        return self.lives[who].view(self.clock) if who in self.lives else None

    def told(self, who: str) -> list[Plain]:
        return [{"to_tier": one.to_tier, "at": one.at} for one in self.lives[who].changes]


ENGINES = {
    "core, a batch a line": lambda policy: Core(policy, at_once=False),
    "core, one batch": lambda policy: Core(policy, at_once=True),
    "oracle": Oracle,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(file: Path, engine: str) -> None:
    scenario = Scenario(file.name, file.read_text())
    run = ENGINES[engine](scenario.policy)
    waiting: list[Plain | int] = []
    asked = 0
    for line in scenario.lines:
        if line.word == "when":
            waiting.append(scenario.event(line))
            continue
        assert line.word == "then", f"{line.place}: begins with {line.word!r}; given, when or then"
        run.take(waiting)
        waiting = []
        ask(run, scenario, line)
        asked += 1
    assert asked, f"{file.name} asks nothing"
    assert not waiting, f"{file.name}: what is behind the last `then` is never looked at"


def ask(run: Engine, scenario: Scenario, line: Line) -> None:
    who, what = line.text.split(" ", 1)
    for pattern, check in _QUESTIONS:
        found = re.fullmatch(pattern, what)
        if found:
            check(run, scenario, who, found, line.place)
            return
    raise ValueError(f"{line.place}: no such question: {what!r}; tests/scenarios/README.md has them all")


def _unknown(run: Engine, _: Scenario, who: str, found: re.Match[str], place: str) -> None:
    assert run.view(who) is None, place


def _is(run: Engine, scenario: Scenario, who: str, found: re.Match[str], place: str) -> None:
    seen, since = run.view(who), scenario.time(found["since"])
    assert seen is not None, f"{place}: {who} is unknown"
    assert (seen["tier"], shown(seen["tier_since"])) == (found["tier"], shown(since)), place
    told = run.told(who)[-1] if run.told(who) else {}
    if "code" not in told:
        return  # this engine does not say why
    if found["code"]:
        assert (told["code"], told["have"], told["need"]) == (found["code"], int(found["have"]), int(found["need"])), (
            place
        )
    if found["until"]:
        assert shown(told["keep_until"]) == shown(scenario.time(found["until"])), place
    if found["good"]:
        assert told["keep_until"] is None, place


def _told(run: Engine, scenario: Scenario, who: str, found: re.Match[str], place: str) -> None:
    expected = [one.removeprefix("of ").split(" at ") for one in listed(found[1])] if found[1] != "nothing" else []
    told = [(one["to_tier"], shown(one["at"])) for one in run.told(who)]
    assert told == [(tier, shown(scenario.time(at))) for tier, at in expected], place


def _has(run: Engine, scenario: Scenario, who: str, found: re.Match[str], place: str) -> None:
    seen = run.view(who)
    assert seen is not None, f"{place}: {who} is unknown"
    for item in listed(found[1]):
        name, text = item.split(" ")
        expected = None if text == "none" else scenario.time(text) if "T" in text else float(text)
        assert seen[name] == expected, f"{place}: {name} is {seen[name]}"


def _next(run: Engine, scenario: Scenario, who: str, found: re.Match[str], place: str) -> None:
    seen = run.view(who)
    assert seen is not None, f"{place}: {who} is unknown"
    expected = dates.NEVER_MS if found[1] is None else scenario.time(found[1])
    assert seen["next_review_at"] == expected, f"{place}: {shown(seen['next_review_at'])}"


def shown(ms: int | None) -> str:
    return "never" if ms is None or ms >= dates.NEVER_MS else dates.utc(ms).isoformat(timespec="milliseconds")


_QUESTIONS = (
    (r"is unknown", _unknown),
    (r"is next reviewed (?:never|at (\S+))", _next),
    (
        r"is (?P<tier>\S+) since (?P<since>\S+)(?: because (?P<code>\S+) (?P<have>-?\d+) of (?P<need>-?\d+))?"
        r"(?: until (?P<until>\S+)|(?P<good> for good))?",
        _is,
    ),
    (r"was told (nothing|of .+)", _told),
    (r"has (.+)", _has),
)
