"""Scores of how a class ranks sounds: average precision, area under the ROC curve, d'. Of many samples at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np


class Ranking:
    """Sounds in the order of a class's scores, sorted once for all samples.

    Equal scores count as one step, as in scikit-learn's ``average_precision_score`` and ``roc_auc_score``, whose values
    these are.

    Args:
        right: (N,) bool, which sounds have the class.
        scores: (N,) how likely each one is to have it.
        rows: The numbers of these sounds among all, if not all are judged.
    """

    def __init__(self, right: np.ndarray, scores: np.ndarray, rows: np.ndarray | None = None) -> None:
        order = np.argsort(-scores, kind="stable")
        self._right = right[order].astype(np.float64)
        self._rows = order if rows is None else rows[order]
        ordered = scores[order]
        self._ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True]) if len(order) else np.zeros(0, np.int64)

    def ap_and_auc(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision and area under the ROC curve of each sample.

        Args:
            weights: (R, M) how often each of all sounds is in each sample.

        Returns:
            (R,) and (R,); NaN where a sample has no sound with the class, and for the area also where all have it.
        """
        mine = weights[:, self._rows]
        hits = np.cumsum(mine * self._right, axis=1)[:, self._ends]
        misses = np.cumsum(mine, axis=1)[:, self._ends] - hits  # of whole numbers, so exact
        n = len(weights)
        if not hits.shape[1]:
            return np.full(n, np.nan), np.full(n, np.nan)
        all_hits, all_misses = hits[:, -1:], misses[:, -1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = hits / all_hits
            fallout = misses / all_misses
            precision = hits / np.maximum(hits + misses, 1e-300)
            gained = np.diff(recall, axis=1, prepend=0)
            ap = (gained * precision).sum(axis=1)
            before = np.concatenate([np.zeros((n, 1)), recall[:, :-1]], axis=1)
            auc = (np.diff(fallout, axis=1, prepend=0) * (recall + before) / 2).sum(axis=1)
        has, has_others = all_hits[:, 0] > 0, all_misses[:, 0] > 0
        return np.where(has, ap, np.nan), np.where(has & has_others, auc, np.nan)


def d_prime(auc: float | None) -> float | None:
    """The d' of an area under the ROC curve, sqrt(2) times the normal quantile of it; None where that has no bounds.

    It is how many standard deviations apart two normal distributions of scores with this area are (Gemmeke et al.,
    ICASSP 2017, use it for AudioSet).
    """
    if auc is None or not 0 < auc < 1:
        return None
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def d_primes(aucs: Sequence[float] | np.ndarray) -> np.ndarray:
    """The d' of many areas; NaN where one has none."""
    values = [d_prime(float(auc)) for auc in np.asarray(aucs).ravel()]
    found = np.array([math.nan if value is None else value for value in values])
    return found.reshape(np.shape(aucs))
