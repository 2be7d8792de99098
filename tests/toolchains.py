"""Tools of other languages' registries, locked by hash: in CI they must be there, elsewhere a machine may lack them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TRIES = 3  # a registry may be briefly away


def need(*commands: str) -> None:
    """Skip where a command is not installed; in CI fail, for there .ci/run must have installed it."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} not on PATH: .ci/run installs what the tests need")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def run(words: list[str], folder: Path, *, tries: int = 1, seconds: float = 240, **environ: str) -> str:
    """What a command wrote to stdout. It must end with 0, at the last of `tries` at least."""
    for left in range(tries - 1, -1, -1):
        done = subprocess.run(
            words, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False,
            timeout=seconds, encoding="utf-8",
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        assert left, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    raise AssertionError("the last try returns or fails")


def npm_ci(folder: Path) -> Path:
    """`node_modules` of `folder`, exactly what its lock names by hash, no install script run; loaded if it changed."""
    need("node", "npm")
    lock, kept = folder / "package-lock.json", folder / "node_modules" / ".loaded-lock"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # test processes share the folder
        if not kept.exists() or kept.read_bytes() != lock.read_bytes():
            run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, tries=TRIES)
            kept.write_bytes(lock.read_bytes())
    return folder / "node_modules"
