"""Customers at risk, those first of whom most is at stake; by level, tier and employee."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from streams.console.markup import Html, el, join
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.pages.today import next_step
from streams.console.survey import Risky, Survey

PAGE: Final = 50


class Wanted(Struct, frozen=True):
    """Whom to show; "": any. page: from 1."""

    level: str = ""
    tier: str = ""
    employee: str = ""
    page: int = 1

    def takes(self, one: Risky) -> bool:
        return (
            self.level in ("", one.level)
            and self.tier in ("", one.tier)
            and self.employee in ("", one.employee_id or "-")
        )


def content(ask: Ask, seen: Survey, wanted: Wanted) -> Html:
    """The page."""
    words, currency, calendar = ask.words, seen.policy.programme.currency, seen.policy.calendar
    found = [one for one in seen.risky if wanted.takes(one)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, wanted.page), pages)
    heads = (
        (words("risk.customer"), ""),
        (words("risk.stake"), "num"),
        (words("risk.score"), "bar"),
        (words("risk.why"), ""),
        (words("risk.last"), ""),
        (words("risk.employee"), ""),
        (words("risk.next"), ""),
    )
    rows = [
        [
            Cell(
                [parts.customer(one.customer_id), " ", parts.tier(one.tier), " ", parts.level(words, one.level)], "lead"
            ),
            Cell(words.money(one.stake, currency), "num"),
            parts.share(words, one.score, "s-risk"),
            Cell(parts.reasons(words, one.reasons), "wide"),
            Cell(words.day(one.last_purchase_at, calendar), "day"),
            Cell(one.employee_id or words("care.nobody")),
            Cell(next_step(words, one)),
        ]
        for one in found[(page - 1) * PAGE : page * PAGE]
    ]
    stake = sum(one.stake for one in found)
    said = words("risk.found", number=words.number(len(found)), stake=words.money(stake, currency))
    more = words("risk.bounded", shown=words.number(len(seen.risky)), number=words.number(seen.risky_all))
    return join(
        parts.head(words("risk.title"), words("risk.about")),
        _filters(ask, seen, wanted),
        parts.section(
            "risky",
            said,
            el("p", {"class": "about"}, more) if seen.risky_all > len(seen.risky) else None,
            parts.table(words("risk.title"), heads, rows, words("risk.nobody"), "risky"),
            parts.pager(ask, "/risk", page, pages, level=wanted.level, tier=wanted.tier, employee=wanted.employee),
        ),
    )


def _filters(ask: Ask, seen: Survey, wanted: Wanted) -> Html:
    words = ask.words
    people = sorted({one.employee_id for one in seen.risky if one.employee_id is not None})
    return el(
        "form",
        {"class": "filters", "method": "get", "action": "/risk"},
        choice(
            "level",
            words("risk.level"),
            [("", words("frame.any")), *((code, words.name("level", code)) for code in ("AT_RISK", "WATCH"))],
            wanted.level,
        ),
        choice(
            "tier",
            words("tiers.tier"),
            [("", words("frame.any")), *((line.tier, line.tier) for line in seen.tiers)],
            wanted.tier,
        ),
        choice(
            "employee",
            words("risk.employee"),
            [("", words("frame.any")), ("-", words("care.nobody")), *((name, name) for name in people)],
            wanted.employee,
        ),
        el("button", None, words("frame.show")),
    )


def choice(name: str, label: str, options: list[tuple[str, str]], chosen: str) -> Html:
    """A list to choose from, with its label."""
    held = [el("option", {"value": value, "selected": value == chosen}, text) for value, text in options]
    return el(
        "p", None, el("label", {"for": f"f-{name}"}, label), el("select", {"id": f"f-{name}", "name": name}, held)
    )
