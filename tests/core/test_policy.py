"""The policy file: neutral defaults, exact rates, and every mistake told with line, place, rule and way out."""

import hashlib
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.care.sections import CareRules
from processors.days import Calendar
from processors.money import Rate
from processors.policy import Policy, PolicyError, load_policy
from processors.sections import Costs, Margin, Risk, TierRules

LEAST = """\
[programme]
name = "corner shop"
version = 3
currency = "EUR"

[[tiers]]
name = "member"
"""
LADDER = """\
[[tiers]]
name = "silver"
min_value_365d = 20_000

[[tiers]]
name = "gold"
min_value_365d = 60_000
min_purchases_365d = 6
"""


def problems(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_the_least_policy_has_neutral_defaults() -> None:
    policy = load_policy(LEAST)
    assert (policy.programme.time_zone, policy.programme.language, policy.programme.holdout) == (
        "UTC",
        "en",
        Rate(0, 1),
    )
    assert policy.tier_rules == TierRules(grace_days=30, one_step_down=False)
    assert policy.margin == Margin(default_rate=Rate(1, 4), rates={})
    assert policy.costs == Costs(complaint=0, channels={})
    assert policy.club is None
    assert (policy.care, policy.segments, policy.grades, policy.feasts.festivals) == ((), (), (), ())
    assert policy.care_rules == CareRules()
    assert (policy.risk.model, policy.risk.parameters.r, policy.risk.weights.intercept) == ("mbg_nbd", 1.396, -2.2)
    assert policy.calendar == Calendar("UTC")
    assert policy.rates.convert(7, "EUR") == 7


def test_a_table_given_in_part_keeps_the_defaults_of_its_other_keys() -> None:
    policy = load_policy(LEAST + "[risk]\nwatch = 0.3\nlost = { gaps = 4 }\n[risk.weights]\nsilence = 0.9\n")
    assert (policy.risk.watch, policy.risk.at_risk, policy.risk.ease) == (0.3, Risk().at_risk, Risk().ease)
    assert (policy.risk.lost.gaps, policy.risk.lost.least_days) == (4.0, 90)
    assert (policy.risk.weights.silence, policy.risk.weights.intercept) == (0.9, -2.2)


def test_a_policy_is_named_by_label_and_by_the_hash_of_its_text() -> None:
    policy = load_policy(LEAST)
    assert policy.label == "corner shop@3"
    assert policy.key == "corner shop@3#" + hashlib.sha256(LEAST.encode()).hexdigest()[:8]
    assert policy.text == LEAST
    assert load_policy(LEAST + "\n").key != policy.key


def test_tiers_have_their_conditions_and_ranks_lowest_first() -> None:
    policy = load_policy(LEAST + LADDER + "benefits = ['early sale']\ncare_every_days = 90\n")
    assert [tier.name for tier in policy.tiers] == ["member", "silver", "gold"]
    gold = policy.tiers[2]
    assert gold.conditions == (("min_value_365d", 60_000), ("min_purchases_365d", 6))
    assert (gold.benefits, gold.care_every_days) == (("early sale",), 90)
    assert [policy.tier_rank(name) for name in ("member", "gold", "bronze")] == [0, 2, None]


def test_a_share_condition_is_the_decimal_that_ticks_carry() -> None:
    policy = load_policy(LEAST + '[[tiers]]\nname = "top"\nmin_value_share_rank = 0.20\n')
    assert policy.tiers[1].conditions == (("min_value_share_rank", "0.2"),)


def test_rates_are_exact_decimals_as_written() -> None:
    more = "[margin]\ndefault_rate = 0.1\nrates = { 'SALAD BAR' = 0.30 }\n[currencies]\nrates = { JPY = 0.0067 }\n"
    policy = load_policy(LEAST + more)
    assert policy.margin.rate_of("SALAD BAR") == (3, 10)
    assert policy.margin.rate_of("bread") == (1, 10)
    assert policy.currencies.rates["JPY"] == Rate(67, 10_000)
    assert policy.rates.convert(1_000, "JPY") == 670


@pytest.mark.parametrize("file", sorted(Path("infra").glob("policy*.toml")), ids=lambda path: path.name)
def test_the_policies_we_ship_are_policies(file: Path) -> None:
    policy = load_policy(file.read_text())
    assert len(policy.tiers) == 4
    assert policy.tiers[3].name == "platinum"
    assert all(kind.tiers is None or set(kind.tiers) <= set(policy.ranks) for kind in policy.care)


def test_the_grocers_policy_counts_days_where_the_grocer_is() -> None:
    policy = load_policy(Path("infra/policy-completejourney.toml").read_text())
    assert policy.label == "completejourney@1"
    assert (policy.calendar.zone, policy.programme.currency) == ("America/New_York", "USD")
    assert policy.tier_rules.grace_days == 30


def cases() -> list[tuple[str, str]]:
    """(text of a policy, the problem told) for each block of policy_problems.txt."""
    made = []
    blocks = (Path(__file__).parent / "policy_problems.txt").read_text().split("\n=> ")
    for before, after in pairwise(blocks):
        change = [line for line in before.split("\n")[1:] if not line.startswith("# ")]
        text = LEAST
        if change[1].startswith("- "):
            assert change[1][2:] + "\n" in LEAST
            text = LEAST.replace(change[1][2:] + "\n", "".join(line[2:] + "\n" for line in change[2:]))
        else:
            text += "\n".join(change[1:]) + "\n"
        made.append((text, "policy.toml:" + after.split("\n", 1)[0]))
    return made


def test_T8_a_share_of_the_customers_needs_the_sums_of_all():
    text = LEAST.replace("[[tiers]]", "figures = false\n[[tiers]]", 1)
    told = problems(text + '[[tiers]]\nname = "best"\nmin_value_share_rank = 0.2\n')
    assert told == [
        "policy.toml:11: tiers[1].min_value_share_rank asks for a share of the customers, "
        "but [programme] figures = false keeps no sums of all customers"
    ]


@pytest.mark.parametrize(("text", "told"), cases(), ids=lambda value: value.split(" ")[1][:40])
def test_a_wrong_entry_is_named_with_its_line_value_rule_and_way_out(text: str, told: str) -> None:
    assert problems(text) == [told]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("version = 3", "version = = 3", 3), ("version = 3", "version = 3\nversion = 4", 4), ('"member"', '"member', 7)],
)
def test_what_is_no_toml_is_told_with_its_line(old: str, new: str, line: int) -> None:
    (told,) = problems(LEAST.replace(old, new))
    assert re.fullmatch(rf"policy\.toml:{line}: is no TOML: .+, at column \d+", told)


