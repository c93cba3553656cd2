"""Direct convolution with the weights that are not zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.engine.lanes.compiled import kernel, part
from hear_edgel3.engine.lanes.patches import put_tile, take_patch
from hear_edgel3.engine.lanes.place import Place
from hear_edgel3.engine.lanes.vectors import (
    add_scaled,
    columns_of,
    filled,
    lanes_of,
    load_tile,
    number_at,
    offset_at,
    rows_of,
    splat,
    store_tile,
    tile_of,
    zeros,
)


class Nonzeros:
    """The weights of a layer that are not zero, in the order in which a kernel takes them.

    That is by blocks of input channels, whose patches fit into the cache together; within a block by outputs, those
    with equally many weights one after the other, so that the processor foresees the ends of the loops.

    Args:
        weights: (n_out, n_in, 3, 3).
        block: input channels per block.
        pitch: vectors per row of a patch.
        patch: vectors per patch.
        lanes: of a vector.

    Attributes:
        offsets: (n,) int32, bytes from the block's first patch to what a weight is multiplied with.
        values: (n,) float32.
        outputs: (n_blocks * n_out,) int64, which output comes when.
        starts: (n_blocks * n_out + 1,) int64, where its weights begin.
    """

    def __init__(self, weights: np.ndarray, block: int, pitch: int, patch: int, lanes: int) -> None:
        n_out, n_in = weights.shape[:2]
        offsets, values, outputs, counts = [], [], [], []
        for first in range(0, n_in, block):
            some = weights[:, first : first + block].reshape(n_out, -1)
            number = np.count_nonzero(some, axis=1)
            order = np.argsort(number, kind="stable")
            which, places = np.nonzero(some[order])
            channels, taps = np.divmod(places, 9)
            offsets.append(((channels * patch + taps // 3 * pitch + taps % 3) * lanes * 4).astype(np.int32))
            values.append(some[order][which, places].astype(np.float32))
            outputs.append(order)
            counts.append(number[order])
        self.offsets = np.concatenate(offsets)
        self.values = np.concatenate(values)
        self.outputs = np.concatenate(outputs).astype(np.int64)
        self.starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)


class Direct:
    """A layer of this kind.

    Args:
        weights: (n_out, n_in, 3, 3) float32.
        bias: (n_out,) float32.
        place: where it stands; its height a multiple of `rows`.
        rows: of a tile of the output that is summed up in registers.
        columns: of a tile; even where the output is halved.
        block: input channels whose patches are kept at once.

    Attributes:
        size_out: values of its output.
        room: values of the memory that it needs while it runs.
    """

    def __init__(
        self, weights: np.ndarray, bias: np.ndarray, place: Place, rows: int, columns: int, block: int
    ) -> None:
        n_out, n_in = weights.shape[:2]
        block = min(block, n_in)
        patch = (rows + 2) * (columns + 2)
        self._nonzeros = Nonzeros(weights, block, columns + 2, patch, place.lanes)
        self._fixed = (n_in, place.height, place.width)
        self._more = (place.width_out, place.pool, place.relu, np.ascontiguousarray(bias, np.float32), block)
        self._kernel = make_kernel(rows, columns, place.lanes, place.strips)
        self.size_out = place.size_out(n_out, place.tiles(rows, columns))
        self.room = (block * patch + (n_out + 1) * rows * columns) * place.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs it; all are addresses."""
        kept = self._nonzeros
        self._kernel(x, *self._fixed, out, *self._more, kept.offsets, kept.values, kept.outputs, kept.starts, room)


@part
def sum_block(
    like: Any,
    bias: Any,
    outputs: Any,
    starts: Any,
    offset: int,
    value: int,
    block: int,
    n_blocks: int,
    patches: int,
    sums: int,
    floor: Any,
    out: int,
    height: int,
    width_out: int,
    top: int,
    left: int,
    pool: int,
) -> None:
    """Adds up a tile of every output over a block of input channels; after the last block it is written.

    Args:
        like: a tile, for its shape.
        bias: of all outputs.
        outputs: as Nonzeros has them.
        starts: as Nonzeros has them.
        offset: address of its offsets.
        value: address of its values.
        block: the block's number.
        n_blocks: how many there are.
        patches: address of the block's patches.
        sums: address of memory for a tile of every output, and one more.
        floor: as put_tile.
        out: address of the output.
        height: as put_tile.
        width_out: as put_tile.
        top: as put_tile.
        left: as put_tile.
        pool: as put_tile.
    """
    n_out = len(bias)
    row = columns_of(like) * 4 * lanes_of(floor)
    pixels = rows_of(like) * row
    for j in range(block * n_out, (block + 1) * n_out):
        o = outputs[j]
        tile = filled(like, splat(floor, bias[o]))
        if block > 0:
            tile = load_tile(tile, sums + o * pixels)
        for k in range(starts[j], starts[j + 1]):
            tile = add_scaled(tile, number_at(value + 4 * k), patches + offset_at(offset + 4 * k))
        if block < n_blocks - 1:
            store_tile(tile, sums + o * pixels, row)
        else:
            put_tile(tile, floor, out, o, n_out, height, width_out, top, left, pool, sums + n_out * pixels)


@cache
def make_kernel(rows: int, columns: int, lanes: int, strips: int) -> Callable[..., None]:
    """The kernel for tiles of some rows and columns."""
    size = 4 * lanes
    tall, wide = rows + 2, columns + 2
    patch = tall * wide * size

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
        block: int,
        offsets: Any,
        values: Any,
        outputs: Any,
        starts: Any,
        room: int,
    ) -> None:
        n_blocks = (n_in + block - 1) // block
        across = (width_out + columns - 1) // columns
        sums = room + block * patch
        offset, value = offsets.ctypes.data, values.ctypes.data
        zero = zeros(lanes, strips)
        like = tile_of(rows, columns, zero)
        floor = zero if relu else splat(zero, np.float32(-np.inf))
        for t in range(height // rows * across):
            top, left = t // across * rows, t % across * columns
            for b in range(n_blocks):
                first = b * block
                for i in range(first, min(first + block, n_in)):
                    plane = x + i * height * width * size
                    take_patch(zero, room + (i - first) * patch, plane, height, width, top - 1, left - 1, tall, wide)
                sum_block(
                    like,
                    bias,
                    outputs,
                    starts,
                    offset,
                    value,
                    b,
                    n_blocks,
                    room,
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
