"""Pooling of maps whose lanes are images or strips of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from hear_edgel3.compiled.jit import kernel
from hear_edgel3.compiled.simd import larger, splat, store, zeros
from hear_edgel3.engine.kernels.masked_rows import largest_in_row, largest_of_strips, sum_of_strips, sum_row


@cache
def make_pool(lanes: int) -> Callable[..., None]:
    """The kernel that pools a map."""
    size = 4 * lanes

    @kernel(compact=True)
    def pool(
        x: int,
        channel: int,
        channels: int,
        height: int,
        width: int,
        strips: int,
        begin: int,
        mask: int,
        frames: int,
        by_row: int,
        with_mean: int,
        with_largest: int,
        out: int,
    ) -> None:
        """The mean of each channel (or of each row) plus its largest value, or one of them, in all lanes of an image.

        A channel has `height` rows of `width` columns, of which those from `begin` on are masked; a row has so many
        `frames` in all lanes of an image.
        """
        zero = zeros(lanes, lanes)
        rows = 1 if by_row else height
        share = splat(zero, np.float32(1.0 / (rows * frames)))
        for c in range(channels):
            for top in range(0, height, rows):
                first = x + c * channel + top * width * size
                total = zero
                if with_mean:
                    for r in range(rows):
                        total = total + sum_row(zero, first + r * width * size, width, begin, mask)
                    total = sum_of_strips(total, strips) * share
                if with_largest:
                    most = largest_in_row(zero, first, width, begin, mask)
                    for r in range(1, rows):
                        most = larger(most, largest_in_row(zero, first + r * width * size, width, begin, mask))
                    total = total + largest_of_strips(most, strips)
                store(total, out)
                out += size

    return pool
