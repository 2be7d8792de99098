"""Numbers are dealt, not topic-partitions: each once, evenly, and who had one keeps it."""

from collections.abc import Mapping, Sequence

import msgspec
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import INPUTS
from streams.assignor import CoPartitioned, deal

MEMBERS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.lists(st.integers(-2, 30), max_size=20), min_size=1, max_size=9
)


class Cluster:
    """What an assignor asks of the cluster: how many partitions a topic has."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self.counts[topic]))


def told(numbers: Sequence[int]) -> ConsumerProtocolMemberMetadata:
    return ConsumerProtocolMemberMetadata(0, list(INPUTS), msgspec.json.encode(numbers))


@given(st.integers(0, 24), MEMBERS)
def test_each_partition_goes_to_exactly_one_and_shares_differ_by_at_most_one(
    partitions: int, members: Mapping[str, Sequence[int]]
) -> None:
    dealt = deal(partitions, members)
    assert sorted(number for numbers in dealt.values() for number in numbers) == list(range(partitions))
    sizes = [len(numbers) for numbers in dealt.values()]
    assert set(dealt) == set(members)
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 24), st.integers(1, 6))
def test_nothing_moves_when_the_same_members_meet_again(partitions: int, count: int) -> None:
    dealt = deal(partitions, {f"m{n}": [] for n in range(count)})
    assert deal(partitions, dealt) == dealt


@given(st.integers(1, 24), st.integers(1, 6))
def test_a_newcomer_takes_no_more_than_its_share_from_others(partitions: int, count: int) -> None:
    before = deal(partitions, {f"m{n}": [] for n in range(count)})
    after = deal(partitions, {**before, "new": []})
    moved = sum(len(set(before[member]) - set(after[member])) for member in before)
    assert moved == len(after["new"])


@given(st.integers(1, 24), st.integers(2, 6))
def test_when_one_leaves_the_others_keep_what_they_had(partitions: int, count: int) -> None:
    before = deal(partitions, {f"m{n}": [] for n in range(count)})
    after = deal(partitions, {member: numbers for member, numbers in before.items() if member != "m0"})
    assert all(set(before[member]) <= set(after[member]) for member in after)


def test_all_input_topics_of_a_number_go_to_one_worker_where_round_robin_would_part_them() -> None:
    members = {f"m{n}": told([]) for n in range(5)}
    dealt = CoPartitioned().assign(Cluster(dict.fromkeys(INPUTS, 12)), members)  # type: ignore[arg-type]
    for assignment in dealt.values():
        numbers = {tuple(partitions) for _, partitions in assignment.assignment}
        assert len(numbers) == 1
        assert {topic for topic, _ in assignment.assignment} == set(INPUTS)


def test_a_member_of_another_release_that_tells_nothing_readable_had_nothing() -> None:
    members = {"old": ConsumerProtocolMemberMetadata(0, list(INPUTS), b"\xff"), "new": told([1])}
    dealt = CoPartitioned().assign(Cluster(dict.fromkeys(INPUTS, 2)), members)  # type: ignore[arg-type]
    assert dealt["new"].assignment[0][1] == [1]
    assert dealt["old"].assignment[0][1] == [0]


def test_a_member_tells_what_it_was_given() -> None:
    assignor = CoPartitioned()
    dealt = assignor.assign(Cluster(dict.fromkeys(INPUTS, 3)), {"me": told([])})  # type: ignore[arg-type]
    assignor.on_assignment(dealt["me"])
    assert msgspec.json.decode(assignor.metadata(INPUTS).user_data) == [0, 1, 2]
