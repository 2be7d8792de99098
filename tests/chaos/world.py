"""An installation that is ill-treated: its own Kafka and Redis, workers as processes, kills at what was seen to happen.

A kill never follows a sleep: it follows something read from Redis (`Seen`), so that the seed decides where in the work
it falls, on a slow machine as on a fast one. Every process is ended by its pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import redis
from msgspec import Struct

from infra.localstack import Stack
from processors.policy import Policy
from schemas import topics
from sinks.access import KafkaAccess
from sinks.keys import Keys
from streams.settings import Settings
from streams.texts import read_policy
from streams.topics_admin import create_topics, delete_topics
from tests.chaos.dump import Dump, differences, dump, problems, summary
from tests.conftest import ROOT, environ_of

DEADLINE_S = 240.0
LOOK_S = 0.004
SESSION_MS = 2_000
_TAIL_LINES = 25
_ASSIGNED = re.compile(r"assigned partitions (\[[\d, ]*\]|none)")
COUNTED = [topic for topic in topics.INPUTS if topic != topics.RELAY]
_DUMP_ALL = """
local all = {}
for _, name in ipairs(redis.call('KEYS', '*')) do
  all[#all + 1] = name
  all[#all + 1] = redis.call('DUMP', name)
end
return all
"""
_METRICS = re.compile(r"metrics on (http://\S+)/metrics")


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S, told: Callable[[], str] = str) -> Any:
    """What `condition` gives once it is true. Fails by name after the deadline, with what `told` says then."""
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s: {what}\n{told()}"
        time.sleep(LOOK_S)
    return found


class Process:
    """A `loyalty` command (or another module) as a process of its own; its stderr and stdout are kept in a file."""

    def __init__(self, name: str, words: tuple[str, ...], env: Mapping[str, str], folder: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self._child.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._child.poll()

    def kill(self) -> None:
        """SIGKILL; it is gone on return."""
        self.signal(signal.SIGKILL)
        self._child.wait(10)

    def signal(self, number: int) -> None:
        """By pid, unless it has ended."""
        if self.code is None:
            os.kill(self.pid, number)

    def ends(self, seconds: float = DEADLINE_S) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {seconds:.0f} s\n{self.tail()}") from None

    def says(self, text: str) -> bool:
        """Whether its log holds `text`."""
        return text in self.log.read_text(errors="replace")

    def assigned(self, rounds: int = 0) -> list[int]:
        """The partitions that the group gave it last; none before its log has told of more than `rounds` such turns."""
        told = _ASSIGNED.findall(self.log.read_text(errors="replace"))
        return json.loads(told[-1]) if len(told) > rounds and told[-1] != "none" else []

    def metrics_url(self) -> str | None:
        """http://host:port of its /metrics, None until it has told."""
        found = _METRICS.search(self.log.read_text(errors="replace"))
        return found.group(1) if found else None

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The end of its log, for a failure's message."""
        told = self.log.read_text(errors="replace").splitlines()
        return "\n".join((f"--- {self.name} (pid {self.pid}, exit code {self.code})", *told[-lines:]))

    def peak_bytes(self) -> int:
        """VmHWM: the most memory it held resident since it began, or since `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.name} has no VmHWM: it has ended\n{self.tail()}")

    def forget_peak(self) -> None:
        """From now on `peak_bytes` counts anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


class Seen(Struct, frozen=True):
    """What Redis shows of the work: commits, the epoch of each partition, input records folded (those of `relay` not
    counted: markers lie between them) and outputs waiting, of all partitions."""

    commits: int
    epochs: tuple[int, ...]
    records: int
    waiting: int


class World:
    """One installation on `stack`. policy: the file in force; more: further LOYALTY_* of every process."""

    def __init__(self, stack: Stack, folder: Path, *, prefix: str, policy: Path, **more: str) -> None:
        self.stack, self.folder = stack, folder
        self.env = environ_of(stack, prefix) | {
            "LOYALTY_POLICY": str(policy),
            "LOYALTY_CLOCK": "data",
            "LOYALTY_METRICS": "127.0.0.1:0",
            "LOYALTY_SESSION_MS": str(SESSION_MS),
            **more,
        }
        self.settings = Settings.from_env(self.env)
        self.policy: Policy = read_policy(policy)
        self._keys = Keys(self.settings.prefix)
        self._redis = redis.Redis.from_url(self.settings.redis, socket_timeout=5)
        self._processes: list[Process] = []

    # -- processes

    def start(self, *words: str, **more: str) -> Process:
        """`python -m WORDS…` in this installation."""
        number = len(self._processes) + 1
        process = Process(f"{number:03d}-{words[-1].strip('-')}", words, self.env | more, self.folder)
        self._processes.append(process)
        return process

    def worker(self, *words: str, **more: str) -> Process:
        """A worker, just started."""
        return self.start("streams", "worker", *words, **more)

    def loyalty(self, *words: str, **more: str) -> str:
        """What a command prints on stdout; it must end with 0."""
        done = subprocess.run(
            [sys.executable, "-m", "streams", *words],
            cwd=ROOT, env=self.env | more, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"loyalty {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        return done.stdout

    def finish(self, seconds: float = DEADLINE_S, **more: str) -> None:
        """The last worker: until all is folded and published. It must end with 0."""
        worker = self.worker("--until-caught-up", **more)
        code = worker.ends(seconds)
        assert code == 0, f"the last worker ended with {code}\n{self.tails()}"

    def kill_workers(self, rng: Random, kills: int, total: int, **more: str) -> None:
        """One worker after the other, each killed in the middle of the work, which must not be done by the last kill.

        total: input records there are, or will be. more: further LOYALTY_* of the workers.
        """
        before = Seen(0, (), 0, 0)
        for number in range(kills):
            worker = self.worker(**more)
            condition, what = _moment(rng, before, total // kills)
            before = self.until_seen(condition, f"kill {number + 1}: {what}")
            assert worker.code is None, f"the worker ended by itself\n{self.tails()}"
            worker.kill()
        assert before.records < total, "all was folded before the last kill, which then proves nothing"

    def end(self) -> None:
        """No process of ours is left."""
        for process in self._processes:
            if process.code is None:
                process.kill()

    def last_says(self, text: str) -> bool:
        """Whether the log of the process started last holds `text`."""
        return self._processes[-1].says(text)

    def tails(self, last: int = 4) -> str:
        """The ends of the last logs, those of the servers too."""
        servers = [f"--- {d.name}\n{d.tail(6)}" for d in (self.stack.kafka.daemon, self.stack.redis.daemon)]
        return "\n".join([*(process.tail() for process in self._processes[-last:]), *servers])

    # -- the servers

    def begin(self) -> None:
        """Empty: no process, no key, no record."""
        self.end()
        self._redis.flushall()
        delete_topics(KafkaAccess(self.stack.kafka_addr))
        create_topics(KafkaAccess(self.stack.kafka_addr), self.settings.partitions)

    def seen(self) -> Seen | None:
        """What Redis shows; None while it does not answer."""
        numbers = range(self.settings.partitions)
        with contextlib.suppress(redis.RedisError, OSError), self._redis.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.hgetall(self._keys.fence(number))
            for number in numbers:
                pipe.xlen(self._keys.outbox(number))
            told = pipe.execute()
            fences, waiting = told[: len(numbers)], told[len(numbers) :]
            return Seen(
                sum(int(fence.get(b"seq", 0)) for fence in fences),
                tuple(int(fence.get(b"epoch", 0)) for fence in fences),
                sum(int(fence.get(topic.encode(), 0)) for fence in fences for topic in COUNTED),
                sum(waiting),
            )
        return None

    def until_seen(self, condition: Callable[[Seen], bool], what: str, seconds: float = DEADLINE_S) -> Seen:
        """What Redis shows once `condition` holds. Fails with the ends of the logs, also where no worker is left."""

        def look() -> Seen | None:
            seen = self.seen()
            return seen if seen is not None and condition(seen) else None

        found: Seen = until(look, what, seconds, lambda: f"seen: {self.seen()}\n{self.tails()}")
        return found

    def keys(self) -> dict[bytes, bytes]:
        """All that Redis holds, as it dumps it, of one moment."""
        flat = self._redis.eval(_DUMP_ALL, 0)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def restore(self, keys: Mapping[bytes, bytes]) -> None:
        """Redis holds this and nothing else, from one moment to the next."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.flushall()
            for name, content in keys.items():
                pipe.restore(name, 0, content)
            pipe.execute()

    # -- the end state

    def dump(self) -> Dump:
        """All that it holds and has told."""
        return dump(self.settings, self.policy)

    def assert_same_as(self, undisturbed: Dump) -> Dump:
        """Nothing wrong in itself, and nothing else than an undisturbed run's."""
        found = self.dump()
        wrong = problems(found) + differences(undisturbed, found)
        assert not wrong, f"{summary(wrong)}\n{self.tails()}"
        return found


def _moment(rng: Random, before: Seen, most: int) -> tuple[Callable[[Seen], bool], str]:
    """When to strike next: right after taking over, after some commits, with outputs waiting, or after some records,
    `most` at most."""
    kind = rng.choice(("epoch", "commits", "waiting", "records", "records"))
    if kind == "epoch":
        return lambda seen: seen.epochs != before.epochs, "an epoch was taken"
    if kind == "commits":
        least = before.commits + rng.randint(1, 12)
        return lambda seen: seen.commits >= least, f"{least} commits"
    if kind == "waiting":
        return lambda seen: seen.commits > before.commits and seen.waiting > 0, "outputs wait in an outbox"
    least = before.records + rng.randint(1, most)
    return lambda seen: seen.records >= least, f"{least} records are folded"


@contextlib.contextmanager
def ended(world: World) -> Iterator[World]:
    """The world for one test: whatever happens, its processes are gone afterwards and its servers answer."""
    try:
        yield world
    finally:
        world.end()
        world.stack.up()
