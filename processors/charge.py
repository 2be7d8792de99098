"""E1, E3: who is in charge of whom, and the people who serve as customers inside."""

from __future__ import annotations

from msgspec import Struct

from processors.events import Profile
from processors.history import History


class Charge(Struct, frozen=True, array_like=True, gc=False):
    """`employee` is in charge of the customer since `since`; `pooled_at`: they have been left alone for so long that
    the customer went back to the pool (E3). ms."""

    employee: str
    since: int
    pooled_at: int | None = None


def charged(held: Charge | None, profile: Profile | None, now: int) -> Charge | None:
    """Who is in charge at a review at `now` (ms), as the profile says: anew where it names another, or says again after
    the customer went back to the pool."""
    owner = None if profile is None else profile.employee_id
    if profile is None or owner is None:
        return None
    if held is None or held.employee != owner or (held.pooled_at or profile.occurred_at) < profile.occurred_at:
        return Charge(owner, now)
    return held


def owner_of(facts: History, charge: Charge | None) -> str | None:
    """Who is in charge of the customer; None: nobody, or nobody any more (E3)."""
    if facts.profile is None or (charge is not None and charge.pooled_at is not None):
        return None
    return facts.profile.employee_id


CUSTOMERS, STAFF, PLACES, GRADES = "customers", "staff", "places", "grades"


def sort_of(facts: History) -> str:
    """What is folded: customers; staff, those who serve (E3), and places where people complained (K5), both cared for
    by the same code and no customers in any figure; and grades of who serves (E2), which nobody cares for."""
    if facts.place is not None:
        return PLACES
    if facts.profile is not None:
        return STAFF if facts.profile.staff else CUSTOMERS
    return CUSTOMERS if facts.service is None else GRADES
