"""The topic table: the only place that spells a topic's name.

All topics of a programme have the same number of partitions and the same placement (murmur2 of the key), so that
partition `p` of every topic belongs to the same customers; `policies` alone has one partition, read by everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

PARTITIONS_DEFAULT = 12
"""How many partitions `loyalty topics create` makes unless told otherwise. Never changed afterwards: it moves ids."""

RECORD_BYTES_MAX = 1_048_576
"""The largest input record (key and value). The broker refuses larger ones, and so does the codec (`Oversize`)."""

PURCHASES = "purchases"
COMPLAINTS = "complaints"
CONTACTS = "contacts"
CUSTOMERS = "customers"
TICKS = "ticks"
CHURN_RISK = "churn-risk"
CARE_REMINDERS = "care-reminders"
TIER_CHANGES = "tier-changes"
CUSTOMER_VALUE = "customer-value"
EMPLOYEE_GRADES = "employee-grades"
RELAY = "relay"
IDENTITIES = "identities"
TOLD = "told"
POLICIES = "policies"
OUTBOX_POSITIONS = "outbox-positions"
DEAD_LETTERS = "dead-letters"

Direction = Literal["in", "out", "internal"]
Key = Literal["customer", "employee", "partition", "identity", "policy", "none", "original"]

_FOR_GOOD = "-1"
_DAY_MS = 86_400_000
_TOMBSTONES_KEPT_MS = (
    90 * _DAY_MS
)  # one that leaves before it is folded is an erase forgotten; later `identities` tells
_DEAD_LETTERS_KEPT_MS = 90 * _DAY_MS  # they hold people's data as it came; long enough to mend and retry
_ENVELOPE_BYTES = 1_048_576  # an original record of the full size still fits in a dead letter or a relay record


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    schema: stem of `schemas/<stem>.avsc`; None where the value is somebody else's bytes.
    key: what the record key is; `none` means the key is absent, `original` that it is the original record's.
    partitions: None is the programme's number.
    """

    name: str
    direction: Direction
    schema: str | None
    key: Key = "customer"
    compacted: bool = False
    partitions: int | None = None
    extra: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def config(self) -> dict[str, str]:
        """The topic's settings as the broker names them."""
        return {
            # The broker's own time on every record: `max_ahead` is judged against it, the same in every replay. On
            # outputs it keeps a replayed year from being removed at once because its times lie far back.
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": _FOR_GOOD,
            "max.message.bytes": str(RECORD_BYTES_MAX),
            **self.extra,
        }


def _extra(**settings: int) -> MappingProxyType[str, str]:
    return MappingProxyType({name.replace("_", "."): str(value) for name, value in settings.items()})


_LONG_TOMBSTONES = _extra(delete_retention_ms=_TOMBSTONES_KEPT_MS)
_ENVELOPE = _extra(max_message_bytes=RECORD_BYTES_MAX + _ENVELOPE_BYTES)
_DEAD = _extra(retention_ms=_DEAD_LETTERS_KEPT_MS, max_message_bytes=RECORD_BYTES_MAX + _ENVELOPE_BYTES)

TOPICS: MappingProxyType[str, Topic] = MappingProxyType(
    {
        topic.name: topic
        for topic in (
            Topic(PURCHASES, "in", PURCHASES),
            Topic(COMPLAINTS, "in", COMPLAINTS),
            Topic(CONTACTS, "in", CONTACTS),
            Topic(CUSTOMERS, "in", CUSTOMERS, compacted=True, extra=_LONG_TOMBSTONES),
            Topic(TICKS, "in", TICKS, key="none"),
            Topic(CHURN_RISK, "out", CHURN_RISK),
            Topic(CARE_REMINDERS, "out", CARE_REMINDERS),
            Topic(TIER_CHANGES, "out", TIER_CHANGES),
            Topic(CUSTOMER_VALUE, "out", CUSTOMER_VALUE, compacted=True, extra=_LONG_TOMBSTONES),
            Topic(EMPLOYEE_GRADES, "out", EMPLOYEE_GRADES, key="employee"),
            Topic(RELAY, "internal", RELAY, extra=_ENVELOPE),
            Topic(IDENTITIES, "internal", IDENTITIES, key="identity", compacted=True),
            Topic(TOLD, "internal", TOLD, compacted=True),
            Topic(POLICIES, "internal", POLICIES, key="policy", compacted=True, partitions=1),
            Topic(OUTBOX_POSITIONS, "internal", OUTBOX_POSITIONS, key="partition", compacted=True),
            Topic(DEAD_LETTERS, "out", None, key="original", extra=_DEAD),
        )
    }
)

INPUTS: tuple[str, ...] = (PURCHASES, COMPLAINTS, CONTACTS, CUSTOMERS, RELAY, TICKS)
"""What the loop reads, in the order that decides between records of one instant: ticks come last."""


def bytes_max(topic: str) -> int:
    """The largest value that `topic` takes: twice as much where an original record travels whole."""
    return int(TOPICS[topic].config()["max.message.bytes"])
