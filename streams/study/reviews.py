"""R5: the protocol of an evaluation: reviews on the first of each month, the past to learn from, the future to test.

A review sees what lies before the programme's midnight that begins its day. Left: no purchase on the `horizon` days
from that day on. Reviews to learn from have outcomes that end before the first day of the test: nothing of the future
is in a parameter, a weight or a threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from msgspec.structs import replace

from processors.customer import Customer
from processors.events import Dated, Purchase
from processors.fitting import fit_model
from processors.history import History, recent, within
from processors.policy import Policy
from processors.signals import RECENT_DAYS, Signals, by_silence, signals
from processors.value import Rhythm, rhythm
from schemas import codec
from streams.datasets import dataset
from streams.replay import Histories, folded, last_purchase_at
from streams.settings import LoyaltyError
from streams.study.fit import LEAST_PURCHASE_DAYS, unpack

REVENUE_DAYS: Final = 90
"""Over how many days from a review revenue is counted as lost."""
TEST_REVIEWS: Final = 3
_EPOCH: Final = date(1970, 1, 1)
_YEAR: Final = 365


class Protocol(NamedTuple):
    """Programme days. end: the first one that the history does not cover. between: reviews whose outcome was not known
    at the first test; they serve to show drift alone."""

    horizon: int
    train: tuple[int, ...]
    between: tuple[int, ...]
    test: tuple[int, ...]
    end: int

    @property
    def days(self) -> tuple[int, ...]:
        return (*self.train, *self.between, *self.test)


class Case(NamedTuple):
    """A customer as reviewed on `day`. facts: within the window. usual: amount a day over the year, or since the first
    purchase, whichever is shorter; lately: over the last 90 days. left: bought nothing on the next `horizon` days;
    next: amount of the next 90 days. Amounts in minor units."""

    customer_id: str
    day: int
    facts: History
    who: Rhythm
    signals: Signals
    usual: float
    lately: float
    left: bool
    next: int


def of_dataset(name: str) -> Histories:
    """A data set's events by customer, each once, in order of time."""
    found = Histories()
    for item in dataset(name):
        event = codec.decode(item.topic, item.value, item.key)
        assert isinstance(event, Dated), item.topic
        found.events.setdefault(event.customer_id, []).append(event)
        found.records += 1
    return found


def protocol_of(found: Histories, policy: Policy) -> Protocol:
    """The last three reviews whose outcome is known are the test; the first ones have no past to speak of.

    Raises LoyaltyError where the history is too short for both.
    """
    horizon, day_of = policy.risk.horizon_days, policy.calendar.day_of
    last = last_purchase_at(found)
    if last is None:
        raise LoyaltyError("nobody has bought: there is nothing to evaluate")
    first = min(event.occurred_at for own in found.events.values() for event in own if type(event) is Purchase)
    end = day_of(last) + 1
    months = firsts_of_months(day_of(first), end)[max(1, round(horizon / 30)) :]
    test = [day for day in months if day + max(horizon, REVENUE_DAYS) <= end][-TEST_REVIEWS:]
    train = [day for day in months if test and day + horizon <= test[0]]
    if not train:
        raise LoyaltyError(
            f"the history is too short: its {end - day_of(first)} days hold no review to learn from whose outcome, "
            f"{horizon} days later, was known before the {TEST_REVIEWS} reviews of the test; import a longer one"
        )
    between = [day for day in months if train[-1] < day < test[0]]
    return Protocol(horizon, tuple(train), tuple(between), tuple(test), end)


def firsts_of_months(first: int, end: int) -> list[int]:
    """The programme days that begin a month, from the month of day `first` to before day `end`."""
    begins = date.fromordinal(first + _EPOCH.toordinal())
    made, year, month = [], begins.year, begins.month
    while (day := date(year, month, 1).toordinal() - _EPOCH.toordinal()) < end:
        made.append(day)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return made


