"""One worker on one core, and two on two: events a second from a topic that is full.

Broker and Redis share the first core. So the second of two workers has it with them, and what is seen is less than two
cores of workers: how the work divides, not how far.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from schemas.topics import PURCHASES, TOPICS
from sinks.keys import Keys
from sinks.lookup import Lookup
from tests.bench.peers.metrics import scrape
from tests.bench.peers.run import process
from tests.bench.peers.servers import Servers, servers
from tests.bench.peers.work import ROOT, digest, policy_w1, reference

PORTS: Final = (21_780, 21_782, 21_783)
WAIT_S: Final = 600.0
CORES: Final = (1, 0)


def measure(folder: Path, events: int) -> list[dict[str, Any]]:
    """A row for each number of workers; both must end in the state that plain Python computes."""
    rows = []
    with servers(folder, ports=PORTS) as shared:
        for number in (1, 2):
            shared.purchases(events)
            shared.empty_redis()
            shared.ours(policy_w1(), daily=False)
            rate = _rate(shared, number, events)
            right = digest(shared.rows(True)) == digest(reference(events))
            rows.append(
                {"workers": number, "events": events, "events_per_s": rate, "right": right, **written(shared, events)}
            )
    return rows


def written(shared: Servers, events: int) -> dict[str, int]:
    """Bytes on the broker's disk an event that came in, as it is held there, for inputs and for all that follows."""
    size = {"in": 0, "out": 0}
    for part in (shared.folder / "kafka").iterdir():
        topic = part.name.rpartition("-")[0]  # of one that is being deleted no topic's name
        if topic in TOPICS:
            size["in" if topic == PURCHASES else "out"] += sum(log.stat().st_size for log in part.glob("*.log"))
    return {f"kafka_{name}_bytes": round(held / events) for name, held in size.items()}


def until_published(shared: Servers) -> None:
    """No output waits."""
    lookup = Lookup(shared.environ["LOYALTY_REDIS"], Keys())
    deadline = time.monotonic() + WAIT_S
    while any(waits for waits, _ in lookup.waiting().values()):
        if time.monotonic() > deadline:
            raise SystemExit(f"outputs are not published within {WAIT_S:g} s")
        time.sleep(0.2)
    lookup.close()


def _rate(shared: Servers, number: int, events: int) -> int:
    group = f"scale-{time.time_ns()}"
    with ExitStack() as running:
        workers, ports = [], [PORTS[2] + n for n in range(number)]
        for port, core in zip(ports, CORES, strict=False):
            environ = {**shared.environ, "LOYALTY_GROUP": group, "LOYALTY_METRICS": f"127.0.0.1:{port}"}
            log = running.enter_context((shared.folder / f"worker-{port}.log").open("w"))
            workers.append(running.enter_context(_worker(environ, core, log)))
        rate = _until(ports, events, [worker for worker, _ in workers])
        until_published(shared)
        return rate


def _worker(environ: Mapping[str, str], core: int, log: Any) -> Any:
    return process([sys.executable, "-m", "streams", "worker"], environ, ROOT, log, core)


def _until(ports: list[int], events: int, workers: list[subprocess.Popen[str]]) -> int:
    """Events a second from the first fetch of all to the last commit of all."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if any(worker.poll() is not None for worker in workers):
            raise SystemExit("a worker has ended")
        try:
            told = [scrape(port) for port in ports]
        except OSError:
            continue
        if sum(one.get('loyalty_records_total{topic="purchases"}', 0) for one in told) >= events:
            firsts = [one["loyalty_first_fetch_timestamp_seconds"] for one in told]
            lasts = [one["loyalty_last_commit_timestamp_seconds"] for one in told]
            return round(events / (max(lasts) - min(first for first in firsts if first)))
    raise SystemExit(f"{events} events are not folded within {WAIT_S:g} s")
