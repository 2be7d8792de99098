"""What-if on the customers that Redis holds (M4): one pass makes the base, on which scenarios cost nothing."""

from __future__ import annotations

from collections.abc import Callable

from processors.what_if import CEILING, Base, Effect, Unknown, retention_up, shift_budget
from streams.customers_now import CustomersNow

__all__ = ["CEILING", "Base", "Effect", "Unknown", "base", "retention_up", "shift_budget"]


def base(now: CustomersNow, told: Callable[[int], None] | None = None) -> Base:
    """What scenarios start from, of all customers at their partitions' clocks. told: called with 1 for each."""
    policy = now.policy()
    made = Base(policy.programme.currency, {})
    for held in now.held():
        made.take(held.customer, held.clock, held.policy)
        if told is not None:
            told(1)
    order = {tier.name: rank for rank, tier in enumerate(policy.tiers)}
    made.tiers = dict(sorted(made.tiers.items(), key=lambda item: (-order.get(item[0], -1), item[0])))
    return made
