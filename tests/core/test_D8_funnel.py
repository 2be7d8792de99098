"""D8: prospects and the funnel, against the sentences worked out on the plain events."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.funnel import DIRECT, INQUIRY, REFERRED, Funnel, Prospect, prospect
from processors.history import within
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.strategies import DAY_MS, policy_of

POLICY = policy_of(
    '[programme]\nname = "funnel"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'
    "[risk]\nlost = { gaps = 3.0, least_days = 20, most_days = 40 }\n"
)
START = 19_000 * DAY_MS
CLOCK = START + 420 * DAY_MS
WINDOW = START + (420 - 364) * DAY_MS
"""The first instant of the last 365 days."""

ASKED, ANSWERED, MAILED, BOUGHT, BROUGHT = "asked", "answered", "mailed", "bought", "brought"
KINDS = {ASKED: ("INQUIRY", "IN"), ANSWERED: ("CARE", "OUT"), MAILED: ("CAMPAIGN", "OUT")}

lives = st.lists(
    st.tuples(
        st.sampled_from([ASKED, ASKED, ANSWERED, MAILED, BOUGHT, BROUGHT]), st.integers(0, 420), st.integers(0, 3)
    ),
    min_size=1, max_size=8,
)  # fmt: skip


def event(number: int, what: str, day: int, hour: int) -> dict[str, Any]:
    at = START + day * DAY_MS + hour * 3_600_000 - (day == 420) * 4 * 3_600_000
    if what in KINDS:
        kind, direction = KINDS[what]
        return {"topic": "contacts", "event_id": f"c{number}", "customer_id": "anna", "occurred_at": at, "kind": kind,
                "direction": direction, "channel": "phone", "item": f"about {number}"}  # fmt: skip
    return sale(at, 1_000, number, **({"referrer_id": "bob"} if what == BROUGHT else {}))


def taken(events: list[dict[str, Any]]) -> tuple[Funnel, Prospect | None]:
    partition = Partition(POLICY).run(plainly([*events, CLOCK]))
    made = Funnel({})
    return made, made.take(partition.customers["anna"], CLOCK, POLICY)


@given(lives)
@settings(max_examples=150)
def test_D8_a_prospect_has_asked_lately_and_never_bought_and_came_by_one_way(life):
    events = sorted((event(n, *one) for n, one in enumerate(life)), key=lambda one: one["occurred_at"])
    made, found = taken(events)
    asks = [one for one in events if one.get("kind") == "INQUIRY" and one["occurred_at"] >= WINDOW]
    sales = [one for one in events if one["topic"] == "purchases"]
    ours = [one["occurred_at"] for one in events if one.get("kind") == "CARE"]
    if asks and not sales:
        assert found is not None
        last = asks[-1]["occurred_at"]
        assert (found.asked, found.asked_at, found.answered) == (len(asks), last, any(at >= last for at in ours))
        assert found.about in {one["item"] for one in asks if one["occurred_at"] == last}
        assert (made.prospects, made.unanswered) == (1, int(not found.answered))
    else:
        assert (found, made.prospects, made.unanswered) == (None, 0, 0)
    first = events[0]["occurred_at"]
    if first < WINDOW:
        assert made.stages == {}
        return
    ((way, held),) = made.stages.items()
    if any("referrer_id" in one for one in sales):
        assert way == REFERRED
    elif asks and (not sales or asks[0]["occurred_at"] <= sales[0]["occurred_at"]):
        assert way == INQUIRY
    else:
        assert way == DIRECT
    days = {one["occurred_at"] // DAY_MS for one in sales}
    assert (held.came, held.bought, held.again) == (1, int(bool(sales)), int(len(days) > 1))
    assert held.value == 1_000 * len(sales)
    if sales:
        assert held.days == (sales[0]["occurred_at"] - first) // DAY_MS
        silent = CLOCK // DAY_MS - max(days)
        assert (silent > 40) <= held.lost <= (silent > 20)


def test_D8_who_bought_long_ago_and_asks_now_is_no_prospect():
    _, found = taken([event(1, BOUGHT, 10, 0), event(2, ASKED, 400, 0)])
    assert found is None


def test_D8_a_campaign_is_no_answer_and_an_answer_before_the_question_neither():
    life = [event(1, ANSWERED, 100, 0), event(2, ASKED, 101, 0), event(3, MAILED, 102, 0)]
    assert [taken(life)[1].answered, taken([*life, event(4, ANSWERED, 103, 0)])[1].answered] == [False, True]


def test_D8_an_inquiry_that_is_a_year_old_makes_no_prospect():
    partition = Partition(POLICY).run(plainly([event(1, ASKED, 10, 0)]))
    history = partition.customers["anna"].history
    assert prospect("anna", within(history, 19_010 + 364)) is not None
    assert prospect("anna", within(history, 19_010 + 365)) is None


def test_D8_those_lost_are_counted_where_they_came_in():
    made, _ = taken([event(1, ASKED, 100, 0), event(2, BOUGHT, 101, 0), event(3, BOUGHT, 103, 0)])
    (held,) = made.stages.values()
    assert (held.bought, held.again, held.lost) == (1, 1, 1)
