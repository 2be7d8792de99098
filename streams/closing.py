"""Closing a reminder: the open ones, the contact that says it was done or declined, and its way to Kafka.

For `loyalty care`, `loyalty complete-care` and the console: a click writes what the command writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas import codec, topics
from schemas.errors import BadRecord
from schemas.framing import reframed
from schemas.partitioner import partition_of
from streams import schema_ids
from streams.reading import TopicReader
from streams.sending import send_one
from streams.settings import LoyaltyError, Settings, UsageError

Row = dict[str, Any]


def reminders(
    views: Iterable[Mapping[str, Any]], employee: str | None = None, kind: str | None = None, tier: str | None = None
) -> list[Row]:
    """The open reminders of `views`, with customer and tier: by employee, those of nobody last; most urgent first."""
    rows = [
        {"customer_id": seen["customer_id"], "tier": seen["tier"], **one}
        for seen in views
        if tier in (None, seen["tier"])
        for one in seen["open_reminders"] or ()
        if employee in (None, one["employee_id"]) and kind in (None, one["kind"])
    ]
    return sorted(rows, key=_urgency)


def _urgency(row: Mapping[str, Any]) -> tuple[bool, str, int, int, str]:
    mine = row["employee_id"]
    return mine is None, mine or "", row["priority"], row["due_at"], row["reminder_id"]


def open_reminder(reminder_id: str, one: Callable[[str], dict[str, Any] | None]) -> tuple[dict[str, Any], Row]:
    """The view of the customer whom it is about, and the reminder. one: the view of a customer, None: unknown.

    An id is `customer:kind:cause`, and both ends may hold colons: each way to read it is tried. Raises LoyaltyError.
    """
    for end in (at for at, letter in enumerate(reminder_id) if letter == ":"):
        seen = one(reminder_id[:end])
        if seen is not None:
            for row in reminders([seen]):
                if row["reminder_id"] == reminder_id:
                    return seen, row
    raise LoyaltyError(
        f"no open reminder {reminder_id!r}: it has ended, or never was; `loyalty care` lists the open ones"
    )


def done(row: Row, at: int, channel: str | None, employee: str | None, cost: int | None) -> dict[str, Any]:
    """The contact that fulfils the reminder `row`; its id is the reminder's, so a second one changes nothing."""
    return {
        "event_id": f"complete-care:{row['reminder_id']}",
        "customer_id": row["customer_id"],
        "occurred_at": at,
        "kind": "CARE",
        "direction": "OUT",
        "channel": channel or row["channel"],
        "reminder_id": row["reminder_id"],
        "employee_id": employee or row["employee_id"],
        "cost": cost,
    }


def declined(row: Row, at: int) -> dict[str, Any]:
    """The contact by which the customer declines the reminder `row`; a second one changes nothing."""
    return done(row, at, None, None, None) | {
        "event_id": f"decline-care:{row['reminder_id']}",
        "kind": "DECLINED",
        "direction": "IN",
    }


def send_contact(settings: Settings, contact: Mapping[str, Any]) -> tuple[int, int]:
    """To `contacts`, acknowledged: its partition and offset. UsageError where the contract forbids it."""
    key = contact["customer_id"].encode()
    try:
        value = codec.write(topics.CONTACTS, contact)
        codec.decode(topics.CONTACTS, value, key)  # by the contract's rules, before it is sent
    except BadRecord as error:
        raise UsageError(str(error)) from None
    framed = reframed(schema_ids.heads(settings, [topics.CONTACTS]), topics.CONTACTS, value)
    with TopicReader(settings.kafka) as reader:
        partition = partition_of(key, reader.partitions(topics.CONTACTS))
    return partition, send_one(settings.kafka, topics.CONTACTS, partition, key, framed)
