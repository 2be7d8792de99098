"""What the suite needs of a store, and the two that it runs on: the one in memory and a real Redis."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from processors.customer import Customer, Told
from processors.fields import FIELDS
from processors.history import History, on_day
from processors.view import Value
from sinks.commit import Commit, Load, Record, Write
from sinks.keys import Keys
from sinks.memory import MemoryStore
from sinks.store import Store

ERASE_KEY = b"a key for tests"
PARTITION = 3


class Driven:
    """A store of either kind, called plainly. `view`, `due`, `kpi`: what partition 3 holds."""

    def __init__(self, store: Any, runner: asyncio.Runner) -> None:
        self.store, self._runner = store, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            return self.wait(answer) if inspect.isawaitable(answer) else answer

        return call

    def wait(self, awaitable: Any) -> Any:
        async def outer() -> Any:
            return await awaitable

        return self._runner.run(outer())

    def view(self, customer_id: str) -> dict[str, str]:
        """The customer's hash."""
        if isinstance(self.store, MemoryStore):
            return dict(self.store.partition(PARTITION).views.get(customer_id, {}))
        return self._texts("HGETALL", Keys("t").customer(PARTITION, customer_id))

    def due(self) -> dict[str, int]:
        """The due index."""
        if isinstance(self.store, MemoryStore):
            return dict(self.store.partition(PARTITION).due)
        return {
            name: int(at) for name, at in self._texts("ZRANGE", Keys("t").due(PARTITION), 0, -1, "WITHSCORES").items()
        }

    def kpi(self) -> dict[str, int]:
        """The counters."""
        if isinstance(self.store, MemoryStore):
            return dict(self.store.partition(PARTITION).kpi)
        return {name: int(n) for name, n in self._texts("HGETALL", Keys("t").kpi(PARTITION)).items()}

    def _texts(self, *command: Any) -> dict[str, str]:
        client = self.store.redis.client
        flat = self.wait(client.execute_command(*command))
        if isinstance(flat, dict):
            flat = [part for pair in flat.items() for part in pair]
        elif flat and isinstance(flat[0], tuple | list):
            flat = [part for pair in flat for part in pair]
        texts = [part.decode() if isinstance(part, bytes) else f"{part:.0f}" for part in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))


@contextmanager
def memory(**options: Any) -> Iterator[Driven]:
    with asyncio.Runner() as runner:
        yield Driven(MemoryStore(erase_key=ERASE_KEY, **options), runner)


@contextmanager
def real(url: str, **options: Any) -> Iterator[Driven]:
    """On an empty database of `url`, which is emptied again."""
    with asyncio.Runner() as runner:
        store = Store(url, Keys("t"), erase_key=ERASE_KEY, **{"clock": lambda: 0, **options})
        driven = Driven(store, runner)
        driven.wait(store.redis.client.flushdb())
        yield driven
        driven.wait(store.redis.client.flushdb())
        driven.wait(store.close())


def customer(name: str, due: int = 2_000, value: int = 100) -> Customer:
    """A customer due at `due` (ms)."""
    history = History(first_at=1)
    history = replace(history, **on_day(history, 17_000, value, 1, 0, 0, 0))
    return Customer(name, history, Told("member"), 1_000, due, "p@1#0")


def view(one: Customer, **more: Value) -> tuple[Value, ...]:
    """A few fields of its view, and `more`; all others are absent."""
    held = {"customer_id": one.id, "as_of": one.now, "policy": "p@1", "value_365d": one.history.value, **more}
    assert held.keys() <= set(FIELDS)
    return tuple(held.get(name) for name in FIELDS)


def write(name: str, due: int = 2_000, value: int = 100, **more: Any) -> Write:
    """The write of a customer."""
    one = customer(name, due, value)
    return Write(one, view(one, **more))


def record(n: int, customer_id: str | None = None) -> Record:
    """An outbox record that can be told from others."""
    return Record("tier-changes", b"%d" % n, bytes([n % 256]), (("ce_id", b"id-%d" % n),), customer_id)


def commit(epoch: int, seq: int, **changes: Any) -> Commit:
    """A commit that moves `purchases` from 10 x (seq - 1) to 10 x seq, and `changes`."""
    fields: dict[str, Any] = {
        "partition": PARTITION,
        "epoch": epoch,
        "seq": seq,
        "positions_from": {"purchases": 10 * (seq - 1)} if seq > 1 else {},
        "positions_to": {"purchases": 10 * seq},
        "clock": 1_000 * seq,
        "policy": "p@1#0",
        "shares": {},
        "since": -1,
        "writes": (),
        "erased": {},
        "outbox": (),
        "counts": {},
    }
    return Commit(**(fields | changes))


def ids(*names: str) -> Load:
    """A load by name."""
    return Load(names)
