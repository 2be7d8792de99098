"""What all tests share: the real servers, a namespace of their own each, and how hypothesis searches.

`stack` is one Kafka and one Redis for the whole run, on free ports with data in a temporary folder (where processes
share the files, one of each for each process); a test gets `settings` with its own key prefix and consumer group, which
costs nothing. Topic names are fixed, so a test that needs empty topics calls `fresh_topics()`. A test that kills
servers takes `make_stack()` and harms nobody else's.
"""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as profile

from infra.localstack import Stack
from infra.localstack.process import port_taken
from sinks.access import KafkaAccess
from streams.settings import Settings
from streams.topics_admin import create_topics, delete_topics
from tests.prometheus import tool

ROOT = Path(__file__).resolve().parent.parent
PARTITIONS = 4
"""Fewer than by default: topics are made and removed faster, and every rule about partitions still bites."""

profile.register_profile("default", deadline=None)
profile.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
profile.load_profile("ci" if os.environ.get("CI") else "default")

_namespaces = itertools.count(1)


def free_port(least: int = 22_000, end: int = 32_000, beside: int = 1) -> int:
    """A port that nobody listens on, nor on the one `beside` above it; both below the range from which the kernel takes
    its own."""
    rng = random.Random(f"{os.getpid()}.{next(_namespaces)}")
    while True:
        port = rng.randrange(least, end, 2)
        if not port_taken("127.0.0.1", port) and not port_taken("127.0.0.1", port + beside):
            return port


def environ_of(stack: Stack, prefix: str) -> dict[str, str]:
    """The environment in which `loyalty` finds this stack, without settings that the caller's shell may have."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
    return {
        **clean,
        "LOYALTY_KAFKA": stack.kafka_addr,
        "LOYALTY_REDIS": stack.redis_url,
        "LOYALTY_DATA_DIR": str(stack.data_dir),
        "LOYALTY_PARTITIONS": str(PARTITIONS),
        "LOYALTY_PREFIX": prefix,
        "LOYALTY_GROUP": prefix,
        "LOYALTY_METRICS": f"127.0.0.1:{free_port()}",
    }


LONGEST = (
    "test_first_light", "test_million", "test_kill_worker", "test_care_year", "test_secure", "test_kill_servers",
    "test_two_hundred", "test_care_killed", "test_examples", "test_lost_redis", "test_back_pressure",
    "test_undisturbed", "test_other_languages", "test_stack", "test_console",
)  # fmt: skip
"""The files that take longest, in that order: two processes that share files then end at about the same time."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs no servers comes first, what kills them last: a plain mistake shows in seconds. Where processes share
    the files, each with servers of its own, the longest come first."""
    if hasattr(config, "workerinput"):  # of pytest-xdist
        places = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    else:
        items.sort(key=lambda item: 2 * bool(item.get_closest_marker("chaos")) + bool(item.get_closest_marker("live")))


@pytest.fixture(scope="session")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Stack]]:
    """Makes stacks on free ports, not yet up; all are down and their folders empty at the end of the run."""
    made: list[Stack] = []

    def make() -> Stack:
        folder = tmp_path_factory.mktemp("stack")
        stack = Stack(f"127.0.0.1:{free_port()}", f"redis://127.0.0.1:{free_port()}/0", folder)
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.down()


@pytest.fixture(scope="session")
def stack(make_stack: Callable[[], Stack]) -> Stack:
    """The Kafka and Redis that tests share, with all topics."""
    stack = make_stack()
    stack.up()
    create_topics(KafkaAccess(stack.kafka_addr), PARTITIONS)
    return stack


@pytest.fixture(scope="session")
def promtool() -> str:
    """Its path; without it a test is skipped, and fails in CI."""
    return tool("promtool")


@pytest.fixture
def environ(stack: Stack) -> dict[str, str]:
    """The environment of a `loyalty` process in a namespace of this test's own."""
    return environ_of(stack, f"t{os.getpid()}-{next(_namespaces)}")


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """The settings of `environ`."""
    return Settings.from_env(environ)


@pytest.fixture
def fresh_topics(stack: Stack) -> Callable[[], None]:
    """Call it to have every topic empty, as just made."""

    def fresh() -> None:
        delete_topics(KafkaAccess(stack.kafka_addr))
        create_topics(KafkaAccess(stack.kafka_addr), PARTITIONS)

    return fresh


@pytest.fixture
def loyalty(environ: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run `loyalty WORDS…` as its own process in this test's namespace."""

    def run(*words: str, seconds: float = 120, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "streams", *words],
            cwd=ROOT,
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    return run
