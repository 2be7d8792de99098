"""python -m tests.simulation.mutants [NAME …]: the loop broken on purpose, and whether a seed notices.

Ends with one JSON line a mutant.

A mutant replaces one function of the production code, or of the model around it, by one that leaves something out.
What no seed within `--seeds` notices is a hole in the simulator.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from processors import customer, history
from processors.customer import Customer
from processors.events import Tick
from processors.step import Batch
from sinks import memory
from sinks.commit import Answer, Commit, Load, Loaded
from streams import time_order
from streams.partition import PartitionLoop
from streams.plan import Planner, first_tick, item_of
from streams.recovery import Recovery
from tests.simulation import world
from tests.simulation.publisher import Publisher
from tests.simulation.run import run
from tests.simulation.world import Owner, World

Mutant = Callable[[], AbstractContextManager[Any]]


def _fence_check() -> AbstractContextManager[Any]:
    """Neither epoch nor offsets are checked."""
    return patch.object(memory, "_admitted", lambda fence, commit: Answer.DONE)


def _epoch_check() -> AbstractContextManager[Any]:
    """The offsets are checked, the owner is not."""
    real = memory._admitted
    return patch.object(memory, "_admitted", lambda fence, commit: real({**fence, "epoch": str(commit.epoch)}, commit))


def _already() -> AbstractContextManager[Any]:
    """A repeat is written again."""

    def admitted(fence: dict[str, str], commit: Commit) -> Answer:
        return Answer.DONE if fence.get("epoch") == str(commit.epoch) else Answer.FENCED

    return patch.object(memory, "_admitted", admitted)


def _outbox_position() -> AbstractContextManager[Any]:
    """The position is not in the transaction: it is written after it, by itself."""
    real = Publisher._publish

    def publish(self: Publisher, pending: Any) -> Iterator[str]:
        producer = self._producer
        assert producer is not None
        held: list[Any] = []
        send, commit = producer.send, producer.commit

        def later(topic: str, *record: Any) -> None:
            held.append((topic, *record)) if topic == "outbox-positions" else send(topic, *record)

        with patch.object(producer, "send", later), patch.object(producer, "commit", commit):
            for place in real(self, pending):
                if place == "trimmed":
                    for record in held:
                        send(*record)
                yield place

    return patch.object(Publisher, "_publish", publish)


def _due_entry() -> AbstractContextManager[Any]:
    """Who was reviewed keeps their old due entry."""
    real = memory.MemoryStore.commit

    def commit(self: memory.MemoryStore, one: Commit) -> Answer:
        before = dict(self.partition(one.partition).due)
        answer = real(self, one)
        if answer is Answer.DONE and not one.all_due:
            held = self.partition(one.partition).due
            held.update({name: at for name, at in before.items() if name in held and at > 0})
        return answer

    return patch.object(memory.MemoryStore, "commit", commit)


def _dedupe_horizon() -> AbstractContextManager[Any]:
    """The id of an event that is still accepted is dropped a millisecond too early."""
    real = history.with_seen
    early = lambda seen, key, at, content, keep: real(seen, key, at, content, keep + 1)  # noqa: E731
    return patch.object(customer, "with_seen", early)


def _too_late() -> AbstractContextManager[Any]:
    """What lies exactly at the horizon is refused."""
    real = Planner._in_time

    def in_time(self: Planner, plan: Any, item: Any, event: Any, recorded_at: int) -> bool:
        edge = plan.clock is not None and event.occurred_at == plan.clock - self.config.horizon_ms
        if edge:
            self.refuse(plan, item, "TooLate", "")
        return not edge and real(self, plan, item, event, recorded_at)

    return patch.object(Planner, "_in_time", in_time)


def _seek_committed() -> AbstractContextManager[Any]:
    """A new owner starts at Kafka's committed offsets."""

    def seek(self: World, partition: int, fence: Any) -> dict[str, int]:
        return {**fence.positions, **self.mirrored.get(partition, {})}

    return patch.object(World, "seek", seek)


