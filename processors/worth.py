"""V2, V3, R4: what a customer is expected to bring, what leaving would lose, and when they had paid back.

`clv`, the expected contribution over the policy's horizon: expected purchase days, each discounted from the middle of
its year, times the expected margin of one (their own, drawn to the population's), less the cost to serve of such years
as long as they are there. Where no Gamma-Gamma has been fitted it is the plain formula: span x rate x margin a
purchase, less costs, which is the year's contribution times the years.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from processors.history import History
from processors.lifetime import expected_in_days, expected_spend
from processors.money import clamped, half_even
from processors.policy import Policy
from processors.value import Rhythm

_YEAR: Final = 365


class Worth(NamedTuple):
    """clv: expected contribution in minor units. basis: how it came about, "model" or "plain". purchases: expected
    purchase days in the next 365 days, None of who never bought, and where no risk is assessed."""

    clv: int
    basis: str
    purchases: float | None

    @property
    def at_stake(self) -> int:
        """The part of `clv` that leaving would lose (R4): all of it, and nothing where it is a loss."""
        return max(self.clv, 0)


def worth(facts: History, who: Rhythm | None, alive: float, day: int, policy: Policy) -> Worth:
    """What is expected of the customer from programme day `day` on (R1, V3).

    facts: within the window ending on `day`. alive: the chance that the customer is still there.
    """
    rules, spend = policy.clv, policy.spend
    horizon = rules.horizon_days
    if not policy.risk.assess:
        who = None
    if who is None or spend is None:
        plain = half_even((facts.margin - facts.serve) * horizon, _YEAR)
        return Worth(clamped(plain), "plain", None if who is None else alive * _living(who, day, (_YEAR,), policy)[0])
    ends = _ends(horizon)
    living = _living(who, day, ends, policy)
    bought, discount = who.x + 1, 1.0 + float(rules.discount_rate)
    margin = expected_spend(bought, facts.lifetime_margin / bought, spend)
    total, before, start = 0.0, 0.0, 0
    for end, until_end in zip(ends, living, strict=True):
        brought = (until_end - before) * margin - facts.serve * ((end - start) / _YEAR)
        total += brought / discount ** ((start + end) / 2 / _YEAR)
        if end == horizon:
            break
        before, start = until_end, end
    return Worth(clamped(round(total * alive)), "model", alive * living[ends.index(_YEAR)])


@lru_cache
def _ends(horizon: int) -> tuple[int, ...]:
    """The days at which the horizon's years end, then the horizon's own; a year's, where it is shorter, behind it."""
    ends = (*range(_YEAR, horizon, _YEAR), horizon)
    return ends if horizon >= _YEAR else (*ends, _YEAR)


def _living(who: Rhythm, day: int, ends: tuple[int, ...], policy: Policy) -> tuple[float, ...]:
    return expected_in_days(who.x, who.age(day), ends, policy.model)


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
