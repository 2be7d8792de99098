"""The outbox of one partition to Kafka: whole commits in one transaction, with the position that says so.

    open      a producer with the partition's transactional id, by its owner alone: it fences the one before and ends
              its transaction;
              then the last committed position is read, and what it covers is dropped from the outbox
    read      entries after the position to the end of a commit, the views that changed up to there, and the fence as
              that commit left it: one script, so they fit together
    send      all of it and the new position, in one transaction
    trim      what Kafka has leaves the outbox

Dying between any two of these publishes nothing twice: what Kafka committed, the position in the same transaction
covers; what it did not commit, no reader of `read_committed` saw. The position's clock and input offsets are those of
its commit, exactly: all that was told up to there is published, and nothing that was told later.

A view is sent as it stands, with the commit that changed it last; it waits while older entries do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from schemas.codec import write
from schemas.customer_value import BrokenView, encode_view
from schemas.framing import Heads, reframed
from schemas.partitioner import partition_of
from schemas.told import LastTold
from schemas.topics import CUSTOMER_VALUE, OUTBOX_POSITIONS
from sinks.commit import Fence
from sinks.compacted import read_erased, read_told
from sinks.metrics import Metrics
from sinks.position import OutboxAhead, Position, after, read_position
from sinks.store import Pending, Store, StoreUnavailable

__all__ = ["OutboxAhead", "Pace", "Position", "Publisher", "read_position"]

log = logging.getLogger("loyalty.outbox")

ENTRIES_MAX: Final = 2_000
VIEWS_MAX: Final = 1_000
"""Of one transaction, and then to the end of a commit. About 50 ms of the core: a fold waits no longer."""

BACKLOG: Final = 50_000
"""Entries waiting above which publishing is no longer held back: it is behind for good, not while input is read."""

SHARE: Final = 0.1
"""Of the core that publishing takes, for all partitions together, while input waits to be folded."""

BEHIND_S: Final = 0.3
"""So long after a commit that left input waiting the next one is expected: some partitions take turns."""

BETWEEN_S: Final = 0.01
BETWEEN_MAX_S: Final = 0.1
"""Between the beginnings of two transactions of one worker: half of what the last one took, within these bounds. At a
thousand purchases a second each of twelve partitions always has something to publish; without a pause they make
hundreds of transactions a second, three records each, and broker and worker do little else. The first after a rest
waits for nothing."""

_TRANSACTION_S: Final = 0.004  # what begin, partitions and commit cost the client, whatever is in it
_BATCH_BYTES: Final = 500_000  # half of what a topic takes; a larger record travels alone
_RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_END_TIMEOUT_S: Final = 5.0  # to abort or to close: what is left open the broker aborts when the next producer starts

STOP_S: Final = 10.0
"""So long `stop` waits for the transaction under way: within a worker's deadline for leaving a partition."""


class Pace:
    """Leaves the core to the fold: publishers of one worker share it. While the fold keeps up they only take turns."""

    def __init__(self, share: float = SHARE) -> None:
        self._rest, self._between_s = (1 - share) / share, BETWEEN_S
        self._free_at = self._behind_until = self._next_at = 0.0

    def behind(self) -> None:
        """More input waits to be folded."""
        self._behind_until = time.monotonic() + BEHIND_S

    async def turn(self, hurry: asyncio.Event) -> None:
        """Wait until it is time, the fold has caught up and it is our turn, or somebody is in a hurry."""
        while await _waited(hurry, min(self._free_at, self._behind_until)):
            pass
        if hurry.is_set():
            return  # and takes no turn of the others, who would wait for all of them at once
        mine = max(self._next_at, time.monotonic())
        self._next_at = mine + self._between_s
        await _waited(hurry, mine)

    def took(self, seconds: float) -> None:
        """The broker took so long for a transaction."""
        self._between_s = min(max(BETWEEN_S, seconds / 2), BETWEEN_MAX_S)

    def took_of_core(self, cpu_s: float) -> None:
        """One transaction took so long of the core."""
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + (cpu_s + _TRANSACTION_S) * self._rest


async def _waited(hurry: asyncio.Event, until: float) -> bool:
    """Wait for the monotonic instant `until`; False where it is past, or somebody is in a hurry."""
    pause = until - time.monotonic()
    if pause <= 0 or hurry.is_set():
        return False
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), pause)
    return True


class Waiting:
    """For how long something has waited to be published without anything going out."""

    def __init__(self) -> None:
        self._since: float | None = None

    def more(self) -> None:
        """Something waits."""
        if self._since is None:
            self._since = time.monotonic()

    def went(self) -> None:
        """Some of it went out, and more may wait."""
        self._since = time.monotonic()

    def done(self) -> None:
        """Nothing waits."""
        self._since = None

    def seconds(self) -> float:
        """0 where nothing waits."""
        return 0.0 if self._since is None else time.monotonic() - self._since


