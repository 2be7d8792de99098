"""The sections of a policy as frozen structs: names, meanings, ranges and neutral defaults, in one place each.

Amounts are minor units, rates exact decimals, days calendar days. What no default can be given for is required.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from processors.days import Calendar, is_day
from processors.money import EXPONENTS, Rate
from processors.strict import BAD, Contradiction, Problem, entries, finish, unknown, value
from processors.toml_lines import Path

Amount = Annotated[int, Meta(ge=0, le=10**15, description="an amount in minor units (a whole number)")]
Count = Annotated[int, Meta(ge=0, le=10**9, description="a whole number")]
Days = Annotated[int, Meta(ge=0, le=3650, description="a whole number of days")]
SomeDays = Annotated[int, Meta(ge=1, le=3650, description="a whole number of days")]
Share = Annotated[Rate, Meta(ge=0, le=1, description="a share")]
Odds = Annotated[float, Meta(ge=0, le=1, description="a number")]
Positive = Annotated[float, Meta(gt=0, description="a number")]
Name = Annotated[str, Meta(pattern=r"\A\S(.{0,62}\S)?\Z", description="a text of 1 to 64 characters")]
Words = Annotated[str, Meta(min_length=1, max_length=1000, description="a text that is not empty")]

#: A tier's conditions, in the order in which they are told -> what each needs.
CONDITIONS: Mapping[str, object] = {
    "min_value_365d": Amount,
    "min_purchases_365d": Count,
    "min_margin_365d": Amount,
    "min_contribution_365d": Amount,
    "min_categories_365d": Count,
    "min_referrals_365d": Count,
    "min_value_share_rank": Annotated[Rate, Meta(gt=0, le=1, description="a share of customers")],
}
SHARE = "min_value_share_rank"


class Programme(Struct, frozen=True):
    """Who the programme is. `holdout`: share of customers without proactive care, to measure what care is worth.
    `figures`: whether sums of all customers (V4, V5, V7, M) are kept, beside who is in which tier and level."""

    name: Annotated[
        str,
        Meta(pattern=r"\A[^\s@#:][^@#:\r\n\t]{0,63}\Z", description="a text of 1 to 64 characters without @, # and :"),
    ]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1, description="a whole number")]
    currency: Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z", description='an ISO 4217 code such as "USD"')]
    time_zone: str = "UTC"
    language: Annotated[
        str, Meta(pattern=r"\A[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", description='a language code such as "en"')
    ] = "en"
    holdout: Share = Rate(0, 1)
    figures: bool = True

    def contradictions(self) -> Iterator[Contradiction]:
        if self.currency not in EXPONENTS:
            yield ("currency",), f'is "{self.currency}": must be an ISO 4217 currency that has a minor unit'
        try:
            Calendar(self.time_zone)
        except ValueError as error:
            yield ("time_zone",), f"is wrong: {error}"


class Tier(Struct, frozen=True):
    """A tier. `conditions`: (full name, what it needs), all of which must hold.

    A share of customers is its decimal text, as the ticks' `value_at_share` has it ("0.2").
    `care_every_days`: the longest that a customer of it stays untouched by us.
    """

    name: Name
    conditions: tuple[tuple[str, int | str], ...] = ()
    care_every_days: SomeDays | None = None
    benefits: tuple[Words, ...] = ()

    @classmethod
    def read_table(cls, table: Mapping[str, object], path: Path, problems: list[Problem]) -> Tier:
        """A tier's conditions stand in its table beside its other entries."""
        before = len(problems)
        plain = {name: raw for name, raw in table.items() if name not in CONDITIONS and name != "conditions"}
        made = entries(_TierEntries, plain, path, problems, conditions=tuple(CONDITIONS))
        if "conditions" in table:
            problems.append(Problem((*path, "conditions"), unknown("conditions", tuple(CONDITIONS), "condition")))
        needs = {
            name: value(kind, table[name], (*path, name), problems)
            for name, kind in CONDITIONS.items()
            if name in table
        }
        made["conditions"] = tuple(
            (name, str(need) if isinstance(need, Rate) else need) for name, need in needs.items() if need is not BAD
        )
        return finish(cls, made, path, problems, clean=len(problems) == before)


class _TierEntries(Struct, frozen=True):
    name: Name
    care_every_days: SomeDays | None = None
    benefits: tuple[Words, ...] = ()


class TierRules(Struct, frozen=True):
    """`grace_days`: how long a customer may be below before the tier is lost. `one_step_down`: one tier a grace."""

    grace_days: Days = 30
    one_step_down: bool = False


