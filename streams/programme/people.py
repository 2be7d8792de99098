"""M1, D8: who is there, who came, who came back, who stayed; cohorts by month of joining."""

from __future__ import annotations

from collections.abc import Iterator

from processors.policy import Policy
from streams.programme.figure import Figure, figure
from streams.programme.sums import Sums
from streams.summary import share


def people(sums: Sums, policy: Policy) -> Iterator[Figure]:
    """The figures of customers, by tier from the lowest, then those of the year, then the cohorts (M1)."""
    by_tier = sums.named("customers:")
    for name in tiers(policy, by_tier):
        yield figure("loyalty_customers", by_tier.get(name, 0), tier=name)
    active, repeat = sums.of("all", "-", "active"), sums.of("all", "-", "repeat")
    kept, there = sums.stayed()
    retention = share(kept, there)
    yield figure("loyalty_prospects", sums.of("all", "-", "prospects"))
    yield figure("loyalty_inquiring_prospects", sums.of("all", "-", "inquirers"))
    yield figure("loyalty_active_customers", active)
    yield figure("loyalty_repeat_customers", repeat)
    yield figure("loyalty_new_customers", sums.since("first"))
    yield from _funnel(sums)
    yield figure("loyalty_retention_ratio", retention)
    yield figure("loyalty_churn_ratio", None if retention is None else 1 - retention)
    yield figure("loyalty_repeat_purchase_ratio", share(repeat, active))
    yield figure("loyalty_gained_total", sums.counts.get("nth:1", 0))
    for what, name in (
        ("customers", "loyalty_cohort_customers"),
        ("active", "loyalty_cohort_active_customers"),
        ("lost", "loyalty_cohort_lost_customers"),
        ("value", "loyalty_cohort_value_365d"),
    ):
        for month, row in sums.rows("cohort").items():
            yield figure(name, row[what], month=month)


def _funnel(sums: Sums) -> Iterator[Figure]:
    """From known to loyal (M1, D8): known, inquired or bought, bought, bought again, prefers us, loyal."""
    loyal, prefers = (sums.of("layer", layer, "customers") for layer in ("LOYAL", "PREFERENCE"))
    bought = sums.total("layer", "customers")
    for stage, number in (
        ("known", sums.customers),
        ("inquired", sums.of("all", "-", "inquirers") + bought),
        ("bought", bought),
        ("bought_again", sums.of("all", "-", "again")),
        ("prefers", prefers + loyal),
        ("loyal", loyal),
    ):
        yield figure("loyalty_funnel_customers", number, stage=stage)


def tiers(policy: Policy, *counted: object) -> list[str]:
    """The policy's tiers, lowest first, then those that it has no more and somebody is in."""
    names = [tier.name for tier in policy.tiers]
    found = {name for held in counted if isinstance(held, dict) for name in held}
    return [*names, *sorted(found - set(names))]
