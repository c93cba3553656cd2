"""What the kernels of dynamic blocks are told (:mod:`hear_edgel3.engine.kernels.dynamic`)."""

from __future__ import annotations

from typing import NamedTuple

from hear_edgel3.compiled.told import reader


class DynamicFacts(NamedTuple):
    """What the kernels are told of a dynamic block. Addresses are of memory.

    Of an image alone, whose channels lie in the lanes, pixels take the place of channels: `channel` are bytes from a
    pixel to the next, and what is said to be [channels][places] lies as [places][channels].

    Attributes:
        x: address of the block's input.
        channel: bytes from a channel of it to the next.
        inputs: its channels.
        height: its rows.
        width: its columns.
        frames: of an image.
        begin_sum: the first of its columns that is masked in some lane.
        begin: the first of its columns to mask before it is convolved with one column to either side.
        end: behind the last one.
        mask: address of its mask.
        strips: of an image.
        shared: whether images share vectors.
        edges: address of two vectors that tell the first and last ones.
        strip: for an image alone, the columns that a strip would have.
        room: for an image alone, address of room for a vector of each strip.
        means: address of room for the means of frames.
        channel_means: bytes from a channel to the next; like what follows.
        sequence: address of room for the sequence over frames, with a halo.
        channel_sequence: as above.
        band_means: address of room for the means of bands.
        bands: address of room for the sequence over bands.
        n_context: values of the context, a multiple of GROUP.
        context: address of room for the context, a vector each; for an image alone, of where it is kept, or 0.
        n_kept: for an image alone, values of it that are kept.
        flat: address of room for it, a number each.
        made: address of room for what is made of it.
        n_made: how much that is, a multiple of GROUP.
        kernels: of a convolution that is mixed.
        n_attention: numbers of one attention, a multiple of GROUP.
        n_mixed: convolutions that are mixed.
        bank_0: address of the kernels of the first one.
        bank_1: likewise.
        bank_2: likewise.
        size_0: numbers of one of its kernels, a multiple of MIXED.
        size_1: likewise.
        size_2: likewise.
        mixed_0: address of room for what they are mixed to, if images do not share vectors.
        mixed_1: likewise.
        mixed_2: likewise.
        lane_weights: address of room for weights of GROUP outputs that are mixed, if images share vectors.
        lines: how many there are; 0 for none.
        first_line: the number of the first slope in what is made.
        coefficients: address of room for slopes and offsets, (2 * lines, inside).
        scale: address of (2 * lines,) float32.
        start: address of (2 * lines,) float32.
        inside: channels of the depthwise convolution, a multiple of GROUP.
        channel_middle: bytes from a channel of what it puts out to the next.
        height_out: rows of that in an image.
        width_out: columns of that.
        stride: of the block.
        gated: whether there are gates.
        averaged: address of room for an averaged sequence over frames; like what follows.
        channel_averaged: bytes from a channel to the next.
        gates: address of room for the gates of frames.
        channel_gates: as above.
        averaged_bands: address of room for an averaged sequence over bands.
        band_gates: address of room for the gates of bands.
        multiply: address of the kernel of pointwise convolutions.
        multiply_each: address of :func:`hear_edgel3.engine.kernels.one_image.one_linear`.
        joint_weights: packed.
        joint_bias: address.
        made_weights: packed.
        made_bias: address.
        bands_weights: packed.
        bands_bias: address.
        frames_weights: packed.
        frames_bias: address.
    """

    x: int = 0
    channel: int = 0
    inputs: int = 0
    height: int = 0
    width: int = 0
    frames: int = 0
    begin_sum: int = 0
    begin: int = 0
    end: int = 0
    mask: int = 0
    strips: int = 0
    shared: int = 0
    edges: int = 0
    strip: int = 0
    room: int = 0
    means: int = 0
    channel_means: int = 0
    sequence: int = 0
    channel_sequence: int = 0
    band_means: int = 0
    bands: int = 0
    n_context: int = 0
    context: int = 0
    n_kept: int = 0
    flat: int = 0
    made: int = 0
    n_made: int = 0
    kernels: int = 0
    n_attention: int = 0
    n_mixed: int = 0
    bank_0: int = 0
    bank_1: int = 0
    bank_2: int = 0
    size_0: int = 0
    size_1: int = 0
    size_2: int = 0
    mixed_0: int = 0
    mixed_1: int = 0
    mixed_2: int = 0
    lane_weights: int = 0
    lines: int = 0
    first_line: int = 0
    coefficients: int = 0
    scale: int = 0
    start: int = 0
    inside: int = 0
    channel_middle: int = 0
    height_out: int = 0
    width_out: int = 0
    stride: int = 0
    gated: int = 0
    averaged: int = 0
    channel_averaged: int = 0
    gates: int = 0
    channel_gates: int = 0
    averaged_bands: int = 0
    band_gates: int = 0
    multiply: int = 0
    multiply_each: int = 0
    joint_weights: int = 0
    joint_bias: int = 0
    made_weights: int = 0
    made_bias: int = 0
    bands_weights: int = 0
    bands_bias: int = 0
    frames_weights: int = 0
    frames_bias: int = 0


read_dynamic = reader(DynamicFacts)
