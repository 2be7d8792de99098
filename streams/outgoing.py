"""What leaves a partition, as ready-made Kafka records: outputs with sentences and headers, what was told, relays.

Codes and numbers become words here, in the programme's language; the core emits none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from msgspec import Struct

from processors.care.ideas import suggestion
from processors.customer import Customer
from processors.events import Forgotten, Misplaced, Part, Relayed, Standing
from processors.outputs import CareReminder, ChurnRisk, GradeChange, TierChange
from processors.policy import Policy
from processors.step import Changes
from processors.wording import Wording
from schemas.cloudevents import headers
from schemas.codec import (
    encode_care_reminder,
    encode_churn_risk,
    encode_grade_change,
    encode_tier_change,
    in_own_framing,
)
from schemas.registry import Registered
from schemas.relayed import payload_of
from schemas.told import told_fields
from schemas.topics import (
    CARE_REMINDERS,
    CHURN_RISK,
    CUSTOMER_VALUE,
    EMPLOYEE_GRADES,
    IDENTITIES,
    RELAY,
    TIER_CHANGES,
    TOLD,
)
from schemas.writer import writer
from sinks.commit import Record


class Placed(Protocol):
    """A record in its turn, as the loop holds it."""

    topic: str
    at: int
    event: Any
    record: Any


class Outgoing(Struct, frozen=True):
    """mark: the erase mark of an id (hex HMAC). wording: the sentences by language code. registered: what a schema
    registry told, where there is one."""

    mark: Callable[[str], str]
    wording: Callable[[str], Wording]
    registered: Registered | None = None

    def records(self, partition: int, seq: int, changes: Changes, policy: Policy) -> Iterator[Record]:
        """All that the changes of commit `seq` tell: outputs and referrals, then the nulls of ids merged and erased,
        then what was told (of who came back after an erase, too)."""
        for told in changes.outputs:
            output = told.output
            if isinstance(output, Relayed):
                yield self._relayed(partition, output)
            elif isinstance(output, ChurnRisk):
                yield self._churn_risk(partition, output, policy)
            elif isinstance(output, CareReminder):
                yield self._care_reminder(partition, output, policy)
            elif isinstance(output, GradeChange):
                yield self._grade_change(partition, output, policy)
            else:
                yield self._tier_change(partition, output, policy)
        for customer_id in changes.moved:  # there is no view of it any more (D5)
            yield Record(CUSTOMER_VALUE, customer_id.encode(), None, (), customer_id)
        for erased in changes.erased:
            yield from self._erased(erased.customer_id, erased.at)
        for customer_id in changes.told:
            customer = changes.customers[customer_id]
            if customer is not None:
                yield _told(customer, seq, policy)

    def rerouted(self, partition: int, item: Placed, customer_id: str) -> Record:
        """A record that belongs to another partition, whole, with where it lay; its framing then needs no registry."""
        event, record, topic, recorded_at = item.event, item.record, item.topic, item.record.timestamp
        if isinstance(event, Misplaced | Relayed):
            return Record(RELAY, customer_id.encode(), record.value, (), customer_id)
        relay = {
            "event_id": getattr(event, "event_id", f"{topic}:{partition}:{record.offset}"),
            "kind": "REROUTED",
            "customer_id": customer_id,
            "occurred_at": getattr(event, "occurred_at", recorded_at),
            "topic": topic,
            "partition": partition,
            "offset": record.offset,
            "recorded_at": recorded_at,
            "key": record.key,
            "record": None if record.value is None else in_own_framing(topic, record.value, self.registered),
            "referred_customer_id": None,
            "referrer_id": None,
            "level": None,
            "clv": None,
            "other_id": None,
        }
        return Record(RELAY, customer_id.encode(), writer(RELAY)(relay), (), customer_id)

    def _relayed(self, partition: int, event: Relayed) -> Record:
        relay = {
            "event_id": event.event_id,
            "kind": event.name.upper(),
            "customer_id": event.customer_id,
            "occurred_at": event.occurred_at,
            "topic": RELAY,
            "partition": partition,
            "offset": -1,
            "recorded_at": event.occurred_at,
            "key": None,
            "record": payload_of(event) if isinstance(event, Part) else None,
            "referred_customer_id": getattr(event, "referred_customer_id", None),
            "referrer_id": getattr(event, "referrer_id", None),
            "level": event.level if isinstance(event, Standing) else None,
            "clv": event.clv if isinstance(event, Standing) else None,
            "other_id": _other(event),
        }
        return Record(RELAY, event.customer_id.encode(), writer(RELAY)(relay), (), event.customer_id)

    def _tier_change(self, partition: int, change: TierChange, policy: Policy) -> Record:
        wording = self.wording(policy.programme.language)
        decided = change.to_tier if change.direction == "UP" else change.from_tier
        reason = wording.tier_reason(change.direction, decided, change.code, change.have, change.need, change.currency)
        head = headers(TIER_CHANGES, partition, change.event_id, change.at, tier=change.to_tier)
        key = change.customer_id.encode()
        return Record(TIER_CHANGES, key, encode_tier_change(change, reason), head, change.customer_id)

    def _grade_change(self, partition: int, change: GradeChange, policy: Policy) -> Record:
        """Keyed by the employee, and placed as that key is, wherever the grade is decided."""
        decided = change.to_grade if change.direction == "UP" else change.from_grade
        reason = self.wording(policy.programme.language).grade_reason(decided, change.code, change.have, change.need)
        head = headers(EMPLOYEE_GRADES, partition, change.event_id, change.at, grade=change.to_grade)
        name = change.customer_id
        return Record(EMPLOYEE_GRADES, name.encode(), encode_grade_change(change, reason), head, name)

    def _churn_risk(self, partition: int, risk: ChurnRisk, policy: Policy) -> Record:
        say = self.wording(policy.programme.language).risk_reason
        filters = {"tier": risk.tier, "level": risk.level, "transition": risk.transition}
        head = headers(CHURN_RISK, partition, risk.event_id, risk.at, **filters, holdout=risk.holdout)
        value = encode_churn_risk(risk, [say(reason) for reason in risk.reasons])
        return Record(CHURN_RISK, risk.customer_id.encode(), value, head, risk.customer_id)

    def _care_reminder(self, partition: int, reminder: CareReminder, policy: Policy) -> Record:
        text = self.wording(policy.programme.language).care(reminder, policy)
        filters = {"tier": reminder.tier, "kind": reminder.kind, "status": reminder.status}
        head = headers(CARE_REMINDERS, partition, reminder.event_id, reminder.at, **filters)
        value = encode_care_reminder(reminder, text, suggestion(reminder, policy))
        return Record(CARE_REMINDERS, reminder.customer_id.encode(), value, head, reminder.customer_id)

    def _erased(self, customer_id: str, at: int) -> Iterator[Record]:
        key, mark = customer_id.encode(), self.mark(customer_id)
        identity = {"kind": "ERASED", "mark": mark, "at": at, "into": None, "until": None}
        yield Record(IDENTITIES, mark.encode(), writer(IDENTITIES)(identity), (), customer_id)
        yield Record(TOLD, key, None, (), customer_id)
        yield Record(CUSTOMER_VALUE, key, None, (), customer_id)


def _other(event: Relayed) -> str | None:
    if isinstance(event, Part):
        return event.source
    return event.into if isinstance(event, Forgotten) else None


def _told(customer: Customer, seq: int, policy: Policy) -> Record:
    fields = told_fields(customer.told) | {
        "customer_id": customer.id,
        "at": customer.now,
        "policy": policy.label,
        "seq": seq,
    }
    return Record(TOLD, customer.id.encode(), writer(TOLD)(fields), (), customer.id)
