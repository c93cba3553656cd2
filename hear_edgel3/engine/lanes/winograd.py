"""Convolution by Winograd's F(4x4, 3x3) and F(2x4, 3x3), for layers with few zeros.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: a patch of 6 by 6 is transformed
(B^T d B), multiplied with the transformed weights (G g G^T) at each of its 36 places, summed over the input channels,
and transformed back (A^T m A) to 4 by 4 pixels: 36 products instead of 144. Patches of 4 by 6, for maps whose strips
are 2 rows high, take 24 instead of 72.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.engine.lanes.compiled import kernel, part
from hear_edgel3.engine.lanes.patches import put_tile, take_patch
from hear_edgel3.engine.lanes.place import Place
from hear_edgel3.engine.lanes.vectors import (
    add_outer,
    columns_of,
    lanes_of,
    lanes_of_tile,
    load,
    load_tile,
    plus_times,
    rows_of,
    splat,
    store,
    store_tile,
    tile_of,
    tile_plus,
    zeros,
)

# Outputs whose sums are kept until they are transformed back.
GROUP = 16
# Vectors of memory for a patch, a tile, and what is between.
SPARE = 36 + 64
# Where polynomials are evaluated, besides 0 and infinity: at +-A and +-B. The usual 1 and 2 round off twice as much.
_A, _B = 5 / 8, 3 / 2
_G4 = np.array(
    [
        [1 / (_A * _B) ** 2, 0, 0],
        *(np.array([1, p, p * p]) / (2 * _A**2 * (_A**2 - _B**2)) for p in (_A, -_A)),
        *(np.array([1, p, p * p]) / (2 * _B**2 * (_B**2 - _A**2)) for p in (_B, -_B)),
        [0, 0, 1],
    ]
)
# All of these are exact in float32.
_PLUS_A, _MINUS_A, _PLUS_B, _MINUS_B = (np.float32(p) for p in (_A, -_A, _B, -_B))
_MINUS_A2, _MINUS_B2, _A2_B2, _MINUS_SUM = (
    np.float32(p) for p in (-(_A**2), -(_B**2), (_A * _B) ** 2, -(_A**2) - _B**2)
)
_A2, _B2, _A3, _B3 = (np.float32(p) for p in (_A**2, _B**2, _A**3, _B**3))
_G2 = np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]])


def transformed(weights: np.ndarray, rows: int, group: int, block: int) -> np.ndarray:
    """G g G^T, computed in float64.

    Args:
        weights: (n_out, n_in, 3, 3).
        rows: of the tiles, 4 or 2.
        group: outputs that are summed up before they are transformed back; n_out is a multiple of it.
        block: outputs at once in registers; group is a multiple of it.

    Returns:
        (n_out / group, places, group / block, n_in, block) float32.
    """
    down = _G4 if rows == 4 else _G2
    u = np.einsum("ra,oiab,cb->rcoi", down, weights.astype(np.float64), _G4)
    n_out, n_in = weights.shape[:2]
    u = u.reshape(len(down) * 6, n_out // group, group // block, block, n_in)
    return np.ascontiguousarray(u.transpose(1, 0, 2, 4, 3).astype(np.float32))


class Winograd:
    """A layer of this kind.

    Args:
        weights: (n_out, n_in, 3, 3) float32.
        bias: (n_out,) float32.
        place: where it stands; its height a multiple of `rows`.
        rows: of a tile of the output, 4 or 2; a tile has 4 columns.
        block: outputs at once in registers.
        tiles: tiles at once in registers.

    Attributes:
        size_out: values of its output.
        room: values of the memory that it needs while it runs.
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray, place: Place, rows: int, block: int, tiles: int) -> None:
        n_out, n_in = weights.shape[:2]
        self._fixed = (n_in, place.height, place.width)
        weights = transformed(weights, rows, GROUP, block)
        self._more = (place.width_out, place.pool, place.relu, np.ascontiguousarray(bias, np.float32), weights)
        self._kernel = make_kernel(rows, place.lanes, place.strips, block, tiles)
        self.size_out = place.size_out(n_out, place.tiles(rows, 4))
        places = (rows + 2) * 6
        self.room = (SPARE + places * (n_in * tiles + 1 + GROUP * tiles + 1)) * place.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs it; all are addresses."""
        self._kernel(x, *self._fixed, out, *self._more, room)


@part
def _into6(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any) -> Any:
    a, b = plus_times(d4, d2, _MINUS_B2), plus_times(d3, d1, _MINUS_B2)
    c, e = plus_times(d4, d2, _MINUS_A2), plus_times(d3, d1, _MINUS_A2)
    return (
        plus_times(plus_times(d4, d2, _MINUS_SUM), d0, _A2_B2),
        plus_times(a, b, _PLUS_A),
        plus_times(a, b, _MINUS_A),
        plus_times(c, e, _PLUS_B),
        plus_times(c, e, _MINUS_B),
        plus_times(plus_times(d5, d3, _MINUS_SUM), d1, _A2_B2),
    )


@part
def _from6(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> Any:
    a, b, c, e = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return (
        m0 + a + c,
        plus_times(b * splat(b, _PLUS_A), e, _PLUS_B),
        plus_times(a * splat(a, _A2), c, _B2),
        plus_times(plus_times(m5, b, _A3), e, _B3),
    )


@part
def _six(zero: Any, address: int, step: int) -> Any:
    return (
        load(zero, address),
        load(zero, address + step),
        load(zero, address + 2 * step),
        load(zero, address + 3 * step),
        load(zero, address + 4 * step),
        load(zero, address + 5 * step),
    )


@part
def patch_into(zero: Any, rows: int, patch: int, pitch: int, target: int, stride: int, room: int) -> None:
    """B^T d B of a patch of rows + 2 by 6 vectors at an address; its place p goes to target + p * stride."""
    size = 4 * lanes_of(zero)
    for r in range(rows + 2):
        e0, e1, e2, e3, e4, e5 = _into6(*_six(zero, patch + r * pitch, size))
        line = room + r * 6 * size
        store(e0, line)
        store(e1, line + size)
        store(e2, line + 2 * size)
        store(e3, line + 3 * size)
        store(e4, line + 4 * size)
        store(e5, line + 5 * size)
    for c in range(6):
        place = target + c * stride
        if rows == 4:
            e0, e1, e2, e3, e4, e5 = _into6(*_six(zero, room + c * size, 6 * size))
            store(e0, place)
            store(e1, place + 6 * stride)
            store(e2, place + 12 * stride)
            store(e3, place + 18 * stride)
            store(e4, place + 24 * stride)
            store(e5, place + 30 * stride)
        else:
            column = room + c * size
            d0, d1 = load(zero, column), load(zero, column + 6 * size)
            d2, d3 = load(zero, column + 12 * size), load(zero, column + 18 * size)
            store(d0 - d2, place)
            store(d1 + d2, place + 6 * stride)
            store(d2 - d1, place + 12 * stride)
            store(d1 - d3, place + 18 * stride)


@part
def places_from(zero: Any, rows: int, source: int, stride: int, room: int) -> None:
    """A^T m A of the places at source + p * stride, as rows by 4 vectors at `room`."""
    size = 4 * lanes_of(zero)
    between = room + rows * 4 * size
    for c in range(6):
        place = source + c * stride
        if rows == 4:
            y0, y1, y2, y3 = _from6(*_six(zero, place, 6 * stride))
            store(y0, between + c * size)
            store(y1, between + (6 + c) * size)
            store(y2, between + (12 + c) * size)
            store(y3, between + (18 + c) * size)
        else:
            m0, m1 = load(zero, place), load(zero, place + 6 * stride)
            m2, m3 = load(zero, place + 12 * stride), load(zero, place + 18 * stride)
            store(m0 + m1 + m2, between + c * size)
            store(m1 - m2 - m3, between + (6 + c) * size)
    for r in range(rows):
        y0, y1, y2, y3 = _from6(*_six(zero, between + r * 6 * size, size))
        line = room + r * 4 * size
        store(y0, line)
        store(y1, line + size)
        store(y2, line + 2 * size)
        store(y3, line + 3 * size)


@part
def sum_products(
    blank: Any,
    places: int,
    parts: int,
    weights: int,
    n_in: int,
    inputs: int,
    stride_in: int,
    sums: int,
    stride_out: int,
) -> None:
    """For each place the products of the transformed weights of a group of outputs and of some transformed patches.

    Args:
        blank: a tile of zeros: outputs at once by patches.
        places: of a patch.
        parts: how often a tile's outputs go into a group.
        weights: address of the group's (places, parts, n_in, outputs) float32.
        n_in: input channels.
        inputs: address of (places, n_in, patches) vectors.
        stride_in: bytes between its places.
        sums: address of (places, parts, outputs, patches) vectors.
        stride_out: bytes between its places.
    """
    outputs, patches = rows_of(blank), columns_of(blank)
    size = 4 * lanes_of_tile(blank)
    for p in range(places):
        for b in range(parts):
            w = weights + (p * parts + b) * n_in * outputs * 4
            v = inputs + p * stride_in
            tile = blank
            for _ in range(n_in):
                tile = add_outer(tile, w, v)
                w += outputs * 4
                v += patches * size
            store_tile(tile, sums + p * stride_out + b * outputs * patches * size, patches * size)


@part
def put_group(
    like: Any,
    bias: Any,
    first: int,
    group: int,
    begin: int,
    n_tiles: int,
    pitch: int,
    across: int,
    sums: int,
    stride_out: int,
    floor: Any,
    out: int,
    height: int,
    width_out: int,
    pool: int,
    spare: int,
) -> None:
    """Transforms the sums of a group of outputs back, and writes their tiles.

    Args:
        like: a tile of the output, for its shape.
        bias: of all outputs.
        first: of the group's outputs.
        group: outputs of it.
        begin: the number of the first tile.
        n_tiles: how many there are to write.
        pitch: how many there is room for in `sums`.
        across: tiles in a row of the image.
        sums: address of (places, group, pitch) vectors.
        stride_out: bytes between its places.
        floor: as put_tile.
        out: address of the output.
        height: as put_tile.
        width_out: as put_tile.
        pool: as put_tile.
        spare: address of memory to work in.
    """
    rows = rows_of(like)
    size = 4 * lanes_of(floor)
    for t in range(n_tiles):
        top, left = (begin + t) // across * rows, (begin + t) % across * 4
        for o in range(group):
            places_from(floor, rows, sums + (o * pitch + t) * size, stride_out, spare)
            tile = tile_plus(load_tile(like, spare), splat(floor, bias[first + o]))
            put_tile(tile, floor, out, first + o, len(bias), height, width_out, top, left, pool, spare)


@part
def put_tiles(
    blank: Any,
    like: Any,
    weights: int,
    bias: Any,
    n_in: int,
    begin: int,
    n_tiles: int,
    across: int,
    inputs: int,
    stride_in: int,
    sums: int,
    stride_out: int,
    floor: Any,
    out: int,
    height: int,
    width_out: int,
    pool: int,
    spare: int,
) -> None:
    """Computes some tiles of all outputs from their transformed patches, group by group; arguments as of its parts."""
    places, parts = (rows_of(like) + 2) * 6, GROUP // rows_of(blank)
    for first in range(0, len(bias), GROUP):
        w = weights + first * places * n_in * 4
        sum_products(blank, places, parts, w, n_in, inputs, stride_in, sums, stride_out)
        put_group(
            like,
            bias,
            first,
            GROUP,
            begin,
            n_tiles,
            columns_of(blank),
            across,
            sums,
            stride_out,
            floor,
            out,
            height,
            width_out,
            pool,
            spare,
        )


@cache
def make_kernel(rows: int, lanes: int, strips: int, block: int, tiles: int) -> Callable[..., None]:
    """The kernel for tiles of 4 or 2 rows, with `block` outputs of some tiles in registers."""
    size = 4 * lanes
    places = (rows + 2) * 6

    @kernel
    def convolve(
        x: int,
        n_in: int,
        height: int,
        width: int,
        out: int,
        width_out: int,
        pool: int,
        relu: bool,
        bias: Any,
        weights: Any,
        room: int,
    ) -> None:
        across = (width_out + 3) // 4
        total = height // rows * across
        # A vector more than is needed, so that places do not fall on each other in the cache.
        stride_in, stride_out = (n_in * tiles + 1) * size, (GROUP * tiles + 1) * size
        patch = room
        spare = patch + 36 * size
        inputs = spare + 64 * size
        sums = inputs + places * stride_in
        zero = zeros(lanes, strips)
        floor = zero if relu else splat(zero, np.float32(-np.inf))
        like, blank = tile_of(rows, 4, zero), tile_of(block, tiles, zero)
        for begin in range(0, total, tiles):
            for t in range(tiles):
                number = min(begin + t, total - 1)
                top, left = number // across * rows, number % across * 4
                inside = top > 0 and top + rows < height and left > 0 and left + 5 <= width
                for i in range(n_in):
                    plane = x + i * height * width * size
                    target = inputs + (i * tiles + t) * size
                    if inside:
                        corner = plane + ((top - 1) * width + left - 1) * size
                        patch_into(zero, rows, corner, width * size, target, stride_in, spare)
                    else:
                        take_patch(zero, patch, plane, height, width, top - 1, left - 1, rows + 2, 6)
                        patch_into(zero, rows, patch, 6 * size, target, stride_in, spare)
            n_tiles = min(tiles, total - begin)
            u = weights.ctypes.data
            put_tiles(
                blank,
                like,
                u,
                bias,
                n_in,
                begin,
                n_tiles,
                across,
                inputs,
                stride_in,
                sums,
                stride_out,
                floor,
                out,
                height,
                width_out,
                pool,
                spare,
            )

    return convolve
