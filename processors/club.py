"""T7: the lifetime club. Who has brought enough, bought often enough, or stayed long enough has a floor tier for good.

Membership is told, not derived: returns, complaints and silence take nothing away. It ends with an erase, or where the
policy has no club any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from processors.customer import Told
from processors.history import History
from processors.policy import Policy

VALUE: Final = "club_value"
YEARS: Final = "club_years"
PURCHASES: Final = "club_purchases"


def ways_in(facts: History, day: int, policy: Policy) -> Iterator[tuple[str, int, int]]:
    """(code, have, need) of each condition of the club that holds on programme day `day`, the one named first first."""
    club = policy.club
    if club is None:
        return
    least, years, purchases = club.min_lifetime_value, club.min_years, club.min_lifetime_purchases
    if least is not None and facts.lifetime_value >= least:
        yield VALUE, facts.lifetime_value, least
    jubilee = jubilee_day(facts, policy)
    if years is not None and jubilee is not None and jubilee <= day:
        yield YEARS, years, years
    if purchases is not None and facts.lifetime_purchases >= purchases:
        yield PURCHASES, facts.lifetime_purchases, purchases


def joined(told: Told, facts: History, now: int, day: int, policy: Policy) -> int | None:
    """`club_since` of a review at `now` (ms): since when the customer belongs to the club, None: not yet."""
    if told.club_since is None and next(ways_in(facts, day, policy), None) is not None:
        return now
    return told.club_since


def floor(told: Told, policy: Policy) -> int:
    """The rank below which the customer does not fall; 0: no floor."""
    return 0 if told.club_since is None or policy.club is None else policy.ranks[policy.club.floor_tier]


def jubilee_day(facts: History, policy: Policy) -> int | None:
    """The programme day on which the club's years since the first purchase are full; None: they never will be."""
    first = facts.first_purchase_at
    if policy.club is None or policy.club.min_years is None or first is None:
        return None
    return policy.calendar.years_after(policy.calendar.day_of(first), policy.club.min_years)
