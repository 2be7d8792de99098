"""A state lies in Redis for as long as its customer is silent: every format ever written must be read."""

from __future__ import annotations

from pathlib import Path
from struct import Struct as Layout

import pytest
from msgspec.structs import replace

from processors.customer import Customer, Told
from processors.days import DAY_MS, Calendar
from processors.events import Anniversary, Profile
from processors.history import ComplaintState, History, days_of, id_hash, on_day, with_seen
from schemas import state

FULL = Customer(
    "ünï code",
    History(
        first_at=1_490_000_000_000,
        days=Layout("<HIIqqqHIIqqq").pack(17_246, 1, 0, 2**53 + 1, 7, 0, 17_251, 0, 1, -5, -2, 1_500),
        value=2**53 - 4,
        sales=1,
        returns=1,
        margin=5,
        serve=1_500,
        categories={"cd": 17_245, "grocery": 17_245},
        purchase_days=b"\x5d\x43",
        seen=b"0123456789abcdef",
        lifetime_value=2**53 - 4,
        lifetime_purchases=1,
        first_purchase_at=1_490_000_000_000,
        last_purchase_at=1_490_000_000_000,
        complaints=(ComplaintState("c1", 1_490_000_000_001, "e2", "OPENED", 4, "PRODUCT", None, "s1"),),
        referred={"ben": 1_490_000_000_002},
        profile=Profile(
            event_id="p1", customer_id="ünï code", occurred_at=3, joined_at=2, birthday="02-29",
            anniversaries=(Anniversary("wedding", "06-01"),), consent={"email": True}, language="zh",
        ),
        not_before=12,
    ),
    Told("gold", 1_490_000_000_000, 1_490_000_000_003),
    1_490_000_000_000,
    1_521_500_000_000,
    "shop@1#0123abcd",
)  # fmt: skip

FORMAT_1 = (Path(__file__).parent / "state_format_1.hex").read_text()
"""`FULL` as the first release wrote it. Never write this file anew: a new format gets a file of its own."""


def test_what_is_written_is_read() -> None:
    assert state.decode(state.encode(FULL)) == FULL
    least = Customer("a", History(), Told("member"), 0, 1, "")
    assert state.decode(state.encode(least)) == least


def test_what_the_first_release_wrote_is_read() -> None:
    assert state.decode(bytes.fromhex(FORMAT_1)) == FULL


def test_fields_added_later_take_their_defaults() -> None:
    older = bytes.fromhex("0196a16190" + "91a66d656d626572" + "0001a0")  # no history at all, a tier and nothing else
    assert state.decode(older) == Customer("a", History(), Told("member"), 0, 1, "")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (b"", "a state of 0 bytes begins with format nothing: this release reads 1"),
        (b"\x02" + state.encode(FULL)[1:], "begins with format 2: this release reads 1; start the release that wrote"),
        (
            state.encode(FULL)[:-1],
            "a state of format 1 .* does not hold what.* folds all again from Kafka",
        ),
        (state.encode(FULL) + b"\0", "does not hold what that format says"),
        (b"\x01\x96\xa1\xff", "does not hold what that format says: 'utf-8' codec"),
        (b"\x01\x96\xa1a\x90\x91\x07\0\x01\xa0", "Expected `str`, got `int`"),
    ],
)
def test_a_state_that_cannot_be_read_says_why_and_the_way_out(broken: bytes, told: str) -> None:
    with pytest.raises(state.BadState, match=told):
        state.decode(broken)


# -- equal facts are equal bytes

UTC = Calendar("UTC")
HORIZON_MS = 400 * DAY_MS


def holding(days: tuple[int, ...], seen_at: tuple[int, ...], now: int) -> Customer:
    seen = b""
    for at in seen_at:
        seen = with_seen(seen, id_hash("Purchase", f"e{at}"), at, 0, 0)
    history = History(seen=seen)
    for day in days:
        history = replace(history, **on_day(history, day, 1, 1, 1, 1, 1))
    return Customer("a", history, Told("member"), now, now + 1, "p")


def test_D1_what_may_be_dropped_at_any_time_does_not_tell_facts_apart() -> None:
    clock = 20_000 * DAY_MS
    kept = holding((19_600, 19_636, 20_000), (clock - HORIZON_MS - 1, clock - HORIZON_MS, clock), clock)
    dropped = holding((19_636, 20_000), (clock - HORIZON_MS, clock), clock - 7)
    assert kept.history != dropped.history
    assert state.facts_bytes(kept, clock, HORIZON_MS, UTC) == state.facts_bytes(dropped, clock, HORIZON_MS, UTC)
    later = state.canonical(kept, clock + DAY_MS, HORIZON_MS, UTC)
    assert ([held.day for held in days_of(later.history)], len(later.history.seen)) == ([20_000], 16)


@pytest.mark.parametrize(
    "other",
    [
        holding((19_637, 20_000), (5,), 20_000 * DAY_MS),
        holding((19_636, 20_000), (6,), 20_000 * DAY_MS),
        replace(holding((19_636, 20_000), (5,), 20_000 * DAY_MS), id="b"),
    ],
    ids=["a day", "an id seen", "a customer"],
)
def test_D1_other_facts_are_other_bytes(other: Customer) -> None:
    facts = state.facts_bytes(holding((19_636, 20_000), (5,), 20_000 * DAY_MS), None, HORIZON_MS, UTC)
    assert state.facts_bytes(other, None, HORIZON_MS, UTC) != facts


def test_D1_what_was_told_is_no_fact() -> None:
    one = holding((19_636, 20_000), (5,), 20_000 * DAY_MS)
    two = replace(one, told=Told("gold", 7), next_review=one.next_review + 5, context="q")
    assert state.facts_bytes(one, None, HORIZON_MS, UTC) == state.facts_bytes(two, None, HORIZON_MS, UTC)
    assert state.encode(one) != state.encode(two)
