"""Workers that own partitions, driven one small step at a time in an order that a seed decides.

The production `PartitionLoop` (and `Recovery`) do the work; everything around them is a model: Kafka and its consumer
groups, the publisher, the network between. An owner is two generators, the loop's driver and the publisher; each
`yield` is a place where another may go first, or where the owner dies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import count
from random import Random
from typing import Any

from msgspec import Struct

from schemas.codec import read, write
from schemas.told import LastTold, last_told
from schemas.topics import CUSTOMERS, IDENTITIES, INPUTS, TICKS, TOLD
from sinks.commit import Answer, Commit, Fence, Load, Loaded
from sinks.memory import MemoryStore
from streams.outgoing import Outgoing
from streams.partition import AskEnds, Effect, Fenced, NeedPolicy, PartitionLoop
from streams.plan import LoopConfig
from streams.recovery import Recovery, Target, back_again
from streams.texts import wording
from streams.time_order import End
from tests.simulation.faults import Faults
from tests.simulation.kafka import Kafka, ProducerFenced
from tests.simulation.publisher import OutboxAhead, Publisher, last_position
from tests.simulation.shop import DAY, END, HORIZON, Row, Shop


class Crash(Exception):
    """The worker dies."""


class Sizes(Struct, frozen=True):
    """Bounds of one run. sets: the largest record set; batch, slice, cache: the loop's."""

    sets: int
    batch: int
    slice: int
    cache: int
    workers: int


BIG = Sizes(100_000, 100_000, 100_000, 100_000, 1)


def some_sizes(rng: Random) -> Sizes:
    """Small ones, so that every cut happens."""
    return Sizes(
        rng.choice((1, 3, 10, 40)), rng.choice((1, 3, 8, 20, 100)), rng.choice((1, 2, 3, 50)), rng.choice((1, 4, 100)),
        rng.randint(1, 3),
    )  # fmt: skip


Entry = str | tuple[Commit, Answer]
"""Of the history: what happened, or a commit and its answer."""


class Watched(MemoryStore):
    """The store, watching over the fence: it never goes back, and nobody but the last owner commits."""

    def __init__(self, log: deque[Entry]) -> None:
        super().__init__(erase_key=b"simulation", clock=count(1).__next__)
        self.log = log

    def commit(self, commit: Commit) -> Answer:
        before = dict(self.partition(commit.partition).fence)
        answer = super().commit(commit)
        after = self.partition(commit.partition).fence
        self.log.append((commit, answer))
        if answer is not Answer.DONE:
            assert after == before, "a refused commit changed the fence"
            return answer
        assert before["epoch"] == str(commit.epoch), "the commit of a former owner was taken"
        went_back = [n for n, at in before.items() if n in _ONLY_ON and int(after[n]) < int(at)]
        assert not went_back, f"the fence went back: {went_back}"
        return answer


_ONLY_ON = frozenset((*INPUTS, "seq", "clock"))
"""Fields of the fence that never go back."""


def line(entry: Entry) -> str:
    """One line of the history."""
    if isinstance(entry, str):
        return entry
    commit, answer = entry
    return (
        f"p{commit.partition} commit {commit.epoch}/{commit.seq} {dict(commit.positions_to)} clock {commit.clock} "
        f"writes {[w.customer.id for w in commit.writes]} out {len(commit.outbox)}: {answer.value}"
    )


