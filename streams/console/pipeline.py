"""How the stream flows: lag, rates, stream time and outbox by partition, from Redis and Kafka; latency from a worker.

The fence in Redis is the truth, so this needs no worker to answer, and shows a partition that nobody works on. Rates
and what stands still are seen from one look to the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from time import monotonic
from typing import Any, Final
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from schemas import codec
from schemas.errors import BadRecord
from schemas.topics import CONTACTS, DEAD_LETTERS, INPUTS, RELAY
from sinks.commit import Fence
from sinks.keys import Keys
from sinks.lookup import Lookup
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import Settings, split_address

HISTORY: Final = 120
"""So many looks are remembered for the small charts."""
PENDING_MAX: Final = 2_000
STILL_S: Final = 20.0
"""A partition with records to read that has not moved for so long stands still."""
_ASK_S: Final = 2.0
_WINDOW: Final = 30
_BYTES_MAX: Final = 4 << 20


class Part(Struct, frozen=True, kw_only=True):
    """One partition. clock: stream time, ms; lags: topic to records not yet folded; outbox: outputs not yet published;
    late_ms: how far its earliest due review lies behind stream time; still_s: how long its fence has not moved, as far
    as seen; stuck: it should have."""

    partition: int
    clock: int | None
    lags: Mapping[str, int]
    outbox: int
    late_ms: float
    epoch: int
    commits: int
    still_s: float

    @property
    def lag(self) -> int:
        return sum(self.lags.values())

    @property
    def stuck(self) -> bool:
        return self.lag > 0 and self.still_s >= STILL_S


class Worker(Struct, frozen=True, kw_only=True):
    """What a worker says of itself at `address`. latency, commit: (median, 95, 99 of 100), seconds, lately, else since
    its start; counts: its counters, summed over their labels."""

    address: str
    partitions: int
    latency: tuple[float, float, float] | None
    commit: tuple[float, float, float] | None
    counts: Mapping[str, float]


class Pipeline(Struct, frozen=True, kw_only=True):
    """One look. rate: records folded a second since the look before; rates, lags: of the last looks; dead: offsets
    that the dead letters take; pending: reminders that a contact not yet folded closes, with the contact's kind."""

    parts: tuple[Part, ...]
    worker: Worker | None
    rate: float
    rates: tuple[float, ...]
    lags: tuple[int, ...]
    dead: int
    pending: Mapping[str, str]

    @property
    def lag(self) -> int:
        return sum(part.lag for part in self.parts)

    @property
    def outbox(self) -> int:
        return sum(part.outbox for part in self.parts)

    @property
    def clock(self) -> int | None:
        return max((part.clock for part in self.parts if part.clock is not None), default=None)

    @property
    def commits(self) -> int:
        """Rises with each commit: what is known of customers is no older than this."""
        return sum(part.commits for part in self.parts)


