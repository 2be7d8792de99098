"""What pages are made of: the frame around all, tables that are cards on a phone, badges, the buttons of an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from processors.policy import Policy
from streams import visible
from streams.console.charts import meter
from streams.console.markup import NOTHING, Content, Html, el, join, query, raw
from streams.console.survey import Due, Why
from streams.console.words import LANGUAGES, Words

THEMES: Final = ("auto", "light", "dark")

PAGES: Final = (
    ("today", "/"),
    ("risk", "/risk"),
    ("care", "/care"),
    ("tiers", "/tiers"),
    ("whatif", "/what-if"),
    ("stream", "/stream"),
    ("letters", "/dead-letters"),
)


class Ask(Struct, frozen=True, kw_only=True):
    """A request, as pages see it. at: path and query, to come back to; mark: what an action must bring; assets: path
    to the path under which a file is served; closed: reminders that wait for a worker, with the contact's kind."""

    words: Words
    theme: str = "auto"
    at: str = "/"
    mark: str = ""
    assets: Mapping[str, str] = {}
    closed: Mapping[str, str] = {}
    problems: Sequence[str] = ()
    notice: str = ""
    failed: bool = False
    may_act: bool = True


class Cell(NamedTuple):
    """css: "num" for numbers, "lead" for what a card begins with, "wide" for what needs a line of its own."""

    content: Content
    css: str = ""


