"""V4, V5, M1-M6: the programme's figures, kept as differences, against a plain count over all views and events."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from processors import tier
from processors.census import AMOUNT_MAX, FAMILIES
from processors.figures import count
from processors.policy import Policy
from processors.sketch import SHARES, Class, Spread, class_of, middle_of
from processors.value import rhythm
from processors.view import View, view
from sinks.access import KafkaAccess
from streams.export import held
from streams.forecast import forecast
from streams.leader import SHARES_AGAIN_S, LiveClock
from streams.programme import CATALOGUE, Figure, programme_figures
from streams.programme.figure import WITHOUT_SUMS
from streams.shares import asked, thresholds
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.oracle import programme as plain
from tests.strategies import DAY_MS, RATES, Plain, histories, policies, policy_of

PEOPLE = ("anna", "bob", "carl")
ROOT = Path(__file__).resolve().parents[2]
AT = 1_750_000_000_000


def table(figures: list[Figure]) -> dict[plain.Key, int | float | None]:
    return {plain.key(one.name, **one.labels): one.value for one in figures}


def programme(partition: Partition) -> dict[plain.Key, int | float | None]:
    return table(programme_figures(partition.counts, partition.policy, partition.clock))


def views_of(partition: Partition) -> list[View]:
    """As stored: of each customer as of their last review."""
    return [view(one, partition.policy) for one in partition.customers.values()]


def assert_exact(partition: Partition, events: list[Plain]) -> None:
    policy, clock = partition.policy, partition.clock
    assert clock is not None
    names = [one.name for one in policy.tiers]
    expected = plain.figures(views_of(partition), events, names, policy.programme.time_zone, clock)
    found = programme(partition)
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)


def of_people(counts: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if n and name.partition(":")[0] in FAMILIES}


@given(policies(), st.data())
@settings(max_examples=120, deadline=None)
def test_V4_M1_sums_kept_as_differences_are_a_plain_count_over_views_and_events(text: str, data: st.DataObject):
    policy = policy_of(text)
    events = data.draw(histories(policy.programme.time_zone, PEOPLE, most=15))
    log: list[Any] = []
    for entry in plainly(events):
        log += [entry, *([None] if data.draw(st.booleans()) else [])]
    clock = max(one["occurred_at"] for one in events) + data.draw(st.integers(0, 900)) * DAY_MS
    partition = Partition(policy).run([*log, clock])
    assert_exact(partition, events)


@given(policies(), policies(), st.data())
@settings(max_examples=60, deadline=None)
def test_M1_what_goes_is_what_came_whatever_the_policy_is_by_then(text: str, other: str, data: st.DataObject):
    policy, then = policy_of(text), policy_of(other)
    events = data.draw(histories(policy.programme.time_zone, PEOPLE, most=10))
    partition = Partition(policy).run([*plainly(events), events[-1]["occurred_at"] + DAY_MS])
    partition.around_is(tier.surroundings(then, partition.clock or 0), then)
    again: Counter[str] = Counter()
    count(again, [(None, customer) for customer in partition.customers.values()], then)
    assert of_people(partition.counts) == of_people(again)
    for name in tuple(partition.customers):
        partition.erase(name)
    assert of_people(partition.counts) == {}, "nobody is left, so nothing is counted"


@given(histories("UTC", PEOPLE, most=12))
@settings(max_examples=60, deadline=None)
def test_M1_sums_are_left_out_and_taken_up_again_by_a_policy_for_everybody_at_once(events: list[Plain]):
    rates = RATES.replace(", USD = 1.5", "")
    text = f"{SHOP.text}[currencies]\nrates = {rates}\n"
    kept, bare = policy_of(text), policy_of(text.replace("holdout", "figures = false\nholdout"))
    log = [*plainly(events), events[-1]["occurred_at"] + DAY_MS]
    partition, without = Partition(kept).run(log), Partition(bare).run(log)
    assert of_people(without.counts) == {}
    assert {name: n for name, n in without.counts.items() if n and name.startswith("capital_")} == {}
    found = programme(without)
    assert found
    assert found.items() <= programme(partition).items()
    for policy, other in ((kept, without), (bare, partition)):
        other.around_is(tier.surroundings(policy, other.clock or 0), policy)
    assert of_people(partition.counts) == {}
    partition.around_is(tier.surroundings(kept, partition.clock or 0), kept)
    assert of_people(without.counts) == of_people(partition.counts) != {}


def test_M1_without_sums_what_is_told_needs_none():
    partition, _ = shop_year(60)
    needless = Counter({name: n for name, n in partition.counts.items() if name.partition(":")[0] not in FAMILIES})
    bare = policy_of(SHOP.text.replace("holdout", "figures = false\nholdout"))
    told = {one.name for one in programme_figures(partition.counts, bare, partition.clock)}
    assert told <= WITHOUT_SUMS
    assert {"loyalty_customers", "loyalty_lost_customers", "loyalty_gained_total"} <= told
    assert programme_figures(partition.counts, bare, partition.clock) == programme_figures(
        needless, bare, partition.clock
    )


@given(st.lists(st.integers(-50, 1 << 30), min_size=1, max_size=200), st.sampled_from(SHARES))
@settings(max_examples=300)
def test_V5_shares_from_classes_are_within_1_percent_of_the_exact_ranking(values: list[int], top: str):
    classes = spread_of(values)
    brought, least = plain.exact_shares(values, float(top))
    assert classes.least_of_top(float(top)) == pytest.approx(least, rel=0.01)
    positive = [value for value in values if value > 0]
    number = min(max(1, round(len(values) * float(top))), len(positive))
    exact = sum(sorted(positive, reverse=True)[:number])
    assert classes.brought_by(1, classes.top(float(top))) == pytest.approx(exact, rel=0.01)
    assert brought is None or brought > 0 or not positive


@given(st.lists(st.lists(st.integers(1, 1 << 40), max_size=30), min_size=2, max_size=4))
def test_V5_partitions_merge_by_adding_up(parts: list[list[int]]):
    counts: Counter[int] = Counter()
    for part in parts:
        counts += Counter(map(class_of, part))
    everybody = [value for part in parts for value in part]
    assert counts == Counter(map(class_of, everybody))


@given(st.integers(1, 1 << 62))
def test_V5_a_class_lies_within_1_percent_of_its_amounts_and_keeps_their_order(amount: int):
    assert abs(middle_of(class_of(amount)) - amount) * 100 <= amount
    assert class_of(amount) <= class_of(amount + 1)


def spread_of(values: list[int]) -> Spread:
    found: dict[int, list[int]] = {}
    for value in values:
        if value > 0:
            found.setdefault(class_of(value), []).append(value)
    return Spread(len(values), [Class(number, len(held), (sum(held),)) for number, held in found.items()])


SHOP = policy_of(
    '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\nholdout = 0.3\n'
    '[[tiers]]\nname = "member"\n[[tiers]]\nname = "gold"\nmin_value_365d = 50000\n[costs]\ncomplaint = 700\n'
    "[costs.channels]\nphone = 300\n"
)


SHOP_2 = policy_of(SHOP.text.replace("version = 1", "version = 2"))


def shop_year(customers: int, policy: Policy = SHOP) -> tuple[Partition, list[Plain]]:
    """Three years of a shop whose customers come and go, some of them called."""
    rng = random.Random(7)
    events: list[Plain] = []
    for number in range(customers):
        at = AT + rng.randrange(700) * DAY_MS
        for _ in range(rng.randrange(1, 8)):
            cents = round(rng.lognormvariate(8, 1.2)) + 1
            events.append(sale(at, cents, len(events), customer_id=f"c{number}", store_id=f"s{number % 3}"))
            if rng.random() < 0.2:
                events.append({
                    "topic": "contacts", "event_id": f"t{len(events)}", "customer_id": f"c{number}", "kind": "CARE",
                    "occurred_at": at + 3_600_000, "direction": "OUT", "channel": "phone",
                })  # fmt: skip
            at += rng.randrange(1, 200) * DAY_MS
    events = [one for one in events if one["occurred_at"] < AT + 1_095 * DAY_MS]
    events.sort(key=lambda one: (one["occurred_at"], one["event_id"]))
    return Partition(policy).run([*plainly(events), AT + 1_095 * DAY_MS]), events


def test_M1_M6_a_shop_of_three_years_has_the_figures_of_a_plain_count():
    partition, events = shop_year(150)
    assert_exact(partition, events)
    found = programme(partition)
    views = views_of(partition)
    for top in SHARES:
        brought, least = plain.exact_shares([one["value_365d"] for one in views], float(top))  # type: ignore[misc]
        assert found[plain.key("loyalty_value_share", top=top)] == pytest.approx(brought, rel=0.01)
        assert found[plain.key("loyalty_value_at_share", top=top)] == pytest.approx(least, rel=0.01)
    for name in ("loyalty_decile_value_share", "loyalty_decile_care_share"):
        parts = [found[plain.key(name, decile=str(n))] or 0 for n in range(1, 11)]
        assert sum(parts) == pytest.approx(1), name
    touched = sum(one["topic"] == "contacts" and one["occurred_at"] > AT + 730 * DAY_MS for one in events)
    assert partition.counts["all:-:touches"] == touched > 10
    assert 0 < (found[plain.key("loyalty_retention_ratio")] or 0) < 1


def test_M6_stores_are_told_with_what_their_customers_bring():
    partition, events = shop_year(60)
    last = {one["customer_id"]: one["store_id"] for one in events if one["topic"] == "purchases"}
    found = programme(partition)
    for store in ("s0", "s1", "s2"):
        inside = [one for one in views_of(partition) if last[str(one["customer_id"])] == store]
        assert found[plain.key("loyalty_store_customers", store=store)] == len(inside)
        value = sum(one["value_365d"] for one in inside)  # type: ignore[misc]
        assert found[plain.key("loyalty_store_value_365d", store=store)] == value


def test_M6_regions_are_their_stores_together_and_a_store_in_none_is_in_none():
    text = (
        SHOP.text
        + '[[regions]]\nname = "coast"\nstores = ["s0", "s2", "gone"]\n[[regions]]\nname = "new"\nstores = ["s9"]\n'
    )
    found = programme(shop_year(60, policy_of(text))[0])
    for what in ("customers", "active_customers", "lost_customers", "value_365d", "contribution_365d"):
        parts = [found[plain.key(f"loyalty_store_{what}", store=store)] or 0 for store in ("s0", "s2")]
        assert found[plain.key(f"loyalty_region_{what}", region="coast")] == sum(parts)
        assert found[plain.key(f"loyalty_region_{what}", region="new")] == 0
    assert (found[plain.key("loyalty_region_customers", region="coast")] or 0) > 0
    assert not [name for name in found if "region" in str(name) and "s1" in str(name)]


def test_M1_lost_and_won_back_are_counted_for_good_and_the_reason_told_later_moves_the_gauge_alone():
    log = plainly(sale(AT + n * 10 * DAY_MS, 900, n) for n in range(5))
    partition = Partition(SHOP).run([*log, AT + 300 * DAY_MS])
    (reason,) = [name.partition(":")[2] for name in partition.counts if name.startswith("lost_first:")]
    left = {
        "topic": "contacts", "event_id": "x", "customer_id": "anna", "occurred_at": AT + 301 * DAY_MS,
        "kind": "INQUIRY", "direction": "IN", "channel": "phone", "reason": "moved away",
    }  # fmt: skip
    partition.run(plainly([left]))
    found = programme(partition)
    assert found[plain.key("loyalty_lost_total", reason=reason)] == 1
    assert sum(v or 0 for (name, _), v in found.items() if name == "loyalty_lost_customers") == 1
    assert found[plain.key("loyalty_lost_customers_365d")] == 1
    partition.run(plainly([sale(AT + 302 * DAY_MS, 900, 99)]))
    found = programme(partition)
    assert found[plain.key("loyalty_won_back_total")] == 1
    assert found[plain.key("loyalty_gained_total")] == 1
    partition.erase("anna")
    assert programme(partition)[plain.key("loyalty_gained_total")] == 1, "a total never falls"


def test_M1_who_was_counted_by_no_earlier_release_is_counted_once_with_their_next_review():
    partition, _ = shop_year(20)
    right = of_people(partition.counts)
    for name, one in partition.customers.items():
        partition.customers[name] = replace(one, counted=None)
    partition.counts.clear()
    partition.around_is(partition.around, partition.policy)
    assert of_people(partition.counts) == {}, "nobody was due"
    partition.around_is(tier.surroundings(SHOP_2, partition.clock or 0), SHOP_2)
    assert of_people(partition.counts) == right


def test_D4_an_export_shows_what_the_figures_count_of_a_person():
    partition, _ = shop_year(3)
    for one in partition.customers.values():
        shown = held(one, None, SHOP.calendar)["counted_in_figures"]
        assert one.counted is not None
        assert shown == {"clv": one.counted.clv, "layer": one.counted.layer, "held": one.counted.held,
                         "past": one.counted.past, "segments": [], "order": 0, "owner": None}  # fmt: skip


def test_M1_an_amount_beyond_all_reason_counts_as_the_most_there_is():
    partition = Partition(SHOP).run([*plainly(sale(AT, 1 << 62, n, customer_id=f"c{n}") for n in range(4)), AT + 1])
    assert partition.counts["in_tier:gold:value"] == 4 * AMOUNT_MAX
    assert all(abs(number) < 1 << 62 for number in partition.counts.values())


def test_V8_what_is_expected_adds_up_over_stores_and_categories_to_what_views_expect():
    partition, _ = shop_year(80)
    people = [(one, SHOP) for one in partition.customers.values()]
    expected = sum(float(one["expected_purchases"] or 0) for one in views_of(partition))
    amounts = [
        float(one["expected_purchases"] or 0) * int(one["lifetime_value"] or 0) / (who.x + 1)
        for one in views_of(partition)
        if (who := rhythm(partition.customers[str(one["customer_id"])].history.purchase_days)) is not None
    ]
    for by, names in (("store", {"s0", "s1", "s2"}), ("category", {"cd"})):
        lines = forecast(people, by, (30, 365))
        assert {line.name for line in lines} <= names | {"unknown"}
        assert sum(line.purchases[1] for line in lines) == pytest.approx(expected)
        assert sum(line.amounts[1] for line in lines) == pytest.approx(sum(amounts), abs=len(lines))
        assert all(0 <= line.purchases[0] <= line.purchases[1] for line in lines)
        assert [line.amounts[1] for line in lines] == sorted((line.amounts[1] for line in lines), reverse=True)


FEW = policy_of(
    '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'
    '[[tiers]]\nname = "half"\nmin_value_share_rank = 0.5\n[[tiers]]\nname = "few"\nmin_value_share_rank = 0.2\n'
)


def test_V5_T8_thresholds_are_those_that_tiers_ask_for_and_none_while_there_is_nobody():
    partition, _ = shop_year(80)
    assert (asked(FEW), asked(SHOP)) == (("0.2", "0.5"), ())
    assert thresholds({}, FEW) == {}
    found = thresholds(partition.counts, FEW)
    values = [int(one["value_365d"] or 0) for one in views_of(partition)]
    assert found == {
        share: pytest.approx(plain.exact_shares(values, float(share))[1], rel=0.01) for share in asked(FEW)
    }


def test_V5_the_live_clock_carries_thresholds_with_a_days_first_tick_and_asks_again_while_there_are_none():
    answers = [{}, {"0.2": 700}, {"0.2": 800}]
    clock = LiveClock(KafkaAccess("127.0.0.1:1"), FEW, 1_000, shares=lambda: answers.pop(0))

    def at(ms: int) -> dict[str, int]:
        """What a tick at `ms` carries, and that it was written."""
        carried = asyncio.run(clock._thresholds(ms))
        if carried:
            clock._shares_day = FEW.calendar.day_of(ms)
        return carried

    assert at(AT) == {}
    assert at(AT + 1_000) == {}, "not asked again so soon"
    clock._shares_asked -= SHARES_AGAIN_S
    assert at(AT + 2_000) == {"0.2": 700}
    clock._shares_asked -= SHARES_AGAIN_S
    assert at(AT + 3_000) == {}, "told today"
    assert at(AT + DAY_MS) == {"0.2": 800}
    clock._shares_asked -= SHARES_AGAIN_S
    assert at(AT + 3 * DAY_MS) == {}, "Redis is away: the tick goes without"


def test_every_figure_is_of_the_catalogue_and_counters_alone_end_in_total():
    partition, _ = shop_year(20)
    for one in programme_figures(partition.counts, SHOP, partition.clock):
        assert one.name in CATALOGUE
    for name, sort in CATALOGUE.items():
        assert name.endswith("_total") == (sort.kind == "counter"), name
        assert sort.help.endswith("."), name


def test_the_page_of_figures_says_what_each_is_as_the_catalogue_does():
    page = (ROOT / "docs" / "use" / "figures.md").read_text()
    for name, sort in CATALOGUE.items():
        unit = f"{sort.unit} (counter)" if sort.kind == "counter" else sort.unit
        assert f"| `{name}` | {unit} | {sort.help} |" in page
