"""A TCP proxy between a worker and its Redis that loses the reply of a commit which happened.

It reads along: a request that calls the commit script by its digest marks the connection, and the reply to it is
either passed on or, where the toss says so, swallowed: the connection is closed, as by a network that failed at the
worst moment. What the script answered is counted, so that a test can say how many commits were done and repeated.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from random import Random
from types import TracebackType

from sinks.connection import Script

_CHUNK = 65_536
_COMMIT_CALL = b"EVALSHA\r\n$40\r\n" + Script("commit").digest.encode() + b"\r\n"
_ANSWERS = (b"DONE", b"ALREADY", b"FENCED")


class LossyProxy:
    """Listens on a free port of loopback. lose: the most replies to lose; chance: of each to be lost, 0..1."""

    def __init__(self, host: str, port: int, *, lose: int, chance: float, rng: Random) -> None:
        self._target = (host, port)
        self._left, self._chance, self._rng = lose, chance, rng
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        self.lost = 0
        self._sockets: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> LossyProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _close(self._server)
        with self._lock:
            left = list(self._sockets)
        for one in left:
            _close(one)

    @property
    def url(self) -> str:
        """LOYALTY_REDIS for the worker."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            _close(client)
            return
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets |= {client, server}
        committing = threading.Event()
        threading.Thread(target=self._requests, args=(client, server, committing), daemon=True).start()
        _pump(server, client, lambda reply: self._passes(reply, committing))
        with self._lock:
            self._sockets -= {client, server}

    def _requests(self, client: socket.socket, server: socket.socket, committing: threading.Event) -> None:
        tail = b""

        def look(chunk: bytes) -> bool:
            nonlocal tail
            seen = tail + chunk
            if _COMMIT_CALL in seen:
                committing.set()  # before it is sent on: the reply cannot overtake the mark
                seen = seen.rpartition(_COMMIT_CALL)[2]
            tail = seen[-len(_COMMIT_CALL) :]
            return True

        _pump(client, server, look)

    def _passes(self, reply: bytes, committing: threading.Event) -> bool:
        """Whether the reply goes on. One connection has one command under way, so a reply is that of the last call."""
        if not committing.is_set():
            return True
        committing.clear()
        answer = next((word.decode() for word in _ANSWERS if word in reply), "other")
        with self._lock:
            self.answers[answer] += 1
            if answer != "DONE" or self._left <= 0 or self._rng.random() >= self._chance:
                return True
            self._left -= 1
            self.lost += 1
            return False


def _pump(source: socket.socket, target: socket.socket, passes: Callable[[bytes], bool]) -> None:
    """Until one side closes, or `passes` says no; then both sides are closed."""
    with contextlib.suppress(OSError):
        while (chunk := source.recv(_CHUNK)) and passes(chunk):
            target.sendall(chunk)
    _close(source)
    _close(target)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
