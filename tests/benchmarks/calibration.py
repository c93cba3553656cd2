"""Temperatures that are fitted on few sounds: what they are worth on others.

    python -m tests.benchmarks.calibration [--seeds 10] [FOLDER ...]

Linear heads learn simulated embeddings, of one class of 3, 10 or 30 or of several of 8, and those that `tiny` makes of
the sounds in each FOLDER, which has a folder for each class. A temperature is fitted on 20, 50 or 100 validation
sounds; the head that counts learns these, too, as `hear-edgel3 train` has it. What is printed is, over the seeds, the
mean log loss of other sounds, as a difference from that with the temperature that the package fits, with its standard
error; the expected calibration error (ECE); and mean and deviation of the temperature's logarithm. `none` is no
temperature, `likeliest` the one that the validation part alone says, `smoothed` what was done until November 2026 (each
class seen once more everywhere), and numbers are expected spreads.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import hear_edgel3
from hear_edgel3.audio.loading import load_audio
from hear_edgel3.detectors.frozen import logits_of
from hear_edgel3.detectors.learning import _SPREAD
from hear_edgel3.detectors.linear import Part, fit_linear
from hear_edgel3.labels.labelled import Kind
from hear_edgel3.scores.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities_of,
)

_SPREADS = (0.2, _SPREAD, 0.5)
_SIZE, _LEAST = 64, 40
_OTHERS, _LEAST_SOUNDS, _RATE = 1500, 9, 32000
Drawn = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def temperatures(logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """What each way finds."""
    found = {"none": 1.0, "likeliest": fit_temperature(logits, targets), "smoothed": smoothed(logits, targets)}
    return found | {f"{spread:g}": fit_temperature(logits, targets, spread=spread) for spread in _SPREADS}


def smoothed(logits: np.ndarray, targets: np.ndarray) -> float:
    """The likeliest temperature if each class had been seen once more everywhere."""
    n, n_classes = logits.shape
    if targets.ndim == 2:
        return fit_temperature(logits, (targets * n + 1) / (n + 2))
    again = np.concatenate([np.repeat(logits, n, axis=0), np.repeat(logits, n_classes, axis=0)])
    return fit_temperature(again, np.concatenate([np.repeat(targets, n), np.tile(np.arange(n_classes), n)]))


def single(n_classes: int) -> Drawn:
    """Embeddings that lie around the middle of one class."""

    def draw(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        middles, targets = 0.45 * random.standard_normal((n_classes, _SIZE)), random.integers(0, n_classes, n)
        return (middles[targets] + _noise(random, n)).astype(np.float32), targets

    return draw


def several(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings to which each class that is there adds something."""
    parts, targets = 0.6 * random.standard_normal((8, _SIZE)), (random.random((n, 8)) < 0.3).astype(np.int64)
    return (targets @ parts + _noise(random, n)).astype(np.float32), targets


def _noise(random: np.random.Generator, n: int) -> np.ndarray:
    return np.asarray(random.standard_normal((n, _SIZE)) * np.geomspace(2, 0.5, _SIZE))


def embedded(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of sounds and the numbers of their folders, of those that have some."""
    extractor, vectors, targets = hear_edgel3.load("tiny"), [], []
    kinds = [sorted(one.iterdir()) for one in sorted(folder.iterdir()) if one.is_dir()]
    for number, files in enumerate([files for files in kinds if len(files) >= _LEAST_SOUNDS]):
        for file in files:
            samples = torch.from_numpy(load_audio(file, _RATE))[None]
            vectors.append(extractor.scene_embeddings(samples, sample_rate=_RATE)[0].numpy())
            targets.append(number)
    return np.stack(vectors), np.array(targets)


def measure(name: str, draw: Drawn, n_train: int, n_validation: int, seeds: int, others: int = _OTHERS) -> None:
    """Prints a line for each way."""
    rows = []
    for seed in range(seeds):
        vectors, targets = draw(np.random.default_rng(seed), n_train + n_validation + others)
        kind = Kind.SINGLE if targets.ndim == 1 else Kind.SEVERAL
        n_classes = int(targets.max()) + 1 if kind is Kind.SINGLE else targets.shape[1]
        both, test = n_train + n_validation, slice(n_train + n_validation, None)

        def learnt(n: int) -> Part:
            return Part(vectors[:n], targets[:n], None, np.arange(n), kind, n_classes)  # noqa: B023

        # Of a class that nothing was learnt of, no temperature makes it likelier.
        known = kind is Kind.SEVERAL or np.isin(targets, targets[:n_train])
        rows_of = np.flatnonzero(np.broadcast_to(known, len(targets)))
        seen, unseen = rows_of[(rows_of >= n_train) & (rows_of < both)], rows_of[rows_of >= test.start]
        fitted = fit_linear(learnt(both))
        first = logits_of(fit_linear(learnt(n_train), fitted.penalty).head, vectors[seen])
        last = logits_of(fitted.head, vectors[unseen])
        ways = temperatures(first, targets[seen])
        rows.append(
            [
                (
                    negative_log_likelihood(last, targets[unseen], None, by),
                    expected_calibration_error(probabilities_of(last, kind is Kind.SINGLE, by), targets[unseen]),
                    math.log(by),
                )
                for by in ways.values()
            ]
        )
    found = np.array(rows)
    own = found[:, list(ways).index(f"{_SPREAD:g}"), 0]
    print(f"{name}, {n_train} to learn from, {n_validation} to validate: log loss {own.mean():.3f}")
    for i, way in enumerate(ways):
        more, logs = found[:, i, 0] - own, found[:, i, 2]
        print(
            f"  {way:<9}  {more.mean():+.3f} ± {more.std() / math.sqrt(seeds):.3f}  ECE {found[:, i, 1].mean():.3f}  "
            f"log T {logs.mean():+.2f} ± {logs.std():.2f}",
            flush=True,
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    for n_validation in (20, 50, 100):
        for n_classes in (3, 10, 30):
            measure(f"one class of {n_classes}", single(n_classes), 100, n_validation, given.seeds)
        measure("several classes of 8", several, 150, n_validation, given.seeds)
    for folder in given.folders:
        vectors, targets = embedded(folder)

        def shuffled(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
            rows = random.permutation(len(targets))[:n]  # noqa: B023
            return vectors[rows], targets[rows]  # noqa: B023

        for n_validation in (20, 50, 100):
            n_train = min(150, len(targets) - n_validation - _LEAST)
            if n_train >= _LEAST:
                measure(f"{folder}, {targets.max() + 1} classes", shuffled, n_train, n_validation, given.seeds)


if __name__ == "__main__":
    main()
