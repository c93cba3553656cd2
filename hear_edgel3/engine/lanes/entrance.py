"""The first two convolutions in one: what the first one puts out is made where the second one needs it.

The first layer has one input channel and is dense; its output is the largest array of the net, and writing and reading
it takes longer than computing it twice where patches overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.engine.lanes.compiled import kernel, part
from hear_edgel3.engine.lanes.direct import Nonzeros, sum_block
from hear_edgel3.engine.lanes.patches import take_patch
from hear_edgel3.engine.lanes.place import Place
from hear_edgel3.engine.lanes.transforms import patch_into, transformed
from hear_edgel3.engine.lanes.vectors import (
    add_scaled,
    columns_of,
    from_lane_before,
    from_lane_behind,
    lanes_of_tile,
    largest,
    load,
    splat,
    store,
    store_tile,
    tile_larger,
    tile_of,
    tile_plus,
    zeros,
)
from hear_edgel3.engine.lanes.winograd import GROUP, PATCH, SPARE, put_tiles


class Entrance:
    """Both layers.

    Args:
        first: (n_in, 1, 3, 3) float32, weights of the first layer; ReLU follows.
        first_bias: (n_in,) float32.
        weights: (n_out, n_in, 3, 3) float32, of the second layer.
        bias: (n_out,) float32.
        place: of the second layer.
        rows: of a tile of the second one's output.
        columns: of a tile; even where the output is halved.
        block: channels between the layers whose patches are kept at once.

    Attributes:
        size_out: values of its output.
        room: values of the memory that it needs while it runs.
    """

    def __init__(
        self,
        first: np.ndarray,
        first_bias: np.ndarray,
        weights: np.ndarray,
        bias: np.ndarray,
        place: Place,
        rows: int,
        columns: int,
        block: int,
    ) -> None:
        n_out, n_in = weights.shape[:2]
        block = min(block, n_in)
        patch = (rows + 2) * (columns + 2)
        self._nonzeros = Nonzeros(weights, block, columns + 2, patch, place.lanes)
        self._first = (
            np.ascontiguousarray(first.reshape(n_in, 9), np.float32),
            np.ascontiguousarray(first_bias, np.float32),
        )
        self._fixed = (place.height, place.width)
        self._more = (place.width_out, place.pool, place.relu, np.ascontiguousarray(bias, np.float32), block)
        self._kernel = make_direct_kernel(rows, columns, place.lanes, place.strips)
        self.size_out = place.size_out(n_out, place.tiles(rows, columns))
        framed = (place.height + 2) * (place.width + columns + 4)
        self.room = (framed + block * patch + (n_out + 1) * rows * columns) * place.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs both; all are addresses."""
        kept = self._nonzeros
        self._kernel(
            x,
            *self._fixed,
            *self._first,
            out,
            *self._more,
            kept.offsets,
            kept.values,
            kept.outputs,
            kept.starts,
            room,
        )