class Owner:
    """One worker's hold on one partition: alive, or a zombie that does not know yet that another took over."""

    def __init__(self, world: World, worker: int, partition: int) -> None:
        self.world, self.worker, self.partition = world, worker, partition
        self.zombie = self.asleep = False
        self.loop: PartitionLoop | None = None
        self.handed: dict[str, int] = {}
        self.publisher = Publisher(partition, world.kafka, world.store, world.faults, lambda: world.now)
        self.main = self._life()
        self.publishing: Iterator[str] | None = None

    # -- the driver

    def _life(self) -> Iterator[str]:
        world, partition = self.world, self.partition
        fence = world.store.take_epoch(partition)
        world.log.append(f"p{partition} worker {self.worker} takes epoch {fence.epoch} at {dict(fence.positions)}")
        yield "epoch"
        try:
            yield from self.publisher.start()
        except OutboxAhead as ahead:
            yield from self._recover(fence, ahead.position)
        self._begin(PartitionLoop(partition, fence, world.config), fence)
        self.publishing = self.publisher.run()
        while True:
            yield from self._turn()

    def _recover(self, fence: Fence, published: dict[str, Any]) -> Iterator[str]:
        """Fold again up to what was published, then start anew from the fence."""
        world = self.world
        told, erased = told_of(world.kafka, self.partition), erased_of(world.kafka, self.partition)
        returned = back_again(world.store.names(self.partition), world.store.mark, erased)
        target = Target(published["seq"], published["clock"], published["positions"], told, erased, returned)
        recovery = Recovery(self.partition, fence, target, world.config)
        self._begin(recovery, fence)
        while not recovery.done:
            yield from self._turn()
        world.recovered += 1
        world.log.append(f"p{self.partition} recovered up to {target.seq}")
        raise Fenced(f"p{self.partition} is folded again up to what was published")

    def _begin(self, loop: PartitionLoop, fence: Fence) -> None:
        self.loop, self.handed = loop, self.world.seek(self.partition, fence)

    def _turn(self) -> Iterator[str]:
        assert self.loop is not None
        effect = self.loop.work()
        if effect is None:
            yield "idle"
            return
        if self.world.faults.strikes("crash_before"):
            raise Crash
        yield from self._effect(self.loop, effect)

    def _effect(self, loop: PartitionLoop, effect: Effect) -> Iterator[str]:
        match effect:
            case Load():
                loaded = self.world.store.load(self.partition, effect) if effect.asks else Loaded({})
                yield "loaded"
                loop.loaded(loaded)
            case Commit():
                yield from self._commit(loop, effect)
            case AskEnds():
                yield "asked"
                logs = {topic: self.world.kafka.log(topic, self.partition) for topic in INPUTS}
                ends = {topic: End(self.handed.get(topic, 0), log.end) for topic, log in logs.items()}
                yield "ends"
                loop.ends(ends, effect.asked)
            case NeedPolicy():
                yield "policy"
                loop.policy(self.world.shop.policies[effect.key])

    def _commit(self, loop: PartitionLoop, commit: Commit) -> Iterator[str]:
        world, faults = self.world, self.world.faults
        if not self.zombie and faults.strikes("zombie"):
            self.asleep = True
            world.take_over(self)
            yield "fell asleep"
        answer = world.store.commit(commit)
        if faults.strikes("crash_after"):
            raise Crash
        if answer is not Answer.FENCED and faults.strikes("late_copy"):
            world.wandering.append(commit)
        if faults.strikes("duplicate"):
            again = world.store.commit(commit)
            assert again is (Answer.FENCED if answer is Answer.FENCED else Answer.ALREADY), again
        yield "committed"
        if faults.strikes("lost_reply"):
            yield "reply lost"
            answer = world.store.commit(commit)
            assert answer is not Answer.DONE or world.rewound, "a repeat was taken for news"
        loop.committed(answer)
        world.mirror(self.partition, commit.positions_to)

    # -- what the consumer hands over

    def deliver(self) -> None:
        """One record set of one topic, of any size; sometimes from below what was handed over before."""
        loop, rng = self.loop, self.world.rng
        if loop is None:
            return
        kafka, handed_to = self.world.kafka, self.handed
        topics = [t for t in INPUTS if kafka.log(t, self.partition).end > handed_to.get(t, 0) and loop.wanted(t)]
        topic = rng.choice(topics or INPUTS)
        start = handed = self.handed.get(topic, 0)
        if self.world.faults.strikes("redelivery"):
            start = rng.randint(0, handed)
        records, position = kafka.log(topic, self.partition).fetch(start, rng.randint(1, self.world.sizes.sets))
        self.handed[topic] = max(handed, position)
        if records or rng.random() < 0.3:  # a consumer passes markers without a word
            loop.receive(topic, records, position)


