"""A net of inverted residuals: from its description to values, with threads over images.

How images share vectors is explained in :mod:`hear_edgel3.engine.kernels.strips_of_time`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hear_edgel3.engine.kernels.aligned import aligned
from hear_edgel3.engine.kernels.entrance import COLUMNS as ENTRANCE_COLUMNS
from hear_edgel3.engine.kernels.entrance import make_entrance
from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, RELU, make_pointwise, packed
from hear_edgel3.engine.kernels.pooling import make_pool
from hear_edgel3.engine.kernels.residual import COLUMNS, Facts, make_residual, rows_of_tiles
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime, strips_for
from hear_edgel3.engine.kernels.threads import BUILDING, share_out
from hear_edgel3.families import kernel_residuals as described

# Bytes that what is inside a block, or a band of its rows, should take at most: it is read again soon.
_AT_ONCE = 400_000
# Rows of so many columns need no halos; of others there would be too many kernels to compile.
_WHOLE = (1, 2, 4, 8)
# Rows of a band are a multiple of those of a tile.
_BAND = 4
# Images of more frames, some minutes of sound, would keep more memory than they are worth.
MOST_FRAMES = 1 << 15
# Sizes of images that a net is kept ready for, with memory for each.
_SIZES = 8
# Vectors between channels should not all fall into the same sets of a cache.
_APART = 8


def _even(n: int) -> int:
    """N, filled up to a multiple of GROUP."""
    return -(-n // GROUP) * GROUP


def _halved(n: int, stride: int) -> int:
    return -(-n // stride)


class _Weights:
    """Arrays that kernels are given the addresses of, and that live as long as this."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def keep(self, array: np.ndarray, size: int = 0) -> int:
        """The address of a copy of an array, filled up with zeros to a size."""
        room = aligned(max(array.size, size))
        room[: array.size] = array.reshape(-1)
        room[array.size :] = 0
        self._arrays.append(room)
        return int(room.ctypes.data)

    def linear(self, linear: described.Linear, n_in: int | None = None) -> tuple[int, int]:
        """The addresses of packed weights and of the bias."""
        weights = packed(linear.weights, n_in)
        return self.keep(weights), self.keep(linear.bias, len(weights) * GROUP)


class _Block:
    """A block's facts that do not depend on the size of images."""

    def __init__(self, block: described.InvertedResidual, weights: _Weights) -> None:
        inside, k = len(block.depthwise.weights), block.depthwise.weights.shape[1]
        self.k, self.stride, self.dilation = k, block.depthwise.stride, block.depthwise.dilation
        self.reach = k // 2 * self.dilation
        self.inside = _even(inside)
        self.outputs = _even(len(block.project.weights))
        self.n_out = len(block.project.weights)
        self.bottleneck = 0 if block.squeeze is None else _even(len(block.squeeze.weights))
        facts = Facts(
            inside=self.inside,
            outputs=self.outputs,
            inputs=inside if block.expand is None else block.expand.weights.shape[1],
            expands=block.expand is not None,
            residual=block.residual,
            act=HARDSWISH if block.hardswish else RELU,
            bottleneck=self.bottleneck,
            depthwise_weights=weights.keep(block.depthwise.weights, self.inside * k * k),
            depthwise_bias=weights.keep(block.depthwise.bias, self.inside),
        )
        w, bias = weights.linear(block.project, self.inside)
        facts = facts._replace(project_weights=w, project_bias=bias)
        if block.expand is not None:
            w, bias = weights.linear(block.expand)
            facts = facts._replace(expand_weights=w, expand_bias=bias)
        elif inside % GROUP:
            raise ValueError(f"a block that does not expand has {inside} channels, no multiple of {GROUP}")
        if block.squeeze is not None and block.excite is not None:
            w, bias = weights.linear(block.squeeze, self.inside)
            facts = facts._replace(squeeze_weights=w, squeeze_bias=bias)
            w, bias = weights.linear(block.excite, self.bottleneck)
            facts = facts._replace(excite_weights=w, excite_bias=bias)
        self.facts = facts


