"""What a customer's events amount to at an instant: the contract's "Formulas that are fixed", one sentence at a time.

An event is a plain mapping with the contract's field names and `topic`. A policy is the mapping that TOML gives
(`tomllib.loads(text, parse_float=Decimal)`: rates are exact decimals as written).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from tests.oracle import dates

Event = Mapping[str, Any]
Policy = Mapping[str, Any]

NO_DECIMALS = {
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "UYI",
    "VND",
    "VUV",
    "XAF",
}
NO_DECIMALS |= {"XOF", "XPF"}
THREE_DECIMALS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
FOUR_DECIMALS = {"CLF", "UYW"}


def decimals(currency: str) -> int:
    """ISO 4217: how many decimals the currency's minor unit has."""
    if currency in NO_DECIMALS:
        return 0
    if currency in THREE_DECIMALS:
        return 3
    return 4 if currency in FOUR_DECIMALS else 2


def exact(rate: Decimal | float | str) -> Fraction:
    """A rate as it was written: 0.1 is a tenth."""
    return Fraction(str(rate))


def half_even(amount: Fraction) -> int:
    return round(amount)  # Fraction.__round__ is exact and half even


def zone_of(policy: Policy) -> str:
    return str(policy["programme"].get("time_zone", "UTC"))


def converted(amount: int, currency: str, policy: Policy) -> int:
    """Minor units of the programme's currency for minor units of another: half even."""
    own = policy["programme"]["currency"]
    if currency == own:
        return amount
    rate = exact(policy["currencies"]["rates"][currency])
    return half_even(amount * rate * Fraction(10) ** (decimals(own) - decimals(currency)))


def margin(line: Mapping[str, Any], currency: str, policy: Policy) -> int:
    """Value less cost; without a cost, the margin rate of the category, else the default one."""
    value = converted(line["net_amount"], currency, policy)
    cost = line.get("cost")
    if cost is not None:
        return value - converted(cost, currency, policy)
    section = policy.get("margin", {})
    rate = section.get("rates", {}).get(line["category"], section.get("default_rate", Decimal("0.25")))
    return half_even(value * exact(rate))


def contact_cost(event: Event, policy: Policy) -> int:
    """What the contact cost: as it says itself, else the policy's cost of that channel, else nothing."""
    own = event.get("cost")
    return int(own if own is not None else policy.get("costs", {}).get("channels", {}).get(event["channel"], 0))


class Basket(NamedTuple):
    """A purchase event, added up: its lines are not needed any more."""

    at: int
    day: int
    value: int
    margin: int
    categories: frozenset[str]


class Cost(NamedTuple):
    day: int
    amount: int


