"""Pointwise convolutions of maps whose lanes are images or strips of them, and linear layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import kernel, many_registers, part
from hear_edgel3.compiled.simd import (
    add_outer,
    columns_of,
    expect_store,
    lanes_of_tile,
    load,
    rows_of,
    store_tile,
    tile_larger,
    tile_of,
    zeros,
)
from hear_edgel3.engine.kernels.tile_ops import (
    add_outer_scaled,
    add_tile_at,
    biases,
    hard_swish,
    up_to_six,
    zero_of,
)

# Outputs at once.
GROUP = 8
# Activations.
NONE, RELU, HARDSWISH, RELU6 = 0, 1, 2, 3


def tile_shape() -> tuple[int, int]:
    """Outputs and columns of the tiles of products, as many sums as fit into the registers beside their factors.

    Eight by one would fit into 16 registers, too, but load a number for each sum: four by three need half as many
    loads, and have more sums that do not wait for each other.
    """
    return (GROUP, 2) if many_registers() else (GROUP // 2, 3)


def packed(weights: np.ndarray, n_in: int | None = None) -> np.ndarray:
    """(n_out, n_in) weights as products take them: (groups, n_in, GROUP), filled up with zeros.

    Args:
        weights: of a linear layer.
        n_in: how many inputs there shall be, at least as many as there are.
    """
    n_out, given = weights.shape
    full = np.zeros((-(-n_out // GROUP) * GROUP, given if n_in is None else n_in), np.float32)
    full[:n_out, :given] = weights
    return np.ascontiguousarray(full.reshape(-1, GROUP, full.shape[1]).transpose(0, 2, 1))


@part(inlined=True)
def activated(tile: Any, act: int) -> Any:
    """A tile after an activation."""
    if act == RELU:
        tile = tile_larger(tile, zero_of(tile))
    elif act == HARDSWISH:
        tile = hard_swish(tile)
    elif act == RELU6:
        tile = up_to_six(tile)
    return tile


@part
def expect(like: Any, address: int, channel: int) -> None:
    """Has the memory of a tile fetched, whose rows are so many bytes apart."""
    zero = zero_of(like)
    for r in range(rows_of(like)):
        for c in range(columns_of(like)):
            expect_store(zero, address + r * channel + 4 * c * lanes_of_tile(like))


@part(inlined=True)
def summed(like: Any, x: int, channel: int, weights: int, bias: int, n_in: int) -> Any:
    """A tile of a pointwise convolution: neighbouring columns of outputs of one group.

    Args:
        like: a tile of GROUP rows, or of a part of them.
        x: address of the first column; its channels are `channel` bytes apart.
        channel: see there.
        weights: address of the first output's weight in (n_in, GROUP) float32.
        bias: address of the first output's bias.
        n_in: input channels.
    """
    tile = biases(like, bias)
    for k in range(n_in):
        tile = add_outer(tile, weights + 4 * GROUP * k, x + k * channel)
    return tile


@part
def product(
    like: Any,
    x: int,
    channel: int,
    weights: int,
    bias: int,
    out: int,
    channel_out: int,
    n_in: int,
    n_out: int,
    begin: int,
    end: int,
    act: int,
    added: int,
    channel_added: int,
    scale: int,
) -> None:
    """A pointwise convolution of the columns from `begin` to `end`, in tiles of so many as `like` has.

    Args:
        like: a tile of GROUP rows, or of a part of them.
        x: address of the input; its channels are `channel` bytes apart.
        channel: see there.
        weights: address of (n_out / GROUP, n_in, GROUP) float32.
        bias: address of (n_out,) float32.
        out: address of the output; its channels are `channel_out` bytes apart.
        channel_out: see there.
        n_in: input channels.
        n_out: output channels, a multiple of GROUP.
        begin: the first vector of a channel.
        end: behind the last one; their number is a multiple of the tile's columns.
        act: NONE, RELU, HARDSWISH or RELU6.
        added: address of what is added to the output, or 0.
        channel_added: bytes from a channel of it to the next.
        scale: address of a vector for each input channel, with which it is multiplied before; or 0. What is multiplied
            takes the input's place, so that it is done once for all outputs.
    """
    zero = zero_of(like)
    size = 4 * lanes_of_tile(like)
    for p in range(begin, end, columns_of(like)):
        place = x + p * size
        for o in range(0, n_out, rows_of(like)):
            # What is written, and what is added before, is fetched while the products are summed.
            expect(like, out + o * channel_out + p * size, channel_out)
            if added != 0:
                expect(like, added + o * channel_added + p * size, channel_added)
            w = weights + 4 * (o // GROUP * GROUP * n_in + o % GROUP)
            if scale != 0 and o == 0:
                tile = biases(like, bias)
                for k in range(n_in):
                    factors = load(zero, scale + k * size)
                    tile = add_outer_scaled(tile, w + 4 * GROUP * k, place + k * channel, factors)
            else:
                tile = summed(like, place, channel, w, bias + 4 * o, n_in)
            tile = activated(tile, act)
            if added != 0:
                tile = add_tile_at(tile, added + o * channel_added + p * size, channel_added)
            store_tile(tile, out + o * channel_out + p * size, channel_out)


@cache
def make_pointwise(lanes: int) -> Callable[..., None]:
    """The kernel of a pointwise convolution of a map; of one column it is a linear layer."""
    rows, columns = tile_shape()

    @kernel
    def pointwise(
        x: int,
        channel: int,
        weights: int,
        bias: int,
        out: int,
        channel_out: int,
        n_in: int,
        n_out: int,
        n: int,
        act: int,
        added: int,
        channel_added: int,
        scale: int,
    ) -> None:
        """As :func:`product`, of n columns: with tiles of several columns and then of one."""
        zero = zeros(lanes, lanes)
        even = n // columns * columns
        product(
            tile_of(rows, columns, zero), x, channel, weights, bias, out, channel_out, n_in, n_out, 0, even, act,
            added, channel_added, scale,
        )  # fmt: skip
        if even < n:
            product(
                tile_of(GROUP, 1, zero), x, channel, weights, bias, out, channel_out, n_in, n_out, even, n, act,
                added, channel_added, scale,
            )  # fmt: skip

    return pointwise
