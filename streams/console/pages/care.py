"""Today's care, by employee: what to do, for whom, by when, with a button for done and one for declined."""

from __future__ import annotations

from typing import Final

from streams.console.markup import Html, el, join, query
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.survey import Load, Survey
from streams.serving import Employee

NOBODY: Final = "-"
PAGE: Final = 50


def content(ask: Ask, seen: Survey, employee: str, page: int) -> Html:
    """employee: whose; NOBODY: of those whom nobody is in charge of; "": who has most to do."""
    words = ask.words
    loads = {name or NOBODY: load for name, load in seen.loads.items()}
    employee = employee or next(
        iter(sorted(loads, key=lambda name: (-loads[name].first, -loads[name].open, name))), NOBODY
    )
    load = loads.get(employee, Load(0, 0, ()))
    pages = max(1, -(-len(load.due) // PAGE))
    page = min(max(1, page), pages)
    shown = load.due[(page - 1) * PAGE : page * PAGE]
    who = words("care.nobody") if employee == NOBODY else employee
    said = words("care.has", who=who, number=words.number(load.open), first=words.number(load.first))
    bounded = words("care.bounded", shown=words.number(len(load.due)), number=words.number(load.open))
    return join(
        parts.head(words("care.title"), words("care.about")),
        _people(ask, loads, employee),
        parts.section(
            "todo",
            said,
            el("p", {"class": "about"}, bounded) if load.open > len(load.due) else None,
            parts.todo(ask, shown, seen.policy),
            parts.pager(ask, "/care", page, pages, employee=employee),
            live="programme pipeline",
        ),
        _merits(ask, seen),
    )


def _people(ask: Ask, loads: dict[str, Load], chosen: str) -> Html:
    words = ask.words
    links = [
        el(
            "li",
            None,
            el(
                "a",
                {"href": query("/care", employee=name), "aria-current": "true" if name == chosen else None},
                words("care.nobody") if name == NOBODY else name,
                " ",
                el("span", {"class": "count"}, words.number(load.open)),
                el("span", {"class": "vh"}, " ", words("care.to_do")),
                el("span", {"class": "badge l-at_risk"}, words("care.urgent", number=words.number(load.first)))
                if load.first
                else None,
            ),
        )
        for name, load in loads.items()
    ]
    return el(
        "nav",
        {"class": "people", "id": "people", "data-live": "programme", "aria-label": words("care.people")},
        el("ul", None, links),
    )


def _merits(ask: Ask, seen: Survey) -> Html:
    """E1: those in charge, by how well their customers are kept, with their grades (E2)."""
    words, currency, graded = ask.words, seen.policy.programme.currency, bool(seen.policy.grades)
    heads = (
        (words("risk.employee"), ""),
        *(((words("employee.grade"), ""),) if graded else ()),
        (words("employee.rank"), "num"),
        (words("figure.customers"), "num"),
        (words("employee.retention"), "bar"),
        (words("care.in_time"), "bar"),
        (words("promise.rate"), "bar"),
        (words("figure.value"), "num"),
        (words("figure.equity"), "num"),
    )
    rows = [
        [
            Cell(line.employee, "lead"),
            *((_grade(ask, line, seen),) if graded else ()),
            Cell(words.number(line.rank), "num"),
            Cell(words.number(line.customers), "num"),
            *(parts.share(words, part, "s-good") for part in (line.retention, line.in_time, line.kept_rate)),
            Cell(words.money(line.value_365d, currency, short=True), "num"),
            Cell(words.money(line.equity, currency, short=True), "num"),
        ]
        for line in seen.employees[:100]
    ]
    least = words("employee.about", least=seen.policy.employees.least_cases)
    return parts.section(
        "merits",
        words("employee.title"),
        parts.table(words("employee.title"), heads, rows, words("frame.none")),
        about=least,
    )


def _grade(ask: Ask, line: Employee, seen: Survey) -> Cell:
    """The grade, and since when where it ever changed."""
    if line.grade is None:
        return Cell("–")
    if line.grade_since is None:
        return Cell(line.grade)
    return Cell(
        ask.words("employee.since", grade=line.grade, day=ask.words.day(line.grade_since, seen.policy.calendar))
    )
