"""Kernels for one image alone, with 8 channels in the lanes of vectors.

Where images share vectors (:mod:`hear_edgel3.engine.kernels.strips_of_time`), one image leaves most lanes unused. Here
it fills them with its channels instead. A map lies in memory as [row][column][channel], so that a pixel is some vectors
one behind the other; and weights lie as they do for many images, in groups of 8 outputs::

    map          pixel 0: channels 0..7 | 8..15 | ..          weights      outputs 0..7: of input 0 | of input 1 | ..
                 pixel 1: channels 0..7 | 8..15 | ..                       outputs 8..15: ..

    pointwise    pixel's outputs 0..7  +=  one number of the pixel  *  a vector of the weights
    depthwise    pixel's channels 0..7 +=  a vector of a neighbour  *  a vector of the tap's weights

An image has the same bits alone as among others: whatever is added up is added up in the same order. Sums over a map
are those of its strips of time, as if it were cut, which then are added in pairs; and what lies beyond a map's ends is
left out here, and is zeros there, which is the same as long as all weights are finite.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import (
    columns_of,
    filled,
    larger,
    load,
    load_tile,
    number_at,
    plus_times,
    rows_of,
    splat,
    store,
    store_tile,
    tile_larger,
    tile_of,
    tile_plus_tile,
    zeros,
)
from hear_edgel3.compiled.told import reader
from hear_edgel3.engine.kernels.masked_rows import LEAST
from hear_edgel3.engine.kernels.pixel_ops import add_pixels, add_products, column_biases, store_number
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, RELU
from hear_edgel3.engine.kernels.tile_ops import add_tile_at, hard_swish, sigmoid, zero_of

# Pixels and groups of channels of the tiles of products; groups at once of a single pixel.
ROWS, COLUMNS, SINGLE = 4, 2, 4
# Bytes of a vector.
SIZE = 4 * GROUP
# Calls of the kernel of pointwise convolutions, and of those of dynamic blocks.
_multiply, _prepare, _bend = caller(13), caller(1), caller(2)


class OneFacts(NamedTuple):
    """What the kernel of a block is told. Addresses are of memory; numbers of channels are multiples of GROUP.

    Attributes:
        x: address of the input.
        pitch: bytes from a pixel of it to the next.
        height: rows of it.
        width: its columns.
        inputs: its channels.
        out: address of the output.
        height_out: as for the input.
        width_out: likewise.
        outputs: likewise.
        expanded: address of room for so many expanded channels as are made at once.
        at_once: how many that are.
        middle: address of room for what the depthwise convolution puts out.
        inside: expanded channels.
        multiply: address of :func:`one_linear`.
        expands: whether there is an expansion.
        residual: whether the input is added to the output.
        act: RELU or HARDSWISH.
        k: taps of the depthwise convolution in either direction.
        stride: its stride.
        dilation: its dilation.
        strips: of time that the image would be cut into.
        strip: columns of one, of the output.
        room: address of room for SINGLE vectors for each of them.
        bottleneck: values in squeeze-and-excitation; 0 for none.
        squeezed: address of room for them.
        bent: address of room for them after their activation.
        factors: address of room for the sums of the channels, then for the factors.
        n_bottleneck: values of the bottleneck that there are.
        kept: address of where they are kept, or 0.
        expand_weights: address of weights, packed; like what follows.
        expand_bias: address.
        depthwise_weights: (k, k, inside).
        depthwise_bias: address.
        squeeze_weights: packed.
        squeeze_bias: address.
        excite_weights: packed.
        excite_bias: address.
        project_weights: packed.
        project_bias: address.
        act_inside: behind the depthwise convolution; as `act`, or NONE.
        prepare: address of :func:`hear_edgel3.engine.kernels.dynamic_alone.prepare_alone`, or 0.
        bend: address of :func:`hear_edgel3.engine.kernels.dynamic_alone.bend_alone`, or 0.
        dynamic: address of what these are told.
    """

    x: int = 0
    pitch: int = 0
    height: int = 0
    width: int = 0
    inputs: int = 0
    out: int = 0
    height_out: int = 0
    width_out: int = 0
    outputs: int = 0
    expanded: int = 0
    at_once: int = 0
    middle: int = 0
    inside: int = 0
    multiply: int = 0
    expands: int = 0
    residual: int = 0
    act: int = 0
    k: int = 0
    stride: int = 0
    dilation: int = 0
    strips: int = 0
    strip: int = 0
    room: int = 0
    bottleneck: int = 0
    squeezed: int = 0
    bent: int = 0
    factors: int = 0
    n_bottleneck: int = 0
    kept: int = 0
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
    act_inside: int = 0
    prepare: int = 0
    bend: int = 0
    dynamic: int = 0


_read = reader(OneFacts)
_BYTES = 8 * len(OneFacts._fields)


@part
def _product(
    like: Any,
    x: int,
    pitch: int,
    weights: int,
    bias: int,
    out: int,
    pitch_out: int,
    n_in: int,
    groups: tuple[int, int],
    pixels: tuple[int, int],
    act: int,
    added: int,
    pitch_added: int,
) -> None:
    """A pointwise convolution of some pixels to some groups of outputs, in tiles of the shape of `like`."""
    zero = zero_of(like)
    block = n_in * SIZE
    for g in range(groups[0], groups[1], columns_of(like)):
        w, place = weights + g * block, g * SIZE
        for p in range(pixels[0], pixels[1], rows_of(like)):
            tile = column_biases(like, bias + place)
            source = x + p * pitch
            for i in range(n_in):
                tile = add_pixels(tile, source + 4 * i, pitch, w + i * SIZE, block)
            if act == RELU:
                tile = tile_larger(tile, zero)
            elif act == HARDSWISH:
                tile = hard_swish(tile)
            if added != 0:
                tile = add_tile_at(tile, added + p * pitch_added + place, pitch_added)
            store_tile(tile, out + p * pitch_out + place, pitch_out)


@part
def copy_numbers(source: int, target: int, n: int, step: int) -> None:
    """Copies n float32 to addresses that are `step` bytes apart, and aligned to no vector."""
    for i in range(n):
        store_number(number_at(source + 4 * i), target + i * step)


@kernel
def one_linear(
    x: int,
    pitch: int,
    weights: int,
    bias: int,
    out: int,
    n_in: int,
    n_out: int,
    pixels: int,
    act: int,
    added: int,
    pitch_added: int,
    kept: int,
    n_kept: int,
) -> None:
    """A pointwise convolution of pixels, or a linear layer of a single one.

    Args:
        x: address of the input.
        pitch: bytes from a pixel of it to the next.
        weights: address of (n_out / GROUP, n_in, GROUP) float32.
        bias: address of (n_out,) float32.
        out: address of the output, whose pixels lie one behind the other.
        n_in: input channels.
        n_out: output channels, a multiple of GROUP.
        pixels: how many.
        act: NONE, RELU or HARDSWISH.
        added: address of what is added to the output, or 0.
        pitch_added: as for the input.
        kept: address that values of the output are copied to, or 0.
        n_kept: how many.
    """
    zero = zeros(GROUP, GROUP)
    groups, pitch_out = n_out // GROUP, 4 * n_out
    even, even_groups, quads = pixels // ROWS * ROWS, groups // COLUMNS * COLUMNS, groups // SINGLE * SINGLE
    _product(
        tile_of(ROWS, COLUMNS, zero), x, pitch, weights, bias, out, pitch_out, n_in, (0, even_groups), (0, even), act,
        added, pitch_added,
    )  # fmt: skip
    _product(
        tile_of(ROWS, 1, zero), x, pitch, weights, bias, out, pitch_out, n_in, (even_groups, groups), (0, even), act,
        added, pitch_added,
    )  # fmt: skip
    _product(
        tile_of(1, SINGLE, zero), x, pitch, weights, bias, out, pitch_out, n_in, (0, quads), (even, pixels), act,
        added, pitch_added,
    )  # fmt: skip
    _product(
        tile_of(1, 1, zero), x, pitch, weights, bias, out, pitch_out, n_in, (quads, groups), (even, pixels), act,
        added, pitch_added,
    )  # fmt: skip
    if kept != 0:
        copy_numbers(out, kept, n_kept, 4)


@part
def _within(first: int, n: int, taps: int, dilation: int) -> tuple[int, int]:
    """Which taps, from one up to another, lie within n places, if the first of all lies at `first`."""
    if dilation == 1:  # a division takes as long as a pixel
        return max(0, -first), min(taps, n - first)
    return (max(0, -first) + dilation - 1) // dilation, min(taps, (n - first + dilation - 1) // dilation)


@part
def _three_by_three(tile: Any, corner: int, line: int, pixel: int, taps: int, inside: int) -> Any:
    """Adds all taps of a pixel of which none lies beyond the map. Loops of unknown length take longer than the sums."""
    for dy in range(3):
        for dx in range(3):
            tile = add_products(tile, corner + dy * line + dx * pixel, taps + 4 * (dy * 3 + dx) * inside)
    return tile


@part
def _depthwise(like: Any, f: OneFacts, x: int, pitch: int, e: int, first: int, end: int) -> None:
    """Convolves the channels from `first` to `end` of the ones at x, of which the first is the e-th."""
    zero = zero_of(like)
    reach, step = f.k // 2 * f.dilation, columns_of(like) * GROUP
    pixel = f.dilation * pitch
    line = f.width * pixel
    for r in range(f.height_out):
        top = r * f.stride - reach
        y_begin, y_end = _within(top, f.height, f.k, f.dilation)  # taps above and below are left out
        for c in range(f.width_out):
            left = c * f.stride - reach
            x_begin, x_end = _within(left, f.width, f.k, f.dilation)
            whole = f.k == 3 and y_end - y_begin == 3 and x_end - x_begin == 3
            corner = x + (top * f.width + left) * pitch
            place = f.middle + 4 * ((r * f.width_out + c) * f.inside + e)
            for g in range(first, end, step):
                tile = load_tile(like, f.depthwise_bias + 4 * (e + g))
                weights = f.depthwise_weights + 4 * (e + g)
                if whole:
                    tile = _three_by_three(tile, corner + 4 * g, line, pixel, weights, f.inside)
                else:
                    for dy in range(y_begin, y_end):
                        taps = weights + 4 * dy * f.k * f.inside
                        for dx in range(x_begin, x_end):
                            place_in = corner + dy * line + dx * pixel + 4 * g
                            tile = add_products(tile, place_in, taps + 4 * dx * f.inside)
                if f.act_inside == HARDSWISH:
                    tile = hard_swish(tile)
                elif f.act_inside == RELU:
                    tile = tile_larger(tile, zero)
                store_tile(tile, place + 4 * g, 0)


@part
def sum_pixels(like: Any, x: int, pitch: int, height: int, width: int, strips: int, strip: int, room: int) -> Any:
    """The sum of a map's pixels: row by row of each of the strips, which then are added in pairs.

    Args:
        like: a tile of one row: the channels to add up.
        x: address of the first pixel's first of them.
        pitch: bytes from a pixel to the next.
        height: rows.
        width: columns.
        strips: of time.
        strip: columns of one.
        room: address of room for so many tiles.
    """
    nothing = filled(like, zero_of(like))
    size = columns_of(like) * SIZE
    for s in range(strips):
        total = nothing
        for r in range(height):
            row = nothing
            for c in range(min(s * strip, width), min((s + 1) * strip, width)):
                row = tile_plus_tile(row, load_tile(like, x + (r * width + c) * pitch))
            total = tile_plus_tile(total, row)
        store_tile(total, room + s * size, 0)
    apart = 1
    while apart < strips:
        for s in range(0, strips, 2 * apart):
            total = tile_plus_tile(load_tile(like, room + s * size), load_tile(like, room + (s + apart) * size))
            store_tile(total, room + s * size, 0)
        apart *= 2
    return load_tile(like, room)


@part
def _excite(zero: Any, f: OneFacts) -> None:
    """The factors of the channels, and the channels times them."""
    several, one = tile_of(1, SINGLE, zero), tile_of(1, 1, zero)
    pitch = 4 * f.inside
    quads = f.inside // (SINGLE * GROUP) * SINGLE * GROUP
    for e in range(0, quads, SINGLE * GROUP):
        total = sum_pixels(several, f.middle + 4 * e, pitch, f.height_out, f.width_out, f.strips, f.strip, f.room)
        store_tile(total, f.factors + 4 * e, 0)
    for e in range(quads, f.inside, GROUP):
        rest = sum_pixels(one, f.middle + 4 * e, pitch, f.height_out, f.width_out, f.strips, f.strip, f.room)
        store_tile(rest, f.factors + 4 * e, 0)
    share = splat(zero, np.float32(1.0 / (f.height_out * f.width_out)))
    for e in range(0, f.inside, GROUP):
        store(load(zero, f.factors + 4 * e) * share, f.factors + 4 * e)
    _multiply(
        f.multiply, f.factors, 0, f.squeeze_weights, f.squeeze_bias, f.squeezed, f.inside, f.bottleneck, 1, NONE, 0, 0,
        f.kept, f.n_bottleneck,
    )  # fmt: skip
    for i in range(0, f.bottleneck, GROUP):
        store(larger(load(zero, f.squeezed + 4 * i), zero), f.bent + 4 * i)
    _multiply(
        f.multiply, f.bent, 0, f.excite_weights, f.excite_bias, f.factors, f.bottleneck, f.inside, 1, NONE, 0, 0, 0, 0
    )
    for e in range(0, f.inside, GROUP):
        factor = sigmoid(load(zero, f.factors + 4 * e))
        for p in range(f.height_out * f.width_out):
            place = f.middle + p * pitch + 4 * e
            store(load(zero, place) * factor, place)


@part
def _block(zero: Any, facts: int) -> None:
    """A whole inverted residual; in :mod:`hear_edgel3.engine.kernels.residual` is what it does."""
    several, one = tile_of(1, SINGLE, zero), tile_of(1, 1, zero)
    f = _read(facts)
    if f.prepare != 0:
        _prepare(f.prepare, f.dynamic)
    for e in range(0, f.inside, f.at_once):
        n = min(f.at_once, f.inside - e)
        x, pitch = f.x + 4 * e, f.pitch
        if f.expands != 0:
            x, pitch = f.expanded, 4 * n
            _multiply(
                f.multiply, f.x, f.pitch, f.expand_weights + 4 * e * f.inputs, f.expand_bias + 4 * e, x, f.inputs, n,
                f.height * f.width, f.act, 0, 0, 0, 0,
            )  # fmt: skip
        quads = n // (SINGLE * GROUP) * SINGLE * GROUP
        _depthwise(several, f, x, pitch, e, 0, quads)
        _depthwise(one, f, x, pitch, e, quads, n)
    if f.bend != 0:
        _bend(f.bend, f.dynamic, f.middle)
    if f.bottleneck != 0:
        _excite(zero, f)
    _multiply(
        f.multiply, f.middle, 4 * f.inside, f.project_weights, f.project_bias, f.out, f.inside, f.outputs,
        f.height_out * f.width_out, NONE, f.x if f.residual != 0 else 0, f.pitch, 0, 0,
    )  # fmt: skip


@kernel
def one_residual(facts: int, n: int) -> None:
    """N inverted residuals, one after the other, of which is told at an address."""
    zero = zeros(GROUP, GROUP)
    for i in range(n):
        _block(zero, facts + i * _BYTES)


@kernel(compact=True)
def one_entrance(
    image: int, pitch: int, height: int, width: int, weights: int, bias: int, out: int, n_out: int
) -> None:
    """The first convolution, 3 by 3 with stride 2, and Hardswish.

    Args:
        image: address of float32 [frame][band].
        pitch: bytes from a frame to the next.
        height: bands.
        width: frames.
        weights: address of (3, 3, n_out) float32.
        bias: address.
        out: address of the output.
        n_out: its channels, a multiple of GROUP.
    """
    zero = zeros(GROUP, GROUP)
    one = tile_of(1, 1, zero)
    for r in range((height + 1) // 2):
        for c in range((width + 1) // 2):
            for o in range(0, n_out, GROUP):
                total = load(zero, bias + 4 * o)
                for dy in range(1 if r == 0 else 0, min(3, height - 2 * r + 1)):
                    for dx in range(1 if c == 0 else 0, min(3, width - 2 * c + 1)):
                        number = number_at(image + (2 * c + dx - 1) * pitch + 4 * (2 * r + dy - 1))
                        total = plus_times(total, load(zero, weights + 4 * ((dy * 3 + dx) * n_out + o)), number)
                store_tile(hard_swish(filled(one, total)), out, 0)
                out += SIZE


@kernel(compact=True)
def one_pool(
    x: int,
    pitch: int,
    channels: int,
    height: int,
    width: int,
    strips: int,
    strip: int,
    by_row: int,
    with_mean: int,
    with_largest: int,
    room: int,
    out: int,
) -> None:
    """The mean of each channel (or of each row) plus its largest value, or one of them, number by number."""
    zero = zeros(GROUP, GROUP)
    one = tile_of(1, 1, zero)
    rows = 1 if by_row else height
    share = splat(zero, np.float32(1.0 / (rows * width)))
    for c in range(0, channels, GROUP):
        for top in range(0, height, rows):
            first = x + top * width * pitch + 4 * c
            total = zero
            if with_mean:
                store_tile(sum_pixels(one, first, pitch, rows, width, strips, strip, room), room, 0)
                total = load(zero, room) * share
            if with_largest:
                most = splat(zero, LEAST)
                for p in range(rows * width):
                    most = larger(most, load(zero, first + p * pitch))
                total = total + most
            store(total, room)
            per_channel = height // rows
            copy_numbers(room, out + 4 * (c * per_channel + top // rows), min(GROUP, channels - c), 4 * per_channel)
