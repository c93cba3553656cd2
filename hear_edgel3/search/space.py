"""Where embeddings are compared: the one place that decides what "sounds alike" means.

The plain cosine of two embeddings says little: the values are mostly positive, and a few directions (loudness above
all) have nearly all of the variance. So the mean of the dataset is taken off, and its principal axes are brought to
about the same variance (whitening), before the cosine is taken. `python -m tests.benchmarks.same_sounds` measures what
that is worth, against the plain and the centred cosine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hear_edgel3.search.neighbours import unit

# Axes with less variance than this, relative to the largest, are made no larger: they hold noise.
_FLOOR = 1e-3
# How much is known before any embedding: in terms of so many, at zero, and spread evenly. It counts in small datasets
# only, whose own axes would tell all embeddings equally apart.
_PRIOR_ROWS = 3
_ROWS = 100_000  # more do not change mean and axes


@dataclass(frozen=True)
class Space:
    """A change of axes, fitted to a dataset; the cosine after it tells how much alike two sounds are.

    Attributes:
        centre: (D,) float32, taken off first.
        axes: (D, D) float32, multiplied with then.
        rows: how many embeddings the dataset had.
    """

    centre: np.ndarray
    axes: np.ndarray
    rows: int

    @classmethod
    def fit(cls, batches: Iterable[np.ndarray], size: int, rows: int = 0) -> Space:
        """Fits a space to embeddings that need not fit into memory.

        Args:
            batches: (n, D) finite floating point, any number of them.
            size: values per embedding (D).
            rows: about how many embeddings there are; of very many only some count, evenly spaced.
        """
        every = max(1, rows // _ROWS)
        count, total = 0, 0
        first, second = np.zeros(size), np.zeros((size, size))
        for batch in batches:
            total += len(batch)
            some = batch[::every].astype(np.float64)
            count += len(some)
            first += some.sum(axis=0)
            second += some.T @ some
        if count == 0:
            return cls(np.zeros(size, np.float32), np.eye(size, dtype=np.float32), 0)
        centre = first / (count + _PRIOR_ROWS)
        across = np.outer(first / count, centre)
        variances, axes = np.linalg.eigh(second / count - across - across.T + np.outer(centre, centre))
        largest = variances[-1]
        floor = (_FLOOR + _PRIOR_ROWS / count) * largest if largest > 0 else 1.0
        scaled = axes / np.sqrt(np.maximum(variances, 0) + floor)
        return cls(centre.astype(np.float32), scaled.astype(np.float32), total)

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Embeddings in this space, at length 1.

        Args:
            vectors: (n, D) floating point.

        Returns:
            (n, D) float32; zeros for those that are not finite.
        """
        wide = np.array(vectors, np.float32)
        finite = np.isfinite(wide).all(axis=1)
        wide[~finite] = 0
        placed = unit((wide - self.centre) @ self.axes)
        placed[~finite] = 0
        return placed
