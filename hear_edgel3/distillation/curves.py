"""The curves of a training as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from hear_edgel3.distillation.measuring import BY_SOURCE, GUESS

# No loss, in a space where all values have a variance of 1, is worth more than a look.
_MOST = 3.0
_FIGURES = ("r2", "cosine", "top1_agreement", "top1_in_five", "probability_cosine")
_PANELS = {
    "loss": ("train_loss", "validation_loss", f"{BY_SOURCE}validation_loss"),
    "of held-out files": _FIGURES,
    "of held-out sources": tuple(BY_SOURCE + name for name in _FIGURES),
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
    panels = {title: [name for name in names if name in metrics[0]] for title, names in _PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels))
    epochs = [row["epoch"] for row in metrics]
    for panel, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            label = name.replace("_", " ") if title == "loss" else name.removeprefix(BY_SOURCE).replace("_", " ")
            (line,) = panel.plot(epochs, [row[name] for row in metrics], label=label, marker=".")
            guess = _guess_of(name)
            if guess in metrics[0]:  # what a constant guess gets
                panel.axhline(metrics[0][guess], color=line.get_color(), linestyle=":", linewidth=1)
        panel.set(xlabel="epoch", title=title)
        lowest, highest = _limits([row[name] for row in metrics for name in names])
        panel.set_ylim(lowest, highest)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _guess_of(name: str) -> str:
    """What the same figure of the constant guess is called."""
    prefix = BY_SOURCE if name.startswith(BY_SOURCE) else ""
    return prefix + GUESS + name.removeprefix(prefix)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """What of an axis to show: not the wild values of the first epochs, before batch norm is fixed."""
    shown = sorted(value for value in values if -0.5 <= value <= _MOST)
    lowest, highest = (shown[0], shown[-1]) if shown else (0.0, 1.0)
    margin = 0.05 * (highest - lowest) + 1e-3
    return lowest - margin, highest + margin
