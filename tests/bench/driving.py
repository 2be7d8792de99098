"""A partition's loop on a real Redis without Kafka: records are made here, and its ends are where they end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from infra.localstack import Stack
from processors.events import Purchase
from schemas import codec, topics
from sinks.commit import Commit, Load
from sinks.store import Store
from streams.datasets import encoded
from streams.partition import AskEnds, PartitionLoop
from streams.time_order import End
from tests.bench.__main__ import pinned


@contextmanager
def own_redis(port: int) -> Iterator[str]:
    """The URL of a Redis on the first core, which leaves nothing behind; who asks runs on the second meanwhile."""
    with tempfile.TemporaryDirectory(prefix="loyalty-bench-") as folder:
        url = f"redis://127.0.0.1:{port}/0"
        stack = Stack(f"127.0.0.1:{port + 1}", url, Path(folder))
        try:
            with pinned(0):
                stack.start_redis()
            with pinned(1):
                yield url
        finally:
            stack.down()


class Tick:
    """A record of `ticks`."""

    headers: tuple[()] = ()
    key = None

    def __init__(self, offset: int, at: int) -> None:
        self.offset, self.timestamp = offset, at
        self.value = codec.write(topics.TICKS, {"at": at})


class Bought:
    """A record of `purchases`."""

    headers: tuple[()] = ()

    def __init__(self, offset: int, purchase: Purchase) -> None:
        self.offset, self.timestamp = offset, purchase.occurred_at
        self.key, self.value = purchase.customer_id.encode(), encoded(purchase)


async def drive(loop: PartitionLoop, store: Store, ends: Mapping[str, int]) -> int:
    """Do all that the loop asks for; `ends`: topic to how many records it holds. How many states were written."""
    written = 0
    while (effect := loop.work()) is not None:
        match effect:
            case Load():
                loaded, began = await store.load(loop.partition, effect), perf_counter()
                loop.loaded(loaded)
                loop.took(perf_counter() - began)
            case Commit():
                written += len(effect.writes)
                loop.committed(await store.commit(effect))
            case AskEnds():
                at = {topic: ends.get(topic, 0) for topic in topics.INPUTS}
                loop.ends({topic: End(end, end) for topic, end in at.items()}, effect.asked)
            case _:
                raise AssertionError(effect)
    return written


async def fold(loop: PartitionLoop, store: Store, purchases: Iterable[Purchase], at_once: int = 1_000) -> int:
    """Hand purchases over in record sets and fold each at once. How many there were."""
    number = 0
    some: list[Bought] = []
    for purchase in purchases:
        some.append(Bought(number, purchase))
        number += 1
        if len(some) == at_once:
            loop.receive(topics.PURCHASES, some, number)
            await drive(loop, store, {topics.PURCHASES: number})
            some = []
    loop.receive(topics.PURCHASES, some, number)
    await drive(loop, store, {topics.PURCHASES: number})
    return number
