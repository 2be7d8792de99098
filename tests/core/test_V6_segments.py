"""V6: segments are data; a customer is in each whose condition holds, whatever the batches and the ticks were."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import segments, tier
from processors.fields import MORE_NUMBERS, NUMBERS, SEGMENT_NUMBERS, SEGMENT_WORDS, WORDS
from processors.figures import count
from processors.history import FIRST_DAY, History
from processors.outlook import outlook
from processors.policy import PolicyError, load_policy
from processors.review import evaluated
from processors.view import view
from streams.programme import programme_figures
from streams.shares import asked, thresholds
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.core.test_T_tier import ladder
from tests.oracle import programme as figures
from tests.oracle import segments as plain
from tests.strategies import DAY_MS, histories, policies, policy_of

ROOT = Path(__file__).resolve().parents[2]
AT = 1_750_000_000_000
THREE = ladder("min_value_365d = 200", "min_value_365d = 600\nmin_purchases_365d = 2") + "\n"
SHARES = {"0.2": 900, "average_order:0.2": 400}
CONDITIONS = {
    "vital-few": "value_share_rank <= 0.20",
    "big-ticket": "average_order_share_rank <= 0.20 and purchases_365d >= 1",
    "cash-flow": "active_periods_360d >= 3",
    "now and then": "active_periods_360d in [1, 2] and lifetime_purchases > 1",
    "unprofitable": "contribution_365d < 0",
    "advocate": "advocacy_365d >= 1",
    "culture": "participation_365d >= 1",
    "lifetime-club": "club_since >= 0",
    "leaving": 'risk_level in ["AT_RISK", "LOST"] and value_365d > 0',
    "strangers": 'loyalty_layer == "NONE"',
    "first": 'tier != "nobody" and usual_gap_days <= 60',
}
TEXT = "".join(f"[[segments]]\nname = \"{name}\"\nwhen = '{when}'\n" for name, when in CONDITIONS.items())


def seen(partition: Partition, name: str = "anna", at: int | None = None) -> dict[str, object]:
    one = partition.customers[name]
    return view(one if at is None else evaluated(one, at, partition.policy), partition.policy)


def told_thresholds(partition: Partition, at: int) -> None:
    partition.around_is(tier.surroundings(partition.policy, at, SHARES), partition.policy)


@given(policies(), st.data())
@settings(max_examples=150, deadline=None)
def test_V6_the_segments_at_any_time_until_the_next_review_are_the_plain_ones(text, data):
    policy = policy_of(text + TEXT)
    zone = policy.programme.time_zone
    events = data.draw(histories(zone))
    partition = Partition(policy)
    partition.around = tier.surroundings(policy, -1, SHARES)
    clock = events[-1]["occurred_at"] + data.draw(st.integers(0, 400)) * DAY_MS
    partition.run([*plainly(events), clock])
    anna = partition.customers["anna"]
    log = list({(one["topic"], one["event_id"]): one for one in reversed(events)}.values())
    for at in (clock, data.draw(st.integers(clock, min(anna.next_review - 1, clock + 800 * DAY_MS)))):
        shown = seen(partition, at=at)
        known = plain.names([one for one in log if one["customer_id"] == "anna"], shown, zone, SHARES)
        assert json.loads(str(shown["segments"])) == plain.segments(CONDITIONS, known)
        assert shown["segments"] == seen(partition)["segments"], "what is stored holds until the next review"


@given(policies(), st.data())
@settings(max_examples=60, deadline=None)
def test_V6_neither_batches_nor_ticks_nor_slices_decide(text, data):
    policy = policy_of(text + TEXT)
    events = plainly(data.draw(histories(policy.programme.time_zone)))
    end = events[-1].occurred_at + 500 * DAY_MS
    found = []
    for step in (None, 40 * DAY_MS):
        partition = Partition(policy)
        partition.around = tier.surroundings(policy, -1, SHARES)
        log: list[object] = []
        for event in events:
            log += [event, *([None] if step and data.draw(st.booleans()) else [])]
        ticks = range(events[-1].occurred_at + step, end, step) if step else ()
        partition.run([*log, *(one for at in ticks for one in (at, None)), end])
        found.append((partition.customers, {name: n for name, n in partition.counts.items() if n}))
    assert found[0] == found[1]


@given(policies(), policies(), st.data())
@settings(max_examples=60, deadline=None)
def test_V6_counters_are_those_of_everybodys_segments_also_after_another_policy_and_an_erase(text, other, data):
    policy, then = policy_of(text + TEXT), policy_of(other + TEXT[: data.draw(st.sampled_from((0, len(TEXT))))])
    events = data.draw(histories(policy.programme.time_zone, ("anna", "bob"), most=12))
    partition = Partition(policy).run([*plainly(events), events[-1]["occurred_at"] + DAY_MS])
    told_thresholds(partition, partition.clock or 0)
    _as_counted(partition)
    partition.around_is(tier.surroundings(then, partition.clock or 0, SHARES), then)
    _as_counted(partition)
    partition.erase("anna")
    _as_counted(partition)


def _as_counted(partition: Partition) -> None:
    again: Counter[str] = Counter()
    count(again, [(None, one) for one in partition.customers.values()], partition.policy)
    found, wanted = (
        {name: n for name, n in held.items() if n and name.partition(":")[0] in segments.FAMILIES}
        for held in (partition.counts, again)
    )
    assert found == wanted
    shown = [view(one, partition.policy) for one in partition.customers.values()]
    told = {figures.key(one.name, **one.labels): one.value
            for one in programme_figures(partition.counts, partition.policy, partition.clock)}  # fmt: skip
    for segment in partition.policy.segments:
        inside = [one for one in shown if segment.name in json.loads(str(one["segments"]))]
        assert told[figures.key("loyalty_segment_customers", segment=segment.name)] == len(inside)
        value = told[figures.key("loyalty_segment_value_365d", segment=segment.name)]
        assert value == sum(int(str(one["value_365d"])) for one in inside)


@given(st.sets(st.integers(0, 420), max_size=60), st.integers(0, 12), st.integers(0, 40))
def test_V6_periods_with_a_purchase_and_when_they_answer_otherwise_are_as_counted_one_by_one(back, least, ahead):
    """Years are walked through day by day."""
    day = 20_000
    days = sorted(day - one for one in back)
    facts = History(purchase_days=b"".join((one - FIRST_DAY).to_bytes(2, "little") for one in days))
    policy = policy_of(THREE + f'[[segments]]\nname = "s"\nwhen = "active_periods_360d >= {least}"\n')
    counted = [plain.periods(days, day + n) for n in range(362)]
    assert segments.active_periods(facts, day + ahead) == counted[ahead]
    turns = [n for n in range(1, 362) if (counted[n] >= least) != (counted[0] >= least)]
    assert segments.next_day(facts, day, policy) == (day + turns[0] if turns else None)


def test_V6_a_policy_without_segments_shows_none_and_one_without_periods_looks_ahead_for_nothing():
    bare, few = policy_of(THREE), policy_of(THREE + "[[segments]]\nname = 'u'\nwhen = 'contribution_365d < 0'\n")
    log = [*plainly([sale(AT, 500)]), AT + DAY_MS]
    one, other = Partition(bare).run(log), Partition(few).run(log)
    assert (seen(one)["segments"], seen(other)["segments"]) == (None, "[]")
    assert one.customers["anna"].next_review == other.customers["anna"].next_review
    assert segments.next_day(one.customers["anna"].history, 20_000, few) is None
    assert not [name for name in one.counts if name.partition(":")[0] in segments.FAMILIES]


def test_V6_top_shares_are_told_by_value_and_by_average_order_of_those_who_have_one():
    policy = policy_of(THREE + TEXT)
    partition = Partition(policy)
    rng = Random(6)
    orders = {f"c{n}": rng.randint(1, 90_000) for n in range(100)}
    log = [one for name, amount in orders.items() for one in plainly([sale(AT, amount) | {"customer_id": name}])]
    log += plainly([{"topic": "contacts", "event_id": f"v{n}", "customer_id": f"v{n}", "occurred_at": AT,
                     "kind": "VISIT", "direction": "IN", "channel": "store"} for n in range(100)])  # fmt: skip
    partition.run([*log, AT + 1])
    assert asked(policy) == ("0.2", "average_order:0.2")
    found = thresholds(partition.counts, policy)
    ranked = sorted(orders.values(), reverse=True)
    assert found["0.2"] == pytest.approx(ranked[39], rel=0.01), "of two hundred"
    assert found["average_order:0.2"] == pytest.approx(ranked[19], rel=0.01), "of the hundred who have one"
    partition.around_is(tier.surroundings(policy, AT + 1, found), policy)
    top = [name for name in orders if "big-ticket" in json.loads(str(seen(partition, name)["segments"]))]
    assert len(top) in (19, 20, 21)
    assert sorted(top, key=orders.__getitem__) == sorted(orders, key=orders.__getitem__)[-len(top) :]


def test_V6_what_drifts_is_no_condition_of_a_segment_and_all_others_are():
    """What a review does not keep up to date would hold of nobody at the right time."""
    assert set(SEGMENT_NUMBERS) <= set(NUMBERS)
    assert set(SEGMENT_WORDS) <= set(WORDS)
    assert set(segments.READ) == {*SEGMENT_NUMBERS, *MORE_NUMBERS, *SEGMENT_WORDS, "segment"}
    for when, wrong in (
        ("p_alive < 0.5", "drifts from day to day"), ("value_share_rank >= 0.2", "a rank goes with <="),
        ("value_share_rank <= 2", "a rank goes with <="), ('segment == "x"', "no field"), ("tier > 3", "it is a text"),
        ("average_order_share_rank <= True", "a rank goes with <="), ("valeu > 3", "no field"),
    ):  # fmt: skip
        with pytest.raises(PolicyError, match=rf"segments\[0\].when .*{wrong}"):
            load_policy(THREE + f"[[segments]]\nname = 's'\nwhen = '{when}'\n")


@given(policies(), st.data())
@settings(max_examples=40, deadline=None)
def test_V6_a_field_reads_as_the_view_shows_it(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    partition = Partition(policy).run([*plainly(events), events[-1]["occurred_at"]])
    anna = partition.customers["anna"]
    shown = view(anna, policy)
    for name in (*SEGMENT_NUMBERS, *SEGMENT_WORDS):
        assert segments.read(name, anna, policy, outlook(anna, policy)) == shown[name], name


CARE = """
[[segments]]
name = "advocate"
when = "advocacy_365d >= 1"
[[care]]
kind = "THANKS"
shape = "event"
on = "first_purchase"
when = 'segment in ["advocate", "vital-few"] and recommendations_365d >= 1'
"""


def test_V6_care_may_ask_for_a_segment():
    praise = {"topic": "contacts", "event_id": "p", "customer_id": "anna", "occurred_at": AT, "kind": "RECOMMENDATION",
              "direction": "IN", "channel": "store"}  # fmt: skip
    for log, kinds in (([praise], ["THANKS"]), ([], [])):
        partition = Partition(policy_of(THREE + CARE)).run([*plainly([*log, sale(AT + 1, 500)]), AT + DAY_MS])
        assert [one.kind for one in partition.care if one.status == "DUE"] == kinds


def test_V6_segments_of_those_who_serve_are_none():
    profile = {"topic": "customers", "event_id": "p", "customer_id": "anna", "occurred_at": AT, "joined_at": AT,
               "staff": True}  # fmt: skip
    partition = Partition(policy_of(THREE + TEXT)).run([*plainly([profile]), AT + DAY_MS])
    assert seen(partition)["segments"] == "[]"


@pytest.mark.parametrize("file", ["policy.toml", "policy-completejourney.toml"])
def test_V6_the_shipped_policies_have_the_seven_segments(file):
    policy = load_policy((ROOT / "infra" / file).read_text())
    assert [one.name for one in policy.segments] == [
        "vital-few", "big-ticket", "cash-flow", "unprofitable", "advocate", "culture", "lifetime-club",
    ]  # fmt: skip
