"""What the shapes of care look at, and how what they yield is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

from msgspec.structs import replace

from processors.benefits.came_to import Entitlement, entitlements
from processors.care.book import Reminder
from processors.care.sections import Care
from processors.charge import owner_of, sort_of
from processors.customer import Told
from processors.days import DAY_MS, Calendar, known_calendar
from processors.events import Profile
from processors.history import History, Touch
from processors.policy import Policy
from processors.sections import Tier

HOUR_MS: Final = 3_600_000
_EXPIRES_DAYS: Final = 30


class Look:
    """What the shapes look at, for one review. facts: within the window; told: what holds from this review on; rose:
    the tier was raised in it; moved: the tier that a new policy has for them, now or after the grace, "": theirs."""

    def __init__(
        self,
        facts: History,
        told: Told,
        now: int,
        policy: Policy,
        *,
        rose: bool,
        moved: str = "",
        entitled: tuple[Entitlement, ...] | None = None,
    ) -> None:
        self.facts, self.told, self.now, self.policy = facts, told, now, policy
        self.rose, self.moved = rose, moved
        if entitled is not None:
            self.entitled = entitled  # in place of what it would come to

    @property
    def profile(self) -> Profile | None:
        return self.facts.profile

    @property
    def sort(self) -> str:
        """What it is: customers, staff (E3) or places (K5)."""
        return sort_of(self.facts)

    @property
    def owner(self) -> str | None:
        """Who is in charge of the customer; None: nobody, or nobody any more (E3)."""
        return owner_of(self.facts, self.told.charge)

    def pooled(self) -> Look:
        """The same once the customer has gone back to the pool, now."""
        charge = self.told.charge
        assert charge is not None
        told = replace(self.told, charge=replace(charge, pooled_at=self.now))
        return Look(self.facts, told, self.now, self.policy, rose=self.rose, moved=self.moved)

    def by_owner(self, touch: Touch) -> bool:
        """Whether it was who is in charge that got in touch."""
        return touch.direction == "OUT" and touch.employee is not None and touch.employee == self.owner

    @cached_property
    def local(self) -> Calendar:
        """The customer's clocks; the programme's where they named none, or one that is not known here: a profile may be
        kept longer than the database of time zones under which it came."""
        profile = self.facts.profile
        named = None if profile is None else profile.time_zone
        return (known_calendar(named) if named else None) or self.policy.calendar

    @cached_property
    def entitled(self) -> tuple[Entitlement, ...]:
        """The customer's benefits (T9)."""
        return entitlements(self.facts, self.told, self.now, self.policy)

    @cached_property
    def tier(self) -> Tier:
        return self.policy.tiers[self.policy.tier_rank(self.told.tier) or 0]

    @cached_property
    def day(self) -> int:
        """The customer's day."""
        return self.local.day_of(self.now)

    @cached_property
    def years(self) -> tuple[int, int, int]:
        """The customer's last year, this one and the next: what comes each year lies in one of them."""
        year = self.local.year_of(self.day)
        return year - 1, year, year + 1


Shape = Callable[[Care, Look], Iterator[Reminder]]
"""Of a kind what is or will be due."""


def afresh(cause: str, look: Look) -> str:
    """Who comes back after an erase starts afresh, with the same birthday but other reminders (D4)."""
    erased = look.facts.not_before
    return cause if erased < 0 else f"{cause}@{erased}"


def reminder(
    care: Care,
    cause: object,
    wanted: int,
    due: int,
    expires: int,
    have: float = 0.0,
    usual: float = 0.0,
    what: str = "",
) -> Reminder:
    """A reminder of the kind; times ms, else as in `Reminder`."""
    return Reminder(care.kind, str(cause), wanted, due, expires, have, usual, what)


def after(
    care: Care, look: Look, cause: object, at: int, have: float = 0.0, usual: float = 0.0, what: str = ""
) -> Reminder:
    """Of something that happened at `at`: wanted `after_days` later, at the same local time."""
    due = look.local.plus_days(at, care.after_days)
    return reminder(care, cause, due, due, due + lasting_days(care) * DAY_MS, have, usual, what)


def is_over(care: Care, look: Look, at: int) -> bool:
    """Whether what happened at `at` is over for sure, clocks that change apart: so most of it costs nothing more."""
    return look.now - at > (care.after_days + lasting_days(care) + 1) * DAY_MS


def lasting_days(care: Care) -> int:
    """For how many days a reminder of the kind makes sense."""
    return care.expires_days or _EXPIRES_DAYS
