"""D7: what is counted of those who send, against the plain count of the log; bounded, and the same whoever goes on."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.days import DAY_MS
from schemas.codec import write
from schemas.partitioner import partition_of
from schemas.topics import CONTACTS, PURCHASES
from sinks.commit import SENT, senders_of
from streams import producers as core
from streams.producers import NOBODY, OTHER, Producer, Tally, producers
from streams.time_order import Item
from tests.core.test_partition import ANNA, BO, HORIZON, HOUR, Driven, P, T
from tests.core.test_plan import of, purchase
from tests.core.test_time_order import Record

AWAY = next(name for name in ("d1", "d2", "d3", "d4", "d5") if partition_of(name.encode(), 2) != P)


def lines(one: Driven) -> dict[tuple[str | None, str | None], Producer]:
    return {(line.store, line.channel): line for line in producers(one.store.partition(P).kpi)}


def test_D7_each_store_and_channel_has_what_came_of_it() -> None:
    one = Driven()
    one.buy(ANNA, T, store_id="7", channel="store")
    one.buy(ANNA, T, store_id="7", channel="web")
    one.tick(T + HOUR)
    one.run()
    one.buy(BO, T + 5, store_id="7", channel="store")  # late
    one.buy(ANNA, T, store_id="7", channel="store", event_id=f"{PURCHASES}-0")  # repeated, and late
    one.buy(AWAY, T + 2 * HOUR, store_id="7", channel="store")  # misplaced
    one.buy(ANNA, T - HORIZON, store_id="7", channel="store")  # too late
    one.buy(ANNA, T + 2 * HOUR, store_id="8", currency="ZWL")  # no rate
    one.put(PURCHASES, b"\xc3\x01broken", at=T + 2 * HOUR, key=ANNA)
    contact = {"event_id": "k", "customer_id": ANNA, "occurred_at": T + HOUR, "kind": "VISIT", "direction": "IN"}
    one.put(CONTACTS, write(CONTACTS, contact | {"channel": "phone"}), at=T + 3 * HOUR, key=ANNA)
    one.tick(T + 4 * HOUR)
    one.run()
    found = lines(one)
    shop = found["7", "store"]
    assert (shop.events, shop.late, shop.repeated, shop.misplaced, shop.dead_lettered) == (5, 2, 1, 1, 1)
    assert found["7", "web"] == Producer("7", "web", 1, 0, 0, 0, 0, 0, 0, {"1": 1})
    assert (found["8", "store"].events, found["8", "store"].dead_lettered) == (1, 1)
    assert (found[None, "phone"].events, found[None, "phone"].offline, found[None, "phone"].schemas) == (1, 1, {"3": 1})
    assert (found["unread", None].events, found["unread", None].dead_lettered) == (0, 1)
    assert list(found)[-1] == ("unread", None)


def test_D7_a_clock_that_is_wrong_shows() -> None:
    before, at, after = (of(PURCHASES, purchase(T + late), timestamp=T) for late in (-HOUR, 0, 1))
    counts = Tally(()).counts([before, at, after], (), ())
    assert [(line.events, line.offline, line.ahead) for line in producers(counts)] == [(3, 1, 1)]


def test_D7_a_record_of_an_unknown_framing_names_its_schema_by_the_id() -> None:
    item = of(PURCHASES, purchase())
    framed = Record(7, T, b"anna", b"\0" + (7).to_bytes(4, "big") + purchase()[10:])
    item = Item(PURCHASES, T, item.event, framed)
    (line,) = producers(Tally(()).counts([item], (), ()))
    assert line.schemas == {"id-7": 1}


stores = st.sampled_from(["1", "2", "a:b", "", "*", "?", "北京"])
rows = st.lists(st.tuples(stores, st.sampled_from(["store", "web"]), st.booleans()), max_size=30)


@given(rows, st.integers(1, 5), st.data())
@settings(max_examples=60)
def test_D7_counts_are_those_of_the_log_however_it_is_cut_and_whoever_owns_it(log, most, data):
    """most: named senders; a new owner begins with what the counters name."""
    held: Counter[str] = Counter()
    tally, begun, known = Tally(()), 0, []
    plain: Counter[tuple[str | None, str | None]] = Counter()
    for store, channel, _ in log:
        pair = (store or None, channel)
        if pair not in known and len(known) < most:
            known.append(pair)
        plain[pair if pair in known else ("other", None)] += 1
    marks = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    core_max, core.SENDERS_MAX = core.SENDERS_MAX, most
    try:
        for end in [*marks, len(log)]:
            items = [of(PURCHASES, purchase(store_id=store, channel=channel)) for store, channel, _ in log[begun:end]]
            held.update(tally.counts(items, (), ()))
            if data.draw(st.booleans()):
                tally = Tally(senders_of(held))
            begun = end
    finally:
        core.SENDERS_MAX = core_max
    assert {(line.store, line.channel): line.events for line in producers(held)} == plain


def test_D7_a_partition_names_a_thousand_senders_and_no_more() -> None:
    tally, held = Tally(()), Counter[str]()
    for number in range(1_200):
        held.update(tally.counts([of(PURCHASES, purchase(store_id=f"s{number}"))], [("late", None)], ()))
    found = producers(held)
    assert len(found) == 1_002
    assert [(line.store, line.events, line.late) for line in found[-2:]] == [("other", 200, 0), ("unread", 0, 1_200)]
    assert len(held) <= 1_000 * 2 + 3
    assert {OTHER, NOBODY} < set(senders_of(held))


def test_D7_who_takes_the_partition_over_goes_on_with_the_same_names() -> None:
    one = Driven()
    one.buy(ANNA, T, store_id="7")
    one.tick(T)
    one.run()
    loop = one.take_over()
    assert loop._senders._named == {"7\x1fstore"}
    one.buy(ANNA, T + DAY_MS, store_id="7")
    one.run()
    assert lines(one)["7", "store"].events == 2
    assert all(name.startswith(SENT) for name in one.store.partition(P).kpi if "\x1f" in name)
