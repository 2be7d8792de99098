"""Debian's prometheus and promtool for the tests: found, asked, and a server of its own on loopback.

`.ci/prometheus` puts both into .venv/bin. Where they are missing a test is skipped, and fails where CI is set: a check
that nobody notices is none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from sinks.metrics import Metrics
from streams.programme import CATALOGUE

START_S = 20.0


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`. Skips the test where there is none; fails it in CI."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        why = f"{name} is not there: `.ci/prometheus` puts Debian's into .venv/bin"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    return found


def complaints_of(promtool: str, exposition: bytes) -> str:
    """What `promtool check metrics` says of an exposition; nothing where all is well."""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, check=False, timeout=30
    )
    told = (done.stdout + done.stderr).decode().strip()
    assert bool(done.returncode) == bool(told), f"promtool ended with {done.returncode}: {told}"
    return told


class Prometheus:
    """A server that runs; `query` asks it."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **fields: str) -> Any:
        """The `data` of an answer of its API. AssertionError with its words where it refuses."""
        url = f"http://{self.address}/api/v1/{path}" + (f"?{urlencode(fields)}" if fields else "")
        try:
            with urlopen(Request(url), timeout=10) as answer:
                return json.load(answer)["data"]
        except HTTPError as refused:
            raise AssertionError(f"{path} {fields}: {refused.read().decode()}") from refused

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """An instant query of now: sorted labels to value, without NaN."""
        told = self.get("query", query=expression)
        if told["resultType"] == "scalar":
            return {(): float(told["result"][1])}
        found = {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in told["result"]}
        return {labels: value for labels, value in found.items() if value == value}  # noqa: PLR0124

    def until(self, expression: str, what: str, *, holds: bool = True, seconds: float = 40.0) -> Mapping[Any, float]:
        """Wait until the expression gives something (holds), or nothing; what it gave. Fails by name."""
        give_up = time.monotonic() + seconds
        while bool(found := self.query(expression)) != holds:
            assert time.monotonic() < give_up, f"not within {seconds} s: {what}: {expression} gives {found}"
            time.sleep(0.1)
        return found


@contextmanager
def serving(config: Path, folder: Path, port: int) -> Iterator[Prometheus]:
    """A Prometheus under `config`, its data in `folder`, on loopback; answers when this yields, ended afterwards."""
    address = f"127.0.0.1:{port}"
    words = [
        tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]  # fmt: skip
    log = folder.with_suffix(".log")
    with log.open("wb") as told, subprocess.Popen(words, stdout=told, stderr=told) as running:
        try:
            give_up = time.monotonic() + START_S
            while not _answers(address):
                assert running.poll() is None, f"prometheus ended: {log.read_text()}"
                assert time.monotonic() < give_up, f"prometheus does not answer: {log.read_text()}"
                time.sleep(0.05)
            yield Prometheus(address)
        finally:
            running.terminate()
            running.wait(10)


def _answers(address: str) -> bool:
    try:
        with urlopen(f"http://{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (HTTPError, URLError, OSError):
        return False


PROGRAMME = frozenset(CATALOGUE)
"""The programme's figures as the exporter tells them."""

NAME = re.compile(r"\bloyalty_[a-z0-9_]+")


def worker_families() -> set[str]:
    """The families of a worker's registry, as their type names them: without `_total`, `_bucket` and the like."""
    return {family.name for family in Metrics(4).registry.collect()}


def worker_names() -> set[str]:
    """Every name under which a worker's registry gives samples, also those that have none before their first label."""
    names: set[str] = set()
    for family in Metrics(4).registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names.update(f"{family.name}{ending}" for ending in endings)
    return names


def unknown_names(expression: str) -> set[str]:
    """Names of metrics in an expression that neither a worker nor the exporter tells. Recorded ones have colons."""
    return set(NAME.findall(re.sub(r"\w+:\w+:\w+", "", expression))) - worker_names() - PROGRAMME
