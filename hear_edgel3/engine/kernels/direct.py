"""Direct convolution with the weights that are not zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import (
    add_scaled,
    columns_of,
    filled,
    integer_at,
    lanes_of,
    load_tile,
    number_at,
    rows_of,
    splat,
    store_tile,
    tile_of,
    zeros,
)
from hear_edgel3.engine.kernels.first_layer import FirstLayer, copy_patch
from hear_edgel3.engine.kernels.layer import Facts, Layer, ends_of
from hear_edgel3.engine.kernels.patches import Output, put_tile
from hear_edgel3.engine.kernels.shape import LayerShape
from hear_edgel3.families.kernel_description import SparseWeights, Weights


class Nonzeros(NamedTuple):
    """The weights of a layer that are not zero, in the order in which a kernel takes them.

    That is by blocks of input channels, whose patches fit into the cache together; within a block by outputs, those
    with equally many weights one after the other, so that the processor foresees the ends of the loops.

    Attributes:
        block: input channels per block.
        offsets: (n,) int32, bytes from the block's first patch to what a weight is multiplied with; kernels get the
            address.
        values: (n,) float32, likewise.
        outputs: (n_blocks * n_out,) int32, which output comes when, likewise.
        starts: (n_blocks * n_out + 1,) int32, where its weights begin, likewise.
    """

    block: int
    offsets: Any
    values: Any
    outputs: Any
    starts: Any

    @classmethod
    def of(cls, weights: Weights, block: int, pitch: int, patch: int, lanes: int) -> Nonzeros:
        """Those of (n_out, n_in, 3, 3) weights.

        Args:
            weights: all, or those that are not zero.
            block: input channels per block.
            pitch: vectors per row of a patch.
            patch: vectors per patch.
            lanes: of a vector.
        """
        n_out, n_in = weights.shape[:2]
        offsets, values, outputs, counts = [], [], [], []
        left = weights if isinstance(weights, SparseWeights) else SparseWeights.of(weights)
        rows, columns = np.divmod(left.places, 9 * n_in)
        channels, taps = np.divmod(columns, 9)
        blocks = channels // block
        channels -= blocks * block
        there = ((channels * patch + taps // 3 * pitch + taps % 3) * lanes * 4).astype(np.int32)
        for b in range(-(-n_in // block)):
            these = np.flatnonzero(blocks == b)
            number = np.bincount(rows[these], minlength=n_out)
            order = np.argsort(number, kind="stable")
            turn = np.argsort(order)  # of each output
            these = these[np.argsort(turn[rows[these]], kind="stable")]
            offsets.append(there[these])
            values.append(left.values[these])
            outputs.append(order)
            counts.append(number[order])
        return cls(
            block,
            np.concatenate(offsets),
            np.concatenate(values),
            np.concatenate(outputs).astype(np.int32),
            np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int32),
        )


class Direct(Layer):
    """A layer that is convolved directly, with the weights that are not zero.

    Args:
        weights: (n_out, n_in, 3, 3) float32, or those that are not zero.
        bias: (n_out,) float32.
        shape: of its input, and what becomes of its output; its height is a multiple of `rows`.
        rows: of a tile of the output that is summed up in registers.
        columns: of a tile; even where the output is halved.
        block: input channels whose patches are kept at once.
        first_layer: the net's first layer, if this is the second one and its input is the image.
    """

    def __init__(
        self,
        weights: Weights,
        bias: np.ndarray,
        shape: LayerShape,
        rows: int,
        columns: int,
        block: int,
        first_layer: FirstLayer | None = None,
    ) -> None:
        n_out, n_in = weights.shape[:2]
        block = min(block, n_in)
        patch = (rows + 2) * (columns + 2)
        nonzeros = Nonzeros.of(weights, block, columns + 2, patch, shape.lanes)
        room = block * patch + (n_out + 1) * rows * columns
        kernel = make_kernel(rows, columns, shape.lanes, shape.strips)
        super().__init__(kernel, first_layer, weights, nonzeros, bias, shape, rows, columns, room)


@part(alone=True)
def sum_block(
    like: Any,
    weights: Nonzeros,
    number: int,
    n_blocks: int,
    patches: int,
    sums: int,
    to: Output,
    top: int,
    left: int,
) -> None:
    """Adds up a tile of every output over a block of input channels; after the last block it is written.

    Args:
        like: a tile, for its shape.
        weights: of the layer.
        number: the block's.
        n_blocks: how many there are.
        patches: address of the block's patches.
        sums: address of memory for a tile of every output, and one more.
        to: where it goes.
        top: the tile's first row.
        left: its first column.
    """
    n_out = to.n_channels
    size = 4 * lanes_of(to.floor)
    row, pitch = columns_of(like) * size, (columns_of(like) + 2) * size
    pixels = rows_of(like) * row
    for j in range(number * n_out, (number + 1) * n_out):
        o = integer_at(weights.outputs + 4 * j)
        tile = filled(like, splat(to.floor, number_at(to.bias + 4 * o)))
        if number > 0:
            tile = load_tile(tile, sums + o * pixels)
        start = weights.starts + 4 * j
        for k in range(integer_at(start), integer_at(start + 4)):
            offset = integer_at(weights.offsets + 4 * k)
            tile = add_scaled(tile, number_at(weights.values + 4 * k), patches + offset, pitch)
        if number < n_blocks - 1:
            store_tile(tile, sums + o * pixels, row)
        else:
            put_tile(tile, to, o, top, left, sums + n_out * pixels)


@cache
def make_kernel(rows: int, columns: int, lanes: int, strips: int) -> Callable[..., None]:
    """The kernel for tiles of some rows and columns."""
    size = 4 * lanes
    tall, wide = rows + 2, columns + 2
    patch = tall * wide * size

    @kernel
    def convolve(x: int, out: int, framed: int, room: int, facts: Facts, first_layer: Any, weights: Nonzeros) -> None:
        zero = zeros(lanes, strips)
        like, blank = tile_of(rows, columns, zero), tile_of(1, wide, zero)
        maps, to = ends_of(zero, facts, first_layer, x, out, columns, framed)
        n_in, block = facts.n_in, weights.block
        n_blocks = (n_in + block - 1) // block
        across = (facts.width_out + columns - 1) // columns
        sums = room + block * patch
        for t in range(facts.height // rows * across):
            top, left = t // across * rows, t % across * columns
            for b in range(n_blocks):
                begin = b * block
                for i in range(begin, min(begin + block, n_in)):
                    copy_patch(blank, first_layer, maps, i, top - 1, left - 1, tall, room + (i - begin) * patch)
                sum_block(like, weights, b, n_blocks, room, sums, to, top, left)

    return convolve
