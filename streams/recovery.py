"""Brings back a partition whose Redis lost something that was already published: its last second, or all of it.

The outbox position in Kafka says how far outputs were published, up to which input offsets and clock. If it lies ahead
of the fence, who was erased is marked so first, as `identities` has them: compaction may have taken the null from the
log (D4). Then the records in between are folded again without being reviewed; then what was told is laid over; then
each customer touched is reviewed once, at the clock, or when they were told where that lies later. So facts are as they
were to the byte, told is what was published, and nothing is published twice.

A customer folded but not yet reviewed has no context and is due at 0: a crash in mid recovery changes nothing, and the
one review is made by the ordinary loop, which reviews whoever was last seen under another context at `since`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from processors.census import nth_purchase
from processors.customer import Customer, apply, forgotten, newcomer
from processors.events import Dated, Erase, Forgotten, Purchase
from processors.exits import count_exit
from processors.figures import count, is_counted, with_counted
from processors.grade import first, forgets
from processors.history import History
from processors.money import Unbookable
from processors.outlook import outlook
from processors.step import Changes, Erased, heard_at
from schemas.told import LastTold
from schemas.topics import INPUTS
from sinks.commit import Answer, Commit, Fence, Load, Loaded
from streams.partition import AskEnds, Effect, Outcome, PartitionLoop
from streams.plan import LoopConfig, Plan
from streams.time_order import End, KafkaRecord

_EVER: Final = 1 << 60
"""Ends that were asked for after every tick: what is read again lies still."""

_LAID_AT_ONCE: Final = 1_000

_UNSEEN: Final = ""
"""The context of a customer who is to be reviewed."""


class Target(Struct, frozen=True):
    """What was published: up to commit `seq`, input `positions` and `clock` (ms); told: of every customer of the
    partition as last published, and as of when. erased: mark of each id that was erased to the instant up to which its
    events are dropped (ms); returned: ids under such a mark that Redis knows: who came since, or who was there before.
    """

    seq: int
    clock: int | None
    positions: Mapping[str, int]
    told: Mapping[str, LastTold]
    erased: Mapping[str, int] = {}
    returned: Mapping[str, int] = {}


def back_again(names: Iterable[str], mark: Callable[[str], str], erased: Mapping[str, int]) -> dict[str, int]:
    """Of `names` those under a mark of `erased`, with its instant: `Target.returned`."""
    marked = ((name, erased.get(mark(name))) for name in names)
    return {name: at for name, at in marked if at is not None}


class Recovery(PartitionLoop):
    """A loop that folds from the fence to `target` and tells nobody. Once `done`, start again from the fence."""

    def __init__(self, partition: int, fence: Fence, target: Target, config: LoopConfig) -> None:
        super().__init__(partition, fence, config)
        self.done = False
        self._target = target
        self._to_mark = list(target.erased.items())
        self._to_lay = list(target.told)
        self._due_left = False
        self._order.ends({topic: End(0, target.positions.get(topic, 0)) for topic in INPUTS}, _EVER)

    def receive(self, topic: str, records: Sequence[KafkaRecord], position: int) -> None:
        """As the loop's, up to the target: what lies behind it is read again afterwards."""
        until = self._target.positions.get(topic, 0)
        super().receive(topic, [r for r in records if r.offset < until], min(position, until))

    def ends(self, ends: Mapping[str, End], asked: int) -> None:
        """Only the positions count: the end is the target."""
        until = self._target.positions
        super().ends(
            {topic: End(min(end.position, until.get(topic, 0)), until.get(topic, 0)) for topic, end in ends.items()},
            _EVER,
        )

    @property
    def idle(self) -> bool:
        """Never: there is something to recover."""
        return False

    def work(self) -> Effect | None:
        """As the loop's; then what was told is laid over; then the fence leaps to the target."""
        if self.done:
            return None
        if self._to_mark and self._commit is None:
            self._plan = Plan([], [], self._fence.clock, [], Counter())
            return self._asked(tuple(self._target.returned))
        effect = super().work()
        if isinstance(effect, AskEnds) or effect is None:
            if not self._read():
                return effect or AskEnds(self._order.asked)
            laid = self._to_lay[:_LAID_AT_ONCE]
            if laid:
                self._plan = Plan([], [], self._fence.clock, [], Counter())
                return self._asked(tuple(laid))
            self._commit = self._leap()
            self._changes = Changes({}, (), (), (), {})
            return self._commit
        return effect

    def _read(self) -> bool:
        """Whether every topic was folded up to the target."""
        target = self._target.positions
        return self._order.empty and all(self._order.position(topic) >= target.get(topic, 0) for topic in INPUTS)

    def _load(self, plan: Plan) -> Load:
        return self._asked(super()._load(plan).ids)  # nobody is advanced

    def loaded(self, loaded: Loaded) -> None:
        """As the loop's; what was laid over need not be laid again."""
        if self._to_mark:
            self._admit(loaded)
            self._mark(loaded)
            return
        laid = self._plan is not None and not self._plan.items
        super().loaded(loaded)
        if laid:
            self._to_lay = self._to_lay[_LAID_AT_ONCE:]

    def _fold(self, plan: Plan, loaded: Loaded, known: Mapping[str, Customer | None]) -> Outcome:
        """The plan's events folded without a review; or, of a plan without any, what was told laid over."""
        now: dict[str, Customer | None] = {}
        not_before = dict(loaded.not_before)
        erased = []
        happened: list[tuple[str, int]] = []
        for event, clock, _ in plan.folds:
            name = event.customer_id
            held = now[name] if name in now else known[name]
            if isinstance(event, Forgotten) and (held is None or not forgets(held, event)):
                continue
            if isinstance(event, Erase | Forgotten):
                until = max(-1 if clock is None else clock, -1 if held is None else held.now)
                now[name] = None
                not_before[name] = until
                erased.append(Erased(name, until))
            else:
                folded = self._folded(held, event, clock, not_before.get(name, -1))
                if folded is not held:
                    now[name] = folded
                if folded is not None and isinstance(event, Purchase):
                    happened += nth_purchase(History() if held is None else held.history, folded.history)
        for name, customer in known.items() if not plan.items else ():
            last = self._target.told.get(name)
            if customer is not None and last is not None and last.told != customer.told:
                # A slice may have told of instants ahead of the clock, which moves with the last one: not again.
                at = max(customer.now, last.at)
                now[name] = replace(customer, told=last.told, now=at, next_review=0, context=_UNSEEN)
        now = {name: None if one is None else self._counted(one) for name, one in now.items()}
        plan.outbox, plan.counts = [], Counter()
        counts: Counter[str] = Counter()
        for figure, number in happened:
            counts[figure] += number
        count(counts, [(known.get(name), customer) for name, customer in now.items()], self._policy)
        for name, customer in now.items():
            before = known.get(name)
            gone, left = (None if one is None else one.told.exit for one in (before, customer))
            if left is not None and left != gone:
                count_exit(counts, gone, left, self._policy)  # the last one of each is all that is known of them
        return Outcome(Changes(now, (), (), tuple(erased), counts), True, Plan([], [], plan.clock, [], Counter()))

    def _counted(self, customer: Customer) -> Customer:
        """As it is committed: with what the programme's sums count of it, though nobody has reviewed it yet."""
        if not is_counted(customer):
            return replace(customer, counted=None)
        return with_counted(customer, outlook(customer, self._policy), self._policy)

    def _folded(self, held: Customer | None, event: Dated, clock: int | None, not_before: int) -> Customer | None:
        at, policy = event.occurred_at, self._policy
        customer = newcomer(event.customer_id, at, first(event, policy), _UNSEEN, not_before) if held is None else held
        if forgotten(event, held is not None, customer.history.not_before):
            return held
        try:
            folded = apply(customer, event, policy, 0 if clock is None else clock - self._config.horizon_ms)
        except Unbookable:
            return held
        if folded is customer:
            return held
        return replace(folded, now=max(folded.now, heard_at(event, clock)), next_review=0, context=_UNSEEN)

    def _mark(self, loaded: Loaded) -> None:
        """Who was erased stays so, though the null has left the log (D4); who came back since was seen later."""
        gone = {
            name: at
            for name, at in self._target.returned.items()
            if (held := loaded.customers[name]) is not None and held.now <= at
        }
        counts: Counter[str] = Counter()
        count(counts, [(loaded.customers[name], None) for name in gone], self._policy)
        self._changes = Changes(dict.fromkeys(gone), (), (), (), {})
        marks = dict(self._to_mark[:_LAID_AT_ONCE])
        self._commit = replace(self._still(), erased=gone, marks=marks, counts=counts, recovers=True)

    def _make_commit(self, plan: Plan, outcome: Outcome) -> None:
        """As the loop's, marked: until the leap what was published lies ahead, whatever the commit's number."""
        super()._make_commit(plan, outcome)
        if self._commit is not None:
            self._commit = replace(self._commit, recovers=True)

    def _leap(self) -> Commit:
        """The commit that ends it: numbered above all that was published. It names the one it follows, for it moves no
        position by which a Redis that fell back once more, behind what was laid over, would be noticed."""
        fence, target = self._fence, self._target
        return replace(
            self._still(),
            seq=max(fence.seq, target.seq) + 1,
            positions_to=target.positions,
            clock=target.clock,
            since=fence.since if target.clock is None else target.clock,
            leaps_from=fence.seq,
        )

    def _still(self) -> Commit:
        """The next commit, which changes nothing."""
        fence = self._fence
        return Commit(
            partition=self.partition,
            epoch=fence.epoch,
            seq=fence.seq + 1,
            positions_from=fence.positions,
            positions_to={},
            clock=fence.clock,
            policy=fence.policy or self._policy.key,
            shares=fence.shares,
            since=fence.since,
            writes=(),
            erased={},
            outbox=(),
            counts={},
        )

    def committed(self, answer: Answer) -> None:
        """As the loop's; the leap ends the recovery."""
        commit = self._commit
        leapt = commit is not None and commit.leaps_from is not None
        super().committed(answer)
        if commit is not None and commit.marks:
            self._to_mark = self._to_mark[len(commit.marks) :]
        self.done, self._due_left = leapt, False
