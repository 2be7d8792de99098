"""What was told, day by day: alerts of leaving, changes of tier, care; counted from the output topics as they grow."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from processors.days import Calendar
from schemas import codec
from schemas.errors import BadRecord
from schemas.topics import CARE_REMINDERS, CHURN_RISK, TIER_CHANGES
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import Settings

LATEST: Final = 40
_FIELD: Final = {CHURN_RISK: "transition", TIER_CHANGES: "direction", CARE_REMINDERS: "status"}


class Event(Struct, frozen=True):
    """One of the latest alerts and changes of tier. what: its transition or direction."""

    at: int
    topic: str
    customer_id: str
    what: str
    to: str


class Story(Struct, frozen=True, kw_only=True):
    """days: programme day to `<topic>:<what>` to number; positions: where each topic is read on; latest: newest
    first."""

    positions: Mapping[str, Mapping[int, int]] = {}
    days: Mapping[int, Mapping[str, int]] = {}
    latest: tuple[Event, ...] = ()

    def months(self, name: str, calendar: Calendar) -> dict[str, int]:
        """A counter by month of the programme, from the first month with anything to the last, without a gap."""
        found: dict[str, int] = dict.fromkeys(self.span(calendar), 0)
        for day, counts in self.days.items():
            found[calendar.iso_day(day)[:7]] += counts.get(name, 0)
        return found

    def span(self, calendar: Calendar) -> list[str]:
        """The months that there are."""
        if not self.days:
            return []
        first, last = calendar.iso_day(min(self.days))[:7], calendar.iso_day(max(self.days))[:7]
        months, (year, month) = [first], (int(first[:4]), int(first[5:]))
        while months[-1] < last:
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
            months.append(f"{year:04}-{month:02}")
        return months


def continued(settings: Settings, calendar: Calendar, before: Story) -> Story:
    """`before` with all that lies in Kafka since. Raises LoyaltyError where it does not answer."""
    registered = asking(settings)
    days = {day: Counter(counts) for day, counts in before.days.items()}
    latest: deque[Event] = deque(reversed(before.latest), maxlen=LATEST)
    positions: dict[str, dict[int, int]] = {}
    fresh: list[Event] = []
    with TopicReader(settings.kafka) as reader:
        for topic, field in _FIELD.items():
            known = positions[topic] = dict(before.positions.get(topic, {}))
            for record in reader.since(topic, dict(known)):
                known[record.partition] = record.offset + 1
                try:
                    fields = codec.read(topic, record.value, registered)
                except BadRecord:
                    continue  # nothing but ours is on these topics
                day = calendar.day_of(fields["at"])
                days.setdefault(day, Counter())[f"{topic}:{fields[field]}"] += 1
                if topic != CARE_REMINDERS:
                    fresh.append(_event(topic, fields, field))
    latest.extend(sorted(fresh, key=lambda one: one.at)[-LATEST:])
    return Story(positions=positions, days=days, latest=tuple(sorted(latest, key=lambda one: one.at, reverse=True)))


def _event(topic: str, fields: Mapping[str, Any], field: str) -> Event:
    to = fields["to_tier"] if topic == TIER_CHANGES else fields["level"]
    return Event(fields["at"], topic, fields["customer_id"], fields[field], to)
