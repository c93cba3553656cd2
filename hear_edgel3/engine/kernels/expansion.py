"""The expansion of inverted residuals: a pointwise convolution of some rows, written as depthwise ones take them.

Rows of late maps have four columns, of which a call each would cost as much as a tenth of the multiplications. So all
rows are one call's work, and what is masked, and what neighbouring strips see of each other, is seen to while it is
still in registers::

    a row, of strip 3    strip 2's last columns | 0  1  2 ... | strip 4's first columns
                                    ^ a tile of last columns      ^ a tile of first columns, moved by a lane
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import columns_of, lanes_of_tile, load, rows_of, store_tile, tile_of, zeros
from hear_edgel3.engine.kernels.pointwise import GROUP, activated, expect, summed, tile_shape
from hear_edgel3.engine.kernels.tile_ops import masked, store_moved, zero_of


@part(inlined=True)
def _columns(
    like: Any,
    x: int,
    channel: int,
    weights: int,
    bias: int,
    row: int,
    channel_out: int,
    n_in: int,
    width: int,
    halo: int,
    begin: int,
    end: int,
    act: int,
    first_masked: int,
    last_masked: int,
    mask: int,
    edges: int,
) -> None:
    """The columns from `begin` to `end` of a row; see :func:`make_expansion`."""
    zero = zero_of(like)
    size, columns = 4 * lanes_of_tile(like), columns_of(like)
    for c in range(begin, end, columns):
        for g in range(0, GROUP, rows_of(like)):
            place = row + g * channel_out + c * size
            expect(like, place, channel_out)
            tile = activated(summed(like, x + c * size, channel, weights + 4 * g, bias + 4 * g, n_in), act)
            if c < last_masked and c + columns > first_masked:
                tile = masked(tile, mask + c * size)
            store_tile(tile, place, channel_out)
            if c < halo:
                last, behind = load(zero, edges + size), place + width * size
                store_moved(tile, 0, 1, last, behind, channel_out)
                if c + 1 < halo:
                    store_moved(tile, 1, 1, last, behind + size, channel_out)
                if c + 2 < halo:
                    store_moved(tile, 2, 1, last, behind + 2 * size, channel_out)
            if c + columns > width - halo:
                first, before = load(zero, edges), place - width * size
                if c >= width - halo:
                    store_moved(tile, 0, -1, first, before, channel_out)
                if c + 1 >= width - halo:
                    store_moved(tile, 1, -1, first, before + size, channel_out)
                if c + 2 >= width - halo:
                    store_moved(tile, 2, -1, first, before + 2 * size, channel_out)


@cache
def make_expansion(lanes: int) -> Callable[..., None]:
    """The kernel."""
    tile_rows, columns = tile_shape()

    @kernel
    def expansion(
        x: int,
        channel: int,
        weights: int,
        bias: int,
        out: int,
        channel_out: int,
        pitch: int,
        n_in: int,
        rows: int,
        width: int,
        halo: int,
        act: int,
        first_masked: int,
        last_masked: int,
        mask: int,
        edges: int,
    ) -> None:
        """A pointwise convolution of rows that lie without a gap, to GROUP channels of rows with halos.

        Args:
            x: address of the first row; its channels are `channel` bytes apart.
            channel: see there.
            weights: address of (n_in, GROUP) float32.
            bias: address of (GROUP,) float32.
            out: address of the first row of the output, without its halo; its channels are `channel_out` bytes apart.
            channel_out: see there.
            pitch: bytes from a row of the output to the next.
            n_in: input channels.
            rows: how many.
            width: columns of a row.
            halo: columns to write before and behind each row, no more than it has.
            act: NONE, RELU, HARDSWISH or RELU6.
            first_masked: the first of the columns to mask.
            last_masked: behind the last one.
            mask: address of the mask of a row.
            edges: address of two vectors that tell the first and last strips.
        """
        zero = zeros(lanes, lanes)
        even = width // columns * columns
        for r in range(rows):
            source, row = x + r * width * 4 * lanes, out + r * pitch
            _columns(
                tile_of(tile_rows, columns, zero), source, channel, weights, bias, row, channel_out, n_in, width, halo,
                0, even, act, first_masked, last_masked, mask, edges,
            )  # fmt: skip
            if even < width:
                _columns(
                    tile_of(GROUP, 1, zero), source, channel, weights, bias, row, channel_out, n_in, width, halo,
                    even, width, act, first_masked, last_masked, mask, edges,
                )  # fmt: skip

    return expansion
