"""The policy's sections of care: [[care]], [care_rules], [[roster]] and [[ideas]], each with its check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from processors.money import Rate
from processors.sections import Amount, Count, Days, Name, Share, SomeDays, Words
from processors.strict import Contradiction, unknown
from processors.templates import faults

_QUIET = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class CareRules(Struct, frozen=True):
    """Bounds on care. None: no bound. `channels`: order of preference where the customer named none."""

    max_per_30_days: Count | None = None
    min_gap_days: Days = 0
    quiet_hours: tuple[str, ...] | None = None
    no_repeat: Count = 0
    channels: tuple[Name, ...] = ()

    def contradictions(self) -> Iterator[Contradiction]:
        hours = self.quiet_hours
        if hours is not None and not (len(hours) == 2 and all(map(_QUIET.fullmatch, hours)) and hours[0] != hours[1]):
            yield (
                ("quiet_hours",),
                (f'is {list(hours)}: must be two different times of day, from and to, such as ["20:00", "09:00"]'),
            )
        for place, channel in enumerate(self.channels):
            if channel in self.channels[:place]:
                yield ("channels", place), f'names "{channel}" twice'


EVENTS = (
    "first_purchase", "purchase", "new_category", "bought", "tier_up", "tier_falling", "policy_change", "referral",
    "low_score", "praise", "suggestion", "visit", "service", "achievement", "benefit",
)  # fmt: skip
"""What `on` of a kind of care may name whose shape is "event"."""

PROMISES = ("complaint", "follow_up", "inquiry", "agreed")
"""What `on` of a promise may name."""

TEXT_NUMBERS = ("have", "usual")

_TOUCH = ("have", "what")
_GIVEN: Mapping[str, tuple[str, ...]] = {
    "calendar": ("have", "what"), "festival": ("what",), "silence": ("have", "usual"), "rhythm": ("have", "usual"),
    "promise": ("have", "usual", "what"), "complaint": ("have", "usual", "what"),
    "follow_up": ("have", "usual", "what"), "inquiry": ("usual", "what"),
    "agreed": ("usual", "what"), "achievement": ("what",), "benefit": ("have", "usual", "what"),
    "rate": ("have", "usual", "what"),
    "purchase": ("have",), "bought": ("what",), "tier_up": ("what",), "tier_falling": ("what", "step"),
    "policy_change": ("what",), "referral": ("what",), "low_score": _TOUCH, "praise": _TOUCH, "suggestion": _TOUCH,
    "visit": _TOUCH, "service": _TOUCH,
}  # fmt: skip
"""By cause of an event or a promise, else by shape: what the sentence of a kind is given beside tier and date."""


class Care(Struct, frozen=True):
    """A kind of care. `shape`: what makes it due; `on`, `level` and the `min_` entries: what the shape asks; `when`: a
    condition over the view's fields as the cause comes up.

    `lead_days`: so long before; `after_days`: so long after what it is about. `category`: bought. `min_complaints`,
    `within_days`: the rate of complaints at a place. `once`: on the date itself, not each year. `reply_hours`: of a
    promise. `tiers`: None for all. `free`: costs no money. `held_out`: the control group is left out of it. `whom`:
    customers, staff, or all; promises are made to all. `texts`: its own sentence by language, before that of the
    language's file.
    """

    kind: Annotated[str, Meta(pattern=r"\A[A-Z][A-Z0-9_]{0,63}\Z", description="a name in capitals")]
    shape: Literal["calendar", "festival", "silence", "rhythm", "event", "level", "promise", "rate"]
    on: Words | None = None
    when: Words | None = None
    level: Literal["WATCH", "AT_RISK", "LOST"] | None = None
    min_value_at_stake: Amount | None = None
    min_amount: Amount | None = None
    category: Name | None = None
    min_complaints: Annotated[int, Meta(ge=1, le=10_000, description="a whole number above 0")] | None = None
    within_days: Annotated[int, Meta(ge=1, le=365, description="a number of days, 1 to 365")] | None = None
    lead_days: Days = 0
    after_days: Days = 0
    once: bool = False
    reply_hours: Annotated[int, Meta(ge=1, le=8760, description="a whole number of hours")] | None = None
    expires_days: SomeDays | None = None
    escalate_days: SomeDays | None = None
    channel: Name | None = None
    priority: Annotated[int, Meta(ge=1, le=5, description="a whole number")] = 3
    tiers: tuple[str, ...] | None = None
    free: bool = False
    held_out: bool = True
    whom: Literal["customers", "staff", "all"] | None = None
    texts: Mapping[str, Words] = {}

    @property
    def internal(self) -> bool:
        """Whether it is for us to mend something, and reaches nobody: bounds on contacts mean nothing to it."""
        return self.shape == "rate"

    def reaches(self, sort: str) -> bool:
        """Whether there is such care for `sort`: customers, staff or places. A promise is one to anybody (E3)."""
        if self.internal or sort == "places":
            return self.internal and sort == "places"
        whom = self.whom or ("all" if self.shape == "promise" else "customers")
        return whom in ("all", sort)

    @property
    def text_fields(self) -> tuple[str, ...]:
        """What a sentence of the kind may name."""
        cause = self.on if self.shape in ("event", "promise") and self.on is not None else self.shape
        return (*_GIVEN.get(cause, ()), "tier", "date")

    def contradictions(self) -> Iterator[Contradiction]:
        for language, text in self.texts.items():
            for fault in faults(text, self.text_fields, TEXT_NUMBERS):
                yield ("texts", language), fault
        if self.level is not None and self.shape != "level":
            yield ("level",), f'is for shape "level" only; this shape is "{self.shape}"'
        if self.level is None and self.shape == "level":
            yield ("level",), "is missing: must be one of WATCH, AT_RISK, LOST"
        known = {"event": EVENTS, "promise": PROMISES, "silence": ("key_account", "owner")}.get(self.shape)
        if self.shape == "event" and self.on is None:
            yield ("on",), f"is missing: must be one of {', '.join(EVENTS)}"
        elif known is not None and self.on is not None and self.on not in known:
            yield ("on",), f'is "{self.on}": ' + unknown(self.on, known, "cause").removeprefix("is ")
        if (self.category is None) == (self.shape == "event" and self.on == "bought"):
            yield ("category",), 'and on = "bought" go together: what they bought'
        if self.min_amount is not None and self.on != "purchase":
            yield ("min_amount",), 'is for on = "purchase" only'
        yield from self._of_its_shape()
        if (self.shape == "calendar" or self.on == "benefit") and self.after_days and self.lead_days:
            yield ("lead_days",), "and after_days can't both be: one is before the day, one behind it"
        if self.escalate_days is not None and self.expires_days is not None and self.escalate_days > self.expires_days:
            yield (
                ("escalate_days",),
                (
                    f"is {self.escalate_days}: must not be above expires_days, {self.expires_days}, "
                    "or it would expire before anybody hears of it"
                ),
            )

    def _of_its_shape(self) -> Iterator[Contradiction]:
        if self.on in ("tier_up", "policy_change") and self.after_days:
            yield ("after_days",), f'is not for on = "{self.on}": it is found by a review, and told by it'
        for name in ("min_complaints", "within_days"):
            if (getattr(self, name) is None) == (self.shape == "rate"):
                yield (name,), 'and shape = "rate" go together: so many complaints within so many days'


class Promises(Struct, frozen=True):
    """`inner_share`: of a promise's time the part within which it is aimed to be kept (K0)."""

    inner_share: Share = Rate(1, 2)