class Publisher:
    """Publishes partition `partition` of `store`, from `start` to `stop`, whenever `wake` says that there is something.

    kafka: connection settings of aiokafka; group: first part of the transactional id; partitions: of every topic.
    pace: shared by the publishers of one worker. heads: how outputs are framed where there is a schema registry.
    """

    def __init__(
        self,
        store: Store,
        partition: int,
        *,
        kafka: Mapping[str, Any],
        group: str,
        partitions: int,
        metrics: Metrics,
        pace: Pace | None = None,
        heads: Heads | None = None,
    ) -> None:
        self.partition = partition
        self._store, self._kafka, self._group, self._partitions = store, kafka, group, partitions
        self._entries_left = metrics.outbox_entries.labels(partition=str(partition))
        self._waits = Waiting()
        metrics.outbox_age.labels(partition=str(partition)).set_function(self._waits.seconds)
        self._count = metrics.outputs.labels
        self._pace = Pace() if pace is None else pace
        self._heads: Heads = {} if heads is None else heads
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._stopping = self._unconfirmed = False
        self._producer: AIOKafkaProducer | None = None
        self._position, self._epoch = Position(partition=partition), 0
        self._task: asyncio.Task[None] | None = None

    # -- what the runner says

    async def start(self, fence: Fence) -> None:
        """Begin to publish, as the owner under the epoch of `fence`.

        Raises OutboxAhead where Kafka has more than Redis knows of; ProducerFenced where another is the owner by now;
        KafkaError where Kafka is away.
        """
        self._epoch = fence.epoch
        self._producer = await self._open()
        self._task = asyncio.create_task(self._run(), name=f"outbox-{self.partition}")
        self._wake.set()

    async def told(self) -> Mapping[str, LastTold]:
        """What each customer of the partition was last told, as published: to recover from OutboxAhead."""
        return await read_told(self._kafka, self.partition)

    async def erased(self) -> Mapping[str, int]:
        """Marks of the ids of the partition that were erased, each with its instant (ms), as published."""
        return await read_erased(self._kafka, self.partition)

    def wake(self, behind: bool = False) -> None:
        """There is something to publish. behind: and more input to be folded."""
        if behind:
            self._pace.behind()
        self._waits.more()
        self._wake.set()

    async def drained(self) -> bool:
        """Whether all is published and every reader of `read_committed` finds it. Asking makes it hurry."""
        entries, views = await self._store.outbox_size(self.partition)
        done = not entries and not views and not self._unconfirmed
        if not done:
            self._hurry.set()
            self._wake.set()
        return done

    async def drain(self) -> None:
        """Wait until all is published, without regard for the fold."""
        while not await self.drained():
            if self._task is None or self._task.done():
                return
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Finish the transaction under way; what is left goes with the next owner. May be called at any time."""
        self._stopping = True
        self._wake.set()
        self._hurry.set()
        task, self._task = self._task, None
        if task is not None:
            _, hangs = await asyncio.wait([task], timeout=STOP_S)
            if hangs:
                log.warning("outputs of partition %d: Kafka does not end the transaction; it is left", self.partition)
                task.cancel()
                await asyncio.wait([task])
        await self._close()

    # -- what it does

    async def _run(self) -> None:
        """Until `stop`, or until another owner has the partition."""
        failures = 0
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._pace.turn(self._hurry)
                if not self._stopping and await self._publish():
                    failures = 0
            except Exception as error:
                if await self._lost():  # whatever failed: one fenced between two batches calls it an illegal operation
                    log.info("partition %d is published by another worker now", self.partition)
                    return
                # Whatever it is: the outbox keeps everything, and a fresh producer begins where Kafka says we are.
                pause = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                told = {"partition": self.partition}
                log.warning("outputs of partition %d wait %g s: %r", self.partition, pause, error, extra=told)
                failures += 1
                await self._tell_what_waits(error)
                await self._close()
                await self._rest(pause)
                self._wake.set()

    async def _lost(self) -> bool:
        """Whether another owns the partition. Kafka alone can't tell: a transaction that timed out is fenced, too."""
        try:
            await self._owned()
        except (ProducerFenced, StoreUnavailable) as error:
            return isinstance(error, ProducerFenced)
        return False

    async def _owned(self) -> Fence:
        """The fence. Raises ProducerFenced where another owns the partition."""
        fence = await self._store.fence(self.partition)
        if fence.epoch != self._epoch:
            raise ProducerFenced(f"partition {self.partition}: epoch {self._epoch} is {fence.epoch} now")
        return fence

    async def _tell_what_waits(self, why: Exception) -> None:
        """Nothing is published, and commits go on: how much waits is told all the same."""
        self._waits.more()
        if isinstance(why, StoreUnavailable):
            return  # then there are no commits either
        with contextlib.suppress(StoreUnavailable):
            entries, _ = await self._store.outbox_size(self.partition)
            self._entries_left.set(entries)

    async def _rest(self, pause: float) -> None:
        give_up = time.monotonic() + pause
        while not self._stopping and (left := give_up - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))

    async def _publish(self) -> bool:
        """One transaction, and what it leaves. False: a producer was made first, and all is to be read again."""
        pending = await self._store.pending(self.partition, self._position.entry, ENTRIES_MAX, VIEWS_MAX)
        if pending.fence.seq < self._position.seq:  # a Redis that came back as it was: the position never goes back
            raise OutboxAhead(self._position, pending.fence)
        if not pending.entries and not pending.views:
            self._entries_left.set(0)
            self._waits.done()
            if self._hurry.is_set() and self._unconfirmed:
                await self._close()
                self._producer = await self._open()
            self._hurry.clear()
            return True
        producer = self._producer
        if producer is None:
            self._producer = await self._open()
            self._wake.set()  # what was pending may have been published before
            return False
        position = after(self._position, pending)
        began = time.perf_counter()
        batches = self._batches(producer, pending, position)
        made = time.perf_counter()
        await self._transact(producer, batches)
        self._pace.took(time.perf_counter() - made)
        self._position = position
        left = await self._store.published(self.partition, position.entry, position.views_seq)
        for topic, number in batches.counts.items():
            if topic != OUTBOX_POSITIONS:
                self._count(topic=topic).inc(number)
        self._entries_left.set(left)
        self._waits.went()
        if left < BACKLOG:
            self._pace.took_of_core(made - began)
        self._wake.set()
        return True

    async def _open(self) -> AIOKafkaProducer:
        await self._owned()  # or the producer of the new owner would be fenced
        producer = AIOKafkaProducer(
            **self._kafka,
            transactional_id=f"{self._group}-{self.partition}",
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            linger_ms=0,
        )
        try:
            await producer.start()
            # Only now: the owner before can no longer commit, and what was committed is there to be read.
            position = await read_position(self._kafka, self.partition)
            fence = await self._owned()
            if position.seq > fence.seq or fence.recovers:
                raise OutboxAhead(position, fence)
            await self._store.published(self.partition, position.entry, position.views_seq)
        except BaseException:
            with contextlib.suppress(Exception):
                await producer.stop()
            raise
        self._position, self._unconfirmed = position, False
        return producer

    async def _close(self) -> None:
        """Stop the producer; the broker aborts what it left open when the next one starts."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.stop(), _END_TIMEOUT_S)
            with contextlib.suppress(Exception):
                await producer.client.close()

    def _batches(self, producer: AIOKafkaProducer, pending: Pending, position: Position) -> _Batches:
        """All of `pending`, and the position."""
        batches = _Batches(producer)
        for topic, to, key, value, headers in self._records(pending):
            batches.add(topic, to, key, value, headers)
        fields = {name: getattr(position, name) for name in Position.__struct_fields__}
        own = self.partition
        batches.add(OUTBOX_POSITIONS, own, str(own).encode(), write(OUTBOX_POSITIONS, fields), ())
        return batches

    async def _transact(self, producer: AIOKafkaProducer, batches: _Batches) -> None:
        await producer.begin_transaction()
        try:
            await batches.send()
            self._unconfirmed = True  # the broker answers a commit before it has written the markers that readers await
            await producer.commit_transaction()
        except Exception:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.abort_transaction(), _END_TIMEOUT_S)
            raise

    def _records(self, pending: Pending) -> Iterator[tuple[str, int, bytes | None, bytes | None, Any]]:
        """(topic, partition, key, value, headers), entries first: a view that follows the null of an erase stays."""
        own, partitions, heads = self.partition, self._partitions, self._heads
        for _, record in pending.entries:
            name = record.customer_id
            to = own if name is None else partition_of(name.encode(), partitions)
            yield record.topic, to, record.key, reframed(heads, record.topic, record.value), record.headers
        for customer_id, fields in pending.views:
            try:
                value, headers = encode_view(own, fields)
            except BrokenView as broken:  # one hash must not hold up all others
                told = {"partition": own, "customer": self._store.log_marks.of(customer_id)}  # no log takes an id
                log.error("a customer's view in partition %d %s", own, broken, extra=told)
                continue
            yield CUSTOMER_VALUE, own, customer_id, reframed(heads, CUSTOMER_VALUE, value), headers


class _Batches:
    """Records of one transaction as batches of a topic's partition: cheaper than `send`, a future a record."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._full: list[tuple[str, int, Any]] = []
        self._filling: dict[tuple[str, int], Any] = {}
        self._now_ms = int(time.time() * 1_000)
        self.counts: Counter[str] = Counter()

    def add(
        self, topic: str, to: int, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]
    ) -> None:
        place, headers = (topic, to), list(headers)
        batch = self._filling.get(place)
        if batch is None:
            batch = self._filling[place] = self._producer.create_batch()
        if batch.append(timestamp=self._now_ms, key=key, value=value, headers=headers) is None:
            self._full.append((topic, to, batch))
            batch = self._filling[place] = self._producer.create_batch()
            batch.append(timestamp=self._now_ms, key=key, value=value, headers=headers)
        self.counts[topic] += 1

    async def send(self) -> None:
        """Returns once the broker has all of them."""
        waiting = []
        for topic, to, batch in (*self._full, *((*place, batch) for place, batch in self._filling.items())):
            batch.close()
            waiting.append(await self._producer.send_batch(batch, topic, partition=to))
        failed = [end for end in await asyncio.gather(*waiting, return_exceptions=True) if isinstance(end, Exception)]
        if failed:
            raise failed[0]
