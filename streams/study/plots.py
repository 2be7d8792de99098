"""Calibration as a picture: what was predicted of each tenth of the cases against what happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from processors.fitting import Bin


def plot_calibration(path: Path, parts: Sequence[tuple[str, Sequence[Bin]]]) -> None:
    """An SVG with a panel for each (title, bins); the same bytes for the same figures."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "loyalty"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(parts), figsize=(4.4 * len(parts), 4.2), squeeze=False)
    for panel, (title, bins) in zip(panels[0], parts, strict=True):
        most = max(max(one.predicted, one.happened) for one in bins) * 1.08 or 1.0
        panel.plot([0, most], [0, most], color="0.7", linewidth=1)
        panel.plot([one.predicted for one in bins], [one.happened for one in bins], "o-", color="#1f5f8b")
        panel.set(title=title, xlabel="predicted", ylabel="happened", xlim=(0, most), ylim=(0, most))
        panel.set_aspect("equal")
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
