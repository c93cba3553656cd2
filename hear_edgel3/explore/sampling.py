"""A part of the clips of a large dataset, from all of its recordings."""

from __future__ import annotations

import numpy as np


def chosen(of_clip: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the clips: the same ones each time, and in the same order.

    Recordings get equally many, but for those that have fewer; of each they are spread evenly over its clips. Where
    there are more recordings than that, recordings are chosen, evenly spread over their order, with a clip of each.

    Args:
        of_clip: (n,) int64, the number of the recording that each clip is of.
        most: How many to keep, at least 1.

    Returns:
        The numbers of the clips that are kept, ascending.
    """
    if len(of_clip) <= most:
        return np.arange(len(of_clip))
    order = np.argsort(of_clip, kind="stable")
    counts = np.bincount(of_clip)
    starts = np.cumsum(counts) - counts
    shares = _shares(counts, most)
    kept = [
        order[start + _spread(count, share)]
        for start, count, share in zip(starts, counts, shares, strict=True)
        if share
    ]
    return np.sort(np.concatenate(kept))


def _shares(counts: np.ndarray, most: int) -> np.ndarray:
    """How many of each recording's clips are kept, ``most`` in all."""
    low, high = 0, most  # the most that all may have, which is at least low and less than high + 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= most else (low, middle - 1)
    shares: np.ndarray = np.minimum(counts, low)
    have_more = np.flatnonzero(counts > low)
    shares[have_more[_spread(len(have_more), most - int(shares.sum()))]] += 1
    return shares


def _spread(count: int, n: int) -> np.ndarray:
    """Some of the numbers below a count, evenly spread, each once."""
    return (2 * np.arange(n) + 1) * count // (2 * max(n, 1))