def test_a_file_that_ends_too_soon_is_told_with_its_last_line() -> None:
    (told,) = problems(LEAST + 'benefits = ["a",\n "b"')
    assert re.fullmatch(r"policy\.toml:9: is no TOML: .+", told)


def test_tiers_that_are_not_lowest_first_are_told() -> None:
    silver, gold = LADDER.split("\n\n")
    assert problems(LEAST + gold + "\n" + silver) == [
        'policy.toml:13: tiers[2] ("silver") asks for no more than tiers[1] ("gold") does, so that nobody would ever '
        "have that; list the tiers lowest first"
    ]


def test_a_larger_top_share_is_the_lower_tier() -> None:
    wide, narrow = ('[[tiers]]\nname = "%s"\nmin_value_share_rank = %s\n' % one for one in (("w", 0.5), ("n", 0.1)))  # noqa: UP031
    assert load_policy(LEAST + wide + narrow)
    assert 'tiers[2] ("w") asks for no more than tiers[1]' in problems(LEAST + narrow + wide)[0]


def test_tiers_by_different_conditions_may_stand_in_any_order() -> None:
    assert load_policy(LEAST + LADDER + '[[tiers]]\nname = "friend"\nmin_referrals_365d = 1\n')


def test_each_tier_but_the_first_has_conditions_and_a_name_of_its_own() -> None:
    told = problems(LEAST.replace('"member"', '"member"\nmin_purchases_365d = 1') + '[[tiers]]\nname = "member"\n')
    assert told[0].startswith("policy.toml:8: tiers[0].min_purchases_365d is a condition of the first tier")
    assert told[1].startswith('policy.toml:9: tiers[1] ("member") has no condition')
    assert told[2] == 'policy.toml:10: tiers[1].name is "member", as tiers[0] is: each needs a name of its own'


def test_every_problem_is_told_at_once_in_the_order_of_lines() -> None:
    text = (
        LEAST.replace('"EUR"', '"EURO"').replace('name = "member"', 'nmae = "member"')
        + LADDER.replace("min_purchases_365d = 6", "min_visits = 6")
        + "[risk]\nwatch = 2\n[[care]]\nkind = 'lower'\nshape = 'rythm'\n"
    )
    told = problems(text)
    places = [line.split(": ")[1].split(" ")[0] for line in told]
    assert places == [
        "programme.currency", "tiers[0].name", "tiers[0].nmae", "tiers[2].min_visits", "risk.watch", "care[0].kind",
        "care[0].shape",
    ]  # fmt: skip
    assert [int(line.split(":")[1]) for line in told] == sorted(int(line.split(":")[1]) for line in told)


def test_an_empty_file_says_what_a_policy_needs() -> None:
    assert problems("") == [
        "policy.toml:1: programme is missing: must be a table [programme] with name, version and currency",
        "policy.toml:1: tiers is missing: must be a list of [[tiers]], lowest first",
    ]


def test_a_policy_without_any_tier_is_told() -> None:
    assert problems("tiers = []\n" + LEAST.partition("\n\n")[0]) == [
        "policy.toml:1: tiers is empty: there must be at least one [[tiers]] with a name"
    ]


def test_tiers_are_checked_although_the_programme_is_broken() -> None:
    told = problems(LEAST.replace("version = 3", "").replace('"member"', '"member"\nmin_purchases_365d = 1'))
    assert [line.split(" ")[1] for line in told] == ["programme.version", "tiers[0].min_purchases_365d"]


def told_of(text: str) -> list[str]:
    """The problems of a text that may be a policy."""
    try:
        assert isinstance(load_policy(text), Policy)
    except PolicyError as error:
        return error.problems or ["a PolicyError without any problem"]
    return []


@given(st.text())
def test_no_text_whatever_is_anything_but_a_policy_or_a_policy_error(text: str) -> None:
    for whole in (text, LEAST + text):
        assert all(problem.startswith("policy.toml:") for problem in told_of(whole))


@given(st.data())
def test_no_broken_policy_of_ours_is_anything_but_a_policy_or_a_policy_error(data: st.DataObject) -> None:
    text = Path("infra/policy.toml").read_text()
    at = data.draw(st.integers(0, len(text) - 1))
    typed = data.draw(st.text("ax0-1.\"'[]{}=,\n", max_size=3))
    broken = text[:at] + typed + text[at + data.draw(st.integers(0, 3)) :]
    assert all(problem.startswith("policy.toml:") for problem in told_of(broken))
