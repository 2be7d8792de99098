"""V4, V5, V8, M2, M6: what customers bring, who brings it, and what winning and keeping them costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from processors.census import LAYERS
from processors.policy import Policy
from processors.sketch import SHARES
from streams.programme.figure import Figure, figure
from streams.programme.people import tiers
from streams.programme.sums import Sums
from streams.summary import share

_PREFERRING = ("PREFERENCE", "LOYAL")
_DECILES = 10


def value(sums: Sums, policy: Policy) -> Iterator[Figure]:
    """Value, margin, cost to serve and customer equity (V4) by tier; shares (V5); layers and deciles (M6);
    segments (V6)."""
    by_tier = sums.rows("in_tier")
    for name, what in (
        ("loyalty_value_365d", "value"),
        ("loyalty_margin_365d", "margin"),
        ("loyalty_cost_to_serve_365d", "serve"),
        ("loyalty_customer_equity_by_tier", "equity"),
    ):
        for tier in tiers(policy, by_tier):
            yield figure(name, sums.of("in_tier", tier, what), tier=tier)
    yield figure("loyalty_customer_equity", sums.total("in_tier", "equity"))
    yield from _shares(sums)
    for layer in LAYERS:
        yield figure("loyalty_layer_customers", sums.of("layer", layer, "customers"), layer=layer)
    for layer in LAYERS:
        yield figure("loyalty_layer_value_365d", sums.of("layer", layer, "value"), layer=layer)
    named = [segment.name for segment in policy.segments]
    for segment in (*named, *sorted(set(sums.rows("segment")) - set(named))):
        yield figure("loyalty_segment_customers", sums.of("segment", segment, "customers"), segment=segment)
        yield figure("loyalty_segment_value_365d", sums.of("segment", segment, "value"), segment=segment)
    preferring = sum(sums.of("layer", layer, "value") for layer in _PREFERRING)
    whole = sums.total("in_tier", "value")
    yield figure("loyalty_preferring_value_share", share(preferring, whole))
    yield figure("loyalty_returning_value_share", share(sums.of("all", "-", "again_value"), whole))
    yield from _costs(sums)


def _shares(sums: Sums) -> Iterator[Figure]:
    """What the top shares bring (V5), and value and care by decile (M6)."""
    by_value, by_worth, everybody = sums.spread(), sums.spread("worth"), sums.customers
    whole, contribution = sums.total("in_tier", "value"), sums.total("worth", "contribution")
    some = everybody > 0
    for top in SHARES:
        brought = by_value.brought_by(1, by_value.top(float(top)))
        yield figure("loyalty_value_share", brought / whole if some and whole > 0 else None, top=top)
    for top in SHARES:
        yield figure("loyalty_value_at_share", by_value.least_of_top(float(top)) if some else None, top=top)
    for top in SHARES:
        brought = by_worth.brought_by(1, by_worth.top(float(top)))
        yield figure("loyalty_contribution_share", brought / contribution if contribution > 0 else None, top=top)
    ends = [round(everybody * tenth / _DECILES) for tenth in range(_DECILES + 1)]
    for name, what, total in (
        ("loyalty_decile_value_share", 0, whole),
        ("loyalty_decile_care_share", 1, sums.of("all", "-", "touches")),
    ):
        brought = sum(one.sums[what] for one in by_value.classes)
        for decile, (before, last) in enumerate(pairwise(ends), 1):
            part = by_value.brought_by(before + 1, last, what)
            below = max(last, by_value.ranked) - max(before, by_value.ranked)  # of these, who brought nothing
            part += (total - brought) * below / max(everybody - by_value.ranked, 1)
            yield figure(name, part / total if total > 0 else None, decile=str(decile))


def _costs(sums: Sums) -> Iterator[Figure]:
    """M2, V8: cost of winning one and of keeping one; contribution a customer; customers needed to break even (M6)."""
    active, acquired = sums.of("all", "-", "active"), sums.of("all", "-", "acquired")
    margin, serve = sums.total("in_tier", "margin"), sums.total("in_tier", "serve")
    winning, keeping = share(sums.of("all", "-", "acquisition"), acquired), share(serve, active)
    yield figure("loyalty_contribution_per_customer", share(margin - serve, active))
    needed = None
    if margin > 0 and active:
        needed = -(-(serve + (winning or 0) * sums.since("first")) * active // margin)
    yield figure("loyalty_break_even_customers", None if needed is None else int(needed))
    yield figure("loyalty_cost_of_winning", winning)
    yield figure("loyalty_cost_of_keeping", keeping)
    yield figure("loyalty_winning_to_keeping_ratio", winning / keeping if winning is not None and keeping else None)
