"""V7: capitals are ranks among the customers as they are, whatever the counters went through to get there."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.capitals import Capitals, Points, Ranking, count_capitals, month_of, months_on_end, points
from processors.history import FIRST_DAY, History
from processors.sketch import class_of
from tests.core.driving import Partition
from tests.core.events import sale
from tests.core.test_M_what_if import CLV
from tests.strategies import DAY_MS, event_of, histories, policies, policy_of


def mid_rank(own: int, everybody: list[int]) -> float:
    below = sum(one < own for one in everybody)
    equal = sum(one == own for one in everybody)
    return 100 * (below + equal / 2) / len(everybody)


@given(policies("UTC"), st.data(), st.integers(0, 10**6))
@settings(max_examples=40)
def test_V7_counters_are_the_points_of_all_who_are_there_and_ranks_follow(text, data, seed):
    policy = policy_of(text + CLV.format(days=1095, rate="0.1"))
    partition = Partition(policy)
    logs = data.draw(st.lists(histories("UTC", most=6), min_size=1, max_size=5))
    events = [event_of(one | {"customer_id": f"c{n}"}) for n, log in enumerate(logs) for one in log]
    Random(seed).shuffle(events)
    last = max(one.occurred_at for one in events)
    partition.run([*events, last + data.draw(st.integers(0, 400)) * DAY_MS])
    if len(logs) > 1 and data.draw(st.booleans()):
        partition.erase("c0")
    held = {
        name: points(one.history, one.counted.clv)
        for name, one in partition.customers.items()
        if one.counted is not None
    }
    assert len(held) >= len(logs) - 1
    wanted = Counter(f"capital_{which}:{n}" for own in held.values() for which, n in own._asdict().items())
    assert Counter({k: n for k, n in partition.counts.items() if k.startswith("capital_") and n}) == wanted
    ranking = Ranking(partition.counts)
    for own in held.values():
        found = ranking.of(own)
        assert found is not None
        for which in Points._fields:
            exact = mid_rank(getattr(own, which), [getattr(one, which) for one in held.values()])
            assert abs(getattr(found, which) - exact) <= 0.5
            assert 0 <= getattr(found, which) <= 100


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(-3, 33))
def test_V7_a_rank_holds_for_points_that_nobody_else_has(everybody, own):
    counts = Counter(f"capital_{which}:{n}" for n in everybody for which in Points._fields)
    found = Ranking(counts).of(Points(own, own, own))
    assert found is not None
    assert abs(found.brand - mid_rank(own, everybody)) <= 0.5
    assert found.brand == found.value == found.relation


def test_V7_of_partitions_together_as_of_one():
    one, other = Counter({"capital_brand:5": 3}), Counter({"capital_brand:7": 1})
    more = {f"capital_{which}:0": 4 for which in ("value", "relation")}
    assert Ranking(one + other + Counter(more)).of(Points(7, 0, 0)) == Capitals(88, 50, 50)
    assert Ranking({}).of(Points(7, 0, 0)) is None


def test_V7_time_alone_moves_no_rank():
    """Whoever has been here a month longer has a point more, then as now."""
    first, later = (points(History(first_at=day * DAY_MS), 0).relation for day in (19_000, 19_100))
    assert first - later == month_of(19_100) - month_of(19_000) == 3


@pytest.mark.parametrize(("days", "run"), [((), 0), ((5,), 1), ((5, 40, 70), 3), ((5, 70, 100), 2), ((5, 6, 7), 1)])
def test_V7_a_streak_is_of_months_up_to_the_last_with_a_purchase(days, run):
    packed = b"".join((day - FIRST_DAY).to_bytes(2, "little") for day in days)
    assert months_on_end(packed) == run


def test_V7_nothing_and_a_loss_are_one_and_classes_rise_with_clv():
    found = [points(History(), clv).value for clv in (-500, 0, 1, 1_000, 100_000)]
    assert found == [0, 0, class_of(1), class_of(1_000), class_of(100_000)] == sorted(found)


def test_V7_who_was_not_counted_before_comes_in_and_who_goes_goes():
    policy = policy_of('[programme]\nname = "c"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n')
    anna = Partition(policy).run([event_of(sale(19_000 * DAY_MS, 500))]).customers["anna"]
    counts: Counter[str] = Counter()
    count_capitals(counts, None, anna)
    assert sum(counts.values()) == 3
    count_capitals(counts, anna, anna)
    count_capitals(counts, anna, None)
    assert not any(counts.values())
