"""How embeddings are compared: the one module that decides what "sounds alike" means.

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
class Whitening:
    """A change of axes, fitted to a dataset; the cosine after it tells how much alike two sounds are.

    Attributes:
        centre: (D,) float32, which is subtracted first.
        axes: (D, D) float32, which the difference is multiplied with.
        rows: How many embeddings the dataset had; 0 if nothing is known of it, and the axes are left as they are.
    """

    centre: np.ndarray
    axes: np.ndarray
    rows: int

    @classmethod
    def fit(cls, batches: Iterable[np.ndarray], size: int, about_rows: int | None = None) -> Whitening:
        """Fits a whitening to embeddings that need not fit into memory.

        Args:
            batches: Any number of arrays (n, D) of finite floating point.
            size: Values per embedding (D).
            about_rows: About how many embeddings there are. Of very many only some count, evenly spaced in each batch;
                None lets all of them count.
        """
        every = 1 if about_rows is None else max(1, about_rows // _ROWS)
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

    def lengths(self, vectors: np.ndarray) -> np.ndarray:
        """The lengths of whitened embeddings, before :meth:`apply` brings them to 1.

        Args:
            vectors: (n, D) of finite floating point, from which the centre was taken.

        Returns:
            (n,) float32; infinite for those that have no direction, or are too large.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(vectors @ self.axes, axis=1).astype(np.float32)
        return np.where(lengths > 0, lengths, np.float32(np.inf))

    def similarities(self, whitened: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """How much alike embeddings are to a whitened one, compared in 64 bits.

        Args:
            whitened: (D,) of length 1.
            vectors: (n, D) of finite floating point, from which the centre was taken.

        Returns:
            (n,) float32 in [-1, 1]; 0 for those that have no direction.
        """
        wide = vectors.astype(np.float64) @ self.axes.astype(np.float64)
        lengths = np.linalg.norm(wide, axis=1)
        cosines = wide @ whitened.astype(np.float64) / np.where(lengths > 0, lengths, 1)
        return np.asarray(np.clip(cosines, -1, 1).astype(np.float32))

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Whitens embeddings, and brings them to length 1.

        Args:
            vectors: (n, D) of floating point.

        Returns:
            (n, D) float32, with zeros in the place of those that are not finite.
        """
        wide = np.array(vectors, np.float32)
        finite = np.isfinite(wide).all(axis=1)
        wide[~finite] = 0
        whitened = unit((wide - self.centre) @ self.axes)
        whitened[~finite] = 0
        return whitened
