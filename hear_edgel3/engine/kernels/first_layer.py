"""The first two convolutions in one: what the first one puts out is made where the second one needs it.

The first layer has one input channel and is dense; its output is the largest array of the net, and writing and reading
it takes longer than computing it twice where patches overlap.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.jit import part
from hear_edgel3.compiled.simd import (
    add_scaled,
    columns_of,
    from_lane_before,
    from_lane_behind,
    lanes_of_tile,
    largest,
    load,
    number_at,
    splat,
    store,
    store_tile,
    tile_larger,
    tile_plus,
)
from hear_edgel3.engine.kernels.patches import Maps, take_patch
from hear_edgel3.engine.kernels.shape import LayerShape

# Columns around the image besides those of a tile: what two 3 by 3 convolutions reach over.
_AROUND = 4


class FirstLayer(NamedTuple):
    """The first layer, which ReLU follows.

    Attributes:
        weights: (channels, 9) float32; kernels get the address.
        bias: (channels,) float32, likewise.
    """

    weights: Any
    bias: Any

    @classmethod
    def of(cls, weights: np.ndarray, bias: np.ndarray) -> FirstLayer:
        """That of (channels, 1, 3, 3) and (channels,) values."""
        flat = weights.reshape(len(bias), 9)
        return cls(np.ascontiguousarray(flat, np.float32), np.ascontiguousarray(bias, np.float32))


def framed_size(shape: LayerShape, columns: int) -> int:
    """Vectors of the image with what is around it, for tiles of so many columns in the second layer."""
    return (shape.height + 2) * (shape.width + columns + _AROUND)


@part(alone=True)
def source_of(zero: Any, first_layer: Any, image: Maps, columns: int, room: int) -> Maps:
    """What :func:`copy_patch` takes patches from.

    Args:
        zero: a vector of zeros.
        first_layer: the first layer or None.
        image: the input.
        columns: of the second layer's tiles.
        room: address of memory for the image with what is around it, if there is a first layer.

    Returns:
        The image; if there is a first layer, with a row above and below, two columns at its left and the rest of a
        tile's at its right.
    """
    if first_layer is None:
        return image
    take_patch(zero, image, 0, -1, -2, image.height + 2, image.width + columns + _AROUND, room)
    return Maps(room, image.height, image.width)


@part(inlined=True, alone=True)
def copy_patch(
    blank: Any, first_layer: Any, maps: Maps, channel: int, top: int, left: int, rows: int, target: int
) -> None:
    """Copies a patch of the input, or makes it with the first layer; with zeros where there is no image.

    Args:
        blank: a tile of zeros, one row of the patch.
        first_layer: the first layer or None.
        maps: of :func:`source_of`.
        channel: which one.
        top: the patch's first row in a strip, from -1.
        left: its first column, from -1.
        rows: of the patch; at most one of them lies below the strip.
        target: address of the patch.
    """
    if first_layer is None:
        take_patch(largest(blank), maps, channel, top, left, rows, columns_of(blank), target)
    else:
        _make_patch(blank, first_layer, maps, channel, top, left, rows, target)


@part(inlined=True, alone=True)
def _make_patch(
    blank: Any, first_layer: FirstLayer, maps: Maps, channel: int, top: int, left: int, rows: int, target: int
) -> None:
    columns = columns_of(blank)
    size = 4 * lanes_of_tile(blank)
    height, width = maps.height, maps.width
    pitch = width + columns - 2 + _AROUND
    zero = largest(blank)
    for r in range(rows):
        # Rows outside a strip are those of the strip before or behind it; beyond the image they are zero, and not what
        # the first layer would make there.
        row = top + r
        line = tile_plus(blank, splat(zero, number_at(first_layer.bias + 4 * channel)))
        source = maps.address + ((row + height) % height * pitch + left + 1) * size
        for dy in range(3):
            for dx in range(3):
                weight = number_at(first_layer.weights + 4 * (9 * channel + 3 * dy + dx))
                line = add_scaled(line, weight, source + (dy * pitch + dx) * size, 0)  # a tile of one row
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
