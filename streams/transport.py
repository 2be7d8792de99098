"""Faust's consumer by record set: fetch, seek to the fence, hand over, mirror the fence.

Faust hands over one message a record (50-60 us each, whatever is done with it). Here one message is one record set: the
records that one fetch brought of one topic-partition. Groups, agents and timers stay Faust's. Four rules:

- Positions are ours. On assignment nothing is read until `seek_fence` has put each topic of a partition to its fence;
  what was fetched before belongs to an older seek and is refused by its number. A position below the log's start stops
  the partition: nothing is reset silently.
- Only what is wanted is taken. A topic whose buffer is full, or whose last record set is still on its way, is left in
  the fetcher, and never holds up another one: topics wait for each other, so a blocked agent could wait for itself.
- A position passes what carries no record (transaction markers, aborted records, compaction): then an empty record set
  goes the same way, so that the position handed over is true.
- Committed offsets are advice for lag tools: a copy of the fence. Faust's own acks only say that a set was handed over.

The consumer's own thread stays Faust's: heartbeats go on while the main loop folds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.topics import INPUTS
from sinks.access import KafkaAccess
from streams.assignor import CoPartitioned
from streams.offsets import STABLE_ENDS, STARTS, PositionLost, lost_text, offsets
from streams.record_sets import Place, RecordSet, drained, forget, news
from streams.together import Together

log = logging.getLogger("loyalty.transport")

T = TypeVar("T")

PARTITION_FETCH_BYTES: Final = 1_048_576
"""Most bytes of one partition in one answer (a larger record still comes, alone). Memory: this times the partitions
held, twice (fetched, and being sent)."""

FETCH_BYTES: Final = 16 * 1_048_576
"""Most bytes of one answer: bounds what a worker holds right after it was given many partitions."""

BUSY_WAIT_MS: Final = 20
IDLE_WAIT_MS: Final = 500
"""How long the broker may hold a fetch that finds nothing. One fetch a broker is under way at a time, so while a busy
partition waits for its next one, an idle partition's must be short; when all are idle new records end it at once."""

HELD_LOOK_AGAIN_S: Final = 0.004
"""How soon to look again whether a full buffer has room: only while something lies fetched and unwanted."""

FETCH_TIMEOUT_S: Final = 1.0

END_RETURNS_S: Final = 5.0
"""So long a fence may lie past a log's end before it counts as lost: a broker that was killed finds its end again."""


class Owner(Protocol):
    """Who takes the records. `wanted` is called from the consumer's thread: it must only look."""

    def wanted(self, topic: str, partition: int) -> bool: ...
    def expects(self, record_set: RecordSet) -> bool: ...
    def lost(self, partition: int, error: Exception) -> None: ...
    def mirror(self) -> Mapping[tuple[str, int], int]: ...


class _Reaches(Protocol):
    """An app that knows how Kafka is reached; Faust's own settings say only where it is."""

    kafka: KafkaAccess


class RecordSetThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread. Public coroutines are called from the main loop, underscored ones run in the thread."""

    logger = logging.getLogger("faust.consumer")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._places: dict[TopicPartition, Place] = {}
        self._seeks = 0

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            **cast(_Reaches, self.app).kafka.options(),
            partition_assignment_strategy=[CoPartitioned()],  # an instance: it remembers what it had
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1_000),
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            fetch_max_wait_ms=BUSY_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1_000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1_000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1_000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1_000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
        )

    async def in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the thread's loop. Raises ConsumerStoppedError where the thread ended meanwhile."""
        future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ConsumerStoppedError() from None

    async def fetch(self, wanted: Callable[[TopicPartition], bool]) -> list[RecordSet | tuple[int, Exception]]:
        """The next record sets of wanted topic-partitions, at most one of each; none after FETCH_TIMEOUT_S.

        (partition, error) stands for a partition that cannot be read on.
        """
        return await self.in_thread(self._fetch(wanted))

    async def _fetch(self, wanted: Callable[[TopicPartition], bool]) -> list[RecordSet | tuple[int, Exception]]:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        deadline = self.thread_loop.time() + FETCH_TIMEOUT_S
        with fetcher._subscriptions.fetch_context():
            while True:
                if consumer._closed or fetcher._closed:
                    raise ConsumerStoppedError()
                found, held = self._take(fetcher, wanted)
                left = deadline - self.thread_loop.time()
                if found or left <= 0:
                    fetcher._fetch_max_wait_ms = BUSY_WAIT_MS if found else IDLE_WAIT_MS
                    return found
                await news(fetcher, min(left, HELD_LOOK_AGAIN_S) if held else left)

    def _take(
        self, fetcher: Fetcher, wanted: Callable[[TopicPartition], bool]
    ) -> tuple[list[RecordSet | tuple[int, Exception]], bool]:
        """What is there and wanted, and whether something was left that is not."""
        found: list[RecordSet | tuple[int, Exception]] = []
        held = False
        if fetcher._subscriptions.reassignment_in_progress:
            return found, held
        for tp in list(fetcher._records):
            place = self._places.get(tp)
            if place is None or not fetcher._subscriptions.is_assigned(tp):
                continue  # not opened yet: the seek to come drops it
            if not wanted(tp):
                held = True
                continue
            fetched = fetcher._records[tp]
            if type(fetched) is not FetchResult:
                forget(fetcher, tp)
                found.append((tp.partition, self._lost(tp, place, fetched._error)))
                continue
            record_set = drained(fetcher, tp, fetched, place)
            if record_set is not None:
                place.position = record_set.position
                found.append(record_set)
        return found, held

    def _lost(self, tp: TopicPartition, place: Place, error: Exception) -> Exception:
        if isinstance(error, OffsetOutOfRangeError):
            return PositionLost(lost_text(tp, place.position, None, None))
        return error

    # -- positions

    def close_partitions(self, partitions: Iterable[int] | None = None) -> None:
        """Read nothing more of these (all) until the next seek. Thread-safe: it only forgets."""
        for tp in list(self._places):
            if partitions is None or tp.partition in partitions:
                self._places.pop(tp, None)

    async def seek_fence(self, partition: int, fence: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """Put each input topic of the partition to its fence (absent: the log's start), dropping what was fetched.

        The number of this seek, and topic to position. Raises PositionLost where the log does not hold the fence.
        """
        return await self.in_thread(self._seek_fence(partition, fence))

    async def _seek_fence(self, partition: int, fence: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        tps = [TopicPartition(topic, partition) for topic in INPUTS]
        client = self._ensure_consumer()._client
        starts, ends = await offsets(client, tps, STARTS), await offsets(client, tps, STABLE_ENDS)
        give_up = self.thread_loop.time() + END_RETURNS_S
        while any(fence.get(tp.topic, 0) > ends[tp] for tp in tps) and self.thread_loop.time() < give_up:
            await asyncio.sleep(0.1)
            ends = await offsets(client, tps, STABLE_ENDS)
        positions = {tp: fence.get(tp.topic, starts[tp]) for tp in tps}
        for tp, position in positions.items():
            if not starts[tp] <= position <= ends[tp]:
                raise PositionLost(lost_text(tp, position, starts[tp], ends[tp]))
        fetcher = self._ensure_consumer()._fetcher
        self._seeks += 1
        for tp, position in positions.items():
            fetcher.seek_to(tp, position)
            self._places[tp] = Place(position, self._seeks)
        return self._seeks, {tp.topic: position for tp, position in positions.items()}

    async def stable_ends(self, partitions: Iterable[int]) -> dict[tuple[str, int], int]:
        """The last stable offset, asked for now, of each input topic of the partitions; one request a broker."""
        tps = [TopicPartition(topic, partition) for partition in partitions for topic in INPUTS]
        ends = await self.in_thread(offsets(self._ensure_consumer()._client, tps, STABLE_ENDS))
        return {(tp.topic, tp.partition): end for tp, end in ends.items()}

    def known_end(self, topic: str, partition: int) -> int | None:
        """The last stable offset as the last fetch told it; None before the first. Thread-safe: it only looks."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        tp = TopicPartition(topic, partition)
        if assignment is None or tp not in assignment.tps:
            return None
        return cast("int | None", assignment.state_value(tp).lso)

    def known_partitions(self, topic: str) -> int:
        """How many partitions the topic has, as the broker told last. Thread-safe: it only looks."""
        return len(self._ensure_consumer()._client.cluster.partitions_for_topic(topic) or ())

    # -- the mirror

    async def mirror(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit to the group what the fence says. Raises KafkaError."""
        await self.in_thread(self._mirror(offsets))

    async def _mirror(self, offsets: Mapping[tuple[str, int], int]) -> None:
        consumer = self._ensure_consumer()
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return
        mine = {
            TopicPartition(*place): OffsetAndMetadata(offset, "")
            for place, offset in offsets.items()
            if TopicPartition(*place) in subscription.assignment.tps
        }
        await consumer._coordinator.commit_offsets(subscription.assignment, mine)


class RecordSetConsumer(driver.Consumer):
    """Faust's consumer on the main loop. `app.owner` takes the records."""

    logger = logging.getLogger("faust.consumer")
    _thread: RecordSetThread

    def _new_consumer_thread(self) -> RecordSetThread:
        self._under_way: set[TopicPartition] = set()
        self._mirrored: dict[tuple[str, int], int] = {}
        self._ends: Together[dict[tuple[str, int], int]] = Together(self._stable_ends)
        return RecordSetThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def owner(self) -> Owner:
        """Who takes the records."""
        return cast(Owner, self.app.owner)

    async def _stable_ends(self, partitions: Iterable[int]) -> dict[tuple[str, int], int]:
        return await self._thread.stable_ends(partitions)

    async def verify_all_partitions_active(self) -> None:
        """Faust would ask for the state of its own acks, a call a topic-partition: our watchdog looks at the fence."""

    # -- handing over

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's fetcher service runs this: fetch, hand over, again."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                handed = []  # together: each alone takes some turns of this loop, and in each of them a partition folds
                for found in await self._thread.fetch(self._wanted):
                    if isinstance(found, tuple):
                        self.owner.lost(*found)
                    elif self.flow_active and self.owner.expects(found):
                        handed.append(self._hand_over(found))
                await asyncio.gather(*handed)
        except (ConsumerStoppedError, asyncio.CancelledError):
            # Faust takes a cancelled fetcher for a crash when a rebalance is under way, even where it is being stopped.
            if not (self.should_stop or fetcher.should_stop or self.app.should_stop):
                raise

    def _wanted(self, tp: TopicPartition) -> bool:
        return tp not in self._under_way and self.owner.wanted(tp.topic, tp.partition)

    async def _hand_over(self, record_set: RecordSet) -> None:
        tp = TP(record_set.topic, record_set.partition)
        self._under_way.add(TopicPartition(*tp))
        message = ConsumerMessage(
            tp.topic, tp.partition, record_set.start, None, 1, (), None, record_set, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        await self.wait_first(self.callback(message), self.suspend_flow.wait())

    def handed_over(self, record_set: RecordSet) -> None:
        """The agent's ack of a record set: its topic may be fetched on. Commits nothing.

        Faust's compiled stream does `Consumer.ack` by itself without calling it, so the agent says it.
        """
        self._under_way.discard(TopicPartition(record_set.topic, record_set.partition))

    # -- positions

    async def perform_seek(self) -> None:
        """Faust would seek to what is committed; the fence alone says where to read, see `seek_fence`."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's watch over acks and commits, which are advice here; the worker has its own."""

    def close_partitions(self, partitions: Iterable[int] | None = None) -> None:
        """Hand over nothing more of these (all) until the next `seek_fence`."""
        self._thread.close_partitions(partitions)

    async def seek_fence(self, partition: int, fence: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """See RecordSetThread.seek_fence."""
        self._under_way = {tp for tp in self._under_way if tp.partition != partition}
        return await self._thread.seek_fence(partition, fence)

    async def stable_ends(self, partition: int) -> dict[str, int]:
        """Input topic to last stable offset, asked for after this call began. Raises KafkaError.

        One request serves all who wait: those who come while one is under way are served by the next.
        """
        ends = await self._ends.of(partition)
        return {topic: ends[topic, partition] for topic in INPUTS}

    def known_end(self, topic: str, partition: int) -> int | None:
        """See RecordSetThread.known_end."""
        return self._thread.known_end(topic, partition)

    def known_partitions(self, topic: str) -> int:
        """See RecordSetThread.known_partitions."""
        return self._thread.known_partitions(topic)

    # -- the mirror

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Faust's commit timer and its end come here: copy the fence to the group's committed offsets, where it moved.

        An outage or a rebalance under way only makes the copy late.
        """
        news = {place: at for place, at in self.owner.mirror().items() if self._mirrored.get(place) != at}
        if not news:
            return False
        try:
            await asyncio.wait_for(self._thread.mirror(news), 5)
        except (KafkaError, TimeoutError) as late:
            log.debug("committed offsets are behind the fence: %r", late)
            return False
        self._mirrored.update(news)
        return True


class Transport(driver.Transport):
    """`kafka://` by record set."""

    Consumer = RecordSetConsumer
