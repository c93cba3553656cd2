"""The transforms of Winograd's algorithm: of weights, of patches, and back to tiles.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: for a tile of R by C pixels a patch of
R + 2 by C + 2 is transformed (B^T d B), multiplied with the transformed weights (G g G^T) at each of its positions,
summed over the input channels, and transformed back (A^T m A). In one direction that is Cook's and Toom's algorithm:
patch and weights are polynomials, of which the product is known from its values at some points.

The points decide how much is rounded off: 0 and +-1 for 2 pixels; 0, +-5/8 and +-3/2 for 4, where the usual +-1 and
+-2 lose twice as much; 0, +-1/2, +-1 and +-2 for 6; each time infinity besides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import part
from hear_edgel3.compiled.simd import lanes_of, load, plus_times, splat, store

# Vectors of memory for what is between the transforms of rows and of columns.
BETWEEN = 64
# Numbers below are written with their type, and all are exact in it.
f32 = np.float32


def _of_weights(points: Sequence[float]) -> np.ndarray:
    """G: the values at some points and at infinity of a polynomial of 3 coefficients, divided as Lagrange does."""
    rows = [np.array([1, p, p * p]) / math.prod(p - q for q in points if q != p) for p in points]
    return np.array([*rows, [0, 0, 1]])


_BY_SIZE = {
    2: _of_weights((0, 1, -1)),
    4: _of_weights((0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)),
    6: _of_weights((0, 1 / 2, -1 / 2, 1, -1, 2, -2)),
}


def transformed(weights: np.ndarray, rows: int, columns: int, group: int, block: int) -> np.ndarray:
    """G g G^T, computed in float64.

    Args:
        weights: (n_out, n_in, 3, 3).
        rows: of the tiles, 2, 4 or 6.
        columns: of the tiles, 2, 4 or 6.
        group: outputs that are summed up before they are transformed back; n_out is a multiple of it.
        block: outputs at once in registers; group is a multiple of it.

    Returns:
        (n_out / group, positions, group / block, n_in, block) float32.
    """
    n_out, n_in = weights.shape[:2]
    both = np.kron(_BY_SIZE[rows], _BY_SIZE[columns])  # (positions, 9)
    found = np.empty((n_out // group, len(both), group // block, n_in, block), np.float32)
    for one, some in zip(found, weights.reshape(len(found), group // block, block, n_in, 9), strict=True):
        with np.errstate(over="ignore"):  # what becomes infinite shows in the embeddings, which are checked
            one.reshape(len(both), -1)[:] = both @ some.transpose(3, 0, 2, 1).reshape(9, -1).astype(np.float64)
    return found


@part(inlined=True)
def _into6(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any) -> Any:
    a, b = plus_times(d4, d2, f32(-9 / 4)), plus_times(d3, d1, f32(-9 / 4))
    c, e = plus_times(d4, d2, f32(-25 / 64)), plus_times(d3, d1, f32(-25 / 64))
    return (
        plus_times(plus_times(d4, d2, f32(-169 / 64)), d0, f32(225 / 256)),
        plus_times(a, b, f32(5 / 8)),
        plus_times(a, b, f32(-5 / 8)),
        plus_times(c, e, f32(3 / 2)),
        plus_times(c, e, f32(-3 / 2)),
        plus_times(plus_times(d5, d3, f32(-169 / 64)), d1, f32(225 / 256)),
    )


@part(inlined=True)
def _back6(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> Any:
    a, b, c, e = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return (
        m0 + a + c,
        plus_times(b * splat(b, f32(5 / 8)), e, f32(3 / 2)),
        plus_times(a * splat(a, f32(25 / 64)), c, f32(9 / 4)),
        plus_times(plus_times(m5, b, f32(125 / 512)), e, f32(27 / 8)),
    )


@part(inlined=True)
def _into8(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any, d6: Any, d7: Any) -> Any:
    a, b = plus_times(plus_times(d6, d4, f32(-5)), d2, f32(4)), plus_times(plus_times(d5, d3, f32(-5)), d1, f32(4))
    c, e = plus_times(d6 + d2, d4, f32(-17 / 4)), plus_times(d5 + d1, d3, f32(-17 / 4))
    f = plus_times(plus_times(d6, d4, f32(-5 / 4)), d2, f32(1 / 4))
    g = plus_times(plus_times(d5, d3, f32(-5 / 4)), d1, f32(1 / 4))
    return (
        plus_times(d6 - d0, d2 - d4, f32(21 / 4)),
        plus_times(a, b, f32(1 / 2)),
        plus_times(a, b, f32(-1 / 2)),
        c + e,
        c - e,
        plus_times(f, g, f32(2)),
        plus_times(f, g, f32(-2)),
        plus_times(d7 - d1, d3 - d5, f32(21 / 4)),
    )


@part(inlined=True)
def _back8(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any, m6: Any, m7: Any) -> Any:
    a, b, c, e, f, g = m1 + m2, m1 - m2, m3 + m4, m3 - m4, m5 + m6, m5 - m6
    return (
        m0 + a + c + f,
        plus_times(plus_times(e, b, f32(1 / 2)), g, f32(2)),
        plus_times(plus_times(c, a, f32(1 / 4)), f, f32(4)),
        plus_times(plus_times(e, b, f32(1 / 8)), g, f32(8)),
        plus_times(plus_times(c, a, f32(1 / 16)), f, f32(16)),
        plus_times(plus_times(m7 + e, b, f32(1 / 32)), g, f32(32)),
    )


@part(inlined=True)
def _into(zero: Any, n: int, source: int, step: int, target: int, stride: int) -> None:
    """B^T d of n vectors, 4, 6 or 8, that lie `step` bytes apart; the result's lie `stride` bytes apart."""
    d0, d1 = load(zero, source), load(zero, source + step)
    d2, d3 = load(zero, source + 2 * step), load(zero, source + 3 * step)
    if n == 4:
        store(d2 - d0, target)
        store(d1 + d2, target + stride)
        store(d2 - d1, target + 2 * stride)
        store(d3 - d1, target + 3 * stride)
        return
    d4, d5 = load(zero, source + 4 * step), load(zero, source + 5 * step)
    if n == 6:
        e0, e1, e2, e3, e4, e5 = _into6(d0, d1, d2, d3, d4, d5)
    else:
        d6, d7 = load(zero, source + 6 * step), load(zero, source + 7 * step)
        e0, e1, e2, e3, e4, e5, e6, e7 = _into8(d0, d1, d2, d3, d4, d5, d6, d7)
        store(e6, target + 6 * stride)
        store(e7, target + 7 * stride)
    store(e0, target)
    store(e1, target + stride)
    store(e2, target + 2 * stride)
    store(e3, target + 3 * stride)
    store(e4, target + 4 * stride)
    store(e5, target + 5 * stride)


