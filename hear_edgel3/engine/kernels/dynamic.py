"""What a dynamic block makes of its own input: means, a context, and of that weights, lines and gates.

The block of :mod:`hear_edgel3.engine.kernels.residual` has one weight for all lanes, and a dynamic block other weights
for each image. Here an image has a vector for itself, all of whose lanes are strips of it; of images that share vectors
is :mod:`hear_edgel3.engine.kernels.dynamic_by_lane`, and of single ones
:mod:`hear_edgel3.engine.kernels.dynamic_alone`.

Before such a block runs, what it works with is made of its input, in this order::

    means        of bands [height][inputs]         of frames [inputs][width][lane]
    sequences    of bands [height][context]        of frames [context][halo, width, halo][lane]
    context      [context], the mean of all bands and frames
    made         attention of each convolution | slopes of each line | offsets of each line
    weights      of each convolution, mixed of its kernels as the attention says
    gates        of bands [height_out][inside]     of frames [inside][width_out][lane]

What belongs to bands is the same for all strips, so that its channels lie in the lanes; frames have strips there.
Behind the depthwise convolution each value becomes the largest of the lines, times the gates of its band and frame.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import (
    add_scaled,
    lanes_of,
    larger,
    load,
    number_at,
    plus_times,
    splat,
    store,
    store_tile,
    tile_of,
    zeros,
)
from hear_edgel3.engine.kernels.dynamic_facts import DynamicFacts, read_dynamic
from hear_edgel3.engine.kernels.masked_rows import add_halo, mask_row, sum_of_strips, sum_row
from hear_edgel3.engine.kernels.pixel_ops import store_number
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE
from hear_edgel3.engine.kernels.tile_ops import exponential, sigmoid, tanh_of_half, where

# Vectors of GROUP lanes at once, of which kernels are mixed; the numbers of a kernel are a multiple of MIXED.
_AT_ONCE = 8
MIXED = GROUP * _AT_ONCE
_multiply, _multiply_each = caller(13), caller(13)


@part
def average(zero: Any, f: DynamicFacts, size: int) -> None:
    """The means of the input's bands and frames; those of bands are vectors, [inputs][height], if images share them."""
    room = f.sequence  # of a vector, to take a lane out of
    share_of_frames = splat(zero, np.float32(1.0 / f.frames))
    share_of_bands = splat(zero, np.float32(1.0 / f.height))
    for c in range(f.inputs):
        source, columns = f.x + c * f.channel, f.means + c * f.channel_means
        for w in range(f.width):
            store(zero, columns + w * size)
        for r in range(f.height):
            row, total = source + r * f.width * size, zero
            for w in range(f.width):
                x = load(zero, row + w * size)
                store(load(zero, columns + w * size) + x, columns + w * size)
                if w >= f.begin_sum:
                    x = where(x, load(zero, f.mask + w * size))
                total = total + x
            mean = sum_of_strips(total, f.strips) * share_of_frames
            if f.shared:
                store(mean, f.band_means + (c * f.height + r) * size)
            else:
                store(mean, room)
                store_number(number_at(room), f.band_means + 4 * (r * f.inputs + c))
        for w in range(f.width):
            store(load(zero, columns + w * size) * share_of_bands, columns + w * size)


@part
def _make_context(zero: Any, f: DynamicFacts, size: int) -> None:
    """The sequences, and their mean."""
    frames = f.sequence + size  # behind a halo
    _multiply_each(
        f.multiply_each, f.band_means, 4 * f.inputs, f.joint_weights, f.joint_bias, f.bands, f.inputs, f.n_context,
        f.height, HARDSWISH, 0, 0, 0, 0,
    )  # fmt: skip
    _multiply(
        f.multiply, f.means, f.channel_means, f.joint_weights, f.joint_bias, frames, f.channel_sequence,
        f.inputs, f.n_context, f.width, HARDSWISH, 0, 0, 0,
    )  # fmt: skip
    share = splat(zero, np.float32(1.0 / (f.height + f.frames)))
    for c in range(f.n_context):
        of_bands = np.float32(0.0)
        for r in range(f.height):
            of_bands += number_at(f.bands + 4 * (r * f.n_context + c))
        of_frames = sum_row(zero, frames + c * f.channel_sequence, f.width, f.begin_sum, f.mask)
        total = sum_of_strips(of_frames, f.strips) + splat(zero, of_bands)
        store(total * share, f.context + c * size)
        store_number(number_at(f.context + c * size), f.flat + 4 * c)


