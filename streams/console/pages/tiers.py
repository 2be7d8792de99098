"""The tiers, what each asks and gives, and who is about to move."""

from __future__ import annotations

from collections.abc import Sequence

from processors.sketch import SHARES
from streams.console.markup import Html, el, join
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.survey import LEVELS, SOON_DAYS, Moving, Survey
from streams.console.words import Words

SHOWN = 100


def content(ask: Ask, seen: Survey) -> Html:
    """The page."""
    words = ask.words
    return join(
        parts.head(words("tiers.title"), words("tiers.about")),
        _tiers(ask, seen),
        _moving(ask, seen, "falling", seen.falling, seen.falling_all),
        _moving(ask, seen, "rising", seen.rising, seen.rising_all),
        el("div", {"class": "grid"}, _top(ask, seen), _layers(ask, seen), _levels(ask, seen)),
    )


def asks(words: Words, condition: str, need: int | str, currency: str) -> str:
    """A condition of a tier, in words."""
    if condition == "min_value_share_rank":
        return words("condition.min_value_share_rank", need=words.percent(float(need), 0))
    return words(f"condition.{condition}", need=amount(words, condition, int(need), currency))


def amount(words: Words, condition: str, number: int, currency: str) -> str:
    """A condition's number: money where it is money."""
    money = condition in ("min_value_365d", "min_margin_365d", "min_contribution_365d")
    return words.money(number, currency) if money else words.number(number)


def _tiers(ask: Ask, seen: Survey) -> Html:
    words, policy = ask.words, seen.policy
    currency = policy.programme.currency
    lines = {line.tier: line for line in seen.tiers}
    heads = (
        (words("tiers.tier"), ""),
        (words("figure.customers"), "num"),
        (words("figure.value"), "num"),
        (words("tiers.of_value"), "bar"),
        (words("tiers.asks"), ""),
        (words("tiers.gives"), ""),
        (words("tiers.touch"), ""),
    )
    rows = []
    for tier in reversed(policy.tiers):
        line = lines[tier.name]
        needs = [el("li", None, asks(words, name, need, currency)) for name, need in tier.conditions]
        touch = words("tiers.every", days=tier.care_every_days) if tier.care_every_days else "–"
        rows.append(
            [
                Cell(parts.tier(tier.name), "lead"),
                Cell(words.number(line.customers), "num"),
                Cell(words.money(line.value_365d, currency, short=True), "num"),
                parts.share(words, line.value_share),
                Cell(el("ul", {"class": "reasons"}, needs) if needs else words("tiers.everybody"), "wide"),
                Cell(", ".join(tier.benefits) or "–", "wide"),
                Cell(touch),
            ]
        )
    return parts.section(
        "tiers", words("today.tiers"), parts.table(words("today.tiers"), heads, rows, words("frame.none"))
    )


def _moving(ask: Ask, seen: Survey, way: str, held: Sequence[Moving], number: int) -> Html:
    words, currency, calendar = ask.words, seen.policy.programme.currency, seen.policy.calendar
    heads = (
        (words("risk.customer"), ""),
        (words("tiers.to"), ""),
        (words("tiers.when"), ""),
        (words("tiers.lacks"), ""),
        (words("figure.value"), "num"),
        (words("risk.employee"), ""),
    )
    rows = [
        [
            Cell([parts.customer(one.customer_id), " ", parts.tier(one.tier)], "lead"),
            Cell(parts.tier(one.to_tier) if one.to_tier else words("tiers.lower")),
            Cell(
                "–"
                if one.at is None
                else [
                    words.day(one.at, calendar),
                    el("span", {"class": "muted"}, " ", words("tiers.grace")) if one.below else None,
                ]
            ),
            Cell(lacks(words, one, currency), "wide"),
            Cell(words.money(one.value_365d, currency), "num"),
            Cell(one.employee_id or words("care.nobody")),
        ]
        for one in held[:SHOWN]
    ]
    title = words(f"tiers.{way}", number=words.number(number), days=SOON_DAYS)
    return parts.section(
        way, title, parts.table(title, heads, rows, words(f"tiers.{way}_none")), about=words(f"tiers.{way}_about")
    )


def lacks(words: Words, one: Moving, currency: str) -> str:
    """What is missing of the condition that decides."""
    if one.need <= one.have:
        return "–"
    return words(
        f"lacks.{one.condition}",
        missing=amount(words, one.condition, one.need - one.have, currency),
        have=amount(words, one.condition, one.have, currency),
        need=amount(words, one.condition, one.need, currency),
    )


def _top(ask: Ask, seen: Survey) -> Html:
    words = ask.words
    heads = ((words("tiers.best"), ""), (words("tiers.of_value"), "bar"))
    rows = [
        [
            Cell(words("tiers.best_of", share=words.percent(float(top), 0)), "lead"),
            parts.share(words, seen.shares[top], decimals=1),
        ]
        for top in SHARES
    ]
    return parts.section(
        "shares",
        words("tiers.shares"),
        parts.table(words("tiers.shares"), heads, rows, words("frame.none")),
        css="third",
    )


def _layers(ask: Ask, seen: Survey) -> Html:
    words = ask.words
    heads = ((words("tiers.layer"), ""), (words("figure.customers"), "num"), (words("tiers.of_all"), "bar"))
    rows = [
        [
            Cell(words.name("layer", code), "lead"),
            Cell(words.number(seen.layers.get(code, 0)), "num"),
            parts.share(words, seen.layers.get(code, 0) / max(1, seen.customers)),
        ]
        for code in ("LOYAL", "PREFERENCE", "HABIT", "NONE")
    ]
    return parts.section(
        "layers",
        words("tiers.layers"),
        parts.table(words("tiers.layers"), heads, rows, words("frame.none")),
        css="third",
    )


def _levels(ask: Ask, seen: Survey) -> Html:
    words, currency = ask.words, seen.policy.programme.currency
    of = {line.level: line for line in seen.risks}
    heads = ((words("risk.level"), ""), (words("figure.customers"), "num"), (words("risk.stake"), "num"))
    rows = [
        [
            Cell(parts.level(words, code), "lead"),
            Cell(words.number(of[code].customers), "num"),
            Cell(words.money(of[code].value_at_stake, currency, short=True), "num"),
        ]
        for code in LEVELS
    ]
    return parts.section(
        "levels",
        words("tiers.levels"),
        parts.table(words("tiers.levels"), heads, rows, words("frame.none")),
        css="third",
    )
