"""V6: the segments of a customer: those of the policy whose condition holds, each by itself, any number of them.

A condition looks at what holds until the next review: facts, what was told, and the ranks among all customers that the
ticks carry. What drifts from day to day (`p_alive`, `clv`, ...) is no condition of a segment, see `policy`. One figure
changes by time alone between the days on which a window loses a day: in how many of the last twelve periods of thirty
days the customer bought. Where a condition asks for it, `next_day` says when it answers otherwise.
"""

from __future__ import annotations

import json
import operator
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

from processors.care.people import held_out
from processors.census import within_bounds
from processors.charge import CUSTOMERS, owner_of, sort_of
from processors.customer import Customer
from processors.fields import SHARE_RANKS
from processors.history import FIRST_DAY, History, unpack_days
from processors.loyalty import answers
from processors.money import half_even
from processors.outlook import Outlook
from processors.policy import Policy
from processors.predicate import Clause, met, parsed
from processors.sections import Segment
from processors.sketch import class_of
from processors.value import Figures, figures
from processors.word_of_mouth import referrer_of
from processors.worth import payback

PERIODS, PERIOD_DAYS = 12, 30
_SPAN: Final = PERIODS * PERIOD_DAYS
_BEGINS: Final = sum(1 << PERIOD_DAYS * period for period in range(PERIODS))
_PERIODS_FIELD: Final = "active_periods_360d"

ORDER_KEY: Final = "average_order:"
"""What a share of customers by average order is called in the ticks' `value_at_share`, in front of the share."""

FAMILIES: Final[dict[str, tuple[str, ...]]] = {"segment": ("customers", "value"), "order": ("customers",)}
"""Counters beside those of the census, `<family>:<row>:<number>`. segment: by name, each customer in all of theirs;
order: by class of average order (`sketch`), where the policy asks for a rank by it."""


class _Look:
    """What conditions read. All as of the customer's last review."""

    def __init__(self, customer: Customer, policy: Policy, seen: Outlook | None) -> None:
        self.customer, self.policy, self.seen = customer, policy, seen
        self.facts, self.told = customer.history, customer.told

    @cached_property
    def day(self) -> int:
        return self.policy.calendar.day_of(self.customer.now)

    @cached_property
    def figs(self) -> Figures:
        return figures(self.facts, self.day, self.policy.calendar)

    @cached_property
    def segments(self) -> tuple[str, ...]:
        return _of(self)


def _touched(kind: str) -> Callable[[_Look], int]:
    return lambda look: sum(touch.kind == kind and touch.direction == "IN" for touch in look.facts.touches)


def _figure(name: str) -> Callable[[_Look], Any]:
    return lambda look: getattr(look.figs, name)


_surveys, _visits, _services, _praise = map(_touched, ("SURVEY", "VISIT", "SERVICE", "RECOMMENDATION"))

READ: Final[Mapping[str, Callable[[_Look], Any]]] = {
    **{name: _figure(name) for name in Figures.__struct_fields__},
    "tier": lambda look: look.told.tier,
    "tier_since": lambda look: look.customer.tier_since,
    "risk_level": lambda look: look.told.level,
    "loyalty_layer": lambda look: None if look.seen is None else look.seen.layer.layer,
    "first_purchase_at": lambda look: look.facts.first_purchase_at,
    "last_purchase_at": lambda look: look.facts.last_purchase_at,
    "lifetime_value": lambda look: look.facts.lifetime_value,
    "lifetime_purchases": lambda look: look.facts.lifetime_purchases,
    "open_complaints": lambda look: sum(one.status != "RESOLVED" for one in look.facts.complaints),
    "holdout": lambda look: int(held_out(look.policy.programme.name, look.customer.id, look.policy.programme.holdout)),
    "last_touch_at": lambda look: look.facts.last_touch_at,
    "paid_back_at": lambda look: payback(look.facts, look.told.paid_back_at),
    "would_recommend": lambda look: answers(look.facts)[0],
    "will_buy_again": lambda look: answers(look.facts)[1],
    "referrer_id": lambda look: referrer_of(look.facts, look.customer.id),
    "employee_id": lambda look: owner_of(look.facts, look.told.charge),
    "club_since": lambda look: look.told.club_since,
    _PERIODS_FIELD: lambda look: active_periods(look.facts, look.day),
    "surveys_365d": _surveys,
    "visits_365d": _visits,
    "services_365d": _services,
    "recommendations_365d": _praise,
    "advocacy_365d": lambda look: look.figs.referrals_365d + _praise(look),
    "participation_365d": lambda look: _visits(look) + _surveys(look) + _services(look),
    "segment": lambda look: look.segments,
}
"""How each name of the condition language is read, see `fields.SEGMENT_NUMBERS`, `SEGMENT_WORDS` and `MORE_NUMBERS`."""


