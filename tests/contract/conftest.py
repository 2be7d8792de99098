"""`store` runs each test of the suite twice: in memory and on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.localstack import Stack
from tests.contract.stores import Driven, memory, real


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    """A database of the shared Redis that nobody else uses."""
    return stack.redis_url.rsplit("/", 1)[0] + "/7"


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Driven]:
    if request.param == "memory":
        with memory() as driven:
            yield driven
    else:
        with real(request.getfixturevalue("redis_url")) as driven:
            yield driven
