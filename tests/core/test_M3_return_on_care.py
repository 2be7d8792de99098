"""M3, M5: the interval of what care is worth holds the truth as often as it says, in programmes of known effect."""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.census import SQUARE_BITS, within_bounds
from processors.outlook import outlook
from processors.view import view
from streams.programme import programme_figures
from streams.programme.arms import COSTS, PAYS, TOO_EARLY, arms
from streams.programme.estimate import Sample, mean_difference, share, share_difference
from streams.programme.sums import Sums
from tests.core.test_M_figures import AT, SHOP, programme, shop_year, views_of
from tests.oracle.programme import day_of, key
from tests.strategies import DAY_MS

DAY = 20_000


def counters(cared: list[tuple[int, bool]], held: list[tuple[int, bool]]) -> Counter[str]:
    """As a programme's counters have them: (contribution, stayed) of each customer of both arms."""
    counts: Counter[str] = Counter()
    for arm, people in (("cared", cared), ("held", held)):
        for contribution, stayed in people:
            square = contribution * contribution
            counts[f"arm:{arm}:customers"] += 1
            counts[f"arm:{arm}:margin"] += contribution
            counts[f"arm:{arm}:squares_high"] += square >> SQUARE_BITS
            counts[f"arm:{arm}:squares_low"] += square & ((1 << SQUARE_BITS) - 1)
            counts[f"base:{arm}:{DAY - 400}:{int(stayed)}:customers"] += 1
    return counts


def people(rng: random.Random, number: int, lift: int, stays: float) -> list[tuple[int, bool]]:
    """A till's contributions: many small, few large, some nothing at all."""
    found = []
    for _ in range(number):
        base = 0 if rng.random() < 0.3 else round(rng.lognormvariate(8.5, 0.9)) - 500
        found.append((base + lift, rng.random() < stays))
    return found


def test_M3_the_95_percent_interval_holds_the_true_effect_in_92_to_98_of_100_programmes():
    rng, runs, held = random.Random(20_261_128), 1_000, Counter[str]()
    for _ in range(runs):
        lift, stays = rng.choice((0, 200, 900)), rng.choice((0.5, 0.62))
        counts = counters(people(rng, 320, lift, stays), people(rng, 120, 0, 0.5))
        found = {(one.name, one.labels.get("bound")): one.value for one in arms(Sums(counts, DAY))}
        for name, truth in (
            ("loyalty_care_contribution_effect", lift),
            ("loyalty_care_incremental_contribution", 320 * lift),
            ("loyalty_care_retention_effect", stays - 0.5),
        ):
            low, high = found[name, "low"], found[name, "high"]
            assert low is not None
            assert high is not None
            held[name] += low <= truth <= high
    for name, number in held.items():
        assert 0.92 * runs <= number <= 0.98 * runs, f"{name}: {number} of {runs}"


def verdicts(counts: Counter[str]) -> list[str]:
    return [one.labels["verdict"] for one in arms(Sums(counts, DAY)) if one.name.endswith("verdict") and one.value]


def test_M3_too_early_to_tell_while_the_interval_covers_zero():
    rng = random.Random(5)
    same = [people(rng, 60, 0, 0.5) for _ in range(2)]
    assert verdicts(counters(*same)) == [TOO_EARLY]
    assert verdicts(Counter()) == [TOO_EARLY], "of nobody nothing can be said"
    assert verdicts(counters(people(rng, 500, 3_000, 0.5), people(rng, 500, 0, 0.5))) == [PAYS]
    assert verdicts(counters(people(rng, 500, -3_000, 0.5), people(rng, 500, 0, 0.5))) == [COSTS]


