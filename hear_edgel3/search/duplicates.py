"""Groups of files that sound the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hear_edgel3._checks import check_flags, check_share, check_whole
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import Span, read_file_means
from hear_edgel3.search import hnsw
from hear_edgel3.search.neighbours import blocks, nearest
from hear_edgel3.search.whitening import Whitening

# What `python -m tests.benchmarks.same_sounds` suggests for the built-in net and mn04_as: at 0.95 as many clips are
# alike by chance, and fewer altered copies are found.
THRESHOLD = 0.9
# All pairs of more files than this are slower exactly than by way of an index.
_EXACT_FILES = 100_000
_NEIGHBOURS = 32  # that an index is asked for; equal embeddings are put together before


@dataclass(frozen=True)
class DuplicateGroup:
    """Files that sound the same, each like at least one other of them.

    Attributes:
        files: Their names, as the dataset has them, in its order.
        similarity: For each file there is a similarity to the one most like it; this is the least of these.
        spans: Where the clips begin and end, in seconds of their files (None: the file's end); None for whole files.
    """

    files: tuple[str, ...]
    similarity: float
    spans: tuple[Span | None, ...] = ()


def find_duplicates(
    folder: str | os.PathLike[str], threshold: float = THRESHOLD, exact: bool | None = None, threads: int = 0
) -> list[DuplicateGroup]:
    """Files of a dataset that sound the same, in groups.

    Two files are in one group if a chain of files joins them, of which each is like the next. A file of a dataset of
    timestamps counts as the mean over its timestamps. In a dataset of clips each counts for itself.

    Args:
        folder: The dataset that ``hear-edgel3 extract`` wrote.
        threshold: The least similarity, above 0 and at most 1, see :mod:`hear_edgel3.search.whitening`.
        exact: True to compare all pairs, False to go by an approximate index; None for whichever is faster, as far as
            it is installed.
        threads: How many threads the index has; 0 for all cores.

    Returns:
        Groups of two or more files, in the order of their first ones.

    Raises:
        DatasetError: the folder is no dataset, or is damaged.
        InvalidOption: the threshold is out of range.
        MissingExtra: pyarrow is not installed, or usearch, and an index was asked for.
    """
    check_share(threshold, "threshold")
    means = read_file_means(Dataset(folder))
    return [
        DuplicateGroup(tuple(means.files[i] for i in rows), similarity, tuple(means.spans[i] for i in rows))
        for rows, similarity in find_alike(means.vectors, threshold, exact, threads)
    ]


def find_alike(
    vectors: np.ndarray, threshold: float = THRESHOLD, exact: bool | None = None, threads: int = 0
) -> list[tuple[list[int], float]]:
    """Embeddings that are alike, in groups, as :func:`find_duplicates` finds files.

    Args:
        vectors: (N, D) float32, all finite.
        threshold: The least similarity, above 0 and at most 1.
        exact: True to compare all pairs, False to go by an approximate index; None for whichever is faster.
        threads: How many threads the index has; 0 for all cores.

    Returns:
        For each group of two or more its rows in order, and the similarity; in the order of their first rows.

    Raises:
        InvalidOption: the threshold is out of range.
        MissingExtra: an index was asked for, and usearch is not installed.
    """
    check_share(threshold, "threshold")
    check_whole(threads, "threads", 0)
    if exact is not None:
        check_flags(exact=exact)
    whitened = Whitening.fit([vectors], vectors.shape[1], len(vectors)).apply(vectors)
    groups = _Groups(len(vectors))
    first = groups.join_equal(vectors)
    if exact is None:
        exact = len(first) <= _EXACT_FILES or not hnsw.installed()
    rows = whitened[first]
    pairs = _all_pairs(rows, threshold) if exact else _near_pairs(rows, threshold, threads)
    for one, other, similarities in pairs:
        groups.join(first[one], first[other], similarities)
    return groups.members()


class _Groups:
    """Which of n files are joined, by union-find."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))
        self._best = np.full(n, -np.inf)

    def join_equal(self, vectors: np.ndarray) -> np.ndarray:
        """Joins rows that are equal; returns the first of each kind."""
        first: dict[bytes, int] = {}
        for i, vector in enumerate(vectors):
            known = first.setdefault(hashlib.blake2b(vector.tobytes(), digest_size=16).digest(), i)
            if known != i:
                self.join(np.array([known]), np.array([i]), np.ones(1))
        return np.fromiter(first.values(), np.int64, len(first))

    def join(self, one: np.ndarray, other: np.ndarray, similarities: np.ndarray) -> None:
        """Joins the files of pairs."""
        np.maximum.at(self._best, one, similarities)
        np.maximum.at(self._best, other, similarities)
        for i, j in zip(one.tolist(), other.tolist(), strict=True):
            a, b = self._root(i), self._root(j)
            self._parent[max(a, b)] = min(a, b)

    def members(self) -> list[tuple[list[int], float]]:
        """Members of each group of two or more, and the least of their best similarities."""
        members: dict[int, list[int]] = {}
        for i in np.flatnonzero(np.isfinite(self._best)).tolist():
            members.setdefault(self._root(i), []).append(i)
        return [(group, float(self._best[group].min())) for _, group in sorted(members.items())]

    def _root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i


def _all_pairs(rows: np.ndarray, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for some in blocks(len(rows), len(rows)):
        similarities = rows[some] @ rows[some.start :].T
        one, other = np.nonzero(similarities >= threshold)
        later = other > one
        one, other = one[later], other[later]
        yield one + some.start, other + some.start, np.minimum(similarities[one, other], 1)


def _near_pairs(
    rows: np.ndarray, threshold: float, threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    numbers, similarities = nearest(rows, _NEIGHBOURS, exact=False, threads=threads)
    one, column = np.nonzero(similarities >= threshold)
    yield one, numbers[one, column], similarities[one, column]
