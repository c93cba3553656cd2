"""The curves of a training as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

# No loss, in a space where all values have a variance of 1, is worth more than a look.
_MOST = 3.0
_PANELS = {
    "loss": ("train_loss", "validation_loss"),
    "of held-out files": ("r2", "cosine", "top1_agreement", "top1_agreement_10s"),
}


def draw_curves(metrics: Sequence[Mapping[str, float]]) -> bytes | None:
    """A PNG of the metrics of all epochs, or None if matplotlib is not installed.

    Args:
        metrics: one row per epoch, as ``metrics.csv`` has them.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(_PANELS))
    epochs = [row["epoch"] for row in metrics]
    for panel, (title, names) in zip(axes, _PANELS.items(), strict=True):
        for name in names:
            if name in metrics[0]:
                panel.plot(epochs, [row[name] for row in metrics], label=name.replace("_", " "), marker=".")
        panel.set(xlabel="epoch", title=title)
        lowest, highest = _limits([row[name] for row in metrics for name in names if name in row])
        panel.set_ylim(lowest, highest)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """What of an axis to show: not the wild values of the first epochs, before batch norm is fixed."""
    shown = sorted(value for value in values if -0.5 <= value <= _MOST)
    lowest, highest = (shown[0], shown[-1]) if shown else (0.0, 1.0)
    margin = 0.05 * (highest - lowest) + 1e-3
    return lowest - margin, highest + margin
