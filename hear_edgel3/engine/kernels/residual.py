"""A whole inverted residual in one kernel: expansion, depthwise convolution, squeeze-and-excitation, projection.

Eight expanded channels at a time are expanded and convolved, and are hardly ever out of the first caches in between.
Without squeeze-and-excitation this is done for a band of rows, whose projection follows at once; with it, whose factors
need the means of all rows, projection comes last, and the factors are multiplied in where it loads its input, or into
its weights::

    for each band of rows:                                    x        [inputs]    [height]    [width]
        for each group of 8 expanded channels:                  | expansion, activation
            expansion of the rows that the band needs         expanded [8]         [rows]      [halo + width + halo]
            masks and halos of these rows                       | depthwise convolution, activation
            depthwise convolution, and its sums               middle   [expanded]  [band]      [width_out]
        projection of the band, plus the input                  | (factors), projection, input
                                                              out      [outputs]   [height_out][width_out]

Rows of few columns, of images that are not cut into strips, have no halos: a tile holds whole rows, and taps beyond
their ends are left out when the kernel is compiled.

All blocks share one kernel, which calls others by their addresses: those of expansions and of pointwise convolutions,
and one for each kind of depthwise convolution. Dynamic blocks have two more, which make of the block's input what the
others work with, and then bend what the depthwise convolution puts out (:mod:`hear_edgel3.engine.kernels.dynamic`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import (
    filled,
    lanes_of,
    larger,
    load,
    number_at,
    splat,
    store,
    store_tile,
    tile_of,
    zeros,
)
from hear_edgel3.compiled.told import reader
from hear_edgel3.engine.kernels.masked_rows import add_halo, clear, copy, mask_row, sum_of_strips, sum_row
from hear_edgel3.engine.kernels.pixel_ops import store_number
from hear_edgel3.engine.kernels.pointwise import GROUP, NONE, activated
from hear_edgel3.engine.kernels.tile_ops import depthwise, sigmoid

# Of the depthwise convolution's tiles: columns where rows are longer, vectors, and rows at most.
COLUMNS, _VECTORS, _MOST_ROWS = 4, 8, 4
# Calls of the other kernels.
_multiply, _expand_rows, _convolve = caller(13), caller(16), caller(10)
# Of those of dynamic blocks.
_prepare, _bend, _mix, _multiply_by_lane = caller(1), caller(5), caller(4), caller(11)


class Facts(NamedTuple):
    """What the kernel is told of a block. Addresses are of memory, and the numbers of channels multiples of GROUP.

    Attributes:
        x: address of the input.
        channel: bytes from a channel of it to the next.
        height: rows of the input.
        width: its columns.
        begin: the first of its columns to mask before it is convolved.
        end: behind the last one.
        mask: address of its mask.
        inputs: its channels.
        strips: of an image.
        edges: address of two vectors that tell the first and last ones.
        out: address of the output.
        channel_out: as for the input, like what follows.
        height_out: likewise.
        width_out: likewise.
        begin_out: the first of its columns that is masked in some lane.
        mask_out: as for the input, like what follows.
        outputs: likewise.
        expanded: address of room for GROUP expanded channels.
        channel_expanded: bytes from one to the next.
        middle: address of room for what the depthwise convolution puts out.
        channel_middle: bytes from a channel to the next.
        inside: expanded channels.
        multiply: address of the kernel of :mod:`hear_edgel3.engine.kernels.pointwise`.
        expand_rows: address of the kernel of :func:`hear_edgel3.engine.kernels.expansion.make_expansion`.
        depthwise: address of the kernel of :func:`make_depthwise`.
        stride: of the depthwise convolution.
        reach: rows and columns that it reaches over in either direction, on the whole.
        above: rows of zeros above the input: the reach, or fewer.
        left: columns of zeros at its left, likewise.
        halo: columns before and behind a row.
        taps: of the depthwise convolution.
        expands: whether there is an expansion.
        residual: whether the input is added to the output.
        act: RELU, HARDSWISH or RELU6.
        act_inside: behind the depthwise convolution; the same, or NONE.
        band: rows of the output at once.
        n_values: of a channel of the output in an image.
        bottleneck: values in squeeze-and-excitation; 0 for none.
        squeezed: address of room for them.
        bent: address of room for them after their activation.
        factors: address of room for the sums of the channels, then for the factors.
        scaled: address of room for the projection's weights times the factors, or 0.
        flat: address of room for these and those in the bottleneck, a number of each image.
        multiply_each: address of :func:`hear_edgel3.engine.kernels.one_image.one_linear`.
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
        prepare: address of the kernel of :func:`hear_edgel3.engine.kernels.dynamic.make_prepare`, or 0.
        bend: address of the kernel of :func:`hear_edgel3.engine.kernels.dynamic.make_bend`, or 0.
        mix: address of the kernel of :func:`hear_edgel3.engine.kernels.dynamic_by_lane.make_mix_by_lane`, if there are
            other weights in each lane, or 0.
        multiply_by_lane: address of that of pointwise convolutions with such weights.
        lane_weights: address of room for them.
        dynamic: address of what these are told.
    """

    x: int = 0
    channel: int = 0
    height: int = 0
    width: int = 0
    begin: int = 0
    end: int = 0
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
    multiply: int = 0
    expand_rows: int = 0
    depthwise: int = 0
    stride: int = 0
    reach: int = 0
    above: int = 0
    left: int = 0
    halo: int = 0
    taps: int = 0
    expands: int = 0
    residual: int = 0
    act: int = 0
    act_inside: int = 0
    band: int = 0
    n_values: int = 0
    bottleneck: int = 0
    squeezed: int = 0
    bent: int = 0
    factors: int = 0
    scaled: int = 0
    flat: int = 0
    multiply_each: int = 0
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
    prepare: int = 0
    bend: int = 0
    mix: int = 0
    multiply_by_lane: int = 0
    lane_weights: int = 0
    dynamic: int = 0


_read = reader(Facts)
_BYTES = 8 * len(Facts._fields)


@part
def _expand(zero: Any, f: Facts, e: int, first: int, n: int, at: int, size: int) -> None:
    """Expands n rows to GROUP channels from the e-th on, with halos, and with zeros for what is masked."""
    pitch, line = (f.width + 2 * f.halo) * size, f.width * size
    source = f.x + first * line
    if f.expands == 0:
        for g in range(GROUP):
            for r in range(n):
                target = at + g * f.channel_expanded + r * pitch
                copy(zero, source + (e + g) * f.channel + r * line, target, f.width)
    elif f.mix == 0:
        # Without halos nothing is masked, and they are one long row.
        rows, width, end = (n, f.width, f.end) if f.halo else (1, n * f.width, 0)
        _expand_rows(
            f.expand_rows, source, f.channel, f.expand_weights + 4 * e * f.inputs, f.expand_bias + 4 * e, at,
            f.channel_expanded, pitch, f.inputs, rows, width, f.halo if f.halo <= f.width else 0, f.act, f.begin, end,
            f.mask, f.edges,
        )  # fmt: skip
        if f.halo <= f.width:
            return
    else:
        rows, columns = (n, f.width) if f.halo else (1, n * f.width)
        _mix(f.mix, f.dynamic, 0, e // GROUP, GROUP * f.inputs)
        for r in range(rows):
            _multiply_by_lane(
                f.multiply_by_lane, source + r * line, f.channel, f.lane_weights, f.expand_bias + 4 * e, at + r * pitch,
                f.channel_expanded, f.inputs, columns, f.act, 0, 0,
            )  # fmt: skip
    if f.halo:
        for g in range(GROUP):
            for r in range(n):
                row = at + g * f.channel_expanded + r * pitch
                mask_row(zero, row, f.begin, f.end, f.mask)
                add_halo(zero, row, f.width, f.halo, f.edges)


@part
def _excite(zero: Any, f: Facts, size: int) -> None:
    """Turns the sums of channels into their factors."""
    share = splat(zero, np.float32(1.0 / f.n_values))
    for e in range(f.inside):
        store(sum_of_strips(load(zero, f.factors + e * size), f.strips) * share, f.factors + e * size)
    if f.strips > 1:
        _excite_each(zero, f, size)
        return
    _multiply(
        f.multiply, f.factors, size, f.squeeze_weights, f.squeeze_bias, f.squeezed, size,
        f.inside, f.bottleneck, 1, NONE, 0, 0, 0,
    )  # fmt: skip
    for i in range(f.bottleneck):
        store(larger(load(zero, f.squeezed + i * size), zero), f.bent + i * size)
    _multiply(
        f.multiply, f.bent, size, f.excite_weights, f.excite_bias, f.factors, size,
        f.bottleneck, f.inside, 1, NONE, 0, 0, 0,
    )  # fmt: skip
    for e in range(f.inside):
        store(sigmoid(load(zero, f.factors + e * size)), f.factors + e * size)


@part
def _excite_each(zero: Any, f: Facts, size: int) -> None:
    """The same for images of several strips, whose lanes hold the same: channels take their places in the vectors."""
    like = zeros(GROUP, GROUP)
    images = size // (4 * f.strips)
    flat, bent = f.flat, f.flat + 4 * images * f.inside
    for e in range(f.inside):
        for i in range(images):
            store_number(number_at(f.factors + e * size + 4 * i * f.strips), flat + 4 * (i * f.inside + e))
    _multiply(
        f.multiply_each, flat, 4 * f.inside, f.squeeze_weights, f.squeeze_bias, bent, f.inside, f.bottleneck, images,
        NONE, 0, 0, 0, 0,
    )  # fmt: skip
    _spread(zero, bent, f.bottleneck, f.strips, f.squeezed)
    for i in range(0, images * f.bottleneck, GROUP):
        store(larger(load(like, bent + 4 * i), like), bent + 4 * i)
    _multiply(
        f.multiply_each, bent, 4 * f.bottleneck, f.excite_weights, f.excite_bias, flat, f.bottleneck, f.inside, images,
        NONE, 0, 0, 0, 0,
    )  # fmt: skip
    for e in range(0, images * f.inside, GROUP):
        store(sigmoid(load(like, flat + 4 * e)), flat + 4 * e)
    _spread(zero, flat, f.inside, f.strips, f.factors)


@part
def _spread(zero: Any, numbers: int, n: int, strips: int, vectors: int) -> None:
    """Writes n numbers of each image as vectors, to all lanes of the image's strips."""
    lanes = lanes_of(zero)
    for e in range(n):
        if strips == lanes:
            store(splat(zero, number_at(numbers + 4 * e)), vectors + 4 * e * lanes)
        else:
            for lane in range(lanes):
                number = number_at(numbers + 4 * (lane // strips * n + e))
                store_number(number, vectors + 4 * (e * lanes + lane))


@part
def _scale_weights(f: Facts, size: int) -> None:
    """The projection's weights times the factors of what is inside, where these are the same in all lanes."""
    like = zeros(GROUP, GROUP)
    for e in range(f.inside):
        factor = splat(like, number_at(f.factors + e * size))
        for o in range(0, f.outputs, GROUP):
            place = 4 * (o * f.inside + e * GROUP)
            store(load(like, f.project_weights + place) * factor, f.scaled + place)


@part
def _project(f: Facts, first: int, n: int, size: int) -> None:
    """Projects n columns of what is inside to the output, from its column `first` on, and adds the input."""
    if f.mix:
        for o in range(0, f.outputs, GROUP):
            _mix(f.mix, f.dynamic, 1 + f.expands, o // GROUP, GROUP * f.inside)
            _multiply_by_lane(
                f.multiply_by_lane, f.middle, f.channel_middle, f.lane_weights, f.project_bias + 4 * o,
                f.out + o * f.channel_out + first * size, f.channel_out, f.inside, n, NONE,
                f.x + o * f.channel + first * size if f.residual else 0, f.channel,
            )  # fmt: skip
        return
    weights, factors = f.project_weights, f.factors if f.bottleneck else 0
    if f.scaled:
        _scale_weights(f, size)
        weights, factors = f.scaled, 0
    _multiply(
        f.multiply, f.middle, f.channel_middle, weights, f.project_bias, f.out + first * size, f.channel_out,
        f.inside, f.outputs, n, NONE, f.x + first * size if f.residual else 0, f.channel, factors,
    )  # fmt: skip


def shape_of_tiles(trim: int, width_out: int) -> tuple[int, int]:
    """Rows and columns of the depthwise convolution's tiles: whole rows where these are trimmed or short.

    Few sums at once would wait for each other.
    """
    columns = width_out if trim or width_out < COLUMNS else COLUMNS
    return (max(1, min(_MOST_ROWS, _VECTORS // columns)), columns)


@cache
def make_depthwise(
    lanes: int, k: int, s: int, d: int, trim: int, by_lane: int, rows: int, columns: int
) -> Callable[..., None]:
    """The kernel of a depthwise convolution of GROUP channels, and what it is followed by.

    Args:
        lanes: of a vector.
        k: taps in either direction.
        s: stride.
        d: dilation.
        trim: 0 where there are halos; else the columns of a row.
        by_lane: 1 if there is a vector for each weight, 0 if it is the same in all lanes.
        rows: of its tiles, by :func:`shape_of_tiles`.
        columns: likewise.
    """
    size = 4 * lanes
    of_weight = size if by_lane else 4

    @kernel
    def depthwise_rows(
        x: int,
        channel: int,
        pitch: int,
        weights: int,
        bias: int,
        out: int,
        channel_out: int,
        height_out: int,
        width_out: int,
        act: int,
    ) -> None:
        zero = zeros(lanes, lanes)
        like, single = tile_of(rows, columns, zero), tile_of(rows, 1, zero)
        even = width_out // columns * columns
        for g in range(GROUP):
            taps, offset = weights + of_weight * g * k * k, splat(zero, number_at(bias + 4 * g))
            for r in range(0, height_out, rows):
                source = x + g * channel + r * s * pitch
                place = out + g * channel_out + r * width_out * size
                for c in range(0, even, columns):
                    tile = depthwise(filled(like, offset), k, s, d, trim, by_lane, taps, source + c * s * size, pitch)
                    store_tile(activated(tile, act), place + c * size, width_out * size)
                if not trim:
                    for c in range(even, width_out):
                        one = depthwise(filled(single, offset), k, s, d, 0, by_lane, taps, source + c * s * size, pitch)
                        store_tile(activated(one, act), place + c * size, width_out * size)

    return depthwise_rows


@part
def _block(zero: Any, facts: int) -> None:
    """One block, of which is told at an address."""
    f, size = _read(facts), 4 * lanes_of(zero)
    pitch = (f.width + 2 * f.halo) * size
    # Where the first columns are convolved: with fewer zeros at the left than the halo has, it begins further on.
    start = f.expanded + (f.halo - f.left) * size if f.halo else f.expanded
    if f.prepare:
        _prepare(f.prepare, f.dynamic)
    if f.bottleneck:
        clear(zero, f.factors, f.inside)
    for top in range(0, f.height_out, f.band):
        bottom = min(f.height_out, top + f.band)
        # Rows of the input that are needed, and those of them that there are.
        first = top * f.stride - f.above
        last = first + (bottom - 1 - top) * f.stride + 2 * f.reach + 1
        begin, end = max(first, 0), min(last, f.height)
        for e in range(0, f.inside, GROUP):
            at = f.expanded + (begin - first) * pitch
            _expand(zero, f, e, begin, end - begin, at + f.halo * size, size)
            for g in range(GROUP if e == 0 else 0):  # nothing is written there by the other groups
                base = f.expanded + g * f.channel_expanded
                clear(zero, base, (begin - first) * (f.width + 2 * f.halo))
                clear(zero, base + (end - first) * pitch, (last - end) * (f.width + 2 * f.halo))
            # With squeeze-and-excitation all rows are kept, else those of the band.
            target = f.middle + e * f.channel_middle + (top * f.width_out * size if f.bottleneck else 0)
            taps = f.depthwise_weights + 4 * e * f.taps
            if f.mix:
                _mix(f.mix, f.dynamic, f.expands, e // GROUP, GROUP * f.taps)
                taps = f.lane_weights
            _convolve(
                f.depthwise, start, f.channel_expanded, pitch, taps,
                f.depthwise_bias + 4 * e, target, f.channel_middle, bottom - top, f.width_out, f.act_inside,
            )  # fmt: skip
            if f.bend:
                _bend(f.bend, f.dynamic, e, top, bottom - top, target)
            if f.bottleneck:
                for g in range(GROUP):
                    total = load(zero, f.factors + (e + g) * size)
                    for r in range(bottom - top):
                        row = target + g * f.channel_middle + r * f.width_out * size
                        total = total + sum_row(zero, row, f.width_out, f.begin_out, f.mask_out)
                    store(total, f.factors + (e + g) * size)
        if not f.bottleneck:
            _project(f, top * f.width_out, (bottom - top) * f.width_out, size)
    if f.bottleneck:
        _excite(zero, f, size)
        _project(f, 0, f.height_out * f.width_out, size)


@cache
def make_residual(lanes: int) -> Callable[..., None]:
    """The kernel of n blocks, one after the other, of which is told at an address."""

    @kernel(compact=True)
    def residual(facts: int, n: int) -> None:
        zero = zeros(lanes, lanes)
        for i in range(n):
            _block(zero, facts + i * _BYTES)

    return residual
