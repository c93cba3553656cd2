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
        mine = right[order]
        self._rows = order if rows is None else rows[order]
        self._right = self._rows[mine]
        # Where steps end: only those matter in which there is a sound with the class.
        ordered = scores[order]
        ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True]) if len(order) else np.zeros(0, np.int64)
        hits = np.cumsum(mine)[ends]
        before = np.r_[0, hits[:-1]][: len(ends)]
        first = np.r_[0, ends[:-1] + 1][: len(ends)]
        some = hits > before
        self._ends, self._begins, self._last_hits = ends[some] + 1, first[some], hits[some]

    def ap_and_auc(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision and area under the ROC curve of each sample.

        Args:
            weights: (R, M) how often each of all sounds is in each sample.

        Returns:
            (R,) and (R,); NaN where a sample has no sound with the class, and for the area also where all have it.
        """
        n = len(weights)
        if not len(self._ends):
            return np.full(n, np.nan), np.full(n, np.nan)
        # A row per sound and a column per sample, so that neighbours in memory are added up together. All counts are
        # whole numbers, and exact.
        of_sound = np.ascontiguousarray(weights.T)
        heard = np.zeros((len(self._rows) + 1, n))
        np.cumsum(of_sound[self._rows], axis=0, out=heard[1:])
        hits = np.cumsum(of_sound[self._right], axis=0)[self._last_hits - 1]
        gained = np.diff(hits, axis=0, prepend=0)
        misses = heard[self._ends] - hits
        misses_before = heard[self._begins] - (hits - gained)
        all_hits = hits[-1]
        all_misses = heard[-1] - all_hits
        # Pairs of a sound with the class and one without, in the right order; those of one step count half.
        ordered = (gained * (2 * all_misses - misses - misses_before)).sum(axis=0) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            ap = (gained * hits / np.maximum(hits + misses, 1e-300)).sum(axis=0) / all_hits
            auc = ordered / (all_hits * all_misses)
        return np.where(all_hits > 0, ap, np.nan), np.where((all_hits > 0) & (all_misses > 0), auc, np.nan)


def d_prime(auc: float | None, least: float = 0.0) -> float | None:
    """The d' of an area under the ROC curve, sqrt(2) times the normal quantile of it; None where that has no bounds.

    It is how many standard deviations apart two normal distributions of scores with this area are (Gemmeke et al.,
    ICASSP 2017, use it for AudioSet).

    Args:
        auc: The area; None if there is none.
        least: How near to 0 or 1 an area that is neither can be. One that is nearer counts as so near: of p sounds with
            a class and q without, 1 / 2pq, which is that of one pair with equal scores. So few sounds cannot tell more.
    """
    if auc is None or not 0 <= auc <= 1:
        return None
    auc = min(max(auc, least), 1 - least)
    return math.sqrt(2) * NormalDist().inv_cdf(auc) if 0 < auc < 1 else None


def d_primes(aucs: Sequence[float] | np.ndarray, least: Sequence[float] | np.ndarray) -> np.ndarray:
    """The d' of many areas, with how near each can be to 0 or 1; NaN where one has none."""
    areas, leasts = np.broadcast_arrays(np.asarray(aucs), np.asarray(least))
    values = [d_prime(float(auc), float(one)) for auc, one in zip(areas.ravel(), leasts.ravel(), strict=True)]
    found = np.array([math.nan if value is None else value for value in values])
    return found.reshape(areas.shape)