class _Rooms:
    """Memory of a call, by names; before there is any, it only finds out how much is needed.

    Args:
        lanes: of a vector.
        needed: vectors by name, as another one found out; or None.
    """

    def __init__(self, lanes: int, needed: dict[str, int] | None = None) -> None:
        self._size = 4 * lanes
        self.needed: dict[str, int] = {} if needed is None else needed
        self.arrays: dict[str, np.ndarray] = {}
        if needed is not None:
            for name, vectors in needed.items():
                self.arrays[name] = aligned(vectors * lanes)
                self.arrays[name][:] = 0  # what is never written has no part in any result, but may be computed with

    def room(self, name: str, vectors: int) -> int:
        """The address of so much memory. What has the same name shares it."""
        if not self.arrays:
            self.needed[name] = max(self.needed.get(name, 0), vectors)
            return 0
        return int(self.arrays[name].ctypes.data)

    def stride(self, vectors: int) -> int:
        """Bytes from a channel of so many vectors to the next."""
        return (vectors + (2 if vectors % _APART == 0 else 0)) * self._size


Step = tuple[Callable[..., None], tuple[Any, ...]]


class _Map:
    """A map in memory: its address, channels, size, and what of it is masked."""

    def __init__(
        self, x: int, channel: int, channels: int, height: int, width: int, frames: int, mask: tuple[int, int]
    ) -> None:
        self.x, self.channel, self.channels = x, channel, channels
        self.height, self.width, self.frames = height, width, frames
        self.mask, self.begin = mask