@part
def softmax(like: Any, numbers: int, n: int, n_room: int) -> None:
    """The softmax of n numbers, in their place; there is room for a multiple of GROUP."""
    most = number_at(numbers)
    for i in range(1, n):
        most = max(most, number_at(numbers + 4 * i))
    shift = splat(like, most)
    for i in range(0, n_room, GROUP):
        store(exponential(load(like, numbers + 4 * i) - shift), numbers + 4 * i)
    total = np.float32(0.0)
    for i in range(n):
        total += number_at(numbers + 4 * i)
    share = splat(like, np.float32(1.0) / total)
    for i in range(0, n_room, GROUP):
        store(load(like, numbers + 4 * i) * share, numbers + 4 * i)


@part
def mix(like: Any, bank: int, size: int, kernels: int, attention: int, target: int) -> None:
    """The sum of kernels of so many numbers each, times the numbers of an attention."""
    zero = tile_of(1, _AT_ONCE, like)
    for i in range(0, size, MIXED):
        tile = zero
        for k in range(kernels):
            tile = add_scaled(tile, number_at(attention + 4 * k), bank + 4 * (k * size + i), 0)
        store_tile(tile, target + 4 * i, 0)


@part
def mix_all(like: Any, f: DynamicFacts) -> None:
    """The weights of all convolutions that are mixed, by the attentions before their softmax."""
    for i in range(f.n_mixed):
        softmax(like, f.made + 4 * i * f.n_attention, f.kernels, f.n_attention)
    if f.n_mixed > 0:
        mix(like, f.bank_0, f.size_0, f.kernels, f.made, f.mixed_0)
    if f.n_mixed > 1:
        mix(like, f.bank_1, f.size_1, f.kernels, f.made + 4 * f.n_attention, f.mixed_1)
    if f.n_mixed > 2:
        mix(like, f.bank_2, f.size_2, f.kernels, f.made + 8 * f.n_attention, f.mixed_2)


@part
def make_lines(like: Any, f: DynamicFacts) -> None:
    """Slopes and offsets."""
    for i in range(2 * f.lines):
        scale = splat(like, number_at(f.scale + 4 * i))
        start = splat(like, number_at(f.start + 4 * i))
        for e in range(0, f.inside, GROUP):
            place = 4 * (i * f.inside + e)
            y = tanh_of_half(load(like, f.made + 4 * f.first_line + place))
            store(y * scale + start, f.coefficients + place)


@part
def average_threes(zero: Any, x: int, n: int, n_out: int, stride: int, channels: int, target: int) -> None:
    """Means of three neighbours of n in a sequence, `stride` apart; what is beyond its ends counts as zero."""
    third = splat(zero, np.float32(1.0 / 3.0))
    for r in range(n_out):
        for c in range(0, channels, GROUP):
            total = zero
            for i in range(max(0, r * stride - 1), min(n, r * stride + 2)):
                total = total + load(zero, x + 4 * (i * channels + c))
            store(total * third, target + 4 * (r * channels + c))


@part
def gate_frames(zero: Any, f: DynamicFacts, size: int) -> None:
    """The gates of frames, of which strips lie in the lanes, as do those of the sequence."""
    frames, channel = f.sequence + size, f.channel_sequence
    if f.stride > 1:
        third = splat(zero, np.float32(1.0 / 3.0))
        for c in range(f.n_context):
            row, target = frames + c * channel, f.averaged + c * f.channel_averaged
            mask_row(zero, row, f.begin, f.end, f.mask)
            add_halo(zero, row, f.width, 1, f.edges)
            for w in range(f.width_out):
                place = row + w * f.stride * size
                total = load(zero, place - size) + load(zero, place) + load(zero, place + size)
                store(total * third, target + w * size)
        frames, channel = f.averaged, f.channel_averaged
    _multiply(
        f.multiply, frames, channel, f.frames_weights, f.frames_bias, f.gates, f.channel_gates,
        f.n_context, f.inside, f.width_out, NONE, 0, 0, 0,
    )  # fmt: skip
    for e in range(f.inside):
        for w in range(f.width_out):
            place = f.gates + e * f.channel_gates + w * size
            store(sigmoid(load(zero, place)), place)