@given(st.lists(st.integers(-(1 << 43), 1 << 43), min_size=2, max_size=30))
def test_M3_mean_and_variance_come_from_sums_exactly(amounts: list[int]):
    counts = counters([(one, True) for one in amounts], [(one, True) for one in amounts])
    squares = (counts["arm:cared:squares_high"] << SQUARE_BITS) + counts["arm:cared:squares_low"]
    assert squares == sum(one * one for one in amounts)
    sample = Sample(len(amounts), sum(amounts), squares)
    assert sample.mean == pytest.approx(fmean(amounts), rel=1e-9, abs=1e-3)
    expected = stdev(amounts) ** 2 / len(amounts)
    assert sample.spread == pytest.approx(expected, rel=1e-6, abs=abs(sample.mean) ** 2 * 1e-6 + 1e-9)


def test_M3_the_arms_of_a_shop_are_those_of_a_plain_count():
    partition, events = shop_year(150)
    found, views = programme(partition), views_of(partition)
    today = day_of(partition.clock or 0, "UTC")
    bought = {(one["customer_id"], day_of(one["occurred_at"], "UTC")) for one in events if one["topic"] == "purchases"}
    before = {name for name, day in bought if today - 730 < day <= today - 365}
    means = {}
    for arm, held in (("cared", 0), ("held", 1)):
        inside = [one for one in views if one["holdout"] == held and one["first_purchase_at"] is not None]
        assert found[key("loyalty_arm_customers", arm=arm)] == len(inside) > 20
        means[arm] = fmean(int(one["contribution_365d"] or 0) for one in inside)
        assert found[key("loyalty_arm_contribution", arm=arm)] == pytest.approx(means[arm])
        there = [one for one in inside if one["customer_id"] in before]
        kept = sum(int(one["purchases_365d"] or 0) > 0 for one in there)
        assert found[key("loyalty_arm_retention_ratio", arm=arm)] == pytest.approx(kept / len(there))
    effect = found[key("loyalty_care_contribution_effect", bound="value")]
    assert effect == pytest.approx(means["cared"] - means["held"])


def test_M3_an_effect_of_one_person_or_none_has_no_interval():
    assert mean_difference(Sample(1, 5, 25), Sample(9, 5, 25)) is None
    assert share(0, 0) is None
    assert share_difference(1, 2, 0, 0) is None
    assert mean_difference(Sample(2, 4, 8), Sample(2, 4, 8)) == (0, 0, 0)


def test_M5_the_programmes_constants_stand_beside_the_textbooks():
    partition, events = shop_year(150)
    found = {
        (one.labels["constant"], one.labels["of"]): one.value
        for one in programme_figures(partition.counts, SHOP, partition.clock)
        if one.name == "loyalty_constant"
    }
    assert found["value_by_the_top_fifth", "textbook"] == 0.8
    assert 0.2 < (found["value_by_the_top_fifth", "programme"] or 0) < 1
    low, own, high = (found["lost_because_nobody_cared", of] for of in ("low", "programme", "high"))
    lost = [one["exit"] for one in views_of(partition) if one["exit"]]
    assert len(lost) > 10
    assert low is not None
    assert own is not None
    assert high is not None
    assert 0 <= low < own < high <= 1
    firsts: dict[int, list[int]] = {1: [], 2: [], 3: []}
    number: Counter[str] = Counter()
    for one in events:
        if one["topic"] == "purchases":
            number[one["customer_id"]] += 1
            if number[one["customer_id"]] in firsts:
                firsts[number[one["customer_id"]]].append(sum(line["net_amount"] for line in one["lines"]))
    for n, name in ((2, "second"), (3, "third")):
        ratio = found[f"margin_of_the_{name}_purchase_over_the_first", "programme"]
        assert ratio == pytest.approx(fmean(firsts[n]) / fmean(firsts[1]), rel=1e-3)


def test_M5_a_purchase_that_comes_again_is_no_second_one():
    partition, _ = shop_year(5)
    assert partition.counts["nth:1"] == len(partition.customers)
    assert all(within_bounds(n) == n for n in partition.counts.values())
    assert (partition.clock or 0) > AT + 900 * DAY_MS
    for one in partition.customers.values():
        seen = outlook(one, SHOP)
        assert one.counted is not None
        assert one.counted.clv == seen.worth.clv == view(one, SHOP)["clv"], "V4 counts what the view shows"