class Watch:
    """Looks again and again; for one thread. Raises what redis-py and kafka-python raise, and LoyaltyError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lookup = Lookup(settings.redis, Keys(settings.prefix))
        self._reader: TopicReader | None = None
        self._registered = asking(settings)
        self._moved: dict[int, tuple[int, float]] = {}
        self._seen: tuple[float, int] | None = None
        self._rates: deque[float] = deque(maxlen=HISTORY)
        self._lags: deque[int] = deque(maxlen=HISTORY)
        self._buckets: dict[str, deque[dict[float, float]]] = {}

    def close(self) -> None:
        """Close what is open."""
        self._lookup.close()
        self._forget_reader()

    def look(self) -> Pipeline:
        """How it stands. After an error the next look begins with new connections."""
        try:
            return self._look()
        except Exception:
            self._forget_reader()
            raise

    def _forget_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.__exit__()

    def _look(self) -> Pipeline:
        fences, waiting = self._lookup.fences(), self._lookup.waiting()
        if self._reader is None:
            self._reader = TopicReader(self._settings.kafka)
        ends = {topic: self._reader.bounds(topic) for topic in (*INPUTS, RELAY)}
        now = monotonic()
        parts = tuple(self._part(number, fence, waiting[number], ends, now) for number, fence in fences.items())
        folded = sum(sum(fence.positions.values()) for fence in fences.values())
        rate = 0.0 if self._seen is None else max(0.0, (folded - self._seen[1]) / max(1e-3, now - self._seen[0]))
        self._seen = now, folded
        self._rates.append(rate)
        self._lags.append(sum(part.lag for part in parts))
        dead = sum(end - begin for begin, end in self._reader.bounds(DEAD_LETTERS).values())
        return Pipeline(
            parts=parts, worker=self._worker(), rate=rate, rates=tuple(self._rates), lags=tuple(self._lags), dead=dead,
            pending=dict(self._pending(fences, parts)),
        )  # fmt: skip

    def _part(
        self,
        number: int,
        fence: Fence,
        waiting: tuple[int, float | None],
        ends: Mapping[str, Mapping[int, tuple[int, int]]],
        now: float,
    ) -> Part:
        seq, since = self._moved.get(number, (-1, now))
        if seq != fence.seq:
            since = now
            self._moved[number] = fence.seq, now
        outbox, first_due = waiting
        late = 0.0 if first_due is None or fence.clock is None else max(0.0, fence.clock - first_due)
        return Part(
            partition=number, clock=fence.clock, lags=lags_of(fence.positions, number, ends), outbox=outbox,
            late_ms=late, epoch=fence.epoch, commits=fence.seq, still_s=now - since,
        )  # fmt: skip

    def _pending(self, fences: Mapping[int, Fence], parts: Iterable[Part]) -> Iterator[tuple[str, str]]:
        """Contacts that no worker has folded yet: what was clicked, here or elsewhere, before this process too."""
        assert self._reader is not None
        if not any(part.lags.get(CONTACTS, 0) for part in parts):
            return
        positions = {number: fence.positions.get(CONTACTS, 0) for number, fence in fences.items()}
        for count, record in enumerate(self._reader.since(CONTACTS, positions)):
            if count >= PENDING_MAX:
                return
            try:
                fields = codec.read(CONTACTS, record.value, self._registered) if record.value else {}
            except BadRecord:
                continue  # the worker will make a dead letter of it
            if fields.get("reminder_id"):
                yield fields["reminder_id"], fields["kind"]

    def _worker(self) -> Worker | None:
        """The worker that serves at LOYALTY_METRICS; None: none answers."""
        host, port = split_address(self._settings.metrics, 0)
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        asked = Request(address)
        if self._settings.metrics_token:
            asked.add_header("Authorization", f"Bearer {self._settings.metrics_token}")
        try:
            with build_opener(ProxyHandler({})).open(asked, timeout=_ASK_S) as answer:
                text = answer.read(_BYTES_MAX).decode()
        except (URLError, OSError, ValueError):
            self._buckets.clear()
            return None
        return self._said(address, text)

    def _said(self, address: str, text: str) -> Worker:
        counts: dict[str, float] = {}
        buckets: dict[str, dict[float, float]] = {}
        partitions: set[str] = set()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                if one.name.endswith("_bucket") and one.name.startswith("loyalty_"):
                    at = float(one.labels["le"])
                    held = buckets.setdefault(one.name.removesuffix("_bucket"), {})
                    held[at] = held.get(at, 0.0) + one.value
                elif one.name.startswith("loyalty_") and one.name.endswith("_total"):
                    counts[one.name] = counts.get(one.name, 0.0) + one.value
                elif one.name == "loyalty_stream_time_seconds":
                    partitions.add(one.labels.get("partition", ""))
        return Worker(
            address=address, partitions=len(partitions), counts=counts,
            latency=self._quantiles("loyalty_event_latency_seconds", buckets),
            commit=self._quantiles("loyalty_commit_seconds", buckets),
        )  # fmt: skip

    def _quantiles(self, name: str, buckets: Mapping[str, dict[float, float]]) -> tuple[float, float, float] | None:
        held = buckets.get(name)
        if not held:
            return None
        past = self._buckets.setdefault(name, deque(maxlen=_WINDOW))
        lately = {at: number - past[0].get(at, 0.0) for at, number in held.items()} if past else {}
        past.append(held)
        used = lately if lately and max(lately.values()) > 0 else held
        found = [quantile(used, part) for part in (0.5, 0.95, 0.99)]
        return None if found[0] is None else (found[0], found[1] or 0.0, found[2] or 0.0)


def lags_of(
    positions: Mapping[str, int], partition: int, ends: Mapping[str, Mapping[int, tuple[int, int]]]
) -> dict[str, int]:
    """Topic to records between the fence and the end; what is gone from the log's start is none."""
    found = {}
    for topic, places in ends.items():
        begin, end = places.get(partition, (0, 0))
        found[topic] = max(0, end - max(begin, positions.get(topic, 0)))
    return found


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """The value below which `part` of all lie, from cumulative buckets by upper bound, evenly spread within one.

    >>> quantile({1.0: 5.0, 2.0: 10.0, float("inf"): 10.0}, 0.75)
    1.5
    """
    bounds = sorted(buckets)
    whole = buckets[bounds[-1]] if bounds else 0.0
    if whole <= 0:
        return None
    below = low = 0.0
    for bound in bounds:
        if buckets[bound] >= part * whole:
            if bound == float("inf"):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((part * whole - below) / inside if inside else 1.0)
        below, low = buckets[bound], bound
    return low


def problem_of(error: BaseException, told: Any) -> str:
    """What stands in the way, in a line. told: `streams.refusals.told`."""
    return str(told(error) or error) or type(error).__name__
