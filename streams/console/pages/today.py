"""The first page: who is about to leave, why, what it costs, what to do today; then the programme's figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Final

from schemas.topics import CARE_REMINDERS, CHURN_RISK, TIER_CHANGES
from streams import serving, summary
from streams.console import charts
from streams.console.charts import Frame, Series
from streams.console.markup import Html, el, query
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.story import Story
from streams.console.survey import Due, Risky, Survey
from streams.console.words import Words
from streams.programme import Figure, programme_figures

FIRST: Final = 8
FIGURES: Final = 2_000
_LINES: Final = 6
_MONTHS: Final = 18


def content(ask: Ask, seen: Survey, story: Story) -> Html:
    """All of it."""
    left = el("div", {"class": "col half"}, _tiers(ask, seen), _exits(ask, seen), _care(ask, seen))
    right = el("div", {"class": "col half"}, _promises(ask, seen), _latest(ask, seen, story))
    return el(
        "div",
        {"class": "grid"},
        _headline(ask, seen),
        _leaving(ask, seen),
        _to_do(ask, seen),
        _figures(ask, seen),
        _plots(ask, seen, story),
        left,
        right,
        _every(ask, seen),
    )


def at_stake(seen: Survey) -> tuple[int, int, int, int]:
    """Customers at risk and on watch, and what their leaving would lose, minor units."""
    of = {line.level: line for line in seen.risks}
    risk, watch = of["AT_RISK"], of["WATCH"]
    return risk.customers, watch.customers, risk.value_at_stake, watch.value_at_stake


def urgent(seen: Survey, most: int) -> list[Due]:
    """Of everybody's reminders the most urgent ones."""
    held = chain.from_iterable(load.due for load in seen.loads.values())
    return sorted(held, key=lambda one: (one.priority, one.due_at, -one.stake, one.reminder_id))[:most]


def _headline(ask: Ask, seen: Survey) -> Html:
    words, currency = ask.words, seen.policy.programme.currency
    risk, watch, risk_stake, watch_stake = at_stake(seen)
    opened = sum(load.open for load in seen.loads.values())
    first = sum(load.first for load in seen.loads.values())
    said = words(
        "today.headline",
        risk=words.number(risk),
        watch=words.number(watch),
        stake=words.money(risk_stake + watch_stake, currency),
        todo=words.number(opened),
        first=words.number(first),
    )
    return el(
        "div",
        {"class": "head wide", "id": "headline", "data-live": "programme"},
        el("h1", None, words("today.title")),
        el("p", {"class": "lede"}, said),
    )


def _leaving(ask: Ask, seen: Survey) -> Html:
    words = ask.words
    rows = [_row(words, one, seen) for one in seen.risky[:FIRST]]
    heads = (
        (words("risk.customer"), ""),
        (words("risk.why"), ""),
        (words("risk.stake"), "num"),
        (words("risk.next"), ""),
    )
    more = el(
        "p",
        {"class": "more"},
        el("a", {"href": "/risk"}, words("today.all_risky", number=words.number(seen.risky_all))),
    )
    return parts.section(
        "leaving",
        words("today.leaving"),
        parts.table(words("today.leaving"), heads, rows, words("risk.nobody")),
        more,
        about=words("today.leaving_about"),
        css="half",
    )


def _row(words: Words, one: Risky, seen: Survey) -> list[Cell]:
    return [
        Cell(
            [parts.customer(one.customer_id), " ", parts.tier(one.tier), " ", parts.level(words, one.level, one.score)],
            "lead",
        ),
        Cell(parts.reasons(words, one.reasons[:2]), "wide"),
        Cell(words.money(one.stake, seen.policy.programme.currency), "num"),
        Cell(next_step(words, one)),
    ]


def next_step(words: Words, one: Risky) -> Html:
    """The care that is open for who may leave; else where it says why there is none."""
    if one.held_out:
        return el("span", {"class": "muted"}, words("risk.control"))
    if one.care:
        return el("span", None, ", ".join(dict.fromkeys(parts.kind(words, code) for code in one.care)))
    return el("a", {"href": query("/customer", id=one.customer_id) + "#why-not"}, words("risk.no_care"))


def _to_do(ask: Ask, seen: Survey) -> Html:
    words = ask.words
    opened = sum(load.open for load in seen.loads.values())
    more = el("p", {"class": "more"}, el("a", {"href": "/care"}, words("today.all_care", number=words.number(opened))))
    return parts.section(
        "todo",
        words("today.todo"),
        parts.todo(ask, urgent(seen, FIRST), seen.policy),
        more,
        about=words("today.todo_about"),
        css="half",
        live="programme pipeline",
    )


