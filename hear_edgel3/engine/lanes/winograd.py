"""Convolution by Winograd's algorithm, for layers with few zeros; :mod:`transforms` has the maths.

A tile of 4 by 6 pixels takes 48 products for each input and output channel, instead of 216; one of 4 by 4 takes 36
instead of 144. Maps whose strips are 2 rows high take tiles of 2 rows: 32 instead of 108, or 24 instead of 72.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.engine.lanes.compiled import kernel, part
from hear_edgel3.engine.lanes.patches import expect_tile, put_tile, take_patch
from hear_edgel3.engine.lanes.place import Place
from hear_edgel3.engine.lanes.transforms import BETWEEN, patch_into, tile_back, transformed
from hear_edgel3.engine.lanes.vectors import (
    add_outer,
    columns_of,
    lanes_of,
    lanes_of_tile,
    load_tile,
    rows_of,
    splat,
    store_tile,
    tile_of,
    tile_plus,
    tile_plus_tile,
    zeros,
)

# Outputs whose sums are kept until they are transformed back.
GROUP = 16
# Input channels that are summed up from zero, before they are added to the sum of those before them: less is rounded
# off, and it costs nothing that can be measured.
_RUN = 32
# Vectors of memory for the largest patch or tile, and for the transforms.
PATCH = 48
SPARE = PATCH + BETWEEN


def tile_for(place: Place) -> tuple[int, int]:
    """Rows and columns of the tiles with which a map takes the fewest products."""
    rows = 2 if place.height % 4 else 4
    return rows, min((4, 6), key=lambda columns: place.tiles(rows, columns) * (columns + 2))


class Winograd:
    """A layer of this kind.

    Args:
        weights: (n_out, n_in, 3, 3) float32.
        bias: (n_out,) float32.
        place: where it stands; its height a multiple of `rows`.
        rows: of a tile of the output, 4 or 2.
        columns: of a tile, 4 or 6.
        block: outputs at once in registers.
        tiles: tiles at once in registers.

    Attributes:
        size_out: values of its output.
        room: values of the memory that it needs while it runs.
    """

    def __init__(
        self, weights: np.ndarray, bias: np.ndarray, place: Place, rows: int, columns: int, block: int, tiles: int
    ) -> None:
        n_out, n_in = weights.shape[:2]
        self._fixed = (n_in, place.height, place.width)
        weights = transformed(weights, rows, columns, GROUP, block)
        self._more = (place.width_out, place.pool, place.relu, np.ascontiguousarray(bias, np.float32), weights)
        self._kernel = make_kernel(rows, columns, place.lanes, place.strips, block, tiles)
        self.size_out = place.size_out(n_out, place.tiles(rows, columns))
        places = (rows + 2) * (columns + 2)
        self.room = (SPARE + places * (n_in * tiles + 1 + GROUP * tiles + 1)) * place.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs it; all are addresses."""
        self._kernel(x, *self._fixed, out, *self._more, room)


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
            target = sums + p * stride_out + b * outputs * patches * size
            for first in range(0, n_in, _RUN):
                tile = blank
                for _ in range(min(_RUN, n_in - first)):
                    tile = add_outer(tile, w, v)
                    w += outputs * 4
                    v += patches * size
                if first > 0:
                    tile = tile_plus_tile(tile, load_tile(tile, target))
                store_tile(tile, target, patches * size)


@part(inlined=True)
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
        spare: address of SPARE vectors to work in.
    """
    rows, columns = rows_of(like), columns_of(like)
    size = 4 * lanes_of(floor)
    for t in range(n_tiles):
        top, left = (begin + t) // across * rows, (begin + t) % across * columns
        for o in range(group):
            tile_back(floor, rows, columns, sums + (o * pitch + t) * size, stride_out, spare, spare + PATCH * size)
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
    rows, columns = rows_of(like), columns_of(like)
    places, parts = (rows + 2) * (columns + 2), GROUP // rows_of(blank)
    for first in range(0, len(bias), GROUP):
        w = weights + first * places * n_in * 4
        for t in range(n_tiles):
            top, left = (begin + t) // across * rows, (begin + t) % across * columns
            for o in range(first, first + GROUP):
                expect_tile(like, floor, out, o, height, width_out, top, left, pool)
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
def make_kernel(rows: int, columns: int, lanes: int, strips: int, block: int, tiles: int) -> Callable[..., None]:
    """The kernel for tiles of some rows and columns, with `block` outputs of some tiles in registers."""
    size = 4 * lanes
    tall, wide = rows + 2, columns + 2
    places = tall * wide

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
        across = (width_out + columns - 1) // columns
        total = height // rows * across
        # A vector more than is needed, so that places do not fall on each other in the cache.
        stride_in, stride_out = (n_in * tiles + 1) * size, (GROUP * tiles + 1) * size
        patch = room
        between, inputs = patch + PATCH * size, patch + SPARE * size
        sums = inputs + places * stride_in
        zero = zeros(lanes, strips)
        floor = zero if relu else splat(zero, np.float32(-np.inf))
        like, blank = tile_of(rows, columns, zero), tile_of(block, tiles, zero)
        for begin in range(0, total, tiles):
            for t in range(tiles):
                number = min(begin + t, total - 1)
                top, left = number // across * rows, number % across * columns
                inside = top > 0 and top + rows < height and left > 0 and left + columns + 1 <= width
                for i in range(n_in):
                    plane = x + i * height * width * size
                    target = inputs + (i * tiles + t) * size
                    if inside:
                        corner = plane + ((top - 1) * width + left - 1) * size
                        patch_into(zero, rows, columns, corner, width * size, target, stride_in, between)
                    else:
                        take_patch(zero, patch, plane, height, width, top - 1, left - 1, tall, wide)
                        patch_into(zero, rows, columns, patch, wide * size, target, stride_in, between)
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
