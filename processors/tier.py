"""T1-T5, T7: the tier of a customer, from the figures of a review and from what was last told.

T1 up at once, to the highest tier all of whose conditions hold. T2 down after `grace_days` below without a break; a
review at or above ends the grace. T3 one tier a grace where the policy says so. T4 each change says which condition
decided, until when the tier keeps by itself, and what the next one asks. T5 its benefits. T7 never below the floor of
the club.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from processors import club
from processors.customer import FOREVER, Customer, Told
from processors.days import Calendar
from processors.fields import SHARE_RANKS
from processors.history import DAY_ROW, FIRST_DAY, WINDOW_DAYS, History, first_leaving_day, within
from processors.outputs import TierChange, ToNext
from processors.policy import Policy, Tier
from processors.predicate import parsed
from processors.sections import Grade
from processors.value import READERS, SUMS, Figures, Reader, Sum, figures

SHARE: Final = "min_value_share_rank"

UNREACHABLE: Final = 1 << 62
"""The threshold of a top share that no tick has told yet: nobody is in it."""


_INSTANTS_MAX: Final = 1_000
"""A window has 365 days to leave, and each tier one grace."""


class Surroundings(Struct, frozen=True):
    """What all partitions agree on, carried by the ticks.

    since: the instant (ms) of the tick that brought policy or shares. context: names policy and shares; a customer
    last reviewed under another context is reviewed once at `since`. asked: what each tier asks for, by rank; falls:
    nothing but sums that time alone can only lower, see `_FALL`.
    """

    context: str
    ladder: Ladder
    asked: tuple[tuple[Asked, ...], ...]
    falls: bool
    since: int = -1


class Asked(NamedTuple):
    """One condition of a tier: at least so much of a figure."""

    condition: str
    figure: str
    least: int


_FALL: Final = frozenset(("value_365d", "purchases_365d"))
"""What leaves the window lowers these, unless it is a day on which more went back than was sold."""

Ladder = tuple[tuple[int, tuple[tuple[Reader, int], ...]], ...]
"""(rank, ((figure, least), ...)), highest first, thresholds of shares put in: the tiers as a review climbs them."""


def surroundings(policy: Policy, since: int = -1, value_at_share: Mapping[str, int] | None = None) -> Surroundings:
    """What a review under `policy` sees around it. value_at_share: share of customers (as text) to the least
    `value_365d` of that top share, minor units; it counts only where one is asked for."""
    shares = dict(sorted((value_at_share or {}).items()))
    asked = tuple(
        tuple(Asked(name, figure_of(name), _least(name, need, shares)) for name, need in tier.conditions)
        for tier in policy.tiers
    )
    ladder = tuple(
        (rank, tuple((READERS[one.figure], one.least) for one in asked[rank])) for rank in range(len(asked) - 1, 0, -1)
    )
    falls = policy.club is None and all(one.figure in _FALL for tier in asked for one in tier)
    context = policy.key
    if asks_for_shares(policy):
        context += ";" + ",".join(f"{share}={value}" for share, value in shares.items())
    return Surroundings(context, ladder, asked, falls, since)


def asks_for_shares(policy: Policy) -> bool:
    """Whether a tier (T8) or a segment (V6) asks for a top share of customers."""
    tiers = any(name == SHARE for tier in policy.tiers for name, _ in tier.conditions)
    return tiers or any(clause.field in SHARE_RANKS for one in policy.segments for clause in parsed(one.when))


def figure_of(condition: str) -> str:
    """The figure that `condition` looks at."""
    return "value_365d" if condition == SHARE else condition[4:]


def _least(condition: str, need: int | str, shares: Mapping[str, int]) -> int:
    return shares.get(str(need), UNREACHABLE) if condition == SHARE else int(need)


Rungs = Sequence[Tier | Grade]
"""What there is to climb, lowest first."""


class Step(Struct, frozen=True, gc=False):
    """One move from tier to tier (ranks, lowest 0)."""

    from_rank: int
    to_rank: int


class Verdict(Struct, frozen=True, gc=False):
    """told: what holds from now on. steps: the moves to tell, in order. deadline: when a running grace ends."""

    told: Told
    steps: tuple[Step, ...]
    deadline: int | None


def qualified(ladder: Ladder, facts: History, day: int, calendar: Calendar) -> int:
    """The rank of the highest tier all of whose conditions hold (T1); the lowest has none. facts: within the window."""
    for rank, conditions in ladder:
        for read, least in conditions:
            if read(facts, day, calendar) < least:
                break
        else:
            return rank
    return 0


def reached(told: Told, facts: History, now: int, day: int, around: Surroundings, policy: Policy) -> tuple[Told, int]:
    """The rank that a review at `now` (ms) finds, never below the club's floor (T7), and who joins the club with it.

    day: the programme's at `now`; facts: within the window that ends on it.
    """
    rank = qualified(around.ladder, facts, day, policy.calendar)
    if policy.club is None:
        return told, rank
    since = club.joined(told, facts, now, day, policy)
    if since != told.club_since:
        told = replace(told, club_since=since)
    return told, max(rank, club.floor(told, policy))


def changes_by_time(told: Told, facts: History, day: int, policy: Policy) -> int | None:
    """The earliest programme day after `day` on which, by time alone, a tier could change but for a grace that ends:
    a fact leaves, or the club's years are full. None: there is none. facts: within the window that ends on `day`."""
    leaving = first_leaving_day(facts, policy.calendar, day)
    until = None if leaving is None else leaving + WINDOW_DAYS
    if policy.club is not None and told.club_since is None:
        jubilee = club.jubilee_day(facts, policy)
        if jubilee is not None and day < jubilee and (until is None or jubilee < until):
            return jubilee
    return until


