"""What the deployment files are checked by: packages of other registries, by locks of hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.localstack.kafka import cache_dir
from tests.conftest import ROOT
from tests.toolchains import TRIES, need, npm_ci, run

HERE = Path(__file__).parent
Tool = Callable[..., str]


@pytest.fixture(scope="session")
def npm_checks() -> Path:
    """The packages of tests/deploy/npm."""
    return npm_ci(HERE / "npm")


@pytest.fixture(scope="session")
def tool() -> Tool:
    """tests/deploy/tools, built from what its go.sum names; once, for it takes a minute (two minutes of one core)."""
    need("go")
    folder = HERE / "tools"
    sources = b"".join((folder / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    built = cache_dir() / "deploy-tools" / hashlib.sha256(sources).hexdigest()[:16]
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        made = built.with_name(f"{built.name}-{os.getpid()}")
        words = ["go", "build", "-mod=readonly", "-trimpath", "-o", str(made), "."]
        run(words, folder, tries=TRIES, seconds=280, GOTOOLCHAIN="local")
        made.rename(built)

    def do(*words: str, **environ: str) -> str:
        return run([str(built), *words], ROOT, **environ)

    return do
