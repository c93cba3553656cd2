"""The picture: mean accuracy against what a net costs. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.tagging.plot import check_plot, require_matplotlib
from tests.benchmarks.quality.probe import interval
from tests.benchmarks.quality.scores import Row

# A name goes to the left of its point if another point is this near to the right: a ratio of costs, a difference.
_CROWDED = (3, 0.035)


def draw(rows: Sequence[Row], target: Path) -> None:
    """Draws accuracy against parameters, and against multiply-accumulates (MACs) of a scene embedding of 10 s.

    Nets that cost nothing are lines; nets whose cost is not known are left out of that panel.

    Args:
        rows: of nets that have run all tasks.
        target: .png, .pdf or .svg file.

    Raises:
        InvalidOption: the format is not known.
        MissingExtra: matplotlib is not installed.
        OutputError: the target cannot be written.
    """
    check_plot(target)
    figure = require_matplotlib().Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, [(row, row.parameters) for row in rows], "parameters")
    _panel(right, [(row, row.macs) for row in rows], "MACs of a scene embedding of 10 s")
    left.set_ylabel("balanced accuracy, mean over the tasks")
    image = io.BytesIO()
    figure.savefig(image, format=target.suffix.lower().lstrip("."), dpi=150)
    with atomic_write(target) as file:
        file.write(image.getvalue())


def _panel(axes: Any, costs: Sequence[tuple[Row, int | None]], label: str) -> None:
    from matplotlib import ticker

    known = [(number, row, cost) for number, (row, cost) in enumerate(costs) if cost is not None]
    for number, row, cost in known:
        low, high = interval(row.resampled_mean)
        colour = f"C{number % 10}"
        text = {"textcoords": "offset points", "color": colour, "fontsize": 9}
        if cost == 0:
            axes.axhspan(low, high, color=colour, alpha=0.12, linewidth=0)
            axes.axhline(row.mean, color=colour, linestyle="--", linewidth=1.2)
            place = (1, row.mean)
            axes.annotate(row.name, place, xycoords=("axes fraction", "data"), xytext=(-4, 3), ha="right", **text)
            continue
        error = [[row.mean - low], [high - row.mean]]
        axes.errorbar(cost, row.mean, yerr=error, fmt="o", color=colour, capsize=3, markersize=6)
        crowded = any(
            cost < other_cost < _CROWDED[0] * cost and abs(other.mean - row.mean) < _CROWDED[1]
            for _, other, other_cost in known
        )
        side = {"xytext": (-7, 4), "ha": "right"} if crowded else {"xytext": (7, 4), "ha": "left"}
        axes.annotate(row.name, (cost, row.mean), **side, **text)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.margins(x=0.2)
    axes.set_xlabel(label)
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
