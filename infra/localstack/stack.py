"""Both servers as one thing: up, down, status; each alone for crash tests.

Folders under the data folder: `kafka` and `redis` hold data, `run` what belongs to the running processes (pid files,
logs, configuration), `erase.key` the key for the marks of erased ids, `secure` what makes a stack a secure one.
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

from infra.localstack import cluster, kafka, redis
from infra.localstack.process import StackError
from infra.localstack.secure import Secure, is_secure

ERASE_KEY_FILE = "erase.key"


CLUSTER = "+cluster://"
"""In the scheme of a URL that names the nodes of a Redis Cluster by comma."""


def _silent(text: str) -> None:
    del text


class Stack:
    """The local Kafka and Redis. `tell` hears what was found broken and mended. Where `redis_url` is a cluster's, there
    is a Redis for each address that it names, and `redis` is the first of them.

    secure: the users of a stack that has any (`infra/localstack/secure.py`); None: an open one. A folder is for good
    what it was begun as. Raises StackError if an address is not of this machine alone.
    """

    def __init__(
        self, kafka_addr: str, redis_url: str, data_dir: Path, tell: Callable[[str], None] | None = None,
        secure: Secure | None = None,
    ) -> None:  # fmt: skip
        self.kafka_addr, self.redis_url = kafka_addr, redis_url
        self.data_dir = Path(data_dir).resolve()
        self.run_dir = self.data_dir / "run"
        self.tell = tell or _silent
        self.kafka = kafka.Kafka(*_kafka_address(kafka_addr), self.data_dir / "kafka", self.run_dir, self.tell, secure)
        self.clustered = CLUSTER in redis_url
        if self.clustered:
            addresses = _cluster_addresses(redis_url, secure is not None)
            self.redises = cluster.masters(addresses, self.data_dir / "redis", self.run_dir, self.tell)
        else:
            host, port = _redis_address(redis_url, secure is not None)
            self.redises = [redis.Redis(host, port, self.data_dir / "redis", self.run_dir, self.tell, secure)]
        self.redis = self.redises[0]
        self.secure = secure

    def up(self) -> None:
        """Start what does not run; on return both answer. Idempotent, also when called twice at once."""
        with self._alone():
            _make_erase_key(self.data_dir / ERASE_KEY_FILE)
            self._make_secure()
            self._start_redis()
            self.kafka.start()
            if self.secure is not None:
                self.secure.allow(self.kafka_addr)

    def _make_secure(self) -> None:
        """Certificates, users and what to source. Raises StackError where the folder was begun as the other kind."""
        if self.secure is None:
            if is_secure(self.data_dir):
                raise StackError(f"{self.data_dir} is a secure stack's: `loyalty stack up --secure`, or another folder")
            return
        if not is_secure(self.data_dir) and (self.kafka.folder / "meta.properties").exists():
            raise StackError(f"{self.data_dir} is an open stack's, without users: give another LOYALTY_DATA_DIR")
        for folder in (self.kafka.folder, self.redis.folder, self.run_dir):  # the logs hold what users may not read
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        self.secure.make({self.kafka.host, self.redis.host})
        tls = self.redis.tls
        host = f"[{self.redis.host}]" if ":" in self.redis.host else self.redis.host
        url = f"redis{'s' if tls else ''}://{host}:{self.redis.port}/0"
        self.secure.write_environments(self.kafka_addr, url, tls)

    def down(self) -> None:
        """Stop both, gracefully; on return neither process is there. The data stays."""
        if not self.run_dir.exists():
            return
        with self._alone():
            self.kafka.daemon.stop(kafka.STOP_SECONDS)
            for server in self.redises:
                server.daemon.stop(redis.STOP_SECONDS)

    def status(self) -> list[dict[str, Any]]:
        """A row for each server. `state`: running, silent (it is there but does not answer), stopped, or taken (another
        program answers at its address)."""
        return [
            self._row("kafka", self.kafka, kafka.VERSION),
            *(self._row(server.name, server, None) for server in self.redises),
        ]

    def start_kafka(self) -> None:
        """Start Kafka alone."""
        with self._alone():
            self.kafka.start()

    def start_redis(self) -> None:
        """Start Redis alone."""
        with self._alone():
            self._start_redis()

    def _start_redis(self) -> None:
        for server in self.redises:
            server.start()
        if self.clustered:
            cluster.join(self.redises)

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
            assert isinstance(server, redis.Redis)
            version = redis.facts(server.url)["version"]
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


def _redis_address(url: str, secure: bool) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"redis://{url}")
    if secure and parts.scheme in ("redis", "rediss") and parts.hostname and parts.port:
        return _loopback("LOYALTY_REDIS", f"{parts.hostname}:{parts.port}", parts.hostname), parts.port
    if parts.scheme != "redis" or not parts.hostname or not parts.port or parts.password:
        raise StackError(
            "LOYALTY_REDIS is no plain redis://host:port/db: the local stack's Redis has neither TLS nor a password, "
            "unless it is a secure one (`loyalty stack up --secure`)"
        )
    return _loopback("LOYALTY_REDIS", f"{parts.hostname}:{parts.port}", parts.hostname), parts.port


def _cluster_addresses(url: str, secure: bool) -> list[tuple[str, int]]:
    scheme, _, rest = url.partition(CLUSTER)
    parts = urlsplit(f"redis://{rest}")
    if secure or scheme != "redis" or "@" in parts.netloc:
        raise StackError(
            "LOYALTY_REDIS is a cluster: the local stack's has neither TLS nor passwords; give one server's address to "
            "`loyalty stack up --secure`"
        )
    return [_redis_address(f"redis://{node}", secure) for node in parts.netloc.split(",")]


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
