"""What a customer keeps, packed, behaves as the plain set, dict or table that it stands for."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from processors.days import Calendar
from processors.history import (
    History,
    content_of,
    days_of,
    first_leaving_day,
    id_hash,
    on_day,
    seen_since,
    unpack_days,
    with_purchase_day,
    with_seen,
    within,
)

LAST_MS = 4_102_444_799_999
UTC = Calendar("UTC")

# Keys and times of few bits, so that a key is also found where it does not stand: across entries.
_keys = st.sampled_from([bytes(8), b"\0" * 7 + b"\1", b"\1" + bytes(7), b"\0\0\0\1" * 2, b"\xff" * 8]) | st.binary(
    min_size=8, max_size=8
)
_times = st.integers(0, 40) | st.sampled_from((0, LAST_MS - 1, LAST_MS)) | st.integers(0, LAST_MS)
_contents = st.sampled_from((0, 1, 0xFFFFF)) | st.integers(0, 0xFFFFF)


@given(st.lists(st.tuples(_keys, _times, _contents, st.sampled_from((0, 0, 1, 5, 400))), max_size=30))
def test_D1_the_ids_seen_are_a_dict_from_which_what_is_too_old_goes(arrivals):
    packed, model, keep_from = b"", {}, 0
    for key, at, content, later in arrivals:
        keep_from += later
        assert content_of(packed, key) == (model[key][1] if key in model else None)
        if key not in model:
            model[key] = (at, content)
            packed = with_seen(packed, key, at, content, keep_from)
        else:
            packed = seen_since(packed, keep_from)
        model = {one: held for one, held in model.items() if held[0] >= keep_from}
    entries = sorted((at << 20 | content, key) for key, (at, content) in model.items())
    assert packed == b"".join(head.to_bytes(8, "big") + key for head, key in entries)


@given(st.lists(st.tuples(_keys, _times), max_size=12, unique_by=lambda one: one[0]), st.data())
def test_D1_the_ids_seen_are_the_same_bytes_in_any_order(arrivals, data):
    packed = [b"", b""]
    for n, order in enumerate((arrivals, data.draw(st.permutations(arrivals)))):
        for key, at in order:
            packed[n] = with_seen(packed[n], key, at, 7, 0)
    assert packed[0] == packed[1]


@given(_times, _keys)
def test_D1_an_id_is_kept_exactly_as_long_as_its_event_would_be_accepted(at, key):
    packed = with_seen(b"", key, at, 0xFFFFF, 0)
    assert content_of(seen_since(packed, at), key) == 0xFFFFF
    assert content_of(seen_since(packed, at + 1), key) is None


def test_D1_ids_of_two_kinds_of_event_are_two():
    assert id_hash("Purchase", "1") != id_hash("Contact", "1")
    assert id_hash("Purchase", "1") != id_hash("Purchase", "2")
    assert len(id_hash("Purchase", "")) == 8


@given(st.lists(st.integers(-1, 60) | st.integers(-1, 65_534), max_size=40))
def test_V1_purchase_days_packed_are_a_sorted_set(days):
    packed = b""
    for day in days:
        packed = with_purchase_day(packed, day)
    assert [number - 1 for number in unpack_days(packed)] == sorted(set(days))
    assert packed == b"".join((day + 1).to_bytes(2, "little") for day in sorted(set(days)))


_amounts = st.integers(-(10**13), 10**13)
SUMS = ("value", "sales", "returns", "margin", "serve")
_booked = st.lists(
    st.tuples(st.integers(0, 1000), _amounts, st.integers(0, 1), st.integers(0, 1), _amounts, _amounts), max_size=25
)


@given(_booked, st.integers(0, 1400))
def test_V1_the_days_and_the_sums_that_run_along_are_those_of_the_window(booked, today):
    history, by_day = History(), {name: Counter() for name in SUMS}
    for day, *amounts in booked:
        added = dict(zip(SUMS, amounts, strict=True))
        history = replace(history, **on_day(history, day, **added))
        for name, amount in added.items():
            by_day[name][day] += amount
    for first, facts in ((0, history), (today - 364, within(history, today))):
        days = sorted({day for day, *_ in booked if day >= first})
        assert [held.day for held in days_of(facts)] == days
        for name in SUMS:
            assert [getattr(held, name) for held in days_of(facts)] == [by_day[name][day] for day in days]
            assert getattr(facts, name) == sum(by_day[name][day] for day in days)


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 900)), st.integers(0, 1400))
def test_V1_a_category_leaves_with_the_day_of_its_last_sale(bought, today):
    history = History(categories=dict(sorted(bought.items())))
    for day in bought.values():
        history = replace(history, **on_day(history, day, 1, 1, 0, 1, 0))
    assert within(history, today).categories == {name: day for name, day in bought.items() if day > today - 365}


@given(st.lists(st.integers(0, 1000), max_size=5), st.lists(st.integers(0, 1000), max_size=5), st.integers(0, 1000))
def test_T2_the_first_day_to_leave_is_that_of_the_oldest_fact_in_the_window(days, named, today):
    days, named = ([day for day in some if day <= today] for some in (days, named))
    history = History(referred={str(n): day * 86_400_000 + 5 for n, day in enumerate(named)})
    for day in days:
        history = replace(history, **on_day(history, day, 0, 0, 0, 0, 0))
    expected = min((day for day in (*days, *named) if day > today - 365), default=None)
    assert first_leaving_day(within(history, today), UTC, today) == expected
