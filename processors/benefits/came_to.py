"""T9: what a customer's entitlements come to, a pure function of facts, what was told, the instant and the policy.

What buying earned is what the sale bought less what came back of it, by full measures, on the terms of the sale. What a
tier gives is of a calendar year, whichever of its tiers was held in it: who falls and rises again gets nothing twice.
Uses count against it. A use without a right (beyond what is left after a return, after the end, without the tier) is
owed: so no order of buying, using and returning leaves a gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from processors.benefits.book import EMPTY, KEEP_DAYS, PREFIX, Earned, Ledger, oldest_day
from processors.benefits.sections import Benefit
from processors.customer import FOREVER, Told
from processors.days import DAY_MS
from processors.history import History
from processors.policy import Policy

OPEN, USED, EXPIRED, TAKEN_BACK, OWED = STATES = "OPEN", "USED", "EXPIRED", "TAKEN_BACK", "OWED"

SHOWN_MS: Final = 30 * DAY_MS
"""What is neither open nor owed is shown until so long after its end."""


class Entitlement(Struct, frozen=True, gc=False):
    """A benefit that a customer may use, or might have. `id`: what a till names.

    left, used: how many times it may still be, and was by right; owed: uses without a right, each of `worth` minor
    units. get: the thing, in words. earned_at, expires_at: ms.
    """

    id: str
    benefit: str
    state: str  # OPEN | USED | EXPIRED | TAKEN_BACK | OWED
    left: int
    used: int
    owed: int
    worth: int
    get: str | None
    earned_at: int
    expires_at: int


class Use(NamedTuple):
    """A sale or contact that used an entitlement `times` times, those given back taken off."""

    at: int
    times: int


Uses = Mapping[str, list[Use]]
"""By entitlement."""


def entitlements(facts: History, told: Told, now: int, policy: Policy) -> tuple[Entitlement, ...]:
    """All of the last `KEEP_DAYS`, the latest earned last. facts: as of `now` (ms)."""
    ledger = facts.ledger or EMPTY
    if not (ledger.earned or policy.benefits):
        return ()
    uses = uses_of(ledger)
    found = [*bought(ledger, uses, now, policy)]
    for benefit in policy.benefits:
        if benefit.tiers is not None:
            found += _by_tier(benefit, facts, told, uses, now, policy)
    found.sort(key=lambda one: (one.earned_at, one.id))
    return tuple(found)


def shown(found: tuple[Entitlement, ...], now: int) -> tuple[Entitlement, ...]:
    """Those that a view shows."""
    return tuple(one for one in found if one.state == OWED or now < one.expires_at + SHOWN_MS)


def next_change(found: tuple[Entitlement, ...], ledger: Ledger | None, now: int, policy: Policy) -> int:
    """The first instant after `now` at which by time alone anything of `entitlements` changes: a benefit ends, begins
    with the year, is not shown any more, or is forgotten; FOREVER: none."""
    at = FOREVER
    for one in found:
        for instant in (one.expires_at, one.expires_at + SHOWN_MS):
            if now < instant < at:
                at = instant
    if ledger is not None:
        at = min(at, policy.calendar.begins_after(oldest_day(ledger) + KEEP_DAYS, now))
    return at


def uses_of(ledger: Ledger) -> Uses:
    """Each sale's uses, less what returns of it gave back: never more than it used, however many they are."""
    times: dict[tuple[str, str], list[int]] = {}
    for one in ledger.used:
        held = times.setdefault((one.id, one.by), [FOREVER, 0, 0])
        if one.times > 0:
            held[0] = min(held[0], one.at)
            held[1] += one.times
        else:
            held[2] -= one.times
    found: dict[str, list[Use]] = {}
    for (name, _), (at, used, back) in times.items():
        if used > back:
            found.setdefault(name, []).append(Use(at, used - back))
    return found


def bought(ledger: Ledger, uses: Uses, now: int, policy: Policy | None = None) -> Iterator[Entitlement]:
    """What sales earned. policy: for the words of it alone; all else stands in the facts."""
    back: dict[tuple[str, str], list[int]] = {}
    for row in ledger.returned:
        sums = back.setdefault((row.sale, row.category), [0, 0])
        sums[0] += row.quantity
        sums[1] += row.amount
    words = {} if policy is None else {benefit.name: benefit.get for benefit in policy.benefits}
    for one in ledger.earned:
        returned = back.get((one.sale, one.category), _NOTHING)[one.by_amount]
        name = f"{PREFIX}{one.benefit}:{one.sale}"
        used, late = _split(uses.get(name, ()), one.expires_at)
        granted = max(one.bought - returned, 0) // one.per * one.uses
        yield _made(name, one, words.get(one.benefit), granted, used, late, now)


_NOTHING: Final = (0, 0)


def _split(uses: list[Use] | tuple[()], until: int) -> tuple[int, int]:
    """(times used before `until`, times used from then on)."""
    timely = sum(use.times for use in uses if use.at < until)
    return timely, sum(use.times for use in uses) - timely


def _made(name: str, terms: Earned, get: str | None, granted: int, used: int, unentitled: int, now: int) -> Entitlement:
    """used: times that `granted` may cover; unentitled: times that nothing does."""
    owed = max(used - granted, 0) + unentitled
    used = min(used, granted)
    left = granted - used if now < terms.expires_at else 0
    if owed:
        state = OWED
    elif granted == 0:
        state = TAKEN_BACK
    elif used == granted:
        state = USED
    else:
        state = OPEN if left else EXPIRED
    worth, at, until = terms.worth, terms.at, terms.expires_at
    return Entitlement(name, terms.benefit, state, left, used, owed, worth, get, at, until)


def _by_tier(
    benefit: Benefit, facts: History, told: Told, uses: Uses, now: int, policy: Policy
) -> Iterator[Entitlement]:
    """What a tier gives: of this year while one of its tiers is held, of the last if it was so at its end already; and
    of whatever year it was used in."""
    calendar = policy.calendar
    this = calendar.year_of(calendar.day_of(now))
    held = told.tier in (benefit.tiers or ())
    since = told.tier_since
    if since is None:
        since = now if facts.first_at is None else facts.first_at
    given = {this} if held else set()
    if held and since < _begins(this, policy):
        given.add(this - 1)
    name = f"{PREFIX}{benefit.name}:"
    named = {int(tail) for one in uses if one.startswith(name) and is_year(tail := one[len(name) :])}
    for year in sorted(given | named):
        begins, ends = _begins(year, policy), _begins(year + 1, policy)
        right, wrong = _split(uses.get(f"{name}{year}", ()), ends)
        if not held:  # what was used since the tier was lost had no right to be
            right, more = _split([use for use in uses[f"{name}{year}"] if use.at < ends], since)
            wrong += more
        granted = benefit.uses if year in given else min(benefit.uses, right)
        earned_at = max(begins, since) if year in given else begins
        terms = Earned(0, earned_at, "", benefit.name, ends, "", False, 0, 1, benefit.uses, benefit.worth or 0)
        yield _made(f"{name}{year}", terms, benefit.get, granted, right, wrong, now)


def is_year(text: str) -> bool:
    """Whether an entitlement's name behind the benefit's is a calendar year: a tier gives it."""
    return len(text) == len("2024") and text.isascii() and text.isdecimal() and "1970" <= text < "9999"


def _begins(year: int, policy: Policy) -> int:
    """The instant at which a calendar year of the programme begins."""
    return policy.calendar.midnight(policy.calendar.occurrence("01-01", year))
