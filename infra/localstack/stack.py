"""Both servers as one thing: up, down, status; each alone for crash tests.

Folders under the data folder: `kafka` and `redis` hold data, `run` what belongs to the running processes (pid files,
logs, configuration), `erase.key` the key for the marks of erased ids.
"""

import fcntl
import ipaddress
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.localstack import kafka, redis
from infra.localstack.process import StackError

ERASE_KEY_FILE = "erase.key"


def _silent(text: str) -> None:
    del text


class Stack:
    """The local Kafka and Redis. `tell` hears what was found broken and mended.

    Raises StackError if an address is not of this machine alone: the servers have no password.
    """

    def __init__(
        self, kafka_addr: str, redis_url: str, data_dir: Path, tell: Callable[[str], None] | None = None
    ) -> None:
        self.kafka_addr, self.redis_url = kafka_addr, redis_url
        self.data_dir = Path(data_dir).resolve()
        self.run_dir = self.data_dir / "run"
        self.tell = tell or _silent
        self.kafka = kafka.Kafka(*_kafka_address(kafka_addr), self.data_dir / "kafka", self.run_dir, self.tell)
        self.redis = redis.Redis(*_redis_address(redis_url), self.data_dir / "redis", self.run_dir, self.tell)

    def up(self) -> None:
        """Start what does not run; on return both answer. Idempotent, also when called twice at once."""
        with self._alone():
            _make_erase_key(self.data_dir / ERASE_KEY_FILE)
            self.redis.start()
            self.kafka.start()

    def down(self) -> None:
        """Stop both, gracefully; on return neither process is there. The data stays."""
        if not self.run_dir.exists():
            return
        with self._alone():
            self.kafka.daemon.stop(kafka.STOP_SECONDS)
            self.redis.daemon.stop(redis.STOP_SECONDS)

    def status(self) -> list[dict[str, Any]]:
        """A row for each server. `state`: running, silent (it is there but does not answer), stopped, or taken (another
        program answers at its address)."""
        return [
            self._row("kafka", self.kafka, kafka.VERSION),
            self._row("redis", self.redis, None),
        ]

    def start_kafka(self) -> None:
        """Start Kafka alone."""
        with self._alone():
            self.kafka.start()

    def start_redis(self) -> None:
        """Start Redis alone."""
        with self._alone():
            self.redis.start()

    def kill_kafka(self, sig: int = signal.SIGKILL) -> bool:
        """Send Kafka a signal; after SIGKILL it is gone on return. False if it did not run."""
        return self.kafka.daemon.kill(sig)

    def kill_redis(self, sig: int = signal.SIGKILL) -> bool:
        """Send Redis a signal; after SIGKILL it is gone on return. False if it did not run."""
        return self.redis.daemon.kill(sig)

    def _row(self, name: str, server: "kafka.Kafka | redis.Redis", version: str | None) -> dict[str, Any]:
        pid = server.daemon.pid()
        answers = server.answers()
        states = ("taken", "stopped") if pid is None else ("running", "silent")
        state = states[0 if answers else 1]
        if state == "running" and version is None:
            version = redis.facts(self.redis_url)["version"]
        return {
            "server": name,
            "state": state,
            "address": f"{server.host}:{server.port}",
            "pid": pid,
            "version": version if state == "running" else None,
            "data": str(server.folder),
            "log": str(server.daemon.log),
        }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time a data folder: a second `up` waits for the first and then finds all running."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with (self.run_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make_erase_key(path: Path) -> None:
    """A random key, readable by this user alone, made once: marks of erased ids hang on it."""
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(made, "w") as file:
        file.write(secrets.token_hex(32) + "\n")


def _kafka_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if "," in address or not port.isdecimal():
        raise StackError(
            f"LOYALTY_KAFKA is {address!r}: the local stack has one broker; give one host:port of this machine"
        )
    return _loopback("LOYALTY_KAFKA", address, host), int(port)


def _redis_address(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"redis://{url}")
    if parts.scheme != "redis" or not parts.hostname or not parts.port or parts.password:
        raise StackError(
            "LOYALTY_REDIS is no plain redis://host:port/db: the local stack's Redis has neither TLS nor a password"
        )
    return _loopback("LOYALTY_REDIS", parts.netloc, parts.hostname), parts.port


def _loopback(setting: str, shown: str, host: str) -> str:
    host = host.strip("[]")
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise StackError(
        f"{setting} is {shown}, which is not a loopback address: the local stack's servers have no password and serve "
        f"this machine only; set it to 127.0.0.1 and a port, or run your own servers and leave `stack` alone"
    )
