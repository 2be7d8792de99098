"""One seed: an input, what became of it, and whether all held. And what became of many."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from tests.fuzz.inputs import Input, make
from tests.fuzz.judge import DEAD, judge


class Outcome(Struct):
    """What a seed came to. kind: what became of the record; dlq: the class of its dead letter; error: None where all
    held; told: the input, for a person."""

    seed: int
    topic: str
    mutation: str
    kind: str = ""
    dlq: str = ""
    error: str | None = None
    told: str = ""

    def report(self) -> str:
        """For a person: the record, what does not hold, and the way to see it again."""
        what = self.error or f"{self.kind} {self.dlq}".strip()
        return f"{self.told}\n{what}\nseed {self.seed}: make fuzz SEED={self.seed}"


class Happened(Struct):
    """What many seeds came to. kinds, errors (classes of dead letters), mutations, topics: how often each."""

    inputs: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    mutations: Counter[str] = msgspec.field(default_factory=Counter)
    topics: Counter[str] = msgspec.field(default_factory=Counter)
    failed: list[Outcome] = msgspec.field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        """One more."""
        self.inputs += 1
        self.mutations[outcome.mutation] += 1
        self.topics[outcome.topic] += 1
        if outcome.error is not None:
            self.failed.append(outcome)
            return
        self.kinds[outcome.kind] += 1
        if outcome.kind == DEAD:
            self.errors[outcome.dlq] += 1

    def add(self, other: Happened) -> None:
        """Those of another, too."""
        self.inputs += other.inputs
        self.failed += other.failed
        for name in ("kinds", "errors", "mutations", "topics"):
            getattr(self, name).update(getattr(other, name))

    def summary(self) -> dict[str, Any]:
        """For the JSON line."""
        kinds = {f"{name.replace(' ', '_')}s" if name == DEAD else name: n for name, n in sorted(self.kinds.items())}
        return {
            "inputs": self.inputs, **kinds, "by_error": dict(self.errors.most_common()),
            "by_topic": dict(self.topics.most_common()), "failed": len(self.failed),
        }  # fmt: skip


def run(seed: int, tell: bool = True) -> Outcome:
    """Never raises: what does not hold is in `error`. tell: `told` of one that held, too."""
    given = make(seed)
    outcome = Outcome(seed, given.topic, given.mutation, told=told(given) if tell else "")
    try:
        outcome.kind, outcome.dlq = judge(given)
    except Exception:
        outcome.error, outcome.told = traceback.format_exc(limit=-6), told(given)
    return outcome


def run_many(seeds: Iterable[int]) -> Happened:
    """What `seeds` come to."""
    happened = Happened()
    for seed in seeds:
        happened.note(run(seed, tell=False))
    return happened


def told(given: Input) -> str:
    """The input, for a person."""
    value = "null" if given.value is None else f"{len(given.value)} bytes {given.value[:2_000].hex()}"
    return (
        f"{given.mutation} on {given.topic} in the world {given.world}, sound: {given.sound}\n"
        f"key {given.key!r:.300}\nrecorded at {given.timestamp}\nvalue {value}"
    )
