"""One batch of one partition: events folded in their order, due customers advanced, and what came of it.

`Batch` is the only mutable thing of the core, and lives for one commit. Before an event its customer is advanced
through the due instants strictly before it; then it is folded and one review made at max(now, occurred_at). After the
batch each touched customer is advanced to the clock. A customer's own time is exact, so a batch may span many ticks:
only what a tick carries for all (policy, thresholds) cuts a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from processors import grade, merging
from processors.care.actions import mishap
from processors.care.life import kinds_of, withdrawn
from processors.care.look import Look
from processors.care.tally import tallies
from processors.census import nth_purchase
from processors.charge import CUSTOMERS, sort_of
from processors.customer import Customer, Told, apply, contact_cost, forgotten, newcomer
from processors.events import (
    Claim,
    Complaint,
    Contact,
    Dated,
    Forgotten,
    Part,
    Purchase,
    Referral,
    Relayed,
    Serving,
    Standing,
    Withdrawal,
)
from processors.exits import count_exit
from processors.figures import count, is_counted, shown, with_counted
from processors.history import content_of, id_hash
from processors.kin import has_kin, news
from processors.money import Unbookable
from processors.outlook import Outlook, outlook
from processors.outputs import CareReminder, Output
from processors.policy import Policy
from processors.review import Review, advance, review
from processors.risk import LOST, Risk
from processors.tier import Surroundings
from processors.word_of_mouth import told_to_losers

DUE_STEPS_MAX: Final = 64
"""Reviews of one customer in one slice: bounds how long a slice can take; the rest comes with the next."""

_CATCH_UP_MAX: Final = 1_000
"""Reviews before an event that are made in one go."""


_HEARD: Final = frozenset((Claim, Withdrawal, Standing, Part, Forgotten, Serving))


class Telling(Struct, frozen=True, gc=False):
    """Something to tell: an output of the customer, or a fact for another customer's partition."""

    customer_id: str
    output: Output | Relayed


class Erased(Struct, frozen=True, gc=False):
    """A customer forgotten: events up to `at` (ms) are dropped for ever."""

    customer_id: str
    at: int


class Changes(Struct, frozen=True):
    """What a batch came to. customers: id to the customer after it (None: erased), only those that changed.
    told: ids whose `told` differs from before (from a newcomer's, who is never told); counts: by name; outlooks: of
    all who were reviewed; moved: ids that are merged into another since this batch (D5); repeated: events that were
    known already."""

    customers: dict[str, Customer | None]
    told: tuple[str, ...]
    outputs: tuple[Telling, ...]
    erased: tuple[Erased, ...]
    counts: Mapping[str, int]
    outlooks: Mapping[str, Outlook] = {}
    moved: tuple[str, ...] = ()
    repeated: tuple[Dated, ...] = ()


def heard_at(event: Dated, clock: int | None) -> int:
    """The instant (ms) before which an event is not reviewed, -1: none. What another's partition says may lie ahead of
    the clock here: how a referrer stands is heard at the clock at the latest; who brought whom changes nobody's time.
    """
    if isinstance(event, Standing) and event.referrer_id:
        return -1 if clock is None else min(event.occurred_at, clock)
    return -1 if isinstance(event, Claim | Withdrawal | Standing) else event.occurred_at


