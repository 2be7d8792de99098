"""`loyalty console --background`: one beside the stack, found again, away from a taken port, ended with the stack."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from infra.localstack.process import started_at, wait_until
from streams.console.gets import HELLO
from tests.conftest import ROOT, free_port

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run `loyalty` in a data folder of its own, whose servers are not up."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
    own = {
        "LOYALTY_DATA_DIR": str(tmp_path), "LOYALTY_KAFKA": f"127.0.0.1:{free_port()}",
        "LOYALTY_REDIS": f"redis://127.0.0.1:{free_port()}/0", "LOYALTY_CONSOLE": f"127.0.0.1:{free_port()}",
    }  # fmt: skip

    def loyalty(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "streams", *words]
        environ = {**clean, **own, **more}
        return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)

    yield loyalty
    loyalty("stack", "down")


def address(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    found = re.search(r"the console is at (http://127\.0\.0\.1:\d+/)", done.stdout)
    assert found is not None, done.stdout
    return found[1]


def test_it_is_started_once_found_again_and_ended_with_the_stack(run: Run, tmp_path: Path) -> None:
    first = address(run("console", "--background"))
    pid = int(re.findall(r"\d+", (tmp_path / "run" / "console.pid").read_text())[0])
    assert urlopen(f"{first}livez", timeout=5).read().decode() == HELLO
    told = lambda: "Redis does not answer" in urlopen(f"{first}stream", timeout=5).read().decode()  # noqa: E731
    assert wait_until(told, 20)
    assert address(run("console", "--background")) == first
    assert started_at(pid) is not None
    assert run("stack", "down").returncode == 0
    assert started_at(pid) is None
    assert not (tmp_path / "run" / "console.pid").exists()


def test_a_taken_port_is_told_and_the_next_free_one_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("console", "--background", LOYALTY_CONSOLE=f"127.0.0.1:{port}")
        assert f"port {port} is taken by another program" in done.stderr
        assert address(done) != f"http://127.0.0.1:{port}/"
        assert address(run("console", "--background", LOYALTY_CONSOLE=f"127.0.0.1:{port}")) == address(done)


def test_beyond_this_machine_it_does_not_start_without_a_token(run: Run) -> None:
    done = run("console", LOYALTY_CONSOLE=f"0.0.0.0:{free_port()}")
    assert done.returncode == 1
    assert "set LOYALTY_CONSOLE_TOKEN" in done.stderr
