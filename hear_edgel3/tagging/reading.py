"""From the outputs of nets to probabilities, and to the classes that are said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hear_edgel3.scores.calibration import above_thresholds, classes_said, probabilities_of
from hear_edgel3.tagging.outputs import Outputs


def read(outputs: Outputs, logits: np.ndarray) -> np.ndarray:
    """Probabilities; or the numbers as they are.

    Args:
        outputs: How to read them.
        logits: (n, n_classes) float32.

    Returns:
        (n, n_classes) float32.
    """
    if outputs.are_numbers:
        return logits
    if outputs.targets == "several" and outputs.temperature == 1:
        found: np.ndarray = torch.sigmoid(torch.from_numpy(logits)).numpy()
        return found
    return probabilities_of(logits, outputs.targets == "single", outputs.temperature).astype(np.float32)


def are_above(outputs: Outputs, probabilities: np.ndarray) -> np.ndarray:
    """Which classes have at least the probability of their threshold (:func:`~hear_edgel3.scores.above_thresholds`).

    Args:
        outputs: How they were read.
        probabilities: (n, n_classes).

    Returns:
        (n, n_classes) bool; of numbers none.
    """
    if outputs.are_numbers:
        return np.zeros(probabilities.shape, bool)
    return above_thresholds(probabilities, outputs.targets == "single", _thresholds(outputs))


def are_said(outputs: Outputs, probabilities: np.ndarray) -> np.ndarray:
    """Which classes are said (:func:`~hear_edgel3.scores.classes_said`).

    Args:
        outputs: How they were read.
        probabilities: (n, n_classes).

    Returns:
        (n, n_classes) bool; of numbers none. With thresholds a row may have none.
    """
    if outputs.are_numbers:
        return np.zeros(probabilities.shape, bool)
    return classes_said(probabilities, outputs.targets == "single", _thresholds(outputs))


def _thresholds(outputs: Outputs) -> np.ndarray | None:
    if outputs.thresholds is None:
        return None
    return np.array([np.nan if value is None else value for value in outputs.thresholds])


def order(outputs: Outputs, logits: np.ndarray) -> np.ndarray:
    """The classes of one window (n_classes,), the likeliest first, equal ones as they stand; numbers as they do."""
    return np.arange(len(logits)) if outputs.are_numbers else np.argsort(-logits, kind="stable")


def in_common_scale(answers: Sequence[np.ndarray], every: Sequence[Outputs]) -> list[np.ndarray]:
    """The outputs of several nets in the scale in which :func:`hear_edgel3.tagging.outputs.outputs_together` reads.

    Args:
        answers: (n, n_classes) float32 of each.
        every: How each is read.
    """
    if len({one.temperature for one in every}) == 1:
        return list(answers)
    return [answer / np.float32(one.temperature) for answer, one in zip(answers, every, strict=True)]
