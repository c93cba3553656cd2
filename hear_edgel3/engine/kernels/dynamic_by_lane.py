"""Dynamic blocks of images that share vectors: what :mod:`hear_edgel3.engine.kernels.dynamic` has once is in each lane.

Whatever is made of an image's context is a vector here, and a convolution's weights are mixed for all lanes at once: 8
outputs' weights, a vector each, are mixed, used for all places of a map, and forgotten. So a weight is read from memory
once for all images that share the vectors, and is multiplied as often as there are kernels::

    bank         kernel 0: outputs 0..7 of input 0 | of input 1 ..      attention    [kernel][lane]
                 kernel 1: ..
    weights      outputs 0..7 of input 0 | of input 1 ..  [lane]   =    the kernels' sum, times the attention
    products     a place's outputs 0..7  +=  a vector of the weights  *  a vector of the place
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import (
    add_outer,
    columns_of,
    lanes_of,
    lanes_of_tile,
    larger,
    load,
    number_at,
    plus_product,
    rows_of,
    splat,
    store,
    store_tile,
    tile_larger,
    tile_of,
    zeros,
)
from hear_edgel3.engine.kernels.dynamic import average, gate_frames
from hear_edgel3.engine.kernels.dynamic_facts import DynamicFacts, read_dynamic
from hear_edgel3.engine.kernels.masked_rows import sum_of_strips, sum_row
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, RELU, tile_shape
from hear_edgel3.engine.kernels.tile_ops import (
    add_outer_by_lane,
    add_tile_at,
    biases,
    exponential,
    hard_swish,
    sigmoid,
    tanh_of_half,
    zero_of,
)

_multiply = caller(13)


@part
def _make_context(zero: Any, f: DynamicFacts, size: int) -> None:
    """The sequences, and their mean."""
    frames = f.sequence + size  # behind a halo
    _multiply(
        f.multiply, f.band_means, f.height * size, f.joint_weights, f.joint_bias, f.bands, f.height * size,
        f.inputs, f.n_context, f.height, HARDSWISH, 0, 0, 0,
    )  # fmt: skip
    _multiply(
        f.multiply, f.means, f.channel_means, f.joint_weights, f.joint_bias, frames, f.channel_sequence,
        f.inputs, f.n_context, f.width, HARDSWISH, 0, 0, 0,
    )  # fmt: skip
    share = splat(zero, np.float32(1.0 / (f.height + f.frames)))
    for c in range(f.n_context):
        of_bands = zero
        for r in range(f.height):
            of_bands = of_bands + load(zero, f.bands + (c * f.height + r) * size)
        of_frames = sum_row(zero, frames + c * f.channel_sequence, f.width, f.begin_sum, f.mask)
        total = sum_of_strips(of_frames, f.strips) + of_bands
        store(total * share, f.context + c * size)


@part
def _softmax(zero: Any, vectors: int, n: int) -> None:
    """The softmax of n vectors, lane by lane, in their place."""
    size = 4 * lanes_of(zero)
    most, total = load(zero, vectors), zero
    for i in range(1, n):
        most = larger(most, load(zero, vectors + i * size))
    for i in range(n):
        y = exponential(load(zero, vectors + i * size) - most)
        total = total + y
        store(y, vectors + i * size)
    share = splat(zero, np.float32(1.0)) / total
    for i in range(n):
        store(load(zero, vectors + i * size) * share, vectors + i * size)


@part
def _make_lines(zero: Any, f: DynamicFacts, size: int) -> None:
    """Slopes and offsets."""
    for i in range(2 * f.lines):
        scale = splat(zero, number_at(f.scale + 4 * i))
        start = splat(zero, number_at(f.start + 4 * i))
        for e in range(f.inside):
            place = (i * f.inside + e) * size
            y = tanh_of_half(load(zero, f.made + f.first_line * size + place))
            store(y * scale + start, f.coefficients + place)


@part
def _make_gates(zero: Any, f: DynamicFacts, size: int) -> None:
    """The gates of bands and frames."""
    bands, line = f.bands, f.height_out * size
    if f.stride > 1:
        third = splat(zero, np.float32(1.0 / 3.0))
        for c in range(f.n_context):
            for r in range(f.height_out):
                total = zero
                for i in range(max(0, r * f.stride - 1), min(f.height, r * f.stride + 2)):
                    total = total + load(zero, f.bands + (c * f.height + i) * size)
                store(total * third, f.averaged_bands + (c * f.height_out + r) * size)
        bands = f.averaged_bands
    _multiply(
        f.multiply, bands, line, f.bands_weights, f.bands_bias, f.band_gates, line,
        f.n_context, f.inside, f.height_out, NONE, 0, 0, 0,
    )  # fmt: skip
    for i in range(f.inside * f.height_out):
        store(sigmoid(load(zero, f.band_gates + i * size)), f.band_gates + i * size)
    gate_frames(zero, f, size)


@cache
def make_prepare_by_lane(lanes: int) -> Callable[..., None]:
    """As :func:`hear_edgel3.engine.kernels.dynamic.make_prepare`; no weights are mixed yet."""

    @kernel
    def prepare_by_lane(facts: int) -> None:
        f, zero = read_dynamic(facts), zeros(lanes, lanes)
        size = 4 * lanes_of(zero)
        average(zero, f, size)
        _make_context(zero, f, size)
        if f.n_made:
            _multiply(
                f.multiply, f.context, size, f.made_weights, f.made_bias, f.made, size, f.n_context, f.n_made, 1,
                NONE, 0, 0, 0,
            )  # fmt: skip
        for i in range(f.n_mixed):
            _softmax(zero, f.made + i * f.n_attention * size, f.kernels)
        _make_lines(zero, f, size)
        if f.gated:
            _make_gates(zero, f, size)

    return prepare_by_lane


@cache
def make_mix_by_lane(lanes: int) -> Callable[..., None]:
    """The kernel that mixes the weights of GROUP outputs or channels."""

    @kernel
    def mix_by_lane(facts: int, convolution: int, group: int, n: int) -> None:
        """Mixes the weights of one group of a convolution to where such weights are expected.

        Args:
            facts: address of what is told of the block.
            convolution: its number among those that are mixed.
            group: the number of the group.
            n: weights of a group, a multiple of GROUP.
        """
        f = read_dynamic(facts)
        zero = zeros(lanes, lanes)
        size = 4 * lanes_of(zero)
        bank, of_kernel = f.bank_0, f.size_0
        if convolution == 1:
            bank, of_kernel = f.bank_1, f.size_1
        elif convolution == 2:
            bank, of_kernel = f.bank_2, f.size_2
        bank += 4 * group * n
        attention = f.made + convolution * f.n_attention * size
        none = tile_of(GROUP, 1, zero)
        for i in range(0, n, GROUP):
            tile = none
            for k in range(f.kernels):
                tile = add_outer(tile, bank + 4 * (k * of_kernel + i), attention + k * size)
            store_tile(tile, f.lane_weights + i * size, size)

    return mix_by_lane


@part
def _product(
    like: Any,
    x: int,
    channel: int,
    weights: int,
    bias: int,
    out: int,
    channel_out: int,
    n_in: int,
    begin: int,
    end: int,
    act: int,
    added: int,
    channel_added: int,
) -> None:
    """As :func:`hear_edgel3.engine.kernels.pointwise.product`, of GROUP outputs, with a vector for each weight."""
    size = 4 * lanes_of_tile(like)
    for p in range(begin, end, columns_of(like)):
        for o in range(0, GROUP, rows_of(like)):
            tile, w = biases(like, bias + 4 * o), weights + o * size
            for k in range(n_in):
                tile = add_outer_by_lane(tile, w + GROUP * k * size, x + p * size + k * channel)
            if act == RELU:
                tile = tile_larger(tile, zero_of(like))
            elif act == HARDSWISH:
                tile = hard_swish(tile)
            if added != 0:
                tile = add_tile_at(tile, added + o * channel_added + p * size, channel_added)
            store_tile(tile, out + o * channel_out + p * size, channel_out)


@cache
def make_pointwise_by_lane(lanes: int) -> Callable[..., None]:
    """The kernel of a pointwise convolution of GROUP outputs with a vector for each weight."""
    rows, columns = tile_shape()

    @kernel
    def pointwise_by_lane(
        x: int,
        channel: int,
        weights: int,
        bias: int,
        out: int,
        channel_out: int,
        n_in: int,
        n: int,
        act: int,
        added: int,
        channel_added: int,
    ) -> None:
        """Of n columns: with tiles of several columns and then of one."""
        zero = zeros(lanes, lanes)
        even = n // columns * columns
        _product(
            tile_of(rows, columns, zero), x, channel, weights, bias, out, channel_out, n_in, 0, even, act,
            added, channel_added,
        )  # fmt: skip
        if even < n:
            _product(
                tile_of(GROUP, 1, zero), x, channel, weights, bias, out, channel_out, n_in, even, n, act,
                added, channel_added,
            )  # fmt: skip

    return pointwise_by_lane


@cache
def make_bend_by_lane(lanes: int) -> Callable[..., None]:
    """As :func:`hear_edgel3.engine.kernels.dynamic.make_bend`."""

    @kernel
    def bend_by_lane(facts: int, e: int, top: int, n: int, target: int) -> None:
        f = read_dynamic(facts)
        zero = zeros(lanes, lanes)
        size = 4 * lanes_of(zero)
        width, lines, apart = f.width_out, f.lines, f.inside * size
        for g in range(GROUP):
            slopes, gates = f.coefficients + (e + g) * size, f.gates + (e + g) * f.channel_gates
            offsets = slopes + lines * apart
            x, band = target + g * f.channel_middle, f.band_gates + ((e + g) * f.height_out + top) * size
            if lines:
                slope, offset = load(zero, slopes), load(zero, offsets)
                for i in range(n * width):
                    y = load(zero, x + i * size)
                    most = plus_product(offset, y, slope)
                    for j in range(1, lines):
                        other_slope, other_offset = load(zero, slopes + j * apart), load(zero, offsets + j * apart)
                        most = larger(most, plus_product(other_offset, y, other_slope))
                    store(most, x + i * size)
            if f.gated:
                for r in range(n):
                    of_band = load(zero, band + r * size)
                    for c in range(width):
                        gate = of_band * load(zero, gates + c * size)
                        store(load(zero, x + c * size) * gate, x + c * size)
                    x += width * size

    return bend_by_lane
