"""Convolution by Winograd's algorithm, for layers with few zeros.

Its maths is in :mod:`~hear_edgel3.engine.kernels.winograd_maths`.

A tile of 4 by 6 pixels takes 48 products for each input and output channel, instead of 216; one of 4 by 4 takes 36
instead of 144. Maps whose strips are 2 rows high take tiles of 2 rows: 32 instead of 108, or 24 instead of 72.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import (
    add_outer,
    columns_of,
    lanes_of_tile,
    load_tile,
    number_at,
    rows_of,
    splat,
    store_tile,
    tile_of,
    tile_plus,
    tile_plus_tile,
    zeros,
)
from hear_edgel3.engine.kernels.first_layer import FirstLayer, copy_patch
from hear_edgel3.engine.kernels.layer import Facts, Layer, ends_of
from hear_edgel3.engine.kernels.patches import Maps, Output, expect_tile, put_tile
from hear_edgel3.engine.kernels.shape import LayerShape
from hear_edgel3.engine.kernels.winograd_maths import BETWEEN, patch_into, tile_back, transformed

# Outputs whose sums are kept until they are transformed back.
GROUP = 16
# Input channels that are summed up from zero, before they are added to the sum of those before them: less is rounded
# off, and it costs nothing that can be measured.
_RUN = 32
# Columns of a map that is wide.
_WIDE = 48
# Vectors between the positions of patches, so that they do not fall on each other in the cache.
_APART = 1
# Vectors of the largest patch or tile.
_PATCH = 48


def tile_for(shape: LayerShape) -> tuple[int, int]:
    """Rows and columns of the tiles that suit a map.

    With 6 columns twice as much is rounded off. That is worth a tenth fewer products in a wide map, which takes the
    time; in a narrow one only where it is many fewer, as for 6 columns.
    """
    rows = 2 if shape.height % 4 else 4
    products = {columns: shape.tiles(rows, columns) * (columns + 2) for columns in (4, 6)}
    worth = 0.92 if shape.width_out >= _WIDE else 0.75
    return rows, 6 if products[6] < worth * products[4] else 4


class Winograd(Layer):
    """A layer that is convolved by Winograd's algorithm.

    Args:
        weights: (n_out, n_in, 3, 3) float32; n_out a multiple of GROUP.
        bias: (n_out,) float32.
        shape: of its input, and what becomes of its output; its height is a multiple of `rows`.
        rows: of a tile of the output, 4 or 2.
        columns: of a tile, 4 or 6.
        block: outputs at once in registers.
        tiles: tiles at once in registers.
        first_layer: the net's first layer, if this is the second one and its input is the image.
        share_weights_with: a layer of the same weights and tiles, whose transformed weights serve this one too; else
            None.

    Attributes:
        kernel_weights: the transformed weights.
    """

    def __init__(
        self,
        weights: np.ndarray,
        bias: np.ndarray,
        shape: LayerShape,
        rows: int,
        columns: int,
        block: int,
        tiles: int,
        first_layer: FirstLayer | None = None,
        share_weights_with: Winograd | None = None,
    ) -> None:
        kernel_weights = None if share_weights_with is None else share_weights_with.kernel_weights
        if kernel_weights is None:
            kernel_weights = TransformedWeights(transformed(weights, rows, columns, GROUP, block))
        self.kernel_weights: TransformedWeights = kernel_weights
        positions = (rows + 2) * (columns + 2)
        room = _PATCH + BETWEEN + positions * (weights.shape[1] * tiles + _APART + GROUP * tiles + _APART)
        kernel = make_kernel(rows, columns, shape.lanes, shape.strips, block, tiles)
        super().__init__(kernel, first_layer, weights, self.kernel_weights, bias, shape, rows, columns, room)


class TransformedWeights(NamedTuple):
    """The weights in the form in which the kernel takes them.

    Attributes:
        transformed: float32, as :func:`transformed` makes them; kernels get the address.
    """

    transformed: Any


class Work(NamedTuple):
    """Memory to work in: addresses, and bytes from a position to the next.

    Attributes:
        patch: of a patch or of a tile.
        between: of what is between two transforms.
        inputs: of (positions, n_in, tiles) vectors, the transformed patches.
        stride_in: between their positions.
        sums: of (positions, GROUP, tiles) vectors, the sums of products.
        stride_out: between their positions.
    """

    patch: int
    between: int
    inputs: int
    stride_in: int
    sums: int
    stride_out: int


@part(alone=True)
def sum_products(blank: Any, positions: int, weights: int, n_in: int, work: Work) -> None:
    """For each position the products of the transformed weights of a group of outputs and of some transformed patches.

    Args:
        blank: a tile of zeros: outputs at once by tiles.
        positions: of a patch.
        weights: address of the group's (positions, GROUP / outputs, n_in, outputs) float32.
        n_in: input channels.
        work: inputs and sums.
    """
    outputs, tiles = rows_of(blank), columns_of(blank)
    size = 4 * lanes_of_tile(blank)
    w = weights
    for p in range(positions):
        for b in range(GROUP // outputs):
            v = work.inputs + p * work.stride_in
            target = work.sums + p * work.stride_out + b * outputs * tiles * size
            for first in range(0, n_in, _RUN):
                tile = blank
                for _ in range(min(_RUN, n_in - first)):
                    tile = add_outer(tile, w, v)
                    w += outputs * 4
                    v += tiles * size
                if first > 0:
                    tile = tile_plus_tile(tile, load_tile(tile, target))
                store_tile(tile, target, tiles * size)


@part(alone=True)
def put_tiles(
    blank: Any, like: Any, weights: int, n_in: int, begin: int, n_tiles: int, across: int, work: Work, to: Output
) -> None:
    """Computes some tiles of all outputs from their transformed patches, group by group.

    Args:
        blank: a tile of zeros: outputs at once by tiles.
        like: a tile of the output, for its shape.
        weights: address of (n_out / GROUP, positions, GROUP / outputs, n_in, outputs) float32.
        n_in: input channels.
        begin: the number of the first tile.
        n_tiles: how many there are to write.
        across: tiles in a row of the image.
        work: the inputs, and memory for what comes of them.
        to: where tiles go.
    """
    rows, columns, tiles = rows_of(like), columns_of(like), columns_of(blank)
    positions = (rows + 2) * (columns + 2)
    size = 4 * lanes_of_tile(blank)
    for first in range(0, to.n_channels, GROUP):
        for t in range(n_tiles):
            top, left = (begin + t) // across * rows, (begin + t) % across * columns
            for o in range(first, first + GROUP):
                expect_tile(like, to, o, top, left)
        sum_products(blank, positions, weights + first * positions * n_in * 4, n_in, work)
        for t in range(n_tiles):
            top, left = (begin + t) // across * rows, (begin + t) % across * columns
            for o in range(GROUP):
                source = work.sums + (o * tiles + t) * size
                tile_back(to.floor, rows, columns, source, work.stride_out, work.patch, work.between)
                tile = tile_plus(load_tile(like, work.patch), splat(to.floor, number_at(to.bias + 4 * (first + o))))
                put_tile(tile, to, first + o, top, left, work.patch)


@part(inlined=True, alone=True)
def _find_patch(
    line: Any, first_layer: Any, maps: Maps, channel: int, top: int, left: int, rows: int, target: int
) -> tuple[int, int]:
    """Address of a patch and bytes from a row to the next: in its map, if nothing is missing, else at `target`."""
    columns = columns_of(line)
    size = 4 * lanes_of_tile(line)
    if first_layer is None:
        inside = top >= 0 and top + rows <= maps.height and left >= 0 and left + columns <= maps.width
        if inside:
            number = (channel * maps.height + top) * maps.width + left
            return maps.address + number * size, maps.width * size
    copy_patch(line, first_layer, maps, channel, top, left, rows, target)
    return target, columns * size


@cache
def make_kernel(rows: int, columns: int, lanes: int, strips: int, block: int, tiles: int) -> Callable[..., None]:
    """The kernel for tiles of some rows and columns, with `block` outputs of some tiles in registers."""
    size = 4 * lanes
    tall, wide = rows + 2, columns + 2
    positions = tall * wide

    @kernel
    def convolve(
        x: int, out: int, framed: int, room: int, facts: Facts, first_layer: Any, weights: TransformedWeights
    ) -> None:
        zero = zeros(lanes, strips)
        like, blank, line = tile_of(rows, columns, zero), tile_of(block, tiles, zero), tile_of(1, wide, zero)
        maps, to = ends_of(zero, facts, first_layer, x, out, columns, framed)
        n_in = facts.n_in
        stride_in, stride_out = (n_in * tiles + _APART) * size, (GROUP * tiles + _APART) * size
        between = room + _PATCH * size
        inputs = between + BETWEEN * size
        work = Work(room, between, inputs, stride_in, inputs + positions * stride_in, stride_out)
        across = (facts.width_out + columns - 1) // columns
        total = facts.height // rows * across
        for begin in range(0, total, tiles):
            for t in range(tiles):
                number = min(begin + t, total - 1)
                top, left = number // across * rows, number % across * columns
                for i in range(n_in):
                    patch, pitch = _find_patch(line, first_layer, maps, i, top - 1, left - 1, tall, work.patch)
                    target = inputs + (i * tiles + t) * size
                    patch_into(zero, rows, columns, patch, pitch, target, stride_in, between)
            n_tiles = min(tiles, total - begin)
            put_tiles(blank, like, weights.transformed, n_in, begin, n_tiles, across, work, to)

    return convolve