class SizedNet:
    """A net for images of one size; it can be called by several threads at once.

    Args:
        net: the weights.
        height: bands of the images.
        frames: of the images.
        lanes: of the vectors.

    Attributes:
        sharing: how images share vectors.
    """

    def __init__(self, net: ResidualKernels, height: int, frames: int, lanes: int) -> None:
        self._net = net
        self._height, self._frames = height, frames
        self.sharing: StripsOfTime = strips_for(frames, lanes, net.convolutions)
        self._masks: dict[tuple[int, int], tuple[int, int]] = {}
        self._kept = _Weights()  # the masks
        self._edges = self._kept.keep(self.sharing.edges())
        self._places: dict[int, int] = {}
        self._rows = np.zeros(0, np.int64)
        self._needed = _Rooms(lanes)
        self._steps(self._needed)
        self._idle: list[tuple[_Rooms, list[Step]]] = []

    @property
    def size(self) -> int:
        """How many values the net puts out."""
        return len(self._rows)

    def _mask(self, width: int, frames: int) -> tuple[int, int]:
        """The address of a mask, and the column where it begins."""
        if (width, frames) not in self._masks:
            mask, begin = self.sharing.mask(width, frames)
            self._masks[width, frames] = (0 if mask is None else self._kept.keep(mask), begin)
        return self._masks[width, frames]

    def _steps(self, rooms: _Rooms) -> list[Step]:
        """What runs, one after the other."""
        net, sharing = self._net, self.sharing
        lanes, strips = sharing.lanes, sharing.strips
        image = rooms.room("image", self._height * sharing.width)
        here = _Map(
            image, sharing.width * 4 * lanes, self._height, 1, sharing.width, self._frames,
            self._mask(sharing.width, self._frames),
        )  # fmt: skip
        steps: list[Step] = []
        values = _Values(net, rooms, self._height, lanes, strips)
        steps += values.pools(here, described.IMAGE)
        if net.first is not None:
            here = self._enter(here, rooms, steps)
            steps += values.pools(here, 0)
        for number, block in enumerate(net.blocks, 1):
            here = self._block(here, block, number, rooms, values, steps)
            steps += values.pools(here, number)
        if net.last is not None:
            (weights, bias), n_out = net.last, _even(net.n_last)
            vectors = here.height * here.width
            channel = rooms.stride(vectors)
            out = rooms.room("last", n_out * channel // (4 * lanes))
            arguments = (here.x, here.channel, weights, bias, out, channel, here.channels, n_out, vectors, HARDSWISH)
            steps.append((make_pointwise(lanes), arguments))
            here = _Map(out, channel, net.n_last, here.height, here.width, here.frames, (here.mask, here.begin))
            steps += values.pools(here, len(net.blocks) + 1)
        steps += values.layers()
        self._rows = values.rows()
        return steps

    def _enter(self, image: _Map, rooms: _Rooms, steps: list[Step]) -> _Map:
        """The first convolution."""
        net, lanes = self._net, self.sharing.lanes
        assert net.first is not None
        height, width, frames = _halved(self._height, 2), _halved(image.width, 2), _halved(self._frames, 2)
        channel = rooms.stride(height * width)
        out = rooms.room("out 0", _even(net.n_first) * channel // (4 * lanes))
        room = rooms.room("rows", 3 * (image.width + 2) + 2 * ENTRANCE_COLUMNS)
        arguments = (
            image.x, self._height, image.width, image.begin, image.mask, self._edges, room, *net.first, out,
            channel, height, width, net.n_first,
        )  # fmt: skip
        steps.append((make_entrance(lanes), arguments))
        return _Map(out, channel, net.n_first, height, width, frames, self._mask(width, frames))

    def _block(self, x: _Map, block: _Block, number: int, rooms: _Rooms, values: _Values, steps: list[Step]) -> _Map:
        """An inverted residual."""
        lanes, strips = self.sharing.lanes, self.sharing.strips
        size, s = 4 * lanes, block.stride
        height, width, frames = _halved(x.height, s), _halved(x.width, s), _halved(x.frames, s)
        mask, begin = self._mask(width, frames)
        trim = x.width if strips == 1 and block.dilation == 1 and x.width in _WHOLE else 0
        band = height
        if not block.bottleneck:
            while band > _BAND and band * block.inside * width * size > _AT_ONCE:
                band = -(-band // (2 * _BAND)) * _BAND
        rows = rows_of_tiles(trim, width)[0]
        tall = -(-band // rows) * rows
        halo = 0 if trim else block.reach
        channel_expanded = rooms.stride(((tall - 1) * s + 2 * block.reach + 1) * (x.width + 2 * halo) + s * COLUMNS)
        kept = -(-height // _BAND) * _BAND if block.bottleneck else tall
        channel_middle = rooms.stride(kept * width)
        channel = rooms.stride(height * width)
        out = rooms.room(f"out {number % 2}", block.outputs * channel // size)
        facts = block.facts._replace(
            strips=strips, edges=self._edges,
            x=x.x, channel=x.channel, height=x.height, width=x.width, begin=x.begin, mask=x.mask,
            out=out, channel_out=channel, height_out=height, width_out=width, begin_out=begin, mask_out=mask,
            expanded=rooms.room("expanded", GROUP * channel_expanded // size),
            channel_expanded=channel_expanded,
            middle=rooms.room("middle", block.inside * channel_middle // size),
            channel_middle=channel_middle,
            band=band,
            n_values=height * frames,
            squeezed=values.bottleneck(number, block.bottleneck),
            bent=rooms.room("bent", block.bottleneck),
            factors=rooms.room("factors", block.inside),
        )  # fmt: skip
        kernel = make_residual(lanes, block.k, s, block.dilation, trim)
        steps.append((kernel, (np.array(facts, np.int64),)))
        return _Map(out, channel, block.n_out, height, width, frames, (mask, begin))

    def __call__(self, images: np.ndarray, spectrogram: LogMel | None = None) -> np.ndarray:
        """The values of images, as many as share the vectors or fewer.

        Args:
            images: (n, height, frames) float32; or (n, samples), of which `spectrogram` makes images.
            spectrogram: the front end, or None.

        Returns:
            (n, size) float32.
        """
        try:
            rooms, steps = self._idle.pop()
        except IndexError:
            rooms = _Rooms(self.sharing.lanes, self._needed.needed)
            steps = self._steps(rooms)
        if spectrogram is not None:
            spectrogram(images, self.sharing, rooms.arrays["image"])
        else:
            target = rooms.arrays["image"].reshape(self._height, self.sharing.width, self.sharing.lanes)
            target[:, :, len(images) * self.sharing.strips :] = 0
            for i, image in enumerate(images):
                self.sharing.put(image, i, target)
        for kernel, arguments in steps:
            kernel(*arguments)
        values = rooms.arrays["values"].reshape(-1, self.sharing.lanes)
        found = np.ascontiguousarray(values[self._rows, :: self.sharing.strips][:, : len(images)].T)
        self._idle.append((rooms, steps))  # after an error they are dropped instead, and the next call makes new ones
        return found


class _Values:
    """Where pooled maps, bottlenecks and what linear layers make of them are kept: a vector for each value."""

    def __init__(self, net: ResidualKernels, rooms: _Rooms, height: int, lanes: int, strips: int) -> None:
        self._net, self._height, self._size = net, height, 4 * lanes
        self._lanes, self._strips = lanes, strips
        self._base = 0
        self._n = 0
        self._place: dict[int, tuple[int, int]] = {}  # of values, by identity: the first one's number, and how many
        self._pooled: list[described.Pooled] = []
        self._layers: list[described.Layer] = []
        self._bottlenecks: dict[int, int] = {}
        for value in net.outputs:
            self._add(value)
        self._base = rooms.room("values", self._n)
        self._spare = rooms.room("spare", max((b.bottleneck for b in net.blocks), default=0))

    def _add(self, value: described.Values) -> None:
        if id(value) in self._place:
            return
        if isinstance(value, described.Layer):
            for inner in value.inputs:
                self._add(inner)
            self._layers.append(value)
            n = len(value.linear.weights)
        elif isinstance(value, described.Pooled):
            self._pooled.append(value)
            n = self._net.channels(value.map, self._height) * self._per_channel(value)
        else:
            n = self._net.n_bottleneck(value.map)
            self._bottlenecks[value.map] = self._n
        self._place[id(value)] = (self._n, n)
        # What a layer takes lies without a gap; the last ones of what a layer gives may be overwritten by zeros.
        self._n += n if isinstance(value, described.Pooled) else _even(n)

    def _per_channel(self, value: described.Pooled) -> int:
        by_band = value.how in (described.MEAN_TIME, described.SUM_TIME) and value.map != described.IMAGE
        return self._net.height(value.map, self._height) if by_band else 1

    def rows(self) -> np.ndarray:
        """The numbers of what the net puts out."""
        places = [self._place[id(value)] for value in self._net.outputs]
        return np.concatenate([np.arange(first, first + n) for first, n in places])

    def bottleneck(self, number: int, n: int) -> int:
        """Where a block's bottleneck goes."""
        if number in self._bottlenecks:
            return self._base + self._bottlenecks[number] * self._size
        return self._spare if n else 0

    def pools(self, x: _Map, number: int) -> list[Step]:
        """Pooling of a map."""
        steps: list[Step] = []
        for value in self._pooled:
            if value.map == number:
                out = self._base + self._place[id(value)][0] * self._size
                by_row = value.how in (described.MEAN_TIME, described.SUM_TIME)
                mean = value.how != described.MAXIMUM
                largest = value.how in (described.MAXIMUM, described.SUM, described.SUM_TIME)
                arguments = (x.x, x.channel, x.channels, x.height, x.width, self._strips, x.begin, x.mask, x.frames)
                steps.append((make_pool(self._lanes), (*arguments, by_row, mean, largest, out)))
        return steps

    def layers(self) -> list[Step]:
        """Linear layers."""
        steps: list[Step] = []
        for value in self._layers:
            first, n_in = self._place[id(value.inputs[0])][0], value.linear.weights.shape[1]
            out = self._base + self._place[id(value)][0] * self._size
            n_out = _even(len(value.linear.weights))
            weights, bias = self._net.weights_of(value)
            act = HARDSWISH if value.hardswish else NONE
            x = self._base + first * self._size
            arguments = (x, self._size, weights, bias, out, self._size, n_in, n_out, 1, act)
            steps.append((make_pointwise(self._lanes), arguments))
        return steps


class ResidualKernels:
    """A net, for images of any size, several threads at work.

    Args:
        net: what to compute.
        lanes: of the vectors.
    """

    def __init__(self, net: described.ResidualNet, lanes: int) -> None:
        self.outputs = net.outputs
        self._lanes = lanes
        self._weights = weights = _Weights()
        self.n_first = len(net.first_bias)
        self.first = None if net.first is None else (weights.keep(net.first), weights.keep(net.first_bias))
        self.blocks = [_Block(block, weights) for block in net.blocks]
        self._n_bottlenecks = [0 if b.squeeze is None else len(b.squeeze.weights) for b in net.blocks]
        self.last = None if net.last is None else weights.linear(net.last)
        self.n_last = 0 if net.last is None else len(net.last.weights)
        self.convolutions = [(2, 1), *((block.stride, block.reach) for block in self.blocks)]
        self._linear: dict[int, tuple[int, int]] = {}
        self._sized: dict[tuple[int, int], SizedNet] = {}

    def channels(self, number: int, height: int) -> int:
        """Channels of a map; those of the image are its bands."""
        if number == described.IMAGE:
            return height
        return [self.n_first, *(block.n_out for block in self.blocks), self.n_last][number]

    def height(self, number: int, height: int) -> int:
        """Bands of a map that is made of an image of `height` bands."""
        for stride, _ in self.convolutions[: number + 1]:
            height = _halved(height, stride)
        return height

    def n_bottleneck(self, number: int) -> int:
        """Values in the bottleneck of a block."""
        return self._n_bottlenecks[number - 1]

    def weights_of(self, layer: described.Layer) -> tuple[int, int]:
        """The addresses of a linear layer's weights and bias."""
        if id(layer) not in self._linear:
            self._linear[id(layer)] = self._weights.linear(layer.linear)
        return self._linear[id(layer)]

    def takes(self, height: int, frames: int) -> bool:
        """Whether there should be kernels for images of a size."""
        return height > 0 and 0 < frames <= MOST_FRAMES

    def for_size(self, height: int, frames: int) -> SizedNet:
        """The net for images of one size; those that were built last are kept."""
        sized = self._sized.get((height, frames))
        if sized is None:
            with BUILDING:
                sized = self._sized.get((height, frames))
                if sized is None:  # no other thread has built it meanwhile
                    sized = SizedNet(self, height, frames, self._lanes)
                    # Recordings may all be of different lengths. What is dropped lives on for as long as it runs.
                    while len(self._sized) >= _SIZES:
                        del self._sized[next(iter(self._sized))]
                    self._sized[height, frames] = sized
        return sized

    def __call__(self, images: np.ndarray, threads: int, spectrogram: LogMel | None = None) -> np.ndarray:
        """Values of images.

        Args:
            images: (n, height, frames) float32; or (n, samples), C-contiguous, of which `spectrogram` makes images.
            threads: how many may run at once.
            spectrogram: the front end, or None.

        Returns:
            (n, size) float32. Which images share vectors does not change a bit.
        """
        if spectrogram is None:
            size = (images.shape[1], images.shape[2])
        else:
            size = (spectrogram.computes.n_mels, spectrogram.computes.n_frames(images.shape[1]))
        sized = self.for_size(*size)
        at_once = sized.sharing.images
        shares = [(first, min(at_once, len(images) - first)) for first in range(0, len(images), at_once)]
        result = np.empty((len(images), sized.size), np.float32)

        def work(first: int, n: int) -> None:
            result[first : first + n] = sized(images[first : first + n], spectrogram)

        share_out(work, shares, threads)
        return result
