"""One pass over all customers: what the pages of a programme show, so much of it as a page has room for.

The pass takes a fraction of a millisecond a customer and is made in a process of its own, at most as often as stream
time moves; pages read what the last one found. Sums are over everybody; lists are bounded, with their true number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from heapq import heappush, heappushpop
from time import monotonic
from typing import Any, Final

from msgspec import Struct

from processors.customer import Customer
from processors.days import DAY_MS
from processors.history import History, within
from processors.policy import Policy, Tier
from processors.sketch import SHARES
from processors.tier import SHARE, ends_by_time, figure_of, most_missed, qualified, surroundings
from processors.value import Figures, figures
from processors.view import view
from streams import serving, summary
from streams.customers_now import CustomersNow, whole
from streams.grading import grades
from streams.programme import programme_figures
from streams.settings import Settings

LEVELS: Final = ("OK", "WATCH", "AT_RISK", "LOST")
RISKY_MAX: Final = 2_000
DUE_MAX: Final = 300
"""Of an employee; those of nobody are an employee's, too."""
MOVING_MAX: Final = 300
SOON_DAYS: Final = 60
NEAR: Final = 0.8
"""Who has this share of each condition of the next tier is near it."""
REASONS: Final = 3
_SCORES: Final = 20

_SLIM: Final = (
    "tier", "value_365d", "risk_level", "value_at_stake", "as_of", "last_touch_at", "first_purchase_at", "holdout",
    "staff", "purchases_365d", "open_reminders",
)  # fmt: skip


class Why(Struct, frozen=True, array_like=True):
    """A reason in a score, as `processors.outputs.Reason` has it."""

    code: str
    weight: float
    have: float
    usual: float


class Risky(Struct, frozen=True, kw_only=True):
    """Who may leave. stake, value_365d: minor units; reasons: the strongest that speak for leaving; care: the kinds of
    care open for them."""

    customer_id: str
    tier: str
    level: str
    score: float
    stake: int
    value_365d: int
    last_purchase_at: int | None
    usual_gap_days: float | None
    employee_id: str | None
    held_out: bool
    reasons: tuple[Why, ...]
    care: tuple[str, ...]


class Due(Struct, frozen=True, kw_only=True):
    """An open reminder, and of whom. have, usual, what, day: the numbers of its sentence. stake: minor units."""

    reminder_id: str
    customer_id: str
    place: bool
    tier: str
    level: str
    stake: int
    kind: str
    status: str
    priority: int
    channel: str
    employee_id: str | None
    due_at: int
    expires_at: int
    have: float
    usual: float
    what: str
    day: str


class Moving(Struct, frozen=True, kw_only=True):
    """Who is about to change tier. at: when they fall if nothing but time happens, ms (None: they rise, with what is
    missing of `condition`); below: the grace runs already."""

    customer_id: str
    tier: str
    to_tier: str | None
    at: int | None
    below: bool
    condition: str
    have: int
    need: int
    value_365d: int
    employee_id: str | None


class Load(Struct, frozen=True):
    """What an employee has to do: open reminders, of them those of priority 1, and the most urgent ones."""

    open: int
    first: int
    due: tuple[Due, ...]


class Survey(Struct, frozen=True, kw_only=True):
    """All of it. as_of: the latest clock, ms; seconds: what the pass took. scores: customers not lost by twentieths of
    their score. shares (of customers to of value), equity and what is at stake are the programme's figures, as
    everywhere; expected: purchases in 365 days of those not lost, as of the clock. falling_all, rising_all, risky_all:
    how many there are, of whom the lists have the first. layers: customers."""

    as_of: int | None
    seconds: float
    policy: Policy
    customers: int
    tiers: tuple[summary.TierLine, ...]
    risks: tuple[summary.RiskLine, ...]
    shares: Mapping[str, float | None]
    scores: tuple[int, ...]
    equity: int
    expected: float
    equity_by_tier: Mapping[str, int]
    layers: Mapping[str, int]
    untouched: tuple[summary.Untouched, ...]
    employees: tuple[serving.Employee, ...]
    risky: tuple[Risky, ...]
    risky_all: int
    loads: Mapping[str | None, Load]
    falling: tuple[Moving, ...]
    falling_all: int
    rising: tuple[Moving, ...]
    rising_all: int
    counts: Mapping[str, int]


def survey(settings: Settings) -> Survey:
    """The pass. Raises what Redis raises, and LoyaltyError where a policy is missing."""
    began = monotonic()
    with CustomersNow(settings) as now:
        gathered = Gathered(now.policy())
        for customer, policy in now.states():
            gathered.take(customer, policy)
        return gathered.told(now.clock(), now.figures(), began, grades(now, now.policy()))


