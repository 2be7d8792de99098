"""A real schema registry: Apicurio Registry, which keeps its schemas in the stack's Kafka.

It comes from where Kafka's jars come from, once a user (160 MB, into the same cache folder), is checked against its
digest, and is run by the same Java.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from infra.localstack import Stack
from infra.localstack.kafka import cache_dir, java
from infra.localstack.process import Daemon, StackError, port_taken, wait_until
from tests.conftest import free_port

VERSION = "3.3.3"
GROUP, NAME = "io.apicurio", "apicurio-registry-app"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
STARTS = 3
START_SECONDS = 180.0  # 10 s on a quiet machine: a large program
STOP_SECONDS = 20.0


class Apicurio:
    """One registry on a port of its own. What it was told outlives it, in Kafka."""

    def __init__(self, stack: Stack) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        self._kafka = stack.kafka_addr
        self._daemon = Daemon(f"apicurio-{self.port}", stack.run_dir, self.answers, print)

    def answers(self) -> bool:
        """Whether it tells its subjects."""
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    def start(self) -> None:
        """Returns once it answers."""
        jar = str(unpacked() / "quarkus-run.jar")
        argv = [
            java(), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", jar
        ]  # fmt: skip
        told = {
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self.port),
            "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",  # cannot be turned off: 9000, of all machine's, unless named
            "QUARKUS_MANAGEMENT_PORT": str(free_port()),
            "QUARKUS_LOG_LEVEL": "WARN",
            "APICURIO_STORAGE_KIND": "kafkasql",
            "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": self._kafka,
        }
        clean = {name: value for name, value in os.environ.items() if name not in ("JAVA_TOOL_OPTIONS", "CLASSPATH")}
        for left in range(STARTS - 1, -1, -1):  # the port of one that was killed may be another program's for a moment
            wait_until(lambda: not port_taken("127.0.0.1", self.port), START_SECONDS)
            try:
                self._daemon.start(argv, START_SECONDS, {**clean, **told})
                return
            except StackError:
                if not left:
                    raise

    def kill(self) -> None:
        """It is gone on return."""
        self._daemon.kill(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self._daemon.stop(STOP_SECONDS)


def unpacked() -> Path:
    """The folder with the program."""
    folder = cache_dir() / f"apicurio-{SHA256[:16]}"
    if not folder.exists():
        archive = _loaded()
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        assert digest == SHA256, f"{archive} is not the one that the tests were made with: {digest}"
        half = folder.with_suffix(f".{os.getpid()}")
        half.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(half, filter="data")
        try:
            half.rename(folder)
        except OSError:  # another test run was faster
            shutil.rmtree(half)
    return folder


def _loaded() -> Path:
    from jgo.maven import MavenContext

    project = MavenContext(timeout=600).project(GROUP, NAME)
    return Path(project.at_version(VERSION).artifact("all", "tar.gz").resolve())
