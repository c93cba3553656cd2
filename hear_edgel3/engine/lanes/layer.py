"""What all layers have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hear_edgel3.engine.lanes.entrance import First, framed_size
from hear_edgel3.engine.lanes.memory import addresses
from hear_edgel3.engine.lanes.place import Place


class Layer:
    """A 3 by 3 convolution, or the net's first two, and what follows it.

    Args:
        kernel: to call with the input, what the first layer is, the output, the weights, and room.
        first: the net's first layer, if this is the second one and its input is the image; else None.
        weights: (n_out, n_in, 3, 3) float32.
        kept: a named tuple of what the kernel gets of them.
        bias: (n_out,) float32.
        place: where it stands.
        rows: of the tiles of its output.
        columns: of the tiles.
        room: vectors of memory that the kernel needs, besides the image with what is around it.

    Attributes:
        size_out: values of its output.
        room: values of the memory that it needs while it runs.
    """

    def __init__(
        self,
        kernel: Callable[..., None],
        first: First | None,
        weights: np.ndarray,
        kept: tuple[Any, ...],
        bias: np.ndarray,
        place: Place,
        rows: int,
        columns: int,
        room: int,
    ) -> None:
        n_out, n_in = weights.shape[:2]
        framed = 0 if first is None else framed_size(place, columns)
        self._kernel = kernel
        bias = np.ascontiguousarray(bias, np.float32)
        self._arrays = first, bias, kept  # which live as long as the addresses are used
        self._before = (n_in, place.height, place.width, None if first is None else addresses(first))
        self._after = (place.width_out, place.pool, place.relu, n_out, bias.ctypes.data, addresses(kept))
        self._framed = 4 * framed * place.lanes
        self.size_out = place.size_out(n_out, place.tiles(rows, columns))
        self.room = (framed + room) * place.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs it; all are addresses."""
        self._kernel(x, *self._before, out, *self._after, room, room + self._framed)
