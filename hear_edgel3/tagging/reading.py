"""From the outputs of nets to probabilities, and to the classes that are said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hear_edgel3.scores.calibration import probabilities_of
from hear_edgel3.tagging.outputs import Outputs

# From this probability on a class of several is said, where it has no threshold of its own.
_USUAL_THRESHOLD = 0.5


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
    """Which classes have at least the probability of their threshold.

    A class without a threshold has it if it is the likeliest, where one class is right, else from 0.5 on.

    Args:
        outputs: How they were read.
        probabilities: (n, n_classes).

    Returns:
        (n, n_classes) bool; of numbers none.
    """
    if outputs.are_numbers:
        return np.zeros(probabilities.shape, bool)
    if outputs.targets == "single":
        usual: np.ndarray = np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
    else:
        usual = probabilities >= _USUAL_THRESHOLD
    if outputs.thresholds is None:
        return usual
    has = np.array([value is not None for value in outputs.thresholds])
    # In the probabilities' own type, so that a threshold that was taken from one is reached by it.
    least = np.array([0.0 if value is None else value for value in outputs.thresholds], probabilities.dtype)
    above: np.ndarray = np.where(has, probabilities >= least, usual)
    return above


def are_said(outputs: Outputs, probabilities: np.ndarray) -> np.ndarray:
    """Which classes are said: those above their thresholds and, where one class is right, only the likeliest of them.

    Args:
        outputs: How they were read.
        probabilities: (n, n_classes).

    Returns:
        (n, n_classes) bool. With thresholds a row may have none.
    """
    above = are_above(outputs, probabilities)
    if outputs.targets != "single":
        return above
    likeliest = np.where(above, probabilities, -1).argmax(axis=1)
    said: np.ndarray = above & (np.arange(probabilities.shape[1]) == likeliest[:, None])
    return said


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
