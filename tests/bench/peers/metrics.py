"""What a worker says of itself on /metrics."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from typing import Final

_FED: Final = re.compile(r'loyalty_records_total\{topic="(purchases|contacts)"')


def scrape(port: int) -> dict[str, float]:
    """Name with labels to value. OSError: nobody answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def until_folded(port: int, number: int, wait_s: float, worker: subprocess.Popen[str]) -> dict[str, float]:
    """The metrics once `number` events are committed. SystemExit where that takes longer, or the worker has ended."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if worker.poll() is not None:
            raise SystemExit(f"the worker ended with {worker.returncode}")
        try:
            metrics = scrape(port)
        except OSError:
            continue
        if sum(value for name, value in metrics.items() if _FED.match(name)) >= number:
            return metrics
    raise SystemExit(f"the worker has not folded {number} events within {wait_s:g} s")
