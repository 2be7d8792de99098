"""Which record of a partition comes next, against the plain sentence: again and again the lowest head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from processors.events import Purchase, Tick
from streams.time_order import SOON_MS, End, Item, TimeOrder

TOPICS = ("purchases", "contacts", "ticks")


class Record(Struct, frozen=True):
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def item(topic: str, at: int, offset: int, *, ahead: bool = False, policy: str = "") -> Item:
    event = (
        Tick(at=at, policy=policy)
        if topic == "ticks"
        else Purchase(
            event_id=str(offset),
            customer_id="anna",
            occurred_at=at,
            kind="SALE",
            store_id="s",
            currency="USD",
            lines=(),
        )
    )
    return Item(topic, at, event, Record(offset), ahead)


def order(**topics: Sequence[int]) -> TimeOrder:
    """A TimeOrder with one record set of each topic, offsets from 0, and the ends known; what is not named is empty."""
    made = TimeOrder(TOPICS, {})
    for topic, times in topics.items():
        made.put(topic, [item(topic, at, n) for n, at in enumerate(times)], len(times))
    tell_ends(made, **{topic: len(times) for topic, times in topics.items()})
    return made


def tell_ends(made: TimeOrder, **ends: int) -> None:
    made.ends({topic: End(ends.get(topic, 0), ends.get(topic, 0)) for topic in TOPICS}, made.asked)


def times(items: Iterable[Item]) -> list[tuple[str, int]]:
    return [(one.topic, one.at) for one in items]


def take(made: TimeOrder, limit: int = 100) -> list[tuple[str, int]]:
    return times(made.take(limit)[0])


def test_the_head_with_the_lowest_time_comes_next_whatever_lies_behind_it() -> None:
    made = order(purchases=[5, 1, 9], contacts=[4, 6])
    assert take(made) == [("contacts", 4), ("purchases", 5), ("purchases", 1), ("contacts", 6), ("purchases", 9)]


def test_ties_go_by_the_topic_table_ticks_last_then_by_offset() -> None:
    made = order(ticks=[3], contacts=[3, 3], purchases=[3])
    assert [(one.topic, one.record.offset) for one in made.take(9)[0]] == [
        ("purchases", 0),
        ("contacts", 0),
        ("contacts", 1),
        ("ticks", 0),
    ]


def test_nothing_goes_while_a_topic_is_empty_and_its_end_unknown() -> None:
    made = TimeOrder(TOPICS, {})
    made.put("purchases", [item("purchases", 1, 0)], 1)
    assert made.take(9) == ([], True)
    tell_ends(made)
    assert take(made) == [("purchases", 1)]


def test_a_record_waits_for_a_topic_that_was_not_read_to_its_end() -> None:
    made = TimeOrder(TOPICS, {})
    made.put("purchases", [item("purchases", 7, 0)], 1)
    made.ends({topic: End(0, 1 if topic == "contacts" else 0) for topic in TOPICS}, made.asked)
    assert made.take(9) == ([], True)
    made.put("contacts", [item("contacts", 3, 0)], 1)
    tell_ends(made, purchases=1, contacts=1)
    assert take(made) == [("contacts", 3), ("purchases", 7)]


def test_a_record_soon_after_stream_time_waits_for_no_new_ends() -> None:
    made = TimeOrder(TOPICS, {}, ticked=True, clock=1_000_000)
    tell_ends(made)
    soon = 1_000_000 + SOON_MS
    made.put("contacts", [item("contacts", soon, 0), item("contacts", soon + 1, 1)], 2)
    assert take(made) == [("contacts", soon)]
    assert made.take(9) == ([], True), "the second lies further than ticks may be apart"


def test_a_record_far_after_stream_time_waits_for_what_was_written_before_it() -> None:
    made = TimeOrder(TOPICS, {}, ticked=True, clock=1_000)
    tell_ends(made)
    made.put("contacts", [item("contacts", 90_000_000, 0)], 1)
    assert made.take(9) == ([], True), "ends as of before it came"
    made.ends({topic: End(0, 1 if topic == "purchases" else 0) for topic in TOPICS}, made.asked)
    assert made.take(9) == ([], True), "an earlier purchase lies there by now"
    made.put("purchases", [item("purchases", 80_000_000, 0)], 1)
    tell_ends(made, purchases=1, contacts=1)
    assert take(made) == [("purchases", 80_000_000), ("contacts", 90_000_000)]


def test_a_tick_waits_for_ends_that_were_asked_for_after_it_was_fetched() -> None:
    made = TimeOrder(TOPICS, {})
    tell_ends(made)
    asked_before = made.asked
    made.put("ticks", [item("ticks", 5, 0)], 1)
    assert made.take(9) == ([], True), "the ends are older than the tick"
    made.ends({topic: End(0, 0) for topic in TOPICS}, asked_before)
    assert made.take(9) == ([], True), "they were asked for before the tick came, and answered after"
    tell_ends(made, ticks=1)
    assert take(made) == [("ticks", 5)]


def test_a_tick_does_not_wait_where_every_other_topic_has_a_later_head() -> None:
    made = TimeOrder(TOPICS, {})
    for topic, at in (("purchases", 8), ("contacts", 6), ("ticks", 5)):
        made.put(topic, [item(topic, at, 0)], 1)
    assert times(made.take(1)[0]) == [("ticks", 5)]


def test_markers_and_gaps_are_passed_without_a_record() -> None:
    made = TimeOrder(TOPICS, {"purchases": 4})
    made.put("ticks", [item("ticks", 5, 0)], 1)
    made.ends({"purchases": End(4, 6), "contacts": End(0, 0), "ticks": End(1, 1)}, made.asked)
    assert made.take(9) == ([], True), "two offsets are still to be read"
    made.ends({"purchases": End(6, 6), "contacts": End(0, 0), "ticks": End(1, 1)}, made.asked)
    assert take(made) == [("ticks", 5)]
    assert made.position("purchases") == 6
    assert made.next_position("purchases") == 6


def test_an_empty_record_set_moves_the_position_and_is_no_tick() -> None:
    made = order(purchases=[1])
    asked = made.asked
    made.put("ticks", [], 3)
    assert (made.position("ticks"), made.asked) == (3, asked)


def test_positions_tell_what_was_received_and_what_was_taken() -> None:
    made = order(purchases=[1, 2, 3])
    made.take(2)
    assert (made.position("purchases"), made.next_position("purchases"), made.buffered("purchases")) == (3, 2, 1)
    assert not made.empty


def test_a_batch_ends_behind_a_tick_that_names_a_policy() -> None:
    made = order(purchases=[9])
    made.put("ticks", [item("ticks", 1, 0), item("ticks", 2, 1, policy="p@2#00000000"), item("ticks", 3, 2)], 3)
    tell_ends(made, purchases=1, ticks=3)
    assert take(made) == [("ticks", 1), ("ticks", 2)]
    assert take(made) == [("ticks", 3), ("purchases", 9)]


def test_the_policy_in_force_named_again_ends_no_batch() -> None:
    made = order()
    made.put("ticks", [item("ticks", 1, 0, policy="p@1#00000000"), item("ticks", 2, 1)], 2)
    tell_ends(made, ticks=2)
    assert times(made.take(9, "p@1#00000000")[0]) == [("ticks", 1), ("ticks", 2)]


def test_what_is_too_far_ahead_holds_up_nobody_once_there_was_a_tick() -> None:
    made = TimeOrder(TOPICS, {}, ticked=True)
    made.put("purchases", [item("purchases", 4_000, 0, ahead=True), item("purchases", 2, 1)], 2)
    made.put("ticks", [item("ticks", at, n) for n, at in enumerate((1, 3))], 2)
    tell_ends(made, purchases=2, ticks=2)
    assert [one.record.offset for one in made.take(1)[0]] == [0]
    assert take(made) == [("ticks", 1), ("purchases", 2), ("ticks", 3)]


def test_before_the_first_tick_what_is_far_ahead_has_its_turn_by_its_time() -> None:
    made = TimeOrder(TOPICS, {})
    made.put("purchases", [item("purchases", 4_000, 0, ahead=True), item("purchases", 5, 1)], 2)
    made.put("contacts", [item("contacts", 8, 0)], 1)
    made.put("ticks", [item("ticks", 3, 0), item("ticks", 9, 1)], 2)
    tell_ends(made, purchases=2, contacts=1, ticks=2)
    taken = made.take(9)[0]
    assert [(one.topic, one.record.offset) for one in taken] == [
        ("ticks", 0),
        ("purchases", 0),  # at once, now that there is a clock
        ("purchases", 1),
        ("contacts", 0),
        ("ticks", 1),
    ]


# -- against the plain sentence

LOGS = st.fixed_dictionaries({topic: st.lists(st.integers(0, 20), max_size=12) for topic in TOPICS})


def plainly(logs: dict[str, list[int]]) -> list[tuple[str, int]]:
    """All records by repeatedly taking the lowest head; ties by topic."""
    heads = dict.fromkeys(TOPICS, 0)
    taken = []
    while waiting := [topic for topic in TOPICS if heads[topic] < len(logs[topic])]:
        lowest = min(waiting, key=lambda topic: (logs[topic][heads[topic]], TOPICS.index(topic)))
        taken.append((lowest, logs[lowest][heads[lowest]]))
        heads[lowest] += 1
    return taken


@given(LOGS, st.data())
def test_any_record_sets_in_any_turn_come_out_as_the_lowest_head_again_and_again(
    logs: dict[str, list[int]], data: st.DataObject
) -> None:
    made, handed = TimeOrder(TOPICS, {}), dict.fromkeys(TOPICS, 0)
    taken: list[tuple[str, int]] = []
    for _ in range(10_000):
        if len(taken) == sum(map(len, logs.values())):
            break
        left = [topic for topic in TOPICS if handed[topic] < len(logs[topic])]
        if left and data.draw(st.booleans()):
            topic = data.draw(st.sampled_from(left))
            first, size = handed[topic], data.draw(st.integers(1, 5))
            records = [item(topic, at, first + n) for n, at in enumerate(logs[topic][first : first + size])]
            handed[topic] = first + len(records)
            made.put(topic, records, handed[topic])
        limit = data.draw(st.integers(1, 6))
        items, waits = made.take(limit)
        assert len(items) <= limit
        taken += times(items)
        if waits:
            made.ends({topic: End(handed[topic], len(logs[topic])) for topic in TOPICS}, made.asked)
    assert taken == plainly(logs)
