"""History from Kafka through the core: every customer's events up to now, and the fold of them, without a worker.

read_committed, each topic up to its end as of the call. A repeat counts once, as it does in the fold; what cannot be
read or booked is counted and left out, as the worker has it in its dead letters. Of an erased customer only what came
after the erase is kept. News of kin is no event of the customer's own, and is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from processors.customer import Customer, apply, newcomer
from processors.events import Dated, Erase, Forgotten, Mishap, Misplaced, Part, Purchase, Standing, Tick
from processors.money import Unbookable
from processors.policy import Policy
from schemas import codec, topics
from schemas.errors import BadRecord
from sinks.access import KafkaAccess
from streams.reading import TopicReader

TOPICS = (topics.CUSTOMERS, topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.RELAY)
"""Erases first: what lay before one is not even kept in memory."""


@dataclass
class Histories:
    """events: customer to their events, each once, by time. unreadable, unbookable: records left out, and why not."""

    events: dict[str, list[Dated]] = field(default_factory=dict)
    records: int = 0
    unreadable: int = 0
    unbookable: int = 0


def read_histories(
    kafka: KafkaAccess,
    until_ms: int | None = None,
    told: Callable[[int], None] | None = None,
    decode: codec.Decode = codec.decode,
) -> Histories:
    """All customers' events before `until_ms` (ms; None: all). told: called with the number of records read. decode:
    as `codec.decode`, with what a schema registry tells.

    Raises LoyaltyError where Kafka or a topic is missing.
    """
    found = Histories()
    erased: dict[str, int] = {}
    kept: dict[str, dict[tuple[str, str], Dated]] = defaultdict(dict)
    with TopicReader(kafka) as reader:
        for topic in TOPICS:
            for record in reader.stream(topic, from_beginning=True, until_end=True):
                found.records += 1
                if told is not None and found.records % 10_000 == 0:
                    told(10_000)
                try:
                    event = decode(topic, record.value, record.key)
                except BadRecord:
                    found.unreadable += 1
                    continue
                recorded_at = record.timestamp
                if isinstance(event, Misplaced):
                    recorded_at, event = event.recorded_at, event.event
                if isinstance(event, Erase):
                    erased[event.customer_id] = max(recorded_at, erased.get(event.customer_id, 0))
                    kept.pop(event.customer_id, None)
                elif (
                    not isinstance(event, Tick | Standing | Mishap | Part | Forgotten)
                    and recorded_at > erased.get(event.customer_id, -1)
                    and (until_ms is None or event.occurred_at < until_ms)
                ):
                    kept[event.customer_id].setdefault((event.name, event.event_id), event)
    for customer_id in sorted(kept):
        found.events[customer_id] = sorted(kept[customer_id].values(), key=_order)
    return found


def _order(event: Dated) -> tuple[int, str, str]:
    return event.occurred_at, event.name, event.event_id


def last_purchase_at(found: Histories) -> int | None:
    """The time (ms) of the last purchase of all; None without any."""
    times = (event.occurred_at for own in found.events.values() for event in own if type(event) is Purchase)
    return max(times, default=None)


def folded(
    customer_id: str, own: list[Dated], stops: list[int], policy: Policy, found: Histories
) -> Iterator[Customer]:
    """The customer as folded before each instant of `stops` (ms, rising), `own` in order of time.

    Nothing has left a window: take `history.within` for the figures of a day.
    """
    customer = newcomer(customer_id, own[0].occurred_at if own else 0, policy.tiers[0].name, "")
    at = 0
    for stop in stops:
        while at < len(own) and own[at].occurred_at < stop:
            try:
                customer = apply(customer, own[at], policy)
            except Unbookable:
                found.unbookable += 1
            at += 1
        yield customer
