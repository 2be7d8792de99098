"""V2, V3, R4: what a customer is expected to bring, what leaving would lose, and when they had paid back.

`clv`, the expected contribution over the policy's horizon: expected purchase days, each discounted from the middle of
its year, times the expected margin of one (their own, drawn to the population's), less the cost to serve of such years
as long as they are there. Where no Gamma-Gamma has been fitted it is the plain formula: span x rate x margin a
purchase, less costs, which is the year's contribution times the years.
"""

from __future__ import annotations

from processors.history import History
from processors.lifetime import chances, expected_of_the_living, expected_spend
from processors.money import half_even
from processors.policy import Policy
from processors.signals import Rhythm

_YEAR: int = 365


def clv(facts: History, who: Rhythm | None, day: int, policy: Policy) -> tuple[int, str]:
    """(expected contribution in minor units, how it came about: "model" or "plain") on programme day `day` (V3).

    facts: within the window ending on `day`.
    """
    horizon, spend = policy.clv.horizon_days, policy.spend
    if who is None or spend is None:
        return half_even((facts.margin - facts.serve) * horizon, _YEAR), "plain"
    bought = who.x + 1
    margin = expected_spend(bought, facts.lifetime_margin / bought, spend)
    alive = chances(who.x, (who.last - who.first) / 7, (day - who.first) / 7, 1.0, policy.model)[0]
    ends = (*range(_YEAR, horizon, _YEAR), horizon)
    purchases = expected_of_the_living(who.x, (day - who.first) / 7, tuple(end / 7 for end in ends), policy.model)
    discount, total, before, start = 1.0 + float(policy.clv.discount_rate), 0.0, 0.0, 0
    for end, until_end in zip(ends, purchases, strict=True):
        years = (end - start) / _YEAR
        brought = (until_end - before) * margin - facts.serve * years
        total += brought / discount ** ((start + end) / 2 / _YEAR)
        before, start = until_end, end
    return round(total * alive), "model"


def expected_purchases_365d(who: Rhythm, day: int, alive: float, policy: Policy) -> float:
    """Expected purchase days in the next 365 days (R1). alive: the chance that the customer is still there."""
    return alive * expected_of_the_living(who.x, (day - who.first) / 7, (_YEAR / 7,), policy.model)[0]


def value_at_stake(facts: History, who: Rhythm, day: int, policy: Policy) -> int:
    """The part of `clv` that leaving would lose (R4), minor units: all of it, and nothing where it is a loss."""
    return max(clv(facts, who, day, policy)[0], 0)


def paid_back(facts: History, paid_back_at: int | None, now: int) -> int | None:
    """The instant (ms) at which lifetime contribution had covered the acquisition cost (V2), kept for good once so.

    None where nothing was spent: then there is nothing to tell, see `payback`.
    """
    cost = 0 if facts.profile is None else facts.profile.acquisition_cost
    if paid_back_at is not None or cost <= 0 or facts.first_purchase_at is None:
        return paid_back_at
    return now if facts.lifetime_margin - facts.lifetime_serve >= cost else None


def payback(facts: History, paid_back_at: int | None) -> int | None:
    """`paid_back_at` of the view (V2): who cost nothing to win has paid back with the first purchase."""
    if paid_back_at is None and (facts.profile is None or facts.profile.acquisition_cost <= 0):
        return facts.first_purchase_at
    return paid_back_at
