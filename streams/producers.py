"""D7: how producers do: for each store and channel what came, and what of it was late, repeated, refused, misplaced.

A partition counts what comes to it, in its own commits: `sent:<what>:<store>US<channel>`, US being the ASCII unit
separator. The first `SENDERS_MAX` pairs that a partition meets have names, all others are one, `OTHER`; a record that
names nobody, or can't be read, is of `NOBODY`. Which pairs have names is read with the fence, so that a partition that
moves goes on with the same ones. What is counted is deliveries, as `late:` and `dead_letters:` are: a Redis that is
filled anew from Kafka counts from then on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from processors.events import Complaint, Contact, Purchase
from schemas import library
from schemas.framing import HEADER_BYTES, SINGLE_OBJECT
from schemas.registry import CONFLUENT_HEADER_BYTES, id_of
from sinks.commit import SENT
from streams.time_order import Item

SENDERS_MAX: Final = 1_000
"""Named pairs of store and channel a partition: ten counters each stay below a megabyte."""

OFFLINE_MS: Final = 3_600_000
"""An event that was recorded so long after it happened comes from a till that was away, or from a file."""

NOBODY: Final = "?"
OTHER: Final = "*"
_US: Final = "\x1f"
_VERSION: Final = "schema-"

LATE, REPEATED, DEAD, MISPLACED = "late", "repeated", "dead_lettered", "misplaced"
EVENTS, AHEAD, OFFLINE = "events", "ahead", "offline"

Note = tuple[str, Any]
"""What was found of an event or a bad record: `LATE`, `DEAD` or `MISPLACED`."""

_SENT: Final = (Purchase, Complaint, Contact)
"""Events that stores send. One that was misplaced comes as another type."""


class Tally:
    """Counts for one partition. named: senders that have counters already."""

    def __init__(self, named: Iterable[str]) -> None:
        self._named = set(named) - {NOBODY, OTHER}

    def counts(self, items: Sequence[Item], notes: Iterable[Note], repeated: Iterable[Any]) -> dict[str, int]:
        """What a commit of `items` adds to the counters. notes: of planning; repeated: events that changed nothing."""
        found: Counter[tuple[str, str]] = Counter()
        for (topic, store, channel, head, skew), number in _came(items).items():
            sender = _sender(store, channel)
            found[EVENTS, sender] += number
            found[_VERSION + _version(topic, head), sender] += number
            if skew:
                found[AHEAD if skew > 0 else OFFLINE, sender] += number
        for what, event in notes:
            found[what, sender_of(event)] += 1
        for event in repeated:
            if isinstance(event, _SENT):
                found[REPEATED, sender_of(event)] += 1
        counts: dict[str, int] = {}
        for (what, sender), number in found.items():
            name = f"{SENT}{what}:{self._name(sender)}"
            counts[name] = counts.get(name, 0) + number
        return counts

    def _name(self, sender: str) -> str:
        if sender in self._named or sender == NOBODY:
            return sender
        if len(self._named) >= SENDERS_MAX:
            return OTHER
        self._named.add(sender)
        return sender


def _came(items: Iterable[Item]) -> Counter[tuple[str, str | None, str | None, bytes, int]]:
    """(topic, store, channel, the head that names the schema, clock skew) to number. Skew: 1, it happened after it was
    recorded; -1, `OFFLINE_MS` or more before."""
    found: Counter[tuple[str, str | None, str | None, bytes, int]] = Counter()
    for item in items:
        event, record = item.event, item.record
        store: str | None = None
        channel: str | None = None
        if type(event) is Purchase:
            store, channel = event.store_id, event.channel
        elif type(event) is Contact:
            channel = event.channel
        elif type(event) is Complaint:
            store = event.store_id
        else:
            continue
        before_ms = record.timestamp - event.occurred_at
        skew = 1 if before_ms < 0 else -1 if before_ms >= OFFLINE_MS else 0
        found[item.topic, store, channel, _head(record.value), skew] += 1
    return found


def sender_of(event: Any) -> str:
    """Store and channel of an event, `NOBODY` where it names neither or is none."""
    return _sender(getattr(event, "store_id", None), getattr(event, "channel", None))


def _sender(store: str | None, channel: str | None) -> str:
    return f"{store or ''}{_US}{channel or ''}" if store or channel else NOBODY


def _head(value: bytes | None) -> bytes:
    """The bytes of a record that name its schema."""
    if value is None:
        return b""
    return value[:HEADER_BYTES] if value[:2] == SINGLE_OBJECT else value[:CONFLUENT_HEADER_BYTES]


@cache
def _versions(topic: str) -> Mapping[bytes, str]:
    """Fingerprint to the number of the released schema, oldest first; the newest, not released yet, is `next`."""
    marks = {library.canonical_fingerprint(library.source(topic)): "next"}
    for number, schema in enumerate(library.released(topic), start=1):
        marks[library.canonical_fingerprint(schema)] = str(number)
    return marks


def _version(topic: str, head: bytes) -> str:
    """A schema's version as counters name it: of the release, or `id-7` of a registry."""
    if head[:2] == SINGLE_OBJECT:
        return _versions(topic).get(head[2:], "unknown")
    return f"id-{id_of(head)}"


class Producer(NamedTuple):
    """A line of `loyalty producers`. store, channel: None where records name none; `other`: all beyond the named ones;
    `unread`: what named nobody. events: records that could be read; late: that lay before stream time; repeated: known
    already; dead_lettered: refused; misplaced: in the wrong partition; ahead: happened after they were recorded, by the
    broker's clock; offline: recorded an hour or more after they happened. schemas: version to events."""

    store: str | None
    channel: str | None
    events: int
    late: int
    repeated: int
    dead_lettered: int
    misplaced: int
    ahead: int
    offline: int
    schemas: Mapping[str, int]


def producers(counts: Mapping[str, int]) -> list[Producer]:
    """A line for each store and channel, by name; those that are nobody's at the end (D7)."""
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for name, number in counts.items():
        if name.startswith(SENT) and number:
            what, _, sender = name.removeprefix(SENT).partition(":")
            held[sender][what] += number
    return [_line(sender, held[sender]) for sender in sorted(held, key=lambda one: (one in (NOBODY, OTHER), one))]


def _line(sender: str, held: Counter[str]) -> Producer:
    if sender in (NOBODY, OTHER):
        store, channel = ("unread" if sender == NOBODY else "other"), ""
    else:
        store, _, channel = sender.rpartition(_US)
    schemas = {what.removeprefix(_VERSION): n for what, n in sorted(held.items()) if what.startswith(_VERSION)}
    return Producer(
        store or None,
        channel or None,
        held[EVENTS],
        held[LATE],
        held[REPEATED],
        held[DEAD],
        held[MISPLACED],
        held[AHEAD],
        held[OFFLINE],
        schemas,
    )
