"""Scores of nets on tasks, and the tables they are printed as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.benchmarks.quality.clips import Clips
from tests.benchmarks.quality.nets import Net
from tests.benchmarks.quality.probe import balanced_accuracy, bootstrap, interval, predict
from tests.benchmarks.quality.trained import Trained


@dataclass
class Row:
    """What is known of a net.

    Attributes:
        name: of the net.
        parameters: trained values.
        macs: multiply-accumulates of a scene embedding of 10 s; None if unknown.
        size: values per embedding.
        accuracy: balanced accuracy by task.
        resampled: (n,) balanced accuracies of resampled tasks by task; the same resamples for all nets.
    """

    name: str
    parameters: int
    macs: int | None
    size: int = 0
    accuracy: dict[str, float] = field(default_factory=dict)
    resampled: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Balanced accuracy, mean over the tasks."""
        return float(np.mean(list(self.accuracy.values())))

    @property
    def resampled_mean(self) -> np.ndarray:
        """The same for the resampled tasks."""
        mean: np.ndarray = np.mean(list(self.resampled.values()), axis=0)
        return mean

    def add(self, task: str, seed: int, clips: Clips, nets: Sequence[Net | Trained]) -> None:
        """Embeds and probes a task.

        Args:
            task: its name.
            seed: of the resampling, the same for all nets.
            clips: of the task.
            nets: one, or several of which the mean counts.
        """
        correct = np.zeros(len(clips.labels))
        for net in nets:
            if isinstance(net, Trained):
                self.size = net.size
                correct += net.guess(clips) == clips.labels
                continue
            embeddings = net.embed(clips.at(net.sample_rate))
            if not np.isfinite(embeddings).all():
                raise ValueError(f"{net.name} gives values that are not finite for clips of the task {task}")
            self.size = embeddings.shape[1]
            correct += predict(embeddings, clips.labels, clips.groups, clips.folds) == clips.labels
        correct /= len(nets)
        self.accuracy[task] = balanced_accuracy(clips.labels, correct)
        self.resampled[task] = bootstrap(clips.labels, clips.groups, correct, seed)


def table(rows: Sequence[Row], markdown: bool = False) -> str:
    """All scores, each with its 95 % confidence interval; the last column is the gain over the first net.

    Args:
        rows: of nets that have run all tasks.
        markdown: as Markdown, else in columns.
    """
    if not rows:
        return ""
    tasks = list(rows[0].accuracy)
    first = rows[0]
    head = ["net", *tasks, "mean", f"over {first.name}", "parameters", "MACs of a scene embedding of 10 s", "size"]
    lines = [head]
    for row in rows:
        cells = [_with_interval(row.accuracy[task], row.resampled[task]) for task in tasks]
        gain = row.mean - first.mean
        lines.append(
            [
                row.name,
                *cells,
                _with_interval(row.mean, row.resampled_mean),
                "" if row is first else _with_interval(gain, row.resampled_mean - first.resampled_mean, "+.3f"),
                f"{row.parameters:,}",
                "unknown" if row.macs is None else f"{row.macs / 1e9:.3f} G",
                str(row.size),
            ]
        )
    if markdown:
        lines.insert(1, ["---"] * len(head))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _with_interval(score: float, resampled: np.ndarray, form: str = ".3f") -> str:
    low, high = interval(resampled)
    return f"{score:{form}} [{low:{form}}, {high:{form}}]"
