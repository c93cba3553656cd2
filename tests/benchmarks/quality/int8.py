"""What eight bits cost: linear probes on embeddings before and after, ``python -m tests.benchmarks.quality int8``.

    python -m tests.benchmarks.quality int8 [--nets NAME ...] [--weights DIR] [--cache DIR] [--task drums]

Before is this package's net in PyTorch, after a file of `hear-edgel3 export --quantize int8`, run by lite.py as on a
device. Both hear the same clips at the net's own rate. The interval of the difference is of the same resampled clips.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

import hear_edgel3
from hear_edgel3.lite import Model
from tests.benchmarks.quality import nets
from tests.benchmarks.quality.probe import interval
from tests.benchmarks.quality.scores import Row
from tests.benchmarks.quality.tasks import TASKS

NAMES = ("tiny", "mn04_as", "sea_64")


class _Samples(Model):
    """A file that takes samples where others take the path of a sound."""

    def read(self, path: object) -> tuple[np.ndarray, Fraction]:  # type: ignore[override]
        """The samples, which are at the net's rate."""
        samples = np.asarray(path, np.float32)
        return samples, Fraction(len(samples), self.card["sample_rate"])


class Exported:
    """A net in eight bits.

    Args:
        name: for the table.
        path: the file.
        parameters: trained values.
    """

    macs: int | None = None

    def __init__(self, name: str, path: Path, parameters: int) -> None:
        self.name, self.parameters = name, parameters
        self._model = _Samples(str(path), threads=1)
        self.sample_rate: int = self._model.card["sample_rate"]

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Scene embeddings."""
        return np.stack([self._model.scene(clip) for clip in clips])  # type: ignore[arg-type]


def before_and_after(name: str, weights: Path | None, folder: Path) -> tuple[nets.Ours, Exported]:
    """A net in PyTorch, and its file in eight bits.

    Args:
        name: a configuration's, or a folder.
        weights: as for :func:`tests.benchmarks.quality.nets.load`.
        folder: where the file is written.
    """
    file = nets.weights_file(name, weights)
    path = folder / f"{Path(name).name}.onnx"
    done = hear_edgel3.export(name, path, quantize="int8", weights=file)
    extractor = hear_edgel3.load(name, file, done.card["sample_rate"])
    plain = nets.Ours(Path(name).name, extractor, None)
    return plain, Exported(f"{plain.name}, int8", path, plain.parameters)


def compare(
    names: Sequence[str], tasks: Sequence[str], cache: Path | None, weights: Path | None
) -> list[tuple[Row, Row]]:
    """The rows of nets before and after."""
    with tempfile.TemporaryDirectory(prefix="hear_edgel3_int8_") as folder:
        pairs = [before_and_after(name, weights, Path(folder)) for name in names]
        rows = [[Row(net.name, net.parameters, net.macs) for net in pair] for pair in pairs]
        for seed, task in enumerate(tasks):
            clips = TASKS[task].clips(cache)
            for pair, made in zip(pairs, rows, strict=True):
                for net, row in zip(pair, made, strict=True):
                    row.add(task, seed, clips, [net])
    return [(before, after) for before, after in rows]


def table(pairs: Sequence[tuple[Row, Row]]) -> str:
    """Balanced accuracies before and after, in Markdown; differences are in points, with their 95 % intervals."""
    tasks = list(pairs[0][0].accuracy)
    lines = [["net", *tasks, "mean"], ["---"] * (len(tasks) + 2)]
    for before, after in pairs:
        for row in (before, after):
            lines.append([row.name, *(f"{row.accuracy[task]:.3f}" for task in tasks), f"{row.mean:.3f}"])
        gains = [
            _points(after.accuracy[t] - before.accuracy[t], after.resampled[t] - before.resampled[t]) for t in tasks
        ]
        mean = _points(after.mean - before.mean, after.resampled_mean - before.resampled_mean)
        lines.append(["points gained", *gains, mean])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _points(gain: float, resampled: np.ndarray) -> str:
    low, high = interval(100 * resampled)
    return f"{100 * gain:+.1f} [{low:+.1f}, {high:+.1f}]"
