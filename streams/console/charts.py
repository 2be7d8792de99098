"""Charts as SVG, drawn here: no script, no request elsewhere, and each with its numbers in a table beneath.

Colours are classes of the style sheet, so that dark and light, and a printer, are its matter. A chart has a title and
a description for a screen reader; the table is for everybody, folded away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streams.console.markup import Html, el, join

WIDTH: Final = 640
_PAD: Final = 6
_AXIS: Final = 18
_LABEL: Final = 54
_KEY: Final = {"width": 10, "height": 10, "rx": 2}


class Series(NamedTuple):
    """One row of numbers. css: the class that colours it."""

    name: str
    css: str
    values: Sequence[float | None]


class Frame(NamedTuple):
    """What a chart says of itself. id: unique on the page; said: a number as text; table: the summary's text."""

    id: str
    title: str
    about: str
    said: Callable[[float], str]
    table: str
    first: str
    """Heading of the first column: what the labels are."""


def columns(frame: Frame, labels: Sequence[str], series: Sequence[Series], height: int = 170) -> Html:
    """Columns side by side, those of one label stacked, values not below zero."""
    totals = [sum(one.values[place] or 0 for one in series) for place in range(len(labels))]
    top, plot = _top(max(totals, default=0)), height - _AXIS - _PAD
    step = (WIDTH - _LABEL) / max(1, len(labels))
    drawn: list[Html] = [*_grid(frame, top, plot)]
    for place in range(len(labels)):
        under = 0.0
        for one in series:
            value = one.values[place] or 0
            tall = plot * value / top
            if value > 0:
                box = {
                    "class": one.css, "x": _n(_LABEL + step * place + step * 0.14), "width": _n(step * 0.72),
                    "y": _n(_PAD + plot - under - tall), "height": _n(max(tall, 0.8)), "rx": 1.5,
                }  # fmt: skip
                drawn.append(el("rect", box))
            under += tall
    drawn += _under(labels, step, height)
    return _figure(frame, labels, series, drawn, height)


def lines(frame: Frame, labels: Sequence[str], series: Sequence[Series], height: int = 170, most: float = 0) -> Html:
    """Lines over evenly spaced labels; None leaves a gap. most: the least top of the scale."""
    known = [value for one in series for value in one.values if value is not None]
    top, plot = _top(max([*known, most])), height - _AXIS - _PAD
    step = (WIDTH - _LABEL) / max(1, len(labels))
    drawn = [*_grid(frame, top, plot)]
    for one in series:
        for run in _runs(one.values):
            points = [
                f"{_n(_LABEL + step * (place + 0.5))},{_n(_PAD + plot * (1 - value / top))}" for place, value in run
            ]
            if len(points) == 1:
                x, y = points[0].split(",")
                drawn.append(el("circle", {"class": f"dot {one.css}", "cx": x, "cy": y, "r": 3}))
            else:
                drawn.append(el("polyline", {"class": f"line {one.css}", "points": " ".join(points)}))
    drawn += _under(labels, step, height)
    return _figure(frame, labels, series, drawn, height)


def spark(values: Sequence[float], css: str, title: str) -> Html:
    """A small line without axes, for a row of a table; `title` says in words what it shows."""
    if len(values) < 2:
        return el("span", {"class": "muted"}, "–")
    top, wide, tall = max(*values, 1e-9), 96, 20
    points = " ".join(
        f"{_n(place * wide / (len(values) - 1))},{_n(tall - 2 - (tall - 4) * value / top)}"
        for place, value in enumerate(values)
    )
    shape = {"class": "spark", "viewBox": f"0 0 {wide} {tall}", "role": "img", "aria-label": title}
    return el("svg", shape, el("polyline", {"class": f"line {css}", "points": points}))


def meter(part: float | None, css: str = "s-plain") -> Html:
    """A bar within a cell; the number stands beside it, so a screen reader is told nothing here."""
    wide = _n(100 * min(1.0, max(0.0, part or 0.0)))
    shape = {"class": "meter", "viewBox": "0 0 100 6", "preserveAspectRatio": "none", "aria-hidden": "true"}
    return el(
        "svg", shape,
        el("rect", {"class": "track", "width": 100, "height": 6, "rx": 2}),
        el("rect", {"class": css, "width": wide, "height": 6, "rx": 2}),
    )  # fmt: skip


