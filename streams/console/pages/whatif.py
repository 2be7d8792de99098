"""What if: more retention, money moved from winning to keeping, another policy; worked out on all customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from processors.policy import Policy
from streams.console.jobs import Answer
from streams.console.markup import Content, Html, el, join
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.supposing import Supposed
from streams.console.words import Words


class Asked(Struct, frozen=True):
    """What was asked: percentages as typed, and the text of another policy; wrong: fields that are no percentage."""

    retention: str = "5"
    shift: str = "33"
    text: str = ""
    wrong: tuple[str, ...] = ()


def content(
    ask: Ask, policy: Policy, asked: Asked, more: Supposed | None, moved: Supposed | None, diff: Answer | None
) -> Html:
    """more, moved: None while the customers are being read; diff: None where no other policy was asked about."""
    words = ask.words
    return join(
        parts.head(words("whatif.title"), words("whatif.about")),
        _scenarios(ask, asked, more, moved),
        _policy(ask, policy, asked, diff),
    )


def _scenarios(ask: Ask, asked: Asked, more: Supposed | None, moved: Supposed | None) -> Html:
    words = ask.words
    form = el(
        "form",
        {"class": "filters", "method": "get", "action": "/what-if"},
        _percent(words, "retention", asked),
        _percent(words, "shift", asked),
        el("button", None, words("whatif.work_out")),
    )
    wrong = [el("p", {"class": "notice bad", "role": "alert"}, words("whatif.wrong", value=one)) for one in asked.wrong]
    shown: list[Content] = [wrong]
    for code, held in (("retention", more), ("shift", moved)):
        title = el("h3", None, words(f"whatif.{code}_said", share=getattr(asked, code)))
        shown.append(join(title, _effect(words, held)))
    return parts.section("scenarios", words("whatif.scenarios"), form, *shown, live="whatif")


def _percent(words: Words, name: str, asked: Asked) -> Html:
    field = {"id": f"f-{name}", "name": name, "inputmode": "decimal", "size": 6, "value": getattr(asked, name)}
    return el("p", None, el("label", {"for": f"f-{name}"}, words(f"whatif.{name}")), el("input", field))


def _effect(words: Words, held: Supposed | None) -> Html:
    if held is None:
        return el("p", {"class": "empty"}, words("whatif.working"))
    if held.told is None:
        return el("p", {"class": "notice warn"}, held.missing)
    told, currency = held.told, held.told["currency"]
    tiles = [
        parts.tile(
            words("whatif.difference"),
            words.money(told["difference"], currency),
            words(
                "whatif.equity",
                before=words.money(told["equity"], currency, short=True),
                after=words.money(told["equity"] + told["difference"], currency, short=True),
            ),
        ),
        parts.tile(
            words("whatif.kept"),
            words.percent(told["retention_then"]),
            words("whatif.kept_now", now=words.percent(told["retention"])),
        ),
    ]
    if told.get("moved") is not None:
        tiles.append(
            parts.tile(
                words("whatif.moved"),
                words.money(told["moved"], currency),
                words("whatif.budget", budget=words.money(told["budget"], currency)),
            )
        )
    return parts.tiles(*tiles)


def _policy(ask: Ask, policy: Policy, asked: Asked, diff: Answer | None) -> Html:
    words = ask.words
    area = {"id": "f-policy", "name": "policy", "rows": 16, "spellcheck": "false", "class": "code"}
    form = el(
        "form",
        {"method": "post", "action": "/what-if", "class": "stacked"},
        parts.hidden("mark", ask.mark),
        parts.hidden("back", "/what-if"),
        el("label", {"for": "f-policy"}, words("whatif.text", policy=policy.label)),
        el("textarea", area, "\n", asked.text or policy.text),
        el("p", None, el("button", {"class": "go"}, words("whatif.compare"))),
    )
    told = NOTHING_ASKED if diff is None else _diff(ask, diff)
    return join(
        parts.section("compared", words("whatif.compared"), told, live="whatif") if diff is not None else None,
        parts.section("policy", words("whatif.policy"), form, live="", about=words("whatif.policy_about")),
    )


NOTHING_ASKED = Html("")


def _diff(ask: Ask, diff: Answer) -> Html:
    words = ask.words
    if diff.waits:
        return el("p", {"class": "empty"}, words("whatif.working"))
    if diff.error:
        return el("ul", {"class": "notice bad"}, [el("li", None, line) for line in diff.error.splitlines()])
    told = diff.value.as_json()
    currency = told["currency"]
    said = words(
        "whatif.moves",
        moved=words.number(told["moved"]),
        customers=words.number(told["customers"]),
        before=told["policy_from"],
        after=told["policy_to"],
    )
    equity = words(
        "whatif.equity",
        before=words.money(told["equity_from"], currency),
        after=words.money(told["equity_to"], currency),
    )
    return join(
        el("p", {"class": "lede"}, said),
        el("p", {"class": "muted"}, equity),
        [el("p", {"class": "notice warn"}, one["text"]) for one in told["lacks"]],
        _pairs(words, "tiers", told["tiers"], "value_365d", currency),
        _pairs(words, "levels", told["levels"], "value_at_stake", currency),
        _care(words, told["care"]),
        _movers(words, told["movers"], currency),
    )


def _pairs(words: Words, code: str, held: Sequence[Mapping[str, Any]], amount: str, currency: str) -> Html:
    """From what to what, how many customers, and what they are worth."""

    def name(value: str) -> Html:
        return parts.level(words, value) if code == "levels" else parts.tier(value)

    heads = (
        (words("whatif.from"), ""),
        (words("tiers.to"), ""),
        (words("figure.customers"), "num"),
        (words("whatif.amount"), "num"),
    )
    rows = [
        [
            Cell(name(one["from"]), "lead"),
            Cell(name(one["to"])),
            Cell(words.number(one["customers"]), "num"),
            Cell(words.money(one[amount], currency), "num"),
        ]
        for one in held
    ]
    title = words(f"whatif.{code}")
    return join(el("h3", None, title), parts.table(title, heads, rows, words("whatif.nobody")))


def _care(words: Words, held: Sequence[Mapping[str, Any]]) -> Html:
    heads = ((words("care.kind"), ""), (words("whatif.from"), "num"), (words("tiers.to"), "num"))
    rows = [
        [
            Cell(parts.kind(words, one["kind"]), "lead"),
            Cell(words.number(one["from"]), "num"),
            Cell(words.number(one["to"]), "num"),
        ]
        for one in held
        if one["from"] != one["to"]
    ]
    title = words("whatif.care")
    return join(el("h3", None, title), parts.table(title, heads, rows, words("whatif.nothing")))


def _movers(words: Words, held: Sequence[Mapping[str, Any]], currency: str) -> Html:
    heads = (
        (words("risk.customer"), ""),
        (words("figure.value"), "num"),
        (words("tiers.tier"), ""),
        (words("risk.level"), ""),
        (words("whatif.more_care"), ""),
    )
    rows = [
        [
            Cell(parts.customer(one["customer_id"]), "lead"),
            Cell(words.money(one["value_365d"], currency), "num"),
            Cell(_step(one["tier_from"], one["tier_to"])),
            Cell(_step(words.name("level", one["level_from"]), words.name("level", one["level_to"]))),
            Cell(
                ", ".join(
                    [f"+ {parts.kind(words, kind)}" for kind in one["care_new"]]
                    + [f"− {parts.kind(words, kind)}" for kind in one["care_gone"]]
                ),
                "wide",
            ),
        ]
        for one in held
    ]
    title = words("whatif.movers")
    return join(el("h3", None, title), parts.table(title, heads, rows, words("whatif.nobody")))


def _step(before: str, after: str) -> str:
    return f"{before} → {after}" if before != after else "–"
