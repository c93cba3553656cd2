"""Cosines of embeddings, and which of their values count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# The means of the image over time, which are the first values of many embeddings, and flatter every cosine.
_MEL_AVERAGES = "mel_avgs"


def without_mel_averages(features: Mapping[str, int]) -> np.ndarray | None:
    """(size,) Which values of an embedding are no means of the image over time; None if none are, or all.

    Args:
        features: The sizes of its parts by their names, in order.
    """
    if _MEL_AVERAGES not in features or len(features) == 1:
        return None
    return np.concatenate([np.full(size, name != _MEL_AVERAGES) for name, size in features.items()])


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The cosine of each row of two arrays (n, size), those left out in which one is zero."""
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    there = lengths != 0  # and those that are not a number are kept
    result: np.ndarray = (found[there] * expected[there]).sum(axis=1) / lengths[there]
    return result


def mean_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """The mean of :func:`cosines`; 1 if there are none."""
    values = cosines(found, expected)
    return float(values.mean()) if len(values) else 1.0
