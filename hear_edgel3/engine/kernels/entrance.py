"""The first convolution of nets of inverted residuals: 3 by 3 with stride 2, of the image, and Hardswish."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hear_edgel3.compiled.jit import kernel
from hear_edgel3.compiled.simd import filled, number_at, splat, store_tile, tile_of, zeros
from hear_edgel3.engine.kernels.masked_rows import add_halo, clear, copy, mask_row
from hear_edgel3.engine.kernels.tile_ops import depthwise, hard_swish

# Columns of its tiles.
COLUMNS = 4


@cache
def make_entrance(lanes: int) -> Callable[..., None]:
    """The kernel."""
    size = 4 * lanes

    @kernel(compact=True)
    def entrance(
        image: int,
        height: int,
        width: int,
        begin: int,
        end: int,
        mask: int,
        edges: int,
        room: int,
        weights: int,
        bias: int,
        out: int,
        channel_out: int,
        height_out: int,
        width_out: int,
        n_out: int,
    ) -> None:
        """Convolves an image; the room is for three of its rows and the halos and one tile more."""
        zero = zeros(lanes, lanes)
        wide, narrow = tile_of(1, COLUMNS, zero), tile_of(1, 1, zero)
        even = width_out // COLUMNS * COLUMNS
        pitch = (width + 2) * size
        for r in range(height_out):
            for i in range(3):
                row, source = room + i * pitch + size, 2 * r - 1 + i
                if source < 0 or source >= height:
                    clear(zero, row - size, width + 2)
                else:
                    copy(zero, image + source * width * size, row, width)
                    mask_row(zero, row, begin, end, mask)
                    add_halo(zero, row, width, 1, edges)
            for o in range(n_out):
                w, offset = weights + 36 * o, splat(zero, number_at(bias + 4 * o))
                target = out + o * channel_out + r * width_out * size
                for c in range(0, even, COLUMNS):
                    tile = depthwise(filled(wide, offset), 3, 2, 1, 0, 0, w, room + 2 * c * size, pitch)
                    store_tile(hard_swish(tile), target + c * size, 0)
                for c in range(even, width_out):
                    one = depthwise(filled(narrow, offset), 3, 2, 1, 0, 0, w, room + 2 * c * size, pitch)
                    store_tile(hard_swish(one), target + c * size, 0)

    return entrance
