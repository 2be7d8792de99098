"""Who of the group gets which partition: number `p` of every topic goes to the same worker, and stays where it was.

Faust's own choice doesn't do: without tables it takes round robin, which deals topic by topic; with five workers
purchases 3 and contacts 3 part ways. Here only numbers are dealt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

log = logging.getLogger("loyalty.assignor")


def deal(partitions: int, members: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Member to partition numbers: each of 0..partitions-1 exactly once, shares that differ by at most one.

    members: member id to the numbers it had; it keeps them as far as its share goes. Two who claim one (a member that
    was away comes back with what it had): the first by id keeps it.
    """
    free = set(range(partitions))
    kept: dict[str, list[int]] = {}
    for member in sorted(members):
        kept[member] = sorted(free.intersection(members[member]))
        free.difference_update(kept[member])
    least, larger = divmod(partitions, max(1, len(kept)))
    # Who holds most takes the larger shares: the fewest partitions move.
    by_holding = sorted(kept, key=lambda member: (-len(kept[member]), member))
    share = {member: least + (rank < larger) for rank, member in enumerate(by_holding)}
    for member, numbers in kept.items():
        free.update(numbers[share[member] :])
        del numbers[share[member] :]
    rest = sorted(free)
    for member in sorted(kept):
        missing = share[member] - len(kept[member])
        kept[member], rest = sorted(kept[member] + rest[:missing]), rest[missing:]
    return kept


class CoPartitioned(AbstractPartitionAssignor):
    """The group's leader deals; each member tells in its metadata which numbers it had."""

    name = "loyalty-copartitioned"
    version = 0

    def __init__(self) -> None:
        self._had: list[int] = []

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells when it joins."""
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), msgspec.json.encode(self._had))

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """What this member got."""
        self._had = sorted({number for _, numbers in assignment.assignment for number in numbers})

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Deal the numbers; called on the member that the broker chose as the group's leader."""
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        partitions = max(counts.values(), default=0)
        if len(set(counts.values())) > 1:
            log.error("input topics differ in their number of partitions, some customers are not served: %s", counts)
        dealt = deal(partitions, {member: _had(data.user_data) for member, data in members.items()})
        return {
            member: ConsumerProtocolMemberAssignment(
                self.version,
                [(topic, [n for n in numbers if n < counts[topic]]) for topic in topics],
                b"",
            )
            for member, numbers in dealt.items()
        }


def _had(user_data: bytes | None) -> list[int]:
    """The numbers a member had; none where it tells nothing readable (another release)."""
    try:
        return msgspec.json.decode(user_data or b"[]", type=list[int])
    except msgspec.DecodeError:
        return []
