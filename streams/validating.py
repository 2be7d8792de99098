"""What the worker would say of records, told to those who write them, without a server (D6, D7).

Rows of a file are written and read back as an import does; records are taken to the byte as a producer made them, with
their key and, where it is known, the partition they went to. Then all goes through the worker's own door: `decode`, the
planner's checks of time and place, and the fold, which refuses currencies without a rate and amounts too large.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, BinaryIO, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from processors.customer import apply, newcomer
from processors.events import Complaint, Contact, Dated, Erase, Profile, Purchase
from processors.history import id_hash
from processors.money import Unbookable
from schemas import codec
from schemas.errors import BadField, BadRecord
from schemas.partitioner import partition_of
from schemas.topics import DEAD_LETTERS
from streams.plan import LoopConfig, Planner, item_of, unbookable
from streams.producers import DEAD as REFUSED
from streams.producers import Note, Producer, Tally, producers
from streams.rows import BadRow, Row
from streams.time_order import Item

OK, KNOWN, CONFLICT, ELSEWHERE, DEAD = "ok", "repeated", "conflict", "misplaced", "dead_letter"
NOT_A_ROW: Final = "BadRow"
"""The error of what could not even be read as a row of its file."""


class Verdict(NamedTuple):
    """What the worker makes of a record. verdict: ok; repeated: the same again, which changes nothing; conflict: other
    content under an id that is known, which is ignored; misplaced: sent on to its partition, at a cost; dead_letter.
    error, message: of a dead letter as its headers have them; of the others what is to be mended."""

    line: int
    verdict: str
    error: str | None = None
    message: str | None = None


class Raw(Struct, frozen=True):
    """A line of `--format records`: what a producer hands to Kafka. value: base64, null erases; timestamp: ms."""

    key: str | None = None
    value: str | None = None
    partition: Annotated[int, Meta(ge=0)] | None = None
    timestamp: Annotated[int, Meta(ge=0)] | None = None


class Kept(Struct, frozen=True):
    """A record as the loop takes it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Validator:
    """Of one topic. now_ms: when the records are taken to arrive; clock: stream time then (ms), None: before the first
    tick, as history is loaded. `counts` by verdict, `errors` by class, `sent` by producer."""

    def __init__(self, topic: str, config: LoopConfig, now_ms: int, clock: int | None) -> None:
        self.topic, self.config, self.now_ms, self.clock = topic, config, now_ms, clock
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._tally = Tally(())
        self._seen: dict[tuple[str, bytes], int] = {}

    def rows(self, rows: Iterable[Row | BadRow]) -> Iterator[Verdict]:
        """The verdict on each row of a file."""
        for row in rows:
            yield self._said(self._bad(row) if isinstance(row, BadRow) else self._row(row))

    def records(self, file: BinaryIO) -> Iterator[Verdict]:
        """The verdict on each record of a file of `Raw` lines."""
        decode = msgspec.json.Decoder(Raw).decode
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                raw = decode(text)
                value = None if raw.value is None else base64.b64decode(raw.value, validate=True)
            except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
                yield self._said(self._bad(BadRow(line, f"is no record: {error}; write key, value in base64")))
                continue
            timestamp = self.now_ms if raw.timestamp is None else raw.timestamp
            kept = Kept(line, timestamp, None if raw.key is None else raw.key.encode(), value)
            yield self._said(self._record(kept, raw.partition))

    @property
    def producers(self) -> list[Producer]:
        """As `loyalty producers` would show them."""
        return producers(self._sent)

    @property
    def fine(self) -> bool:
        """Whether there is nothing to mend; repeats are none."""
        return not (self.counts[DEAD] or self.counts[CONFLICT] or self.counts[ELSEWHERE])

    def _said(self, verdict: Verdict) -> Verdict:
        self.counts[verdict.verdict] += 1
        if verdict.error is not None:
            self.errors[verdict.error] += 1
        return verdict

    def _bad(self, row: BadRow) -> Verdict:
        return Verdict(row.line, DEAD, NOT_A_ROW, row.reason)

    def _row(self, row: Row) -> Verdict:
        try:
            value = codec.write(self.topic, row.fields)
            customer_id = codec.read(self.topic, value)["customer_id"]
        except BadField as error:
            return Verdict(row.line_of(error.path), DEAD, error.error, str(error))
        except BadRecord as error:
            return Verdict(row.line, DEAD, error.error, str(error))
        return self._record(Kept(row.line, self.now_ms, customer_id.encode(), value), None, row)

    def _record(self, record: Kept, partition: int | None, row: Row | None = None) -> Verdict:
        """partition: where it went; None: where the key leads by murmur2, nowhere sure without one."""
        config, line = self.config, record.offset
        if partition is None:
            partition = partition_of(record.key, config.partitions) if record.key else -1
        item = item_of(self.topic, record, config.max_ahead_ms, config.decode)
        plan = Planner(partition, config).planned([item], self.clock, ())
        notes: list[Note] = plan.notes
        verdict, repeated = Verdict(line, OK), []
        if plan.outbox:
            (left,) = plan.outbox
            if left.topic == DEAD_LETTERS:
                headers = {name: text.decode() for name, text in left.headers}
                verdict = Verdict(self._line(item, row, line), DEAD, headers["dlq.error"], headers["dlq.message"])
            else:
                verdict = Verdict(line, ELSEWHERE, None, self._where(item.event, record.key, partition))
        elif not isinstance(item.event, Erase):
            assert isinstance(item.event, Purchase | Complaint | Contact | Profile), item.event
            verdict = self._folded(item.event, line)
            if verdict.verdict in (KNOWN, CONFLICT):
                repeated.append(item.event)
            elif verdict.verdict == DEAD:
                notes = [*notes, (REFUSED, item.event)]
        self._sent.update(self._tally.counts([item], notes, repeated))
        return verdict

    def _line(self, item: Item, row: Row | None, line: int) -> int:
        path = getattr(item.event, "path", None)
        return line if row is None or path is None else row.line_of(path)

    def _folded(self, event: Dated, line: int) -> Verdict:
        """Of an event that may be folded: whether it can be booked, and whether its id is new."""
        policy = self.config.policy
        try:
            apply(newcomer(event.customer_id, event.occurred_at, policy.tiers[0].name, ""), event, policy)
        except Unbookable as wrong:
            return Verdict(line, DEAD, type(wrong).__name__, unbookable(event, wrong))
        key, had = (event.customer_id, id_hash(event.name, event.event_id)), len(self._seen)
        known = self._seen.setdefault(key, event.content)
        first = len(self._seen) > had
        if known != event.content:
            text = f"event_id {event.event_id!r} came before with other content: the first counts; give each its own id"
            return Verdict(line, CONFLICT, None, text)
        return Verdict(line, OK if first else KNOWN)

    def _where(self, event: Any, key: bytes | None, partition: int) -> str:
        name, number = event.customer_id, self.config.partitions
        home = partition_of(name.encode(), number)
        if key is None:
            return f"has no key: it must be the customer_id, {name!r}, which leads to partition {home} of {number}"
        if key != name.encode():
            return f"the key is {key[:60]!r}: it must be the customer_id, {name!r} (partition {home} of {number})"
        return (
            f"went to partition {partition}: {name!r} belongs to {home} of {number} by murmur2 of the key; "
            "librdkafka needs partitioner=murmur2_random"
        )
