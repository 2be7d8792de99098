"""What the summary and the tables say, without servers."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.days import DAY_MS
from schemas import codec, topics
from streams import summary
from streams.cli import overview
from streams.cli.ask import money
from streams.cli.output import Output
from streams.customers_now import FIELDS, JSON_FIELDS, whole
from tests.strategies import policy_of


def seen(tier: str, value: int) -> dict[str, Any]:
    return {"tier": tier, "value_365d": value}


def test_tiers_are_told_highest_first_and_those_of_nobody_too() -> None:
    lines = summary.tiers([seen("gold", 60), seen("member", 10), seen("gold", 30)], ["member", "silver", "gold"])
    assert [(line.tier, line.customers, line.value_365d) for line in lines] == [
        ("gold", 2, 90), ("silver", 0, 0), ("member", 1, 10),
    ]  # fmt: skip
    assert lines[0].value_share == pytest.approx(0.9)
    assert lines[2].customers_share == pytest.approx(1 / 3)


def test_a_tier_that_the_policy_has_no_longer_is_told_at_the_end() -> None:
    assert [line.tier for line in summary.tiers([seen("old", 5)], ["member"])] == ["member", "old"]


def test_shares_of_nothing_say_nothing() -> None:
    assert [line.value_share for line in summary.tiers([seen("a", 5), seen("b", -5)], ["a", "b"])] == [None, None]
    assert summary.top_share([]) is None
    assert summary.top_share([0, 0]) is None


def test_the_best_fifth_is_at_least_one_customer() -> None:
    assert summary.top_share([30, 70]) == pytest.approx(0.7)
    assert summary.top_share([10, 1, 1, 1, 1, 1, 1, 1, 1, 2]) == pytest.approx(12 / 20)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=60))
def test_the_best_fifth_brings_at_least_a_fifth(values: list[int]) -> None:
    share = summary.top_share(values)
    if sum(values):
        assert share is not None
        assert max(values) / sum(values) <= share <= 1 or len(values) > 7
        assert share >= max(1, round(len(values) * 0.2)) / len(values) - 1e-9
    else:
        assert share is None


class Changes:
    """A reader of `tier-changes`."""

    def __init__(self, *changes: tuple[int, str]) -> None:
        self._records = [self._record(at, way, place) for place, (at, way) in enumerate(changes)]

    def _record(self, at: int, way: str, place: int) -> Any:
        class Record:
            value = codec.write(topics.TIER_CHANGES, {
                "event_id": f"t{place}", "customer_id": f"c{place}", "at": at, "policy": "p@1", "from_tier": "a",
                "to_tier": "b", "direction": way, "reason": "why", "value_365d": 1, "currency": "USD",
            })  # fmt: skip

        return Record

    def stream(self, topic: str, *, from_beginning: bool, until_end: bool) -> Any:
        assert (topic, from_beginning, until_end) == (topics.TIER_CHANGES, True, True)
        return iter(self._records)


def test_moves_of_the_last_thirty_days_are_counted_and_the_latest_named() -> None:
    clock = 1_000 * DAY_MS
    changes = Changes(
        *((clock - day * DAY_MS, "UP") for day in range(60)), (clock, "DOWN"), (clock - 30 * DAY_MS, "DOWN")
    )
    moves = summary.moves(changes, clock)  # type: ignore[arg-type]
    assert moves["UP"].number == 30
    assert [change["at"] for change in moves["UP"].latest] == [clock - day * DAY_MS for day in range(summary.SHOWN)]
    assert (moves["DOWN"].number, len(moves["DOWN"].latest)) == (1, 1)


def test_before_the_first_tick_all_moves_count() -> None:
    assert summary.moves(Changes((0, "UP"), (5, "UP")), None)["UP"].number == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1_234_567, "USD", "12,345.67"),
        (-5, "USD", "-0.05"),
        (0, "USD", "0.00"),
        (1_234, "JPY", "1,234"),
        (1_234, "KWD", "1.234"),
        (None, "USD", None),
    ],
)
def test_money_is_written_with_its_currencys_decimals(minor: int | None, currency: str, text: str | None) -> None:
    assert money(minor, currency) == text


def test_a_view_has_all_fields_and_its_json_texts_are_read() -> None:
    made = whole({"customer_id": "anna", "benefits": '["a", "b"]', "a_newer_field": 5})
    assert set(made) == {*FIELDS, "a_newer_field"}
    assert made["benefits"] == ["a", "b"]
    assert made["clv"] is None
    assert set(JSON_FIELDS) <= set(FIELDS)


def test_W4_what_old_customers_bring_and_what_unhappy_ones_cost() -> None:
    told = summary.word_of_mouth({
        "gained": 100, "gained_referred": 30, "gained_referred:unhappy": 10, "leads_referred": 8,
        "leads_referred:unhappy": 2, "sales_referred": 90, "sales_referred:unhappy": 10, "lost_referred": 9,
        "lost_referred:unhappy": 5, "referrers": 15, "referrers:unhappy": 5, "referrals_refused:loop": 2,
    })  # fmt: skip
    assert told is not None
    assert (told.gained_share, told.leads, told.sales, told.refused) == (0.3, 8, 90, {"loop": 2})
    assert (told.brought_each, told.sales_each) == (2.6, 8.0)  # 20 who bought, 6 leads and 80 purchases, by 10
    assert (told.lost_share, told.lost_share_unhappy) == (0.2, 0.5)
    assert told.cost == pytest.approx(3.0)  # 5 of 10 left, of the others 2 of 10 do


def test_W4_where_nobody_named_anybody_there_is_nothing_to_tell() -> None:
    assert summary.word_of_mouth({"gained": 5}) is None
    only = summary.word_of_mouth({"referrers": 1, "leads_referred": 1})
    assert only is not None
    assert (only.gained_share, only.lost_share, only.cost, only.brought_each) == (None, None, None, 1.0)


def test_X0_X2_exits_by_reason_and_tier_most_first_and_who_came_back() -> None:
    told = summary.exits({
        "lost:silence": 2, "lost:price": 5, "lost:rare": 0, "lost_from:gold": 7, "lost_at:s9": 7, "lost_of:eve": 1,
        "lost_untouched": 3, "won_back": 1, "won_back_value": 900, "win_back:attempts": 4, "win_back:cost": 60,
    })  # fmt: skip
    assert (told.lost, list(told.reasons.items()), told.tiers) == (7, [("price", 5), ("silence", 2)], {"gold": 7})
    assert (told.stores, told.employees) == ({"s9": 7}, {"eve": 1})
    assert (told.untouched, told.won_back, told.won_back_value, told.attempts, told.cost) == (3, 1, 900, 4, 60)


MOUTH = {
    "gained": 100, "gained_referred": 30, "gained_referred:unhappy": 10, "leads_referred": 8, "sales_referred": 90,
    "lost_referred": 9, "lost_referred:unhappy": 5, "referrers": 15, "referrers:unhappy": 5,
    "referrals_refused:loop": 2,
}  # fmt: skip


def test_W4_word_of_mouth_in_words() -> None:
    out = io.StringIO()
    told = summary.word_of_mouth(MOUTH)
    assert told is not None
    overview._say_word_of_mouth(Output(stdout=out), told)
    assert out.getvalue().strip().splitlines() == [
        "Word of mouth: 30 of 100 customers (30.0%) came through others, with 90 purchases; 8 leads have not bought"
        " yet.",
        "A content referrer brought 2.80 people and 9.00 purchases.",
        "5 of 15 referrers are lost or not content: of whom they brought, 50.0% are lost, of those whom content ones"
        " brought 20.0%.",
        "Claims that do not count: 2 loop.",
    ]


def test_X0_X2_exits_in_words_with_the_first_few_and_the_rest() -> None:
    out = io.StringIO()
    counts = {f"lost:reason {n}": n for n in range(1, 8)}
    counts |= {"lost_at:s1": 28, "lost_untouched": 9, "lost_complaining": 2, "won_back": 2, "won_back_value": 12_345}
    counts |= {"win_back:attempts": 3, "win_back:cost": 900}
    policy = policy_of('[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n')
    overview._say_exits(Output(stdout=out), policy, summary.exits(counts))
    assert out.getvalue().strip().splitlines() == [
        "Lost so far: 28; of them 9 without a contact by us in the year before, 2 with a complaint open. Most of all"
        " for reason 7 (7), reason 6 (6), reason 5 (5), reason 4 (4), reason 3 (3), other (3).",
        "  stores: s1 (28)",
        "Won back: 2, with 123.45 USD at stake. 3 contacts with the lost cost 9.00 USD.",
    ]
    silent = io.StringIO()
    overview._say_exits(Output(stdout=silent), policy, summary.exits({}))
    assert silent.getvalue() == ""


def test_C2_C4_care_by_kind_with_what_was_done_in_time_and_what_never_went() -> None:
    counts = {
        "care:RISK:DUE": 5, "care:RISK:FULFILLED": 3, "care:RISK:EXPIRED": 1, "care:BIRTHDAY:HELD_OUT": 2,
        "care:SURVEY:DUE": 0, "care_dropped:RISK:cap": 4, "care_dropped:WELCOME:consent": 1, "lost:care": 9,
    }  # fmt: skip
    lines = {line.kind: line for line in summary.care(counts)}
    assert list(lines) == ["BIRTHDAY", "RISK", "WELCOME"]
    assert lines["RISK"] == ("RISK", {"DUE": 5, "FULFILLED": 3, "EXPIRED": 1}, {"cap": 4}, 0.75)
    assert (lines["BIRTHDAY"].in_time, lines["WELCOME"].dropped) == (None, {"consent": 1})
    out = io.StringIO()
    overview._say_care(Output(stdout=out), list(lines.values()))
    assert "75.0%" in out.getvalue()
    assert "cap (4)" in out.getvalue()
    silent = io.StringIO()
    overview._say_care(Output(stdout=silent), [])
    assert silent.getvalue() == ""


def test_C5_the_longest_time_without_a_touch_is_told_by_tier() -> None:
    seen = {
        "as_of": 100 * DAY_MS, "last_touch_at": None, "first_purchase_at": 40 * DAY_MS, "holdout": 0, "staff": None,
        "open_reminders": [], "tier": "gold",
    }  # fmt: skip
    views = [
        seen,
        seen | {"last_touch_at": 90 * DAY_MS},
        seen | {"first_purchase_at": DAY_MS, "holdout": 1},
        seen | {"first_purchase_at": DAY_MS, "open_reminders": [{}]},
        seen | {"tier": "member"},
    ]
    assert summary.untouched(views, {"gold": 30}) == [summary.Untouched("gold", 30, 99, 1)]
    assert summary.untouched([], {"gold": 30}) == []


def test_V6_segments_are_told_in_the_policys_order_with_their_part_of_all() -> None:
    counts = {"customers:member": 3, "customers:gold": 1, "in_tier:member:value": 100, "in_tier:gold:value": 300,
              "segment:vital-few:customers": 1, "segment:vital-few:value": 300, "segment:old:customers": 9}  # fmt: skip
    lines = summary.segments(counts, ["advocate", "vital-few"])
    assert lines == [("advocate", 0, 0.0, 0, 0.0), ("vital-few", 1, 0.25, 300, 0.75)]
    assert summary.segments({}, ["advocate"]) == [("advocate", 0, None, 0, None)]
    out = io.StringIO()
    policy = policy_of(
        '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'
        '[[segments]]\nname = "vital-few"\nwhen = "value_share_rank <= 0.2"\n'
    )
    overview._say_segments(Output(stdout=out), policy, lines)
    assert "vital-few" in out.getvalue()
    assert "75.0%" in out.getvalue()
