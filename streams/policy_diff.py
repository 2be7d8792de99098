"""M4: another policy against the one in force, over every customer that Redis holds: who moves, and what it would do.

One pass over the states; a second one before it where the other policy asks for a top share whose threshold no tick has
told, which then follows from the values as they are. Nothing is written. The months ahead are walked for a sample.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import Any, Final

from processors import policy_diff as core
from processors.days import DAY_MS
from processors.history import History, within
from processors.policy import Policy
from processors.policy_diff import Lack, Move, Side
from processors.tier import surroundings
from streams.customers_now import CustomersNow, Held

AHEAD_DAYS: Final = 90
SAMPLE: Final = 1_000
"""So many customers are walked through the days ahead: each takes about a hundred reviews."""


@dataclass
class Diff:
    """Another policy against the one in force. tiers: (from, to) to [customers, of them at once, value_365d]; levels:
    to [customers, value at stake]: of those who move. segments: name to customers in it [from, to] (V6). care: kind to
    reminders open right after the change [from, to]; ahead: (kind, month) to those that go within the days, of the
    `sampled`. equity: all clv [from, to]. movers: (value, place, Move) of those of most value. Amounts in minor
    units."""

    policy_from: str
    policy_to: str
    currency: str
    days: int
    as_of: int | None = None
    customers: int = 0
    moved: int = 0
    sampled: int = 0
    tiers: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    levels: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    segments: dict[str, list[int]] = field(default_factory=dict)
    care: dict[str, list[int]] = field(default_factory=dict)
    ahead: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    equity: list[int] = field(default_factory=lambda: [0, 0])
    lacks: list[Lack] = field(default_factory=list)
    movers: list[tuple[int, int, Move]] = field(default_factory=list)

    @property
    def most_valued(self) -> list[Move]:
        """The movers kept, those of most value first."""
        return sorted((one for _, _, one in self.movers), key=lambda one: (-one.value_365d, one.customer_id))

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it: what is expected ahead scaled from the sample to all."""
        scale = self.customers / self.sampled if self.sampled else 0.0
        names = ("customers", "at_once", "value_365d")
        return {
            "policy_from": self.policy_from,
            "policy_to": self.policy_to,
            "as_of": self.as_of,
            "currency": self.currency,
            "customers": self.customers,
            "moved": self.moved,
            "tiers": [_pair(pair) | dict(zip(names, n, strict=True)) for pair, n in sorted(self.tiers.items())],
            "levels": [
                _pair(pair) | {"customers": n[0], "value_at_stake": n[1]} for pair, n in sorted(self.levels.items())
            ],
            "segments": [{"segment": name, "from": n[0], "to": n[1]} for name, n in self.segments.items()],
            "care": [{"kind": kind, "from": n[0], "to": n[1]} for kind, n in sorted(self.care.items())],
            "days": self.days,
            "sampled": self.sampled,
            "care_by_month": [
                {"kind": kind, "month": month, "from": n[0] * scale, "to": n[1] * scale}
                for (kind, month), n in sorted(self.ahead.items(), key=lambda item: (item[0][1], item[0][0]))
            ],
            "equity_from": self.equity[0],
            "equity_to": self.equity[1],
            "lacks": [one._asdict() | {"text": sentence(one)} for one in self.lacks],
            "movers": [one._asdict() for one in self.most_valued],
        }


def _pair(pair: tuple[str, str]) -> dict[str, Any]:
    return {"from": pair[0], "to": pair[1]}


_SENTENCES: Final = {
    "currency": "amounts are held in the old currency and are not converted: {what}",
    "time_zone": "days already booked are those of the old time zone: {what}",
    "control": "the control group is drawn by the programme's name, so it becomes another one: {what}",
    "margin": "margins stay as the old rates booked them; the new rates hold for purchases from the change on",
    "costs": "costs to serve stay as the old policy booked them; the new ones hold from the change on",
    "rates": "amounts in other currencies stay as the old rates converted them",
    "benefit": "no purchase before the change earns benefit {what}: entitlements are noted from then on",
    "charge": "who is in charge of a customer is taken to be so since the change: none goes back to the pool before",
    "share": "no tick has told the threshold of the top {what} yet: it is taken from the values as they are",
    "order": "no tick has told the threshold of the top {what} by average order yet: it is taken from what there is",
    "profile": "{kind} goes by {need}, which {have:,} of {of:,} customers have",
}


def sentence(lack: Lack) -> str:
    """What a lack says to a person."""
    kind, _, need = lack.what.partition(":")
    return _SENTENCES[lack.code].format(what=lack.what, kind=kind, need=need, have=lack.have, of=lack.of)


