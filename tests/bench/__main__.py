"""How fast one worker on one core folds, end to end with all guarantees on: make bench, or python -m tests.bench.

Brings up servers of its own on the first core, loads the topics, runs one worker on the second, and measures from the
worker's first fetch to its last commit. Writes the tables of docs/benchmarks.md, or prints them with --print.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from infra.localstack.stack import Stack
from tests.bench.marked import Part, kept, machine

ROOT = Path(__file__).resolve().parents[2]
PORTS = (21_700, 21_702, 21_703)  # Kafka, Redis, metrics
STAGES = ("decode", "order", "load", "fold", "commit")
WAIT_S = 3600.0
BARE = "bare-300k"
WORKS = {
    BARE: ("CDNOW repeated, value and tiers alone, purchases without ticks", 300_000, "policy-tiers.toml"),
    "tiers-300k": ("CDNOW repeated, value and tiers alone", 300_000, "policy-tiers.toml"),
    "tiers-1200k": ("CDNOW repeated, value and tiers alone", 1_200_000, "policy-tiers.toml"),
    "cdnow-300k": ("CDNOW repeated", 300_000, "policy.toml"),
    "cdnow-1200k": ("CDNOW repeated", 1_200_000, "policy.toml"),
    "completejourney": ("completejourney, the whole year", 0, "policy-completejourney.toml"),
}
USUAL = (BARE, "tiers-300k", "tiers-1200k", "completejourney")


def main() -> int:
    """Run the works asked for and write what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("works", nargs="*", default=USUAL, help=f"of {', '.join(WORKS)} (default: {' '.join(USUAL)})")
    parser.add_argument("--print", action="store_true", help="print, do not write docs/benchmarks.md")
    args = parser.parse_args()
    part = Part("benchmarks.md", "bench")
    held = {} if args.print else {row["work"]: row for row in part.rows()}
    for work in args.works:
        with tempfile.TemporaryDirectory(prefix="loyalty-bench-") as folder:
            held[work] = measure(work, Path(folder))
            print(json.dumps(held[work]), flush=True)
    rows = [held[work] for work in WORKS if work in held]
    body = f"{table(rows)}\n\nTime by stage, microseconds an event:\n\n{stages(rows)}\n\n{machine()}\n\n{kept(rows)}"
    if args.print:
        print(body)
    else:
        part.write(body)
    return 0


def measure(work: str, folder: Path) -> dict[str, Any]:
    """One work on fresh servers."""
    title, number, policy = WORKS[work]
    environ = {
        **os.environ,
        "LOYALTY_KAFKA": f"127.0.0.1:{PORTS[0]}",
        "LOYALTY_REDIS": f"redis://127.0.0.1:{PORTS[1]}/0",
        "LOYALTY_METRICS": f"127.0.0.1:{PORTS[2]}",
        "LOYALTY_DATA_DIR": str(folder),
        "LOYALTY_POLICY": str(ROOT / "infra" / policy),
        "LOYALTY_CLOCK": "data",
    }
    stack = Stack(environ["LOYALTY_KAFKA"], environ["LOYALTY_REDIS"], folder)
    with pinned(0):
        stack.up()
    try:
        loyalty(environ, "topics", "create")
        if number:
            words = ["-m", "tests.bench.load", str(number), *(["--bare"] if work == BARE else [])]
            subprocess.run([sys.executable, *words], env=environ, cwd=ROOT, check=True)
        else:
            loyalty(environ, "import-dataset", "completejourney")
        return {"work": work, "title": title, "on": f"{datetime.now(UTC):%Y-%m-%d}", **run_worker(environ, number)}
    finally:
        stack.down()


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Children started inside stay on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core if core in before else min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def loyalty(environ: Mapping[str, str], *words: str) -> None:
    """One command, quiet unless it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "streams", *words], env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"loyalty {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def run_worker(environ: Mapping[str, str], number: int) -> dict[str, Any]:
    """A worker on the second core, from its start to the end of publishing; figures from its /metrics."""
    number = number or ends(environ)
    with pinned(1):
        worker = subprocess.Popen([sys.executable, "-m", "streams", "worker"], env=environ, cwd=ROOT)
    try:
        metrics = until_folded(number)
        folded = peak_mib(worker.pid), cpu_s(worker.pid)
        rate_end = metrics["loyalty_last_commit_timestamp_seconds"]
        seconds = rate_end - metrics["loyalty_first_fetch_timestamp_seconds"]
        published = until_published()
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    client = redis.Redis.from_url(environ["LOYALTY_REDIS"])
    customers = sum(client.zcard(f"loyalty:{{{p}}}:due") for p in range(12))
    used = int(client.info("memory")["used_memory"])
    client.close()
    return {
        "events": number,
        "customers": customers,
        "seconds": round(seconds, 2),
        "rate": round(number / seconds),
        "published_s": round(published - rate_end, 1),
        "cpu_s": round(folded[1], 1),
        "peak_mib": folded[0],
        "redis_bytes": round(used / max(1, customers)),
        "stages": {s: round(metrics.get(f'loyalty_stage_seconds_total{{stage="{s}"}}', 0.0), 2) for s in STAGES},
    }


def ends(environ: Mapping[str, str]) -> int:
    """How many purchases and contacts there are."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=environ["LOYALTY_KAFKA"])
    places = [TopicPartition(t, p) for t in ("purchases", "contacts") for p in range(12)]
    number = sum(consumer.end_offsets(places).values())
    consumer.close()
    return number


def scrape() -> dict[str, float]:
    """Name with labels to value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[2]}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def until_folded(number: int) -> dict[str, float]:
    """The metrics once `number` events are committed."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            metrics = scrape()
        except OSError:
            continue
        done = sum(
            value
            for name, value in metrics.items()
            if re.match(r'loyalty_records_total\{topic="(purchases|contacts)"', name)
        )
        if done >= number:
            return metrics
    raise SystemExit(f"the worker has not folded {number} events within {WAIT_S:g} s")


def until_published() -> float:
    """Unix time at which nothing was left to publish."""
    client = redis.Redis(port=PORTS[1])
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        left = sum(client.xlen(f"loyalty:{{{p}}}:outbox") + client.zcard(f"loyalty:{{{p}}}:values") for p in range(12))
        if not left:
            return time.time()
        time.sleep(0.2)
    raise SystemExit(f"outputs were not published within {WAIT_S:g} s")


def peak_mib(pid: int) -> int:
    """Peak memory of a process."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def cpu_s(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a work."""
    lines = [
        "| work | events | customers | seconds | events/s | published after, s | peak MiB | Redis bytes each | on |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {row['title']} | {row['events']:,} | {row['customers']:,} | {row['seconds']} | **{row['rate']:,}** | "
        f"{row['published_s']} | {row['peak_mib']} | {row['redis_bytes']:,} | {row['on']} |"
        for row in rows
    ]
    return "\n".join(lines)


def stages(rows: Sequence[Mapping[str, Any]]) -> str:
    """Microseconds an event, a line a work."""
    lines = [f"| work | {' | '.join(STAGES)} | CPU |", f"|---|{'|'.join('---:' for _ in STAGES)}|---:|"]
    for row in rows:
        taken = [row["stages"][stage] for stage in STAGES]
        lines.append(
            f"| {row['title']}, {row['events']:,} | "
            + " | ".join(f"{seconds / row['events'] * 1e6:.1f}" for seconds in (*taken, row["cpu_s"]))
            + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
