"""Drives the core as a partition does, without bytes: batches, ticks, slices, the due, the relay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from processors import tier
from processors.customer import Customer
from processors.events import Claim, Dated, Forgotten, Mishap, Part, Referral, Standing, Withdrawal
from processors.outputs import CareReminder, ChurnRisk, GradeChange, TierChange
from processors.policy import Policy
from processors.step import Batch, Changes
from processors.value import Figures, figures
from tests.strategies import DAY_MS, event_of

HORIZON_MS = 4_000 * DAY_MS  # nothing is too late here, unless a test says so
LAST_MS = 4_102_444_799_999

Entry = Dated | int | None
"""Of a log: an event; a tick (its instant); None, where one batch ends and the next begins."""


class Partition:
    """All customers of one partition; `run` takes a log. What is told is in `told`, in order, as in the outbox."""

    def __init__(self, policy: Policy, horizon_ms: int = HORIZON_MS) -> None:
        self.policy, self.horizon_ms = policy, horizon_ms
        self.around = tier.surroundings(policy)
        self.customers: dict[str, Customer] = {}
        self.not_before: dict[str, int] = {}
        self.clock: int | None = None
        self.told: list[TierChange] = []
        self.risks: list[ChurnRisk] = []
        self.care: list[CareReminder] = []
        self.grades: list[GradeChange] = []
        self.referrals: list[Referral] = []
        self.claims: list[Claim | Withdrawal] = []
        self.news: list[Standing] = []
        self.mishaps: list[Mishap] = []
        self.parts: list[Part | Forgotten] = []
        self.moved: list[str] = []
        self.counts: Counter[str] = Counter()

    def run(self, log: Iterable[Entry]) -> Partition:
        """Batches as the log cuts them; referrals are folded right behind the purchase that made them."""
        batch: list[Entry] = []
        for entry in log:
            if entry is None:
                self.commit(batch)
                batch = []
            else:
                batch.append(entry)
        self.commit(batch)
        return self

    def commit(self, entries: Sequence[Entry]) -> None:
        """One batch, and then slices until nobody is due at the clock."""
        clock, folds = self.clock, []
        for entry in entries:
            if isinstance(entry, int):
                clock = entry if clock is None else max(clock, entry)
            elif entry is not None:
                folds.append((entry, clock))
        batch = self.batch({event.customer_id for event, _ in folds} | set(self.due(clock)))
        for event, at in folds:
            batch.fold(event, at)
        done = batch.settle(clock, self.due(clock))
        self.keep(batch.changes())
        self.clock = clock
        while not done:
            due = self.due(clock)
            batch = self.batch(due)
            done = batch.settle(clock, due)
            self.keep(batch.changes())

    def erase(self, customer_id: str, then: Sequence[Dated] = ()) -> None:
        """A batch of the null and, behind it, some events."""
        batch = self.batch({customer_id, *(event.customer_id for event in then)})
        batch.erase(customer_id, self.clock)
        for event in then:
            batch.fold(event, self.clock)
        batch.settle(self.clock)
        self.keep(batch.changes())

    def around_is(self, around: tier.Surroundings, policy: Policy) -> None:
        """A tick has brought another policy or other thresholds: everybody is due once, in slices of one."""
        self.around, self.policy = around, policy
        for name in tuple(self.customers):
            done = False
            while not done:
                batch = self.batch([name])
                done = batch.settle(self.clock, (name,))
                self.keep(batch.changes())

    def batch(self, ids: Iterable[str]) -> Batch:
        known = {name: self.customers.get(name) for name in ids}
        unknown = {name: at for name, at in self.not_before.items() if known.get(name) is None}
        return Batch(known, unknown, self.around, self.policy, horizon_ms=self.horizon_ms)

    def due(self, clock: int | None) -> tuple[str, ...]:
        return tuple(name for name, one in self.customers.items() if clock is not None and one.next_review <= clock)

    def keep(self, changes: Changes) -> None:
        self.counts.update(changes.counts)
        self.moved += changes.moved
        for erased in changes.erased:
            self.not_before[erased.customer_id] = erased.at
        for name, customer in changes.customers.items():
            if customer is None:
                self.customers.pop(name, None)
                continue
            assert customer.next_review > customer.now
            assert self.customers.get(name, customer).now <= customer.now, "now never goes back"
            self.customers[name] = customer
        for one in changes.outputs:
            self.list_of(one.output).append(one.output)

    def list_of(self, output: Any) -> list[Any]:
        """Where what is told of that kind is kept."""
        kinds: tuple[tuple[Any, list[Any]], ...] = (
            (TierChange, self.told),
            (ChurnRisk, self.risks),
            (CareReminder, self.care),
            (GradeChange, self.grades),
            (Referral, self.referrals),
            (Claim | Withdrawal, self.claims),
            (Standing, self.news),
            (Mishap, self.mishaps),
            (Part | Forgotten, self.parts),
        )
        return next(held for kind, held in kinds if isinstance(output, kind))

    def figures(self, customer_id: str) -> Figures:
        """As of the customer's own time."""
        one, calendar = self.customers[customer_id], self.policy.calendar
        return figures(one.history, calendar.day_of(one.now), calendar)

    def tiers(self, customer_id: str) -> list[tuple[int, str, str]]:
        """What was told of the customer, as the oracle says it."""
        return [(one.at, one.from_tier, one.to_tier) for one in self.told if one.customer_id == customer_id]


def plainly(log: Iterable[Any]) -> list[Any]:
    """A log of plain events, instants and None, as the core takes it."""
    return [event_of(entry) if isinstance(entry, dict) else entry for entry in log]