class Best:
    """The `most` of greatest rank of all that is put in, and how many there were. A rank is put in once."""

    def __init__(self, most: int) -> None:
        self._most, self.number = most, 0
        self._heap: list[tuple[tuple[Any, ...], Any]] = []

    def put(self, rank: tuple[Any, ...], one: Any) -> None:
        self.number += 1
        if len(self._heap) < self._most:
            heappush(self._heap, (rank, one))
        elif rank > self._heap[0][0]:
            heappushpop(self._heap, (rank, one))

    def best(self) -> tuple[Any, ...]:
        """Greatest rank first."""
        return tuple(one for _, one in sorted(self._heap, key=lambda pair: pair[0], reverse=True))


class Gathered:
    """What a pass has found so far."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._views: list[dict[str, Any]] = []
        self._risky, self._falling, self._rising = Best(RISKY_MAX), Best(MOVING_MAX), Best(MOVING_MAX)
        self._due: dict[str | None, Best] = defaultdict(lambda: Best(DUE_MAX))
        self._first: Counter[str | None] = Counter()
        self._scores = [0] * _SCORES
        self._layers: Counter[str] = Counter()
        self._expected = 0.0

    def take(self, customer: Customer, policy: Policy) -> None:
        """One customer or place, as of the clock."""
        seen = whole(view(customer, policy))
        place = customer.history.place is not None
        for one in seen["open_reminders"] or ():
            self._remind(seen, one, place)
        if place or seen["staff"]:
            return  # cared for, and in no figure of customers (K5, E3)
        self._views.append({name: seen[name] for name in _SLIM})
        self._layers[seen["loyalty_layer"]] += 1
        if seen["risk_level"] != "LOST":
            self._expected += seen["expected_purchases"] or 0.0
            if seen["risk_score"] is not None:
                self._scores[min(_SCORES - 1, int(seen["risk_score"] * _SCORES))] += 1
        if seen["risk_level"] in ("WATCH", "AT_RISK"):
            row = risky(seen)
            self._risky.put((row.stake, row.customer_id), row)
        self._move(customer, seen, policy)

    def _remind(self, seen: Mapping[str, Any], one: Mapping[str, Any], place: bool) -> None:
        row = due(seen, one, place)
        self._first[row.employee_id] += row.priority == 1
        self._due[row.employee_id].put((-row.priority, -row.due_at, row.stake, row.reminder_id), row)

    def _move(self, customer: Customer, seen: Mapping[str, Any], policy: Policy) -> None:
        down = falling(customer, seen, policy)
        if down is not None and down.at is not None:
            self._falling.put((-down.at, down.value_365d, down.customer_id), down)
        up = None if down is not None else rising(customer, seen, policy)
        if up is not None:
            self._rising.put((up.have / up.need, up.value_365d, up.customer_id), up)

    def told(
        self, clock: int | None, counts: Mapping[str, int], began: float, held: Mapping[str, serving.Graded]
    ) -> Survey:
        policy, views = self._policy, self._views
        promised = {tier.name: tier.care_every_days for tier in policy.tiers if tier.care_every_days is not None}
        figures = {(one.name, *one.labels.values()): one.value for one in programme_figures(counts, policy, clock)}

        def amount(name: str, *labels: str) -> int:
            return int(figures.get((name, *labels)) or 0)

        stakes = {level: amount("loyalty_value_at_stake", level) for level in LEVELS}
        names = [tier.name for tier in policy.tiers]
        return Survey(
            as_of=clock,
            seconds=monotonic() - began,
            policy=policy,
            customers=len(views),
            tiers=tuple(summary.tiers(views, names)),
            risks=tuple(line._replace(value_at_stake=stakes[line.level]) for line in summary.risks(views, LEVELS)),
            shares={top: figures.get(("loyalty_value_share", top)) for top in SHARES},
            scores=tuple(self._scores),
            equity=amount("loyalty_customer_equity"),
            expected=self._expected,
            equity_by_tier={name: amount("loyalty_customer_equity_by_tier", name) for name in names},
            layers=dict(self._layers),
            untouched=tuple(summary.untouched(views, promised)),
            employees=tuple(serving.employees(counts, policy.employees.least_cases, held)),
            risky=self._risky.best(),
            risky_all=self._risky.number,
            loads={
                name: Load(held.number, self._first[name], held.best())
                for name, held in sorted(self._due.items(), key=lambda pair: (pair[0] is None, pair[0] or ""))
            },
            falling=self._falling.best(),
            falling_all=self._falling.number,
            rising=self._rising.best(),
            rising_all=self._rising.number,
            counts=dict(counts),
        )


def risky(seen: Mapping[str, Any]) -> Risky:
    """The row of a customer who may leave, from the view."""
    return Risky(
        customer_id=seen["customer_id"],
        tier=seen["tier"],
        level=seen["risk_level"],
        score=seen["risk_score"] or 0.0,
        stake=seen["value_at_stake"] or 0,
        value_365d=seen["value_365d"],
        last_purchase_at=seen["last_purchase_at"],
        usual_gap_days=seen["usual_gap_days"],
        employee_id=seen["employee_id"],
        held_out=bool(seen["holdout"]),
        reasons=speaking_for(seen["risk_reasons"] or ()),
        care=tuple(one["kind"] for one in seen["open_reminders"] or ()),
    )


def speaking_for(reasons: Sequence[Mapping[str, Any]], most: int = REASONS) -> tuple[Why, ...]:
    """The strongest reasons to leave; `base`, where everybody starts, is none."""
    held = [Why(one["code"], one["weight"], one["have"], one["usual"]) for one in reasons if one["code"] != "base"]
    return tuple(one for one in held if one.weight > 0)[:most]


def due(seen: Mapping[str, Any], one: Mapping[str, Any], place: bool) -> Due:
    """A reminder of the view's `open_reminders`."""
    return Due(
        reminder_id=one["reminder_id"],
        customer_id=seen["customer_id"],
        place=place,
        tier=seen["tier"],
        level=seen["risk_level"],
        stake=seen["value_at_stake"] or 0,
        kind=one["kind"],
        status=one["status"],
        priority=one["priority"],
        channel=one["channel"],
        employee_id=one["employee_id"],
        due_at=one["due_at"],
        expires_at=one["expires_at"],
        have=one["have"],
        usual=one["usual"],
        what=one["what"],
        day=one["day"],
    )


