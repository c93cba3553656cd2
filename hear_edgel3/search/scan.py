"""Search without an index: all rows are compared, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hear_edgel3.search.neighbours import blocks, top
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.whitening import Whitening

_KEPT_VALUES = 1 << 28  # 1 GiB; datasets with more are read again for every search


class Scan:
    """All rows of some parts of a dataset, whitened.

    Args:
        rows: The rows of the dataset.
        whitening: What is applied to them before they are compared.
        parts: The parts to search in; None for all.
    """

    def __init__(self, rows: Rows, whitening: Whitening, parts: Sequence[Path] | None = None) -> None:
        self._rows = rows
        self._whitening = whitening
        self._parts = parts
        self._kept: list[tuple[np.ndarray, np.ndarray]] | None = None

    def read(self) -> None:
        """Goes through the rows once, so that :attr:`Rows.not_finite` knows of them."""
        for _ in self._batches():
            pass

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows.

        Args:
            vectors: (q, D) float32, whitened.
            k: How many rows to find, at least 1.

        Returns:
            (q, k) int64 row numbers and (q, k) float32 similarities, best first; -1 and NaN where there are no more.
        """
        numbers = np.full((len(vectors), k), -1, np.int64)
        similarities = np.full((len(vectors), k), np.nan, np.float32)
        for batch_numbers, batch in self._batches():
            for some in blocks(len(vectors), len(batch)):
                found = np.clip(vectors[some] @ batch.T, -1, 1)
                # What was found before has the lower numbers.
                numbers[some], similarities[some] = best_of(
                    np.concatenate([numbers[some], np.broadcast_to(batch_numbers, found.shape)], axis=1),
                    np.concatenate([similarities[some], found], axis=1),
                    k,
                )
        return numbers, similarities

    def _batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        values = 0
        for numbers, vectors in self._rows.vectors(self._parts):
            whitened = self._whitening.apply(vectors)
            values += whitened.size
            if values <= _KEPT_VALUES:
                kept.append((numbers, whitened))
            else:
                kept.clear()
            yield numbers, whitened
        if values <= _KEPT_VALUES:
            self._kept = kept


def best_of(numbers: np.ndarray, similarities: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best of what was found, the first among equals.

    Args:
        numbers: (q, any) int64; -1 where there is nothing.
        similarities: (q, any) float32; NaN where there is nothing.
        k: How many to keep.

    Returns:
        (q, k) of each, best first.
    """
    columns, best = top(similarities, k)
    return np.where(columns < 0, -1, np.take_along_axis(numbers, np.maximum(columns, 0), axis=1)), best