def page(ask: Ask, active: str, title: str, *content: Content, programme: str = "", as_of: str = "") -> Html:
    """The whole document."""
    words = ask.words
    name = programme or words("frame.console")
    head = el(
        "head",
        None,
        el("meta", {"charset": "utf-8"}),
        el("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        el("meta", {"name": "color-scheme", "content": "light dark" if ask.theme == "auto" else ask.theme}),
        el("title", None, f"{title} · {name}"),
        el("link", {"rel": "icon", "href": ask.assets.get("icon.svg", "/static/icon.svg")}),
        el("link", {"rel": "stylesheet", "href": ask.assets.get("console.css", "/static/console.css")}),
        el("script", {"src": ask.assets.get("console.js", "/static/console.js"), "defer": True}),
    )
    body = el(
        "body",
        {"data-offline": words("frame.offline"), "data-fresh": words("frame.fresh"), "data-gone": words("frame.gone")},
        el("a", {"class": "skip", "href": "#main"}, words("frame.skip")),
        _header(ask, active, name, as_of),
        el("main", {"id": "main", "tabindex": -1}, _notices(ask), join(*content)),
        el("footer", None, el("p", None, words("frame.foot"))),
        el("div", {"id": "said", "class": "vh", "role": "status", "aria-live": "polite"}),
    )
    attributes = {"lang": words.language, "data-theme": None if ask.theme == "auto" else ask.theme}
    return join(raw("<!doctype html>"), el("html", attributes, head, body))


def _header(ask: Ask, active: str, name: str, as_of: str) -> Html:
    words = ask.words
    links = [
        el("li", None, el("a", {"href": to, "aria-current": "page" if code == active else None}, words(f"nav.{code}")))
        for code, to in PAGES
    ]
    find = el(
        "form",
        {"class": "find", "action": "/customer", "method": "get", "role": "search"},
        el("label", {"class": "vh", "for": "find"}, words("frame.find")),
        el(
            "input",
            {"id": "find", "name": "id", "type": "search", "placeholder": words("frame.find"), "autocomplete": "off"},
        ),
    )
    clock = el("p", {"class": "clock"}, as_of) if as_of else None
    state = el("p", {"id": "live", "class": "live", "hidden": True})
    return el(
        "header",
        {"class": "top"},
        el(
            "div",
            {"class": "topbar"},
            el("p", {"class": "brand"}, el("a", {"href": "/"}, name)),
            clock,
            state,
            find,
            _choices(ask),
        ),
        el("nav", {"aria-label": words("frame.pages")}, el("ul", None, links)),
    )


def _choices(ask: Ask) -> Html:
    """Language and colours: forms, so that they work without a script."""
    words = ask.words
    languages = [
        el(
            "button",
            {
                "name": "lang",
                "value": code,
                "lang": code,
                "aria-pressed": "true" if code == words.language else "false",
            },
            name,
        )
        for code, name in LANGUAGES.items()
    ]
    themes = [
        el(
            "button",
            {"name": "theme", "value": code, "aria-pressed": "true" if code == ask.theme else "false"},
            words(f"theme.{code}"),
        )
        for code in THEMES
    ]
    inside = join(
        el("div", {"role": "group", "aria-label": words("frame.language")}, languages),
        el("div", {"role": "group", "aria-label": words("frame.colours")}, themes),
    )
    return el(
        "details",
        {"class": "choices", "id": "choices"},
        el("summary", None, words("frame.settings")),
        el("form", {"method": "post", "action": "/choose"}, hidden("back", ask.at), hidden("mark", ask.mark), inside),
    )


def _notices(ask: Ask) -> Html:
    """What stands in the way, which news exchange; and what came of the last action, which stays."""
    problems = [
        el("p", {"class": "notice bad", "role": "alert"}, ask.words("frame.problem", what=one)) for one in ask.problems
    ]
    css, role = ("notice bad", "alert") if ask.failed else ("notice good", "status")
    came = el("p", {"class": css, "role": role}, ask.notice) if ask.notice else None
    return join(
        el("div", {"id": "notices", "data-live": "programme pipeline"}, problems), el("div", {"id": "came"}, came)
    )


def hidden(name: str, value: str) -> Html:
    return el("input", {"type": "hidden", "name": name, "value": value})


def head(title: str, said: Content = None) -> Html:
    """The page's heading and what it is about."""
    return el("div", {"class": "head"}, el("h1", None, title), el("p", {"class": "about"}, said) if said else None)


def section(id: str, title: str, *content: Content, live: str = "programme", about: str = "", css: str = "") -> Html:
    """A part of a page with its own heading. live: what news makes it old."""
    return el(
        "section",
        {"id": id, "data-live": live or None, "aria-labelledby": f"{id}-h", "class": f"card {css}".strip()},
        el("h2", {"id": f"{id}-h"}, title),
        el("p", {"class": "about"}, about) if about else None,
        join(*content),
    )


def table(
    caption: str, heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], empty: str, css: str = ""
) -> Html:
    """heads: (text, css of the column). On a phone each row is a card whose cells name their column."""
    if not rows:
        return el("p", {"class": "empty"}, empty)
    top = el(
        "tr",
        {"role": "row"},
        [el("th", {"scope": "col", "class": css or None, "role": "columnheader"}, text) for text, css in heads],
    )
    body = [
        el("tr", {"role": "row"}, [_cell(cell, heads[place][0], first=place == 0) for place, cell in enumerate(row)])
        for row in rows
    ]
    return el(
        "table",
        {"class": f"rows {css}".strip(), "role": "table"},
        el("caption", {"class": "vh"}, caption),
        el("thead", {"role": "rowgroup"}, top),
        el("tbody", {"role": "rowgroup"}, body),
    )


def _cell(cell: Cell, label: str, *, first: bool) -> Html:
    if first:
        return el("th", {"scope": "row", "class": cell.css or None, "role": "rowheader"}, cell.content)
    return el("td", {"class": cell.css or None, "data-label": label, "role": "cell"}, cell.content)


def tile(label: str, value: str, note: Content = None, css: str = "", href: str = "") -> Html:
    """A figure of the programme."""
    shown = el("a", {"href": href}, label) if href else label
    return el(
        "div",
        {"class": f"tile {css}".strip()},
        el("dt", None, shown),
        el("dd", None, el("b", None, value), el("span", None, note) if note else None),
    )


def tiles(*held: Html) -> Html:
    return el("dl", {"class": "tiles"}, held)


def level(words: Words, code: str, score: float | None = None) -> Html:
    """A level of risk: in words, and in colour; with its score where it is given."""
    said = words.name("level", code)
    return el(
        "span", {"class": f"badge l-{code.lower()}"}, said if score is None else f"{said} {words.percent(score, 0)}"
    )


def share(words: Words, part: float | None, css: str = "s-plain", decimals: int = 0, *, whole: float = 1.0) -> Cell:
    """A cell with a share as a number and as a bar. whole: what fills the bar."""
    told = el("span", {"class": "part"}, words.percent(part, decimals))
    return Cell([told, " ", meter((part or 0.0) / whole, css)], "bar")


