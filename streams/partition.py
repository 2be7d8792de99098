"""One partition's loop: record sets in, commits out. Synchronous, knows neither Faust nor sockets nor a clock.

The loop says what it needs (`work`), its driver does it and hands the answer back:

    work() -> Load          loaded(...)      states of the customers that the next batch touches
           -> Commit        committed(...)   what the batch changed, all or nothing
           -> AskEnds       ends(...)        where the topics end now, so that a tick may be applied
           -> NeedPolicy    policy(...)      the text of a policy that a tick named
           -> None                           nothing to do until `receive`

The same object runs live, in replay and under the simulator. One effect is under way at a time; an effect that was
answered changes the loop, one that was lost is repeated by the driver: the fence makes that harmless.

A batch may span many ticks, for each customer's time is exact. Where more customers are due than one slice holds it
ends before the first tick for which the slice is not whole; where one has more due instants than a slice it is halved;
the next ones begin as small and grow again. Of a single tick what stands before it goes alone, then the tick in slices:
its offset moves with the last one.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from processors.customer import Customer
from processors.events import Erase, Tick
from processors.money import Unbookable
from processors.outlook import Outlook
from processors.policy import Policy
from processors.step import Batch, Changes
from processors.tier import surroundings
from processors.view import Values, values
from schemas.topics import INPUTS
from sinks.commit import Answer, Commit, Fence, Load, Loaded, Write
from streams.bound import FOLD_S, Bound
from streams.plan import LoopConfig, Plan, Planner, behind_tick, first_tick, item_of, unbookable
from streams.producers import Tally
from streams.time_order import End, Item, KafkaRecord, TimeOrder


class AskEnds(Struct, frozen=True):
    """Where do the partition's topics end now? `asked` comes back with the answer."""

    asked: int


class NeedPolicy(Struct, frozen=True):
    """The policy that a tick named by `key`."""

    key: str


class Fenced(Exception):
    """Another owner took the partition, or Redis does not stand where this loop left it: start again from the fence."""


class PartitionStopped(Exception):
    """The partition can't go on without a person: the text says why and the way out."""


Effect = Load | Commit | AskEnds | NeedPolicy


class Outcome(Struct):
    """What a plan came to. done: nobody in it needs another slice; refused: what the fold itself could not take."""

    changes: Changes
    done: bool
    refused: Plan


def _records(items: Sequence[Item]) -> dict[str, int]:
    return {f"records:{topic}": number for topic, number in Counter([item.topic for item in items]).items()}