def _figures(ask: Ask, seen: Survey) -> Html:
    words, currency, counts = ask.words, seen.policy.programme.currency, seen.counts
    value = sum(line.value_365d for line in seen.tiers)
    exits = summary.exits(counts)
    mouth = summary.word_of_mouth(counts)
    held = [
        parts.tile(
            words("figure.customers"),
            words.number(seen.customers),
            words("figure.gained", number=words.number(counts.get("gained", 0))),
        ),
        parts.tile(words("figure.value"), words.money(value, currency, short=True), words("figure.value_note")),
        parts.tile(words("figure.equity"), words.money(seen.equity, currency, short=True), words("figure.equity_note")),
        parts.tile(words("figure.expected"), words.number(seen.expected), words("figure.expected_note")),
        parts.tile(words("figure.top"), words.percent(seen.shares.get("0.2"), 0), words("figure.top_note")),
        parts.tile(
            words("figure.lost"),
            words.number(exits.lost),
            words(
                "figure.lost_note", untouched=words.number(exits.untouched), complaining=words.number(exits.complaining)
            ),
        ),
        parts.tile(
            words("figure.won_back"),
            words.number(exits.won_back),
            words("figure.won_back_note", amount=words.money(exits.won_back_value, currency, short=True)),
        ),
    ]
    if mouth is not None:
        held.append(
            parts.tile(
                words("figure.mouth"),
                words.percent(mouth.gained_share, 0),
                words("figure.mouth_note", leads=words.number(mouth.leads)),
            )
        )
    return parts.section("figures", words("today.figures"), parts.tiles(*held), css="wide")


def _plots(ask: Ask, seen: Survey, story: Story) -> Html:
    words, calendar = ask.words, seen.policy.calendar
    labels = story.span(calendar)[-_MONTHS:]

    def of(name: str, css: str, *counters: str) -> Series:
        held: Counter[str] = Counter()
        for counter in counters:
            held.update(story.months(counter, calendar))
        return Series(words(name), css, [held[label] for label in labels])

    def frame(code: str) -> Frame:
        return Frame(
            f"plot-{code}",
            words(f"plot.{code}"),
            words(f"plot.{code}_about"),
            words.number,
            words("plot.table"),
            words("plot.month"),
        )

    risk = (
        of("plot.raised", "s-risk", f"{CHURN_RISK}:RAISED", f"{CHURN_RISK}:WORSENED"),
        of("plot.lost", "s-lost", f"{CHURN_RISK}:LOST"),
        of("plot.back", "s-good", f"{CHURN_RISK}:WON_BACK"),
    )
    care = (
        of("plot.done", "s-good", f"{CARE_REMINDERS}:FULFILLED"),
        of("plot.missed", "s-risk", f"{CARE_REMINDERS}:EXPIRED"),
    )
    tiers = (
        of("plot.up", "s-good", f"{TIER_CHANGES}:UP"),
        of("plot.down", "s-risk", f"{TIER_CHANGES}:DOWN"),
    )
    scores = Frame(
        "plot-scores",
        words("plot.scores"),
        words("plot.scores_about"),
        words.number,
        words("plot.table"),
        words("plot.score"),
    )
    steps = [f"{5 * place}–{5 * place + 5}%" for place in range(len(seen.scores))]
    drawn = [
        charts.columns(frame("risk"), labels, risk),
        charts.columns(frame("care"), labels, care),
        charts.columns(frame("tiers"), labels, tiers),
        charts.columns(scores, steps, (Series(words("figure.customers"), "s-plain", seen.scores),)),
    ]
    if not labels:
        drawn = drawn[3:]
    return parts.section("plots", words("today.plots"), charts.stack(*drawn), css="wide")


def _tiers(ask: Ask, seen: Survey) -> Html:
    words, currency = ask.words, seen.policy.programme.currency
    heads = (
        (words("tiers.tier"), ""),
        (words("figure.customers"), "num"),
        (words("tiers.of_all"), "num"),
        (words("figure.value"), "num"),
        (words("tiers.of_value"), ""),
        (words("figure.equity"), "num"),
    )
    rows = [
        [
            Cell(parts.tier(line.tier), "lead"),
            Cell(words.number(line.customers), "num"),
            Cell(words.percent(line.customers_share), "num"),
            Cell(words.money(line.value_365d, currency, short=True), "num"),
            parts.share(words, line.value_share),
            Cell(words.money(seen.equity_by_tier.get(line.tier, 0), currency, short=True), "num"),
        ]
        for line in seen.tiers
    ]
    return parts.section(
        "by-tier", words("today.tiers"), parts.table(words("today.tiers"), heads, rows, words("frame.none")), css="half"
    )


def _exits(ask: Ask, seen: Survey) -> Html:
    words = ask.words
    exits = summary.exits(seen.counts)
    held = list(exits.reasons.items())[:_LINES]
    heads = ((words("risk.why"), ""), (words("figure.customers"), "num"), (words("tiers.of_all"), ""))
    rows = [
        [
            Cell(words.name("signal", code), "lead"),
            Cell(words.number(number), "num"),
            parts.share(words, number / exits.lost, "s-lost"),
        ]
        for code, number in held
    ]
    return parts.section(
        "exits",
        words("today.exits"),
        parts.table(words("today.exits"), heads, rows, words("today.no_exits")),
        css="half",
    )


