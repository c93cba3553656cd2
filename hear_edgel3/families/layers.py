"""What a net does, as plain data: its operations in order, each with the sizes of what it reads and makes.

A family takes them down in its ``layout.py``, and :mod:`hear_edgel3.extractor.complexity` works out from them what a
configuration costs. Neither needs torch, weights or samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Layers(Protocol):
    """A net and the images that it is given, told by arithmetic alone.

    A row has one as ``layers``; without it nothing is known of what a configuration costs but what the row says.

    Attributes:
        n_mels: mel bands of an image.
        hop_length: samples from one frame to the next.
        frame_length: samples under one frame.
    """

    @property
    def n_mels(self) -> int: ...  # noqa: D102

    @property
    def hop_length(self) -> int: ...  # noqa: D102

    @property
    def frame_length(self) -> int: ...  # noqa: D102

    def n_frames(self, n_samples: int) -> int:
        """Frames of the image that the front end makes of ``n_samples``."""

    def operations(self, n_frames: int, features: Mapping[str, Any] | None = None) -> Sequence[Operation]:
        """What the net does with one image, as the default engine runs it: in torch, with batch norm folded.

        Args:
            n_frames: frames of the image.
            features: what chooses features when the net is built; None for all that the net can do, to the end.
        """


class Values:
    """What an operation makes of one example: a tensor, of which only the size matters.

    Args:
        shape: (channels, bands, frames) of a map; whatever else has no place on the image.
    """

    __slots__ = ("shape",)

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    @property
    def count(self) -> int:
        """How many values."""
        return math.prod(self.shape)

    @property
    def is_map(self) -> bool:
        """Whether they lie on the image, so that each sees a part of it."""
        return len(self.shape) == 3


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of torch that makes values or overwrites some; views and activations in place are none.

    Attributes:
        inputs: what it reads.
        output: what it makes. If that is one of ``inputs``, they are overwritten.
        macs: multiply-accumulates, without biases.
        kernel: of a convolution or max pool, in both directions.
        stride: of it, in both directions.
        dilation: of it, in both directions.
        indices: 64-bit indices that it makes besides, and that nobody reads.
        kept: what is still there when it runs, although it does not read it.
    """

    inputs: tuple[Values, ...]
    output: Values
    macs: int = 0
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    indices: int = 0
    kept: tuple[Values, ...] = ()


@dataclass
class Recorder:
    """Takes down the operations of a net while its family goes through them.

    Attributes:
        operations: so far.
    """

    operations: list[Operation] = field(default_factory=list)

    def convolution(
        self,
        x: Values,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        kept: Iterable[Values] = (),
    ) -> Values:
        """A convolution with "same" padding."""
        inputs, bands, frames = x.shape
        output = Values(channels, (bands - 1) // stride + 1, (frames - 1) // stride + 1)
        macs = kernel**2 * (inputs // groups) * output.count
        self.operations.append(Operation((x,), output, macs, kernel, stride, dilation, kept=tuple(kept)))
        return output

    def max_pool(self, x: Values, size: int) -> Values:
        """Max pooling without padding, which leaves out what does not fill a window."""
        channels, bands, frames = x.shape
        output = Values(channels, bands // size, frames // size)
        self.operations.append(Operation((x,), output, kernel=size, stride=size, indices=output.count))
        return output

    def linear(self, x: Values, size: int, kept: Iterable[Values] = ()) -> Values:
        """A linear layer over the last axis."""
        output = Values(*x.shape[:-1], size)
        self.operations.append(Operation((x,), output, macs=x.count * size, kept=tuple(kept)))
        return output

    def make(self, shape: Sequence[int], *inputs: Values, kept: Iterable[Values] = ()) -> Values:
        """Whatever else makes new values: sums, means, maxima, activations, products, concatenations."""
        output = Values(*shape)
        self.operations.append(Operation(inputs, output, kept=tuple(kept)))
        return output

    def add_to(self, x: Values, other: Values) -> Values:
        """Adds ``other`` to ``x`` in place."""
        self.operations.append(Operation((x, other), x))
        return x
