"""Nets of inverted residuals for one image at a time, whose channels fill the lanes; its bits are those among others.

The kernels, and how maps lie, are in :mod:`hear_edgel3.engine.kernels.one_image`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hear_edgel3.engine.kernels.dynamic_alone import bend_alone, prepare_alone
from hear_edgel3.engine.kernels.dynamic_parts import Dynamic, with_dynamic
from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.kernels.one_image import (
    SINGLE,
    OneFacts,
    one_entrance,
    one_linear,
    one_pool,
    one_residual,
)
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE
from hear_edgel3.engine.kernels.residual_parts import Block, NetWeights, Places, Rooms, Step, even, halved, how_pooled
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime
from hear_edgel3.families import kernel_residuals as described

# Bytes that the expanded channels of a block should take at most: they are read again soon.
_AT_ONCE = 200_000


def most_alone(sharing: StripsOfTime, dynamic: bool) -> int:
    """How many images of a size, of those that would share a vector, take less time one after the other.

    One of n frames takes as long as 2 + n / 6 columns of vectors of 8 lanes or more do, measured with `tiny`, `mn04_as`
    and `mn10_as`; a little is added, for what is faster on other machines.
    """
    columns = (2 + sharing.frames / 5) * max(1.0, GROUP / sharing.lanes)
    least = 1 if dynamic and sharing.images > 1 else 0
    return min(sharing.images, max(least, int(sharing.width / columns)))


class _Map(NamedTuple):
    """A map in memory: its address, channels, size, and columns of the strips that it would be cut into."""

    x: int
    channels: int
    height: int
    width: int
    strip: int

    @property
    def pitch(self) -> int:
        """Bytes from a pixel to the next."""
        return 4 * even(self.channels)

    @property
    def vectors(self) -> int:
        """Of the whole map."""
        return self.height * self.width * even(self.channels) // GROUP


class NetAlone:
    """A net for single images of one size; it can be called by several threads at once.

    Args:
        net: the weights.
        height: bands of the images.
        sharing: how images of this size would share vectors, on which the order of sums depends.
        dynamic: of the net's blocks those that are, by number.
    """

    def __init__(self, net: NetWeights, height: int, sharing: StripsOfTime, dynamic: Mapping[int, Dynamic]) -> None:
        self._net, self._height, self._sharing, self._dynamic = net, height, sharing, dynamic
        self._uncut = replace(sharing, strips=1, width=sharing.frames)
        self._places = Places(net, height)
        self._rows = self._places.rows()
        self._needed = Rooms(GROUP)
        self._steps(self._needed)
        self._idle: list[tuple[Rooms, list[Step]]] = []

    def _steps(self, rooms: Rooms) -> list[Step]:
        """What runs, one after the other."""
        net, strips = self._net, self._sharing.strips
        values = rooms.room("values", -(-self._places.n // GROUP))
        room = rooms.room("room", SINGLE * strips)
        image = _Map(0, self._height, 1, self._sharing.frames, self._sharing.width)
        image = image._replace(x=rooms.room("image", image.vectors))
        steps: list[Step] = []

        def pools(x: _Map, number: int) -> list[Step]:
            size = (x.height, x.width, strips, x.strip)
            return [
                (
                    one_pool,
                    (x.x, x.pitch, x.channels, *size, *how_pooled(value), room, values + 4 * self._places.first(value)),
                )
                for value in self._places.pooled
                if value.map == number
            ]

        steps += pools(image, described.IMAGE)
        here = image
        if net.first_taps is not None:
            here = _Map(0, net.n_first, halved(self._height, 2), halved(image.width, 2), halved(image.strip, 2))
            here = here._replace(x=rooms.room("out 0", here.vectors))
            sizes = (image.x, image.pitch, self._height, image.width)
            steps.append((one_entrance, (*sizes, *net.first_taps, here.x, even(net.n_first))))
            steps += pools(here, 0)
        told: list[OneFacts] = []
        for number, block in enumerate(net.blocks, 1):
            strip = here.strip
            facts, here = self._block(here, block, number, rooms)
            kept = self._places.bottlenecks.get(number)
            facts = facts._replace(
                strips=strips,
                room=room,
                n_bottleneck=net.n_bottleneck(number),
                kept=0 if kept is None else values + 4 * kept,
            )
            if number in self._dynamic:
                made = self._dynamic[number].facts_alone(facts, strip, rooms)
                facts = with_dynamic(facts, made, rooms, prepare_alone, bend_alone)
            told.append(facts)
            if found := pools(here, number):
                steps += [*rooms.blocks(one_residual, told), *found]
                told = []
        steps += rooms.blocks(one_residual, told)
        if net.last is not None:
            x, here = here, here._replace(channels=net.n_last)
            here = here._replace(x=rooms.room("last", here.vectors))
            pixels = here.height * here.width
            shape = (x.channels, here.pitch // 4, pixels)
            steps.append((one_linear, (x.x, x.pitch, *net.last, here.x, *shape, HARDSWISH, 0, 0, 0, 0)))
            steps += pools(here, len(net.blocks) + 1)
        for layer in self._places.linear:
            x_first, (n_out, n_in) = self._places.first(layer.inputs[0]), layer.linear.weights.shape
            out = rooms.room("linear", even(n_out) // GROUP)
            act = HARDSWISH if layer.hardswish else NONE
            ends = (0, 0, values + 4 * self._places.first(layer), n_out)
            steps.append(
                (one_linear, (values + 4 * x_first, 0, *net.weights_of(layer), out, n_in, even(n_out), 1, act, *ends))
            )
        return steps

    def _block(self, x: _Map, block: Block, number: int, rooms: Rooms) -> tuple[OneFacts, _Map]:
        """An inverted residual, but for what it has to do with values."""
        s, facts = block.stride, block.facts
        out = _Map(0, block.n_out, halved(x.height, s), halved(x.width, s), halved(x.strip, s))
        out = out._replace(x=rooms.room(f"out {number % 2}", out.vectors))
        at_once = block.inside
        if facts.expands:
            at_once = max(4 * x.height * x.width * block.inside // _AT_ONCE, 1)
            at_once = -(-block.inside // (at_once * SINGLE * GROUP)) * SINGLE * GROUP
        made = OneFacts(
            x=x.x,
            pitch=x.pitch,
            height=x.height,
            width=x.width,
            inputs=facts.inputs,
            multiply=rooms.kernel(one_linear),
            out=out.x,
            height_out=out.height,
            width_out=out.width,
            outputs=block.outputs,
            expanded=rooms.room("expanded", x.height * x.width * at_once // GROUP if facts.expands else 0),
            at_once=at_once,
            middle=rooms.room("middle", out.height * out.width * block.inside // GROUP),
            inside=block.inside,
            expands=facts.expands,
            residual=facts.residual,
            act=facts.act,
            act_inside=facts.act,
            k=block.k,
            stride=s,
            dilation=block.dilation,
            strip=out.strip,
            bottleneck=block.bottleneck,
            squeezed=rooms.room("squeezed", block.bottleneck // GROUP),
            bent=rooms.room("bent", block.bottleneck // GROUP),
            factors=rooms.room("factors", block.inside // GROUP),
            expand_weights=facts.expand_weights,
            expand_bias=facts.expand_bias,
            depthwise_weights=block.taps,
            depthwise_bias=facts.depthwise_bias,
            squeeze_weights=facts.squeeze_weights,
            squeeze_bias=facts.squeeze_bias,
            excite_weights=facts.excite_weights,
            excite_bias=facts.excite_bias,
            project_weights=facts.project_weights,
            project_bias=facts.project_bias,
        )
        return made, out

    def __call__(self, images: np.ndarray, spectrogram: LogMel | None = None) -> np.ndarray:
        """The values of an image.

        Args:
            images: (1, height, frames) float32; or (1, samples), of which `spectrogram` makes the image.
            spectrogram: the front end, or None.

        Returns:
            (1, size) float32.
        """
        try:
            rooms, steps = self._idle.pop()
        except IndexError:
            rooms = Rooms(GROUP, self._needed.needed)
            steps = self._steps(rooms)
        pixels = rooms.arrays["image"]
        if spectrogram is not None:
            spectrogram(images, self._uncut, pixels, even(self._height))
        else:
            pixels.reshape(-1, even(self._height))[: images.shape[2], : self._height] = images[0].T
        for kernel, arguments in steps:
            kernel(*arguments)
        found: np.ndarray = rooms.arrays["values"][self._rows][None]
        self._idle.append((rooms, steps))  # after an error they are dropped instead, and the next call makes new ones
        return found
