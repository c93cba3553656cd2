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
                best = merged(
                    (numbers[some], similarities[some]),
                    (np.broadcast_to(batch_numbers, found.shape), found),
                    k,
                )
                numbers[some], similarities[some] = best
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


def merged(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best of two answers: numbers and similarities (q, any), NaN where there is nothing, to (q, k) each."""
    numbers = np.concatenate([one[0], other[0]], axis=1)
    columns, similarities = top(np.concatenate([one[1], other[1]], axis=1), k)
    return np.where(columns < 0, -1, np.take_along_axis(numbers, np.maximum(columns, 0), axis=1)), similarities