class World:
    """One run. `run_until_quiet` raises where something does not hold, or where it does not come to rest."""

    def __init__(self, shop: Shop, rng: Random, faults: Faults, sizes: Sizes) -> None:
        self.shop, self.rng, self.faults, self.sizes = shop, rng, faults, sizes
        self.log: deque[Entry] = deque(maxlen=4_000)
        self.kafka = Kafka(shop.partitions)
        self.store = Watched(self.log)
        self.now = END + DAY
        self.rewound = 0
        self.fenced = self.recovered = self.compacted = 0
        self.wandering: list[Commit] = []
        self.mirrored: dict[int, dict[str, int]] = {}
        self.zombies: list[Owner] = []
        self._unwritten = deque(shop.rows)
        self._saved: Any = None
        self.config = LoopConfig(
            partitions=shop.partitions,
            policy=shop.policy,
            outgoing=Outgoing(self.store.mark, wording),
            horizon_ms=HORIZON,
            batch_records=sizes.batch,
            due_slice=sizes.slice,
            buffer_records=max(4, 2 * sizes.sets),
            cache=sizes.cache,
        )
        if shop.live:
            self.now = shop.rows[0].at
        else:
            self._write(len(shop.rows))
        self.owners = {p: Owner(self, self._worker(), p) for p in range(shop.partitions)}

    # -- inputs

    def _write(self, rows: int) -> None:
        """The tills, tools and the clock write on."""
        for _ in range(min(rows, len(self._unwritten))):
            row = self._unwritten.popleft()
            write_row(self.kafka, row)
            if self.shop.live:
                self.now = row.at

    def seek(self, partition: int, fence: Fence) -> dict[str, int]:
        """Where a consumer starts: at the fence, whatever Kafka's committed offsets say."""
        return dict(fence.positions)

    def mirror(self, partition: int, positions: Mapping[str, int]) -> None:
        """The fence as Kafka's committed offsets, for lag tools."""
        self.mirrored.setdefault(partition, {}).update(positions)

    # -- who owns what

    def _worker(self) -> int:
        return self.rng.randrange(self.sizes.workers)

    def take_over(self, owner: Owner) -> None:
        """Another owner for the partition; the one before lives on as a zombie."""
        self.log.append(f"p{owner.partition} worker {owner.worker} is a zombie")
        owner.zombie = True
        self.zombies.append(owner)
        self.owners[owner.partition] = Owner(self, self._worker(), owner.partition)

    def rebalance(self) -> None:
        """Some partitions move: their loops end where they are, or live on as zombies."""
        for partition, owner in list(self.owners.items()):
            if self.rng.random() < 0.6:
                if self.rng.random() < 0.3:
                    self.take_over(owner)
                else:
                    self.owners[partition] = Owner(self, self._worker(), partition)
        self.log.append("rebalance")

    def crash(self, worker: int) -> None:
        """The worker dies with all it holds; others, or its next life, start again from the fence."""
        self.log.append(f"worker {worker} crashes")
        self.zombies = [z for z in self.zombies if z.worker != worker]
        for partition, owner in list(self.owners.items()):
            if owner.worker == worker:
                self.owners[partition] = Owner(self, self._worker(), partition)

    def _rewind(self) -> None:
        """Redis comes back as it was when it last wrote its file, or empty; compaction has been there meanwhile."""
        empty = self.rng.random() < 0.3
        self.log.append("redis is empty" if empty else "redis rewinds")
        self.rewound += 1
        if empty:
            self._saved = {}
        self.store.partitions = deepcopy(self._saved)
        self.wandering.clear()
        for partition in range(self.shop.partitions):
            self._compact(partition)

    def _compact(self, partition: int) -> None:
        """Nulls on `customers` leave the log, of those that were folded, told, and long there."""
        position = last_position(self.kafka, partition)
        until = 0 if position is None else position["positions"].get(CUSTOMERS, 0)
        self.compacted += self.kafka.log(CUSTOMERS, partition).remove_nulls(until)

    # -- time

    def step(self) -> None:
        """One small thing happens."""
        rng, faults = self.rng, self.faults
        if faults.strikes("rebalance"):
            self.rebalance()
        if self.faults.can("redis_rewind") and rng.random() < 0.003:
            self._saved = deepcopy(self.store.partitions)
        if self._saved is not None and faults.strikes("redis_rewind"):
            self._rewind()
        if self._unwritten and rng.random() < 0.3:
            self._write(rng.randint(1, 12))
        if self.wandering and rng.random() < 0.05:
            commit = self.wandering.pop(rng.randrange(len(self.wandering)))
            assert self.store.commit(commit) is not Answer.DONE, "a late copy of a commit was taken for news"
        if self.zombies and rng.random() < 0.15:
            self._go(rng.choice(self.zombies))
        else:
            self._go(self.owners[rng.randrange(self.shop.partitions)])

    def _go(self, owner: Owner) -> None:
        if owner.asleep and self.owners[owner.partition].loop is None:
            return  # a sleeper wakes at the earliest when another has the next epoch
        draw = self.rng.random()
        try:
            if draw < 0.3:
                owner.deliver()
            elif draw < 0.4 and owner.publishing is not None:
                self._publish(owner)
            else:
                next(owner.main)
        except Fenced:
            self.log.append(f"p{owner.partition} worker {owner.worker} is fenced")
            self.fenced += owner.zombie
            self._gone(owner)
        except ProducerFenced:
            self._gone(owner)
        except Crash:
            self.crash(owner.worker)
            self._gone(owner, replace=False)

    def _publish(self, owner: Owner) -> None:
        assert owner.publishing is not None
        try:
            next(owner.publishing)
        except (ProducerFenced, OutboxAhead) as wrong:
            owner.publishing = None
            if not owner.zombie:
                raise Fenced(f"p{owner.partition}: {wrong!r}") from wrong

    def _gone(self, owner: Owner, replace: bool = True) -> None:
        if owner in self.zombies:
            self.zombies.remove(owner)
        elif replace and self.owners[owner.partition] is owner:
            self.owners[owner.partition] = Owner(self, self._worker(), owner.partition)

    def run_until_quiet(self, steps_max: int = 60_000) -> World:
        """Until all is read, folded and published. Faults end after a while, so that it comes to rest."""
        for n in range(steps_max):
            self.step()
            if n % 50 == 0 and not self._unwritten and self._quiet():
                self._wake_all()
                return self
            if n % 1_000 == 999 and self.rewound and not self._unwritten:
                self._tick_again()
        raise AssertionError(f"no rest after {steps_max} steps: {self._where()}")

    def _tick_again(self) -> None:
        """The clock goes on, so that an owner with nothing to do notices that Redis is not where it left it."""
        for partition in range(self.shop.partitions):
            self.kafka.log(TICKS, partition).append(self.now, None, write(TICKS, {"at": END}))

    def _quiet(self) -> bool:
        return all(
            owner.loop is not None
            and owner.publishing is not None
            and owner.loop.idle
            and self.store.outbox_size(partition) == (0, 0)
            and not any(self._unread(topic, partition) for topic in INPUTS)
            for partition, owner in self.owners.items()
        )

    def _wake_all(self) -> None:
        """What zombies still hold is let loose, so that it is refused; one that holds nothing just ends."""
        for owner in list(self.zombies):
            for _ in range(40):
                if owner in self.zombies:
                    self._go(owner)
        self.zombies.clear()

    def _unread(self, topic: str, partition: int) -> bool:
        position = self.store.fence(partition).positions.get(topic, 0)
        return bool(self.kafka.log(topic, partition).fetch(position, 1)[0])

    def _where(self) -> dict[str, Any]:
        return {
            f"p{p}": (self.store.fence(p), self.store.outbox_size(p), owner.loop and owner.loop.idle)
            for p, owner in self.owners.items()
        }


def write_row(kafka: Kafka, row: Row) -> None:
    """One row of the shop to its log."""
    log = kafka.log(row.topic, row.partition)
    if row.kind == "gap":
        log.skip()
    elif row.kind == "hidden":
        producer = kafka.init_producer("a till that fails")
        producer.begin()
        producer.send(row.topic, row.partition, row.at, row.key, row.value)
        producer.fence()
    else:
        log.append(row.at, row.key, row.value)


def erased_of(kafka: Kafka, partition: int) -> dict[str, int]:
    """The marks of who was erased, as a compacted topic has them."""
    found = (read(IDENTITIES, record.value) for record in kafka.log(IDENTITIES, partition).read_committed())
    return {fields["mark"]: fields["at"] for fields in found if fields["kind"] == "ERASED"}


def told_of(kafka: Kafka, partition: int) -> dict[str, LastTold]:
    """What each customer of the partition was last told, as a compacted topic has it."""
    last = {record.key: record.value for record in kafka.log(TOLD, partition).read_committed()}
    return {
        (fields := read(TOLD, value))["customer_id"]: last_told(fields) for value in last.values() if value is not None
    }
