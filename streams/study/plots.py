"""Figures as pictures: calibration, scores side by side, and predicted against happened over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processors.fitting import Bin

if TYPE_CHECKING:
    from streams.study.evaluation import Month
    from streams.study.measures import Measured

_BLUE, _GREY, _RED = "#1f5f8b", "0.55", "#b5462f"


def plot_calibration(path: Path, parts: Sequence[tuple[str, Sequence[Bin]]]) -> None:
    """An SVG with a panel for each (title, bins); the same bytes for the same figures."""
    pyplot = _pyplot()
    figure, panels = pyplot.subplots(1, len(parts), figsize=(4.4 * len(parts), 4.2), squeeze=False)
    for panel, (title, bins) in zip(panels[0], parts, strict=True):
        most = max(max(one.predicted, one.happened) for one in bins) * 1.08 or 1.0
        panel.plot([0, most], [0, most], color="0.7", linewidth=1)
        panel.plot([one.predicted for one in bins], [one.happened for one in bins], "o-", color=_BLUE)
        panel.set(title=title, xlabel="predicted", ylabel="happened", xlim=(0, most), ylim=(0, most))
        panel.set_aspect("equal")
    _saved(figure, path)


def plot_scores(path: Path, scores: Sequence[tuple[str, Measured]], aim: float | None) -> None:
    """An SVG: AUC with its interval by name, the first on top; a line at what is aimed at."""
    pyplot = _pyplot()
    figure, panel = pyplot.subplots(figsize=(7.2, 0.42 * len(scores) + 1.1))
    for place, (name, one) in enumerate(reversed(scores)):
        colour = _BLUE if name.startswith("score") else _GREY
        panel.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
        panel.plot([one.value], [place], "o", color=colour)
        label = {"ha": "center", "size": 8, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
        panel.annotate(f"{one.value:.3f}", (one.value, place), (0, 7), textcoords="offset points", **label)
    if aim is not None:
        panel.axvline(aim, color=_RED, linewidth=1, linestyle="--", label=f"aim {aim:g}")
        panel.legend(loc="lower left", frameon=False, fontsize=8)
    panel.set_yticks(range(len(scores)), [name for name, _ in reversed(scores)])
    panel.set(xlabel="AUC, and 95% of the draws", ylim=(-0.6, len(scores) - 0.3))
    panel.spines[["top", "right"]].set_visible(False)
    _saved(figure, path)


def plot_months(path: Path, months: Sequence[Month]) -> None:
    """An SVG: share predicted, recalibrated and happened by review; the test's on a ground of its own."""
    pyplot = _pyplot()
    figure, panel = pyplot.subplots(figsize=(7.2, 3.4))
    places = list(range(len(months)))
    tested = [place for place in places if months[place].role == "test"]
    if tested:
        panel.axvspan(tested[0] - 0.5, tested[-1] + 0.5, color="0.93", label="test")
    panel.plot(places, [one.happened for one in months], "o-", color="0.2", label="happened")
    panel.plot(places, [one.predicted for one in months], "s-", color=_BLUE, label="predicted")
    mended = [(place, value) for place in places if (value := months[place].mended) is not None]
    panel.plot([at for at, _ in mended], [value for _, value in mended], "^--", color=_RED, label="recalibrated")
    panel.set_xticks(places, [one.day[:7] for one in months], rotation=30, ha="right")
    most = max(max(one.happened, one.predicted, one.mended or 0.0) for one in months)
    panel.set(ylabel="share that left", ylim=(0, most * 1.2))
    panel.legend(frameon=False, fontsize=8, ncols=4, loc="lower center")
    panel.spines[["top", "right"]].set_visible(False)
    _saved(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "loyalty"
    from matplotlib import pyplot

    return pyplot


def _saved(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    _pyplot().close(figure)