def legend(series: Sequence[Series]) -> Html:
    """Which colour is whose."""
    shape = {"class": "key", "viewBox": "0 0 10 10", "aria-hidden": "true"}
    return el(
        "p", {"class": "legend"},
        [
            el("span", None, el("svg", shape, el("rect", {"class": one.css, **_KEY})), one.name)
            for one in series
        ],
    )  # fmt: skip


def _figure(frame: Frame, labels: Sequence[str], series: Sequence[Series], drawn: Sequence[Html], height: int) -> Html:
    shape = {"viewBox": f"0 0 {WIDTH} {height}", "role": "img", "aria-labelledby": f"{frame.id}-t {frame.id}-d"}
    picture = el(
        "svg", shape,
        el("title", {"id": f"{frame.id}-t"}, frame.title),
        el("desc", {"id": f"{frame.id}-d"}, frame.about),
        drawn,
    )  # fmt: skip
    head = el("tr", None, el("th", {"scope": "col"}, frame.first), [_th(one.name) for one in series])
    body = [
        el(
            "tr", None, el("th", {"scope": "row"}, label),
            [el("td", {"class": "num"}, _said(frame, one.values[place])) for one in series],
        )
        for place, label in enumerate(labels)
    ]  # fmt: skip
    caption = el("caption", {"class": "vh"}, frame.title)
    table = el("table", {"class": "data"}, caption, el("thead", None, head), el("tbody", None, body))
    scrolled = {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": frame.title}
    folded = el(
        "details", {"class": "numbers", "id": f"{frame.id}-n"},
        el("summary", None, frame.table), el("div", scrolled, table),
    )  # fmt: skip
    keyed = legend(series) if len(series) > 1 else None
    return el("figure", {"class": "chart", "id": frame.id}, el("figcaption", None, frame.title), keyed, picture, folded)


def _th(name: str) -> Html:
    return el("th", {"scope": "col", "class": "num"}, name)


def _said(frame: Frame, value: float | None) -> str:
    return "–" if value is None else frame.said(value)


def _grid(frame: Frame, top: float, plot: float) -> list[Html]:
    drawn = []
    for part in (0.0, 0.5, 1.0):
        y = _n(_PAD + plot * (1 - part))
        drawn.append(el("line", {"class": "grid", "x1": _LABEL, "x2": WIDTH, "y1": y, "y2": y}))
        told = {"class": "tick", "x": _LABEL - 6, "y": _n(_PAD + plot * (1 - part) + 3.5), "text-anchor": "end"}
        drawn.append(el("text", told, frame.said(top * part)))
    return drawn


def _under(labels: Sequence[str], step: float, height: int) -> list[Html]:
    """The labels that have room."""
    widest = max((_wide(label) for label in labels), default=1)
    every = max(1, -(-int(widest * 6.6 + 10) // max(1, int(step))))
    shape = {"class": "tick", "y": height - 4, "text-anchor": "middle"}
    return [
        el("text", {"x": _n(_LABEL + step * (place + 0.5)), **shape}, label)
        for place, label in enumerate(labels)
        if place % every == 0
    ]


def _wide(label: str) -> int:
    """Letters, a Chinese one counted twice."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in label)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches without a gap, each value with its place."""
    runs: list[list[tuple[int, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((place, value))
    return [run for run in runs if run]


def _top(most: float) -> float:
    """A round number not below `most`: 1, 2, 2.5, 5 or 10 times a power of ten; its half is round, too."""
    if most <= 0:
        return 1.0
    power = 1.0
    while power * 10 < most:
        power *= 10
    while power > most:
        power /= 10
    return next(power * times for times in (1, 2, 4, 6, 8, 10, 20) if power * times >= most * 0.999999)


def _n(number: float) -> str:
    """A coordinate, short."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def stack(*figures: Html) -> Html:
    """Charts in a grid."""
    return el("div", {"class": "charts"}, join(*figures))
