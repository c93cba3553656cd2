"""Dynamic blocks of one image alone: what :mod:`hear_edgel3.engine.kernels.dynamic` has, with channels in the lanes.

A map lies as in :mod:`hear_edgel3.engine.kernels.one_image`, and so do sequences, of bands and of frames alike::

    means        of bands [height][inputs]         of frames [width][inputs]
    sequences    of bands [height][context]        of frames [width][context]
    gates        of bands [height_out][inside]     of frames [width_out][inside]

All sums are in the order in which they are where strips or images lie in the lanes, so that an image has the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import larger, load, plus_product, splat, store, store_tile, tile_of, zeros
from hear_edgel3.engine.kernels.dynamic import average_threes, make_lines, mix_all
from hear_edgel3.engine.kernels.dynamic_facts import DynamicFacts, read_dynamic
from hear_edgel3.engine.kernels.one_image import copy_numbers, sum_pixels
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE
from hear_edgel3.engine.kernels.tile_ops import sigmoid

_multiply = caller(13)


@part
def _average(zero: Any, f: DynamicFacts) -> None:
    """The means of the input's bands and frames."""
    one = tile_of(1, 1, zero)
    share_of_frames = splat(zero, np.float32(1.0 / f.frames))
    share_of_bands = splat(zero, np.float32(1.0 / f.height))
    line = f.width * f.channel
    for c in range(0, f.channel, 4 * GROUP):
        for r in range(f.height):
            total = sum_pixels(one, f.x + r * line + c, f.channel, 1, f.width, f.strips, f.strip, f.room)
            store_tile(total, f.room, 0)
            store(load(zero, f.room) * share_of_frames, f.band_means + r * f.channel + c)
        for w in range(f.width):
            mean = zero
            for r in range(f.height):
                mean = mean + load(zero, f.x + r * line + w * f.channel + c)
            store(mean * share_of_bands, f.means + w * f.channel + c)


@part
def _make_context(zero: Any, f: DynamicFacts) -> None:
    """The sequences, and their mean."""
    _multiply(
        f.multiply_each, f.band_means, f.channel, f.joint_weights, f.joint_bias, f.bands, f.inputs, f.n_context,
        f.height, HARDSWISH, 0, 0, 0, 0,
    )  # fmt: skip
    _multiply(
        f.multiply_each, f.means, f.channel, f.joint_weights, f.joint_bias, f.sequence, f.inputs, f.n_context,
        f.width, HARDSWISH, 0, 0, 0, 0,
    )  # fmt: skip
    one, pitch = tile_of(1, 1, zero), 4 * f.n_context
    share = splat(zero, np.float32(1.0 / (f.height + f.frames)))
    for c in range(0, pitch, 4 * GROUP):
        of_bands = zero
        for r in range(f.height):
            of_bands = of_bands + load(zero, f.bands + r * pitch + c)
        of_frames = sum_pixels(one, f.sequence + c, pitch, 1, f.width, f.strips, f.strip, f.room)
        store_tile(of_frames, f.room, 0)
        store((load(zero, f.room) + of_bands) * share, f.flat + c)
    if f.context != 0:
        copy_numbers(f.flat, f.context, f.n_kept, 4)


@part
def _make_gates(zero: Any, f: DynamicFacts) -> None:
    """The gates of bands and frames."""
    bands, frames = f.bands, f.sequence
    if f.stride > 1:
        average_threes(zero, f.bands, f.height, f.height_out, f.stride, f.n_context, f.averaged_bands)
        average_threes(zero, f.sequence, f.width, f.width_out, f.stride, f.n_context, f.averaged)
        bands, frames = f.averaged_bands, f.averaged
    _multiply(
        f.multiply_each, bands, 4 * f.n_context, f.bands_weights, f.bands_bias, f.band_gates, f.n_context, f.inside,
        f.height_out, NONE, 0, 0, 0, 0,
    )  # fmt: skip
    _multiply(
        f.multiply_each, frames, 4 * f.n_context, f.frames_weights, f.frames_bias, f.gates, f.n_context, f.inside,
        f.width_out, NONE, 0, 0, 0, 0,
    )  # fmt: skip
    for i in range(0, f.height_out * f.inside, GROUP):
        store(sigmoid(load(zero, f.band_gates + 4 * i)), f.band_gates + 4 * i)
    for i in range(0, f.width_out * f.inside, GROUP):
        store(sigmoid(load(zero, f.gates + 4 * i)), f.gates + 4 * i)


@kernel
def prepare_alone(facts: int) -> None:
    """Makes what a block works with, of which is told at an address."""
    f, zero = read_dynamic(facts), zeros(GROUP, GROUP)
    _average(zero, f)
    _make_context(zero, f)
    if f.n_made:
        _multiply(
            f.multiply_each, f.flat, 0, f.made_weights, f.made_bias, f.made, f.n_context, f.n_made, 1, NONE, 0, 0, 0, 0
        )
    mix_all(zero, f)
    make_lines(zero, f)
    if f.gated:
        _make_gates(zero, f)


@kernel
def bend_alone(facts: int, x: int) -> None:
    """What follows the depthwise convolution: the largest of the lines, times the gates.

    Args:
        facts: address of what is told of the block.
        x: address of the map, all of it.
    """
    f, zero = read_dynamic(facts), zeros(GROUP, GROUP)
    apart = 4 * f.inside
    for r in range(f.height_out):
        for w in range(f.width_out):
            pixel = x + (r * f.width_out + w) * apart
            for e in range(0, apart, 4 * GROUP):
                y = load(zero, pixel + e)
                if f.lines:
                    slopes, offsets = f.coefficients + e, f.coefficients + f.lines * apart + e
                    most = plus_product(load(zero, offsets), y, load(zero, slopes))
                    for i in range(1, f.lines):
                        slope, offset = load(zero, slopes + i * apart), load(zero, offsets + i * apart)
                        most = larger(most, plus_product(offset, y, slope))
                    y = most
                if f.gated:
                    gate = load(zero, f.band_gates + r * apart + e) * load(zero, f.gates + w * apart + e)
                    y = y * gate
                store(y, pixel + e)
