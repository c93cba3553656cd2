"""Search without an index: all rows are compared, a batch at a time.

Whitening a row is D times D products, and comparing it D. But (x - c) A has the product with a whitened question q that
x - c has with A q. So the question's axes are changed back, not those of the rows: of these only the lengths are needed
after whitening, which are found once. What may be among the best is then compared once more, in 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hear_edgel3.disk.state import FileState, file_state
from hear_edgel3.search.neighbours import blocks, top
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.whitening import Whitening

_KEPT_VALUES = 1 << 28  # 1 GiB; datasets with more are read again for every search
# How far off a similarity may be before it is compared in 64 bits. What 32 bits make of equal rows differs, too, by
# where they lie in a batch: their order would be one of chance.
_DOUBT = 1e-4


class _Batch(NamedTuple):
    """Some rows: their numbers, (n, D) without the centre, and how long each is after whitening."""

    numbers: np.ndarray
    vectors: np.ndarray
    lengths: np.ndarray


class Scan:
    """All rows of some parts of a dataset, as they compare after whitening.

    Args:
        rows: The rows of the dataset.
        whitening: What is applied to them before they are compared.
        parts: The parts to search in; None for all.
    """

    def __init__(self, rows: Rows, whitening: Whitening, parts: Sequence[Path] | None = None) -> None:
        self._rows = rows
        self._whitening = whitening
        self._parts = parts
        self._kept: list[_Batch] | None = None
        # Of each part what it was like when its rows were gone through, and their lengths, by batches.
        self._lengths: dict[Path, tuple[FileState | None, list[np.ndarray]]] = {}

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
        asked = vectors @ self._whitening.axes.T
        for rows in self._batches():
            for some in blocks(len(vectors), len(rows.numbers)):
                about = asked[some] @ rows.vectors.T / rows.lengths
                for i in range(*some.indices(len(vectors))):
                    likely = _likely(about[i - some.start], similarities[i])
                    found = self._whitening.similarities(vectors[i], rows.vectors[likely])
                    # What was found before has the lower numbers.
                    numbers[i : i + 1], similarities[i : i + 1] = best_of(
                        np.concatenate([numbers[i], rows.numbers[likely]])[None],
                        np.concatenate([similarities[i], found])[None],
                        k,
                    )
        return numbers, similarities

    def _batches(self) -> Iterator[_Batch]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[_Batch] = []
        values = 0
        for part in self._rows.dataset.parts if self._parts is None else self._parts:
            for batch in self._of_part(part):
                values += batch.vectors.size
                if values <= _KEPT_VALUES:
                    kept.append(batch)
                else:
                    kept.clear()
                yield batch
        if values <= _KEPT_VALUES:
            self._kept = kept

    def _of_part(self, part: Path) -> Iterator[_Batch]:
        state = file_state(part)
        before, known = self._lengths.get(part, (None, []))
        if before != state:
            known = []
        lengths: list[np.ndarray] = []
        for numbers, vectors in self._rows.vectors([part]):
            centred = vectors.astype(np.float32) - self._whitening.centre
            lengths.append(known[len(lengths)] if known else self._whitening.lengths(centred))
            yield _Batch(numbers, centred, lengths[-1])
        self._lengths[part] = (state, lengths)


def _likely(about: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Where in (n,) similarities those are that may be among the best, after the best (k,) so far; NaN for none."""
    k = len(found)
    least = -np.inf if np.isnan(found[-1]) else float(found[-1])
    if len(about) > k:
        least = max(least, float(np.partition(about, -k)[-k]))
    return np.flatnonzero(about >= least - _DOUBT)


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
