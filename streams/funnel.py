"""The funnel and the prospects over all customers that Redis holds (D8), for the command and the console."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from processors.funnel import WAYS, Funnel, Prospect, Stages
from streams.customers_now import CustomersNow
from streams.summary import share

ALL: Final = "all"


class FunnelLine(NamedTuple):
    """Those who came in the last 365 days by one way, or `ALL` of them. came, bought, again (on two days or more), felt
    (loyalty beyond habit), lost: customers. bought_share: of who came; again_share: of who bought; None where there is
    nothing to divide by. days_to_buy: from the first contact to the first purchase, on average. Amounts of the last
    365 days in minor units."""

    way: str
    came: int
    bought: int
    again: int
    felt: int
    lost: int
    bought_share: float | None
    again_share: float | None
    days_to_buy: float | None
    value_365d: int
    contribution_365d: int


class Report(NamedTuple):
    """lines: by way, then all. prospects: whoever has asked and not bought, the unanswered first, then by who asked
    last; unanswered: how many of them wait."""

    currency: str
    as_of: int | None
    lines: list[FunnelLine]
    prospects: list[Prospect]
    unanswered: int

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "as_of": self.as_of,
            "currency": self.currency,
            "funnel": [line._asdict() for line in self.lines],
            "unanswered": self.unanswered,
            "prospects": [one._asdict() for one in self.prospects],
        }


def funnel(now: CustomersNow) -> Report:
    """One pass over all customers at their partitions' clocks (D8)."""
    made, prospects = Funnel({}), []
    for held in now.held():
        found = made.take(held.customer, held.clock, held.policy)
        if found is not None:
            prospects.append(found)
    prospects.sort(key=lambda one: (one.answered, -one.asked_at, one.customer_id))
    lines = [_line(way, made.stages.get(way, Stages())) for way in WAYS]
    lines.append(_line(ALL, _summed(list(made.stages.values()))))
    return Report(now.policy().programme.currency, now.clock(), lines, prospects, made.unanswered)


def _summed(stages: list[Stages]) -> Stages:
    return Stages(*(sum(getattr(one, name) for one in stages) for name in Stages.__struct_fields__))


def _line(way: str, held: Stages) -> FunnelLine:
    return FunnelLine(
        way,
        held.came,
        held.bought,
        held.again,
        held.felt,
        held.lost,
        share(held.bought, held.came),
        share(held.again, held.bought),
        share(held.days, held.bought),
        held.value,
        held.contribution,
    )