class _Rule(NamedTuple):
    """One segment. tops: figures that must reach the threshold of a top share, with what the ticks call it."""

    name: str
    clauses: tuple[Clause, ...]
    tops: tuple[tuple[str, str], ...]


@lru_cache(maxsize=64)
def _rules(segments: tuple[Segment, ...]) -> tuple[_Rule, ...]:
    made = []
    for one in segments:
        clauses = parsed(one.when)
        tops = tuple((SHARE_RANKS[c.field], share_key(c.field, c.value)) for c in clauses if c.field in SHARE_RANKS)
        made.append(_Rule(one.name, tuple(c for c in clauses if c.field not in SHARE_RANKS), tops))
    return tuple(made)


def share_key(field: str, share: float) -> str:
    """What the ticks call the threshold of a top share by a rank of `fields.SHARE_RANKS`.

    >>> share_key("value_share_rank", 0.20), share_key("average_order_share_rank", 1)
    ('0.2', 'average_order:1')
    """
    text = format(Decimal(repr(share)).normalize(), "f")
    return text if field == "value_share_rank" else ORDER_KEY + text


def shares_asked(policy: Policy) -> frozenset[str]:
    """The thresholds that the policy's segments ask the ticks for, by their names there."""
    return frozenset(key for rule in _rules(policy.segments) for _, key in rule.tops)


@lru_cache(maxsize=64)
def ranks_orders(segments: tuple[Segment, ...]) -> bool:
    """Whether a segment asks for a rank by average order."""
    return any(key.startswith(ORDER_KEY) for rule in _rules(segments) for _, key in rule.tops)


@lru_cache(maxsize=1024)
def _thresholds(context: str) -> Mapping[str, int]:
    """The thresholds that `Customer.context` names, see `tier.surroundings`."""
    shares = context.rpartition("#")[2].partition(";")[2]
    held = (one.rpartition("=") for one in shares.split(",") if one)
    return {key: int(least) for key, _, least in held}


def segments_of(customer: Customer, policy: Policy, seen: Outlook | None) -> tuple[str, ...]:
    """The segments of `customer` as last reviewed, in the policy's order; none of who serves and of places."""
    if not policy.segments or sort_of(customer.history) != CUSTOMERS:
        return ()
    return _of(_Look(customer, policy, seen))


def _of(look: _Look) -> tuple[str, ...]:
    return tuple(rule.name for rule in _rules(look.policy.segments) if _holds(rule, look))


def _holds(rule: _Rule, look: _Look) -> bool:
    for figure, key in rule.tops:
        least, held = _thresholds(look.customer.context).get(key), READ[figure](look)
        if least is None or held is None or held < least:
            return False
    return all((held := READ[clause.field](look)) is not None and met(clause, held) for clause in rule.clauses)


def read(name: str, customer: Customer, policy: Policy, seen: Outlook | None) -> Any:
    """The value of a name that is no field of the view, for conditions of care; None: absent."""
    if sort_of(customer.history) != CUSTOMERS:
        return None
    return READ[name](_Look(customer, policy, seen))