def _care(ask: Ask, seen: Survey) -> Html:
    words = ask.words
    lines = sorted(summary.care(seen.counts), key=lambda line: -line.status.get("DUE", 0))[: 2 * _LINES]
    names = ("DUE", "FULFILLED", "EXPIRED", "HELD_OUT")
    heads = (
        (words("care.kind"), ""),
        *((words(f"status.{name}"), "num") for name in names),
        (words("care.in_time"), ""),
    )
    rows = [
        [
            Cell(parts.kind(words, line.kind), "lead"),
            *(Cell(words.number(line.status.get(name, 0)), "num") for name in names),
            parts.share(words, line.in_time, "s-good"),
        ]
        for line in lines
    ]
    return parts.section(
        "care", words("today.care"), parts.table(words("today.care"), heads, rows, words("frame.none")), css="half"
    )


def _promises(ask: Ask, seen: Survey) -> Html:
    """Promises by kind, complaints by cause, and who was forgotten."""
    words = ask.words
    promises = serving.promises(seen.counts, "kind")
    heads = (
        (words("care.kind"), ""),
        (words("promise.kept"), "num"),
        (words("promise.late"), "num"),
        (words("promise.broken"), "num"),
        (words("promise.overdue"), "num"),
        (words("promise.rate"), ""),
    )
    rows = [
        [
            Cell(parts.kind(words, line.name), "lead"),
            Cell(words.number(line.kept), "num"),
            Cell(words.number(line.late), "num"),
            Cell(words.number(line.broken), "num"),
            Cell(words.number(line.overdue), "num"),
            parts.share(words, line.kept_rate, "s-good"),
        ]
        for line in promises
    ]
    complaints = serving.complaints(seen.counts, "about")
    about = (
        (words("complaint.about"), ""),
        (words("complaint.open"), "num"),
        (words("promise.overdue"), "num"),
        (words("complaint.resolved"), "num"),
        (words("complaint.recovered"), ""),
    )
    lines = [
        [
            Cell(words.name("about", line.name), "lead"),
            Cell(words.number(line.open), "num"),
            Cell(words.number(line.overdue), "num"),
            Cell(words.number(line.resolved), "num"),
            parts.share(words, line.recovered, "s-good"),
        ]
        for line in complaints
    ]
    return parts.section(
        "promises",
        words("today.promises"),
        parts.table(words("today.promises"), heads, rows, words("today.no_promises")),
        el("h3", None, words("today.complaints")),
        parts.table(words("today.complaints"), about, lines, words("today.no_complaints")),
        _untouched(words, seen.untouched),
        css="half",
    )


def _untouched(words: Words, lines: Sequence[summary.Untouched]) -> Html:
    told = [
        el(
            "li",
            None,
            words(
                "today.untouched",
                tier=one.tier,
                promised=one.promised_days,
                longest=one.longest_days,
                forgotten=one.forgotten,
            ),
        )
        for one in lines
    ]
    return el("ul", {"class": "plain muted"}, told)


def _every(ask: Ask, seen: Survey) -> Html:
    """The programme's table, as `loyalty kpi` and Prometheus have it. Its names and helps are English, as there."""
    words, currency = ask.words, seen.policy.programme.currency
    heads = (
        (words("every.name"), ""),
        (words("every.of"), ""),
        (words("every.value"), "num"),
        (words("every.help"), ""),
    )
    rows = [
        [
            Cell(el("code", None, one.name), "lead"),
            Cell(", ".join(f"{name} {value}" for name, value in one.labels.items()) or "–"),
            Cell(figure(words, one, currency), "num"),
            Cell(el("span", {"lang": "en"}, one.help), "wide"),
        ]
        for one in programme_figures(seen.counts, seen.policy, seen.as_of, employees=None)
        if "month" not in one.labels
    ][:FIGURES]
    table = parts.table(words("every.title"), heads, rows, words("frame.none"))
    scrolled = {"class": "scroll tall", "tabindex": 0, "role": "region", "aria-label": words("every.title")}
    folded = el("details", {"id": "every-figure"}, el("summary", None, words("every.show")), el("div", scrolled, table))
    return parts.section("every", words("every.title"), folded, about=words("every.about"))


def figure(words: Words, one: Figure, currency: str) -> str:
    """A figure's value for people: money with its currency, a share in percent."""
    if one.value is None:
        return "–"
    if one.unit == "minor units":
        return words.money(int(one.value), currency)
    if one.unit == "ratio":
        return words.percent(one.value, 2)
    return words.number(one.value, 0 if float(one.value).is_integer() else 2)


def _latest(ask: Ask, seen: Survey, story: Story) -> Html:
    words = ask.words
    told = [
        el(
            "li",
            None,
            el("span", {"class": "muted"}, words.day(one.at, seen.policy.calendar)),
            " ",
            parts.customer(one.customer_id),
            " ",
            words.name("transition", one.what),
            f" → {words.name('level', one.to) if one.topic == CHURN_RISK else one.to}",
        )
        for one in story.latest[: 2 * _LINES]
    ]
    inside = el("ol", {"class": "plain feed"}, told) if told else el("p", {"class": "empty"}, words("frame.none"))
    return parts.section("latest", words("today.latest"), inside, css="half")