def policy_diff(
    now: CustomersNow,
    policy: Policy,
    *,
    days: int = AHEAD_DAYS,
    sample: int = SAMPLE,
    limit: int | None = None,
    told: Callable[[int], None] | None = None,
) -> Diff:
    """Every customer under the policy in force and under `policy`, at the clock.

    days: so far ahead reminders are expected, of about `sample` customers (0: not at all). limit: so many movers are
    kept, None: all. told: called with 1 for each customer.
    """
    old = now.policy()
    made = Diff(old.label, policy.label, old.programme.currency, days, now.clock())
    made.segments = {one.name: [0, 0] for one in (*old.segments, *policy.segments)}
    shares = _shares(now, old, policy)
    counts = now.figures()
    everybody = sum(n for name, n in counts.items() if name.startswith("customers:"))
    work = _Comparison(made, policy, shares, sample / everybody if everybody else 1.0, limit)
    for held in now.held():
        work.take(held)
        if told is not None:
            told(1)
    made.lacks = core.lacks(old, policy, work.having, made.customers)
    return made


def _shares(now: CustomersNow, old: Policy, policy: Policy) -> dict[str, int]:
    """The thresholds that no tick has told, of both policies."""
    asked = core.shares_asked(policy) | core.shares_asked(old)
    return core.thresholds(asked, (_facts(held) for held in now.held())) if asked else {}


def _facts(held: Held) -> History:
    day = held.policy.calendar.day_of(max(held.clock, held.customer.now))
    return within(held.customer.history, day)


class _Comparison:
    """The work on one diff: takes the customers, one by one."""

    def __init__(self, made: Diff, policy: Policy, shares: dict[str, int], part: float, limit: int | None) -> None:
        self.made, self.policy, self.shares, self.limit = made, policy, shares, limit
        self.sampled_below = int(min(part, 1.0) * 2**64)
        self.needs = {need for _, need in core.needs(policy)}
        self.having: Counter[str] = Counter()
        self._sides: dict[tuple[str, int, int], tuple[Side, Side]] = {}

    def take(self, held: Held) -> None:
        """One more customer."""
        made, customer = self.made, held.customer
        old, new = self._side(held)
        clock = max(held.clock, customer.now)
        customer = core.at_rest(customer, clock, old)
        was, then = core.stand(customer, clock, old), core.stand(customer, clock, new)
        made.customers += 1
        self.having.update(need for need in self.needs if core.has(customer.history.profile, need))
        made.equity[0] += was.clv
        made.equity[1] += then.clv
        for place, (one, side) in enumerate(((was, old), (then, new))):
            for kind in one.care:
                made.care.setdefault(kind, [0, 0])[place] += 1
            for name in core.segments_of(one, side):
                made.segments.setdefault(name, [0, 0])[place] += 1
        moved = core.move(was, then)
        if moved is not None:
            self._moved(moved)
        if made.days and _hashed(customer.id) < self.sampled_below:
            made.sampled += 1
            for place, (one, side) in enumerate(((was, old), (then, new))):
                for key, number in core.care_ahead(one.seen, clock + made.days * DAY_MS, side).items():
                    made.ahead.setdefault(key, [0, 0])[place] += number

    def _side(self, held: Held) -> tuple[Side, Side]:
        """The policy in force in the customer's partition, and the other one; what ticks have told comes first."""
        key = held.policy.key, held.since, held.clock
        found = self._sides.get(key)
        if found is None:
            shares = {**self.shares, **held.shares}
            found = self._sides[key] = (
                Side(held.policy, surroundings(held.policy, held.since, held.shares)),
                Side(self.policy, surroundings(self.policy, held.clock, shares)),
            )
        return found

    def _moved(self, one: Move) -> None:
        made = self.made
        made.moved += 1
        if one.tier_from != one.tier_to:
            _add(made.tiers, (one.tier_from, one.tier_to), 1, one.at_once, one.value_365d)
        if one.level_from != one.level_to:
            _add(made.levels, (one.level_from, one.level_to), 1, one.value_at_stake)
        row = (one.value_365d, -made.moved, one)  # of equal value the first to come stay
        if self.limit is None or len(made.movers) < self.limit:
            heappush(made.movers, row)
        elif self.limit:
            heappushpop(made.movers, row)


def _add(sums: dict[tuple[str, str], list[int]], pair: tuple[str, str], *more: int) -> None:
    held = sums.setdefault(pair, [0] * len(more))
    for place, number in enumerate(more):
        held[place] += number


def _hashed(customer_id: str) -> int:
    """A number below 2^64 by which the same customers are in the sample each time."""
    return int.from_bytes(hashlib.sha256(customer_id.encode()).digest()[:8], "big")
