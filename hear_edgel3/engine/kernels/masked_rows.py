"""Rows of maps that are strips of time: their halos, what is masked, and their sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import part
from hear_edgel3.compiled.simd import from_lane_before, from_lane_behind, lanes_of, larger, load, splat, store
from hear_edgel3.engine.kernels.tile_ops import swapped, where

# Less than anything that a net puts out.
LEAST = np.float32(-3e38)


@part
def clear(zero: Any, address: int, n: int) -> None:
    """Writes n vectors of zeros."""
    size = 4 * lanes_of(zero)
    for i in range(n):
        store(zero, address + i * size)


@part
def copy(zero: Any, source: int, target: int, n: int) -> None:
    """Copies n vectors."""
    size = 4 * lanes_of(zero)
    for i in range(n):
        store(load(zero, source + i * size), target + i * size)


@part
def mask_row(zero: Any, row: int, begin: int, end: int, mask: int) -> None:
    """Sets to zero what lies behind the end of an image, whatever it is, in some of a row's columns."""
    size = 4 * lanes_of(zero)
    for c in range(begin, end):
        store(where(load(zero, row + c * size), load(zero, mask + c * size)), row + c * size)


@part
def add_halo(zero: Any, row: int, width: int, reach: int, edges: int) -> None:
    """Writes `reach` columns before and behind a row of `width`: those of the neighbouring strips, or zeros.

    Rows may be shorter than that: then these are columns of the neighbours' neighbours, too.

    Args:
        zero: a vector of zeros.
        row: address of the row.
        width: its columns.
        reach: of the convolution.
        edges: address of two vectors, zero for the first and for the last strip of an image, by
            :meth:`hear_edgel3.engine.kernels.strips_of_time.StripsOfTime.edges`.
    """
    size = 4 * lanes_of(zero)
    first, last = load(zero, edges), load(zero, edges + size)
    for i in range(min(reach, width)):
        store(where(from_lane_before(load(zero, row + (width - 1 - i) * size)), first), row - (1 + i) * size)
        store(where(from_lane_behind(load(zero, row + i * size)), last), row + (width + i) * size)
    for i in range(width, reach):  # what was just written a row's length nearer, of the neighbour
        store(where(from_lane_before(load(zero, row - (1 + i - width) * size)), first), row - (1 + i) * size)
        store(where(from_lane_behind(load(zero, row + i * size)), last), row + (width + i) * size)


@part
def sum_of_strips(x: Any, strips: int) -> Any:
    """In each lane, the sum over all lanes of its image, of so many strips."""
    if strips > 1:
        x = x + swapped(x, 1)
    if strips > 2:
        x = x + swapped(x, 2)
    if strips > 4:
        x = x + swapped(x, 4)
    if strips > 8:
        x = x + swapped(x, 8)
    return x


@part
def largest_of_strips(x: Any, strips: int) -> Any:
    """In each lane, the largest value in all lanes of its image, of so many strips; NaN where there is one."""
    if strips > 1:
        x = larger(x, swapped(x, 1))
    if strips > 2:
        x = larger(x, swapped(x, 2))
    if strips > 4:
        x = larger(x, swapped(x, 4))
    if strips > 8:
        x = larger(x, swapped(x, 8))
    return x


@part
def sum_row(zero: Any, row: int, width: int, begin: int, mask: int) -> Any:
    """The sum of a row's columns, lane by lane, without what is masked."""
    size = 4 * lanes_of(zero)
    total = zero
    for c in range(begin):
        total = total + load(zero, row + c * size)
    for c in range(begin, width):
        total = total + where(load(zero, row + c * size), load(zero, mask + c * size))
    return total


@part
def largest_in_row(zero: Any, row: int, width: int, begin: int, mask: int) -> Any:
    """The largest of a row's columns, lane by lane, without what is masked."""
    size = 4 * lanes_of(zero)
    most = splat(zero, LEAST)
    for c in range(begin):
        most = larger(most, load(zero, row + c * size))
    for c in range(begin, width):
        within = load(zero, mask + c * size)
        masked = (splat(zero, np.float32(1.0)) - within) * splat(zero, LEAST)
        most = larger(most, where(load(zero, row + c * size), within) + masked)
    return most
