"""A budget by stage: where the loop spends its time on W1 and with all rules on: python -m tests.bench.budget.

One partition of the peers' purchases goes through the loop as record sets do, without Kafka and Redis; what is timed is
the CPU of the process. A stage is what a few functions take without those of other stages that they call; each timed
call costs some 0.3 us more. What fetching, sockets and publishing take is the difference to the CPU of `make
bench-peers`.
"""

from __future__ import annotations

import functools
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from processors import review, step
from processors.policy import load_policy
from schemas import topics
from schemas.partitioner import partition_of
from sinks import store
from sinks.commit import Commit, Load, Loaded
from sinks.memory import MemoryStore
from streams import outgoing
from streams.datasets import repeated_cdnow
from streams.outgoing import Outgoing
from streams.partition import AskEnds, PartitionLoop
from streams.plan import LoopConfig
from streams.texts import wording
from streams.time_order import End
from tests.bench.__main__ import pinned
from tests.bench.driving import Bought, Tick
from tests.bench.marked import Part, kept, machine
from tests.bench.peers import work

PARTITIONS: Final = 12
SET_RECORDS: Final = 1_000
DAY_MS: Final = 86_400_000


class Stage(NamedTuple):
    """functions: (owner, name) of those whose own time it is. least: what it cannot do without, and what that takes."""

    name: str
    functions: tuple[tuple[Any, str], ...]
    least: str


_MADE: Final = ("_tier_change", "_churn_risk", "_care_reminder")
STAGES: Final = (
    Stage("decode", ((PartitionLoop, "receive"),), "1.75 us: a complete hand-written decoder"),
    Stage("order, plan", ((PartitionLoop, "work"),), "a comparison a record"),
    Stage(
        "fold", ((PartitionLoop, "_fold"),), "1 to 2 us: two sums and a set of ids, without days, categories, margin"
    ),
    Stage("review", ((step, "review"), (review, "review")), "a tier by a sum; here each also finds the next instant"),
    Stage("care", ((review, "_care"),), "nothing on W1; a look at 23 kinds in each review with all rules"),
    Stage("tell tiers", ((review.tier, "changes"),), "one search a change: until when the tier keeps by itself"),
    Stage("figures", ((step.Batch, "changes"),), "W1 keeps none; with all rules 40 sums that a change moves"),
    Stage("views", ((PartitionLoop, "_write"),), "1.8 us to format and send five fields; here 50"),
    Stage(
        "outputs",
        (*((Outgoing, name) for name in _MADE), (outgoing, "_told")),
        "an Avro record and seven headers an output",
    ),
    Stage("commit", ((PartitionLoop, "_make_commit"), (PartitionLoop, "committed")), "a copy of what changed"),
    Stage("encode", ((store, "packed"),), "the bytes of state, view and outputs, once"),
)
REST: Final = "rest"


class Clock:
    """Seconds by stage. A stage does not count what another one takes within it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._stages = [REST]
        self._since = time.process_time()

    def turn(self) -> None:
        """What has passed is the current stage's."""
        now = time.process_time()
        self.seconds[self._stages[-1]] += now - self._since
        self._since = now

    def timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def within(*args: Any, **named: Any) -> Any:
            self.calls[stage] += 1
            self.turn()
            self._stages.append(stage)
            try:
                return call(*args, **named)
            finally:
                self.turn()
                self._stages.pop()

        return within


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Each stage's functions timed."""
    before = [(owner, name, getattr(owner, name)) for stage in STAGES for owner, name in stage.functions]
    for stage in STAGES:
        for owner, name in stage.functions:
            setattr(owner, name, clock.timed(stage.name, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, call in before:
            setattr(owner, name, call)


def budget(policy_text: str, events: int) -> dict[str, Any]:
    """Microseconds an event by stage, and how often there was what. events: of all partitions together."""
    policy = load_policy(policy_text)
    mine = (one for one in repeated_cdnow(events) if partition_of(one.customer_id.encode(), PARTITIONS) == 0)
    records = [Bought(offset, one) for offset, one in enumerate(mine)]
    ticks = [Tick(0, records[0].timestamp - DAY_MS)]
    kept_in = MemoryStore()
    config = LoopConfig(
        partitions=PARTITIONS, policy=policy, outgoing=Outgoing(kept_in.mark, wording), cache=200_000,
        batch_records=10_000, buffer_records=10_000,
    )  # fmt: skip
    loop = PartitionLoop(0, kept_in.take_epoch(0), config)
    clock, seen = Clock(), Counter[str]()
    with watched(clock):
        loop.receive(topics.TICKS, ticks, len(ticks))
        for first in range(0, len(records), SET_RECORDS):
            some = records[first : first + SET_RECORDS]
            loop.receive(topics.PURCHASES, some, first + len(some))
            if not loop.wanted(topics.PURCHASES) or first + len(some) == len(records):
                _work(loop, kept_in, {topics.TICKS: len(ticks), topics.PURCHASES: first + len(some)}, seen)
        clock.turn()
    number = len(records)
    spent = {stage.name: round(1e6 * clock.seconds[stage.name] / number, 1) for stage in STAGES}
    return {
        "events": number,
        "us": spent,
        "all_us": round(sum(spent.values()), 1),
        "reviews": round(clock.calls["review"] / number, 2),
        "writes": round(seen["writes"] / number, 2),
        "outputs": round(seen["outputs"] / number, 2),
    }


def _work(loop: PartitionLoop, kept_in: MemoryStore, ends: dict[str, int], seen: Counter[str]) -> None:
    """All that the loop asks for; the store's own time is nobody's."""
    while (effect := loop.work()) is not None:
        match effect:
            case Load():
                began = time.perf_counter()
                loop.loaded(kept_in.load(0, effect) if effect.asks else Loaded({}))
                loop.took(time.perf_counter() - began)
            case Commit():
                store.packed(effect, {})
                seen["writes"] += len(effect.writes)
                seen["outputs"] += len(effect.outbox)
                loop.committed(kept_in.commit(effect))
                kept_in.partition(0).outbox.clear()
            case AskEnds():
                at = {topic: ends.get(topic, 0) for topic in topics.INPUTS}
                loop.ends({topic: End(end, end) for topic, end in at.items()}, effect.asked)
            case _:
                raise AssertionError(effect)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line a stage, a column a policy."""
    w1, full = rows
    lines = ["| stage | value and tiers | all rules | what it cannot do without |", "|---|---:|---:|---|"]
    lines += [f"| {one.name} | {w1['us'][one.name]} | {full['us'][one.name]} | {one.least} |" for one in STAGES]
    lines.append(f"| the loop, us an event | **{w1['all_us']}** | **{full['all_us']}** | |")
    for what, words in (("reviews", "reviews"), ("writes", "customers written"), ("outputs", "outputs")):
        lines.append(f"| {words} an event | {w1[what]} | {full[what]} | |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m tests.bench.budget", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="of all twelve partitions (default: 300,000)")
    parser.add_argument("--print", action="store_true", help="write no page")
    args = parser.parse_args(argv)
    with pinned(1):
        rows = [budget(text(), args.events) for text in (work.policy_w1, work.policy_full)]
    body = f"{table(rows)}\n\n{machine()}\n\n{kept(rows)}"
    if args.print:
        print(body)
    else:
        Part("performance.md", "budget").write(body)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