class Club(Struct, frozen=True):
    """Who reaches any of the three gets `floor_tier` for good."""

    floor_tier: str
    min_lifetime_value: Amount | None = None
    min_years: Annotated[int, Meta(ge=1, le=100, description="a whole number of years")] | None = None
    min_lifetime_purchases: Count | None = None

    def contradictions(self) -> Iterator[Contradiction]:
        if self.min_lifetime_value is None and self.min_years is None and self.min_lifetime_purchases is None:
            yield (
                (),
                (
                    "names no way in: give min_lifetime_value, min_years or min_lifetime_purchases, "
                    "or leave the table out to have no club"
                ),
            )


class Margin(Struct, frozen=True):
    """The margin of a line that has no cost: by category, else `default_rate`."""

    default_rate: Share = Rate(1, 4)
    rates: Mapping[str, Share] = field(default_factory=dict)

    def rate_of(self, category: str) -> tuple[int, int]:
        """(numerator, denominator) of the category's rate."""
        rate = self.rates.get(category, self.default_rate)
        return rate.numerator, rate.denominator


class Costs(Struct, frozen=True):
    """What serving costs: a complaint opened, and a contact by its channel where it names no cost itself."""

    complaint: Amount = 0
    channels: Mapping[str, Amount] = field(default_factory=dict)


class SpendParameters(Struct, frozen=True):
    """Of Gamma-Gamma, fitted to the margin of a purchase day in minor units."""

    p: Positive
    q: Annotated[float, Meta(gt=1, description="a number")]
    v: Positive


class Clv(Struct, frozen=True):
    """`discount_rate`: a year. `network_share`: share of the clv of those brought that counts for who brought them.
    `spend`: None until it has been fitted; clv is then the plain formula's."""

    horizon_days: SomeDays = 1095
    discount_rate: Share = Rate(1, 10)
    network_share: Share = Rate(0, 1)
    spend: SpendParameters | None = None


class ModelParameters(Struct, frozen=True):
    """Of MBG/NBD or BG/NBD; the unit of time is the week. Defaults: a grocer's households."""

    r: Positive = 1.396
    alpha: Positive = 1.356
    a: Positive = 0.027
    b: Positive = 28.157


class Lost(Struct, frozen=True):
    """Silence that means lost: `gaps` of the own usual gaps, at least and at most so many days."""

    gaps: Positive = 6.0
    least_days: SomeDays = 90
    most_days: SomeDays = 365

    def contradictions(self) -> Iterator[Contradiction]:
        if self.least_days > self.most_days:
            yield ("least_days",), f"is {self.least_days}: must not be above most_days, {self.most_days}"


class Weights(Struct, frozen=True):
    """Of the signals in the logistic score; either sign."""

    intercept: float = -2.2
    no_purchase: float = 1.0
    silence: float = 0.3
    spend_trend: float = 0.7
    visit_trend: float = 0.6
    narrowing: float = 0.3
    open_complaint: float = 0.8
    bad_remedy: float = 0.9
    good_remedy: float = -0.4
    low_score: float = 0.5
    ignored_campaigns: float = 0.3
    declined: float = 0.3
    tier_falling: float = 0.2
    referrer_gone: float = 0.3
    rare: float = 0.0
    few_lately: float = 0.0
    small_spend: float = 0.0


class Risk(Struct, frozen=True):
    """`horizon_days`: leaving means no purchase within. A level is left downwards only `ease` below its threshold.
    `fading`: the share of the own expectation that the last 90 days may lack before it is told.
    `typical_value_365d`: what a customer buys for in a year, minor units; 0: `small_spend` says nothing. `assess`
    false: nobody's risk is assessed, and no level told; one told before stands."""

    assess: bool = True
    model: Literal["mbg_nbd", "bg_nbd"] = "mbg_nbd"
    parameters: ModelParameters = ModelParameters()
    horizon_days: SomeDays = 60
    watch: Odds = 0.45
    at_risk: Odds = 0.65
    ease: Odds = 0.10
    fading: Odds = 0.60
    typical_value_365d: Amount = 0
    lost: Lost = Lost()
    weights: Weights = Weights()

    def contradictions(self) -> Iterator[Contradiction]:
        if self.watch >= self.at_risk:
            yield ("watch",), f"is {self.watch}: must be below at_risk, {self.at_risk}, or nobody would be on watch"
        if self.ease >= self.watch:
            yield ("ease",), f"is {self.ease}: must be below watch, {self.watch}, or no level would ever be left"
        for name in ("no_purchase", "silence"):
            weight = getattr(self.weights, name)
            if weight < 0:
                words = f"is {weight}: must not be below 0, or longer silence would lower the risk"
                yield ("weights", name), words


