"""One system from its start to its last state in Redis, on the second core, and what came of it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import psutil

from tests.bench.__main__ import pinned
from tests.bench.peers.metrics import scrape, until_folded
from tests.bench.peers.servers import METRICS_PORT, REDIS_PORT, Servers
from tests.bench.peers.systems import PROGRAMS, PYTHON, System
from tests.bench.peers.work import ROOT, digest, reference, wrong

WAIT_S: Final = 900.0
END_S: Final = 20.0
SHOWN: Final = 3


class Failed(Exception):
    """A system did not do the work; the text says what was seen of it."""


def measure(system: System, servers: Servers, events: int) -> dict[str, Any]:
    """Its row. Raises Failed."""
    servers.purchases(events)
    servers.empty_redis()
    clock_day = servers.ours(system.policy(), system.daily) if system.policy is not None else None
    with tempfile.TemporaryDirectory(prefix=f"{system.name}-", dir=servers.folder) as name:
        row = _run(system, servers, events, Path(name))
    rows = servers.rows(system.policy is not None)
    expected = reference(events, clock_day if system.daily else None)
    bad = list(wrong(rows, expected))
    if bad:
        raise Failed(f"{len(bad)} of {len(expected)} end states are wrong:\n" + "\n".join(bad[:SHOWN]))
    rate = round(events / (row["last"] - row["first"]))
    return {
        "system": system.name,
        "events": events,
        "events_per_s": rate,
        "guarantee": system.guarantee,
        "peak_mib": row["peak_mib"],
        "state_sha256": digest(rows),
        "cpu_s": row["cpu_s"],
        "with_start_s": row["with_start_s"],
    }


def _run(system: System, servers: Servers, events: int, folder: Path) -> dict[str, Any]:
    environ = {
        **servers.environ,
        "LOYALTY_GROUP": f"{system.name}-{time.time_ns()}",
        "W1_KAFKA": servers.kafka,
        "W1_REDIS": str(REDIS_PORT),
        "W1_GROUP": f"{system.name}-{time.time_ns()}",
        "W1_STATE": str(folder),
        "W1_SCHEMA": str(ROOT / "schemas" / "purchases.avsc"),
        "W1_EVENTS": str(events),
    }
    where = ROOT
    if system.policy is None:
        environ["PYTHONPATH"], where = str(PROGRAMS), folder
    *before, command = system.commands(folder)
    if command[0] == str(PYTHON) and not PYTHON.exists():
        raise Failed(f"{PYTHON.relative_to(ROOT)} is not there: make .venv-peers/.installed")
    log_path = servers.folder / f"{system.name}.log"
    with log_path.open("w") as log:
        for words in before:
            subprocess.run(words, env=environ, cwd=where, stdout=log, stderr=log, check=True)
        began = time.time()
        with process(command, environ, where, log) as (child, told):
            if system.policy is not None:
                until_folded(METRICS_PORT, events, WAIT_S, child)
                metrics = scrape(METRICS_PORT)
                row: dict[str, Any] = {
                    "first": metrics["loyalty_first_fetch_timestamp_seconds"],
                    "last": metrics["loyalty_last_commit_timestamp_seconds"],
                }
            else:
                row = _told(told, child, log_path)
            used = [*_family(child.pid)]
            return row | {
                "peak_mib": round(sum(_peak_mib(one.pid) for one in used)),
                "cpu_s": round(sum(one.cpu_times().user + one.cpu_times().system for one in used), 1),
                "with_start_s": round(row["last"] - began, 1),
            }


def _told(lines: queue.Queue[str | None], child: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    """What the peer says of its own first record and last state."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            continue
        if line is None:
            raise Failed(f"ended with {child.wait()} before the last state was visible:\n{log.read_text()[-1500:]}")
        if line.startswith("W1 "):
            return dict(json.loads(line[3:]))
    raise Failed(f"not done within {WAIT_S:g} s; the end of its log:\n{log.read_text()[-1500:]}")


@contextmanager
def process(
    command: list[str], environ: Mapping[str, str], where: Path, log: TextIO, core: int = 1
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """It runs on one core, in a group of its own, which has ended on the way out. Its lines; None: the end."""
    with pinned(core):
        child = subprocess.Popen(
            command, env=environ, cwd=where, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            log.write(line)
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield child, lines
    finally:
        _end(child)
        reader.join(END_S)


def _end(child: subprocess.Popen[str]) -> None:
    """SIGTERM to the group, and SIGKILL to what is left of it."""
    for sig, seconds in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
        if child.poll() is not None:
            break
        os.killpg(child.pid, sig)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
