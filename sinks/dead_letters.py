"""What could not become an event: its bytes as they came, headers that say where it lay and why; and sending it again.

A retry sends the original bytes and key to the original topic, once. Which letters were sent is remembered as the
offsets of the consumer group `<group>-dead-letters`: its position, and, where a filter left some out, the ranges sent
beyond it in the metadata of that offset. A crash in between sends a letter twice, which its event id makes harmless.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from schemas import topics
from schemas.partitioner import partition_of
from schemas.topics import DEAD_LETTERS
from sinks.commit import Record

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.structs import TopicPartition

Headers = Sequence[tuple[str, bytes]]

_PREFIX: Final = "dlq."
RETRY: Final = "dlq.retry"
"""How often the record was sent again; it travels with the record."""

SIZE: Final = "dlq.size"
"""How many bytes the value had, where only its beginning is kept; such a letter is never sent again."""

_KEPT_WHOLE_BYTES: Final = topics.bytes_max(DEAD_LETTERS) - 262_144  # room for framing and for the reason
_KEPT_BYTES: Final = 65_536
_KEPT_OF_KEY_BYTES: Final = 256

_METADATA_MAX: Final = 4_000  # the broker takes 4,096 bytes
_SEND_AT_ONCE: Final = 500
_TIMEOUT_MS: Final = 30_000


def dead_letter(  # noqa: PLR0913, PLR0917 - the record, and what was wrong with it
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    error: str,
    message: str,
    at: int,
) -> Record:
    """The dead letter of a record: its own bytes, key and headers, and why. error: the class; at: ms.

    Of a record too large for the topic only the beginning is kept, with its size in `dlq.size`: compressed, the broker
    took it, and it must not stop the outputs of its partition.
    """
    told = {"topic": topic, "partition": partition, "offset": offset, "error": error, "message": message, "at": at}
    own = tuple((name, held) for name, held in headers if not name.startswith(_PREFIX) or name == RETRY)
    if _bytes_of(key, value, own) > _KEPT_WHOLE_BYTES:
        told[SIZE.removeprefix(_PREFIX)] = len(value or b"")
        key, value, own = key and key[:_KEPT_OF_KEY_BYTES], value and value[:_KEPT_BYTES], ()
    why = tuple((_PREFIX + name, str(held).encode()) for name, held in told.items())
    return Record(DEAD_LETTERS, key, value, own + why)


def _bytes_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    return len(key or b"") + len(value or b"") + sum(len(name) + len(held or b"") for name, held in headers)


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A dead letter as it lies in its topic. letter_*: where; the rest is the original's. at: ms. retried: it was sent
    again already. retries: how often before it came here. cut: only the beginning of its value is kept."""

    letter_partition: int
    letter_offset: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    error: str
    message: str
    at: int
    retries: int
    retried: bool
    cut: bool = False


class Wanted(Struct, frozen=True, kw_only=True):
    """Which dead letters. topic, partition, offset: where the original lay; error: the class. None: any."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    error: str | None = None

    def takes(self, letter: DeadLetter) -> bool:
        return all(
            want is None or want == getattr(letter, name)
            for name, want in zip(
                self.__struct_fields__, (self.topic, self.partition, self.offset, self.error), strict=True
            )
        )


ANY: Final = Wanted()


class TooScattered(Exception):
    """More separate letters were picked out than the group's offsets can remember."""


def list_dead_letters(
    kafka: Mapping[str, Any], group: str, wanted: Wanted = ANY, most: int | None = None
) -> Iterator[DeadLetter]:
    """All letters of now that are `wanted`, by partition and offset. kafka: connection settings of kafka-python; most:
    of each partition its last so many offsets alone, markers counted too."""
    consumer = _consumer(kafka, group)
    try:
        for place in _places(consumer):
            sent = _Sent.read(consumer, place)
            start = 0 if most is None else consumer.end_offsets([place], timeout_ms=_TIMEOUT_MS)[place] - most
            yield from (letter for letter in _letters(consumer, place, start, sent) if wanted.takes(letter))
    finally:
        consumer.close(autocommit=False)


def retry(
    kafka: Mapping[str, Any], group: str, partitions: Mapping[str, int] | int, wanted: Wanted = ANY
) -> Iterator[DeadLetter]:
    """Send the `wanted` letters that were not sent yet; each is yielded once the broker has it.

    partitions: how many each original topic has. Raises TooScattered before it sends what it could not remember.
    """
    from kafka import KafkaProducer

    consumer = _consumer(kafka, group)
    producer = KafkaProducer(**kafka, acks="all", enable_idempotence=True, max_request_size=4 * 1_048_576)
    try:
        for place in _places(consumer):
            yield from _retry_place(consumer, producer, place, partitions, wanted)
    finally:
        producer.close()
        consumer.close(autocommit=False)


def _retry_place(
    consumer: KafkaConsumer,
    producer: KafkaProducer,
    place: TopicPartition,
    partitions: Mapping[str, int] | int,
    wanted: Wanted,
) -> Iterator[DeadLetter]:
    sent = _Sent.read(consumer, place)
    batch: list[DeadLetter] = []
    passed = sent.position
    for letter in _letters(consumer, place, sent.position, sent):
        if not letter.retried:
            if wanted.takes(letter) and not letter.cut:
                batch.append(letter)
            else:
                sent.leave_out(letter.letter_offset)
        passed = letter.letter_offset + 1
        if len(batch) >= _SEND_AT_ONCE:
            yield from _send(consumer, producer, place, batch, sent, passed, partitions)
            batch = []
    yield from _send(consumer, producer, place, batch, sent, max(passed, consumer.position(place)), partitions)


