"""What nets of inverted residuals are made of, whether images share vectors or not: weights, memory, and places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.compiled.jit import address
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, RELU, RELU6, packed
from hear_edgel3.engine.kernels.residual import Facts
from hear_edgel3.families import kernel_residuals as described

ACTS = {described.RELU: RELU, described.RELU6: RELU6, described.HARDSWISH: HARDSWISH}
_PAGE = 4096
# Vectors between channels should not all fall into the same sets of a cache.
_APART = 8


def even(n: int) -> int:
    """N, filled up to a multiple of GROUP."""
    return -(-n // GROUP) * GROUP


def halved(n: int, stride: int) -> int:
    """What a convolution with a stride makes of n rows or columns."""
    return -(-n // stride)


class Weights:
    """Arrays that kernels are given the addresses of, and that live as long as this.

    Attributes:
        finite: whether all their values are.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self.finite = True

    def keep(self, array: np.ndarray, size: int = 0) -> int:
        """The address of a copy of an array, filled up with zeros to a size."""
        room = aligned(max(array.size, size))
        room[: array.size] = array.reshape(-1)
        room[array.size :] = 0
        room += 0.0  # no zero is negative, so that adding nothing to one changes no bit
        self.finite = self.finite and bool(np.isfinite(room).all())
        self._arrays.append(room)
        return int(room.ctypes.data)

    def linear(self, linear: described.Linear, n_in: int | None = None) -> tuple[int, int]:
        """The addresses of packed weights and of the bias."""
        weights = packed(linear.weights, n_in)
        return self.keep(weights), self.keep(linear.bias, len(weights) * GROUP)


def by_tap(weights: np.ndarray) -> np.ndarray:
    """(channels, k, k) weights as (k, k, channels), filled up with zeros to whole groups of channels."""
    full = np.zeros((*weights.shape[1:], even(len(weights))), np.float32)
    full[..., : len(weights)] = np.moveaxis(weights, 0, -1)
    return full


class Block:
    """A block's facts that do not depend on the size of images.

    Attributes:
        facts: for the kernels of images that share vectors; without weights that are mixed for each image.
        taps: address of the depthwise convolution's weights by tap, for images alone; 0 if they are mixed.
    """

    def __init__(self, block: described.InvertedResidual, weights: Weights) -> None:
        mixed = block.context is not None and block.context.kernels > 0
        inside, k = len(block.depthwise.bias), int(block.depthwise.weights.shape[-1])
        self.k, self.stride, self.dilation = k, block.depthwise.stride, block.depthwise.dilation
        self.reach = k // 2 * self.dilation
        self.inside = even(inside)
        self.outputs = even(len(block.project.bias))
        self.n_out = len(block.project.bias)
        self.bottleneck = 0 if block.squeeze is None else even(len(block.squeeze.weights))
        act = ACTS[block.act]
        above, left = block.depthwise.padding or (self.reach, self.reach)
        facts = Facts(
            inside=self.inside,
            outputs=self.outputs,
            inputs=inside if block.expand is None else block.expand.weights.shape[-1],
            expands=block.expand is not None,
            residual=block.residual,
            act=act,
            act_inside=act,
            bottleneck=self.bottleneck,
            stride=self.stride,
            reach=self.reach,
            above=above,
            left=left,
            taps=k * k,
            depthwise_weights=0 if mixed else weights.keep(block.depthwise.weights, self.inside * k * k),
            depthwise_bias=weights.keep(block.depthwise.bias, self.inside),
            project_bias=weights.keep(block.project.bias, self.outputs),
        )
        if block.expand is not None:
            facts = facts._replace(expand_bias=weights.keep(block.expand.bias, self.inside))
        elif inside % GROUP:
            raise ValueError(f"a block that does not expand has {inside} channels, no multiple of {GROUP}")
        if not mixed:
            facts = facts._replace(project_weights=weights.keep(packed(block.project.weights, self.inside)))
            if block.expand is not None:
                facts = facts._replace(expand_weights=weights.keep(packed(block.expand.weights)))
        if block.squeeze is not None and block.excite is not None:
            w, bias = weights.linear(block.squeeze, self.inside)
            facts = facts._replace(squeeze_weights=w, squeeze_bias=bias)
            w, bias = weights.linear(block.excite, self.bottleneck)
            facts = facts._replace(excite_weights=w, excite_bias=bias)
        self.facts = facts
        self.taps = 0 if mixed else weights.keep(by_tap(block.depthwise.weights))


