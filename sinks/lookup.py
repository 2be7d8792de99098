"""Reads for people, programs and figures: states, views and fences, without taking anything over or changing anything.

Synchronous: a command asks and prints. Nothing here is one snapshot of Redis: a worker may commit between two calls, so
a customer and a fence read one after the other fit together to within a commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.retry import Retry

from processors.customer import Customer
from schemas import state
from schemas.partitioner import partition_of
from sinks.clients import client_of
from sinks.commit import Fence
from sinks.keys import Keys
from sinks.store import fence_of

ANSWER_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 3.0
PAGE: Final = 1_000
"""So many customers are read in one trip: about a megabyte."""


class Lookup:
    """redis_url: see `sinks/addresses.py`. Raises what redis-py raises where Redis does not answer."""

    def __init__(self, redis_url: str, keys: Keys) -> None:
        self._url, self._keys = redis_url, keys
        self._partitions = 0

    @cached_property
    def _redis(self) -> Any:
        """The client, made when it is first needed: that of a cluster asks at once where everything lies."""
        return client_of(
            self._url,
            retry=Retry(NoBackoff(), 1),
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
        )

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        if "_redis" in self.__dict__:
            self._redis.close()

    @property
    def partitions(self) -> int:
        """As the first worker wrote it to `loyalty:meta`; 0: no worker has been here."""
        if not self._partitions:  # written once, and never changed
            self._partitions = int(self._redis.hget(self._keys.meta(), "partitions") or 0)
        return self._partitions

    def fences(self) -> dict[int, Fence]:
        """The fence of each partition."""
        with self._redis.pipeline(transaction=False) as pipe:
            for partition in range(self.partitions):
                pipe.hgetall(self._keys.fence(partition))
            return {partition: fence_of(held.items()) for partition, held in enumerate(pipe.execute())}

    def figures(self) -> Counter[str]:
        """The programme's counters, all partitions together; see `processors/figures.py` for those of people."""
        with self._redis.pipeline(transaction=False) as pipe:
            for partition in range(self.partitions):
                pipe.hgetall(self._keys.kpi(partition))
            found: Counter[str] = Counter()
            for held in pipe.execute():
                found.update({name.decode(): int(number) for name, number in held.items()})
            return found

    def waiting(self) -> dict[int, tuple[int, float | None]]:
        """By partition: outputs not yet published, and when its earliest review is due (ms; None: nobody is known)."""
        with self._redis.pipeline(transaction=False) as pipe:
            for partition in range(self.partitions):
                pipe.xlen(self._keys.outbox(partition))
                pipe.zcard(self._keys.values(partition))
                pipe.zrange(self._keys.due(partition), 0, 0, withscores=True)
            held = iter(pipe.execute())
            return {
                partition: (entries + views, first[0][1] if first else None)
                for partition, (entries, views, first) in enumerate(zip(held, held, held, strict=True))
            }

    def customer(self, customer_id: str) -> tuple[int, Customer] | None:
        """Partition and state of a customer; None for an unknown id."""
        partition = self._partition_of(customer_id)
        if partition is None:
            return None
        held = self._redis.get(self._keys.state(partition, customer_id))
        return None if held is None else (partition, state.decode(held))

    def several(self, ids: Iterable[str]) -> dict[str, Customer]:
        """The states of those of `ids` who are known."""
        asked = list(ids) if self.partitions else []
        found: dict[str, Customer] = {}
        for start in range(0, len(asked), PAGE):
            names = asked[start : start + PAGE]
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.get(self._keys.state(partition_of(name.encode(), self.partitions), name))
                blobs = zip(names, pipe.execute(), strict=True)
            found.update((name, state.decode(blob)) for name, blob in blobs if blob is not None)
        return found

    def view(self, customer_id: str) -> dict[str, str] | None:
        """The fields of a customer's hash; None for an unknown id."""
        partition = self._partition_of(customer_id)
        if partition is None:
            return None
        held = self._redis.hgetall(self._keys.customer(partition, customer_id))
        return {name.decode(): value.decode() for name, value in held.items()} or None

    def views(self) -> Iterator[dict[str, str]]:
        """The hash of every customer who has one, partition by partition; as `customers` while a worker works."""
        for partition in range(self.partitions):
            for ids in self._pages(partition):
                with self._redis.pipeline(transaction=False) as pipe:
                    for customer_id in ids:
                        pipe.hgetall(self._keys.customer(partition, customer_id))
                    for held in filter(None, pipe.execute()):
                        yield {name.decode(): value.decode() for name, value in held.items()}

    def customers(self) -> Iterator[tuple[int, Customer]]:
        """Partition and state of every customer, partition by partition.

        Each that is known from beginning to end comes exactly once; one that a worker adds or erases meanwhile may or
        may not come.
        """
        for partition in range(self.partitions):
            for ids in self._pages(partition):
                names = [self._keys.state(partition, customer_id) for customer_id in ids]
                for held in self._redis.mget(names):
                    if held is not None:
                        yield partition, state.decode(held)

    def _pages(self, partition: int) -> Iterator[list[str]]:
        """The ids of a partition's due index, each once: a scan may name one twice."""
        seen: set[bytes] = set()
        cursor = 0
        while True:
            cursor, found = self._redis.zscan(self._keys.due(partition), cursor, count=PAGE)
            new = [member for member, _ in found if member not in seen]
            seen.update(new)
            if new:
                yield [member.decode() for member in dict.fromkeys(new)]
            if not cursor:
                return

    def _partition_of(self, customer_id: str) -> int | None:
        return partition_of(customer_id.encode(), self.partitions) if self.partitions else None
