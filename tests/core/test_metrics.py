"""What a worker counts comes out under the names of the contract, with units and without created-timestamps."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from schemas.topics import PURCHASES
from sinks.commit import Commit
from sinks.metrics import Metrics, Seen
from sinks.outbox import Waiting
from tests.prometheus import complaints_of

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


def test_promtool_has_no_complaint_of_the_exposition_and_each_metric_has_a_help(promtool):
    metrics = Metrics(partitions=4)
    metrics.is_build("1.2.3", "shop@4#0123abcd", "wall")
    metrics.seen(look())
    metrics.committed(commit(records=6, recorded={9_000: 4}, counts={"late:purchases": 1}), 0.001, 10.0)
    assert complaints_of(promtool, metrics.exposition()) == ""
    bad = b"# TYPE loyalty_things counter\nloyalty_things 1\n"
    assert "_total" in complaints_of(promtool, bad), "it would see one"


def test_no_label_is_unbounded():
    labels = {name for family in Metrics(4).registry.collect() for sample in family.samples for name in sample.labels}
    kinds = {name for one in vars(Metrics(4)).values() for name in getattr(one, "_labelnames", ())}
    assert labels | kinds <= {"topic", "partition", "error", "stage", "le", "version", "policy", "clock"}


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


def look(**fields: object) -> Seen:
    """A worker that has partitions 1 and 3, of which 3 is not at its fence yet, but for `fields`."""
    usual = {
        "owned": (1, 3), "standing": (1,), "assignments": 1, "lags": {(PURCHASES, 1): 7}, "leads": True,
        "last_tick_ms": 9_000, "stalled_s": 0.0, "writable": True,
    }  # fmt: skip
    return Seen(**usual | fields)  # type: ignore[arg-type]


def test_each_partition_is_owned_or_not_so_that_one_without_an_owner_has_a_name():
    metrics = Metrics(partitions=4)
    found = samples(metrics)
    assert [found["loyalty_partition_owned", f"partition={p}"] for p in range(4)] == [0, 0, 0, 0]
    metrics.seen(look())
    found = samples(metrics)
    assert [found["loyalty_partition_owned", f"partition={p}"] for p in range(4)] == [0, 1, 0, 0]
    assert found["loyalty_commits_total", "partition=3"] == 0
    assert found["loyalty_clock_leader", ""] == found["loyalty_redis_writable", ""] == 1


def test_what_belongs_to_a_partition_leaves_with_it_and_what_counts_goes_on():
    metrics = Metrics(partitions=4)
    metrics.seen(look(standing=(1, 3), assignments=1))
    metrics.committed(commit(records=2, clock=5_000), 0.001, 10.0)
    metrics.seen(
        look(owned=(1,), standing=(1,), assignments=3, lags={(PURCHASES, 1): 9}, leads=False, last_tick_ms=None)
    )
    found = samples(metrics)
    assert not [name for name, labels in found if "partition=3" in labels and name != "loyalty_partition_owned"]
    assert found["loyalty_partition_owned", "partition=3"] == 0
    assert found["loyalty_records_lag", f"partition=1,topic={PURCHASES}"] == 9
    assert found["loyalty_assignments_total", ""] == 3
    assert found["loyalty_clock_leader", ""] == 0
    assert found["loyalty_last_tick_timestamp_seconds", ""] == 9, "the last one it wrote"


def test_the_build_is_told_with_release_policy_and_clock():
    metrics = Metrics()
    metrics.is_build("1.2.3", "shop@4#0123abcd", "wall")
    assert samples(metrics)["loyalty_build_info", "clock=wall,policy=shop@4#0123abcd,version=1.2.3"] == 1


def test_what_waits_to_be_published_is_older_until_some_of_it_goes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sinks.outbox.time.monotonic", lambda: now[0])
    waits = Waiting()
    assert waits.seconds() == 0
    waits.more()
    now[0] += 5
    waits.more()
    assert waits.seconds() == 5
    waits.went()
    now[0] += 2
    assert waits.seconds() == 2
    waits.done()
    assert waits.seconds() == 0