def _summed(*counts: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total


class PartitionLoop:
    """The loop of partition `partition`, begun at `fence`: offsets below its positions are refused."""

    def __init__(self, partition: int, fence: Fence, config: LoopConfig) -> None:
        self.partition = partition
        self._config = config
        self._planner = Planner(partition, config)
        self._fence = fence
        self._order = TimeOrder(INPUTS, fence.positions, fence.clock is not None, fence.clock)
        self._policy = config.policy
        self._around = surroundings(config.policy, fence.since, fence.shares)
        self._senders = Tally(fence.senders)
        self._wanted_policy = fence.policy if fence.policy not in ("", config.policy.key) else None
        self._next_policy: Policy | None = None
        self._held: list[Item] = []
        self._plan: Plan | None = None
        self._commit: Commit | None = None
        self._changes: Changes | None = None
        self._due_left = True
        self._due_until = 0
        self._records = Bound(config.batch_first, config.batch_records)
        self._due = Bound(config.batch_first, config.due_slice)
        self._due_came = 0
        self._ticks_max = config.batch_records  # of a batch; fewer while more are due in between than a slice holds
        self._cache: OrderedDict[str, Customer] = OrderedDict()
        self._written: dict[str, Values] = {}  # of those cached: the view as this loop wrote it

    # -- what comes in

    @property
    def positions(self) -> Mapping[str, int]:
        """Topic to next position behind what is committed."""
        return self._fence.positions

    @property
    def clock(self) -> int | None:
        """Stream time, ms; None before the first tick."""
        return self._fence.clock

    def displaced(self, fence: Fence) -> bool:
        """Whether `fence`, as Redis has it, is not where this loop, now idle, left it."""
        return (fence.epoch, fence.seq) != (self._fence.epoch, self._fence.seq)

    def wanted(self, topic: str) -> bool:
        """Whether more of the topic should be fetched."""
        return self._order.buffered(topic) < self._config.buffer_records

    def receive(self, topic: str, records: Sequence[KafkaRecord], position: int) -> None:
        """A record set, in offset order, and the next fetch position behind it. What was received before is refused."""
        known = self._order.position(topic)
        fresh = records if not records or records[0].offset >= known else [r for r in records if r.offset >= known]
        ahead, decode = self._config.max_ahead_ms, self._config.decode
        self._order.put(topic, [item_of(topic, record, ahead, decode) for record in fresh], position)

    def ends(self, ends: Mapping[str, End], asked: int) -> None:
        """The answer to `AskEnds`."""
        self._order.ends(ends, asked)

    def policy(self, policy: Policy) -> None:
        """The answer to `NeedPolicy`."""
        if self._wanted_policy is not None and self._fence.policy == policy.key:
            self._use(policy, self._fence.since)
        else:
            self._next_policy = policy
        self._wanted_policy = None

    def _use(self, policy: Policy, since: int) -> None:
        self._policy = policy
        self._around = surroundings(policy, since, self._fence.shares)

    # -- what is to be done

    @property
    def idle(self) -> bool:
        """Nothing buffered, nothing under way, nothing due up to the clock."""
        return self._order.empty and not self._held and self._plan is None and not self._due_left

    @property
    def behind(self) -> bool:
        """More waits to be folded."""
        return not self._order.empty

    def work(self) -> Effect | None:
        """The next effect, or None until something is received. Call it again only after the answer."""
        if self._commit is not None:
            return self._commit
        if self._wanted_policy is not None:
            return NeedPolicy(self._wanted_policy)
        if self._plan is None:
            waits = False
            if not self._held:
                self._held, waits = self._order.take(self._records.now, self._policy.key)
            if not self._held and not self._due_left:
                return AskEnds(self._order.asked) if waits else None
            if self._names_new_policy():
                return NeedPolicy(self._wanted_policy or "")
            self._plan = self._planner.planned(self._ready(), self._fence.clock, self._cache)
        return self._load(self._plan)

    def _ready(self) -> list[Item]:
        """What may go now: while customers are still due at the clock, only what stands before the next tick."""
        if not self._due_left:
            return self._held[: behind_tick(self._held, self._ticks_max)]
        return self._held[: first_tick(self._held)]

    def _names_new_policy(self) -> bool:
        """A tick stands at the end of what is held and names a policy that is not at hand yet."""
        last = self._held[-1].event if self._held else None
        if not isinstance(last, Tick) or last.policy in ("", self._policy.key):
            return False
        if last.policy == self._config.policy.key:
            self._next_policy = self._config.policy
        if self._next_policy is None or self._next_policy.key != last.policy:
            self._wanted_policy = last.policy
            return True
        return False

    def _load(self, plan: Plan) -> Load:
        cache = self._cache
        ids = dict.fromkeys(event.customer_id for event, _, _ in plan.folds)
        missing = tuple(name for name in ids if name not in cache)
        if plan.clock == self._fence.clock and not self._due_left:
            return self._asked(missing)
        self._due_until = 0 if plan.clock is None else plan.clock
        return self._asked(missing, self._due_until, self._due.now)

    def _asked(self, ids: tuple[str, ...], due_until: int | None = None, due_limit: int = 0) -> Load:
        return Load(ids, due_until, due_limit, self._fence.epoch, self._fence.seq)

    # -- the answers

    def loaded(self, loaded: Loaded) -> None:
        """The answer to `Load`: fold, advance, and make the commit. Raises `Fenced`."""
        self._admit(loaded)
        plan, self._due_came = self._plan, len(loaded.due)
        assert plan is not None, "loaded() without a Load under way"
        known = self._known(plan, loaded)
        if plan.clock == self._fence.clock:
            outcome = self._fold(plan, loaded, known)
            self._due_left = not outcome.done or (self._due_left and loaded.reach is not None)
            self._make_commit(plan, outcome)
            return
        if loaded.reach is not None:
            plan = self._up_to(plan, loaded.reach)
        whole = self._fold(plan, loaded, known) if loaded.holds(plan.clock) else None
        ticks = sum(isinstance(item.event, Tick) for item in plan.items)
        if loaded.reach is not None:
            self._ticks_max = 1 if whole is None else ticks  # or the next plan asks again for what may not go with it
        if whole is not None and whole.done:
            self._ticks_max = min(2 * self._ticks_max, self._config.batch_records)
            self._make_commit(plan, whole)
        elif whole is not None and ticks > 1:
            self._ticks_max = ticks // 2
            self._plan = None
        else:
            self._cut(plan, loaded, known)

    def took(self, seconds: float) -> None:
        """How long `loaded` took, which holds up whatever else its driver does. Where it was too long the next batch
        takes fewer of what this one had more of, records or customers due; where it was short, more of what it was
        full of, for one commit of many writes each customer once."""
        if self._commit is None:
            return
        records, due = self._commit.records, self._due_came
        if seconds <= FOLD_S or records >= due:
            self._records.took(records, seconds)
        if seconds <= FOLD_S or due > records:
            self._due.took(due, seconds)

    def _admit(self, loaded: Loaded) -> None:
        if loaded.fenced:
            raise Fenced(f"partition {self.partition}: the load behind commit {self._fence.seq} was refused")

    def _up_to(self, plan: Plan, reach: int) -> Plan:
        """What stands before the first tick for which the slice is not whole; the plan where that is the first one."""
        items = plan.items
        place = next(n for n, item in enumerate(items) if isinstance(item.event, Tick) and item.event.at > reach)
        if place == first_tick(items):
            return plan
        self._plan = self._planner.planned(items[:place], self._fence.clock, self._cache)
        return self._plan

    def _cut(self, plan: Plan, loaded: Loaded, known: Mapping[str, Customer | None]) -> None:
        """More are due than a slice holds: what stands before the first tick goes alone, then that tick in slices."""
        cut = first_tick(plan.items)
        head = self._plan = self._planner.planned(plan.items[: max(cut, 1)], self._fence.clock, self._cache)
        if cut:
            outcome = self._fold(head, Loaded(known, not_before=loaded.not_before), known)
            self._due_left = not outcome.done
        else:
            said, head.folds = head.folds, []  # what a tick says (E2) is folded as its offset moves, or told before it
            outcome = self._fold(head, loaded, known)
            if not (outcome.done and loaded.holds(head.clock)):
                head.items, head.clock = [], self._fence.clock
            elif said:
                head.folds = said
                outcome = self._fold(head, loaded, known)
        self._make_commit(head, outcome)

    def _known(self, plan: Plan, loaded: Loaded) -> dict[str, Customer | None]:
        """States of all the batch may touch: what is cached is newer than what was loaded with the due ones."""
        cache = self._cache
        known = dict(loaded.customers)
        for name in loaded.due:
            if name in cache:
                known[name] = cache[name]
        for event, _, _ in plan.folds:
            name = event.customer_id
            if name in cache:
                known[name] = cache[name]
        return known

    def _fold(self, plan: Plan, loaded: Loaded, known: Mapping[str, Customer | None]) -> Outcome:
        """The plan's events folded, the due advanced to its clock."""
        batch = Batch(known, loaded.not_before, self._around, self._policy, horizon_ms=self._config.horizon_ms)
        refused = Plan([], [], plan.clock, [], Counter())
        for event, clock, item in plan.folds:
            if isinstance(event, Erase):
                batch.erase(event.customer_id, clock)
                continue
            try:
                batch.fold(event, clock)
            except Unbookable as wrong:
                refused.clock = clock
                self._planner.refuse(refused, item, type(wrong).__name__, unbookable(event, wrong))
        done = batch.settle(plan.clock, loaded.due)
        changes = batch.changes()
        for name in loaded.due:  # filed too early (a Redis that came back as it was): without a commit none would end
            held = known[name]
            if held is not None and name not in changes.customers and held.next_review > self._due_until:
                changes.customers[name] = held
                self._written.pop(name, None)
        return Outcome(changes, done, refused)

    def _make_commit(self, plan: Plan, outcome: Outcome) -> None:
        """Numbered steps: what changed, what leaves, where the fence moves to, what holds for all from now on."""
        fence, config, items, changes = self._fence, self._config, plan.items, outcome.changes
        if not items and not changes.customers:
            self._plan = None  # nobody was due after all
            return
        seq = fence.seq + 1
        for erased in changes.erased:
            self._written.pop(erased.customer_id, None)
        writes = tuple(self._write(one, changes.outlooks.get(one.id)) for one in changes.customers.values() if one)
        told = config.outgoing.records(self.partition, seq, changes, self._policy)
        outbox = (*plan.outbox, *outcome.refused.outbox, *told)
        sent = self._senders.counts(items, (*plan.notes, *outcome.refused.notes), changes.repeated)
        self._held = self._held[len(items) :]
        moved = self._moved(items)
        key, shares, all_due = self._what_holds(items)
        self._changes = changes
        self._commit = Commit(
            partition=self.partition,
            epoch=fence.epoch,
            seq=seq,
            positions_from={topic: fence.positions[topic] for topic in moved if topic in fence.positions},
            positions_to=moved,
            clock=plan.clock,
            policy=key,
            shares=shares,
            since=plan.clock if all_due and plan.clock is not None else fence.since,
            writes=writes,
            erased={erased.customer_id: erased.at for erased in changes.erased},
            outbox=outbox,
            counts=_summed(changes.counts, plan.counts, outcome.refused.counts, _records(items), sent),
            all_due=all_due,
            records=len(items),
            recorded=Counter([item.record.timestamp for item in items if type(item.event) is not Tick]),
        )

    def _write(self, customer: Customer, seen: Outlook | None) -> Write:
        if customer.history.place is not None or customer.history.service is not None:
            return Write(customer, ())
        if customer.moved_to is not None:
            return Write(customer, (), hidden=True)
        was = self._written.get(customer.id)
        return Write(customer, values(customer, self._policy, was, seen), was)

    def _moved(self, items: Iterable[Item]) -> dict[str, int]:
        """Topic to next position, of the topics of `items`: behind markers and gaps where nothing more waits."""
        moved: dict[str, int] = {}
        held = {item.topic: item.record.offset for item in reversed(self._held)}
        for topic in {item.topic for item in items}:
            moved[topic] = held[topic] if topic in held else self._order.next_position(topic)
        return moved

    def _what_holds(self, items: Sequence[Item]) -> tuple[str, Mapping[str, int], bool]:
        """(policy key, shares, whether everybody is due for it) after `items`."""
        last = items[-1].event if items else None
        if not isinstance(last, Tick):
            return self._policy.key, self._fence.shares, False
        before = [item.event.at for item in items[:-1] if isinstance(item.event, Tick)]
        clock = max([-1 if self._fence.clock is None else self._fence.clock, *before])
        if last.at <= clock:
            self._next_policy = None  # a tick not after the clock changes no policy; thresholds may come at its instant
        named = last.policy not in ("", self._policy.key)  # the policy asked for may be of a tick that waits behind
        policy = (self._next_policy if named else None) or self._policy
        shares = last.value_at_share if last.value_at_share and last.at >= clock else self._fence.shares
        changed = surroundings(policy, 0, shares).context != self._around.context
        return policy.key, shares, changed

    def committed(self, answer: Answer) -> None:
        """The answer to `Commit`. Raises `Fenced`."""
        commit, changes = self._commit, self._changes
        assert commit is not None, "committed() without a Commit under way"
        assert changes is not None
        if answer is Answer.FENCED:
            raise Fenced(f"partition {self.partition}: commit {commit.seq} of epoch {commit.epoch} was refused")
        self._fence = Fence(
            epoch=commit.epoch,
            seq=commit.seq,
            clock=commit.clock,
            policy=commit.policy,
            shares=commit.shares,
            since=commit.since,
            positions={**self._fence.positions, **commit.positions_to},
        )
        self._remember(commit, changes)
        if commit.all_due:
            self._written.clear()  # their entries in the due index are 0 now, whatever was written
            switched = commit.policy != self._policy.key
            self._use((self._next_policy if switched else None) or self._policy, commit.since)
            self._due_left = True
        self._next_policy = self._plan = self._commit = self._changes = None

    def _remember(self, commit: Commit, changes: Changes) -> None:
        cache, written = self._cache, self._written
        for name, customer in changes.customers.items():
            if customer is None:
                cache.pop(name, None)  # its erase mark is read with the next load
                continue
            cache[name] = customer
            cache.move_to_end(name)
        for write in commit.writes:
            if write.view:
                written[write.customer.id] = write.view
            else:
                written.pop(write.customer.id, None)
        while len(cache) > self._config.cache:
            name, _ = cache.popitem(last=False)
            written.pop(name, None)
