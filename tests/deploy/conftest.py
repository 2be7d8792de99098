"""What the deployment files are checked by: packages of other registries, by locks of hashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toolchains import npm_ci

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def npm_checks() -> Path:
    """The packages of tests/deploy/npm."""
    return npm_ci(HERE / "npm")