class Employees(Struct, frozen=True):
    """Those in charge of customers. `span_days`: without a touch by them for so long, a customer goes back to the pool
    (E3); None: never. `least_cases`: customers in charge from which on somebody is ranked (E1)."""

    span_days: Annotated[int, Meta(ge=1, le=365, description="a number of days, 1 to 365")] | None = None
    least_cases: Count = 20


class Staff(Struct, frozen=True):
    """Somebody of the roster: cares for who has nobody in charge. `skills`: kinds of care, `stores`: of the last
    purchase; None: all. `load`: their part of the work, beside the others'."""

    employee: Name
    skills: tuple[str, ...] | None = None
    stores: tuple[str, ...] | None = None
    load: Annotated[Rate, Meta(gt=0, description="a number above 0")] = Rate(1, 1)


IDEA_FIELDS = ("category", "tier", "what")


class Idea(Struct, frozen=True):
    """What to say or bring with a kind of care, by language; never what the customer heard in the last `no_repeat`.

    `category`: only for who bought of it in the last 365 days. Texts may name {category} (that one, else the last one
    bought), {tier} and {what} (what the reminder is about).
    """

    name: Name
    kinds: tuple[str, ...]
    texts: Mapping[str, Words]
    category: Name | None = None
    tiers: tuple[str, ...] | None = None

    def contradictions(self) -> Iterator[Contradiction]:
        for language, text in self.texts.items():
            for fault in faults(text, IDEA_FIELDS):
                yield ("texts", language), fault
