"""The policy: every number a rule depends on, validated once, frozen, told with all its problems at once.

`load_policy(text)` reads it; nothing else makes one. What a policy is called in outputs is its label, name@version; a
tick names its key, which also has the first 8 hex digits of the text's SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import astuple

from processors import fields, strict
from processors.benefits import sections as benefit_sections
from processors.benefits.sections import Benefit
from processors.care.sections import Care, CareRules, Employees, Idea, Promises, Staff
from processors.days import Calendar
from processors.lifetime import Model, Spend
from processors.money import Rate, Rates
from processors.predicate import problem, segment_problem
from processors.sections import (
    CONDITIONS,
    SHARE,
    Club,
    Clv,
    Complaints,
    Costs,
    Currencies,
    Exits,
    Feasts,
    Grade,
    Loyalty,
    Margin,
    Programme,
    Region,
    Risk,
    Segment,
    Tier,
    TierRules,
)
from processors.strict import BAD, Contradiction, Problem
from processors.toml_lines import Path, line_of, lines

__all__ = ["Policy", "PolicyError", "Tier", "load_policy"]


class PolicyError(ValueError):
    """A policy that can't be used. `problems`: one sentence each, with file, line, place, value, rule and way out."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Document(Struct, frozen=True):
    """The tables of the file, by their names in it."""

    programme: Annotated[Programme, Meta(description="a table [programme] with name, version and currency")]
    tiers: Annotated[tuple[Tier, ...], Meta(description="a list of [[tiers]], lowest first")]
    tier_rules: TierRules = TierRules()
    club: Club | None = None
    margin: Margin = Margin()
    costs: Costs = Costs()
    clv: Clv = Clv()
    risk: Risk = Risk()
    loyalty: Loyalty = Loyalty()
    complaints: Complaints = Complaints()
    promises: Promises = Promises()
    employees: Employees = Employees()
    care_rules: CareRules = CareRules()
    care: tuple[Care, ...] = ()
    roster: tuple[Staff, ...] = ()
    ideas: tuple[Idea, ...] = ()
    exits: Exits = Exits()
    segments: tuple[Segment, ...] = ()
    regions: tuple[Region, ...] = ()
    calendar: Feasts = Feasts()
    currencies: Currencies = Currencies()
    grades: tuple[Grade, ...] = ()
    benefits: tuple[Benefit, ...] = ()


class Policy(Struct, frozen=True, kw_only=True):
    """A validated policy. The tables of the file under their own names, but [calendar], which is `feasts` here.

    label: name@version. key: name@version# and the first 8 hex digits of the SHA-256 of `text` in UTF-8.
    calendar: the programme's days. rates: other currencies in the programme's. ranks: tier name -> rank, lowest 0.
    model, spend: what purchase days and margins let expect. weights: of the signals of risk, in their order.
    """

    programme: Programme
    tiers: tuple[Tier, ...]
    tier_rules: TierRules
    club: Club | None
    margin: Margin
    costs: Costs
    clv: Clv
    risk: Risk
    loyalty: Loyalty
    complaints: Complaints
    promises: Promises
    employees: Employees
    care_rules: CareRules
    care: tuple[Care, ...]
    roster: tuple[Staff, ...]
    ideas: tuple[Idea, ...]
    exits: Exits
    segments: tuple[Segment, ...]
    regions: tuple[Region, ...]
    feasts: Feasts
    currencies: Currencies
    grades: tuple[Grade, ...]
    benefits: tuple[Benefit, ...]
    text: str
    label: str
    key: str
    calendar: Calendar
    rates: Rates
    ranks: Mapping[str, int]
    model: Model
    spend: Spend | None
    weights: tuple[float, ...]

    def tier_rank(self, name: str) -> int | None:
        """The rank of a tier, lowest 0; None for one that this policy does not have."""
        return self.ranks.get(name)


def load_policy(text: str, file: str = "policy.toml") -> Policy:
    """The policy that `text` (TOML) holds.

    PolicyError with every problem at once, each as `file:line: place value rule way out`.
    """
    try:
        table = tomllib.loads(text, parse_float=_as_written)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError([_syntax(text, file, str(error))]) from None
    except (ValueError, RecursionError) as error:
        # A date that isn't one, an integer of thousands of digits, nesting without end: TOML in form only.
        raise PolicyError([f"{file}:1: is no policy: {error}"]) from None
    problems: list[Problem] = []
    document = strict.read(Document, table, (), problems)
    if document is BAD:
        tiers = _tiers_alone(table)
        problems += [Problem(path, words) for path, words in _ladder(tiers)] if tiers else []
    else:
        problems += [Problem(path, words) for path, words in _across(document) if not _touched(path, problems)]
    if problems:
        where = lines(text)
        told = sorted(problems, key=lambda problem: line_of(problem.path, where))
        raise PolicyError([f"{file}:{line_of(one.path, where)}: {strict.place(one.path)} {one.text}" for one in told])
    return _policy(document, text)


