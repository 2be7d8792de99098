"""Made-up people around a real till: the same for a seed, in order of time, and records that the contract takes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from schemas import codec, topics
from streams.datasets import dataset
from streams.people import with_people


def test_people_are_the_same_for_a_seed_in_order_of_time_and_every_record_is_one_that_the_core_takes() -> None:
    till = dataset("cdnow-sample", 200)
    feed, again, other = (with_people(till, seed) for seed in (1, 1, 2))
    items = list(feed)
    assert items == list(again)
    assert items != list(other)
    assert len({feed.mark, other.mark, till.mark}) == 3
    assert len(items) == feed.count
    assert all(before.at <= after.at for before, after in pairwise(items))
    assert (items[0].at, items[-1].at) == (feed.first_ms, feed.last_ms)
    kinds: Counter[str] = Counter()
    for item in items:
        kinds[item.topic] += 1
        assert codec.decode(item.topic, item.value, item.key).customer_id == item.key.decode()
    assert kinds[topics.CUSTOMERS] >= 200
    assert all(kinds[topic] > 5 for topic in (topics.COMPLAINTS, topics.CONTACTS, topics.PURCHASES))


def test_a_customer_is_the_same_whoever_else_is_there() -> None:
    def of_first(customers: int) -> list[tuple[int, str, bytes | None]]:
        found = list(with_people(dataset("cdnow-sample", customers), 7))
        first = min(item.key for item in found)
        return [
            (item.at, item.topic, item.value) for item in found if item.key == first and item.topic == topics.CUSTOMERS
        ]

    assert of_first(1)[0] == of_first(50)[0]
