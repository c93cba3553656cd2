"""What all kinds of layers have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.aligned import addresses
from hear_edgel3.compiled.jit import part
from hear_edgel3.compiled.simd import splat
from hear_edgel3.engine.kernels.first_layer import FirstLayer, framed_size, source_of
from hear_edgel3.engine.kernels.patches import Maps, Output
from hear_edgel3.engine.kernels.shape import LayerShape
from hear_edgel3.families.kernel_description import Weights


class Facts(NamedTuple):
    """What a kernel is told of a layer.

    Attributes:
        n_in: input channels.
        n_out: output channels.
        height: rows of a strip of the input.
        width: columns of the input.
        width_out: columns that are computed.
        pool: KEEP, HALVE or WHOLE.
        relu: whether negative values become 0.
        bias: address of a float32 for each output channel.
    """

    n_in: int
    n_out: int
    height: int
    width: int
    width_out: int
    pool: int
    relu: bool
    bias: int


@part(alone=True)
def ends_of(
    zero: Any, facts: Facts, first_layer: Any, x: int, out: int, columns: int, framed: int
) -> tuple[Maps, Output]:
    """Where patches come from, and where tiles go.

    Args:
        zero: a vector of zeros.
        facts: of the layer.
        first_layer: the net's first layer, or None.
        x: address of the input.
        out: address of the output.
        columns: of the tiles.
        framed: address of room for the image with what is around it, if there is a first layer.
    """
    floor = zero if facts.relu else splat(zero, np.float32(-np.inf))
    to = Output(out, facts.height, facts.width_out, facts.pool, floor, facts.n_out, facts.bias)
    return source_of(zero, first_layer, Maps(x, facts.height, facts.width), columns, framed), to


class Layer:
    """A 3 by 3 convolution, or the net's first two, and what follows it.

    Args:
        kernel: to call with the addresses of input, output, room for the image with what is around it and other room;
            with facts, the first layer or None, and the weights in the kernel's form.
        first_layer: the net's first layer, if this is the second one and its input is the image; else None.
        weights: (n_out, n_in, 3, 3) float32, or those that are not zero.
        kernel_weights: a named tuple, the form in which the kernel takes them.
        bias: (n_out,) float32.
        shape: of its input, and what becomes of its output.
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
        first_layer: FirstLayer | None,
        weights: Weights,
        kernel_weights: tuple[Any, ...],
        bias: np.ndarray,
        shape: LayerShape,
        rows: int,
        columns: int,
        room: int,
    ) -> None:
        n_out, n_in = weights.shape[:2]
        framed = 0 if first_layer is None else framed_size(shape, columns)
        self._kernel = kernel
        bias = np.ascontiguousarray(bias, np.float32)
        self._arrays = first_layer, bias, kernel_weights  # which live as long as the addresses are used
        sizes = (n_in, n_out, shape.height, shape.width, shape.width_out)
        facts = Facts(*sizes, shape.pool, shape.relu, bias.ctypes.data)
        self._more = (facts, None if first_layer is None else addresses(first_layer), addresses(kernel_weights))
        self._vector = 4 * shape.lanes  # bytes
        self._framed = framed * self._vector
        self.size_out = shape.size_out(n_out, shape.tiles(rows, columns))
        self.room = (framed + room) * shape.lanes

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs it; all are addresses, of memory that is aligned to a vector."""
        assert (x | out | room) % self._vector == 0, "kernels load and store whole vectors, which must be aligned"
        self._kernel(x, out, room, room + self._framed, *self._more)
