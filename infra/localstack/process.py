"""A server that outlives the command that started it: pid file, readiness, graceful and rough ends.

A pid alone names nobody: it may have been given to another program since. The file therefore holds the process's
start time too, and nothing is ever signalled whose start time differs.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.05

_children: dict[int, subprocess.Popen[bytes]] = {}  # what this process started: reaped here, so that none stays defunct


class StackError(Exception):
    """The local stack cannot do it. The text names place, value, rule and the way out."""


def started_at(pid: int) -> str | None:
    """When the process began, as text that is compared only; None if there is none (a defunct one has ended)."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_at_by_ps(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in brackets may hold blanks
    if fields[0] in "ZX" and not _has_threads(pid):
        return None
    return f"{_boot()}:{fields[19]}"


def _has_threads(pid: int) -> bool:
    """Of a killed JVM the first thread is defunct at once; the port is free when the last one has gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started_at_by_ps(pid: int) -> str | None:
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, start = done.stdout.strip().partition(" ")
    return start.strip() if start and not state.startswith("Z") else None


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def port_taken(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


class Daemon:
    """One server: its pid file, its log, its life. `answers` says that it is ready for requests."""

    def __init__(self, name: str, run_dir: Path, answers: Callable[[], bool], tell: Callable[[str], None]) -> None:
        self.name = name
        self.pid_file = run_dir / f"{name}.pid"
        self.log = run_dir / f"{name}.log"
        self._answers = answers
        self._tell = tell

    def pid(self) -> int | None:
        """Of the running server, None if it does not run. A pid file that is stale is told and removed."""
        recorded = self._recorded()
        if recorded is None:
            return None
        pid, start = recorded
        now = started_at(pid)
        if now == start:
            return pid
        whose = "nobody" if now is None else "another program, which is left alone"
        self._tell(f"{self.name}: {self.pid_file} was stale (pid {pid} is {whose}); removed")
        self.pid_file.unlink(missing_ok=True)
        return None

    def runs(self, seconds: float = 30.0) -> bool:
        """Whether it runs already. Raises StackError if it does but keeps silent at the address we expect."""
        pid = self.pid()
        if pid is None:
            return False
        if not wait_until(lambda: self._answers() or started_at(pid) is None, seconds):
            raise StackError(
                f"{self.name} runs (pid {pid}) but does not answer at the address of the settings; "
                "were they other ones when it was started? `loyalty stack down`, then up again"
            )
        return self.pid() is not None

    def start(self, argv: Sequence[str], seconds: float, env: Mapping[str, str] | None = None) -> int:
        """Start it detached and return its pid once it answers. Raises StackError with the end of its log."""
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
            )
        _children[child.pid] = child
        self._record(child.pid)
        if not wait_until(lambda: child.poll() is not None or self._answers(), seconds):
            self.kill(signal.SIGKILL)
            raise StackError(
                f"{self.name} did not answer within {seconds:.0f} s; the end of {self.log}:\n{self.tail()}"
            )
        if child.poll() is not None:
            self.pid_file.unlink(missing_ok=True)
            raise StackError(f"{self.name} ended with {child.returncode}; the end of {self.log}:\n{self.tail()}")
        return child.pid

    def stop(self, seconds: float) -> bool:
        """End it: SIGTERM, and SIGKILL once `seconds` have passed. False if it did not run."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: started_at(pid) is None, seconds):
            self._tell(f"{self.name}: still there {seconds:.0f} s after SIGTERM; killed")
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: started_at(pid) is None, 10)
        self.pid_file.unlink(missing_ok=True)
        return True

    def kill(self, sig: int) -> bool:
        """Send a signal as it comes (crash tests). After SIGKILL the process is gone on return. False: none runs."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, sig)
        if sig == signal.SIGKILL:
            wait_until(lambda: started_at(pid) is None, 10)
            self.pid_file.unlink(missing_ok=True)
        return True

    def tail(self, lines: int = 15) -> str:
        """The end of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    def _record(self, pid: int) -> None:
        start = started_at(pid)
        if start is not None:
            self.pid_file.write_text(json.dumps({"pid": pid, "started": start}))

    def _recorded(self) -> tuple[int, str] | None:
        try:
            recorded = json.loads(self.pid_file.read_text())
            return int(recorded["pid"]), str(recorded["started"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            self._tell(f"{self.name}: {self.pid_file} was no pid file; removed")
            self.pid_file.unlink(missing_ok=True)
            return None
