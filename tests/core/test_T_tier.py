"""T1-T5: tiers against the oracle's brute force, whatever the batches and the ticks; and each rule by a table."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from processors import tier
from processors.customer import FOREVER
from processors.policy import Policy
from processors.review import evaluated, review
from processors.view import view
from tests.core.driving import LAST_MS, Partition, plainly
from tests.core.events import ny, sale
from tests.core.logs import HOUR_MS, ordered
from tests.oracle import dates, life, qualified
from tests.strategies import DAY_MS, event_of, histories, parsed, policies, policy_of


def ladder(*needs: str, grace: int = 30, one_step: bool = False, zone: str = "America/New_York") -> str:
    names = ("member", "silver", "gold", "platinum")
    texts = [f'[[tiers]]\nname = "{name}"\n{need}' for name, need in zip(names, ("", *needs), strict=False)]
    head = f'[programme]\nname = "table"\nversion = 1\ncurrency = "USD"\ntime_zone = "{zone}"\n'
    return head + f"[tier_rules]\ngrace_days = {grace}\none_step_down = {str(one_step).lower()}\n" + "\n".join(texts)


NY = "America/New_York"
THREE = ("min_value_365d = 200", "min_value_365d = 600\nmin_purchases_365d = 2")


def told(text: str, log: list) -> list[tuple[int, str, str]]:
    return Partition(policy_of(text)).run(plainly(log)).tiers("anna")


# -- against the oracle


@given(policies(), st.data())
@settings(max_examples=150)
def test_T1_T2_T3_what_is_told_equals_the_oracle_for_every_batch_split_and_tick_spacing(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    last = events[-1]["occurred_at"] + data.draw(st.integers(0, 500)) * DAY_MS
    partition = Partition(policy).run(plainly(data.draw(ordered(events, last))))
    expected = life(events, parsed(text), last, careful=True)
    assert partition.tiers("anna") == [(one.at, one.from_tier, one.to_tier) for one in expected.changes]
    view, anna = expected.view(last), partition.customers["anna"]
    assert (anna.told.tier, anna.tier_since, anna.told.below_since) == (
        view["tier"], view["tier_since"], expected.below_since,
    )  # fmt: skip
    assert anna.next_review == view["next_review_at"]


@given(policies(), st.data())
@settings(max_examples=60)
def test_T1_V1_value_and_tiers_alone_are_as_with_risk_and_layers(text, data):
    bare = text if "[risk]" in text else f"{text}[risk]\n"
    bare = bare.replace("[risk]", "[loyalty]\nlayers = false\n[risk]\nassess = false")
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    log = data.draw(ordered(events, events[-1]["occurred_at"] + data.draw(st.integers(0, 500)) * DAY_MS))
    whole, alone = Partition(policy).run(plainly(log)), Partition(policy_of(bare)).run(plainly(log))
    assert alone.tiers("anna") == whole.tiers("anna")
    assert (alone.risks, alone.customers["anna"].told.level) == ([], "OK")
    anna = evaluated(alone.customers["anna"], whole.customers["anna"].now, alone.policy)
    seen, shown = view(anna, alone.policy), view(whole.customers["anna"], policy)
    same = [name for name in seen if name.endswith("_365d") or name.startswith(("tier", "lifetime", "paid_back"))]
    assert {name: seen[name] for name in same} == {name: shown[name] for name in same}
    assert seen["loyalty_layer"] == "NONE"
    assert {name for name in ("p_alive", "risk_score", "value_at_stake") if seen[name] is not None} == set()


@given(policies(), st.data())
def test_T2_next_review_is_exact_looking_every_hour_changes_nothing(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, most=6))
    around = tier.surroundings(policy)
    partition = Partition(policy).run(plainly(events))
    due = partition.customers["anna"]
    hourly = due
    for _ in range(data.draw(st.integers(1, 6))):
        if due.next_review == FOREVER:
            break
        begin = max(hourly.now, due.next_review - 30 * HOUR_MS)
        for now in range(begin, due.next_review, HOUR_MS):
            seen = review(hourly, now, around, policy)
            assert (seen.outputs, seen.customer.told, seen.customer.next_review) == ((), hourly.told, due.next_review)
            hourly = seen.customer
        seen, early = (review(one, due.next_review, around, policy) for one in (due, hourly))
        assert seen == early
        assert seen.customer.next_review > due.next_review
        due = hourly = seen.customer


@given(policies(), st.data())
@settings(max_examples=120)
def test_T4_keep_until_is_when_the_tier_is_lost_if_nothing_but_time_passes(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, most=8))
    partition, expected = Partition(policy), life([], parsed(text))
    told = None
    for event in events:
        before = len(partition.told)
        partition.run([event_of(event)])
        expected.take(event)
        told = partition.told[-1] if len(partition.told) > before and partition.told[-1].at == expected.now else None
        if told is not None:
            assert told.keep_until == expected.keep_until()
    if told is not None:  # by the last event: from there on nothing but time passes
        before, held = len(partition.told), policy.ranks[told.to_tier]
        later = partition.run([told.keep_until or LAST_MS]).told[before:]
        lower = [one.at for one in later if policy.ranks[one.to_tier] < held]
        assert lower[:1] == ([] if told.keep_until is None else [told.keep_until])


@given(policies(falls=True), st.data())
@settings(max_examples=200)
def test_T4_keep_until_by_sums_that_only_fall_is_as_by_a_look_at_each_instant(text, data):
    policy = policy_of(text)
    around, partition = tier.surroundings(policy), Partition(policy)
    assert around.falls == (policy.club is None)
    for event in data.draw(histories(policy.programme.time_zone, most=8)):
        anna = partition.run([event_of(event)]).customers["anna"]
        for held in (anna.told, *(replace(anna.told, tier=one.name, below_since=None) for one in policy.tiers)):
            by_sums, by_looking = (
                tier.keep_until(held, anna.history, anna.now, seen, policy)
                for seen in (around, replace(around, falls=False))
            )
            assert by_sums == by_looking


def club_ways(policy: Policy) -> dict[str, int | None]:
    """What the club asks, by the code of a change that it decides."""
    club = policy.club
    if club is None:
        return {}
    return {
        "club_value": club.min_lifetime_value,
        "club_years": club.min_years,
        "club_purchases": club.min_lifetime_purchases,
    }


@given(policies(), st.data())
def test_T4_T5_each_change_says_why_what_next_and_what_it_brings(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    partition = Partition(policy).run([*plainly(events), events[-1]["occurred_at"] + 800 * DAY_MS])
    changes, by_name = partition.told, {t.name: t for t in policy.tiers}
    assert len({one.event_id for one in changes}) == len(changes), "nothing is told twice"
    assert [c.from_tier for c in changes] == ["member", *(c.to_tier for c in changes)][: len(changes)]
    for one in changes:
        up = policy.ranks[one.to_tier] > policy.ranks[one.from_tier]
        decided = dict(by_name[one.to_tier if up else one.from_tier].conditions) | club_ways(policy)
        assert one.direction == ("UP" if up else "DOWN")
        assert decided[one.code] == one.need
        assert (one.have >= one.need) is up
        assert one.benefits == by_name[one.to_tier].benefits
        above = policy.ranks[one.to_tier] + 1
        assert one.next_tier == (policy.tiers[above].name if above < len(policy.tiers) else None)
        assert [(n.condition, n.need) for n in one.to_next] == (
            list(policy.tiers[above].conditions) if one.next_tier else []
        )
        if up and one.next_tier:
            assert any(n.have < n.need for n in one.to_next)
        if one.to_tier == "member":
            assert one.keep_until is None


@given(policies(), st.data())
def test_T1_qualified_is_the_highest_tier_all_of_whose_conditions_hold(text, data):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone))
    partition = Partition(policy).run(plainly(events))
    expected, anna = life(events, parsed(text)), partition.customers["anna"]
    fits = max(qualified(expected.facts, anna.now, parsed(text)), expected.floor(anna.now))
    held = policy.ranks[anna.told.tier]
    assert held == fits if anna.told.below_since is None else held > fits


# -- by table


def test_T1_up_at_once_to_the_highest_over_several_tiers():
    first, second = ny("2024-01-10T12:00"), ny("2024-01-11T12:00")
    assert told(ladder(*THREE), [sale(first, 600), sale(second, 0)]) == [
        (first, "member", "silver"),
        (second, "silver", "gold"),
    ]
    assert told(ladder("min_value_365d = 200", "min_value_365d = 600"), [sale(first, 600)]) == [
        (first, "member", "gold")
    ]


def test_T1_exactly_what_is_needed_is_enough():
    at = ny("2024-01-10T12:00")
    assert told(ladder(*THREE), [sale(at, 199)]) == []
    assert told(ladder(*THREE), [sale(at, 200)]) == [(at, "member", "silver")]


@pytest.mark.parametrize(
    ("bought", "grace", "lost"),
    [
        ("2023-03-01T12:00", 30, "2024-03-30T00:00"),  # leaves on 29 February
        ("2023-03-11T12:00", 30, "2024-04-09T00:00"),  # below at midnight before the clocks change, 720 - 1 hours later
        ("2022-11-05T12:00", 1, "2023-11-06T00:00"),  # leaves on the day that has 25 hours
        ("2023-01-10T23:59:59.999", 0, "2024-01-10T00:00"),
        ("2024-02-29T12:00", 30, "2025-03-30T00:00"),
    ],
)
def test_T2_down_at_the_same_local_time_grace_days_after_the_window_closed(bought, grace, lost):
    log = [sale(ny(bought), 300), ny(lost) - 1]
    assert told(ladder(*THREE, grace=grace), log) == [(ny(bought), "member", "silver")]
    assert told(ladder(*THREE, grace=grace), [*log, ny(lost)])[1:] == [(ny(lost), "silver", "member")]


def test_T2_a_grace_begun_by_a_return_ends_at_that_time_of_day_whatever_the_clocks_did():
    bought, back = ny("2024-02-01T10:00"), ny("2024-02-10T02:30")
    log = [sale(bought, 300), sale(back, 300, kind="RETURN"), ny("2024-06-01T00:00")]
    # 30 days after 10 February is 11 March, 02:30 summer time: 30 days less an hour.
    assert told(ladder(*THREE), log)[1:] == [(back + 30 * DAY_MS - HOUR_MS, "silver", "member")]
    # 29 days after it is 10 March, when 02:30 does not exist: fold=0 reads it with the offset before the gap.
    assert told(ladder(*THREE, grace=29), log)[1:] == [(back + 29 * DAY_MS, "silver", "member")]


def test_T2_a_day_back_at_or_above_resets_the_grace():
    bought, back, again, more = (ny(f"2024-{day}T10:00") for day in ("02-01", "02-10", "03-05", "03-06"))
    log = [sale(bought, 300), sale(back, 101, kind="RETURN"), sale(again, 1), sale(more, 5, kind="RETURN")]
    assert told(ladder(*THREE), [*log, more + 40 * DAY_MS])[1:] == [
        (dates.same_local_time(more, 30, NY), "silver", "member")
    ]


def test_T2_an_event_at_the_very_end_of_the_grace_keeps_the_tier():
    bought, back = ny("2024-04-01T10:00"), ny("2024-04-10T10:00")
    saved = sale(back + 30 * DAY_MS, 300)
    assert len(told(ladder(*THREE), [sale(bought, 300), sale(back, 300, kind="RETURN"), saved])) == 1


def test_T2_going_down_ends_at_the_tier_that_is_qualified_then_not_the_one_when_the_grace_began():
    a, b, c = ny("2024-04-01T10:00"), ny("2024-04-10T10:00"), ny("2024-04-20T10:00")
    log = [sale(a, 600), sale(a, 0, 1), sale(b, 300, kind="RETURN"), sale(c, 300, kind="RETURN"), b + 30 * DAY_MS]
    assert told(ladder(*THREE), log)[2:] == [(b + 30 * DAY_MS, "gold", "member")]


def test_T3_one_tier_a_grace_where_the_policy_says_so():
    at, back = ny("2024-04-01T10:00"), ny("2024-04-10T10:00")
    log = [sale(at, 600), sale(at, 0, 1), sale(back, 600, kind="RETURN"), back + 100 * DAY_MS]
    assert told(ladder(*THREE, one_step=True), log)[2:] == [
        (back + 30 * DAY_MS, "gold", "silver"),
        (back + 60 * DAY_MS, "silver", "member"),
    ]
    assert told(ladder(*THREE, one_step=True, grace=0), log)[2:] == [
        (back, "gold", "silver"),
        (back, "silver", "member"),
    ]


def test_T2_a_late_event_changes_the_future_only_and_nothing_is_told_twice():
    bought, last = ny("2024-01-10T12:00"), ny("2025-03-01T12:00")
    lost = dates.same_local_time(dates.midnight(dates.day(bought, NY) + 365, NY), 30, NY)
    late = sale(ny("2024-06-01T12:00"), 300, 1)
    partition = Partition(policy_of(ladder(*THREE))).run(plainly([sale(bought, 300), last, None, late, None, last + 1]))
    now = partition.tiers("anna")
    assert now[:2] == [(bought, "member", "silver"), (lost, "silver", "member")]
    assert now[2:] == [(lost, "member", "silver")], "at the customer's own time, which never goes back"


def test_T2_a_change_that_a_late_event_has_undone_before_it_was_told_is_never_told():
    bought, last = ny("2024-01-10T12:00"), ny("2025-01-20T12:00")
    late = sale(ny("2024-06-01T12:00"), 200, 1)
    log = [sale(bought, 300), last, None, late, ny("2025-03-01T12:00")]
    assert told(ladder("min_value_365d = 200"), log) == [(bought, "member", "silver")]


def test_T4_keep_until_when_the_midnight_that_ends_the_grace_lifts_the_customer_again():
    """What was bought leaves on day 365, thirty days later the return does: then the rest is enough again."""
    bought = ny("2022-04-20T12:00")
    back, rest = bought + 30 * DAY_MS, bought + 60 * DAY_MS
    both = [{"category": name, "quantity": 1, "net_amount": 125} for name in ("cd", "wine")]
    log = [sale(bought, 300), sale(back, 100, kind="RETURN"), sale(rest, lines=both)]
    partition = Partition(policy_of(ladder("min_value_365d = 200\nmin_categories_365d = 2"))).run(plainly(log))
    lost = dates.midnight(dates.day(rest, NY) + 395, NY)
    assert [(one.at, one.keep_until) for one in partition.told] == [(rest, lost)]
    assert partition.run([lost]).tiers("anna")[1:] == [(lost, "silver", "member")]


LOSS = [{"category": "cd", "quantity": 1, "net_amount": 100, "cost": 160}]


@pytest.mark.parametrize(
    ("need", "lowers"),
    [("min_value_365d = 200", {"kind": "RETURN"}), ("min_margin_365d = 200", {"lines": LOSS})],
    ids=["a return", "a sale below its cost"],
)
def test_T4_keep_until_when_what_lowered_a_figure_leaves_within_the_grace(need, lowers):
    """Five days below, by what was bought first; then it is enough again, for as long as what was bought last stays."""

    def free(at: int, amount: int, number: int) -> dict:
        return sale(at, number=number, lines=[{"category": "cd", "quantity": 1, "net_amount": amount, "cost": 0}])

    first = ny("2022-04-20T12:00")
    last = first + 100 * DAY_MS
    log = [free(first, 150, 1), sale(first + 5 * DAY_MS, 60, 2, **lowers), free(last, 220, 3)]
    partition = Partition(policy_of(ladder(need))).run(plainly(log))
    lost = dates.midnight(dates.day(last, NY) + 395, NY)
    assert [(one.at, one.keep_until) for one in partition.told] == [(last, lost)]
    assert partition.run([lost]).tiers("anna")[1:] == [(lost, "silver", "member")]


# -- the club


AT = 1_750_000_000_000


def club_of(*ways: str) -> Policy:
    return policy_of(ladder(*THREE) + f'\n[club]\nfloor_tier = "silver"\n{chr(10).join(ways)}\n')


def test_T7_who_is_in_the_club_keeps_its_tier_through_returns_complaints_and_silence():
    back = sale(AT + 2 * DAY_MS, 900, 2, kind="RETURN")
    angry = {
        "topic": "complaints", "event_id": "c", "customer_id": "anna", "occurred_at": AT + 3 * DAY_MS,
        "complaint_id": "c1", "status": "OPENED", "severity": 5, "about": "STAFF",
    }  # fmt: skip
    log = plainly([sale(AT, 900), back, angry])
    partition = Partition(club_of("min_lifetime_value = 900")).run([*log, AT + 1500 * DAY_MS])
    anna = partition.customers["anna"]
    assert (anna.told.tier, anna.told.club_since) == ("silver", AT)
    without = Partition(policy_of(ladder(*THREE))).run([*log, AT + 1500 * DAY_MS])
    assert without.customers["anna"].told.tier == "member"


def test_T7_the_floor_says_by_which_way_in_and_keeps_for_good():
    partition = Partition(club_of("min_lifetime_purchases = 3"))
    partition.run(plainly([sale(AT + n, 1, n) for n in range(3)]))
    (change,) = partition.told
    assert (change.to_tier, change.code, change.have, change.need) == ("silver", "club_purchases", 3, 3)
    assert (change.at, change.keep_until) == (AT + 2, None)


def test_T7_years_are_full_on_their_own_day_without_an_event():
    partition = Partition(club_of("min_years = 4"))
    partition.run(plainly([sale(ny("2016-02-29 10:00"), 1)]))
    day = ny("2020-02-29 00:00")
    partition.run([day - 1])
    assert partition.told == []
    partition.run([day + 5 * DAY_MS])
    assert [(one.at, one.to_tier, one.code) for one in partition.told] == [(day, "silver", "club_years")]


def test_T7_a_policy_without_the_club_lets_the_floor_go_after_the_grace():
    partition = Partition(club_of("min_lifetime_purchases = 1"))
    partition.run(plainly([sale(AT, 1)]))
    plain = policy_of(ladder(*THREE))
    partition.around_is(tier.surroundings(plain, AT + DAY_MS), plain)
    partition.run([AT + 100 * DAY_MS])
    assert partition.customers["anna"].told.tier == "member"
