"""R3, X0-X2, M6: who may leave and what it would lose, who left and why, who came back."""

from __future__ import annotations

from collections.abc import Iterator

from processors.days import DAY_MS
from processors.history import WINDOW_DAYS
from processors.risk import AT_RISK, LOST, OK, WATCH
from streams.programme.figure import Figure, figure
from streams.programme.sums import Sums
from streams.summary import share

LEVELS = (OK, WATCH, AT_RISK, LOST)


def leaving(sums: Sums, clock: int | None) -> Iterator[Figure]:
    """The figures of risk and of exits. clock: ms."""
    levels = sums.named("risk:")
    for level in LEVELS:
        yield figure("loyalty_customers_at_risk", levels.get(level, 0), level=level)
    for level in LEVELS:
        yield figure("loyalty_value_at_stake", sums.of("level", level, "stake"), level=level)
    first, told, counts = sums.named("lost_first:"), sums.named("lost:"), sums.counts
    for reason, number in first.items():
        yield figure("loyalty_lost_total", number, reason=reason)
    for reason, number in told.items():
        yield figure("loyalty_lost_customers", number, reason=reason)
    yield figure("loyalty_lost_customers_365d", _lately(sums, "lost_on:", clock))
    gone, there = _lately(sums, "lost_value_on:", clock), sums.total("in_tier", "value")
    yield figure("loyalty_lost_value_ratio", share(gone, gone + max(there, 0)))
    lost = sum(told.values())
    for name, what in (
        ("loyalty_lost_untouched_ratio", "lost_untouched"),
        ("loyalty_lost_complaining_ratio", "lost_complaining"),
        ("loyalty_lost_unpaid_ratio", "lost_unpaid"),
    ):
        yield figure(name, share(counts.get(what, 0), lost))
    for name, prefix, label in (
        ("loyalty_lost_by_tier", "lost_from:", "tier"),
        ("loyalty_lost_by_store", "lost_at:", "store"),
    ):
        for where, number in sums.named(prefix).items():
            yield figure(name, number, **{label: where})
    yield figure("loyalty_won_back_total", counts.get("won_back", 0))
    yield figure("loyalty_won_back_customers_365d", _lately(sums, "won_on:", clock))
    yield figure("loyalty_won_back_value", counts.get("won_back_value", 0))
    yield figure("loyalty_win_back_attempts_total", counts.get("win_back:attempts", 0))
    yield figure("loyalty_win_back_cost", counts.get("win_back:cost", 0))


def mouth(sums: Sums) -> Iterator[Figure]:
    """The figures of word of mouth (W4)."""
    counts = sums.counts
    came, bought = counts.get("gained_referred", 0), counts.get("gained", 0)
    yield figure("loyalty_referred_customers", came)
    yield figure("loyalty_referred_ratio", share(came, bought))
    yield figure("loyalty_referred_leads", counts.get("leads_referred", 0))
    yield figure("loyalty_referred_purchases", counts.get("sales_referred", 0))
    yield figure("loyalty_referrers", counts.get("referrers", 0))
    yield figure("loyalty_unhappy_referrers", counts.get("referrers:unhappy", 0))


def _lately(sums: Sums, prefix: str, clock: int | None) -> int:
    """What was counted on the last 365 UTC days, the clock's among them."""
    if clock is None:
        return 0
    day = clock // DAY_MS
    return sum(n for name, n in sums.named(prefix).items() if day - WINDOW_DAYS < int(name) <= day)