class Repeats(Struct, frozen=True):
    """Buys often enough, and is not silent for more than so many of the own gaps."""

    min_purchases_365d: Count = 4
    max_silence_gaps: Positive = 2.0


class SpeaksUp(Struct, frozen=True):
    """Suggestions, ideas, survey answers."""

    min_contacts_365d: Count = 1


class Varied(Struct, frozen=True):
    """Buys in several categories."""

    min_categories_365d: Count = 3


class Recommends(Struct, frozen=True):
    """Referrals and recommendations."""

    min_365d: Count = 1


class Steadfast(Struct, frozen=True):
    """Buys at full price, over enough purchases."""

    min_purchases_365d: Count = 4
    min_full_price_share: Share = Rate(4, 5)


class Loyalty(Struct, frozen=True):
    """When each of the five signs of loyalty holds. `layers` false: nobody's signs are looked at, all are NONE."""

    layers: bool = True
    repeats: Repeats = Repeats()
    speaks_up: SpeaksUp = SpeaksUp()
    varied: Varied = Varied()
    recommends: Recommends = Recommends()
    steadfast: Steadfast = Steadfast()


class Complaints(Struct, frozen=True):
    """`reply_hours`: by severity 1 to 5. `escalate_to`: the first of it knows first."""

    reply_hours: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=8760, description="a whole number of hours")], ...],
        Meta(min_length=5, max_length=5, description="a list of five whole numbers, for severity 1 to 5"),
    ] = (72, 48, 24, 8, 4)
    escalate_to: tuple[Name, ...] = ()
    follow_up_days: Days = 7
    repeat_days: Days = 90

    def contradictions(self) -> Iterator[Contradiction]:
        for severity, (mild, grave) in enumerate(zip(self.reply_hours, self.reply_hours[1:], strict=False), start=1):
            if grave > mild:
                yield (
                    ("reply_hours", severity),
                    (f"is {grave}: must not be above the {mild} of severity {severity}, the worse never waits longer"),
                )


class Exits(Struct, frozen=True):
    """`reasons`: those told by who left under which losses are counted, in small letters; any other is `other`."""

    reasons: tuple[Name, ...] = ("price", "quality", "service", "assortment", "competitor", "moved", "no need")


class Segment(Struct, frozen=True):
    """`when`: a condition over the fields of the view."""

    name: Name
    when: Words


class Region(Struct, frozen=True):
    """Stores that figures tell together (M6)."""

    name: Name
    stores: Annotated[tuple[Name, ...], Meta(min_length=1, description="a list of stores, one at least")]


class Festival(Struct, frozen=True):
    """Either `date` (MM-DD, every year) or `dates` (YYYY-MM-DD, those that move)."""

    name: Name
    date: Annotated[str, Meta(pattern=r"\A\d\d-\d\d\Z", description='a day of each year in quotes, "MM-DD"')] | None = (
        None
    )
    dates: tuple[
        Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\d\Z", description='a date in quotes, "YYYY-MM-DD"')], ...
    ] = ()

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.date is None) == (not self.dates):
            yield (), "must have either date (MM-DD, every year) or dates (YYYY-MM-DD)"
        if self.date is not None and not is_day("2000-" + self.date):  # 29 February is a day of some years
            yield ("date",), f'is "{self.date}": there is no such day'
        for place, day in enumerate(self.dates):
            if not is_day(day):
                yield ("dates", place), f'is "{day}": there is no such day'


class Feasts(Struct, frozen=True):
    """The table [calendar]: the programme's festivals."""

    festivals: tuple[Festival, ...] = ()


class Currencies(Struct, frozen=True):
    """What one major unit of another currency is worth in the programme's major units."""

    rates: Mapping[str, Annotated[Rate, Meta(gt=0, description="a number")]] = field(default_factory=dict)

    def contradictions(self) -> Iterator[Contradiction]:
        for code in self.rates:
            if code not in EXPONENTS:
                yield ("rates", code), "is no ISO 4217 currency that has a minor unit"


#: A grade's conditions, in the order in which they are told.
GRADE_CONDITIONS = ("min_cases", "min_retention", "min_in_time", "min_satisfaction")


class Grade(Struct, frozen=True):
    """A grade of an employee, lowest first; the first has no conditions, each other has some, all of which must hold.

    `min_cases`: customers in charge of; `min_retention`: of the buyers among them the part not lost; `min_in_time`: of
    the reminders that ended the part done; `min_satisfaction`: with remedies, 1 to 5 on average.
    """

    name: Name
    min_cases: Count | None = None
    min_retention: Share | None = None
    min_in_time: Share | None = None
    min_satisfaction: Annotated[Rate, Meta(ge=1, le=5, description="a number")] | None = None