def decide(told: Told, rank: int, now: int, policy: Policy, grades: tuple[Grade, ...] = ()) -> Verdict:
    """What a review at `now` makes of the tier (T1-T3), where the facts qualify for `rank`.

    A tier the policy no longer has counts as the lowest. grades: what is decided in place of tiers (E2).
    """
    rungs: Rungs = grades or policy.tiers
    held = (_rank_in(grades, told.tier) if grades else policy.tier_rank(told.tier)) or 0
    if rank == held and told.below_since is None and told.tier == rungs[held].name:
        return Verdict(told, (), None)
    if rank >= held:
        steps = (Step(held, rank),) if rank > held else ()
        return Verdict(_now_in(told, rungs, rank, now if steps else told.tier_since, None), steps, None)
    return _below(told, held, rank, now, policy, rungs)


def _below(told: Told, held: int, rank: int, now: int, policy: Policy, rungs: Rungs) -> Verdict:
    """Below the current tier: start the grace, let it run, or go down where it has ended (T2, T3)."""
    rules, since = policy.tier_rules, told.below_since
    steps: list[Step] = []
    tier_since = told.tier_since
    while rank < held:
        since = now if since is None else since
        deadline = policy.calendar.plus_days(since, rules.grace_days)
        if now < deadline:
            return Verdict(_now_in(told, rungs, held, tier_since, since), tuple(steps), deadline)
        lower = held - 1 if rules.one_step_down else rank
        steps.append(Step(held, lower))
        held, tier_since, since = lower, now, None
    return Verdict(_now_in(told, rungs, held, tier_since, None), tuple(steps), None)


def _rank_in(rungs: Rungs, name: str) -> int | None:
    return next((rank for rank, rung in enumerate(rungs) if rung.name == name), None)


def _now_in(told: Told, rungs: Rungs, rank: int, tier_since: int | None, below_since: int | None) -> Told:
    return replace(told, tier=rungs[rank].name, tier_since=tier_since, below_since=below_since)


def changes(customer: Customer, verdict: Verdict, around: Surroundings, policy: Policy) -> tuple[TierChange, ...]:
    """The outputs of `verdict` (T4, T5), for `customer` as reviewed at the instant `customer.now`."""
    calendar = policy.calendar
    day = calendar.day_of(customer.now)
    figs = figures(customer.history, day, calendar)
    earned = qualified(around.ladder, customer.history, day, calendar)
    return tuple(_change(customer, figs, step, earned, verdict, around, policy) for step in verdict.steps)


def _change(
    customer: Customer,
    figs: Figures,
    step: Step,
    earned: int,
    verdict: Verdict,
    around: Surroundings,
    policy: Policy,
) -> TierChange:
    tiers, up = policy.tiers, step.to_rank > step.from_rank
    code, have, need = _decided(figs, around.asked[step.to_rank if up else step.from_rank], up)
    if up and step.to_rank > earned:
        day = policy.calendar.day_of(customer.now)
        code, have, need = next(club.ways_in(customer.history, day, policy), ("club", 0, 0))
    above = tiers[step.to_rank + 1] if step.to_rank + 1 < len(tiers) else None
    told = replace(verdict.told, tier=tiers[step.to_rank].name, tier_since=customer.now)
    return TierChange(
        customer_id=customer.id,
        at=customer.now,
        policy=policy.label,
        from_tier=tiers[step.from_rank].name,
        to_tier=tiers[step.to_rank].name,
        direction="UP" if up else "DOWN",
        code=code,
        have=have,
        need=need,
        value_365d=figs.value_365d,
        currency=policy.programme.currency,
        keep_until=keep_until(told, customer.history, customer.now, around, policy),
        next_tier=None if above is None else above.name,
        to_next=() if above is None else to_next(figs, around.asked[step.to_rank + 1]),
        benefits=tiers[step.to_rank].benefits,
    )


def _decided(figs: Figures, asked: Sequence[Asked], up: bool) -> tuple[str, int, int]:
    """(condition, have, need): going up, the tightest condition met; going down, the one missed by the most.

    Tight is by have/need; where they tie, the one named first.
    """
    known = [(name, getattr(figs, figure), least) for name, figure, least in asked if least != UNREACHABLE]
    missed = known if up else [row for row in known if row[1] < row[2]]
    if not missed:
        return "policy", 0, 0  # a tier that the policy changed under the customer
    return missed[0] if len(missed) == 1 else min(missed, key=_nearness)


