"""The layout of images, and how a kernel takes a patch of one with its surroundings.

An image of H rows is cut into horizontal strips, as many as a vector has lanes; the same pixel of all strips is one
vector. With 4 lanes, 8 rows and 3 columns:

    row 0  a b c  strip 0
    row 1  d e f                row 0 of the strips   [a g m s]  [b h n t]  [c i o u]
    row 2  g h i  strip 1       row 1 of the strips   [d j p v]  [e k q w]  [f l r x]
    row 3  j k l
    row 4  m n o  strip 2
    row 5  p q r
    row 6  s t u  strip 3
    row 7  v w x

So a neighbour to the left or right is the vector next to it, one above or below the vector a row away: every one of the
nine shifts of a 3 by 3 convolution is an aligned load, even for a single window. Only above a strip's first row and
below its last one another strip begins: there, the vectors of the last (or first) row, moved by a lane, are what is
needed, and the zeros that move in at the first (or last) lane are the image's own zero padding.

Where an image has fewer strips than a vector has lanes, several images share the vectors: the strips of the first one,
then those of the second one, and so on.

Arrays are (channels, H / lanes, W, lanes) float32, aligned to a vector.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hear_edgel3.compiled.jit import part
from hear_edgel3.compiled.simd import (
    columns_of,
    expect_store,
    from_lane_before,
    from_lane_behind,
    lanes_of,
    larger,
    largest,
    load,
    pooled,
    rows_of,
    store,
    store_tile,
    tile_larger,
)
from hear_edgel3.engine.kernels.shape import HALVE, KEEP, WHOLE


class Maps(NamedTuple):
    """A layer's input.

    Attributes:
        address: of (channels, height, width) vectors.
        height: rows of a strip.
        width: columns of the image.
    """

    address: int
    height: int
    width: int


class Output(NamedTuple):
    """A layer's output, and what becomes of sums before they are written there.

    Attributes:
        address: of (channels, height, width) vectors, halved if pooled; of (tiles, channels) if whole.
        height: rows of a strip before pooling.
        width: columns before pooling.
        pool: KEEP, HALVE or WHOLE.
        floor: a vector of zeros for ReLU, of -inf without.
        n_channels: how many.
        bias: address of a float32 for each.
    """

    address: int
    height: int
    width: int
    pool: int
    floor: Any
    n_channels: int
    bias: int


@part(inlined=True, alone=True)
def take_patch(zero: Any, maps: Maps, channel: int, top: int, left: int, rows: int, columns: int, target: int) -> None:
    """Copies a patch of a map, with zeros where there is no image.

    Args:
        zero: a vector of zeros.
        maps: where from.
        channel: which one.
        top: the patch's first row in a strip, from -1.
        left: its first column, from -2.
        rows: of the patch; at most one of them lies below the strip.
        columns: of the patch.
        target: address of rows * columns vectors.
    """
    size = 4 * lanes_of(zero)
    height, width = maps.height, maps.width
    source = maps.address + channel * height * width * size
    first, last = max(0, -left), min(columns, width - left)
    for r in range(rows):
        row = top + r
        line = target + r * columns * size
        for c in range(first):
            store(zero, line + c * size)
        for c in range(last, columns):
            store(zero, line + c * size)
        if row < 0:
            origin = source + ((height - 1) * width + left) * size
            for c in range(first, last):
                store(from_lane_before(load(zero, origin + c * size)), line + c * size)
        elif row >= height:
            origin = source + left * size
            for c in range(first, last):
                store(from_lane_behind(load(zero, origin + c * size)), line + c * size)
        else:
            origin = source + (row * width + left) * size
            for c in range(first, last):
                store(load(zero, origin + c * size), line + c * size)


@part(inlined=True, alone=True)
def _corner(to: Output, channel: int, top: int, left: int) -> tuple[int, int]:
    """Address of a tile's first pixel in an output that is kept or halved, and bytes from a row to the next."""
    height, width = to.height, to.width
    if to.pool == HALVE:
        height, width, top, left = height // 2, width // 2, top // 2, left // 2
    size = 4 * lanes_of(to.floor)
    return to.address + ((channel * height + top) * width + left) * size, width * size


@part(inlined=True, alone=True)
def expect_tile(like: Any, to: Output, channel: int, top: int, left: int) -> None:
    """Has the memory fetched where :func:`put_tile` will write a tile of that shape."""
    if to.pool == WHOLE:
        return
    size = 4 * lanes_of(to.floor)
    rows, columns = rows_of(like), columns_of(like)
    if to.pool == HALVE:
        rows, columns = rows // 2, columns // 2
    corner, pitch = _corner(to, channel, top, left)
    for r in range(rows):
        for c in range(columns):
            expect_store(to.floor, corner + r * pitch + c * size)


@part(inlined=True, alone=True)
def put_tile(tile: Any, to: Output, channel: int, top: int, left: int, room: int) -> None:
    """Writes a tile of one output channel, after ReLU and pooling; what lies beyond the image is left out.

    Args:
        tile: of the output, before ReLU.
        to: where it goes.
        channel: which one.
        top: the tile's first row.
        left: its first column.
        room: address of memory for a tile.
    """
    size = 4 * lanes_of(to.floor)
    rows, columns = rows_of(tile), columns_of(tile)
    valid = min(columns, to.width - left)
    tile = tile_larger(tile, to.floor)
    corner, pitch = _corner(to, channel, top, left)
    if to.pool == KEEP:
        if valid == columns:
            store_tile(tile, corner, pitch)
        else:
            store_tile(tile, room, columns * size)
            for r in range(rows):
                for c in range(valid):
                    store(load(to.floor, room + (r * columns + c) * size), corner + r * pitch + c * size)
    elif to.pool == HALVE:
        few = columns // 2
        if valid == columns:
            store_tile(pooled(tile), corner, pitch)
        else:
            store_tile(pooled(tile), room, few * size)
            for r in range(rows // 2):
                for c in range(valid // 2):
                    store(load(to.floor, room + (r * few + c) * size), corner + r * pitch + c * size)
    else:
        maximum = to.floor
        if valid == columns:
            maximum = largest(tile)
        else:
            store_tile(tile, room, columns * size)
            maximum = load(to.floor, room)
            for r in range(rows):
                for c in range(valid):
                    maximum = larger(maximum, load(to.floor, room + (r * columns + c) * size))
        number = top // rows * ((to.width + columns - 1) // columns) + left // columns
        store(maximum, to.address + (number * to.n_channels + channel) * size)
