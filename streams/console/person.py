"""One customer: what is kept of them, what was told of them, why, and what comes next.

Facts come from the state, evaluated at the clock. What was told lies in the output topics, in the customer's own
partition: of these the last `TAIL` offsets are read, so that the answer takes about as long with a hundred thousand
customers as with ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from processors.care.why import Why as NotNow
from processors.care.why import why
from processors.customer import Customer
from processors.days import Calendar
from processors.history import WINDOW_DAYS, days_since
from processors.policy import Policy
from processors.view import view
from schemas import codec
from schemas.errors import BadRecord
from schemas.partitioner import partition_of
from schemas.registry import Registered
from schemas.topics import CARE_REMINDERS, CHURN_RISK, TIER_CHANGES
from streams.console.survey import Due, Moving, Why, due, falling, rising, speaking_for
from streams.customers_now import CustomersNow, whole
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import Settings

TAIL: Final = 20_000
ENTRIES: Final = 150
WEEKS: Final = 52
_REASONS: Final = 8
_OF_TIER: Final = ("from_tier", "to_tier", "direction", "reason")
_OF_RISK: Final = ("transition", "level", "score")
_OF_CARE: Final = ("kind", "status", "channel", "text")


class Entry(Struct, frozen=True, kw_only=True):
    """Something on the timeline. at: ms; code: of its sentence; numbers: what the sentence takes."""

    at: int
    sort: str  # purchase | contact | complaint | tier | risk | care
    code: str
    numbers: Mapping[str, Any]


class Person(Struct, frozen=True, kw_only=True):
    """A customer as of the clock. weeks: value by week, the oldest first, minor units, with the day it begins on;
    merged: ids that count for this one."""

    view: Mapping[str, Any]
    policy: Policy
    clock: int
    reasons: tuple[Why, ...]
    due: tuple[Due, ...]
    not_now: tuple[NotNow, ...]
    moving: tuple[Moving, ...]
    weeks: tuple[tuple[int, int], ...]
    entries: tuple[Entry, ...]
    merged: tuple[str, ...]


class Told(Struct, frozen=True, kw_only=True):
    """What the output topics hold of a customer: entries, newest first, and the score at each alert (ms, 0 to 1)."""

    entries: tuple[Entry, ...]
    scores: tuple[tuple[int, float, str], ...]


def person(settings: Settings, customer_id: str) -> Person | str | None:
    """The customer; the id into which they are merged; None for an unknown id."""
    with CustomersNow(settings) as now:
        found = now.state(customer_id)
        if found is None:
            return now.moved_to(customer_id) or None
        return as_shown(*found, merged=tuple(now.merged(customer_id)))


def as_shown(customer: Customer, policy: Policy, merged: tuple[str, ...] = ()) -> Person:
    """customer: as of the clock."""
    seen = whole(view(customer, policy))
    down = falling(customer, seen, policy)
    up = rising(customer, seen, policy)
    entries = sorted(_facts(customer, policy.calendar), key=lambda one: one.at, reverse=True)[:ENTRIES]
    return Person(
        view=seen,
        policy=policy,
        clock=customer.now,
        reasons=speaking_for(seen["risk_reasons"] or (), _REASONS),
        due=tuple(due(seen, one, customer.history.place is not None) for one in seen["open_reminders"] or ()),
        not_now=tuple(why(customer, policy)),
        moving=tuple(one for one in (down, up) if one is not None),
        weeks=tuple(_weeks(customer, policy.calendar)),
        entries=tuple(entries),
        merged=merged,
    )


def _weeks(customer: Customer, calendar: Calendar) -> Iterator[tuple[int, int]]:
    today = calendar.day_of(customer.now)
    first = today - 7 * WEEKS + 1
    sums = [0] * WEEKS
    for one in days_since(customer.history, first):
        if one.day <= today:
            sums[(one.day - first) // 7] += one.value
    for place, value in enumerate(sums):
        yield first + 7 * place, value


def _facts(customer: Customer, calendar: Calendar) -> Iterator[Entry]:
    history = customer.history
    for one in days_since(history, calendar.day_of(customer.now) - WINDOW_DAYS):
        at = calendar.midnight(one.day)
        if one.sales:
            yield Entry(at=at, sort="purchase", code="bought", numbers={"sales": one.sales, "value": one.value})
        if one.returns:
            yield Entry(at=at, sort="purchase", code="returned", numbers={"returns": one.returns, "value": one.value})
    for touch in history.touches:
        numbers = {
            "kind": touch.kind, "channel": touch.channel, "employee": touch.employee, "score": touch.score,
            "item": touch.item, "direction": touch.direction,
        }  # fmt: skip
        yield Entry(at=touch.at, sort="contact", code="contact", numbers=numbers)
    for held in history.complaints:
        about = {"about": held.about, "severity": held.severity, "satisfaction": held.satisfaction}
        if held.opened_at >= 0:
            yield Entry(at=held.opened_at, sort="complaint", code="complained", numbers=about)
        for at in held.resolved:
            yield Entry(at=at, sort="complaint", code="resolved", numbers=about)


def told(settings: Settings, customer_id: str) -> Told:
    """What was told of a customer. Raises LoyaltyError where Kafka does not answer."""
    key, registered = customer_id.encode(), asking(settings)
    entries: list[Entry] = []
    scores: list[tuple[int, float, str]] = []
    with TopicReader(settings.kafka) as reader:
        for topic in (CHURN_RISK, TIER_CHANGES, CARE_REMINDERS):
            here = partition_of(key, reader.partitions(topic))
            for record in reader.tail(topic, here, TAIL):
                fields = _read(topic, record, key, registered)
                if fields is not None:
                    entries.append(_entry(topic, fields))
                    if topic == CHURN_RISK:
                        scores.append((fields["at"], fields["score"], fields["level"]))
    entries.sort(key=lambda one: one.at, reverse=True)
    return Told(entries=tuple(entries[:ENTRIES]), scores=tuple(scores))


def _read(topic: str, record: Any, key: bytes, registered: Registered | None) -> dict[str, Any] | None:
    if record.key != key or record.value is None:
        return None
    try:
        return codec.read(topic, record.value, registered)
    except BadRecord:
        return None  # nothing but ours is on these topics


def _entry(topic: str, fields: Mapping[str, Any]) -> Entry:
    at = fields["at"]
    if topic == TIER_CHANGES:
        return Entry(at=at, sort="tier", code="tier", numbers={name: fields[name] for name in _OF_TIER})
    if topic == CHURN_RISK:
        reason = fields["reasons"][0]["text"] if fields["reasons"] else ""
        numbers = {"reason": reason} | {name: fields[name] for name in _OF_RISK}
        return Entry(at=at, sort="risk", code="risk", numbers=numbers)
    return Entry(at=at, sort="care", code="care", numbers={name: fields[name] for name in _OF_CARE})