def tier(name: str) -> Html:
    return el("span", {"class": "badge tier"}, name)


def customer(id: str) -> Html:
    """A customer, with the way to their page."""
    return el("a", {"class": "id", "href": query("/customer", id=id)}, visible.one_line(id))


def reasons(words: Words, held: Sequence[Why]) -> Html:
    return el("ul", {"class": "reasons"}, [el("li", None, words.reason(one)) for one in held]) if held else NOTHING


def kind(words: Words, code: str) -> str:
    """A kind of care, for people: a policy's own as it is written there."""
    return words.name("kind", code)


def buttons(ask: Ask, due: Due) -> Html:
    """Done and declined; or, where one of them was clicked, that it waits for a worker."""
    words = ask.words
    clicked = ask.closed.get(due.reminder_id)
    if clicked is not None:
        code = "care.was_declined" if clicked == "DECLINED" else "care.was_done"
        return el("p", {"class": "waits"}, words(code))
    if not ask.may_act:
        return el("p", {"class": "muted"}, words("frame.read_only"))
    about = words("care.of", kind=kind(words, due.kind), customer=due.customer_id)
    return el(
        "form",
        {"method": "post", "action": "/care", "class": "act", "data-act": True},
        hidden("mark", ask.mark),
        hidden("reminder", due.reminder_id),
        hidden("back", ask.at),
        el(
            "button",
            {
                "name": "how",
                "value": "done",
                "class": "go",
                "id": f"done-{due.reminder_id}",
                "aria-label": words("care.done_for", what=about),
            },
            words("care.done"),
        ),
        el(
            "button",
            {
                "name": "how",
                "value": "declined",
                "id": f"declined-{due.reminder_id}",
                "aria-label": words("care.declined_for", what=about),
            },
            words("care.declined"),
        )
        if not due.place
        else None,
    )


def reminder(ask: Ask, due: Due, policy: Policy) -> Html:
    """What to do, for whom, by when, and the buttons: an item of a list."""
    words, calendar = ask.words, policy.calendar
    until = words(
        "care.until",
        due=words.day(due.due_at, calendar),
        when=words.day(due.expires_at, calendar),
        channel=words.name("channel", due.channel),
    )
    status = el("span", {"class": "badge l-at_risk"}, words("care.escalated")) if due.status == "ESCALATED" else None
    stake = words("care.stake", amount=words.money(due.stake, policy.programme.currency)) if due.stake else None
    what = el(
        "div",
        {"class": "what"},
        el(
            "p",
            {"class": "line"},
            el("b", None, kind(words, due.kind)),
            " ",
            customer(due.customer_id),
            " ",
            tier(due.tier),
            " ",
            status,
        ),
        el("p", None, words.care(due, policy)),
        el("p", {"class": "muted"}, until, f" · {stake}" if stake else None),
    )
    return el("li", {"class": f"todo p{due.priority}"}, what, buttons(ask, due))


def todo(ask: Ask, held: Sequence[Due], policy: Policy) -> Html:
    if not held:
        return el("p", {"class": "empty"}, ask.words("care.nothing"))
    return el("ol", {"class": "todos"}, [reminder(ask, one, policy) for one in held])


def pager(ask: Ask, to: str, page_now: int, pages: int, **names: str | None) -> Html:
    """The way to the pages before and after."""
    if pages <= 1:
        return NOTHING
    words = ask.words
    back = (
        el("a", {"rel": "prev", "href": query(to, page=page_now - 1, **names)}, words("frame.before"))
        if page_now > 1
        else None
    )
    on = (
        el("a", {"rel": "next", "href": query(to, page=page_now + 1, **names)}, words("frame.after"))
        if page_now < pages
        else None
    )
    told = el("span", None, words("frame.page", number=page_now, of=pages))
    return el("nav", {"class": "pager", "aria-label": words("frame.pager")}, back, told, on)


def waiting(words: Words) -> Html:
    """Before the first pass has ended."""
    return el(
        "section",
        {"id": "waiting", "data-live": "programme", "class": "card"},
        el("p", {"class": "empty"}, words("frame.counting")),
    )
