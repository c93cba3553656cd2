"""The first convolution of nets of inverted residuals: 3 by 3 with stride 2, of the image, and an activation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hear_edgel3.compiled.jit import kernel, many_registers, part
from hear_edgel3.compiled.simd import store_tile, tile_of, zeros
from hear_edgel3.engine.kernels.masked_rows import add_halo, clear, copy, mask_row
from hear_edgel3.engine.kernels.pointwise import activated
from hear_edgel3.engine.kernels.tile_ops import biases, three_by_three

# Outputs and columns of its tiles.
OUTPUTS, COLUMNS = 4, 4 if many_registers() else 2


@part
def _columns(
    like: Any, weights: int, bias: int, x: int, pitch: int, planes: int, act: int, out: int, channel_out: int
) -> None:
    """Some columns of a row of some outputs, as many as a tile has.

    Args:
        like: the tile.
        weights: address of (planes, 3, 3) float32 of the first output, which the others follow.
        bias: address of its bias.
        x: address of the first vector of the first row that is needed; three rows of each plane follow.
        pitch: bytes from a row to the next.
        planes: how many.
        act: the activation.
        out: address of the output.
        channel_out: bytes from a channel of it to the next.
    """
    tile = biases(like, bias)
    for p in range(planes):
        tile = three_by_three(tile, weights + 36 * p, 36 * planes, x + 3 * p * pitch, pitch)
    store_tile(activated(tile, act), out, channel_out)


@cache
def make_entrance(lanes: int) -> Callable[..., None]:
    """The kernel."""
    size = 4 * lanes

    @kernel(compact=True)
    def entrance(
        image: int,
        planes: int,
        height: int,
        width: int,
        begin: int,
        end: int,
        mask: int,
        edges: int,
        room: int,
        weights: int,
        bias: int,
        out: int,
        channel_out: int,
        height_out: int,
        width_out: int,
        n_out: int,
        above: int,
        left: int,
        act: int,
    ) -> None:
        """Convolves an image.

        Args:
            image: its address; planes lie one behind the other.
            planes: how many.
            height: rows of it.
            width: columns of its strips.
            begin: the first column to mask.
            end: behind the last one.
            mask: address of the mask.
            edges: address of two vectors that tell the first and last strips.
            room: address of room for three rows of each plane with halos, and one tile more.
            weights: address of (n_out, planes, 3, 3) float32.
            bias: address of (n_out,) float32.
            out: address of the output.
            channel_out: bytes from a channel of it to the next.
            height_out: rows of it.
            width_out: columns of it.
            n_out: its channels.
            above: rows of zeros above the image: 1 or 0.
            left: columns at its left, likewise.
            act: the activation, as in :mod:`hear_edgel3.engine.kernels.pointwise`.
        """
        zero = zeros(lanes, lanes)
        wide, thin, one = tile_of(OUTPUTS, COLUMNS, zero), tile_of(OUTPUTS, 1, zero), tile_of(1, 1, zero)
        even, several = width_out // COLUMNS * COLUMNS, n_out // OUTPUTS * OUTPUTS
        apart = 36 * planes
        pitch = (width + 2) * size
        start = room + (1 - left) * size
        for r in range(height_out):
            for p in range(planes):
                for i in range(3):
                    row, source = room + (3 * p + i) * pitch + size, 2 * r - above + i
                    if source < 0 or source >= height:
                        clear(zero, row - size, width + 2)
                    else:
                        copy(zero, image + (p * height + source) * width * size, row, width)
                        mask_row(zero, row, begin, end, mask)
                        add_halo(zero, row, width, 1, edges)
            for o in range(0, several, OUTPUTS):
                w, b, target = weights + apart * o, bias + 4 * o, out + o * channel_out + r * width_out * size
                for c in range(0, even, COLUMNS):
                    x = start + 2 * c * size
                    _columns(wide, w, b, x, pitch, planes, act, target + c * size, channel_out)
                for c in range(even, width_out):
                    x = start + 2 * c * size
                    _columns(thin, w, b, x, pitch, planes, act, target + c * size, channel_out)
            for o in range(several, n_out):
                w, b, target = weights + apart * o, bias + 4 * o, out + o * channel_out + r * width_out * size
                for c in range(width_out):
                    x = start + 2 * c * size
                    _columns(one, w, b, x, pitch, planes, act, target + c * size, channel_out)

    return entrance
