"""A review is a pure function: who is this customer now, what changed since they were last told, when to look again.

`next_review` is exact: the earliest instant at which the answer could change by time alone. The window's figures change
at the programme's midnight on which a day leaves the last 365 or, for trends, the last 90; the risk level at the one on
which silence crosses a threshold; a running grace ends at its own instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from processors import grade, loyalty, risk, segments, tier, worth
from processors.benefits.came_to import Entitlement, entitlements, next_change
from processors.care import life
from processors.care.look import Look
from processors.charge import charged
from processors.customer import FOREVER, Customer, Told
from processors.fields import FIELDS, MORE_NUMBERS
from processors.history import History, within
from processors.merging import as_of
from processors.outlook import outlook
from processors.outputs import CareReminder, Output
from processors.policy import Policy
from processors.risk import Risk
from processors.tier import Surroundings
from processors.value import rhythm
from processors.view import View, values


class Review(Struct, frozen=True, gc=False):
    """customer: as reviewed, `now` at the review, `next_review` > `now`. outputs: what is to be told, in order. risk:
    None of who never bought, and where none is assessed. dropped: (kind, reason) of care that never went; untold:
    promises kept before anybody was reminded, for the figures."""

    customer: Customer
    outputs: tuple[Output, ...]
    risk: Risk | None
    dropped: tuple[tuple[str, str], ...] = ()
    untold: tuple[CareReminder, ...] = ()


def review(customer: Customer, now: int, around: Surroundings, policy: Policy) -> Review:
    """The review of `customer` at `now` (ms, never before their last one)."""
    assert now >= customer.now, f"{customer.id}: a review at {now} after one at {customer.now}"
    if customer.history.service is not None:
        employee, told_of = grade.review(customer, now, around.context, policy)
        return Review(employee, told_of, None)
    calendar = policy.calendar
    day = calendar.day_of(now)
    if customer.merge is not None:
        history, merge = as_of(customer.history, customer.merge, day)
        customer = replace(customer, history=history, merge=merge)
        if merge.into is not None:
            return _silent(customer, now, around, policy)
    history = within(customer.history, day)
    told, rank = tier.reached(customer.told, history, now, day, around, policy)
    verdict = tier.decide(told, rank, now, policy)
    told = _payback(verdict.told, history, now)
    until = tier.changes_by_time(told, history, day, policy)
    seen = risk.assess(customer.id, history, told, day, policy)
    transition, waits = None, False
    if seen is not None:
        told, transition, waits = _risk(seen, history, told, now, policy)
        until = _earliest(until, None if seen.leaves is None else seen.leaves)
        until = _earliest(until, risk.next_day(seen, told, until, policy))
        until = _earliest(until, day + 1 if waits else None)
    until = _earliest(
        until, _silence_day(history, seen, day, policy) if policy.loyalty.layers or policy.segments else None
    )
    due = FOREVER if until is None else calendar.begins_after(until, now)
    if verdict.deadline is not None and verdict.deadline < due:
        due = verdict.deadline
    if policy.employees.span_days is not None or told.charge is not None:
        told = _in_charge(told, history, now, policy)
    entitled: tuple[Entitlement, ...] = ()
    if policy.benefits or history.ledger is not None:
        entitled = entitlements(history, told, now, policy)
        due = min(due, next_change(entitled, history.ledger, now, policy))
    cared = None
    if policy.care or told.care.open or told.care.waiting:
        as_now = Customer(customer.id, history, told, now, FOREVER, around.context)
        cared = _care(customer, as_now, verdict, rank, seen, entitled, policy)
        if cared.book is not told.care:
            told = replace(told, care=cared.book)
        if cared.pooled and told.charge is not None:
            told = replace(told, charge=replace(told.charge, pooled_at=now))
        due = min(due, cared.until)
    assert due > now, f"{customer.id}: reviewed at {now}, due again at {due}"
    reviewed = Customer(customer.id, history, told, now, due, around.context, customer.merge)
    outputs: tuple[Output, ...] = tier.changes(reviewed, verdict, around, policy) if verdict.steps else ()
    if transition is not None and seen is not None:
        outputs = (*outputs, risk.said(reviewed, seen, verdict.told, transition, policy))
    if cared is not None:
        return Review(reviewed, (*outputs, *cared.outputs), seen, cared.dropped, cared.untold)
    return Review(reviewed, outputs, seen)


def _silent(customer: Customer, now: int, around: Surroundings, policy: Policy) -> Review:
    """Of an id whose facts count elsewhere (D5): its open reminders are withdrawn, for good; what else it was told is
    kept, and holds on should the merge be undone. Time alone changes nothing."""
    told, history = customer.told, customer.history
    look = Look(history, told, now, policy, rose=False)
    outputs = tuple(life.withdrawn(customer.id, told.care, look))
    if told.care.open or told.care.waiting:
        told = replace(told, care=life.ended(told.care))
    return Review(Customer(customer.id, history, told, now, FOREVER, around.context, customer.merge), outputs, None)


def _silence_day(history: History, seen: Risk | None, day: int, policy: Policy) -> int | None:
    """The programme day after `day` on which silence alone may change the layer (L1) or a segment (V6); None: none."""
    who = rhythm(history.purchase_days) if seen is None else seen.who
    return _earliest(loyalty.silent_day(who, day, policy), segments.next_day(history, day, policy))


def _payback(told: Told, history: History, now: int) -> Told:
    """With the instant of the payback (V2), kept for good."""
    back = worth.paid_back(history, told.paid_back_at, now)
    return told if back == told.paid_back_at else replace(told, paid_back_at=back)


def _in_charge(told: Told, history: History, now: int, policy: Policy) -> Told:
    bound = policy.employees.span_days is not None
    charge = charged(told.charge, history.profile, now) if bound else None
    return told if charge == told.charge else replace(told, charge=charge)


def _care(
    before: Customer,
    as_now: Customer,
    verdict: tier.Verdict,
    rank: int,
    seen: Risk | None,
    entitled: tuple[Entitlement, ...],
    policy: Policy,
) -> life.Cared:
    """The care book after the review (C), by the tier and level that hold from it on. as_now: as reviewed so far."""
    steps, now = verdict.steps, as_now.now
    rose = bool(steps) and steps[-1].to_rank > steps[-1].from_rank
    moved = _moved(before, verdict, rank, now, policy) if before.context.partition(";")[0] != policy.key else ""
    look = Look(as_now.history, as_now.told, now, policy, rose=rose, moved=moved, entitled=entitled)

    shown: View = {}

    def field(name: str) -> Any:
        if name in MORE_NUMBERS or name == "segment":
            return segments.read(name, as_now, policy, outlook(as_now, policy, seen))
        if not shown:
            shown.update(zip(FIELDS, values(as_now, policy, seen=outlook(as_now, policy, seen)), strict=True))
        return shown.get(name)

    return life.care_of(as_now.id, look, field)


def _moved(customer: Customer, verdict: tier.Verdict, rank: int, now: int, policy: Policy) -> str:
    """The tier that the policy, new at this review, has for the customer, now or once the grace is over; "": theirs."""
    if verdict.steps:
        return verdict.told.tier
    falls = verdict.told.below_since == now != customer.told.below_since
    return policy.tiers[rank].name if falls else ""


def _risk(seen: Risk, history: History, told: Told, now: int, policy: Policy) -> risk.Verdict:
    """What the review says of risk, with what it keeps for good: the exit (X0-X2)."""
    verdict = risk.decide(seen, history, told, now, policy)
    gone = risk.exit_after(verdict, history, seen, now, policy)
    return verdict if gone is verdict.told.exit else verdict._replace(told=replace(verdict.told, exit=gone))


def _earliest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def advance(
    customer: Customer, until: int, around: Surroundings, policy: Policy, *, steps_max: int
) -> Iterator[Review]:
    """The reviews of `customer` at each own due instant up to and including `until` (ms), at most `steps_max`.

    They happen at the due instant, never at the tick, so neither tick spacing nor batch split changes what is told.
    """
    for _ in range(steps_max):
        if customer.next_review > until:
            return
        seen = review(customer, customer.next_review, around, policy)
        customer = seen.customer
        yield seen


def evaluated(customer: Customer, clock: int, policy: Policy) -> Customer:
    """The customer as of `clock`, told unchanged: what a reader is shown, nothing is written."""
    now = max(clock, customer.now)
    return replace(customer, history=within(customer.history, policy.calendar.day_of(now)), now=now)