def _policy(document: Document, text: str) -> Policy:
    programme = document.programme
    label = f"{programme.name}@{programme.version}"
    same = {name: getattr(document, name) for name in Document.__struct_fields__ if name != "calendar"}
    return Policy(
        **same,
        feasts=document.calendar,
        text=text,
        label=label,
        key=f"{label}#{hashlib.sha256(text.encode()).hexdigest()[:8]}",
        calendar=Calendar(programme.time_zone),
        rates=Rates(programme.currency, document.currencies.rates),
        ranks={tier.name: rank for rank, tier in enumerate(document.tiers)},
        model=_model(document.risk),
        spend=None if document.clv.spend is None else Spend(*astuple(document.clv.spend)),
        weights=astuple(document.risk.weights)[1:],
    )


def _model(risk: Risk) -> Model:
    return Model(risk.model, *astuple(risk.parameters))


def _as_written(number: str) -> Decimal:
    """A TOML float, exact. One whose exponent no decimal can hold is refused like any other infinite number."""
    try:
        return Decimal(number)
    except InvalidOperation:
        return Decimal("Infinity")


def _syntax(text: str, file: str, message: str) -> str:
    """tomllib's complaint, its line in front: "Expected '=' after a key … (at line 3, column 5)"."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if found is None:
        what = message.removesuffix(" (at end of document)")
        return f"{file}:{text.count(chr(10)) + 1}: is no TOML: {what}, at the end of the file"
    return f"{file}:{found.group(1)}: is no TOML: {message[: found.start()]}, at column {found.group(2)}"


def _touched(path: Path, problems: list[Problem]) -> bool:
    """Whether a problem has been told within the entry at `path`: what contradicts it may then be its echo."""
    return any(problem.path[: len(path)] == path for problem in problems)


def _tiers_alone(table: Mapping[str, object]) -> tuple[Tier, ...]:
    """The tiers of a document that is broken elsewhere; none if a tier is broken too."""
    unheard: list[Problem] = []
    tiers: tuple[Tier, ...] = strict.value(tuple[Tier, ...], table.get("tiers", []), ("tiers",), unheard)
    return () if unheard else tiers


def _across(document: Document) -> Iterator[Contradiction]:
    """What contradicts itself between tables."""
    yield from _ladder(document.tiers)
    names = [tier.name for tier in document.tiers]
    if document.club is not None and document.club.floor_tier not in names:
        yield (
            ("club", "floor_tier"),
            f'is "{document.club.floor_tier}": '
            + strict.unknown(document.club.floor_tier, names, "tier").removeprefix("is "),
        )
    for place, care in enumerate(document.care):
        yield from _known(("care", place, "tiers"), care.tiers or (), names, "tier")
        numbers, words = (*fields.NUMBERS, *fields.MORE_NUMBERS), (*fields.WORDS, "segment")
        if care.shape == "level" and not document.risk.assess:
            yield (
                ("care", place, "shape"),
                'is "level", and [risk] assess = false tells nobody\'s: it would never be due',
            )
        wrong = None if care.when is None else problem(care.when, numbers, words)
        if wrong is not None:
            yield ("care", place, "when"), wrong
        if care.texts and document.programme.language not in care.texts:
            yield ("care", place, "texts"), f'has none in the programme\'s language, "{document.programme.language}"'
    yield from _twice("care", [care.kind for care in document.care], "kind")
    kinds = [care.kind for care in document.care]
    if document.employees.span_days is not None and not any(care.on == "owner" for care in document.care):
        yield ("employees", "span_days"), 'needs a [[care]] kind with shape = "silence", on = "owner": the warning'
    yield from _twice("roster", [staff.employee for staff in document.roster], "employee")
    for place, staff in enumerate(document.roster):
        yield from _known(("roster", place, "skills"), staff.skills or (), kinds, "kind of care")
    yield from _twice("ideas", [idea.name for idea in document.ideas], "name")
    for place, idea in enumerate(document.ideas):
        yield from _known(("ideas", place, "kinds"), idea.kinds, kinds, "kind of care")
        yield from _known(("ideas", place, "tiers"), idea.tiers or (), names, "tier")
        if document.programme.language not in idea.texts:
            yield ("ideas", place, "texts"), f'has none in the programme\'s language, "{document.programme.language}"'
    yield from _twice("benefits", [benefit.name for benefit in document.benefits], "name")
    yield from benefit_sections.contradictions(document.benefits, document.tiers)
    yield from _twice("segments", [segment.name for segment in document.segments], "name")
    for place, segment in enumerate(document.segments):
        wrong = segment_problem(segment.when)
        if wrong is not None:
            yield ("segments", place, "when"), wrong
    yield from _asks_for_figures(document)
    yield from _regions(document.regions)
    yield from _grades(document.grades)
    programme = document.programme.currency
    if document.currencies.rates.get(programme) not in (None, Rate(1, 1)):
        yield ("currencies", "rates", programme), "is the programme's own currency, which is worth 1; leave it out"


def _known(path: Path, given: tuple[str, ...], known: list[str], noun: str) -> Iterator[Contradiction]:
    for index, name in enumerate(given):
        if name not in known:
            yield (*path, index), f'is "{name}": ' + strict.unknown(name, known, noun).removeprefix("is ")


def _ladder(tiers: tuple[Tier, ...]) -> Iterator[Contradiction]:
    """Tiers go lowest first, each name once; the first has no conditions, each other has some."""
    if not tiers:
        yield ("tiers",), "is empty: there must be at least one [[tiers]] with a name"
        return
    yield from _twice("tiers", [tier.name for tier in tiers], "name")
    if tiers[0].conditions:
        yield (
            ("tiers", 0, tiers[0].conditions[0][0]),
            (
                f'is a condition of the first tier, "{tiers[0].name}": who meets none must have a tier too; '
                "put one without conditions before it"
            ),
        )
    for place, tier in enumerate(tiers[1:], start=1):
        if not tier.conditions:
            yield (
                ("tiers", place),
                (
                    f'("{tier.name}") has no condition, so that everybody would have it and nobody a '
                    f"lower one; give it one of {', '.join(CONDITIONS)}"
                ),
            )
            continue
        for lower in range(place - 1, 0, -1):
            if tiers[lower].conditions and _implied(tier, tiers[lower]):
                yield (
                    ("tiers", place),
                    (
                        f'("{tier.name}") asks for no more than tiers[{lower}] ("{tiers[lower].name}") '
                        "does, so that nobody would ever have that; list the tiers lowest first"
                    ),
                )
                break


def _asks_for_figures(document: Document) -> Iterator[Contradiction]:
    """What goes by the programme's sums, where none are kept."""
    if document.programme.figures:
        return
    words = "but [programme] figures = false keeps no sums of all customers"
    for place, tier in enumerate(document.tiers):
        if any(name == SHARE for name, _ in tier.conditions):
            yield ("tiers", place, SHARE), f"asks for a share of the customers, {words}"
    if document.segments:
        yield ("segments", 0), f"asks for customers to be counted by segment, {words}"
    if document.grades:
        yield ("grades", 0), f"goes by figures of those who serve, {words}"


