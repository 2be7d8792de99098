"""M5: the programme's own constants beside the textbook's."""

from __future__ import annotations

from collections.abc import Iterator

from processors.days import DAY_MS
from processors.history import WINDOW_DAYS
from processors.policy import Policy
from streams.programme import estimate
from streams.programme.estimate import Estimate
from streams.programme.figure import Figure, figure
from streams.programme.sums import Sums
from streams.summary import share, word_of_mouth

TEXTBOOK = {
    "winning_over_keeping": 5.0,
    "new_ones_to_make_good_one_lost": 10.0,
    "brought_by_a_happy_customer": 8.0,
    "sales_by_a_happy_customer": 1.0,
    "lost_beside_an_unhappy_customer": None,
    "new_ones_through_old_ones": 0.6,
    "value_by_the_top_fifth": 0.8,
    "contribution_by_the_top_fifth": 0.8,
    "profit_of_5_percent_more_retention": 0.3,
    "margin_of_the_second_purchase_over_the_first": None,
    "margin_of_the_third_purchase_over_the_first": None,
    "lost_because_nobody_cared": 0.67,
}
"""What is taught; None: nothing that could be measured here."""

MORE_RETENTION = 0.05


def constants(sums: Sums, policy: Policy, clock: int | None) -> Iterator[Figure]:
    """Each constant (M5): the programme's, between which bounds it lies where it is a share, and the textbook's."""
    found = dict(_own(sums, policy, clock))
    for name, taught in TEXTBOOK.items():
        own = found.get(name)
        held = own if isinstance(own, Estimate) else None
        value = own.value if isinstance(own, Estimate) else own
        yield figure("loyalty_constant", value, constant=name, of="programme")
        yield figure("loyalty_constant", held.low if held else None, constant=name, of="low")
        yield figure("loyalty_constant", held.high if held else None, constant=name, of="high")
        yield figure("loyalty_constant", taught, constant=name, of="textbook")


def _own(sums: Sums, policy: Policy, clock: int | None) -> Iterator[tuple[str, float | Estimate | None]]:
    counts = sums.counts
    winning = share(sums.of("all", "-", "acquisition"), sums.of("all", "-", "acquired"))
    keeping = share(sums.total("in_tier", "serve"), sums.of("all", "-", "active"))
    yield "winning_over_keeping", winning / keeping if winning is not None and keeping else None
    yield "new_ones_to_make_good_one_lost", _to_make_good(sums, clock)
    mouth = word_of_mouth(counts)
    if mouth is not None:
        yield "brought_by_a_happy_customer", mouth.brought_each
        yield "sales_by_a_happy_customer", mouth.sales_each
        if mouth.cost is not None and mouth.unhappy:
            yield "lost_beside_an_unhappy_customer", mouth.cost / mouth.unhappy
    yield "new_ones_through_old_ones", estimate.share(counts.get("gained_referred", 0), counts.get("gained", 0))
    value, contribution = sums.total("in_tier", "value"), sums.total("worth", "contribution")
    for name, spread, whole in (
        ("value_by_the_top_fifth", sums.spread(), value),
        ("contribution_by_the_top_fifth", sums.spread("worth"), contribution),
    ):
        yield name, spread.brought_by(1, spread.top(0.2)) / whole if whole > 0 else None
    yield "profit_of_5_percent_more_retention", _more_retention(sums, policy)
    margins = [share(counts.get(f"nth_margin:{n}", 0), counts.get(f"nth:{n}", 0)) for n in (1, 2, 3)]
    for name, margin in zip(("second", "third"), margins[1:], strict=True):
        if margin is not None and margins[0]:
            yield f"margin_of_the_{name}_purchase_over_the_first", margin / margins[0]
    lost = sum(sums.named("lost:").values())
    yield "lost_because_nobody_cared", estimate.share(counts.get("lost_untouched", 0), lost)


def _to_make_good(sums: Sums, clock: int | None) -> float | None:
    """The year's value that one lost in the last 365 UTC days had, over that of one of the last 12 months' cohorts."""
    if clock is None or sums.day is None:
        return None
    first = clock // DAY_MS - WINDOW_DAYS
    gone, number = (
        sum(n for day, n in sums.named(prefix).items() if int(day) > first) for prefix in ("lost_value_on:", "lost_on:")
    )
    months = list(sums.rows("cohort").values())[-12:]
    new = share(sum(row["value"] for row in months), sum(row["customers"] for row in months))
    had = share(gone, number)
    return had / new if had is not None and new else None


def _more_retention(sums: Sums, policy: Policy) -> float | None:
    """By how much a customer's worth grows with 5% more retention: margin x r / (1 + d - r) for as long as it lasts."""
    kept, there = sums.stayed()
    if not kept:
        return None
    rate, discount = kept / there, float(policy.clv.discount_rate)
    more = min(rate * (1 + MORE_RETENTION), 1.0)
    if 1 + discount - more <= 0 or 1 + discount - rate <= 0:
        return None
    return more / (1 + discount - more) / (rate / (1 + discount - rate)) - 1
