"""Panels and dashboards of Grafana as plain JSON: what of Grafana's model these dashboards need, and nothing else.

Schema 39 (Grafana 10.4 and newer). Queries go to the data source of the variable `datasource`; a rate is taken over
`$__rate_interval`, which Grafana sets to at least four scrapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

SCHEMA: Final = 39
COLUMNS: Final = 24
STAT_HEIGHT: Final = 4
PLOT_HEIGHT: Final = 8

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how its series are called: `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. unit: Grafana's name of it (`s`, `percentunit`, `short`). help: what one sees, and what is bad.

    bad_from: the value from which it is red, or, with `low_is_bad`, below which; None: it has no bad side.
    """

    title: str
    help: str
    queries: Sequence[Query]
    unit: str = "short"
    stat: bool = False
    bad_from: float | None = None
    low_is_bad: bool = False
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading, and the panels under it, side by side."""

    title: str
    panels: Sequence[Panel]


def dashboard(uid: str, title: str, about: str, rows: Iterable[Row]) -> dict[str, Any]:
    """The JSON of a dashboard; panels are placed row by row, as many beside each other as a row has."""
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        placed.append(_heading(len(placed) + 1, row.title, y))
        y += 1
        height = STAT_HEIGHT if all(panel.stat for panel in row.panels) else PLOT_HEIGHT
        width = COLUMNS // len(row.panels)
        for place, panel in enumerate(row.panels):
            where = {"x": place * width, "y": y, "w": width, "h": height}
            placed.append(_panel(len(placed) + 1, panel, where))
        y += height
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["loyalty"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource()]},
        "annotations": {"list": []},
        "panels": placed,
    }


def queries(board: dict[str, Any]) -> list[str]:
    """Every PromQL expression of a dashboard's JSON."""
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _heading(number: int, title: str, y: int) -> dict[str, Any]:
    where = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": where, "panels": []}


def _panel(number: int, panel: Panel, where: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": where,
        "targets": [_target(place, query, panel.stat) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _stat_options() if panel.stat else _plot_options(),
    }


def _target(place: int, query: Query, instant: bool) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + place),
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": instant,
        "range": not instant,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        first, then = ("red", "green") if panel.low_is_bad else ("green", "red")
        steps = [{"color": first, "value": None}, {"color": then, "value": panel.bad_from}]
    made: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if not panel.stat:
        made["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "off" if panel.bad_from is None else "line"},
        }
    return made


def _stat_options() -> dict[str, Any]:
    return {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _plot_options() -> dict[str, Any]:
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