def most_missed(facts: History, told: Told, day: int, policy: Policy) -> tuple[str, int, int]:
    """(condition, have, need) of the tier held that is missed by the most on programme day `day`, shares apart (T6)."""
    figs, held = figures(facts, day, policy.calendar), policy.tiers[policy.tier_rank(told.tier) or 0]
    asked = [(name, getattr(figs, figure_of(name)), int(need)) for name, need in held.conditions if name != SHARE]
    short = [row for row in asked if row[1] < row[2]]
    return min(short, key=_nearness, default=("policy", 0, 0))


def ends_by_time(facts: History, told: Told, now: int, policy: Policy) -> tuple[int, History] | None:
    """(the midnight, ms, from which the tier held is not qualified for any more if nothing but time happens, the facts
    then); None: it stays. Shares apart: what others buy decides these."""
    rank, calendar = policy.tier_rank(told.tier) or 0, policy.calendar
    asked = [(figure_of(name), int(need)) for name, need in policy.tiers[rank].conditions if name != SHARE]
    if not asked or rank <= club.floor(told, policy):
        return None
    if all(name in SUMS for name, _ in asked):
        short = _short_of(facts, [(SUMS[name], need) for name, need in asked], calendar)
        return None if short is None else (calendar.midnight(short), within(facts, short))
    day = calendar.day_of(now)
    for _ in range(_INSTANTS_MAX):
        leaving = first_leaving_day(facts, calendar, day)
        if leaving is None:
            break
        day = leaving + WINDOW_DAYS
        facts = within(facts, day)
        figs = figures(facts, day, calendar)
        if any(getattr(figs, name) < need for name, need in asked):
            return calendar.midnight(day), facts
    return None


class _Sums(NamedTuple):
    """Those of the window, as `SUMS` reads them."""

    value: int
    sales: int
    returns: int
    margin: int
    serve: int


def _short_of(facts: History, asked: Sequence[tuple[Sum, int]], calendar: Calendar) -> int | None:
    """The programme day on which a sum of the window falls short, as one day after the other leaves it; None: none."""
    held = _Sums(facts.value, facts.sales, facts.returns, facts.margin, facts.serve)
    for number, sales, returns, value, margin, serve in DAY_ROW.iter_unpack(facts.days):
        held = _Sums(
            held.value - value, held.sales - sales, held.returns - returns, held.margin - margin, held.serve - serve
        )
        day = int(number) + FIRST_DAY + WINDOW_DAYS
        for read, least in asked:
            if read(held, day, calendar) < least:
                return day
    return None


def _nearness(row: tuple[str, int, int]) -> float:
    """have / need of a condition."""
    _, have, need = row
    return have / need if need > 0 else 1.0


def to_next(figs: Figures, asked: Sequence[Asked]) -> tuple[ToNext, ...]:
    """What a tier asks and what the customer has (T4)."""
    return tuple([ToNext(name, getattr(figs, figure), least) for name, figure, least in asked if least != UNREACHABLE])


def _has_and_falls(rank: int, facts: History, day: int, around: Surroundings, calendar: Calendar) -> bool:
    """Whether the facts qualify for `rank` on programme day `day`, and what leaves them takes value away or nothing."""
    return qualified(around.ladder, facts, day, calendar) == rank and all(
        value >= 0 for _, _, _, value, _, _ in DAY_ROW.iter_unpack(facts.days)
    )


def keep_until(told: Told, history: History, now: int, around: Surroundings, policy: Policy) -> int | None:
    """The instant at which the tier would be lost if nothing but time happened (T4).

    None: by time alone it would never be (the lowest tier). Decides at each instant at which time alone changes
    anything: what leaves may also lift the customer (a return, a cost), in the very midnight that ends a grace.
    """
    rank = policy.tier_rank(told.tier) or 0
    if rank == 0:
        return None
    calendar, at = policy.calendar, now
    if around.falls and _has_and_falls(rank, history, calendar.day_of(now), around, calendar):
        asked = [(SUMS[one.figure], one.least) for one in around.asked[rank]]
        short = _short_of(history, asked, calendar)  # once it is, it stays so, and no tier is won
        begins = None if short is None else calendar.begins_after(short, now)
        return None if begins is None else calendar.plus_days(begins, policy.tier_rules.grace_days)
    for _ in range(_INSTANTS_MAX):
        today = calendar.day_of(at)
        history = within(history, today)
        told, rank_then = reached(told, history, at, today, around, policy)
        verdict = decide(told, rank_then, at, policy)
        told = verdict.told
        if policy.ranks[told.tier] < rank:
            return at
        day = changes_by_time(told, history, today, policy)
        following = FOREVER if day is None else calendar.begins_after(day, at)
        at = following if verdict.deadline is None else min(verdict.deadline, following)
        if at == FOREVER:
            return None
    return None
