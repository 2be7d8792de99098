"""A worker under a name of its own (LOYALTY_INSTANCE), killed and started again, has its partitions back at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.live

SESSION_S = 60
"""After this the broker gives a dead worker's partitions away, and not before."""

BACK_S = 30
"""Far below a session, far above what a start takes on a busy machine."""


@contextmanager
def worker(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", "worker"], cwd=ROOT, env=environ, stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(30)


def ready_after(environ: dict[str, str], log: Path) -> float:
    """Seconds until /readyz says that the worker has its partitions."""
    began = time.monotonic()
    while time.monotonic() < began + BACK_S:
        try:
            with urllib.request.urlopen(f"http://{environ['LOYALTY_METRICS']}/readyz", timeout=5):
                return time.monotonic() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"not ready within {BACK_S} s:\n{log.read_text()[-3000:]}")


def test_a_killed_worker_that_comes_back_under_its_name_waits_for_no_session(
    environ: dict[str, str], fresh_topics: Callable[[], None], tmp_path: Path
) -> None:
    fresh_topics()
    log = tmp_path / "worker.log"
    named = {**environ, "LOYALTY_INSTANCE": "worker-0", "LOYALTY_SESSION_MS": str(SESSION_S * 1_000)}
    assert "LOYALTY_INSTANCE" not in os.environ
    with worker(named, log) as first:
        ready_after(named, log)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
    with worker(named, log):
        assert ready_after(named, log) < BACK_S < SESSION_S
