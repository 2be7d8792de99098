"""M4: who another policy would move, and what it would have done: the review itself, under both, nothing written.

A customer is taken as held, advanced by time to one instant under the policy in force, and reviewed there under either.
What the review under the other policy gives is what a worker would tell on the day of the change; `care_ahead` goes on
from there by time alone, so both sides see the same silence. Amounts keep what they were booked at: a later policy does
not rewrite what a year was worth. What histories lack that the other policy needs is said by `lacks`, as codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from processors import risk, segments, tier
from processors.care.life import DUE
from processors.care.sections import Care
from processors.charge import CUSTOMERS
from processors.customer import Customer
from processors.days import Calendar
from processors.events import Profile
from processors.history import History
from processors.money import half_even
from processors.outlook import outlook
from processors.outputs import CareReminder
from processors.policy import Policy
from processors.review import Review, advance, review
from processors.tier import Surroundings
from processors.worth import worth

STEPS_MAX: Final = 1_000
"""Reviews of one customer on the way to an instant: two a day for more than a year."""


class Side(NamedTuple):
    """A policy with what it sees around it."""

    policy: Policy
    around: Surroundings


class Stand(NamedTuple):
    """How a customer stands right after a review. seen: that review. tier: held; earned: the tier of what they did, the
    club's floor included: a lower one than `tier` is theirs once the grace is over. level: of risk, as asked for. care:
    kinds of the reminders that are open, sorted. clv, at_stake: minor units."""

    seen: Review
    tier: str
    earned: str
    level: str
    care: tuple[str, ...]
    clv: int
    at_stake: int


class Move(NamedTuple):
    """A customer whom the other policy treats otherwise. at_once: the tier held changes with the policy, and tiers are
    those held; else they are those earned, which are held once a grace is over. care_new, care_gone: kinds of reminders
    that come and that go. Amounts in minor units."""

    customer_id: str
    value_365d: int
    value_at_stake: int
    tier_from: str
    tier_to: str
    at_once: bool
    level_from: str
    level_to: str
    care_new: tuple[str, ...]
    care_gone: tuple[str, ...]


class Lack(NamedTuple):
    """Something the other policy needs that histories have not. code: of its sentence; what: the entry it is about.
    have, of: customers who have it, of all; 0 of 0 where it is the same for all."""

    code: str
    what: str = ""
    have: int = 0
    of: int = 0


# ---- one customer


def at_rest(customer: Customer, clock: int, side: Side) -> Customer:
    """The customer once all that is due up to `clock` (ms) has been reviewed."""
    for seen in advance(customer, clock, side.around, side.policy, steps_max=STEPS_MAX):
        customer = seen.customer
    return customer


def stand(customer: Customer, now: int, side: Side) -> Stand:
    """How the customer, at rest, stands after a review at `now` (ms) under `side`."""
    policy = side.policy
    seen = review(customer, max(now, customer.now), side.around, policy)
    after = seen.customer
    day = policy.calendar.day_of(after.now)
    _, rank = tier.reached(after.told, after.history, after.now, day, side.around, policy)
    who, alive, level = None, 0.0, after.told.level
    if seen.risk is not None:
        who, alive = seen.risk.who, seen.risk.alive
        level = risk.level_of(seen.risk, customer.told.level, policy)
    expected = worth(after.history, who, alive, day, policy)
    care = tuple(sorted(one.kind for one in after.told.care.open))
    stake = 0 if seen.risk is None else expected.at_stake
    return Stand(seen, after.told.tier, policy.tiers[rank].name, level, care, expected.clv, stake)


def move(was: Stand, then: Stand) -> Move | None:
    """What changes for the customer between two policies; None: nothing."""
    new, gone = Counter(then.care) - Counter(was.care), Counter(was.care) - Counter(then.care)
    if (was.tier, was.earned, was.level) == (then.tier, then.earned, then.level) and not new and not gone:
        return None
    customer = was.seen.customer
    at_once = was.tier != then.tier
    return Move(
        customer.id,
        customer.history.value,
        was.at_stake,
        was.tier if at_once else was.earned,
        then.tier if at_once else then.earned,
        at_once,
        was.level,
        then.level,
        tuple(sorted(new.elements())),
        tuple(sorted(gone.elements())),
    )


def care_ahead(seen: Review, until: int, side: Side) -> Counter[tuple[str, str]]:
    """(kind, programme's month as YYYY-MM) to the reminders that go, in the review `seen` and up to `until` (ms), if
    nothing but time happens. The control group gets none."""
    found: Counter[tuple[str, str]] = Counter()
    for one in _reviews(seen, until, side):
        for output in one.outputs:
            if isinstance(output, CareReminder) and output.status == DUE:
                found[output.kind, month_of(output.at, side.policy.calendar)] += 1
    return found


def _reviews(seen: Review, until: int, side: Side) -> Iterator[Review]:
    yield seen
    yield from advance(seen.customer, until, side.around, side.policy, steps_max=STEPS_MAX)


def month_of(at: int, calendar: Calendar) -> str:
    """The programme's month of an instant (ms), YYYY-MM."""
    return calendar.iso_day(calendar.day_of(at))[:7]


# ---- top shares


def shares_asked(policy: Policy) -> set[str]:
    """The top shares that a tier (T8) or a segment (V6) asks for, as the ticks name them."""
    tiers = {str(need) for one in policy.tiers for name, need in one.conditions if name == tier.SHARE}
    return tiers | segments.shares_asked(policy)


def thresholds(shares: Iterable[str], facts: Iterable[History]) -> dict[str, int]:
    """Each of `shares` to the least value, or average order, of those in it, minor units; by average order those are
    ranked who have one. facts: of every customer, within the window."""
    asked = set(shares)
    by_order = {one for one in asked if one.startswith(segments.ORDER_KEY)}
    values: list[int] = []
    orders: list[int] = []
    for one in facts:
        values.append(one.value)
        if by_order and one.sales and one.value > 0:
            orders.append(half_even(one.value, one.sales))
    found = value_at(asked - by_order, values)
    tops = value_at({one.removeprefix(segments.ORDER_KEY) for one in by_order}, orders)
    return found | {segments.ORDER_KEY + top: least for top, least in tops.items()}


def segments_of(was: Stand, side: Side) -> tuple[str, ...]:
    """The segments of a customer as they stand (V6)."""
    if not side.policy.segments:
        return ()
    after = was.seen.customer
    return segments.segments_of(after, side.policy, outlook(after, side.policy, was.seen.risk))


def value_at(shares: Iterable[str], values: Iterable[int]) -> dict[str, int]:
    """Each top share to the least value of those in it (T8): of n customers the first n x share, rounded half even, at
    least one.

    >>> value_at(["0.5", "0.01"], [10, 40, 30, 20])
    {'0.5': 30, '0.01': 40}
    """
    best = sorted(values, reverse=True)
    return {share: best[max(1, round(len(best) * Fraction(share))) - 1] for share in shares} if best else {}


# ---- what histories lack


def lacks(old: Policy, new: Policy, having: Mapping[str, int], customers: int) -> list[Lack]:
    """What the new policy needs that histories kept under the old one do not have, or have as the old one booked it.

    having: of `needs(new)` how many customers have it, of `customers`.
    """
    found = [Lack(code, f"{was} -> {now}") for code, was, now in _programmes(old, new) if was != now]
    for code, was, now in (
        ("margin", old.margin, new.margin),
        ("costs", old.costs, new.costs),
        ("rates", old.currencies, new.currencies),
    ):
        if was != now:
            found.append(Lack(code))
    known = {benefit.name for benefit in old.benefits}
    found += [Lack("benefit", benefit.name) for benefit in new.benefits if benefit.name not in known]
    if new.employees.span_days is not None and old.employees.span_days is None:
        found.append(Lack("charge"))
    for share in sorted(shares_asked(new) - shares_asked(old)):
        top = share.removeprefix(segments.ORDER_KEY)
        found.append(Lack("share" if top == share else "order", top))
    before = needs(old)
    for kind, need in needs(new):
        if (kind, need) not in before and having.get(need, 0) < customers:
            found.append(Lack("profile", f"{kind}:{need}", having.get(need, 0), customers))
    return found


def _programmes(old: Policy, new: Policy) -> Iterator[tuple[str, str, str]]:
    yield "currency", old.programme.currency, new.programme.currency
    yield "time_zone", old.programme.time_zone, new.programme.time_zone
    yield "control", old.programme.name, new.programme.name


def needs(policy: Policy) -> list[tuple[str, str]]:
    """(kind of care, what of a profile it is due by), in the policy's order."""
    kinds = (care for care in policy.care if care.reaches(CUSTOMERS))
    return [(care.kind, need) for care in kinds if (need := _need(care)) is not None]


def _need(care: Care) -> str | None:
    if care.shape == "calendar":
        return care.on or "birthday"
    return "employee_id" if care.shape == "silence" and care.on == "owner" else None


def has(profile: Profile | None, need: str) -> bool:
    """Whether a profile says what a kind of care is due by: birthday, joined, employee_id, anniversaries or one's name.

    >>> has(None, "birthday")
    False
    """
    if profile is None:
        return False
    if need == "birthday":
        return profile.birthday is not None
    if need == "employee_id":
        return profile.employee_id is not None
    if need == "anniversaries":
        return bool(profile.anniversaries)
    return need == "joined" or any(one.name == need for one in profile.anniversaries)