@part(inlined=True)
def _back(zero: Any, n: int, source: int, step: int, target: int, stride: int) -> None:
    """A^T m of n vectors, 4, 6 or 8, that lie `step` bytes apart; the result's, two fewer, lie `stride` bytes apart."""
    m0, m1 = load(zero, source), load(zero, source + step)
    m2, m3 = load(zero, source + 2 * step), load(zero, source + 3 * step)
    if n == 4:
        store(m0 + m1 + m2, target)
        store(m1 - m2 + m3, target + stride)
        return
    m4, m5 = load(zero, source + 4 * step), load(zero, source + 5 * step)
    if n == 6:
        y0, y1, y2, y3 = _back6(m0, m1, m2, m3, m4, m5)
    else:
        m6, m7 = load(zero, source + 6 * step), load(zero, source + 7 * step)
        y0, y1, y2, y3, y4, y5 = _back8(m0, m1, m2, m3, m4, m5, m6, m7)
        store(y4, target + 4 * stride)
        store(y5, target + 5 * stride)
    store(y0, target)
    store(y1, target + stride)
    store(y2, target + 2 * stride)
    store(y3, target + 3 * stride)


@part(inlined=True)
def patch_into(
    zero: Any, rows: int, columns: int, patch: int, pitch: int, target: int, stride: int, between: int
) -> None:
    """B^T d B of the patch of a tile.

    Args:
        zero: a vector of zeros.
        rows: of the tile; the patch has two more.
        columns: of the tile; the patch has two more.
        patch: its address.
        pitch: bytes from one of its rows to the next.
        target: address of the result's first position.
        stride: bytes from a position to the next.
        between: address of BETWEEN vectors to work in.
    """
    size = 4 * lanes_of(zero)
    wide = columns + 2
    for r in range(rows + 2):
        _into(zero, wide, patch + r * pitch, size, between + r * wide * size, size)
    for c in range(wide):
        _into(zero, rows + 2, between + c * size, wide * size, target + c * stride, wide * stride)


@part(inlined=True)
def tile_back(zero: Any, rows: int, columns: int, source: int, stride: int, tile: int, between: int) -> None:
    """A^T m A of the sums of products at all positions.

    Args:
        zero: a vector of zeros.
        rows: of the tile.
        columns: of the tile.
        source: address of the first position.
        stride: bytes from a position to the next.
        tile: address of rows * columns vectors, the result.
        between: address of BETWEEN vectors to work in.
    """
    size = 4 * lanes_of(zero)
    wide = columns + 2
    for c in range(wide):
        _back(zero, rows + 2, source + c * stride, wide * stride, between + c * size, wide * size)
    for r in range(rows):
        _back(zero, wide, between + r * wide * size, size, tile + r * columns * size, size)