class Rooms:
    """Memory of a call, by names; before there is any, it only finds out how much is needed.

    Args:
        lanes: of a vector.
        needed: vectors by name, as another one found out; or None.
    """

    def __init__(self, lanes: int, needed: dict[str, int] | None = None) -> None:
        self._size = 4 * lanes
        self.needed: dict[str, int] = {} if needed is None else needed
        self.arrays: dict[str, np.ndarray] = {}
        self._tables: list[np.ndarray] = []
        if needed is not None:
            # One piece of memory for all: if it is large, numpy asks the system for large pages.
            starts = np.cumsum([0, *(-(-4 * vectors * lanes // _PAGE) * (_PAGE // 4) for vectors in needed.values())])
            memory = aligned(int(starts[-1]))
            memory[:] = 0  # what is never written has no part in any result, but may be computed with
            for (name, vectors), start in zip(needed.items(), starts, strict=False):
                self.arrays[name] = memory[start : start + vectors * lanes]

    def room(self, name: str, vectors: int) -> int:
        """The address of so much memory. What has the same name shares it."""
        if not self.arrays:
            self.needed[name] = max(self.needed.get(name, 0), vectors)
            return 0
        return int(self.arrays[name].ctypes.data)

    def kernel(self, made: Callable[..., None]) -> int:
        """The address of a kernel, which is not compiled before it may be called."""
        return address(made) if self.arrays else 0

    def told(self, facts: tuple[int, ...]) -> int:
        """The address of a table of integers, which lives as long as this."""
        self._tables.append(np.array(facts, np.int64))
        return int(self._tables[-1].ctypes.data)

    def blocks(self, kernel: Callable[..., None], facts: Sequence[tuple[int, ...]]) -> list[Step]:
        """The step of blocks that follow each other, if there are any; what is told of them lives as long as this.

        Args:
            kernel: takes the address of tables of integers, one behind the other, and how many there are.
            facts: of each block.
        """
        if not facts:
            return []
        self._tables.append(np.array(facts, np.int64))
        return [(kernel, (int(self._tables[-1].ctypes.data), len(facts)))]

    def stride(self, vectors: int) -> int:
        """Bytes from a channel of so many vectors to the next."""
        return (vectors + (2 if vectors % _APART == 0 else 0)) * self._size


class Map:
    """A map in memory: its address, channels, size, and what of it is masked."""

    def __init__(
        self, x: int, channel: int, channels: int, height: int, width: int, frames: int, mask: tuple[int, int]
    ) -> None:
        self.x, self.channel, self.channels = x, channel, channels
        self.height, self.width, self.frames = height, width, frames
        self.mask, self.begin = mask


Step = tuple[Callable[..., None], tuple[Any, ...]]


def _n_inside(block: described.InvertedResidual) -> int:
    """Values that come about inside of a block, and that a net may put out."""
    if block.context is not None:
        return len(block.context.joint.bias)
    return 0 if block.squeeze is None else len(block.squeeze.weights)


class NetWeights:
    """A net's layers as kernels take them, for images of any size.

    Args:
        net: what to compute.
    """

    def __init__(self, net: described.ResidualNet) -> None:
        self.outputs = net.outputs
        self.weights = weights = Weights()
        self.n_first, self.planes = len(net.first_bias), net.planes
        self.act, self.padding = ACTS[net.act], net.padding or (1, 1)
        bias = 0 if net.first is None else weights.keep(net.first_bias, even(self.n_first))
        self.first = None if net.first is None else (weights.keep(net.first), bias)
        # The kernels for images alone know nothing else.
        even_ones = all(x is None for x in (net.padding, *(block.depthwise.padding for block in net.blocks)))
        plain = all(block.act != described.RELU6 for block in net.blocks) and self.act == HARDSWISH
        self.alone = self.planes == 1 and even_ones and plain
        self.first_taps = None
        if net.first is not None and self.alone:
            self.first_taps = (weights.keep(by_tap(net.first[:, 0])), bias)
        self.blocks = [Block(block, weights) for block in net.blocks]
        self._n_inside = [_n_inside(block) for block in net.blocks]
        self.last = None if net.last is None else weights.linear(net.last)
        self.n_last = 0 if net.last is None else len(net.last.weights)
        self.convolutions = [(2, 1), *((block.stride, block.reach) for block in self.blocks)]
        self._linear: dict[int, tuple[int, int]] = {}

    def channels(self, number: int, height: int) -> int:
        """Channels of a map; those of the image are its bands."""
        if number == described.IMAGE:
            return height
        return [self.n_first, *(block.n_out for block in self.blocks), self.n_last][number]

    def height(self, number: int, height: int) -> int:
        """Bands of a map that is made of an image of `height` bands."""
        for stride, _ in self.convolutions[: number + 1]:
            height = halved(height, stride)
        return height

    def n_bottleneck(self, number: int) -> int:
        """Values in the bottleneck of a block, or in the context of a dynamic one."""
        return self._n_inside[number - 1]

    def weights_of(self, layer: described.Layer) -> tuple[int, int]:
        """The addresses of a linear layer's weights and bias."""
        if id(layer) not in self._linear:
            self._linear[id(layer)] = self.weights.linear(layer.linear)
        return self._linear[id(layer)]


class Places:
    """Where pooled maps, bottlenecks and what linear layers make of them lie, one behind the other.

    Args:
        net: the net.
        height: bands of the images.

    Attributes:
        n: how many values there are.
        pooled: all pooled maps.
        linear: all linear layers, in the order to run them.
        bottlenecks: the numbers of the first value of bottlenecks, by their blocks.
    """

    def __init__(self, net: NetWeights, height: int) -> None:
        self.net, self._height = net, height
        self.n = 0
        self._place: dict[int, tuple[int, int]] = {}  # of values, by identity: the first one's number, and how many
        self.pooled: list[described.Pooled] = []
        self.linear: list[described.Layer] = []
        self.bottlenecks: dict[int, int] = {}
        for value in net.outputs:
            self._add(value)

    def _add(self, value: described.Values) -> None:
        if id(value) in self._place:
            return
        if isinstance(value, described.Layer):
            for inner in value.inputs:
                self._add(inner)
            self.linear.append(value)
            n = len(value.linear.weights)
        elif isinstance(value, described.Pooled):
            self.pooled.append(value)
            n = self.net.channels(value.map, self._height) * self._per_channel(value)
        else:
            n = self.net.n_bottleneck(value.map)
            self.bottlenecks[value.map] = self.n
        self._place[id(value)] = (self.n, n)
        # What a layer takes lies without a gap; the last ones of what a layer gives may be overwritten by zeros.
        self.n += n if isinstance(value, described.Pooled) else even(n)

    def _per_channel(self, value: described.Pooled) -> int:
        by_band = value.how in (described.MEAN_TIME, described.SUM_TIME) and value.map != described.IMAGE
        return self.net.height(value.map, self._height) if by_band else 1

    def rows(self) -> np.ndarray:
        """The numbers of what the net puts out."""
        places = [self._place[id(value)] for value in self.net.outputs]
        return np.concatenate([np.arange(first, first + n) for first, n in places])

    def first(self, value: described.Values) -> int:
        """The number of the first one of some values."""
        return self._place[id(value)][0]


def how_pooled(value: described.Pooled) -> tuple[bool, bool, bool]:
    """Whether each row is pooled for itself; whether there are means; and whether there are largest values."""
    return (
        value.how in (described.MEAN_TIME, described.SUM_TIME),
        value.how != described.MAXIMUM,
        value.how in (described.MAXIMUM, described.SUM, described.SUM_TIME),
    )