@lru_cache(maxsize=4096)
def as_json(names: tuple[str, ...]) -> str:
    """`segments` of the view."""
    return json.dumps(names, ensure_ascii=False)


# ---- periods with a purchase


def active_periods(facts: History, day: int) -> int:
    """In how many of the last twelve periods of thirty days, the latest ending with `day`, the customer bought."""
    return _periods(_bought(facts, day), 0)


def next_day(facts: History, day: int, policy: Policy) -> int | None:
    """The first programme day after `day` on which, by time alone, the number of periods with a purchase makes a
    segment's condition answer otherwise; None: there is none."""
    answers_by_count = _answers(policy.segments) if policy.segments else None
    if answers_by_count is None:
        return None
    days = facts.purchase_days
    same = next((n for n, one in enumerate(answers_by_count) if one != answers_by_count[0]), PERIODS + 1)
    if len(days) // 2 < same:  # periods are no more than days
        return None
    bought = _bought(facts, day)
    now = answers_by_count[_periods(bought, 0)]
    crosses = sorted({(number + FIRST_DAY - day - 1) % PERIOD_DAYS + 1 for number in unpack_days(days)})
    for begin in range(0, _SPAN, PERIOD_DAYS):  # a day moves to the next period each `PERIOD_DAYS`, and only then
        for n in crosses:
            if answers_by_count[_periods(bought, begin + n)] != now:
                return day + begin + n
    return None


@lru_cache(maxsize=64)
def _answers(segments: tuple[Segment, ...]) -> tuple[tuple[bool, ...], ...] | None:
    """What the conditions on the number of periods answer to each number from 0 to 12; None: there are none."""
    clauses = [clause for rule in _rules(segments) for clause in rule.clauses if clause.field == _PERIODS_FIELD]
    if not clauses:
        return None
    return tuple(tuple(met(clause, number) for clause in clauses) for number in range(PERIODS + 1))


def _bought(facts: History, day: int) -> int:
    """Bit `_SPAN` + a: a purchase on one of the `PERIOD_DAYS` days that are a to a + 29 days before `day`."""
    days = unpack_days(facts.purchase_days)
    bits = 0
    for number in days[bisect_left(days, max(day - FIRST_DAY - _SPAN + 1, 0)) :]:
        bits |= 1 << _SPAN + day - FIRST_DAY - number
    for shift in (1, 2, 4, 8, PERIOD_DAYS - 16):
        bits |= bits >> shift
    return bits


def _periods(bought: int, ahead: int) -> int:
    """The number of periods with a purchase `ahead` days later, if nobody buys."""
    return (bought >> _SPAN - ahead & _BEGINS).bit_count()


# ---- figures


def order_class(facts: History, policy: Policy) -> int:
    """The class (`sketch`) of the average order, 0: none above 0, or the policy asks for no rank by it."""
    if not facts.sales or facts.value <= 0 or not ranks_orders(policy.segments):
        return 0
    average = half_even(within_bounds(facts.value), facts.sales)
    return class_of(average) if average > 0 else 0


def count_segments(counts: Counter[str], before: Customer | None, after: Customer | None) -> None:
    """Adds what changed between `before` and `after` (None: not there, or none of the customers) to `counts` (V6)."""
    old = None if before is None else before.counted
    new = None if after is None else after.counted
    if (old is None or not (old.segments or old.order)) and (new is None or not (new.segments or new.order)):
        return
    for one, held, sign in ((before, old, operator.neg), (after, new, operator.pos)):
        if one is None or held is None:
            continue
        for name in held.segments:
            counts[f"segment:{name}:customers"] += sign(1)
            counts[f"segment:{name}:value"] += sign(within_bounds(one.history.value))
        if held.order:
            counts[f"order:{held.order}:customers"] += sign(1)
