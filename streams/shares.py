"""V5, V6, T8: the value at each top share that the policy's tiers and segments ask for, from the counters of all
partitions, carried to all of them by the ticks, so that every partition decides alike and a replay decides the same.

Live, the leader tells them with the first tick of each programme's day: whom a threshold moves is reviewed at once, all
of them, and that is for once a day. A worker that has caught up tells them once more at the instant of the last tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from processors.events import Tick
from processors.policy import Policy
from processors.segments import ORDER_KEY, shares_asked
from processors.tier import SHARE
from schemas import codec
from schemas.topics import TICKS
from streams.customers_now import CustomersNow
from streams.grading import Rows, first_of, news
from streams.ingest import CLOCK_HEADER
from streams.programme.sums import Sums
from streams.reading import TopicReader
from streams.settings import Settings

_TAIL: Final = 100


def asked(policy: Policy) -> tuple[str, ...]:
    """The top shares that the tiers' (T8) and the segments' (V6) conditions name, as the ticks call them."""
    tiers = {str(need) for tier in policy.tiers for name, need in tier.conditions if name == SHARE}
    return tuple(sorted(tiers | shares_asked(policy), key=lambda key: (key.startswith(ORDER_KEY), _share(key))))


def tells(policy: Policy) -> bool:
    """Whether ticks carry anything of all partitions: thresholds, or how employees serve (E2)."""
    return bool(policy.grades or asked(policy))


def _share(key: str) -> float:
    return float(key.removeprefix(ORDER_KEY))


def thresholds(counts: Mapping[str, int], policy: Policy) -> dict[str, int]:
    """Each share asked for to the least `value_365d` in it, or average order, minor units (V5, V6); empty while there
    is nobody. By average order those are ranked who have one."""
    sums = Sums(counts, None)
    if not sums.customers:
        return {}
    by_value, by_order = sums.spread(), sums.orders()
    return {
        key: (by_order if key.startswith(ORDER_KEY) else by_value).least_of_top(_share(key)) for key in asked(policy)
    }


class Shares:
    """Reads Redis; each call waits for it. Raises what redis-py raises, and LoyaltyError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def of(self, policy: Policy) -> dict[str, int]:
        """The thresholds under `policy`, from the counters as they are."""
        with CustomersNow(self._settings) as now:
            return thresholds(now.figures(), policy)

    def served(self, policy: Policy) -> Rows | None:
        """What ticks have still to say of those who serve (E2), from the counters as they are; None: of nobody yet."""
        with CustomersNow(self._settings) as now:
            return news(now, policy)

    def still_to_tell(self) -> dict[int, Tick] | None:
        """Partition to the tick that it lacks, at its own clock; None while a partition has ticks before it.

        Empty: the policy in force asks for nothing, or all partitions know the thresholds, and how those serve whose
        grades they decide (E2).
        """
        with CustomersNow(self._settings) as now:
            policy, fences = now.policy(), now.fences
            if not tells(policy) or all(fence.clock is None for fence in fences.values()):
                return {}
            with TopicReader(self._settings.kafka) as reader:
                ends = reader.ends(TICKS)
            if any(ends.get(number, 0) > fence.positions.get(TICKS, 0) for number, fence in fences.items()):
                return None
            found = thresholds(now.figures(), policy) if asked(policy) else {}
            rows = first_of(news(now, policy) or {})
        ticks = {}
        for number, fence in fences.items():
            shares, served = {} if dict(fence.shares) == found else found, rows.get(number, ())
            if fence.clock is not None and (shares or served):
                ticks[number] = Tick(at=fence.clock, value_at_share=shares, served=served)
        return ticks


async def tell(settings: Settings, ticks: Mapping[int, Tick]) -> None:
    """Write a tick to each partition, marked as its last one is: of an import or of a wall clock. Raises KafkaError."""
    marks = await asyncio.to_thread(_marks, settings)
    producer = AIOKafkaProducer(**settings.kafka.options(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for number, tick in ticks.items():
            value = codec.encode_event(TICKS, tick)
            await producer.send_and_wait(TICKS, value, partition=number, headers=marks.get(number, []))
    finally:
        await producer.stop()


def _marks(settings: Settings) -> dict[int, list[tuple[str, bytes]]]:
    """Partition to the header by which its last tick says whose clock it is."""
    found: dict[int, list[tuple[str, bytes]]] = {}
    with TopicReader(settings.kafka) as reader:
        tails: Mapping[int, list[Any]] = reader.tails(TICKS, _TAIL)
    for number, records in tails.items():
        for record in records[-1:]:
            found[number] = [(name, value) for name, value in record.headers if name == CLOCK_HEADER]
    return found
