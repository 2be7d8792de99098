"""How long a purchase takes from the till to Redis and to the output topic: make bench-latency.

One worker alone on the second core, live, its clock the wall's; broker, Redis, the producer and both readers on the
first. At an even rate, after a warm-up. Writes the table of docs/performance.md, a row a policy and a way of Redis to
sync.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psutil
import redis

from infra.localstack.stack import Stack
from sinks.access import KafkaAccess
from streams.topics_admin import delete_topics
from tests.bench.__main__ import loyalty, pinned
from tests.bench.latency.load import Sent, produce, read, watch
from tests.bench.marked import ROOT, Part, kept, machine
from tests.bench.peers.metrics import scrape
from tests.bench.peers.run import process

KAFKA_PORT, REDIS_PORT, METRICS_PORT = 21_760, 21_762, 21_763
PARTITIONS: Final = 12
PREFIX: Final = "loyalty"
POLICIES: Final = {"tiers": "policy-tiers.toml", "shipped": "policy.toml"}
SYNCS: Final = {"each write": "always", "each second": "everysec"}
READY_S: Final = 90.0
PART: Final = Part("performance.md", "latency")


def main() -> int:
    """Measure each policy with each way to sync, and write what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="purchases a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=45.0, help="seconds of the same load before")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--policy", choices=POLICIES, action="append")
    parser.add_argument("--sync", choices=SYNCS, action="append")
    parser.add_argument("--print", action="store_true", help="leave docs/performance.md as it is")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="loyalty-latency-") as folder, servers(Path(folder)) as environ:
        for policy in args.policy or POLICIES:
            for sync in args.sync or SYNCS:
                emptied(environ, sync)
                environ["LOYALTY_POLICY"] = str(ROOT / "infra" / POLICIES[policy])
                rows.append({"policy": policy, "sync": sync, **measure(environ, Path(folder), args)})
                print(json.dumps(rows[-1]), flush=True)
    if not args.print:
        merged = {(row["policy"], row["sync"]): row for row in (*PART.rows(), *rows)}
        ordered = [merged[key] for key in ((p, s) for p in POLICIES for s in SYNCS) if key in merged]
        PART.write(f"{table(ordered)}\n\n{machine()}\n\n{kept(ordered)}")
    return 0


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """Both on the first core, the same for all rows, for a broker is slow while it is young; what finds them."""
    environ = {
        **os.environ,
        "LOYALTY_KAFKA": f"127.0.0.1:{KAFKA_PORT}",
        "LOYALTY_REDIS": f"redis://127.0.0.1:{REDIS_PORT}/0",
        "LOYALTY_METRICS": f"127.0.0.1:{METRICS_PORT}",
        "LOYALTY_DATA_DIR": str(folder),
        "LOYALTY_PREFIX": PREFIX,
        "LOYALTY_CLOCK": "wall",
    }
    stack = Stack(environ["LOYALTY_KAFKA"], environ["LOYALTY_REDIS"], folder)
    with pinned(0):
        stack.up()
    try:
        yield environ
    finally:
        stack.down()


def emptied(environ: Mapping[str, str], sync: str) -> None:
    """No key, no record; Redis syncs its log so from now on."""
    with redis.Redis(port=REDIS_PORT) as client:
        client.flushall()
        client.config_set("appendfsync", SYNCS[sync])
    delete_topics(KafkaAccess(environ["LOYALTY_KAFKA"]))
    loyalty(environ, "topics", "create")