class Facts:
    """All that was folded of one customer, kept for good: this is the slow one."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.zone = zone_of(policy)
        self.seen: set[tuple[str, str]] = set()
        self.first_at: int | None = None
        self.sales: list[Basket] = []
        self.returns: list[Basket] = []
        self.costs: list[Cost] = []
        self.named: dict[str, int] = {}
        self.claims: dict[str, int] = {}
        self.me = ""
        self.complaints: dict[str, list[tuple[int, str, str]]] = {}
        self.cases: dict[str, list[Event]] = {}
        self.touches: list[Event] = []

    def fold(self, event: Event) -> bool:
        """Take the event in; False for a repeat, which changes nothing. The first under an id wins."""
        identity = (event["topic"], event["event_id"])
        if identity in self.seen:
            return False
        self.seen.add(identity)
        self.me = event["customer_id"]
        self.first_at = event["occurred_at"] if self.first_at is None else min(self.first_at, event["occurred_at"])
        getattr(self, "fold_" + event["topic"])(event)
        return True

    def fold_purchases(self, event: Event) -> None:
        currency, lines = event["currency"], event["lines"]
        basket = Basket(
            at=event["occurred_at"],
            day=dates.day(event["occurred_at"], self.zone),
            value=sum(converted(line["net_amount"], currency, self.policy) for line in lines),
            margin=sum(margin(line, currency, self.policy) for line in lines),
            categories=frozenset(line["category"] for line in lines),
        )
        (self.sales if event["kind"] == "SALE" else self.returns).append(basket)
        referrer = event.get("referrer_id")
        if event["kind"] == "SALE" and referrer not in (None, event["customer_id"]):
            self.claims[referrer] = min(event["occurred_at"], self.claims.get(referrer, event["occurred_at"]))

    def fold_complaints(self, event: Event) -> None:
        records = self.complaints.setdefault(event["complaint_id"], [])
        records.append((event["occurred_at"], event["event_id"], event["status"]))
        self.cases.setdefault(event["complaint_id"], []).append(event)
        opened = self.policy.get("costs", {}).get("complaint", 0) if event["status"] == "OPENED" else 0
        amount = opened + event.get("compensation", 0)
        self.costs.append(Cost(dates.day(event["occurred_at"], self.zone), amount))

    def fold_contacts(self, event: Event) -> None:
        self.touches.append(event)
        self.costs.append(
            Cost(
                dates.day(event["occurred_at"], self.zone),
                contact_cost(event, self.policy),
            )
        )
        if event["kind"] == "REFERRAL" and event.get("referred_customer_id") not in (None, event["customer_id"]):
            self.name(event["referred_customer_id"], event["occurred_at"])

    def fold_relay(self, event: Event) -> None:
        """A purchase by another customer named this one as referrer."""
        self.name(event["referred_customer_id"], event["occurred_at"])

    def fold_customers(self, event: Event) -> None:
        """A profile: no figure of these rules depends on it."""

    def name(self, referred: str, at: int) -> None:
        self.named[referred] = min(at, self.named.get(referred, at))

    def brought(self) -> list[int]:
        """When each one brought was first named; who brought this customer before was not brought by them (W1)."""
        return [
            at
            for name, at in self.named.items()
            if name not in self.claims or (at, self.me) < (self.claims[name], name)
        ]

    # -- the figures, at an instant

    def within(self, then: int, now: int) -> bool:
        return dates.day(now, self.zone) - 364 <= then <= dates.day(now, self.zone)

    def figure(self, name: str, now: int) -> int:
        return FIGURES[name](self, now)

    def window(self, baskets: Iterable[Basket], now: int) -> list[Basket]:
        last = dates.day(now, self.zone)
        return [b for b in baskets if last - 364 <= b.day <= last]

    def value_365d(self, now: int) -> int:
        bought, returned = self.window(self.sales, now), self.window(self.returns, now)
        return sum(b.value for b in bought) - sum(b.value for b in returned)

    def margin_365d(self, now: int) -> int:
        bought, returned = self.window(self.sales, now), self.window(self.returns, now)
        return sum(b.margin for b in bought) - sum(b.margin for b in returned)

    def purchases_365d(self, now: int) -> int:
        return len(self.window(self.sales, now))

    def returns_365d(self, now: int) -> int:
        return len(self.window(self.returns, now))

    def categories_365d(self, now: int) -> int:
        return len(frozenset().union(*(b.categories for b in self.window(self.sales, now))))

    def cost_to_serve_365d(self, now: int) -> int:
        return sum(c.amount for c in self.costs if self.within(c.day, now))

    def contribution_365d(self, now: int) -> int:
        return self.margin_365d(now) - self.cost_to_serve_365d(now)

    def referrals_365d(self, now: int) -> int:
        return sum(self.within(dates.day(at, self.zone), now) for at in self.brought())

    def average_order(self, now: int) -> int | None:
        orders = self.purchases_365d(now)
        return half_even(Fraction(self.value_365d(now), orders)) if orders else None

    def usual_gap_days(self) -> float | None:
        days = sorted({b.day for b in self.sales})
        if len(days) < 3:
            return None
        gaps = sorted(later - earlier for earlier, later in pairwise(days))
        middle = len(gaps) // 2
        return float(gaps[middle]) if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2

    def open_complaints(self) -> int:
        return sum(max(records)[2] != "RESOLVED" for records in self.complaints.values())

    def figures(self, now: int) -> tuple[int, ...]:
        return tuple(figure(self, now) for figure in FIGURES.values())

    def view(self, now: int) -> dict[str, Any]:
        """Every figure of the view that follows from facts alone."""
        return {
            **{name: figure(self, now) for name, figure in FIGURES.items()},
            "average_order": self.average_order(now),
            "usual_gap_days": self.usual_gap_days(),
            "first_purchase_at": min((b.at for b in self.sales), default=None),
            "last_purchase_at": max((b.at for b in self.sales), default=None),
            "lifetime_value": sum(b.value for b in self.sales) - sum(b.value for b in self.returns),
            "lifetime_purchases": len(self.sales),
            "open_complaints": self.open_complaints(),
        }

    def next_leaving(self, now: int) -> int:
        """The earliest programme midnight after `now` at which a dated fact that a window uses leaves it.

        Contacts and complaints too, whatever they cost.
        """
        days = {fact.day for fact in (*self.sales, *self.returns, *self.costs)}
        days |= {dates.day(at, self.zone) for at in self.brought()}
        midnights = (dates.midnight(day + 365, self.zone) for day in days)
        return min((at for at in midnights if at > now), default=dates.NEVER_MS)


FIGURES: dict[str, Callable[[Facts, int], int]] = {
    name: getattr(Facts, name)
    for name in (
        "value_365d",
        "purchases_365d",
        "returns_365d",
        "margin_365d",
        "cost_to_serve_365d",
        "contribution_365d",
        "categories_365d",
        "referrals_365d",
    )
}