def falling(customer: Customer, seen: Mapping[str, Any], policy: Policy) -> Moving | None:
    """Who loses their tier within `SOON_DAYS` if they buy nothing: the grace that runs ends, or begins by then."""
    told, rank = customer.told, policy.tier_rank(customer.told.tier) or 0
    if rank == 0:
        return None
    calendar, grace = policy.calendar, policy.tier_rules.grace_days
    if told.below_since is not None:
        at, facts = calendar.plus_days(told.below_since, grace), customer.history
    else:
        last = within(customer.history, calendar.day_of(customer.now) + SOON_DAYS - grace)
        if not _short(figures(last, calendar.day_of(customer.now) + SOON_DAYS - grace, calendar), policy.tiers[rank]):
            return None  # most are: what follows looks at every day on which anything leaves the window
        ends = ends_by_time(customer.history, told, customer.now, policy)
        if ends is None:
            return None
        at, facts = calendar.plus_days(ends[0], grace), ends[1]
    if at > customer.now + SOON_DAYS * DAY_MS:
        return None
    condition, have, need = most_missed(facts, told, calendar.day_of(max(customer.now, at)), policy)
    lower = _lower(facts, rank, at, policy)
    return _moving(seen, lower, at, told.below_since is not None, condition, have, need)


def _lower(facts: History, rank: int, at: int, policy: Policy) -> str | None:
    """The tier they fall to at `at`; None: what others buy decides it."""
    if policy.tier_rules.one_step_down:
        return policy.tiers[rank - 1].name
    if any(name == SHARE for tier in policy.tiers[1:rank] for name, _ in tier.conditions):
        return None
    day = policy.calendar.day_of(at)
    return policy.tiers[qualified(surroundings(policy).ladder, within(facts, day), day, policy.calendar)].name


def rising(customer: Customer, seen: Mapping[str, Any], policy: Policy) -> Moving | None:
    """Who has `NEAR` of each condition of the next tier, with the one furthest off."""
    rank = policy.tier_rank(customer.told.tier) or 0
    if rank + 1 >= len(policy.tiers) or customer.told.level == "LOST":
        return None
    above = policy.tiers[rank + 1]
    figs = figures(customer.history, policy.calendar.day_of(customer.now), policy.calendar)
    short = _short(figs, above)
    if not short or any(have < NEAR * need for _, have, need in short):
        return None
    name, have, need = min(short, key=lambda row: row[1] / row[2])
    return _moving(seen, above.name, None, False, name, have, need)


def _short(figs: Figures, tier: Tier) -> list[tuple[str, int, int]]:
    """(condition, have, need) of what is short of `tier`; shares apart, which others' purchases decide."""
    asked = [(name, getattr(figs, figure_of(name)), int(need)) for name, need in tier.conditions if name != SHARE]
    return [row for row in asked if row[1] < row[2]]


def _moving(
    seen: Mapping[str, Any], to_tier: str | None, at: int | None, below: bool, condition: str, have: int, need: int
) -> Moving:
    return Moving(
        customer_id=seen["customer_id"], tier=seen["tier"], to_tier=to_tier, at=at, below=below, condition=condition,
        have=have, need=need, value_365d=seen["value_365d"], employee_id=seen["employee_id"],
    )  # fmt: skip
