"""A net of inverted residuals: from its description to values, with threads over images.

How images share vectors is explained in :mod:`hear_edgel3.engine.kernels.strips_of_time`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hear_edgel3.engine.kernels.alone import NetAlone, most_alone
from hear_edgel3.engine.kernels.dynamic import make_bend, make_prepare
from hear_edgel3.engine.kernels.dynamic_by_lane import (
    make_bend_by_lane,
    make_mix_by_lane,
    make_pointwise_by_lane,
    make_prepare_by_lane,
)
from hear_edgel3.engine.kernels.dynamic_parts import Dynamic, with_dynamic
from hear_edgel3.engine.kernels.entrance import COLUMNS as ENTRANCE_COLUMNS
from hear_edgel3.engine.kernels.entrance import make_entrance
from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.kernels.one_image import one_linear
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, make_pointwise
from hear_edgel3.engine.kernels.pooling import make_pool
from hear_edgel3.engine.kernels.residual import COLUMNS, Facts, make_depthwise, make_residual, rows_of_tiles
from hear_edgel3.engine.kernels.residual_parts import (
    Block,
    Map,
    NetWeights,
    Places,
    Rooms,
    Step,
    Weights,
    even,
    halved,
    how_pooled,
)
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime, strips_for
from hear_edgel3.engine.kernels.threads import BUILDING, share_out
from hear_edgel3.families import kernel_residuals as described

# Bytes that what is inside a block, or a band of its rows, should take at most: it is read again soon.
_AT_ONCE = 600_000
# Rows of so many columns need no halos; of others there would be too many kernels to compile.
_WHOLE = (1, 2, 4, 8)
# Rows of a band are a multiple of those of a tile.
_BAND = 4
# Images of more frames, some minutes of sound, would keep more memory than they are worth.
MOST_FRAMES = 1 << 15
# Sizes of images that a net is kept ready for, with memory for each.
_SIZES = 8


class SizedNet:
    """A net for images of one size; it can be called by several threads at once.

    Args:
        net: the weights.
        height: bands of the images.
        frames: of the images.
        lanes: of the vectors.
        dynamic: of its blocks those that are, by number.

    Attributes:
        sharing: how images share vectors.
        most_alone: so many images at most are faster one after the other, with channels in the lanes.
    """

    def __init__(
        self,
        net: NetWeights,
        height: int,
        frames: int,
        lanes: int,
        dynamic: Mapping[int, Dynamic],
    ) -> None:
        self._net, self._dynamic = net, dynamic
        self._height, self._frames = height, frames
        self.sharing: StripsOfTime = strips_for(frames, lanes, net.convolutions)
        self._masks: dict[tuple[int, int], tuple[int, int]] = {}
        self._kept = Weights()  # the masks
        self._edges = self._kept.keep(self.sharing.edges())
        self._places: dict[int, int] = {}
        self._rows = np.zeros(0, np.int64)
        self._needed = Rooms(lanes)
        self._steps(self._needed)
        self._idle: list[tuple[Rooms, list[Step]]] = []
        # With weights that are not finite, the zeros around a map make NaN, which images alone do without.
        self.most_alone = most_alone(self.sharing, bool(dynamic)) if net.weights.finite else 0
        self._alone = NetAlone(net, height, self.sharing, dynamic) if self.most_alone else None

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

    def _steps(self, rooms: Rooms) -> list[Step]:
        """What runs, one after the other."""
        net, sharing = self._net, self.sharing
        lanes, strips = sharing.lanes, sharing.strips
        image = rooms.room("image", self._height * sharing.width)
        here = Map(
            image, sharing.width * 4 * lanes, self._height, 1, sharing.width, self._frames,
            self._mask(sharing.width, self._frames),
        )  # fmt: skip
        steps: list[Step] = []
        values = _Values(net, rooms, self._height, lanes, strips)
        steps += values.pools(here, described.IMAGE)
        if net.first is not None:
            here = self._enter(here, rooms, steps)
            steps += values.pools(here, 0)
        told: list[Facts] = []
        for number, block in enumerate(net.blocks, 1):
            here, facts = self._block(here, block, number, rooms, values)
            told.append(facts)
            if pools := values.pools(here, number):
                steps += [*rooms.blocks(make_residual(lanes), told), *pools]
                told = []
        steps += rooms.blocks(make_residual(lanes), told)
        if net.last is not None:
            (weights, bias), n_out = net.last, even(net.n_last)
            vectors = here.height * here.width
            channel = rooms.stride(vectors)
            out = rooms.room("last", n_out * channel // (4 * lanes))
            arguments = (here.x, here.channel, weights, bias, out, channel, here.channels, n_out, vectors, HARDSWISH)
            steps.append((make_pointwise(lanes), (*arguments, 0, 0, 0)))
            here = Map(out, channel, net.n_last, here.height, here.width, here.frames, (here.mask, here.begin))
            steps += values.pools(here, len(net.blocks) + 1)
        steps += values.layers()
        self._rows = values.rows()
        return steps

    def _enter(self, image: Map, rooms: Rooms, steps: list[Step]) -> Map:
        """The first convolution."""
        net, lanes = self._net, self.sharing.lanes
        assert net.first is not None
        height, width, frames = halved(self._height, 2), halved(image.width, 2), halved(self._frames, 2)
        channel = rooms.stride(height * width)
        out = rooms.room("out 0", even(net.n_first) * channel // (4 * lanes))
        room = rooms.room("rows", 3 * (image.width + 2) + 2 * ENTRANCE_COLUMNS)
        arguments = (
            image.x, self._height, image.width, *self.sharing.before_convolving(image.width, image.frames, 1),
            image.mask, self._edges, room, *net.first, out,
            channel, height, width, net.n_first,
        )  # fmt: skip
        steps.append((make_entrance(lanes), arguments))
        return Map(out, channel, net.n_first, height, width, frames, self._mask(width, frames))

    def _block(self, x: Map, block: Block, number: int, rooms: Rooms, values: _Values) -> tuple[Map, Facts]:
        """An inverted residual."""
        lanes, strips = self.sharing.lanes, self.sharing.strips
        size, s = 4 * lanes, block.stride
        height, width, frames = halved(x.height, s), halved(x.width, s), halved(x.frames, s)
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
        masked = self.sharing.before_convolving(x.width, x.frames, block.reach)
        by_lane = int(self.sharing.images > 1 and number in self._dynamic and self._dynamic[number].mixes)
        facts = block.facts._replace(
            strips=strips, edges=self._edges,
            x=x.x, channel=x.channel, height=x.height, width=x.width, begin=masked[0], end=masked[1], mask=x.mask,
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
            flat=rooms.room("flat", -(-(block.inside + block.bottleneck) // strips)) if block.bottleneck else 0,
            multiply_each=rooms.kernel(one_linear),
            multiply=rooms.kernel(make_pointwise(lanes)),
            depthwise=rooms.kernel(make_depthwise(lanes, block.k, s, block.dilation, trim, by_lane)),
            halo=halo,
        )  # fmt: skip
        here = Map(out, channel, block.n_out, height, width, frames, (mask, begin))
        if number in self._dynamic:
            facts = self._made(number, facts, x, here, rooms, values)
        return here, facts

    def _made(self, number: int, facts: Facts, x: Map, out: Map, rooms: Rooms, values: _Values) -> Facts:
        """What the kernel is told of a dynamic block."""
        dynamic, lanes = self._dynamic[number], self.sharing.lanes
        context = values.bottleneck(number, dynamic.n_context)
        told = dynamic.facts(x, out, facts.channel_middle, context, self.sharing, self._edges, rooms)
        prepare, bend = (make_prepare_by_lane, make_bend_by_lane) if told.shared else (make_prepare, make_bend)
        facts = with_dynamic(facts, told, rooms, prepare(lanes), bend(lanes))
        if told.n_mixed and told.shared:
            facts = facts._replace(
                mix=rooms.kernel(make_mix_by_lane(lanes)),
                multiply_by_lane=rooms.kernel(make_pointwise_by_lane(lanes)),
                lane_weights=told.lane_weights,
            )
        return facts

    def __call__(self, images: np.ndarray, spectrogram: LogMel | None = None) -> np.ndarray:
        """The values of images, as many as share the vectors or fewer.

        Args:
            images: (n, height, frames) float32; or (n, samples), of which `spectrogram` makes images.
            spectrogram: the front end, or None.

        Returns:
            (n, size) float32.
        """
        if self._alone is not None and 0 < len(images) <= self.most_alone:
            alone = [self._alone(image, spectrogram) for image in images]
            return alone[0][None] if len(alone) == 1 else np.stack(alone)
        try:
            rooms, steps = self._idle.pop()
        except IndexError:
            rooms = Rooms(self.sharing.lanes, self._needed.needed)
            steps = self._steps(rooms)
        if spectrogram is not None:
            spectrogram(images, self.sharing, rooms.arrays["image"])
        else:
            self.sharing.put(images, rooms.arrays["image"])
        for kernel, arguments in steps:
            kernel(*arguments)
        values = rooms.arrays["values"].reshape(-1, self.sharing.lanes)
        found = np.ascontiguousarray(values[self._rows, :: self.sharing.strips][:, : len(images)].T)
        self._idle.append((rooms, steps))  # after an error they are dropped instead, and the next call makes new ones
        return found


class _Values(Places):
    """Of images that share vectors: a vector for each value."""

    def __init__(self, net: NetWeights, rooms: Rooms, height: int, lanes: int, strips: int) -> None:
        super().__init__(net, height)
        self._size, self._lanes, self._strips = 4 * lanes, lanes, strips
        self._base = rooms.room("values", self.n)
        most = max((net.n_bottleneck(number) for number in range(1, len(net.blocks) + 1)), default=0)
        self._spare = rooms.room("spare", even(most))

    def bottleneck(self, number: int, n: int) -> int:
        """Where a block's bottleneck goes, or a dynamic one's context."""
        if number in self.bottlenecks:
            return self._base + self.bottlenecks[number] * self._size
        return self._spare if n else 0

    def pools(self, x: Map, number: int) -> list[Step]:
        """Pooling of a map."""
        steps: list[Step] = []
        for value in self.pooled:
            if value.map == number:
                out = self._base + self.first(value) * self._size
                arguments = (x.x, x.channel, x.channels, x.height, x.width, self._strips, x.begin, x.mask, x.frames)
                steps.append((make_pool(self._lanes), (*arguments, *how_pooled(value), out)))
        return steps

    def layers(self) -> list[Step]:
        """Linear layers."""
        steps: list[Step] = []
        for value in self.linear:
            first, n_in = self.first(value.inputs[0]), value.linear.weights.shape[1]
            out = self._base + self.first(value) * self._size
            n_out = even(len(value.linear.weights))
            weights, bias = self.net.weights_of(value)
            act = HARDSWISH if value.hardswish else NONE
            x = self._base + first * self._size
            arguments = (x, self._size, weights, bias, out, self._size, n_in, n_out, 1, act)
            steps.append((make_pointwise(self._lanes), (*arguments, 0, 0, 0)))
        return steps


class ResidualKernels:
    """A net, for images of any size, several threads at work.

    Args:
        net: what to compute.
        lanes: of the vectors.
    """

    def __init__(self, net: described.ResidualNet, lanes: int) -> None:
        self._net = NetWeights(net)
        self._dynamic = {
            number: Dynamic(block, self._net.weights) for number, block in enumerate(net.blocks, 1) if block.context
        }
        self._lanes = lanes
        self._sized: dict[tuple[int, int], SizedNet] = {}

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
                    sized = SizedNet(self._net, height, frames, self._lanes, self._dynamic)
                    # Recordings may all be of different lengths. What is dropped lives on for as long as it runs.
                    while len(self._sized) >= _SIZES:
                        del self._sized[next(iter(self._sized))]
                    self._sized[height, frames] = sized
        return sized

    def __call__(self, images: np.ndarray, threads: int, spectrogram: LogMel | None = None) -> np.ndarray:
        """Values of images.

        Args:
            images: (n, height, frames) float32; or (n, samples), of which `spectrogram` makes images.
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
        if len(images) == 1:  # a clip, or one window of a stream
            return sized(images, spectrogram)
        shares = [(first, min(at_once, len(images) - first)) for first in range(0, len(images), at_once)]
        if shares and 1 < shares[-1][1] <= sized.most_alone:  # they share nothing, so that a thread may take each
            first, n = shares.pop()
            shares += [(first + i, 1) for i in range(n)]
        result = np.empty((len(images), sized.size), np.float32)

        def work(first: int, n: int) -> None:
            result[first : first + n] = sized(images[first : first + n], spectrogram)

        share_out(work, shares, threads)
        return result