def measure(environ: Mapping[str, str], folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """A row: percentiles in ms, and what the worker took of its core."""
    command = [sys.executable, "-m", "streams", "worker"]
    with (folder / "worker.log").open("w") as log, process(command, environ, ROOT, log) as (worker, _):
        until_ready(worker, folder / "worker.log")
        before, began, all_before = cpu_s(worker), time.monotonic(), busy_s()
        sent, moved, views = under_load(environ, args)
        took, seconds, all_took = cpu_s(worker) - before, time.monotonic() - began, busy_s() - all_before
        metrics = scrape(METRICS_PORT)
    since = sent[0].at + args.warm_up
    counted = [one for one in sent if one.at >= since]
    to_redis, to_topic = waits_to_redis(counted, moved), waits_to_topic(counted, views)
    return {
        "rate": args.rate,
        "events": len(counted),
        **{f"redis_{name}": value for name, value in quantiles(to_redis).items()},
        **{f"topic_{name}": value for name, value in quantiles(to_topic).items()},
        "worker_core": round(took / seconds, 2),
        "machine_cores": round(all_took / seconds, 2),
        "commits": round(metrics["loyalty_commit_seconds_count"]),
    }


def until_ready(worker: subprocess.Popen[str], log: Path) -> None:
    """It stands at its fences and has set the clock once."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            break
        try:
            metrics = scrape(METRICS_PORT)
        except OSError:
            metrics = {}
        clocks = [value for name, value in metrics.items() if name.startswith("loyalty_stream_time_seconds")]
        if len(clocks) == PARTITIONS and all(clocks):
            return
        time.sleep(0.2)
    raise SystemExit(f"the worker is not ready; the end of its log:\n{log.read_text()[-1500:]}")


Views = Sequence[tuple[float, str, int]]
Moved = Mapping[int, Sequence[tuple[float, int]]]


def under_load(environ: Mapping[str, str], args: argparse.Namespace) -> tuple[list[Sent], Moved, Views]:
    """What was sent, how the fences moved, what came out. All on the first core, a process each."""
    kafka, spawn = environ["LOYALTY_KAFKA"], multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    with pinned(0):
        for run, *more in (
            (watch, environ["LOYALTY_REDIS"], PREFIX),
            (read, kafka),
            (produce, kafka, args.rate, args.warm_up + args.seconds, args.customers),
        ):
            here, there = spawn.Pipe()
            child = spawn.Process(target=run, args=(there, *more), daemon=True)
            child.start()
            there.close()
            pipes.append(here)
            processes.append(child)
            if run is not produce:
                here.recv()
    watching, reading, producing = pipes
    sent: list[Sent] = producing.recv()
    reading.send("end")
    views: Views = reading.recv()  # it waits for the last of them
    watching.send("end")
    moved: Moved = watching.recv()
    for child in processes:
        child.join(10)
    return sent, moved, views


def waits_to_redis(sent: Sequence[Sent], moved: Moved) -> list[float]:
    """Seconds of each until its partition's fence had passed it."""
    waits = []
    at = dict.fromkeys(moved, 0)
    for one in sorted(sent, key=lambda one: (one.partition, one.offset)):
        news = moved[one.partition]
        while news[at[one.partition]][1] <= one.offset:
            at[one.partition] += 1
        waits.append(news[at[one.partition]][0] - one.at)
    return waits


def waits_to_topic(sent: Sequence[Sent], views: Views) -> list[float]:
    """Seconds of each until a view told of its customer's purchase, or of a later one."""
    told: dict[str, list[tuple[float, int]]] = {}
    for at, customer, last_ms in views:
        told.setdefault(customer, []).append((at, last_ms))
    return [next(at for at, last in told[one.customer] if last >= one.time_ms) - one.at for one in sent]


def quantiles(waits: Sequence[float]) -> dict[str, float]:
    """In ms."""
    ordered = sorted(waits)
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    found = {name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] for name, share in named.items()}
    return {name: round(wait * 1_000, 1) for name, wait in {**found, "max": ordered[-1]}.items()}


def cpu_s(worker: subprocess.Popen[str]) -> float:
    """What the worker has used of its core, s."""
    used = psutil.Process(worker.pid).cpu_times()
    return float(used.user + used.system)


def busy_s() -> float:
    """What all programs of the machine have used of its cores, s."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line a row."""
    lines = [
        "| policy | Redis syncs | events/s | to Redis: p50 | p99 | p99.9 | most | to the topic: p50 | p99 | most "
        "| worker's core | cores in use |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [row[name] for name in ("redis_p99", "redis_p999", "redis_max")]
        lines.append(
            f"| {row['policy']} | {row['sync']} | {row['rate']:,} | **{row['redis_p50']}** | "
            + " | ".join(map(str, cells))
            + f" | **{row['topic_p50']}** | {row['topic_p99']} | {row['topic_max']} | {row['worker_core']:.0%} "
            f"| {row['machine_cores']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