@part
def _make_gates(zero: Any, like: Any, f: DynamicFacts, size: int) -> None:
    """The gates of bands and frames."""
    bands = f.bands
    if f.stride > 1:
        average_threes(like, f.bands, f.height, f.height_out, f.stride, f.n_context, f.averaged_bands)
        bands = f.averaged_bands
    _multiply_each(
        f.multiply_each, bands, 4 * f.n_context, f.bands_weights, f.bands_bias, f.band_gates, f.n_context, f.inside,
        f.height_out, NONE, 0, 0, 0, 0,
    )  # fmt: skip
    for i in range(0, f.height_out * f.inside, GROUP):
        store(sigmoid(load(like, f.band_gates + 4 * i)), f.band_gates + 4 * i)
    gate_frames(zero, f, size)


@cache
def make_prepare(lanes: int) -> Callable[..., None]:
    """The kernel that makes what a block works with, of which is told at an address."""

    @kernel
    def prepare(facts: int) -> None:
        f = read_dynamic(facts)
        zero, like = zeros(lanes, lanes), zeros(GROUP, GROUP)
        size = 4 * lanes_of(zero)
        average(zero, f, size)
        _make_context(zero, f, size)
        if f.n_made:
            _multiply_each(
                f.multiply_each, f.flat, 0, f.made_weights, f.made_bias, f.made, f.n_context, f.n_made, 1,
                NONE, 0, 0, 0, 0,
            )  # fmt: skip
        mix_all(like, f)
        make_lines(like, f)
        if f.gated:
            _make_gates(zero, like, f, size)

    return prepare


@part
def _bend_with_two(zero: Any, x: int, n: int, slopes: int, offsets: int, apart: int) -> None:
    """The larger one of two lines, of n vectors; numbers of the lines are so many bytes apart."""
    size = 4 * lanes_of(zero)
    slope, other_slope = number_at(slopes), number_at(slopes + apart)
    offset, other_offset = splat(zero, number_at(offsets)), splat(zero, number_at(offsets + apart))
    for i in range(n):
        y = load(zero, x + i * size)
        store(larger(plus_times(offset, y, slope), plus_times(other_offset, y, other_slope)), x + i * size)


@part
def _bend_with(zero: Any, x: int, n: int, slopes: int, offsets: int, apart: int, lines: int) -> None:
    """The same for any number of lines."""
    size = 4 * lanes_of(zero)
    for i in range(n):
        y = load(zero, x + i * size)
        most = plus_times(splat(zero, number_at(offsets)), y, number_at(slopes))
        for j in range(1, lines):
            offset = splat(zero, number_at(offsets + j * apart))
            most = larger(most, plus_times(offset, y, number_at(slopes + j * apart)))
        store(most, x + i * size)


@cache
def make_bend(lanes: int) -> Callable[..., None]:
    """The kernel of what follows the depthwise convolution of GROUP channels."""

    @kernel
    def bend(facts: int, e: int, top: int, n: int, target: int) -> None:
        """The largest of the lines, times the gates.

        Args:
            facts: address of what is told of the block.
            e: the first of the channels.
            top: the first of the rows, in an image.
            n: how many rows.
            target: address of the first row of the first channel.
        """
        f = read_dynamic(facts)
        zero = zeros(lanes, lanes)
        size = 4 * lanes_of(zero)
        width, gated, inside, lines = f.width_out, f.gated, f.inside, f.lines
        for g in range(GROUP):
            slopes, gates = f.coefficients + 4 * (e + g), f.gates + (e + g) * f.channel_gates
            offsets = slopes + 4 * lines * inside
            x, band = target + g * f.channel_middle, f.band_gates + 4 * (top * inside + e + g)
            if lines == 2:
                _bend_with_two(zero, x, n * width, slopes, offsets, 4 * inside)
            elif lines:
                _bend_with(zero, x, n * width, slopes, offsets, 4 * inside, lines)
            if gated:
                for r in range(n):
                    of_band = splat(zero, number_at(band + 4 * r * inside))
                    for c in range(width):
                        gate = of_band * load(zero, gates + c * size)
                        store(load(zero, x + c * size) * gate, x + c * size)
                    x += width * size

    return bend
