"""D4: all that is held of one person, in plain words and numbers: what a right of access asks for.

Facts are unpacked, day by day; ids of events are kept as hashes and say nothing, so their number alone is told. The
records themselves are counted where they lie: they are what the person's own events said, and `subscribe` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from processors.customer import Customer
from processors.days import Calendar
from processors.grade import inside
from processors.history import FIRST_DAY as BEFORE_DAY_0
from processors.history import History, days_of, first_tries, unpack_days
from processors.merging import own_facts
from schemas.partitioner import partition_of
from schemas.topics import TICKS, TOLD, TOPICS, Topic
from sinks.access import KafkaAccess
from streams.reading import TopicReader

_SEEN_BYTES: Final = 16


def held(customer: Customer, view: dict[str, Any] | None, calendar: Calendar) -> dict[str, Any]:
    """What Redis holds of the customer. view: as of the clock; None: merged into another, whose view it is part of."""
    merge = customer.merge
    parts = {} if merge is None else merge.parts
    return {
        "customer_id": customer.id,
        "view": view,
        "merged_into": customer.moved_to or None,
        "facts": facts_of(own_facts(customer.history, merge), calendar),
        "facts_of_merged_ids": {name: facts_of(one.facts, calendar) for name, one in parts.items()},
        "told": plain(customer.told),
        "counted_in_figures": plain(customer.counted),
        "last_review_at": customer.now,
        "next_review_at": customer.next_review,
    }


def grade_held(employee: Customer) -> dict[str, Any]:
    """What Redis holds of an employee's grade (E2), folded under an id of its own."""
    told = employee.told
    return {
        "grade": told.tier,
        "since": told.tier_since,
        "below_since": told.below_since,
        "serves": plain(employee.history.service),
    }


def facts_of(history: History, calendar: Calendar) -> dict[str, Any]:
    """The facts by name, packed ones unpacked; days as dates, times ms, amounts minor units."""

    def dates(numbers: list[int]) -> list[str]:
        return [calendar.iso_day(day) for day in numbers]

    return {
        **plain(history),
        "days": [{**one._asdict(), "day": calendar.iso_day(one.day)} for one in days_of(history)],
        "purchase_days": dates([number + BEFORE_DAY_0 for number in unpack_days(history.purchase_days)]),
        "coupons": dates([number + BEFORE_DAY_0 for number in unpack_days(history.coupons)]),
        "categories": {name: calendar.iso_day(day) for name, day in history.categories.items()},
        "tried": dates(sorted(first_tries(history))),
        "seen": len(history.seen) // _SEEN_BYTES,
    }


def plain(value: Any) -> Any:
    """As JSON takes it, structs by the names of their fields."""
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    return value.hex() if isinstance(value, bytes) else value


def records(customer_id: str, kafka: KafkaAccess) -> list[dict[str, Any]]:
    """Where records with this id as key lie, and how many; of `told` those of a grade, too (E2). Reads a partition of
    each topic from end to end."""
    found = []
    with TopicReader(kafka) as reader:
        for topic in TOPICS.values():
            if topic.key not in ("customer", "employee", "original") or topic.name == TICKS:
                continue
            names = (customer_id, inside(customer_id)) if topic.name == TOLD else (customer_id,)
            offsets = [lies for name in names for lies in _lie(reader, topic, name.encode())]
            if offsets:
                lie = sorted({partition for partition, _ in offsets})
                found.append({"topic": topic.name, "partitions": lie, "records": len(offsets)})
    return found


def _lie(reader: TopicReader, topic: Topic, key: bytes) -> Iterator[tuple[int, int]]:
    """(partition, offset) of each record with that key; of misplaced ones, which lie anywhere, too."""
    here = None if topic.key == "original" else partition_of(key, reader.partitions(topic.name))
    for record in reader.stream(topic.name, from_beginning=True, until_end=True, partition=here):
        if record.key == key:
            yield record.partition, record.offset