class DenseEntrance:
    """Both layers, the second by Winograd's algorithm.

    Args:
        first: (n_in, 1, 3, 3) float32, weights of the first layer; ReLU follows.
        first_bias: (n_in,) float32.
        weights: (n_out, n_in, 3, 3) float32, of the second layer.
        bias: (n_out,) float32.
        place: of the second layer.
        rows: of a tile of the second one's output, 4 or 2.
        columns: of a tile, 4 or 6.
        block: outputs at once in registers.
        tiles: tiles at once in registers.

    Attributes:
        size_out: values of its output.
        room: values of the memory that it needs while it runs.
    """

    def __init__(
        self,
        first: np.ndarray,
        first_bias: np.ndarray,
        weights: np.ndarray,
        bias: np.ndarray,
        place: Place,
        rows: int,
        columns: int,
        block: int,
        tiles: int,
    ) -> None:
        n_out, n_in = weights.shape[:2]
        self._fixed = (
            place.height,
            place.width,
            np.ascontiguousarray(first.reshape(n_in, 9), np.float32),
            np.ascontiguousarray(first_bias, np.float32),
        )
        transformed_weights = transformed(weights, rows, columns, GROUP, block)
        self._more = (
            place.width_out,
            place.pool,
            place.relu,
            np.ascontiguousarray(bias, np.float32),
            transformed_weights,
        )
        self._kernel = make_winograd_kernel(rows, columns, place.lanes, place.strips, block, tiles)
        self.size_out = place.size_out(n_out, place.tiles(rows, columns))
        framed = (place.height + 2) * (place.width + columns + 4)
        places = (rows + 2) * (columns + 2)
        self.room = (framed + SPARE + places * (n_in * tiles + 1 + GROUP * tiles + 1)) * place.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs both; all are addresses."""
        self._kernel(x, *self._fixed, out, *self._more, room)


@part
def frame(zero: Any, target: int, x: int, height: int, width: int, pitch: int) -> None:
    """Copies the image with what is around it: rows above and below, two columns at its left, the rest at its right."""
    take_patch(zero, target, x, height, width, -1, -2, height + 2, pitch)


@part(inlined=True)
def first_layer(
    blank: Any,
    weights: Any,
    bias: Any,
    channel: int,
    framed: int,
    pitch: int,
    height: int,
    width: int,
    top: int,
    left: int,
    rows: int,
    target: int,
) -> None:
    """Computes a patch of the first layer's output, after ReLU, as take_patch would take it.

    Args:
        blank: a tile of zeros, one row of the patch.
        weights: (channels, 9).
        bias: (channels,).
        channel: which one.
        framed: address of what :func:`frame` makes.
        pitch: vectors in a row of that.
        height: rows of a strip.
        width: columns of the image.
        top: the patch's first row, from -1.
        left: its first column, from -1.
        rows: of the patch.
        target: address of the patch.
    """
    columns = columns_of(blank)
    size = 4 * lanes_of_tile(blank)
    zero = largest(blank)
    for r in range(rows):
        # Rows outside a strip are those of the strip before or behind it; beyond the image they are zero, and not what
        # the first layer would make there.
        row = top + r
        line = tile_plus(blank, splat(zero, bias[channel]))
        source = framed + ((row + height) % height * pitch + left + 1) * size
        for dy in range(3):
            for dx in range(3):
                line = add_scaled(line, weights[channel, 3 * dy + dx], source + (dy * pitch + dx) * size)
        here = target + r * columns * size
        store_tile(tile_larger(line, zero), here, 0)
        if row < 0:
            for c in range(columns):
                store(from_lane_before(load(zero, here + c * size)), here + c * size)
        elif row >= height:
            for c in range(columns):
                store(from_lane_behind(load(zero, here + c * size)), here + c * size)
        if left < 0:
            store(zero, here)
        for c in range(width - left, columns):
            store(zero, here + c * size)


@cache
def make_direct_kernel(rows: int, columns: int, lanes: int, strips: int) -> Callable[..., None]:
    """The kernel for tiles of some rows and columns."""
    size = 4 * lanes
    tall, wide = rows + 2, columns + 2
    patch = tall * wide * size

    @kernel
    def convolve(
        x: int,
        height: int,
        width: int,
        first: Any,
        first_bias: Any,
        out: int,
        width_out: int,
        pool: int,
        relu: bool,
        bias: Any,
        block: int,
        offsets: Any,
        values: Any,
        outputs: Any,
        starts: Any,
        room: int,
    ) -> None:
        n_in = len(first_bias)
        n_blocks = (n_in + block - 1) // block
        across = (width_out + columns - 1) // columns
        offset, value = offsets.ctypes.data, values.ctypes.data
        zero = zeros(lanes, strips)
        floor = zero if relu else splat(zero, np.float32(-np.inf))
        pitch = width + columns + 4
        framed = room
        frame(zero, framed, x, height, width, pitch)
        line, like = tile_of(1, wide, zero), tile_of(rows, columns, zero)
        patches = framed + (height + 2) * pitch * size
        sums = patches + block * patch
        for t in range(height // rows * across):
            top, left = t // across * rows, t % across * columns
            for b in range(n_blocks):
                begin = b * block
                for i in range(begin, min(begin + block, n_in)):
                    target = patches + (i - begin) * patch
                    first_layer(
                        line, first, first_bias, i, framed, pitch, height, width, top - 1, left - 1, tall, target
                    )
                sum_block(
                    like,
                    bias,
                    outputs,
                    starts,
                    offset,
                    value,
                    b,
                    n_blocks,
                    patches,
                    sums,
                    floor,
                    out,
                    height,
                    width_out,
                    top,
                    left,
                    pool,
                )

    return convolve


@cache
def make_winograd_kernel(
    rows: int, columns: int, lanes: int, strips: int, block: int, tiles: int
) -> Callable[..., None]:
    """The kernel for a second layer that is computed by Winograd's algorithm."""
    size = 4 * lanes
    tall, wide = rows + 2, columns + 2
    places = tall * wide

    @kernel
    def convolve(
        x: int,
        height: int,
        width: int,
        first: Any,
        first_bias: Any,
        out: int,
        width_out: int,
        pool: int,
        relu: bool,
        bias: Any,
        weights: Any,
        room: int,
    ) -> None:
        n_in = len(first_bias)
        across = (width_out + columns - 1) // columns
        total = height // rows * across
        # A vector more than is needed, so that places do not fall on each other in the cache.
        stride_in, stride_out = (n_in * tiles + 1) * size, (GROUP * tiles + 1) * size
        zero = zeros(lanes, strips)
        floor = zero if relu else splat(zero, np.float32(-np.inf))
        line, like, blank = tile_of(1, wide, zero), tile_of(rows, columns, zero), tile_of(block, tiles, zero)
        pitch = width + columns + 4
        framed = room
        frame(zero, framed, x, height, width, pitch)
        patch = framed + (height + 2) * pitch * size
        between, inputs = patch + PATCH * size, patch + SPARE * size
        sums = inputs + places * stride_in
        for begin in range(0, total, tiles):
            for t in range(tiles):
                number = min(begin + t, total - 1)
                top, left = number // across * rows, number % across * columns
                for i in range(n_in):
                    first_layer(
                        line, first, first_bias, i, framed, pitch, height, width, top - 1, left - 1, tall, patch
                    )
                    patch_into(
                        zero, rows, columns, patch, wide * size, inputs + (i * tiles + t) * size, stride_in, between
                    )
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
                patch,
            )

    return convolve
