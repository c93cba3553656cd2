"""A net of inverted residuals: from its description to values, with threads over images.

How images share vectors is explained in :mod:`hear_edgel3.engine.kernels.strips_of_time`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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
from hear_edgel3.engine.kernels.expansion import make_expansion
from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.kernels.one_image import one_linear
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, make_pointwise
from hear_edgel3.engine.kernels.pooling import make_pool
from hear_edgel3.engine.kernels.residual import COLUMNS, Facts, make_depthwise, make_residual, shape_of_tiles
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

# Bytes that what is inside a block, or a band of its rows, should take at most, as it is read again soon; if what is
# inside is only copied; and at all, for the sake of memory.
_AT_ONCE, _COPIED_AT_ONCE, _MOST_AT_ONCE = 600_000, 150_000, 4_000_000
# What it takes to copy a vector, and to write and read one that is more than that, beside a multiplication of one.
_COPIED, _SPILLED = 2, 6
# What it takes to scale a vector of a map, beside weights of a single output.
_SCALED = 3
# Rows of so many columns need no halos; of others there would be too many kernels to compile.
_WHOLE = (1, 2, 4, 8)
# Rows of a band are a multiple of those of a tile.
_BAND = 4
# Images of more frames, some minutes of sound, would keep more memory than they are worth.
MOST_FRAMES = 1 << 15
# Strips of pictures: those of 224 columns fill 7, of 32 columns. In vectors of 16 lanes there are two pictures.
_STRIPS_OF_PICTURES = 8
# Sizes of images that a net is kept ready for, with memory for each.
_SIZES = 8


class SizedNet:
    """A net for images of one size; it can be called by several threads at once.

    Args:
        net: the weights.
        height: bands of the images.
        sharing: how images share vectors.
        dynamic: of its blocks those that are, by number.

    Attributes:
        sharing: how images share vectors.
        most_alone: so many images at most are faster one after the other, with channels in the lanes.
    """

    def __init__(
        self,
        net: NetWeights,
        height: int,
        sharing: StripsOfTime,
        dynamic: Mapping[int, Dynamic],
    ) -> None:
        self._net, self._dynamic = net, dynamic
        self._height, self._frames = height, sharing.frames
        self.sharing = sharing
        self._masks: dict[tuple[int, int], tuple[int, int]] = {}
        self._kept = Weights()  # the masks
        self._edges = self._kept.keep(self.sharing.edges())
        self._places: dict[int, int] = {}
        self._rows = np.zeros(0, np.int64)
        self._needed = Rooms(sharing.lanes)
        self._steps(self._needed)
        self._idle: list[tuple[Rooms, list[Step]]] = []
        self.most_alone, self._alone = self._for_images_alone()

    def _for_images_alone(self) -> tuple[int, NetAlone | SizedNet | None]:
        """So many images at most are faster one after the other, and with what."""
        net, sharing = self._net, self.sharing
        if not net.alone:
            if sharing.images == 1 or sharing.strips < _STRIPS_OF_PICTURES:
                return 0, None
            return 1, SizedNet(net, self._height, replace(sharing, lanes=sharing.strips), self._dynamic)
        # With weights that are not finite, the zeros around a map make NaN, which images alone do without.
        most = most_alone(sharing, bool(self._dynamic)) if net.weights.finite else 0
        return most, NetAlone(net, self._height, sharing, self._dynamic) if most else None

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
        image = rooms.room("image", net.planes * self._height * sharing.width)
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
            arguments = (here.x, here.channel, weights, bias, out, channel, here.channels, n_out, vectors, net.act)
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
        out = rooms.room(self._room_of(0), even(net.n_first) * channel // (4 * lanes))
        room = rooms.room("rows", 3 * net.planes * (image.width + 2) + 2 * ENTRANCE_COLUMNS)
        arguments = (
            image.x, net.planes, self._height, image.width,
            *self.sharing.before_convolving(image.width, image.frames, 1),
            image.mask, self._edges, room, *net.first, out,
            channel, height, width, net.n_first, *net.padding, net.act,
        )  # fmt: skip
        steps.append((make_entrance(lanes), arguments))
        return Map(out, channel, net.n_first, height, width, frames, self._mask(width, frames))

    def _room_of(self, number: int) -> str:
        """The room of a map. Two take turns, of which the image's is one: nobody reads it when it is written again."""
        after_image = number + 1 if self._net.first is not None else number
        return "image" if after_image % 2 == 0 else "map"

    def _block(self, x: Map, block: Block, number: int, rooms: Rooms, values: _Values) -> tuple[Map, Facts]:
        """An inverted residual."""
        net, lanes, strips = self._net, self.sharing.lanes, self.sharing.strips
        size, s = 4 * lanes, block.stride
        height, width, frames = halved(x.height, s), halved(x.width, s), halved(x.frames, s)
        mask, begin = self._mask(width, frames)
        whole = strips == 1 and block.dilation == 1 and block.facts.left == block.reach
        trim = x.width if whole and x.width in _WHOLE else 0
        band = height if block.bottleneck else _rows_at_once(block, height, block.inside * width * size)
        tiles = shape_of_tiles(trim, width)
        rows = tiles[0]
        tall = -(-band // rows) * rows
        halo = 0 if trim else block.reach
        channel_expanded = rooms.stride(((tall - 1) * s + 2 * block.reach + 1) * (x.width + 2 * halo) + s * COLUMNS)
        kept = -(-height // _BAND) * _BAND if block.bottleneck else tall
        channel_middle = rooms.stride(kept * width)
        channel = rooms.stride(height * width)
        out = rooms.room(self._room_of(number), block.outputs * channel // size)
        masked = self.sharing.before_convolving(x.width, x.frames, block.reach)
        # Of an image that has the vectors for itself each channel has one factor, for weights as well as for what they
        # are multiplied with. Pictures may have shorter vectors for themselves, with the same bits.
        alike = net.alone and block.bottleneck > 0 and strips == lanes
        scaled = block.inside * block.outputs if alike and height * width * _SCALED > block.outputs else 0
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
            scaled=rooms.room("scaled", -(-scaled // lanes)) if scaled else 0,
            multiply_each=rooms.kernel(one_linear),
            multiply=rooms.kernel(make_pointwise(lanes)),
            expand_rows=rooms.kernel(make_expansion(lanes)),
            depthwise=rooms.kernel(make_depthwise(lanes, block.k, s, block.dilation, trim, by_lane, *tiles)),
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
            images: (n, planes * height, frames) float32; or (n, samples), of which `spectrogram` makes images.
            spectrogram: the front end, or None.

        Returns:
            (n, size) float32.
        """
        if self._alone is not None and 0 < len(images) <= self.most_alone:
            alone = [self._alone(images[i : i + 1], spectrogram) for i in range(len(images))]
            return alone[0] if len(alone) == 1 else np.concatenate(alone)
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


def _rows_at_once(block: Block, height: int, row: int) -> int:
    """Rows of a band of a block's output: few fit into the first caches, of many fewer are expanded twice.

    Args:
        block: without squeeze-and-excitation.
        height: rows of the output.
        row: bytes of one of them of what is inside.
    """
    each, at_once = (block.facts.inputs, _AT_ONCE) if block.facts.expands else (_COPIED, _COPIED_AT_ONCE)

    def cost(band: int) -> float:
        """What depends on the band, of each vector that the depthwise convolution puts out."""
        bands = -(-height // band)
        expanded = height * block.stride + (bands - 1) * max(0, 2 * block.reach + 1 - block.stride)
        return each * block.stride * expanded / height + (_SPILLED if band * row > at_once else 0)

    bands = [height, *range(_BAND, height, _BAND)]
    fitting = [band for band in bands if band * row <= _MOST_AT_ONCE]
    best: int = min(fitting or [min(bands)], key=cost)
    return best


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
                    sized = SizedNet(self._net, height, self._sharing(frames), self._dynamic)
                    # Recordings may all be of different lengths. What is dropped lives on for as long as it runs.
                    while len(self._sized) >= _SIZES:
                        del self._sized[next(iter(self._sized))]
                    self._sized[height, frames] = sized
        return sized

    def _sharing(self, frames: int) -> StripsOfTime:
        """How images of so many frames share vectors."""
        if self._net.planes == 1:
            return strips_for(frames, self._lanes, self._net.convolutions)
        sharing = strips_for(frames, min(self._lanes, _STRIPS_OF_PICTURES), self._net.convolutions)
        return replace(sharing, lanes=self._lanes)

    def __call__(self, images: np.ndarray, threads: int, spectrogram: LogMel | None = None) -> np.ndarray:
        """Values of images.

        Args:
            images: (n, height, frames) float32, or (n, planes, height, frames) of several planes; or (n, samples), of
                which `spectrogram` makes images.
            threads: how many may run at once.
            spectrogram: the front end, or None.

        Returns:
            (n, size) float32. Which images share vectors does not change a bit.
        """
        if spectrogram is None:
            size = (images.shape[-2], images.shape[-1])
            images = images.reshape(len(images), self._net.planes * size[0], size[1])
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
