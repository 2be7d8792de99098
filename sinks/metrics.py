"""What a worker counts of its own pipeline, under the names of the contract. Programme figures come from Redis.

One registry of our own, so that two workers in one process (tests) don't meet. No label takes a customer's id: the
series of a worker are bounded by partitions x topics. What belongs to a partition leaves with it, so that a sum over
workers counts each partition once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, INPUTS, PURCHASES, RELAY
from sinks.commit import Commit

disable_created_metrics()

_LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
_COMMIT_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_RECORDS: Final = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)


_BY_TOPIC: Final = frozenset(("records", "late", "rerouted", "duplicates"))
_TOPIC_OF: Final = {
    "Purchase": PURCHASES,
    "Complaint": COMPLAINTS,
    "Contact": CONTACTS,
    "Customer": CUSTOMERS,
    "Referral": RELAY,
    "Claim": RELAY,
    "Withdrawal": RELAY,
    "Standing": RELAY,
    "Mishap": RELAY,
    "Part": RELAY,
}
"""The core counts by the name of the event, for it knows no topics."""


class Weighted(Collector):
    """A histogram that takes many equal observations at once: records of one fetch share the broker's timestamp."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self._name, self._text, self._bounds = name, text, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, number: int) -> None:
        """`number` observations of `value`."""
        self._counts[bisect_left(self._bounds, value)] += number
        self._sum += value * number

    def collect(self) -> Iterator[Metric]:
        """What /metrics shows."""
        names = [floatToGoString(bound) for bound in (*self._bounds, float("inf"))]
        buckets = list(zip(names, map(float, accumulate(self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class Seen(NamedTuple):
    """What a worker sees of itself every two seconds.

    owned: partitions that the group gave it; standing: of them those at their fence. assignments: how often it dealt
    them out since the start.
    lags: (topic, partition) to records not committed yet. leads: whether this worker sets the clock;
    last_tick_ms: the last tick that it knows of, by the wall clock; None: it never set it.
    stalled_s: for how long nothing has moved though there is work. writable: whether Redis takes writes.
    """

    owned: Collection[int]
    standing: Collection[int]
    assignments: int
    lags: Mapping[tuple[str, int], int]
    leads: bool
    last_tick_ms: int | None
    stalled_s: float
    writable: bool


class Metrics:
    """The pipeline's metrics. `committed` takes what a commit counted, by the names that loop and core use; `seen` what
    the worker sees of itself. partitions: of every input topic."""

    def __init__(self, partitions: int = 0) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=True)
        self._started = False
        self._held: set[int] = set()
        self._assignments = 0

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, buckets=buckets, registry=registry)

        self.records = counter("loyalty_records", "Input records committed.", "topic")
        self.records_lag = gauge("loyalty_records_lag", "Records not yet committed.", "topic", "partition")
        self.event_latency = Weighted(
            "loyalty_event_latency_seconds", "From an event's Kafka timestamp to its commit in Redis.", _LATENCY_S
        )
        registry.register(self.event_latency)
        self.commit_seconds = histogram("loyalty_commit_seconds", "How long a commit takes in Redis.", _COMMIT_S)
        self.commit_records = histogram("loyalty_commit_records", "Input records of a commit.", _RECORDS)
        self.fenced = counter("loyalty_fenced", "Commits refused: another owner has the partition.")
        self.duplicates = counter("loyalty_duplicates", "Events known already, by topic.", "topic")
        self.late = counter("loyalty_late", "Events that lie before stream time, by topic.", "topic")
        self.rerouted = counter("loyalty_rerouted", "Records that came to the wrong partition.", "topic")
        self.dead_letters = counter("loyalty_dead_letters", "Records that could not become events.", "topic", "error")
        self.outputs = counter("loyalty_outputs", "Records published, in committed transactions.", "topic")
        self.outbox_entries = gauge("loyalty_outbox_entries", "Outputs not yet published.", "partition")
        self.due_lateness = gauge(
            "loyalty_due_lateness_seconds", "How far the earliest due review lies behind stream time.", "partition"
        )
        self.stream_time = gauge("loyalty_stream_time_seconds", "Stream time, as Unix time.", "partition")
        self.stage_seconds = counter(
            "loyalty_stage_seconds", "Time spent by stage; load and commit include waiting for Redis.", "stage"
        )
        self.outbox_age = gauge(
            "loyalty_outbox_age_seconds", "For how long outputs have waited without any being published.", "partition"
        )
        self.commits = counter("loyalty_commits", "Commits answered by Redis.", "partition")
        self.build = gauge(
            "loyalty_build_info",
            "Always 1: release, policy file and who makes the ticks.",
            "version",
            "policy",
            "clock",
        )
        self.owned = gauge("loyalty_partition_owned", "1: this worker has it, and stands at its fence.", "partition")
        self.assignments = counter("loyalty_assignments", "How often the group dealt out the partitions.")
        self.leads = gauge("loyalty_clock_leader", "1: this worker writes the ticks of the wall clock.")
        self.last_tick = gauge("loyalty_last_tick_timestamp_seconds", "When the clock's last tick was; 0: never led.")
        self.redis_writable = gauge("loyalty_redis_writable", "1: Redis took a write at the last look.")
        self.stalled = gauge("loyalty_stalled_seconds", "For how long nothing has moved though there is work.")
        self.first_fetch = gauge("loyalty_first_fetch_timestamp_seconds", "When the first record was taken.")
        self.last_commit = gauge("loyalty_last_commit_timestamp_seconds", "When the last commit was answered.")
        for topic in INPUTS:  # from the start, so that a rate knows the first one
            self.records.labels(topic)
        for partition in range(partitions):
            self.owned.labels(str(partition)).set(0)

    def is_build(self, version: str, policy: str, clock: str) -> None:
        """Which release this is, under which policy, `wall` or `data`."""
        self.build.labels(version, policy, clock).set(1)

    def seen(self, seen: Seen) -> None:
        """A look of the worker at itself."""
        for partition in self._held.difference(seen.owned):
            self.forget(partition)
        self._held = set(seen.owned)
        for partition in self._held:
            self.owned.labels(str(partition)).set(partition in seen.standing)
            self.commits.labels(str(partition))  # from the start, so that a rate knows the first one
        for (topic, partition), records in seen.lags.items():
            self.records_lag.labels(topic, str(partition)).set(records)
        self.assignments.inc(seen.assignments - self._assignments)
        self._assignments = seen.assignments
        self.leads.set(seen.leads)
        if seen.last_tick_ms is not None:
            self.last_tick.set(seen.last_tick_ms / 1_000)
        self.stalled.set(seen.stalled_s)
        self.redis_writable.set(seen.writable)

    def committed(self, commit: Commit, seconds: float, now_s: float) -> None:
        """A commit is in Redis after `seconds`, at Unix time `now_s`."""
        self.commit_seconds.observe(seconds)
        self.commits.labels(str(commit.partition)).inc()
        self.last_commit.set(now_s)
        if commit.records:
            self.commit_records.observe(commit.records)
        for recorded_ms, number in commit.recorded.items():
            self.event_latency.observe(max(0.0, now_s - recorded_ms / 1_000), number)
        if commit.clock is not None:
            self.stream_time.labels(partition=str(commit.partition)).set(commit.clock / 1_000)
        self._counted(commit.counts)

    def took(self, stage: str, seconds: float) -> None:
        """A stage of a batch took so long. Stages: decode, order, load, fold, commit; publish by its own clock."""
        if stage == "decode" and not self._started:
            self._started = True
            self.first_fetch.set_to_current_time()
        self.stage_seconds.labels(stage).inc(seconds)

    def due(self, partition: int, late_ms: int) -> None:
        """The earliest review that was due lay so far behind stream time; 0: none was."""
        self.due_lateness.labels(partition=str(partition)).set(late_ms / 1_000)

    def _counted(self, counts: Mapping[str, int]) -> None:
        """Counts are `records:<topic>`, `late:<topic>`, `rerouted:<topic>`, `dead_letters:<topic>:<error>` and
        `duplicates:<event>`; others are figures of the programme and none of ours."""
        for name, number in counts.items():
            kind, _, rest = name.partition(":")
            if kind == "dead_letters":
                topic, _, error = rest.partition(":")
                self.dead_letters.labels(topic=topic, error=error).inc(number)
            elif kind in _BY_TOPIC:
                counter: Counter = getattr(self, kind)
                counter.labels(topic=_TOPIC_OF.get(rest, rest)).inc(number)

    def forget(self, partition: int) -> None:
        """The partition went to another worker: what is its own must not stay here, and it is owned no more."""
        own = {"partition": str(partition)}
        for kept in (self.outbox_entries, self.outbox_age, self.due_lateness, self.stream_time, self.records_lag):
            kept.remove_by_labels(own)
        self.commits.remove_by_labels(own)
        self.owned.labels(str(partition)).set(0)
        self._held.discard(partition)

    def exposition(self) -> bytes:
        """All of it as /metrics shows it."""
        return generate_latest(self.registry)
