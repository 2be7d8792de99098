"""A worker on a host that is ill, as a process: `python -m tests.chaos.ill_worker worker …`.

The environment is a worker's, and CHAOS_HOST says what ails the host, as JSON: `clock`, a file with the milliseconds by
which its wall clock is wrong, as it stands at each look; `detours`, a port of loopback to the port to which whoever
connects to it is taken (a broker tells its clients where it is: no setting leads them through a proxy).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NS_A_MS = 1_000_000


def set_clock(path: Path) -> None:
    """From now on the wall clock is wrong by what the file says. What measures how long something takes is not."""
    right = time.time_ns

    def wrong_ns() -> int:
        return right() + int(path.read_text() or "0") * NS_A_MS

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9


def set_detours(detours: dict[int, int]) -> None:
    """Who connects to a port that is named gets to the other one."""

    def led(connect: Callable[..., Any]) -> Callable[..., Any]:
        def away(self: socket.socket, address: Any) -> Any:
            if self.family == socket.AF_INET:
                address = (address[0], detours.get(address[1], address[1]))
            return connect(self, address)

        return away

    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, led(getattr(socket.socket, name)))


if __name__ == "__main__":
    ails = json.loads(os.environ["CHAOS_HOST"])
    set_clock(Path(ails["clock"]))
    set_detours({int(port): to for port, to in ails["detours"].items()})
    from streams.cli import main  # only now: what is imported may take `time.time` along

    sys.exit(main())
