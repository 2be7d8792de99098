"""Where logs begin and end, asked for now; and what is said where a log no longer holds a position."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, OffsetResetStrategy
from aiokafka.errors import LeaderNotAvailableError, for_code
from aiokafka.protocol.offset import OffsetRequest

from streams.partition import PartitionStopped

STARTS: Final[int] = OffsetResetStrategy.EARLIEST
STABLE_ENDS: Final[int] = OffsetResetStrategy.LATEST

_CONNECTION: Final = cast(Any, "offsets")
"""A connection of its own: a broker answers one connection in order, so a question behind a held fetch would wait for
it, and with it every tick."""

_WAY_OUT: Final = (
    "nothing is skipped silently; restore the topic, or begin anew on what is there with another LOYALTY_PREFIX"
)


class PositionLost(PartitionStopped):
    """The log no longer holds the position to read from; the text says where and the way out."""


def lost_text(tp: TopicPartition, position: int, start: int | None, end: int | None) -> str:
    """What is wrong with a position outside `start`..`end`; None: not known."""
    where = f"{tp.topic}[{tp.partition}]"
    if start is None or end is None:
        return f"{where}: position {position} is out of the log's range: {_WAY_OUT}"
    if position < start:
        return f"{where}: the fence is at {position}, the log starts at {start}: {start - position:,} gone; {_WAY_OUT}"
    return f"{where}: the fence is at {position}, the log ends at {end}: the topic was made anew or cut; {_WAY_OUT}"


async def offsets(client: AIOKafkaClient, tps: Sequence[TopicPartition], which: int) -> dict[TopicPartition, int]:
    """STARTS or STABLE_ENDS of each, in one request a broker: STABLE_ENDS are last stable offsets (read_committed).

    Raises KafkaError; where metadata is stale, after asking for news.
    """
    await client._maybe_wait_metadata()
    by_node: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for tp in tps:
        node = client.cluster.leader_for_partition(tp)
        if node is None or node == -1:
            client.force_metadata_update()
            raise LeaderNotAvailableError(tp)
        by_node[node][tp.topic].append((tp.partition, which))
    requests = (
        client.send(node, OffsetRequest(-1, READ_COMMITTED, list(topics.items())), group=_CONNECTION)
        for node, topics in by_node.items()
    )
    found: dict[TopicPartition, int] = {}
    for answer in await asyncio.gather(*requests):
        for topic, told in answer.topics:
            for partition, code, _, offset in told:
                if code:
                    client.force_metadata_update()
                    raise for_code(code)(TopicPartition(topic, partition))
                found[TopicPartition(topic, partition)] = offset
    return found
