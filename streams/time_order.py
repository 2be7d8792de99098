"""Which record of a partition comes next, and when a tick may be applied.

Of a partition's topics the head record with the lowest time comes next; ties go by the order of the topic table, ticks
last, then by offset. Record sets are only the unit of fetching. The rules, so that neither an empty buffer is taken for
the end of a topic nor one wrong clock holds up a partition:

- A record may go when each other topic has a head, or has been read up to the end that was known when last asked. One
  that lies more than a minute after stream time goes by the next rule: ticks before it are missing, so more may be.
- What is too far ahead of its own timestamp would hold up all behind it until that time; it will be refused, so from
  the first tick on it goes at once.
- A tick may go only when each other topic has a head, or its end was asked for *after* the tick was fetched and the
  consumer has reached it: what was written before the tick is then folded before it. Live, that is one small request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from processors.events import Event, Tick
from schemas.codec import BadRecord


class KafkaRecord(Protocol):
    """What the loop needs of a fetched record. `timestamp`: the broker's, ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class End(Struct, frozen=True, gc=False):
    """position: next fetch position of a topic as handed over, past markers and gaps; end: its last stable offset."""

    position: int
    end: int


class Item(Struct, gc=False):
    """One record in its turn. `at`: ms; 0 where the record goes at once, for it is bad. `ahead`: too far ahead of its
    own timestamp to be folded once there is a clock."""

    topic: str
    at: int
    event: Event | BadRecord
    record: KafkaRecord
    ahead: bool = False


SOON_MS: Final = 60_000
"""Live, no event lies further after stream time than a few ticks; in a replay the next one may be a day away."""

_EVER: Final = 1 << 61


class _Queue:
    """Decoded records of one topic, not yet taken. `position`: the next fetch position behind the last of them."""

    __slots__ = ("ends_asked", "head", "items", "known_end", "position", "serial")

    def __init__(self, position: int) -> None:
        self.items: list[Item] = []
        self.head = 0
        self.position = position
        self.known_end: int | None = None
        self.ends_asked = -1  # serial number of record sets received when the end was last asked for
        self.serial = 0  # of the last record set of this topic

    def __len__(self) -> int:
        return len(self.items) - self.head

    def pop_to(self, head: int) -> None:
        self.head = head
        if head == len(self.items):
            self.items, self.head = [], 0


def _go_at_once(items: Sequence[Item]) -> None:
    for item in items:
        if item.ahead:
            item.at = 0


class TimeOrder:
    """topics: all input topics of the partition in the order that breaks ties, the tick topic last. ticked: there was
    a tick before these positions. clock: the last of them, ms, as far as it is known."""

    def __init__(
        self, topics: Sequence[str], positions: Mapping[str, int], ticked: bool = False, clock: int | None = None
    ) -> None:
        self._queues = {topic: _Queue(positions.get(topic, 0)) for topic in topics}
        self._order = tuple(self._queues.items())
        self._ticks = topics[-1]
        self._sets = 0
        self._ticked = ticked
        self._clock = clock

    def put(self, topic: str, items: list[Item], position: int) -> None:
        """More of a topic, in offset order; `position`: its next fetch position."""
        queue = self._queues[topic]
        if items:
            self._sets += 1
            queue.serial = self._sets
        if self._ticked:
            _go_at_once(items)
        queue.items = queue.items[queue.head :] + items if len(queue) else items
        queue.head = 0
        queue.position = max(queue.position, position)

    def position(self, topic: str) -> int:
        """The position behind everything received of the topic."""
        return self._queues[topic].position

    def next_position(self, topic: str) -> int:
        """The position behind everything taken of the topic."""
        queue = self._queues[topic]
        return queue.items[queue.head].record.offset if len(queue) else queue.position

    def buffered(self, topic: str) -> int:
        """How many records of the topic wait."""
        return len(self._queues[topic])

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not any(len(queue) for _, queue in self._order)

    @property
    def asked(self) -> int:
        """A serial number: remember it when asking for ends, and hand it back with them."""
        return self._sets

    def ends(self, ends: Mapping[str, End], asked: int) -> None:
        """What the broker answered; `asked` as it stood when the question was sent."""
        for topic, end in ends.items():
            queue = self._queues.get(topic)
            if queue is None:
                continue
            queue.known_end = end.end
            queue.ends_asked = asked
            if not len(queue):
                queue.position = max(queue.position, end.position)

    def take(self, limit: int, policy: str = "") -> tuple[list[Item], bool]:
        """Up to `limit` records in their order, and whether the rest (or all) waits for ends to be asked.

        policy: key of the one in force. Stops behind a tick that names another one or carries thresholds: what holds
        for all then changes.
        """
        taken: list[Item] = []
        while len(taken) < limit:
            topic, queue, until = self._lowest()
            if queue is None:
                return taken, False
            reach = self._reach(topic, queue)
            if queue.items[queue.head].at > reach:
                return taken, True
            stop = self._run(queue, topic, min(until, (reach, len(self._order))), limit - len(taken))
            run = queue.items[queue.head : stop]
            taken.extend(run)
            queue.pop_to(stop)
            last = run[-1].event
            if type(last) is Tick and not self._ticked:
                self._ticked = True
                for _, waiting in self._order:
                    _go_at_once(waiting.items)
            if type(last) is Tick:
                self._clock = last.at if self._clock is None else max(self._clock, last.at)
            if type(last) is Tick and (last.policy not in ("", policy) or last.value_at_share):
                return taken, False
        return taken, False

    def _lowest(self) -> tuple[str, _Queue | None, tuple[int, int]]:
        """The topic and queue with the lowest head (None: all are empty), and (time, rank) of the next lowest."""
        best = (1 << 62, len(self._order))
        second = best
        chosen: tuple[str, _Queue | None] = ("", None)
        for rank, (topic, queue) in enumerate(self._order):
            if len(queue):
                key = (queue.items[queue.head].at, rank)
                if key < best:
                    best, second, chosen = key, best, (topic, queue)
                elif key < second:
                    second = key
        return chosen[0], chosen[1], second

    def _run(self, queue: _Queue, topic: str, until: tuple[int, int], room: int) -> int:
        """The index behind the records of `queue` that come before the head `until`; a tick stands alone."""
        items, at = queue.items, queue.head + 1
        if topic == self._ticks:
            return at
        stop = min(len(items), queue.head + room)
        other, wins_ties = until[0], self._rank(topic) < until[1]
        while at < stop and (items[at].at < other or (wins_ties and items[at].at == other)):
            at += 1
        return at

    def _rank(self, topic: str) -> int:
        return next(rank for rank, (name, _) in enumerate(self._order) if name == topic)

    def _reach(self, topic: str, mine: _Queue) -> int:
        """The time (ms) up to which records of the topic may go now; below 0: none."""
        fresh = True
        for name, queue in self._order:
            if name == topic or len(queue):
                continue
            if queue.known_end is None or queue.position < queue.known_end:
                return -1
            fresh = fresh and queue.ends_asked >= mine.serial
        if fresh:
            return _EVER
        return -1 if topic == self._ticks or self._clock is None else self._clock + SOON_MS
