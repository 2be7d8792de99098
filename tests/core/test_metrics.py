"""What a worker counts comes out under the names of the contract, with units and without created-timestamps."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from schemas.topics import PURCHASES
from sinks.commit import Commit
from sinks.metrics import Metrics

CONTRACT = {
    "loyalty_records", "loyalty_records_lag", "loyalty_event_latency_seconds", "loyalty_commit_seconds",
    "loyalty_commit_records", "loyalty_fenced", "loyalty_duplicates", "loyalty_late", "loyalty_rerouted",
    "loyalty_dead_letters", "loyalty_outputs", "loyalty_outbox_entries", "loyalty_due_lateness_seconds",
    "loyalty_stream_time_seconds",
}  # fmt: skip


def commit(**fields: object) -> Commit:
    """A commit of nothing, but for `fields`."""
    empty = {
        "partition": 3,
        "epoch": 1,
        "seq": 1,
        "positions_from": {},
        "positions_to": {},
        "clock": None,
        "policy": "",
        "shares": {},
        "since": -1,
    }
    return Commit(**empty | {"writes": (), "erased": {}, "outbox": (), "counts": {}} | fields)  # type: ignore[arg-type]


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """(name, labels) to value."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_every_metric_of_the_contract_is_there_from_the_start():
    names = {family.name for family in text_string_to_metric_families(Metrics().exposition().decode())}
    assert names >= CONTRACT


def test_the_latency_of_each_event_is_observed_once_from_the_time_of_its_record():
    metrics = Metrics()
    metrics.committed(commit(records=6, recorded={9_000: 4, 9_980: 2}), 0.001, 10.0)
    found = samples(metrics)
    assert found["loyalty_event_latency_seconds_bucket", "le=0.025"] == 2
    assert found["loyalty_event_latency_seconds_bucket", "le=1.0"] == 6
    assert found["loyalty_event_latency_seconds_count", ""] == 6
    assert abs(found["loyalty_event_latency_seconds_sum", ""] - 4.04) < 1e-9


def test_counts_of_a_commit_go_to_their_topic_whatever_the_core_calls_it():
    metrics = Metrics()
    counts = {
        "records:purchases": 5,
        "duplicates:Purchase": 2,
        "dead_letters:purchases:BadField": 1,
        "customers:gold": 1,
    }
    metrics.committed(commit(counts=counts, clock=5_000), 0.001, 10.0)
    found = samples(metrics)
    assert found["loyalty_records_total", f"topic={PURCHASES}"] == 5
    assert found["loyalty_duplicates_total", f"topic={PURCHASES}"] == 2
    assert found["loyalty_dead_letters_total", f"error=BadField,topic={PURCHASES}"] == 1
    assert found["loyalty_stream_time_seconds", "partition=3"] == 5


def test_a_partition_that_left_leaves_no_gauge_behind():
    metrics = Metrics()
    metrics.due(3, 1_500)
    assert samples(metrics)["loyalty_due_lateness_seconds", "partition=3"] == 1.5
    metrics.forget(3)
    assert ("loyalty_due_lateness_seconds", "partition=3") not in samples(metrics)
