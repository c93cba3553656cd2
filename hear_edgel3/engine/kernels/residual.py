"""A whole inverted residual in one kernel: expansion, depthwise convolution, squeeze-and-excitation, projection.

Eight expanded channels at a time are expanded and convolved, and are hardly ever out of the first caches in between.
Without squeeze-and-excitation this is done for a band of rows, whose projection follows at once; with it, whose factors
need the means of all rows, projection comes last, and the factors are multiplied in where it loads its input::

    for each band of rows:                                    x        [inputs]    [height]    [width]
        for each group of 8 expanded channels:                  | expansion, activation
            expansion of the rows that the band needs         expanded [8]         [rows]      [halo + width + halo]
            masks and halos of these rows                       | depthwise convolution, activation
            depthwise convolution, and its sums               middle   [expanded]  [band]      [width_out]
        projection of the band, plus the input                  | (factors), projection, input
                                                              out      [outputs]   [height_out][width_out]

Rows of few columns, of images that are not cut into strips, have no halos: a tile holds whole rows, and taps beyond
their ends are left out when the kernel is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.engine.kernels.jit import kernel, part
from hear_edgel3.engine.kernels.masked_rows import add_halo, clear, copy, mask_row, sum_of_strips, sum_row
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, columns_at_once, multiply
from hear_edgel3.engine.kernels.simd import (
    filled,
    larger,
    load,
    number_at,
    splat,
    store,
    store_tile,
    tile_larger,
    tile_of,
    zeros,
)
from hear_edgel3.engine.kernels.tile_ops import depthwise, hard_swish, sigmoid

# Rows and columns of tiles where there are halos; and vectors of tiles that hold whole rows.
ROWS, COLUMNS, WHOLE_ROWS = 2, 4, 8
_MOST_ROWS = 4


class Facts(NamedTuple):
    """What the kernel is told of a block. Addresses are of memory, and the numbers of channels multiples of GROUP.

    Attributes:
        x: address of the input.
        channel: bytes from a channel of it to the next.
        height: rows of the input.
        width: its columns.
        begin: the first column of it that is masked in some lane.
        mask: address of its mask.
        inputs: its channels.
        strips: of an image.
        edges: address of two vectors that tell the first and last ones.
        out: address of the output.
        channel_out: as for the input, like what follows.
        height_out: likewise.
        width_out: likewise.
        begin_out: likewise.
        mask_out: likewise.
        outputs: likewise.
        expanded: address of room for GROUP expanded channels.
        channel_expanded: bytes from one to the next.
        middle: address of room for what the depthwise convolution puts out.
        channel_middle: bytes from a channel to the next.
        inside: expanded channels.
        expands: whether there is an expansion.
        residual: whether the input is added to the output.
        act: RELU or HARDSWISH.
        band: rows of the output at once.
        n_values: of a channel of the output in an image.
        bottleneck: values in squeeze-and-excitation; 0 for none.
        squeezed: address of room for them.
        bent: address of room for them after their activation.
        factors: address of room for the sums of the channels, then for the factors.
        expand_weights: address of weights, packed; like what follows.
        expand_bias: address.
        depthwise_weights: (inside, k, k).
        depthwise_bias: address.
        squeeze_weights: packed.
        squeeze_bias: address.
        excite_weights: packed.
        excite_bias: address.
        project_weights: packed.
        project_bias: address.
    """

    x: int = 0
    channel: int = 0
    height: int = 0
    width: int = 0
    begin: int = 0
    mask: int = 0
    inputs: int = 0
    strips: int = 0
    edges: int = 0
    out: int = 0
    channel_out: int = 0
    height_out: int = 0
    width_out: int = 0
    begin_out: int = 0
    mask_out: int = 0
    outputs: int = 0
    expanded: int = 0
    channel_expanded: int = 0
    middle: int = 0
    channel_middle: int = 0
    inside: int = 0
    expands: int = 0
    residual: int = 0
    act: int = 0
    band: int = 0
    n_values: int = 0
    bottleneck: int = 0
    squeezed: int = 0
    bent: int = 0
    factors: int = 0
    expand_weights: int = 0
    expand_bias: int = 0
    depthwise_weights: int = 0
    depthwise_bias: int = 0
    squeeze_weights: int = 0
    squeeze_bias: int = 0
    excite_weights: int = 0
    excite_bias: int = 0
    project_weights: int = 0
    project_bias: int = 0


@part
def _facts(a: Any) -> Facts:
    """Facts from an array: numba takes one in a tenth of the time that it takes a tuple of so many."""
    return Facts(
        a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15], a[16],
        a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29], a[30], a[31], a[32],
        a[33], a[34], a[35], a[36], a[37], a[38], a[39],
    )  # fmt: skip


@part
def _expand(
    wide: Any, narrow: Any, zero: Any, f: Facts, e: int, first: int, n: int, at: int, halo: int, size: int
) -> None:
    """Expands n rows to GROUP channels from the e-th on, with halos, and with zeros for what is masked."""
    pitch, line = (f.width + 2 * halo) * size, f.width * size
    source = f.x + first * line
    if f.expands == 0:
        for g in range(GROUP):
            for r in range(n):
                target = at + g * f.channel_expanded + r * pitch
                copy(zero, source + (e + g) * f.channel + r * line, target, f.width)
    else:
        weights, bias = f.expand_weights + 4 * e * f.inputs, f.expand_bias + 4 * e
        rows, columns = (n, f.width) if halo else (1, n * f.width)  # without halos they are one long row
        for r in range(rows):
            multiply(
                wide, narrow, source + r * line, f.channel, weights, bias, at + r * pitch, f.channel_expanded,
                f.inputs, GROUP, columns, f.act, 0, 0, 0,
            )  # fmt: skip
    if halo:
        for g in range(GROUP):
            for r in range(n):
                row = at + g * f.channel_expanded + r * pitch
                mask_row(zero, row, f.width, f.begin, f.mask)
                add_halo(zero, row, f.width, halo, f.edges)


@part
def _excite(narrow: Any, zero: Any, f: Facts, size: int) -> None:
    """Turns the sums of channels into their factors."""
    share = splat(zero, np.float32(1.0 / f.n_values))
    for e in range(f.inside):
        store(sum_of_strips(load(zero, f.factors + e * size), f.strips) * share, f.factors + e * size)
    multiply(
        narrow, narrow, f.factors, size, f.squeeze_weights, f.squeeze_bias, f.squeezed, size,
        f.inside, f.bottleneck, 1, NONE, 0, 0, 0,
    )  # fmt: skip
    for i in range(f.bottleneck):
        store(larger(load(zero, f.squeezed + i * size), zero), f.bent + i * size)
    multiply(
        narrow, narrow, f.bent, size, f.excite_weights, f.excite_bias, f.factors, size,
        f.bottleneck, f.inside, 1, NONE, 0, 0, 0,
    )  # fmt: skip
    for e in range(f.inside):
        store(sigmoid(load(zero, f.factors + e * size)), f.factors + e * size)


@part
def _project(wide: Any, narrow: Any, f: Facts, first: int, n: int, size: int) -> None:
    """Projects n columns of what is inside to the output, from its column `first` on, and adds the input."""
    multiply(
        wide, narrow, f.middle, f.channel_middle, f.project_weights, f.project_bias, f.out + first * size,
        f.channel_out, f.inside, f.outputs, n, NONE, f.x + first * size if f.residual else 0, f.channel,
        f.factors if f.bottleneck else 0,
    )  # fmt: skip


def rows_of_tiles(trim: int, width_out: int) -> tuple[int, int]:
    """Rows of the depthwise convolution's tiles, and columns that they are wide where these are whole rows."""
    return (max(1, min(_MOST_ROWS, WHOLE_ROWS // width_out)), width_out) if trim else (ROWS, COLUMNS)


@cache
def make_residual(lanes: int, k: int, s: int, d: int, trim: int) -> Callable[..., None]:
    """The kernel.

    Args:
        lanes: of a vector.
        k: taps of the depthwise convolution in either direction.
        s: its stride.
        d: its dilation.
        trim: 0 where there are halos; else the columns of a row.
    """
    size, reach = 4 * lanes, k // 2 * d
    halo = 0 if trim else reach
    rows, columns = rows_of_tiles(trim, (trim - 1) // s + 1)
    at_once = columns_at_once()

    @kernel
    def residual(facts: Any) -> None:
        zero = zeros(lanes, lanes)
        wide, narrow = tile_of(GROUP, at_once, zero), tile_of(GROUP, 1, zero)
        like, single = tile_of(rows, columns, zero), tile_of(rows, 1, zero)
        f = _facts(facts)
        pitch = (f.width + 2 * halo) * size
        even = f.width_out // columns * columns
        if f.bottleneck:
            clear(zero, f.factors, f.inside)
        for top in range(0, f.height_out, f.band):
            bottom = min(f.height_out, top + f.band)
            # Rows of the input that are needed, and those of them that there are.
            first, last = top * s - reach, (bottom - 1) * s + reach + 1
            begin, end = max(first, 0), min(last, f.height)
            for e in range(0, f.inside, GROUP):
                at = f.expanded + (begin - first) * pitch
                _expand(wide, narrow, zero, f, e, begin, end - begin, at + halo * size, halo, size)
                for g in range(GROUP):
                    base = f.expanded + g * f.channel_expanded
                    clear(zero, base, (begin - first) * (f.width + 2 * halo))
                    clear(zero, base + (end - first) * pitch, (last - end) * (f.width + 2 * halo))
                    weights = f.depthwise_weights + 4 * (e + g) * k * k
                    bias = splat(zero, number_at(f.depthwise_bias + 4 * (e + g)))
                    # With squeeze-and-excitation all rows are kept, else those of the band.
                    target = f.middle + (e + g) * f.channel_middle + (top * f.width_out * size if f.bottleneck else 0)
                    for r in range(0, bottom - top, rows):
                        source, place = base + r * s * pitch, target + r * f.width_out * size
                        for c in range(0, even, columns):
                            tile = depthwise(filled(like, bias), k, s, d, trim, weights, source + c * s * size, pitch)
                            tile = hard_swish(tile) if f.act == HARDSWISH else tile_larger(tile, zero)
                            store_tile(tile, place + c * size, f.width_out * size)
                        if not trim:
                            for c in range(even, f.width_out):
                                one = depthwise(filled(single, bias), k, s, d, 0, weights, source + c * s * size, pitch)
                                one = hard_swish(one) if f.act == HARDSWISH else tile_larger(one, zero)
                                store_tile(one, place + c * size, f.width_out * size)
                    if f.bottleneck:
                        total = load(zero, f.factors + (e + g) * size)
                        for r in range(bottom - top):
                            row = target + r * f.width_out * size
                            total = total + sum_row(zero, row, f.width_out, f.begin_out, f.mask_out)
                        store(total, f.factors + (e + g) * size)
            if not f.bottleneck:
                _project(wide, narrow, f, top * f.width_out, (bottom - top) * f.width_out, size)
        if f.bottleneck:
            _excite(narrow, zero, f, size)
            _project(wide, narrow, f, 0, f.height_out * f.width_out, size)

    return residual