def _redelivery() -> AbstractContextManager[Any]:
    """What was received before is taken again."""

    def receive(self: PartitionLoop, topic: str, records: Any, position: int) -> None:
        self._order.put(topic, [item_of(topic, r, self._config.max_ahead_ms) for r in records], position)

    return patch.object(PartitionLoop, "receive", receive)


def _tick_before_the_last_slice() -> AbstractContextManager[Any]:
    """The tick's offset moves with the first slice."""
    return patch.object(Loaded, "holds", lambda *_: True)


def _due_left() -> AbstractContextManager[Any]:
    """After a tick that changed what holds, the next tick does not wait for those still to be reviewed."""
    return patch.object(PartitionLoop, "_ready", lambda self: self._held)


def _cache_after_erase() -> AbstractContextManager[Any]:
    """Who was erased stays in the cache."""
    real = PartitionLoop._remember

    def remember(self: PartitionLoop, commit: Commit, changes: Any) -> None:
        kept = {name: self._cache.get(name) for name, one in changes.customers.items() if one is None}
        real(self, commit, changes)
        self._cache.update({name: held for name, held in kept.items() if held is not None})

    return patch.object(PartitionLoop, "_remember", remember)


def _loop_outlives_the_fence() -> AbstractContextManager[Any]:
    """A loop that was fenced goes on with what it remembers, under the new epoch."""
    real = Owner._commit

    def commit(self: Owner, loop: PartitionLoop, one: Commit) -> Iterator[str]:
        store = self.world.store
        held = store.fence(one.partition)
        if held.epoch != one.epoch:
            one = replace(one, epoch=held.epoch, seq=held.seq + 1, positions_from={})
        yield from real(self, loop, one)

    return patch.object(Owner, "_commit", commit)


def _ends_before_the_tick() -> AbstractContextManager[Any]:
    """A tick goes when the ends known from long ago are reached."""
    real = time_order.TimeOrder.ends
    return patch.object(time_order.TimeOrder, "ends", lambda self, ends, asked: real(self, ends, 1 << 60))


def _late_before_the_tick() -> AbstractContextManager[Any]:
    """An event that missed a tick is folded before what that tick made due, where one batch holds both."""
    real = Batch.fold

    def fold(self: Batch, event: Any, clock: int | None) -> None:
        real(self, event, clock if clock is None else min(clock, event.occurred_at - 1))

    return patch.object(Batch, "fold", fold)


def _policy_of_a_later_tick() -> AbstractContextManager[Any]:
    """In slices a plain tick takes over the policy that a later one names."""
    real = PartitionLoop._what_holds

    def what_holds(self: PartitionLoop, items: Any) -> Any:
        key, shares, changed = real(self, items)
        following = self._next_policy
        if items and items[-1].topic == "ticks" and following is not None and following.key != key:
            return following.key, shares, True
        return key, shares, changed

    return patch.object(PartitionLoop, "_what_holds", what_holds)


def _stale_load() -> AbstractContextManager[Any]:
    """What a batch loads is older than the commit before."""
    real = memory.MemoryStore.load
    held: dict[tuple[int, str], Customer | None] = {}

    def load(self: memory.MemoryStore, partition: int, one: Load) -> Loaded:
        now = real(self, partition, one)
        before = {name: held.get((id(self), name), customer) for name, customer in now.customers.items()}
        held.update({(id(self), name): customer for name, customer in now.customers.items()})
        return Loaded(before, now.due, now.reach, now.not_before)

    return patch.object(memory.MemoryStore, "load", load)


def _short_recovery() -> AbstractContextManager[Any]:
    """A recovery that was cut short is not known as one."""
    return patch.object(Recovery, "_make_commit", PartitionLoop._make_commit)


