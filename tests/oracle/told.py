"""What a customer is told, by brute force: every instant at which anything can change is looked at.

Those are: each event, each programme midnight, each end of a grace. The customer's own `now` is the instant of the
last event, or of the last look that was due: what is looked at in between must have changed nothing, and a careful
oracle asserts that. The log is the customer's events in the order in which they are folded, and ticks
(`{"topic": "ticks", "at": ms}`, perhaps with `value_at_share`) where the clock moved: with events in order of time
they change nothing but how far time has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

from tests.oracle import dates
from tests.oracle.facts import Event, Facts, Policy
from tests.oracle.risk import Standing


class Change(NamedTuple):
    at: int
    from_tier: str
    to_tier: str
    value_365d: int


def qualified(facts: Facts, now: int, policy: Policy, shares: dict[str, int] | None = None) -> int:
    """Number of the highest tier all of whose conditions hold; the lowest has none."""
    tiers = policy["tiers"]
    for number in range(len(tiers) - 1, -1, -1):
        needs = ((name, need) for name, need in tiers[number].items() if name.startswith("min_"))
        if all(holds(facts, now, name, need, shares or {}) for name, need in needs):
            return number
    raise ValueError(f"the lowest tier, {tiers[0]['name']}, has a condition")


def holds(facts: Facts, now: int, name: str, need: Any, shares: dict[str, int]) -> bool:
    if name == "min_value_share_rank":
        return str(need) in shares and facts.value_365d(now) >= shares[str(need)]
    return facts.figure(name.removeprefix("min_"), now) >= int(need)


class Life:
    """One customer from the first event on."""

    def __init__(self, policy: Policy, *, careful: bool = False) -> None:
        self.policy, self.careful = policy, careful
        self.facts = Facts(policy)
        rules = policy.get("tier_rules", {})
        self.grace_days: int = rules.get("grace_days", 30)
        self.one_step_down: bool = rules.get("one_step_down", False)
        self.now: int | None = None
        self.seen = self.due = self.clock = -1
        self.tier = 0
        self.changed_at: int | None = None
        self.below_since: int | None = None
        self.member = False
        self.shares: dict[str, int] = {}
        self.changes: list[Change] = []
        self.standing = Standing(policy, careful=careful)

    def take(self, event: Event) -> None:
        """The next of the log: first all that happens by time alone before it, then the event, then one look.

        A late event, too, finds the customer at rest: advanced to the clock.
        """
        if event["topic"] == "ticks":
            self.clock = max(self.clock, event["at"])
            self.until(self.clock)
            self.learn(event.get("value_at_share", {}))
            return
        at: int = event["occurred_at"]
        if self.now is None:
            self.now = self.seen = at
        self.pass_time(at - 1)
        if self.facts.fold(event):
            self.review(max(self.now, at))
        self.pass_time(self.clock)

    def learn(self, shares: dict[str, int]) -> None:
        """New thresholds of top shares: everybody is looked at once, at the tick's instant."""
        asked = any("min_value_share_rank" in tier for tier in self.policy["tiers"])
        if shares and shares != self.shares:
            self.shares = shares
            if asked and self.now is not None:
                self.review(max(self.now, self.clock))

    def until(self, clock: int) -> None:
        """Time passes up to and with this instant."""
        if self.now is not None:
            self.pass_time(clock)

    def pass_time(self, last: int) -> None:
        """Look at each instant behind the last look, up to and with `last`, at which time alone can change anything: at
        the risk of leaving in between only if careful."""
        while (at := self.next_instant()) <= last:
            if at >= self.due:
                self.review(at)
                continue
            before = (self.tier, self.below_since, self.standing.state())
            self.look_at_tier(at)
            if self.careful:
                self.standing.look(self.facts, at, self.below_since is not None)
            now = (self.tier, self.below_since, self.standing.state())
            assert before == now, f"a change at {at}, which was not due: {before} to {now}"
            if self.careful:
                assert self.facts.figures(self.seen) == self.facts.figures(at), f"a figure changed unseen at {at}"
            self.seen = at

    def review(self, at: int) -> None:
        """A look at a due instant, or for an event."""
        self.look(at)
        self.now = self.seen = at
        self.due = self.next_review()

    def next_instant(self) -> int:
        """The next programme midnight, or the end of the grace if that comes first."""
        today = dates.day(self.seen, self.facts.zone)
        tomorrow = dates.midnight(today + 1, self.facts.zone)
        if tomorrow <= self.seen:  # a day that the zone left out
            tomorrow = dates.midnight(today + 2, self.facts.zone)
        return min(at for at in (tomorrow, self.grace_end()) if at > self.seen)

    def grace_end(self) -> int:
        if self.below_since is None:
            return dates.NEVER_MS
        return dates.same_local_time(self.below_since, self.grace_days, self.facts.zone)

    def look(self, at: int) -> None:
        """The tier, and then the risk: it knows whether a grace is running."""
        self.look_at_tier(at)
        self.standing.look(self.facts, at, self.below_since is not None)

    def look_at_tier(self, at: int) -> None:
        """Up at once; down when below without a break for the whole grace."""
        fits = max(qualified(self.facts, at, self.policy, self.shares), self.floor(at))
        if fits > self.tier:
            self.move(at, fits)
        if fits == self.tier:
            self.below_since = None
            return
        if self.below_since is None:
            self.below_since = at
        while self.tier > fits and self.grace_end() <= at:
            self.move(at, self.tier - 1 if self.one_step_down else fits)
            self.below_since = at if self.tier > fits else None

    def floor(self, at: int) -> int:
        """The club's tier for good, once any of its conditions has held at a look; else the lowest."""
        club = self.policy.get("club")
        if club is None:
            return 0
        known, jubilee = self.facts.view(at), self.jubilee()
        self.member = self.member or any((
            "min_lifetime_value" in club and known["lifetime_value"] >= club["min_lifetime_value"],
            "min_lifetime_purchases" in club and known["lifetime_purchases"] >= club["min_lifetime_purchases"],
            jubilee is not None and jubilee <= dates.day(at, self.facts.zone),
        ))  # fmt: skip
        names = [tier["name"] for tier in self.policy["tiers"]]
        return names.index(club["floor_tier"]) if self.member else 0

    def jubilee(self) -> int | None:
        """The day on which the club's years since the first purchase are full."""
        years, bought = self.policy.get("club", {}).get("min_years"), [basket.at for basket in self.facts.sales]
        return dates.years_later(dates.day(min(bought), self.facts.zone), years) if years and bought else None

    def move(self, at: int, tier: int) -> None:
        names = [t["name"] for t in self.policy["tiers"]]
        self.changes.append(Change(at, names[self.tier], names[tier], self.facts.value_365d(at)))
        self.tier, self.changed_at = tier, at

    def next_review(self) -> int:
        """The earliest instant after `now` at which a figure or the tier could change by time alone."""
        assert self.now is not None
        zone, ahead = self.facts.zone, self.standing.next_days(self.facts, self.now, self.below_since is not None)
        jubilee = self.jubilee()
        days = [*ahead, *([] if jubilee is None or self.member else [jubilee])]
        risky = (dates.midnight(day, zone) for day in days)
        return min(
            self.facts.next_leaving(self.now),
            self.grace_end(),
            min((at for at in risky if at > self.now), default=dates.NEVER_MS),
        )

    def keep_until(self) -> int | None:
        """When the tier is lost if nothing but time passes; None for a tier that time does not take."""
        later = Life.__new__(Life)
        later.__dict__.update(self.__dict__)
        later.changes, later.standing = [], deepcopy(self.standing)
        while later.tier >= self.tier:
            at = later.next_review()
            if at >= dates.NEVER_MS:
                return None
            later.review(at)
        return later.now

    def view(self, clock: int) -> dict[str, Any]:
        """The fields of the view that these rules fill, at the clock (never before the customer's own `now`)."""
        self.until(clock)
        programme, tier = self.policy["programme"], self.policy["tiers"][self.tier]
        at = max(self.now or 0, clock)
        return {
            "as_of": at,
            "currency": programme["currency"],
            "tier": tier["name"],
            "tier_since": self.facts.first_at if self.changed_at is None else self.changed_at,
            **self.facts.view(at),
            "next_review_at": self.due,
            "risk_level": self.standing.level,
            "benefits": list(tier.get("benefits", [])),
        }


def life(log: Iterable[Event], policy: Policy, until_ms: int | None = None, *, careful: bool = False) -> Life:
    """The customer after the log, and after time has passed up to and with `until_ms`."""
    one = Life(policy, careful=careful)
    for event in log:
        one.take(event)
    if until_ms is not None:
        one.until(until_ms)
    return one


def tiers(history: Iterable[Event], policy: Policy, until_ms: int) -> list[tuple[int, str, str]]:
    """The tier history: (instant, from, to). `history`: one customer's events, in order of time."""
    return [(c.at, c.from_tier, c.to_tier) for c in life(history, policy, until_ms).changes]
