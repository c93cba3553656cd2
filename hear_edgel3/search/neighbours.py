"""Nearest neighbours by cosine similarity: exactly, by blocks of matrix products, or by an index where that is slow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hear_edgel3._checks import check_flags, check_whole, shown
from hear_edgel3.errors import InvalidOption
from hear_edgel3.search import hnsw

# All pairs of more rows than this are slower exactly than by way of an index.
EXACT_ROWS = 50_000
_SIMILARITIES_AT_ONCE = 1 << 24  # 64 MiB


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors at length 1; those that have no direction (zeros, or not finite) become zeros.

    Args:
        vectors: (n, D) floating point.

    Returns:
        (n, D) float32.
    """
    wide = np.array(vectors, np.float32)
    wide[~np.isfinite(wide).all(axis=1)] = 0
    peak = np.abs(wide).max(axis=1, keepdims=True, initial=0)
    wide /= np.where(peak > 0, peak, 1)  # so that no square overflows or vanishes
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(length > 0, length, 1)
    return wide


def nearest(vectors: np.ndarray, k: int, exact: bool | None = None, threads: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The nearest others of every row, by cosine similarity.

    The plain cosine of embeddings tells little: apply a :class:`~hear_edgel3.search.whitening.Whitening` first.

    Args:
        vectors: (n, D) floating point.
        k: How many others to find.
        exact: True to compare all pairs, False to go by an approximate index; None for whichever is faster, as far as
            it is installed.
        threads: How many threads the index has; 0 for all cores.

    Returns:
        (n, k) int64 row numbers and (n, k) float32 similarities in [-1, 1], best first. A row is never its own
        neighbour. Where there are no more neighbours the number is -1 and the similarity NaN: a row of zeros, or
        with a value that is not finite, has none and is none.

    Raises:
        InvalidOption: k is not a positive number, or ``vectors`` is not a matrix.
        MissingExtra: usearch is not installed, and an index was asked for.
    """
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f":
        raise InvalidOption(f"vectors must be a NumPy array of floats, got {shown(vectors)}")
    if vectors.ndim != 2:
        raise InvalidOption(f"vectors must be a matrix (n, D), got shape {vectors.shape}")
    check_whole(k, "k", 1)
    check_whole(threads, "threads", 0)
    if exact is not None:
        check_flags(exact=exact)
    rows = unit(vectors)
    if exact is None:
        exact = len(rows) <= EXACT_ROWS or not hnsw.installed()
    return _all_pairs(rows, k) if exact else _by_index(rows, k, threads)


def top(similarities: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, best first, and the lower number first among equals.

    Args:
        similarities: (q, n); NaN where there is nothing to be found.
        k: How many to find.

    Returns:
        (q, k) int64 columns and (q, k) float32 similarities, with -1 and NaN where there are no more.
    """
    n_rows, n = similarities.shape
    values = np.where(np.isnan(similarities), -np.inf, similarities)
    numbers = np.full((n_rows, k), -1, np.int64)
    found = np.full((n_rows, k), np.nan, np.float32)
    kept = min(k, n)
    if kept == 0:
        return numbers, found
    best = np.argpartition(values, n - kept, axis=1)[:, n - kept :]
    least = np.take_along_axis(values, best, axis=1).min(axis=1)
    # A partition takes any of several equals at the cut, not the first.
    for row in np.flatnonzero(np.isfinite(least) & ((values >= least[:, None]).sum(axis=1) > kept)):
        candidates = np.flatnonzero(values[row] >= least[row])
        best[row] = candidates[np.argsort(-values[row, candidates], kind="stable")[:kept]]
    best.sort(axis=1)
    chosen = np.take_along_axis(values, best, axis=1)
    order = np.argsort(-chosen, axis=1, kind="stable")
    best, chosen = np.take_along_axis(best, order, axis=1), np.take_along_axis(chosen, order, axis=1)
    there = np.isfinite(chosen)
    numbers[:, :kept][there] = best[there]
    found[:, :kept][there] = chosen[there]
    return numbers, found


def blocks(n: int, columns: int) -> Iterator[slice]:
    """Slices of n rows whose products with ``columns`` rows fit into memory."""
    step = max(1, _SIMILARITIES_AT_ONCE // max(1, columns))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _all_pairs(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(rows)
    numbers = np.empty((n, k), np.int64)
    found = np.empty((n, k), np.float32)
    nowhere = np.flatnonzero(~rows.any(axis=1))
    for some in blocks(n, n):
        similarities = np.clip(rows[some] @ rows.T, -1, 1)
        similarities[:, nowhere] = np.nan
        similarities[nowhere[(nowhere >= some.start) & (nowhere < some.stop)] - some.start] = np.nan
        own = np.arange(some.start, some.stop)
        similarities[own - some.start, own] = np.nan
        numbers[some], found[some] = top(similarities, k)
    return numbers, found


def _by_index(rows: np.ndarray, k: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(rows)
    numbers = np.full((n, k), -1, np.int64)
    found = np.full((n, k), np.nan, np.float32)
    somewhere = np.flatnonzero(rows.any(axis=1))
    index = hnsw.new(rows.shape[1])
    index.add(somewhere, rows[somewhere], threads=threads)
    near, similarities = hnsw.search(index, rows[somewhere], k + 1, threads)
    # A row finds itself; where k + 1 equal ones hide it, the last is left out instead.
    others: np.ndarray = np.not_equal(near, somewhere[:, None])
    others[others.all(axis=1), -1] = False
    numbers[somewhere] = near[others].reshape(-1, k)
    found[somewhere] = np.clip(similarities[others].reshape(-1, k), -1, 1)
    return numbers, found
