"""One customer's page: how they stand, why, what comes next, why not more, and what was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from processors.care.why import NOTHING as NOT_ABOUT
from processors.loyalty import SIGNS
from streams import visible
from streams.console import charts
from streams.console.charts import Frame, Series, meter
from streams.console.markup import Html, el, join, query
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.pages.tiers import lacks
from streams.console.person import Entry, Person, Told
from streams.console.words import Words

_ALERTS: Final = 40


def content(ask: Ask, one: Person, told: Told | None) -> Html:
    """told: what the output topics hold; None: the page asks for it once it is shown."""
    left = el("div", {"class": "col half"}, _plot(ask, one), _not_now(ask, one), _facts(ask, one))
    right = el("div", {"class": "col half"}, _told(ask, one, told), _timeline(ask, one))
    return join(_head(ask, one), el("div", {"class": "grid"}, _why(ask, one), _next(ask, one), left, right))


def unknown(ask: Ask, id: str, into: str | None) -> Html:
    """Nobody of that id, or another one now."""
    words = ask.words
    if into:
        return join(
            parts.head(words("customer.title", id=visible.one_line(id))),
            el("p", {"class": "notice"}, words("customer.merged_into"), " ", parts.customer(into)),
        )
    return join(
        parts.head(words("customer.unknown")),
        el("p", {"class": "notice"}, words("customer.unknown_about", id=visible.one_line(id))),
    )


def _head(ask: Ask, one: Person) -> Html:
    words, seen = ask.words, one.view
    currency, calendar = one.policy.programme.currency, one.policy.calendar
    badges: list[Html | str | None] = [
        parts.tier(seen["tier"]),
        " ",
        parts.level(words, seen["risk_level"]),
        " ",
        el("span", {"class": "badge"}, words.name("layer", seen["loyalty_layer"])),
        el("span", {"class": "badge"}, words("risk.control")) if seen["holdout"] else None,
        el("span", {"class": "badge"}, words("customer.staff")) if seen["staff"] else None,
        *(el("span", {"class": "badge"}, visible.one_line(name)) for name in seen.get("segments") or ()),
    ]
    since = words(
        "customer.since", day=words.day(seen["first_purchase_at"], calendar), as_of=words.instant(one.clock, calendar)
    )
    charge = words("customer.charge", who=seen["employee_id"] or words("care.nobody"))
    merged = words("customer.merged", ids=", ".join(one.merged)) if one.merged else None
    tiles = parts.tiles(
        parts.tile(
            words("figure.value"),
            words.money(seen["value_365d"], currency),
            words("customer.purchases", number=words.number(seen["purchases_365d"])),
        ),
        parts.tile(
            words("customer.contribution"),
            words.money(seen["contribution_365d"], currency),
            words(
                "customer.contribution_note",
                margin=words.money(seen["margin_365d"], currency),
                cost=words.money(seen["cost_to_serve_365d"], currency),
            ),
        ),
        parts.tile(words("customer.clv"), words.money(seen["clv"], currency), words("customer.clv_note")),
        parts.tile(
            words("risk.stake"),
            words.money(seen["value_at_stake"], currency),
            words("customer.stake_note"),
            css="hot" if seen["risk_level"] in ("AT_RISK", "WATCH") else "",
        ),
        parts.tile(
            words("risk.score"),
            words.percent(seen["risk_score"], 0),
            words("customer.score_note", days=one.policy.risk.horizon_days),
        ),
        parts.tile(
            words("customer.last"),
            words.day(seen["last_purchase_at"], calendar),
            words("customer.gap", days=words.number(seen["usual_gap_days"]))
            if seen["usual_gap_days"] is not None
            else None,
        ),
    )
    return el(
        "div",
        {"id": "who", "data-live": "programme"},
        parts.head(words("customer.title", id=visible.one_line(seen["customer_id"]))),
        el("p", {"class": "badges"}, badges),
        el("p", {"class": "muted"}, since, " · ", charge, f" · {merged}" if merged else None),
        tiles,
    )


def _why(ask: Ask, one: Person) -> Html:
    words = ask.words
    heads = ((words("risk.why"), ""), (words("customer.weight"), "bar"))
    most = max((why.weight for why in one.reasons), default=1.0)
    rows = [[Cell(words.reason(why), "lead wide"), _weight(why.weight, most)] for why in one.reasons]
    return parts.section(
        "why",
        words("customer.why"),
        parts.table(words("customer.why"), heads, rows, words("customer.no_why")),
        about=words("customer.why_about"),
        css="half",
    )


def _weight(weight: float, most: float) -> Cell:
    return Cell([el("span", {"class": "part"}, f"+{weight:.2f}"), " ", meter(weight / most, "s-risk")], "bar")


def _next(ask: Ask, one: Person) -> Html:
    words, currency, calendar = ask.words, one.policy.programme.currency, one.policy.calendar
    moves = [
        el(
            "li",
            None,
            words("customer.falls", day=words.day(move.at, calendar), lacks=lacks(words, move, currency))
            if move.at is not None
            else words("customer.rises", tier=move.to_tier, lacks=lacks(words, move, currency)),
        )
        for move in one.moving
    ]
    entitled = [
        el(
            "li",
            None,
            words(
                "customer.entitled",
                get=held["get"] or held["benefit"],
                left=held["left"],
                until=words.day(held["expires_at"], calendar),
            ),
        )
        for held in one.view["entitlements"] or ()
        if held["left"]
    ]
    return parts.section(
        "next",
        words("customer.next"),
        parts.todo(ask, one.due, one.policy),
        el("ul", {"class": "plain"}, moves, entitled),
        css="half",
        live="programme pipeline",
    )


def _plot(ask: Ask, one: Person) -> Html:
    words, currency, calendar = ask.words, one.policy.programme.currency, one.policy.calendar

    def said(minor: float) -> str:
        return words.axis(minor, currency)

    frame = Frame(
        "plot-weeks",
        words("customer.weeks", currency=currency),
        words("customer.weeks_about"),
        said,
        words("plot.table"),
        words("plot.week"),
    )
    labels = [calendar.iso_day(day)[5:] for day, _ in one.weeks]
    chart = charts.columns(
        frame, labels, (Series(words("figure.value"), "s-plain", [max(0, value) for _, value in one.weeks]),)
    )
    return parts.section("value", words("customer.value"), chart, css="half")


def told_part(ask: Ask, one: Person, told: Told) -> Html:
    """Risk over time and what was told, from the output topics."""
    words, calendar = ask.words, one.policy.calendar
    points = [*told.scores[-_ALERTS:], (one.clock, one.view["risk_score"] or 0.0, one.view["risk_level"])]

    def said(score: float) -> str:
        return words.percent(score, 0)

    frame = Frame(
        "plot-score", words("customer.risk"), words("customer.risk_about"), said, words("plot.table"), words("plot.day")
    )
    chart = charts.lines(
        frame,
        [words.day(at, calendar) for at, _, _ in points],
        (Series(words("risk.score"), "s-risk", [score for _, score, _ in points]),),
        most=0.1,
    )
    return join(chart, _entries(words, one, told.entries, words("customer.told_list"), words("customer.nothing_told")))


def _told(ask: Ask, one: Person, told: Told | None) -> Html:
    words, id = ask.words, one.view["customer_id"]
    if told is not None:
        inside = told_part(ask, one, told)
    else:
        by_hand = el("a", {"href": query("/customer", id=id, told="1")}, words("customer.show_told"))
        inside = el(
            "div",
            {"id": "told-part", "data-load": query("/customer/told", id=id)},
            el("p", {"class": "empty"}, by_hand),
        )
    return parts.section(
        "told", words("customer.told"), inside, about=words("customer.told_about"), css="half", live=""
    )


def _not_now(ask: Ask, one: Person) -> Html:
    words, calendar = ask.words, one.policy.calendar
    plain = words.programme
    heads = ((words("care.kind"), ""), (words("customer.now"), ""), (words("customer.why_not"), ""))
    rows = []
    for held in one.not_now:
        if held.state == NOT_ABOUT:
            continue
        code = f"why_{held.state.lower()}" if held.reason is None else f"why_{held.reason}"
        why = plain.plain(code, at=words.instant(held.at, calendar))
        rows.append([Cell(parts.kind(words, held.kind), "lead"), Cell(words(f"state.{held.state}")), Cell(why, "wide")])
    others = sum(held.state == NOT_ABOUT for held in one.not_now)
    note = el("p", {"class": "muted"}, words("customer.not_about", number=others)) if others else None
    return parts.section(
        "why-not",
        words("customer.why_not_title"),
        parts.table(words("customer.why_not_title"), heads, rows, words("customer.no_care")),
        note,
        css="half",
    )


def _facts(ask: Ask, one: Person) -> Html:
    words, seen, currency, calendar = ask.words, one.view, one.policy.programme.currency, one.policy.calendar
    held: list[tuple[str, Any]] = [
        ("tier_since", words.day(seen["tier_since"], calendar)),
        ("average_order", words.money(seen["average_order"], currency)),
        ("categories", words.number(seen["categories_365d"])),
        ("returns", words.number(seen["returns_365d"])),
        ("referrals", words.number(seen["referrals_365d"])),
        ("expected", words.number(seen["expected_purchases"], 1)),
        ("alive", words.percent(seen["p_alive"], 0)),
        ("fading", words.percent(max(0.0, seen["fading"]), 0) if seen["fading"] is not None else "–"),
        ("network", words.money(seen["network_value"], currency)),
        ("lifetime", words.money(seen["lifetime_value"], currency)),
        ("complaints", words.number(seen["open_complaints"])),
        ("touch", words.day(seen["last_touch_at"], calendar)),
        (
            "signs",
            ", ".join(words.name("sign", name) for name in SIGNS if (seen["loyalty_signs"] or {}).get(name)) or "–",
        ),
        ("benefits", ", ".join(seen["benefits"] or ()) or "–"),
        ("policy", seen["policy"]),
    ]
    listed = [el("div", None, el("dt", None, words(f"fact.{code}")), el("dd", None, value)) for code, value in held]
    return parts.section("facts", words("customer.facts"), el("dl", {"class": "facts"}, listed), css="half")


def _timeline(ask: Ask, one: Person) -> Html:
    words = ask.words
    return parts.section(
        "timeline",
        words("customer.timeline"),
        _entries(words, one, one.entries, words("customer.timeline_list"), words("frame.none")),
        css="half",
    )


def _entries(words: Words, one: Person, held: Sequence[Entry], label: str, empty: str) -> Html:
    if not held:
        return el("p", {"class": "empty"}, empty)
    calendar, currency = one.policy.calendar, one.policy.programme.currency
    listed = [
        el(
            "li",
            {"class": f"e-{entry.sort}"},
            el("time", {"class": "muted"}, words.day(entry.at, calendar)),
            " ",
            said(words, entry, currency),
        )
        for entry in held
    ]
    scrolled = {"class": "scroll tall", "tabindex": 0, "role": "region", "aria-label": label}
    return el("div", scrolled, el("ol", {"class": "plain timeline"}, listed))


def said(words: Words, entry: Entry, currency: str) -> str:
    """An entry in words."""
    held = entry.numbers
    if entry.sort == "purchase":
        count = held.get("sales", held.get("returns"))
        return words(f"entry.{entry.code}", number=count, amount=words.money(held["value"], currency))
    if entry.sort == "contact":
        told = words.name(f"contact_{held['direction'].lower()}", held["kind"])
        extra = [words.name("channel", held["channel"])] + [
            str(held[name]) for name in ("employee", "item") if held[name]
        ]
        if held["score"] is not None:
            extra.append(words("entry.score", score=held["score"]))
        return f"{told} ({', '.join(extra)})"
    if entry.sort == "complaint":
        text = words(f"entry.{entry.code}", about=words.name("about", held["about"]), severity=held["severity"])
        content = held["satisfaction"] if entry.code == "resolved" else None
        return text if content is None else f"{text} · {words('entry.content', score=content)}"
    if entry.sort == "tier":
        return words(
            "entry.tier", what=words.name("transition", held["direction"]), reason=held["reason"], to=held["to_tier"]
        )
    if entry.sort == "risk":
        return words(
            "entry.risk",
            what=words.name("transition", held["transition"]),
            score=words.percent(held["score"], 0),
            reason=held["reason"],
        )
    return words(
        "entry.care",
        kind=words.name("kind", held["kind"]),
        status=words.name("status", held["status"]),
        text=held["text"],
    )
