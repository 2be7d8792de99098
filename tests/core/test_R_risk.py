"""R2, R3, R6, X0: what is told of risk equals the plain oracle, adds up, never flaps, and comes by time alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.review import evaluated
from processors.risk import assess
from processors.signals import score_of
from processors.tier import surroundings
from processors.view import view
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.core.test_T_tier import THREE, ladder, ordered
from tests.oracle import life
from tests.strategies import DAY_MS, histories, late_deliveries, parsed, policies, policy_of

UP = {"RAISED", "WORSENED", "LOST"}
AT = ny("2023-01-10T12:00")


def alerts(partition: Partition, who: str = "anna") -> list[tuple[int, str, str]]:
    return [(one.at, one.transition, one.level) for one in partition.risks if one.customer_id == who]


def weekly(weeks: int, amount: int = 5_000) -> list[dict]:
    return [sale(AT + 7 * n * DAY_MS, amount, n) for n in range(weeks)]


def test_R1_R2_a_policy_of_a_zone_further_west_finds_the_last_purchase_on_a_day_to_come():
    """Who buys daily, in the small hours of Kathmandu, when it is still the day before in UTC: facts keep their day."""
    early = ny("2024-02-27T14:15")  # 01:00 of the 28th there
    log = [sale(early + n * DAY_MS, 5_000, n) for n in range(3)]
    east, west = (policy_of(ladder(*THREE, zone=zone)) for zone in ("Asia/Kathmandu", "UTC"))
    partition = Partition(east).run([*plainly(log), early + 2 * DAY_MS])
    before = view(partition.customers["anna"], east)
    partition.around_is(surroundings(west, partition.clock), west)
    anna = view(partition.customers["anna"], west)
    told = ("p_alive", "p_no_purchase", "expected_purchases", "clv", "risk_score", "risk_level", "usual_gap_days")
    assert [anna[name] for name in told] == [before[name] for name in told]


@given(policies(), st.data())
@settings(max_examples=150)
def test_R3_what_is_told_equals_the_oracle_for_every_batch_split_and_tick_spacing(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    last = events[-1]["occurred_at"] + data.draw(st.integers(0, 500)) * DAY_MS
    partition = Partition(policy).run(plainly(data.draw(ordered(events, last))))
    expected = life(events, parsed(text), last, careful=True).standing
    assert alerts(partition) == [tuple(one) for one in expected.alerts]
    told = partition.customers["anna"].told
    assert (told.level, told.fading) == expected.state()


@given(policies(), st.data())
def test_R3_one_alert_a_day_at_most_each_begins_where_the_last_ended_and_ids_are_unique(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, least=4, most=20))
    arrived = data.draw(late_deliveries(events))
    told = Partition(policy).run([*plainly(arrived), events[-1]["occurred_at"] + 400 * DAY_MS]).risks
    days = [policy.calendar.day_of(one.at) for one in told]
    assert len(set(days)) == len(days)
    assert len({one.event_id for one in told}) == len(told)
    for before, after in pairwise(told):
        assert after.previous_level == before.level
    assert all((one.level == one.previous_level) == (one.transition in ("FADING", "RECOVERED")) for one in told)


@given(policies(), st.data())
def test_R2_the_weights_of_the_reasons_add_up_to_the_score(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, least=3, most=15))
    told = Partition(policy).run([*plainly(events), events[-1]["occurred_at"] + 300 * DAY_MS]).risks
    for one in told:
        assert one.reasons
        assert score_of(sum(reason.weight for reason in one.reasons)) == pytest.approx(one.score)
        weights = [reason.weight for reason in one.reasons[:-1]]
        assert weights == sorted(weights, reverse=True)
        assert one.reasons[-1].code == "base"


@given(policies(), st.data())
def test_R2_longer_silence_never_lowers_the_risk_while_nothing_leaves(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    anna = Partition(policy).run(plainly(events)).customers["anna"]
    scores = []
    for at in range(anna.now, min(anna.next_review, anna.now + 200 * DAY_MS), DAY_MS):
        day = policy.calendar.day_of(at)
        seen = assess("anna", evaluated(anna, at, policy).history, anna.told, day, policy)
        scores.append(0.0 if seen is None else seen.score)
    assert scores == sorted(scores)


def test_R3_silence_alone_raises_the_level_on_the_day_it_warrants_it_and_the_next_purchase_wins_back():
    policy = policy_of(ladder(*THREE))
    partition = Partition(policy).run([*plainly(weekly(30)), AT + 600 * DAY_MS])
    steps = [(one.transition, one.level) for one in partition.risks if one.transition not in ("FADING", "RECOVERED")]
    assert steps[-1] == ("LOST", "LOST")
    assert steps[0][0] == "RAISED"
    lost = partition.risks[-1]
    last = AT + 7 * 29 * DAY_MS
    assert policy.calendar.day_of(lost.at) == policy.calendar.day_of(last) + 91  # six gaps of 7 days, at least 90
    partition.run(plainly([sale(AT + 610 * DAY_MS, 100, 99)]))
    assert partition.risks[-1].transition == "WON_BACK"
    assert partition.risks[-1].previous_level == "LOST"


def test_R6_who_buys_less_but_comes_as_often_fades_and_is_told_once():
    policy = policy_of(ladder(*THREE))
    small = [sale(AT + 7 * n * DAY_MS, 500, n) for n in range(30, 50)]
    partition = Partition(policy).run(plainly([*weekly(30), *small]))
    assert [one.transition for one in partition.risks] == ["FADING"]
    assert partition.risks[0].fading >= policy.risk.fading
    assert partition.customers["anna"].told.level == "OK"


def test_X0_X1_what_was_known_at_the_moment_of_lost_is_frozen_and_a_told_reason_is_kept_beside_it():
    policy = policy_of(ladder(*THREE))
    eve = {
        "topic": "customers", "event_id": "p", "customer_id": "anna", "occurred_at": AT, "joined_at": AT,
        "employee_id": "eve",
    }  # fmt: skip
    elsewhere = sale(AT + 204 * DAY_MS, 100, 98, store_id="s9")
    partition = Partition(policy).run([*plainly([*weekly(30), eve, elsewhere]), AT + 700 * DAY_MS])
    exit_then = partition.customers["anna"].told.exit
    assert (exit_then.store, exit_then.employee) == ("s9", "eve")
    assert (partition.counts["lost_at:s9"], partition.counts["lost_of:eve"]) == (1, 1)
    assert exit_then.at == partition.risks[-1].at
    assert exit_then.tier == partition.risks[-1].tier
    assert exit_then.touches == 0
    assert partition.counts[f"lost:{exit_then.reason}"] == 1
    assert partition.counts["lost_untouched"] == 1
    call = {
        "topic": "contacts", "event_id": "x1", "customer_id": "anna", "occurred_at": AT + 701 * DAY_MS,
        "kind": "CARE", "direction": "OUT", "channel": "phone", "cost": 300, "reason": " Moved",
    }  # fmt: skip
    partition.run(plainly([call]))
    assert partition.customers["anna"].told.exit.told == " Moved"
    assert partition.counts["lost:moved"] == 1
    assert partition.counts[f"lost:{exit_then.reason}"] == 0
    assert (partition.counts["win_back:attempts"], partition.counts["win_back:cost"]) == (1, 300)
    partition.run(plainly([sale(AT + 710 * DAY_MS, 100, 99)]))
    held = partition.customers["anna"].told.exit
    assert (held.at, held.reason, held.reasons) == (exit_then.at, exit_then.reason, exit_then.reasons)
    assert held.won_back_at == AT + 710 * DAY_MS
    assert partition.counts["won_back"] == 1


def test_R3_a_prospect_has_no_level_but_ok_and_no_score():
    complaint = {
        "topic": "complaints", "event_id": "c", "customer_id": "anna", "occurred_at": AT, "complaint_id": "c1",
        "status": "OPENED", "severity": 5, "about": "STAFF", "satisfaction": None, "compensation": 0,
    }  # fmt: skip
    policy = policy_of(ladder(*THREE))
    partition = Partition(policy).run([*plainly([complaint]), AT + 500 * DAY_MS])
    assert partition.risks == []
    shown = view(partition.customers["anna"], policy)
    assert (shown["risk_level"], shown["risk_score"], shown["p_alive"]) == ("OK", None, None)


def test_R2_an_open_complaint_raises_the_risk_and_a_good_remedy_lowers_it_below_what_it_was():
    def complaint(status: str, at: int, satisfaction: int | None = None) -> dict:
        return {
            "topic": "complaints", "event_id": f"c{at}", "customer_id": "anna", "occurred_at": at,
            "complaint_id": "c1", "status": status, "severity": 4, "about": "STAFF", "satisfaction": satisfaction,
            "compensation": 0,
        }  # fmt: skip

    policy, now = policy_of(ladder(*THREE)), AT + 7 * 29 * DAY_MS + 60_000

    def score_after(*more: dict) -> float:
        anna = Partition(policy).run(plainly([*weekly(30), *more])).customers["anna"]
        return view(evaluated(anna, now + 10, policy), policy)["risk_score"]

    plain = score_after()
    assert score_after(complaint("OPENED", now)) > plain
    assert score_after(complaint("OPENED", now), complaint("RESOLVED", now + 1, 5)) < plain
    assert score_after(complaint("OPENED", now), complaint("RESOLVED", now + 1, 1)) > plain


def test_X0_X2_each_exit_is_counted_however_many_fall_into_one_batch():
    policy = policy_of(ladder(*THREE))
    log = plainly([*weekly(30), sale(AT + 610 * DAY_MS, 100, 99)])
    end = AT + 1_300 * DAY_MS
    once = Partition(policy).run([*log, end])
    split = Partition(policy).run([*log[:-1], None, AT + 600 * DAY_MS, None, log[-1], None, end])
    for partition in (once, split):
        lost = sum(number for name, number in partition.counts.items() if name.startswith("lost_from:"))
        assert (lost, partition.counts["won_back"]) == (2, 1)


def test_X1_a_reason_given_before_they_were_lost_counts_and_free_words_count_as_other():
    for reason, counted in (("price", "price"), ("divorced from peter smith", "other")):
        call = {
            "topic": "contacts", "event_id": "x", "customer_id": "anna", "occurred_at": AT + 206 * DAY_MS,
            "kind": "INQUIRY", "direction": "IN", "channel": "phone", "reason": reason,
        }  # fmt: skip
        partition = Partition(policy_of(ladder(*THREE))).run([*plainly([*weekly(30), call]), AT + 700 * DAY_MS])
        assert partition.customers["anna"].told.exit.told == reason
        lost = {name: n for name, n in partition.counts.items() if n and name.startswith("lost:")}
        assert lost == {f"lost:{counted}": 1}