def _send(
    consumer: KafkaConsumer,
    producer: KafkaProducer,
    place: TopicPartition,
    batch: Sequence[DeadLetter],
    sent: _Sent,
    passed: int,
    partitions: Mapping[str, int] | int,
) -> Iterator[DeadLetter]:
    from kafka.structs import OffsetAndMetadata

    sent.passed = passed
    position, ranges = sent.summary()
    if len(ranges) > _METADATA_MAX:
        raise TooScattered(
            f"{place.topic}[{place.partition}]: too many separate letters were picked out to remember which were sent; "
            f"retry all of one topic or error class, or all"
        )
    waiting = []
    for letter in batch:
        headers = [*(pair for pair in letter.headers if pair[0] != RETRY), (RETRY, str(letter.retries + 1).encode())]
        count = partitions if isinstance(partitions, int) else partitions[letter.topic]
        to = letter.partition if letter.key is None else partition_of(letter.key, count)
        waiting.append(producer.send(letter.topic, letter.value, letter.key, headers, partition=to))
    for future in waiting:
        future.get(timeout=_TIMEOUT_MS / 1000)
    consumer.commit({place: OffsetAndMetadata(position, ranges, -1)})
    yield from batch


class _Sent:
    """Which letters of a partition were sent: all below `position`, and those below `passed` that are not left out."""

    def __init__(self, position: int, ranges: Sequence[tuple[int, int]]) -> None:
        self.position = position
        self._ranges = ranges
        self._left: list[int] = []
        self.passed = position

    @classmethod
    def read(cls, consumer: KafkaConsumer, place: TopicPartition) -> _Sent:
        held = consumer.committed(place, metadata=True, timeout_ms=_TIMEOUT_MS)
        if held is None or held.offset < 0:
            return cls(0, ())
        ends = (part.partition("-") for part in held.metadata.split(",") if part)
        return cls(held.offset, tuple((int(first), int(last)) for first, _, last in ends))

    def holds(self, offset: int) -> bool:
        return offset < self.position or any(first <= offset <= last for first, last in self._ranges)

    def leave_out(self, offset: int) -> None:
        self._left.append(offset)

    def summary(self) -> tuple[int, str]:
        """(position, ranges sent beyond it as text): what is between two letters left out was sent, or is no letter."""
        rest = [(first, last) for first, last in self._ranges if last >= self.passed]
        if not self._left:
            return self.passed, ",".join(f"{first}-{last}" for first, last in rest)
        edges = [*self._left, self.passed]
        between = [(a + 1, b - 1) for a, b in itertools.pairwise(edges) if b - a > 1]
        return self._left[0], ",".join(f"{first}-{last}" for first, last in between + rest)


def _consumer(kafka: Mapping[str, Any], group: str) -> KafkaConsumer:
    from kafka import KafkaConsumer

    return KafkaConsumer(
        **kafka,
        group_id=f"{group}-dead-letters",
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_bytes=8 * 1_048_576,
    )


def _places(consumer: KafkaConsumer) -> list[TopicPartition]:
    from kafka.structs import TopicPartition

    partitions = consumer.partitions_for_topic(DEAD_LETTERS)
    places = [TopicPartition(DEAD_LETTERS, number) for number in sorted(partitions or ())]
    consumer.assign(places)
    return places


def _letters(consumer: KafkaConsumer, place: TopicPartition, start: int, sent: _Sent) -> Iterator[DeadLetter]:
    """The letters of one partition from `start` to what is now its end."""
    begin = consumer.beginning_offsets([place], timeout_ms=_TIMEOUT_MS)[place]
    end = consumer.end_offsets([place], timeout_ms=_TIMEOUT_MS)[place]
    consumer.pause(*(other for other in consumer.assignment() if other != place))
    consumer.resume(place)
    consumer.seek(place, max(start, begin))
    while consumer.position(place) < end:
        for record in consumer.poll(timeout_ms=500).get(place, ()):
            if record.offset < end:
                yield _letter(record, sent)


def _letter(record: Any, sent: _Sent) -> DeadLetter:
    headers = tuple(record.headers)
    why = {name: held.decode("utf-8", "replace") for name, held in headers if name.startswith(_PREFIX)}
    return DeadLetter(
        letter_partition=record.partition,
        letter_offset=record.offset,
        topic=why.get("dlq.topic", ""),
        partition=int(why.get("dlq.partition", -1)),
        offset=int(why.get("dlq.offset", -1)),
        key=record.key,
        value=record.value,
        headers=tuple(pair for pair in headers if not pair[0].startswith(_PREFIX) or pair[0] == RETRY),
        error=why.get("dlq.error", ""),
        message=why.get("dlq.message", ""),
        at=int(why.get("dlq.at", 0)),
        retries=int(why.get(RETRY, 0)),
        retried=sent.holds(record.offset),
        cut=SIZE in why,
    )
