"""The compiled kernels' maxima, each in a function of its own that takes (n, 4) float32."""

from __future__ import annotations

import numpy as np
from numba import njit

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.compiled.simd import larger, largest, load, load_tile, pooled, store, tile_of, zeros

_BYTES = 16  # of a vector of four lanes


def _called(function, values: np.ndarray) -> np.ndarray:
    source, target = aligned(values.size), aligned(4)
    source[:] = values.reshape(-1)
    function(source.ctypes.data, target.ctypes.data)
    return target.copy()


@njit
def _larger(source, target):
    like = zeros(4, 1)
    store(larger(load(like, source), load(like, source + _BYTES)), target)


@njit
def _largest(source, target):
    store(largest(load_tile(tile_of(2, 2, zeros(4, 1)), source)), target)


@njit
def _pooled(source, target):
    store(largest(pooled(load_tile(tile_of(2, 2, zeros(4, 1)), source))), target)


def larger_of_two(values: np.ndarray) -> np.ndarray:
    """The larger of two vectors."""
    return _called(_larger, values)


def largest_of_four(values: np.ndarray) -> np.ndarray:
    """The largest of a tile."""
    return _called(_largest, values)


def pooled_two_by_two(values: np.ndarray) -> np.ndarray:
    """A tile of two by two, pooled."""
    return _called(_pooled, values)