def _leap_from_anywhere() -> AbstractContextManager[Any]:
    """The end of a recovery does not look at the commit before it."""
    real = memory._admitted

    def admitted(fence: dict[str, str], commit: Commit) -> Answer:
        leaps = commit.leaps_from is not None and int(fence["seq"]) < commit.seq
        return real({**fence, "seq": str(commit.leaps_from)} if leaps else fence, commit)

    return patch.object(memory, "_admitted", admitted)


def _erases_forgotten() -> AbstractContextManager[Any]:
    """A recovery does not read who was erased, and compaction has taken the nulls."""
    return patch.object(world, "erased_of", lambda *_: {})


def _served_with_the_first_slice() -> AbstractContextManager[Any]:
    """What a tick says of employees is told before its offset moves."""

    def cut(self: Any, plan: Any, loaded: Any, known: Any) -> None:
        if first_tick(plan.items):
            real(self, plan, loaded, known)
            return
        head = self._plan = self._planner.planned(plan.items[:1], self._fence.clock, self._cache)
        outcome = self._fold(head, loaded, known)
        if not (outcome.done and loaded.holds(head.clock)):
            head.items, head.clock = [], self._fence.clock
        self._make_commit(head, outcome)

    real = PartitionLoop._cut
    return patch.object(PartitionLoop, "_cut", cut)


def _stale_tick_speaks() -> AbstractContextManager[Any]:
    """A tick before the clock says how employees serve, too."""

    def planned(self: Planner, items: Any, clock: int | None, placed: Any) -> Any:
        plan = real(self, items, clock, placed)
        for item in items:
            if isinstance(item.event, Tick) and clock is not None and item.event.at < clock:
                self._served(plan, item, item.event)
        return plan

    real = Planner.planned
    return patch.object(Planner, "planned", planned)


MUTANTS: dict[str, Mutant] = {
    "fence-check": _fence_check,
    "outbox-position": _outbox_position,
    "due-entry": _due_entry,
    "dedupe-horizon": _dedupe_horizon,
    "seek-committed": _seek_committed,
    "epoch-check": _epoch_check,
    "already": _already,
    "too-late": _too_late,
    "redelivery": _redelivery,
    "tick-before-the-last-slice": _tick_before_the_last_slice,
    "due-left": _due_left,
    "cache-after-erase": _cache_after_erase,
    "loop-outlives-the-fence": _loop_outlives_the_fence,
    "ends-before-the-tick": _ends_before_the_tick,
    "late-before-the-tick": _late_before_the_tick,
    "policy-of-a-later-tick": _policy_of_a_later_tick,
    "stale-load": _stale_load,
    "short-recovery": _short_recovery,
    "leap-from-anywhere": _leap_from_anywhere,
    "erases-forgotten": _erases_forgotten,
    "served-with-the-first-slice": _served_with_the_first_slice,
    "stale-tick-speaks": _stale_tick_speaks,
}


_MISFIT = re.compile(r"^(TypeError|AttributeError|NameError)\b", re.MULTILINE)


@contextmanager
def _broken(name: str) -> Iterator[None]:
    with MUTANTS[name]():
        yield


def caught_by(name: str, seeds: int) -> int | None:
    """The first seed that notices, None if none does. Raises where the mutant itself is broken: it fits the code no
    more, and any seed would notice that."""
    with _broken(name):
        for seed in range(seeds):
            error = run(seed).error
            if error is not None:
                if _MISFIT.search(error):
                    raise AssertionError(f"mutant {name} does not fit the code any more: {error}")
                return seed
    return None


def main() -> int:
    """0 where every mutant was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these (all)")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds a mutant may live (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    args = parser.parse_args()
    names = args.names or list(MUTANTS)
    alive = 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for name, seed in zip(names, pool.map(caught_by, names, [args.seeds] * len(names)), strict=True):
            print(json.dumps({"mutant": name, "caught_by_seed": seed}), flush=True)
            alive += seed is None
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