class Batch:
    """customers: state of every customer the batch may touch, None for those unknown. not_before: erase instants of
    those unknown. policy and around hold for the whole batch."""

    def __init__(
        self,
        customers: Mapping[str, Customer | None],
        not_before: Mapping[str, int],
        around: Surroundings,
        policy: Policy,
        *,
        horizon_ms: int,
    ) -> None:
        self._before = customers
        self._now: dict[str, Customer | None] = {}
        self._risks: dict[str, Risk] = {}
        self._not_before = dict(not_before)
        self._around, self._policy, self._horizon_ms = around, policy, horizon_ms
        self._untold = Told(policy.tiers[0].name)
        self._outputs: list[Telling] = []
        self._erased: list[Erased] = []
        self._happened: list[tuple[str, int]] = []
        """What reviews count, in their order: one that is taken back takes its counts along."""
        self._repeats: list[Dated] = []
        self.counts: Counter[str] = Counter()

    def _get(self, customer_id: str) -> Customer | None:
        """The customer as the batch has it; under a new policy or threshold reviewed once, at the change's instant."""
        if customer_id in self._now:
            return self._now[customer_id]
        customer = self._before[customer_id]
        if customer is not None and customer.context != self._around.context:
            since = self._around.since
            self._review(customer, max(customer.now, since), "" if customer.now < since else f"since:{since}")
            return self._now[customer_id]
        return customer

    def fold(self, event: Dated, clock: int | None) -> None:
        """Advance the customer to the event, fold it, review once. A repeat changes nothing (D1).

        clock: stream time when the event's turn came (ms), None before the first tick.
        Raises `Unbookable`; then nothing has changed.
        """
        policy, at = self._policy, event.occurred_at
        if type(event) is Purchase and event.currency != policy.programme.currency:
            policy.rates.convert(0, event.currency)
        elif type(event) in _HEARD:
            self._hear(event, clock)
            return
        before = self._get(event.customer_id)
        if before is None:
            not_before = self._not_before.get(event.customer_id, -1)
            customer = newcomer(event.customer_id, at, policy.tiers[0].name, self._around.context, not_before)
        else:
            customer = before
        if at <= customer.history.not_before:
            self.counts[f"erased:{event.name}"] += 1
            return
        told_until = len(self._outputs), len(self._happened)
        until = at - 1 if clock is None or clock < at else clock  # a late event comes after the tick that it missed
        if customer.next_review <= until:
            content = content_of(customer.history.seen, id_hash(event.name, event.event_id))
            while content is None and customer.next_review <= until:
                customer = self._advance(customer, until, _CATCH_UP_MAX)
        keep_from = 0 if clock is None else clock - self._horizon_ms
        try:
            folded = apply(customer, event, policy, keep_from)
        except Unbookable:
            if before is not None and customer is not before:
                self._take_back(before, told_until)
            raise
        if folded is customer:
            self._repeated(customer, event)
            return
        self._happened += nth_purchase(customer.history, folded.history)
        if before is not None and folded.now >= at:
            self._review(folded, folded.now, f"{event.name}:{event.event_id}")
        else:
            self._keep(review(folded, at, self._around, policy))
        self._beyond(customer, folded, event)

    def _hear(self, event: Dated, clock: int | None) -> None:
        """What another's partition says, and nobody sent."""
        if isinstance(event, Claim | Withdrawal | Standing | Part):
            self._learn(event, clock)
            return
        if isinstance(event, Serving):
            self._serve(event)
            return
        assert isinstance(event, Forgotten)
        customer = self._get(event.customer_id)
        if customer is not None and grade.forgets(customer, event):
            self.erase(event.customer_id, clock)  # who was erased takes along those merged into them (D4, D5)

    def _learn(self, event: Claim | Withdrawal | Standing | Part, clock: int | None) -> None:
        """What another's partition says of who brought whom, and how they stand (W1-W3), or of an id merged into this
        one (D5). A claim makes a lead of who is unknown (D8), a part a customer (D3)."""
        name, at, policy = event.customer_id, event.occurred_at, self._policy
        before = self._get(name)
        erased = self._not_before.get(name, -1) if before is None else before.history.not_before
        if forgotten(event, before is not None, erased):
            self.counts[f"erased:{event.name}"] += 1
            if isinstance(event, Part) and event.facts is not None:  # it was merged when that one was erased (D4)
                self._outputs.append(Telling(name, merging.taken_along(event.source, name, erased)))
            return
        customer = newcomer(name, at, policy.tiers[0].name, self._around.context, erased) if before is None else before
        learned = apply(customer, event, policy)
        if before is not None and learned is customer:
            self.counts[f"duplicates:{event.name}"] += 1
            return
        until, moves = clock, learned.history.referred is not customer.history.referred
        if isinstance(event, Standing | Part):
            moves = True
            if isinstance(event, Part) and (clock is None or clock < at):
                until = at - 1  # it may hold what lies ahead of the clock, as an event may
        if moves and until is not None:
            customer = self._advance(customer, until, _CATCH_UP_MAX)  # the figure changes after what time had brought
            learned = apply(customer, event, policy)
        self._review(learned, max(customer.now, heard_at(event, clock)), f"{event.name}:{event.event_id}")
        if isinstance(event, Claim):
            self._withdraw(customer, learned, event.referrer_id)

    def _serve(self, event: Serving) -> None:
        """How an employee serves, as a tick says (E2), once all that its instant brought has come: with the last slice
        of the tick it is the same as without any."""
        name, at, policy = event.customer_id, event.occurred_at, self._policy
        before = self._get(name)
        erased = self._not_before.get(name, -1) if before is None else before.history.not_before
        if at <= erased:
            return
        if before is None:
            customer = newcomer(name, at, grade.first(event, policy), self._around.context, erased)
        elif apply(before, event, policy) is before:
            return
        else:
            customer = self._advance(before, at, _CATCH_UP_MAX)
        known = before is not None and customer.now >= at
        cause = f"{event.name}:{event.event_id}" if known else ""
        self._review(apply(customer, event, policy), max(customer.now, at), cause)

    def _withdraw(self, one: Customer, folded: Customer, referrer: str) -> None:
        """Tell whose claims are later than the first: all of them if it is a new one, else `referrer` alone (W1)."""
        before, after = (merging.own_facts(side.history, side.merge) for side in (one, folded))
        if len(after.claims) < 2 and (not after.claims or after.claims[0][1] == referrer):
            return
        late = referrer if before.claims[:1] == after.claims[:1] else ""
        for withdrawal in told_to_losers(one.id, after.claims, late):
            self._outputs.append(Telling(one.id, withdrawal))

    def _beyond(self, customer: Customer, folded: Customer, event: Dated) -> None:
        """What an event of `customer` means beside their own history."""
        if type(event) is Purchase:
            if event.referrer_id and event.kind == "SALE":
                self._refer(event)
                if event.referrer_id != event.customer_id:
                    self._withdraw(customer, folded, event.referrer_id)
        elif type(event) is Complaint:
            told = mishap(event, self._policy)
            if told is not None:
                self._outputs.append(Telling(event.customer_id, told))
            if event.reward:
                self.counts["complaints_reward"] += event.reward
        elif type(event) is Contact:
            if event.direction == "OUT" and customer.told.level == LOST:
                self.counts["win_back:attempts"] += 1
                self.counts["win_back:cost"] += contact_cost(event, self._policy)
            if event.kind == "REFERRAL" and event.referred_customer_id:
                self._claim(event, event.referred_customer_id)

    def _take_back(self, before: Customer, told_until: tuple[int, int]) -> None:
        """The customer as before an event for which they were advanced, and what that told and counted."""
        self._now[before.id] = before
        self._risks.pop(before.id, None)
        if self._before[before.id] is before:
            del self._now[before.id]
        outputs, happened = told_until
        del self._outputs[outputs:], self._happened[happened:]

    def _repeated(self, customer: Customer, event: Dated) -> None:
        self.counts[f"duplicates:{event.name}"] += 1
        self._repeats.append(event)
        if content_of(customer.history.seen, id_hash(event.name, event.event_id)) != event.content:
            self.counts[f"conflicts:{event.name}"] += 1

    def _refer(self, event: Purchase) -> None:
        """Tell the referrer's partition, which folds it under the same promise; oneself cannot be referred (W1)."""
        referrer = event.referrer_id
        if referrer is None or referrer == event.customer_id:
            self.counts["referrals_refused:self"] += 1
            return
        referral = Referral(
            event_id=f"{event.customer_id}:{event.event_id}",  # an id is unique within its customer only
            customer_id=referrer,
            occurred_at=event.occurred_at,
            referred_customer_id=event.customer_id,
            content=event.content,
        )
        self._outputs.append(Telling(event.customer_id, referral))

    def _claim(self, event: Contact, brought: str) -> None:
        """Tell the partition of who was brought: it decides who was the first (W1)."""
        if brought == event.customer_id:
            self.counts["referrals_refused:self"] += 1
            return
        claim = Claim(
            event_id=f"{event.customer_id}:{event.event_id}",
            customer_id=brought,
            occurred_at=event.occurred_at,
            referrer_id=event.customer_id,
            content=event.content,
        )
        self._outputs.append(Telling(event.customer_id, claim))

    def _review(self, customer: Customer, now: int, cause: str) -> None:
        seen = review(customer, now, self._around, self._policy)
        if cause and seen.outputs:
            seen = replace(seen, outputs=tuple(replace(output, cause=cause) for output in seen.outputs))
        self._keep(seen)

    def _advance(self, customer: Customer, until: int, steps_max: int) -> Customer:
        for seen in advance(customer, until, self._around, self._policy, steps_max=steps_max):
            self._keep(seen)
            customer = seen.customer
        return customer

    def _keep(self, seen: Review) -> None:
        customer = seen.customer
        left = customer.told.exit
        if left is not None:
            before = self._now.get(customer.id) or self._before.get(customer.id)
            gone = None if before is None else before.told.exit
            if left != gone and sort_of(customer.history) == CUSTOMERS:
                counted: Counter[str] = Counter()
                count_exit(counted, gone, left, self._policy)
                self._happened += counted.items()
        self._now[customer.id] = customer
        if seen.risk is not None:
            self._risks[customer.id] = seen.risk
        else:
            self._risks.pop(customer.id, None)  # they became staff, or part of another: it is of an earlier review
        if seen.outputs:
            self._outputs += [Telling(customer.id, output) for output in seen.outputs]
            for output in seen.outputs:
                if type(output) is CareReminder:
                    self._happened += tallies(output, kinds_of(self._policy).get(output.kind))
        for kept in seen.untold:
            found = tallies(kept, kinds_of(self._policy).get(kept.kind))
            self._happened += [(name, n) for name, n in found if not name.startswith("care:")]
        if seen.dropped:
            self._happened += [(f"care_dropped:{kind}:{reason}", 1) for kind, reason in seen.dropped]

    def erase(self, customer_id: str, clock: int | None) -> None:
        """Forget the customer (D4): events up to the later of the clock and the customer's own time stay dropped."""
        customer = self._get(customer_id)
        if customer is not None and clock is not None:
            customer = self._advance(customer, clock, _CATCH_UP_MAX)  # what a tick before it told, in this batch or not
        until = max(
            -1 if clock is None else clock,
            -1 if customer is None else customer.now,
            self._not_before.get(customer_id, -1),
        )
        if until < 0:
            return
        self._not_before[customer_id] = until
        self._now[customer_id] = None
        if customer is not None:
            self._withdraw_care(customer, until)
            along = merging.forgotten(customer_id, customer.merge, until)
            self._outputs += [Telling(customer_id, one) for one in along]
        if self._policy.grades:
            self._outputs += [Telling(customer_id, one) for one in grade.taken_along(customer_id, until, self._policy)]
        self._erased.append(Erased(customer_id, until))

    def _withdraw_care(self, customer: Customer, at: int) -> None:
        """The open reminders of who is forgotten are withdrawn (D4), at the instant up to which they are (ms): the
        customer's own time is another after a recovery."""
        told = customer.told
        look = Look(customer.history, told, at, self._policy, rose=False)
        for output in withdrawn(customer.id, told.care, look):
            self._outputs.append(Telling(customer.id, output))
            self._happened += tallies(output, kinds_of(self._policy).get(output.kind))

    def settle(self, clock: int | None, due: tuple[str, ...] = ()) -> bool:
        """Advance the touched customers and the `due` ones to the clock. False: some need another slice."""
        until = -1 if clock is None else clock
        done = True
        for customer_id in dict.fromkeys((*self._now, *due)):
            customer = self._get(customer_id)
            if customer is None or customer.next_review > until:
                continue
            customer = self._advance(customer, until, DUE_STEPS_MAX)
            done = done and customer.next_review > until
        return done

    def changes(self) -> Changes:
        """What the batch came to, to be committed as one."""
        told, moved, untold = [], [], self._untold
        for name, number in self._happened:
            self.counts[name] += number
        self._happened.clear()
        erased = {one.customer_id for one in self._erased}  # their told is null now, whatever it was before
        outlooks = self._count_all()
        count(self.counts, [(self._before.get(name), one) for name, one in self._now.items()], self._policy)
        for customer_id, customer in self._now.items():
            before = self._before.get(customer_id)
            held = untold if before is None or customer_id in erased else before.told
            if customer is not None and customer.told is not held and customer.told != held:
                told.append(customer_id)
            if (before is None or before.merge is None) and (customer is None or customer.merge is None):
                if (before is not None and has_kin(before)) or (customer is not None and has_kin(customer)):
                    self._outputs += [Telling(customer_id, one) for one in news(before, customer, self._policy)]
            elif self._merged(customer_id, before, customer):
                moved.append(customer_id)
        return Changes(
            dict(self._now), tuple(told), tuple(self._outputs), tuple(self._erased), dict(self.counts), outlooks,
            tuple(moved), tuple(self._repeats),
        )  # fmt: skip

    def _count_all(self) -> dict[str, Outlook]:
        """Everybody touched as they are committed: with what the programme's sums count of them; and their outlooks."""
        outlooks: dict[str, Outlook] = {}
        figures = self._policy.programme.figures
        for customer_id, customer in self._now.items():
            if customer is not None and is_counted(customer):
                seen = outlooks[customer_id] = outlook(customer, self._policy, self._risks.get(customer_id))
                if figures:
                    self._now[customer_id] = with_counted(customer, seen, self._policy)
        return outlooks

    def _merged(self, customer_id: str, before: Customer | None, after: Customer | None) -> bool:
        """Tell what the ids into which a customer was, and now is, merged are to know (D5), and kin. Whether the
        customer has moved into another's."""
        day = self._policy.calendar.day_of(max(one.now for one in (before, after) if one is not None))
        parts = merging.news(customer_id, before, after, day)
        seen, sees = shown(before), shown(after)
        told: list[Relayed] = [*news(seen, sees, self._policy), *parts]
        self._outputs += [Telling(customer_id, one) for one in told]
        return seen is not None and sees is None and after is not None
