"""The store in memory and a real Redis, asked the same at random: every answer is the same."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from sinks.commit import Answer, Load
from sinks.store import erase_mark
from tests.contract.stores import ERASE_KEY, PARTITION, Driven, commit, memory, real, record, write

NAMES = tuple("abcdefgh")
MARKS = tuple(erase_mark(ERASE_KEY, name) for name in NAMES)
SEEDS = 12
STEPS = 60


class Twins:
    """Both stores, and what an owner of the partition would know."""

    def __init__(self, rng: Random, *stores: Driven) -> None:
        self.rng, self.stores = rng, stores
        self.entry = "0-0"
        self.seen: set[str] = set()

    def both(self, name: str, *args: Any) -> Any:
        """The one answer of both."""
        here, there = (getattr(store, name)(*args) for store in self.stores)
        assert _plain(here) == _plain(there), f"{name}{args}"
        return here

    def step(self) -> None:
        """One call, seldom a foolish one."""
        kind = self.rng.choices(("commit", "load", "publish", "epoch", "fence"), (10, 6, 5, 1, 1))[0]
        getattr(self, kind)()

    def fence(self) -> None:
        self.both("fence", PARTITION)
        self.both("outbox_size", PARTITION)
        for store_view in ("due", "kpi"):
            self.both(store_view)
        self.both("view", self.rng.choice(NAMES))

    def epoch(self) -> None:
        self.both("take_epoch", PARTITION)

    def load(self) -> None:
        rng = self.rng
        ids = tuple(rng.sample(NAMES, rng.randint(0, 4)))
        until, limit = rng.choice((None, rng.randint(0, 3_000))), rng.randint(1, 5)
        fence = self.both("fence", PARTITION)
        stands = (fence.epoch - (rng.random() < 0.2), fence.seq + (rng.random() < 0.2)) if rng.random() < 0.7 else ()
        loaded = self.both("load", PARTITION, Load(ids, until, limit, *stands))
        self.seen.add("loads refused" if loaded.fenced else "loads")

    def commit(self) -> None:
        rng = self.rng
        fence = self.both("fence", PARTITION)
        foolish = rng.random() < 0.15
        more: dict[str, Any] = {
            "writes": tuple(
                write(
                    name, due=rng.randint(0, 3_000), value=rng.randint(-(2**60), 2**60), tier=rng.choice((None, "gold"))
                )
                for name in rng.sample(NAMES, rng.randint(0, 3))
            ),
            "erased": {name: rng.randint(0, 2**60) for name in rng.sample(NAMES, 1) if rng.random() < 0.15},
            "marks": {rng.choice(MARKS): rng.randint(0, 2**53) for _ in range(rng.random() < 0.1)},
            "outbox": tuple(record(n, rng.choice((None, *NAMES))) for n in range(rng.randint(0, 4))),
            "counts": {"x": rng.randint(-5, 5)},
            "all_due": rng.random() < 0.1,
            "leaps_from": fence.seq - rng.randint(0, 1) if rng.random() < 0.1 else None,
            "positions_from": {"purchases": fence.positions.get("purchases", 0) + (foolish and rng.randint(0, 1))},
        }
        seq = fence.seq + 1 + (rng.randint(-2, 2) if foolish and more["leaps_from"] is None else 0)
        seq += rng.randint(0, 3) if more["leaps_from"] is not None else 0
        answer = self.both("commit", commit(fence.epoch - (foolish and rng.randint(0, 1)), seq, **more))
        self.seen.add(answer.name)

    def publish(self) -> None:
        rng = self.rng
        pending = self.both("pending", PARTITION, self.entry, rng.randint(1, 6), rng.randint(1, 4))
        if pending.entries:
            self.entry = pending.entries[-1][0]
        self.both("published", PARTITION, self.entry, pending.views_seq)


def _plain(answer: Any) -> Any:
    """Views of a pending as dictionaries: a hash has no order."""
    if not hasattr(answer, "views_seq"):
        return answer
    views = [(name, dict(zip(fields[::2], fields[1::2], strict=True))) for name, fields in answer.views]
    return answer.entries, views, answer.views_seq, answer.fence


@pytest.mark.parametrize("seed", range(SEEDS))
def test_D1_both_stores_answer_alike(redis_url: str, seed: int) -> None:
    with memory() as one, real(redis_url) as other:
        twins = Twins(Random(seed), one, other)
        twins.epoch()
        for _ in range(STEPS):
            twins.step()
        twins.fence()
        assert twins.seen >= {Answer.DONE.name, Answer.FENCED.name, "loads", "loads refused"}