def _regions(regions: tuple[Region, ...]) -> Iterator[Contradiction]:
    """Each store lies in one region, or figures would count it twice."""
    yield from _twice("regions", [region.name for region in regions], "name")
    known: dict[str, int] = {}
    for place, region in enumerate(regions):
        for index, store in enumerate(region.stores):
            if known.setdefault(store, place) != place or store in region.stores[:index]:
                words = (
                    f'is "{store}", which regions[{known[store]}] ("{regions[known[store]].name}") has: one is enough'
                )
                yield ("regions", place, "stores", index), words


def _grades(grades: tuple[Grade, ...]) -> Iterator[Contradiction]:
    yield from _twice("grades", [grade.name for grade in grades], "name")
    for place, grade in enumerate(grades):
        asked = [name for name in Grade.__struct_fields__ if name != "name" and getattr(grade, name) is not None]
        if place == 0 and asked:
            words = "who meets none must have a grade too; put one without conditions before it"
            yield ("grades", 0, asked[0]), f'is a condition of the first grade, "{grade.name}": {words}'
        if place > 0 and not asked:
            yield ("grades", place), f'("{grade.name}") has no condition, so that everybody would have it'


def _implied(higher: Tier, lower: Tier) -> bool:
    """Whether everybody who qualifies for `lower` qualifies for `higher` as well."""
    below = dict(lower.conditions)
    return all(name in below and _at_least(name, below[name], need) for name, need in higher.conditions)


def _at_least(name: str, strong: int | str, weak: int | str) -> bool:
    if name == SHARE:  # a smaller share of customers is harder to reach
        return Fraction(strong) <= Fraction(weak)
    return int(strong) >= int(weak)


def _twice(table: str, names: list[str], key: str) -> Iterator[Contradiction]:
    for place, name in enumerate(names):
        if name in names[:place]:
            first = names.index(name)
            yield (table, place, key), f'is "{name}", as {table}[{first}] is: each needs a name of its own'