def trained(found: Histories, protocol: Protocol, policy: Policy) -> Policy:
    """`policy` with what a policy takes from history, as known at the last review learned from: the parameters of the
    model and the middle customer's value. Weights are the policy's."""
    cut = protocol.train[-1]
    stop = policy.calendar.midnight(cut)
    facts = [next(folded(name, own, [stop], policy, found)).history for name, own in found.events.items()]
    bought = [(one, rhythm(one.purchase_days)) for one in facts if one.purchase_days]
    summaries = [(w.x, (w.last - w.first) / 7, (cut - w.first) / 7) for _, w in bought if w is not None]
    values = sorted(
        value for one, w in bought if w is not None and w.x + 1 >= LEAST_PURCHASE_DAYS
        and (value := within(one, cut).value) > 0
    )  # fmt: skip
    model = fit_model(summaries, policy.risk.model).model
    typical = values[len(values) // 2] if values else 0
    return replace(policy, model=model, risk=replace(policy.risk, typical_value_365d=typical))


def cases_of(found: Histories, protocol: Protocol, policy: Policy) -> list[Case]:
    """Customers with a habit that can be lost, three purchase days, and not silent for the horizon already."""
    midnight = policy.calendar.midnight
    later = {day + REVENUE_DAYS for day in protocol.days}
    days = sorted({*protocol.days, *later, protocol.end})
    stops = [midnight(day) for day in days]
    made: list[Case] = []
    for name, own in found.events.items():
        then = dict(zip(days, folded(name, own, stops, policy, found), strict=True))
        made.extend(_cases(then, protocol, policy))
    made.sort(key=lambda case: case.day)
    return made


def _cases(then: dict[int, Customer], protocol: Protocol, policy: Policy) -> Iterator[Case]:
    horizon, bought = protocol.horizon, unpack(then[protocol.end].history)
    for day in protocol.days:
        customer = then[day]
        who = rhythm(customer.history.purchase_days)
        if who is None or who.x + 1 < LEAST_PURCHASE_DAYS or day - who.last >= horizon:
            continue
        facts = within(customer.history, day)
        lately = recent(facts, day, RECENT_DAYS)
        later = then[min(day + REVENUE_DAYS, protocol.end)].history
        yield Case(
            customer.id,
            day,
            facts,
            who,
            signals(facts, who, lately, day, by_silence(who, policy)(day), policy),
            max(facts.value, 0) / min(_YEAR, day - who.first),
            max(lately.value, 0) / RECENT_DAYS,
            not any(day <= then_bought < day + horizon for then_bought in bought),
            later.lifetime_value - customer.history.lifetime_value,
        )


class Silence(NamedTuple):
    """A leaver: silent for the whole horizon after the purchase of day `last`. cases: as they would have been reviewed
    at each midnight before the horizon was over; how it ended is not in them."""

    customer_id: str
    last: int
    cases: tuple[Case, ...]


def silences(found: Histories, days: Iterable[int], end: int, policy: Policy) -> list[Silence]:
    """Those who fell silent on one of `days` and stayed so for the horizon, which ends before `end`."""
    horizon, wanted = policy.risk.horizon_days, frozenset(days)
    midnight = policy.calendar.midnight
    made: list[Silence] = []
    for name, own in found.events.items():
        bought = unpack(next(folded(name, own, [midnight(end)], policy, found)).history)
        for place in range(LEAST_PURCHASE_DAYS - 1, len(bought)):
            last, then = bought[place], bought[place + 1] if place + 1 < len(bought) else end
            if last in wanted and then - last > horizon:
                made.append(Silence(name, last, tuple(_daily(name, own, last, horizon, policy, found))))
    return made


def _daily(name: str, own: list[Dated], last: int, horizon: int, policy: Policy, found: Histories) -> Iterator[Case]:
    days = range(last + 1, last + horizon)
    stops = [policy.calendar.midnight(day) for day in days]
    for day, customer in zip(days, folded(name, own, stops, policy, found), strict=True):
        who = rhythm(customer.history.purchase_days)
        assert who is not None
        facts = within(customer.history, day)
        lately = recent(facts, day, RECENT_DAYS)
        given = signals(facts, who, lately, day, by_silence(who, policy)(day), policy)
        usual = max(facts.value, 0) / min(_YEAR, day - who.first)
        yield Case(name, day, facts, who, given, usual, max(lately.value, 0) / RECENT_DAYS, True, 0)
