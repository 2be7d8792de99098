"""M4: a diff of policies says what the switch then does: held against the switch itself, on the same customers."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import policy_diff as core
from processors import tier
from processors.events import Anniversary, Profile
from processors.history import History
from processors.policy_diff import Lack, Side
from streams.policy_diff import sentence
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.core.logs import ordered
from tests.strategies import DAY_MS, histories, policies, policy_of

CARE = """
[[care]]
kind = "WELCOME"
shape = "event"
on = "first_purchase"
expires_days = 10
[[care]]
kind = "REPLENISH"
shape = "rhythm"
expires_days = 14
[[care]]
kind = "POLICY_CHANGE"
shape = "event"
on = "policy_change"
expires_days = 30
[[care]]
kind = "NEVER_FORGOTTEN"
shape = "silence"
after_days = 45
expires_days = 15
"""
SHARES = {"0.2": 900, "average_order:0.2": 400}
SEGMENTS = """
[[segments]]
name = "vital-few"
when = "value_share_rank <= 0.2"
[[segments]]
name = "big-ticket"
when = "average_order_share_rank <= 0.2 and purchases_365d >= 1"
[[segments]]
name = "unprofitable"
when = "contribution_365d < 0"
"""
OTHER = CARE.replace("after_days = 45", "after_days = 20").replace("WELCOME", "HELLO")


def side(policy, since: int = -1) -> Side:
    return Side(policy, tier.surroundings(policy, since))


@given(st.sampled_from(("UTC", "America/New_York")), st.data())
@settings(max_examples=60)
def test_M4_who_moves_and_what_comes_is_what_the_switch_then_tells(zone, data):
    """The slow way: let a partition live under the old policy, switch it, and let time pass."""
    old = policy_of(data.draw(policies(zone)) + CARE)
    new = policy_of(data.draw(policies(zone)).replace('"strategies"', '"switched"') + OTHER)
    events = data.draw(histories(zone))
    clock = events[-1]["occurred_at"] + data.draw(st.integers(0, 120)) * DAY_MS
    partition = Partition(old).run(plainly(data.draw(ordered(events, clock))))
    anna = partition.customers["anna"]
    was = core.stand(core.at_rest(anna, clock, side(old)), clock, side(old))
    then = core.stand(anna, clock, side(new, clock))
    assert (was.seen.outputs, was.tier) == ((), anna.told.tier), "at rest the policy in force tells nothing more"
    until = clock + 90 * DAY_MS
    ahead = core.care_ahead(then.seen, until, side(new, clock))

    told, care = len(partition.told), len(partition.care)
    partition.around_is(tier.surroundings(new, clock), new)
    switched = partition.customers["anna"]
    assert then.tier == switched.told.tier
    assert then.care == tuple(sorted(one.kind for one in switched.told.care.open))
    at_once = core.move(was, then)
    assert (at_once is not None and at_once.at_once) == bool(partition.told[told:] or was.tier != then.tier)
    partition.run([until])
    due = [one for one in partition.care[care:] if one.status == "DUE"]
    assert ahead == Counter((one.kind, core.month_of(one.at, new.calendar)) for one in due)


@given(st.data())
@settings(max_examples=40)
def test_M4_the_policy_in_force_moves_nobody(data):
    policy = policy_of(data.draw(policies("UTC")) + CARE)
    events = data.draw(histories("UTC"))
    clock = events[-1]["occurred_at"] + data.draw(st.integers(0, 400)) * DAY_MS
    anna = Partition(policy).run(plainly(events)).customers["anna"]
    rested = core.at_rest(anna, clock, side(policy))
    assert core.move(core.stand(rested, clock, side(policy)), core.stand(rested, clock, side(policy))) is None


HEAD = '[programme]\nname = "{name}"\nversion = 1\ncurrency = "USD"\ntime_zone = "America/New_York"\n'
LADDER = '[[tiers]]\nname = "member"\n[[tiers]]\nname = "gold"\nmin_value_365d = {gold}\n'
GRACE = "[tier_rules]\ngrace_days = {days}\n"
NOON = ny("2024-05-01T12:00")


def text(gold: int, days: int = 30, name: str = "diff", more: str = "") -> str:
    return HEAD.format(name=name) + GRACE.format(days=days) + LADDER.format(gold=gold) + more


@pytest.mark.parametrize(
    ("value", "old", "new", "grace", "moved"),
    [
        (500, 400, 600, 30, ("gold", "gold", "gold", "member", False)),
        (500, 400, 600, 0, ("gold", "member", "gold", "member", True)),
        (500, 600, 400, 30, ("member", "gold", "member", "gold", True)),
        (500, 400, 500, 30, None),
        (0, 400, 500, 0, None),
    ],
)
def test_M4_a_rise_is_at_once_and_a_fall_waits_for_its_grace(value, old, new, grace, moved):
    """moved: tier held before and after the switch, from, to, at once."""
    before, after = policy_of(text(old, grace)), policy_of(text(new, grace, "later"))
    anna = Partition(before).run(plainly([sale(NOON, value), NOON])).customers["anna"]
    was, then = (core.stand(anna, NOON, side(policy)) for policy in (before, after))
    found = core.move(was, then)
    if moved is None:
        assert found is None
    else:
        assert found is not None
        assert (was.tier, then.tier, found.tier_from, found.tier_to, found.at_once) == moved


def test_M4_who_was_about_to_fall_and_now_stays_moves_up():
    before, after = policy_of(text(400)), policy_of(text(100, name="kinder"))
    late = NOON + 370 * DAY_MS
    anna = Partition(before).run(plainly([sale(NOON, 500), sale(late - 20 * DAY_MS, 200), late])).customers["anna"]
    assert (anna.told.tier, anna.told.below_since is not None) == ("gold", True)
    found = core.move(*(core.stand(anna, late, side(policy)) for policy in (before, after)))
    assert found is not None
    assert (found.tier_from, found.tier_to, found.at_once) == ("member", "gold", False)


@given(
    st.lists(st.integers(-500, 5_000), min_size=1, max_size=60), st.sampled_from(("0.01", "0.05", "0.2", "0.5", "1"))
)
def test_M4_T8_a_threshold_that_no_tick_told_lets_in_the_share_that_it_names(values, share):
    least = core.value_at([share], values)[share]
    wanted = max(1, round(len(values) * Fraction(share)))
    assert sum(value > least for value in values) < wanted <= sum(value >= least for value in values)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_M4_V6_segments_are_those_that_the_switch_then_gives(data):
    old = policy_of(data.draw(policies("UTC")))
    new = policy_of(data.draw(policies("UTC")).replace('"strategies"', '"switched"') + SEGMENTS)
    events = data.draw(histories("UTC"))
    clock = events[-1]["occurred_at"] + data.draw(st.integers(0, 120)) * DAY_MS
    partition = Partition(old).run([*plainly(events), clock])
    anna = partition.customers["anna"]
    assert core.segments_of(core.stand(anna, clock, side(old)), side(old)) == ()
    to = Side(new, tier.surroundings(new, clock, SHARES))
    found = core.segments_of(core.stand(anna, clock, to), to)
    partition.around_is(to.around, new)
    counted = partition.customers["anna"].counted
    assert counted is not None
    assert found == counted.segments


def test_M4_V6_thresholds_that_segments_ask_for_are_taken_by_value_and_by_order_and_named():
    new = policy_of(text(400, name="diff", more=SEGMENTS))
    facts = [History(value=value, sales=sales) for value, sales in ((100, 4), (90, 1), (0, 0), (-5, 1), (60, 2))]
    assert core.shares_asked(new) == {"0.2", "average_order:0.2"}
    assert core.thresholds(core.shares_asked(new), facts) == {"0.2": 100, "average_order:0.2": 90}
    assert core.lacks(policy_of(text(400)), new, {}, 5) == [Lack("share", "0.2"), Lack("order", "0.2")]
    assert "top 0.2 by average order" in sentence(Lack("order", "0.2"))


def test_M4_what_histories_lack_is_named_with_who_has_it():
    birthday = '[[care]]\nkind = "BIRTHDAY"\nshape = "calendar"\non = "birthday"\nlead_days = 7\n'
    old = policy_of(text(400))
    new = policy_of(
        text(400, name="new", more=birthday + "[margin]\ndefault_rate = 0.5\n").replace(
            "min_value_365d = 400", ("min_value_share_rank = 0.2")
        )
    )
    assert core.lacks(old, old, {}, 10) == []
    assert core.lacks(old, new, {"birthday": 3}, 10) == [
        Lack("control", "diff -> new"),
        Lack("margin"),
        Lack("share", "0.2"),
        Lack("profile", "BIRTHDAY:birthday", 3, 10),
    ]
    assert not [one for one in core.lacks(old, new, {"birthday": 10}, 10) if one.code == "profile"]


def test_M4_a_profile_has_what_it_says():
    said = Profile(
        event_id="p", customer_id="anna", occurred_at=NOON, joined_at=NOON, birthday="05-12",
        anniversaries=(Anniversary("wedding", "2001-06-01"),),
    )  # fmt: skip
    needs = ("birthday", "joined", "anniversaries", "wedding", "moving", "employee_id")
    assert [need for need in needs if core.has(said, need)] == ["birthday", "joined", "anniversaries", "wedding"]
