"""X0-X2: exits counted, by reason, tier, store and employee, what was not done before, and who was won back."""

from __future__ import annotations

from collections import Counter
from typing import Final

from processors.census import within_bounds
from processors.customer import Exit
from processors.days import DAY_MS
from processors.policy import Policy

OTHER: Final = "other"


def reason_of(one: Exit, policy: Policy) -> str:
    """Under which reason the exit counts: the one told, else the strongest of the risk (X1).

    A told reason that is none of the policy's counts as `other`: so the counters stay few, and what somebody said in
    their own words is forgotten with them (D4).
    """
    if one.told is None:
        return one.reason
    told = one.told.strip().lower()
    return told if told in policy.exits.reasons else OTHER


def count_exit(counts: Counter[str], before: Exit | None, after: Exit, policy: Policy) -> None:
    """What has become of the exits in `counts`: a new one, a reason told since, or a customer won back.

    `lost:` follows what is told since; `lost_first:` is the reason at the exit and never falls. lost_on, lost_value_on,
    won_on: by UTC day, for rolling years.
    """
    if before is None or before.at != after.at:
        counts[f"lost_first:{reason_of(after, policy)}"] += 1
        counts[f"lost_on:{after.at // DAY_MS}"] += 1
        counts[f"lost_value_on:{after.at // DAY_MS}"] += within_bounds(max(after.value_365d, 0))
        counts[f"lost:{reason_of(after, policy)}"] += 1
        counts[f"lost_from:{after.tier}"] += 1
        if after.store is not None:
            counts[f"lost_at:{after.store}"] += 1
        if after.employee is not None:
            counts[f"lost_of:{after.employee}"] += 1
        counts["lost_untouched"] += after.touches == 0
        counts["lost_complaining"] += after.open_complaints > 0
        counts["lost_unpaid"] += not after.paid_back
    elif reason_of(before, policy) != reason_of(after, policy):
        counts[f"lost:{reason_of(before, policy)}"] -= 1
        counts[f"lost:{reason_of(after, policy)}"] += 1
    won_already = before is not None and before.at == after.at and before.won_back_at is not None
    if after.won_back_at is not None and not won_already:
        counts["won_back"] += 1
        counts["won_back_value"] += within_bounds(after.value_at_stake)
        counts[f"won_on:{after.won_back_at // DAY_MS}"] += 1
