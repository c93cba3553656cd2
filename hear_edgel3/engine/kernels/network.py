"""An L3 net of compiled layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from torch import nn

from hear_edgel3.engine.kernels.aligned import aligned
from hear_edgel3.engine.kernels.direct import Direct
from hear_edgel3.engine.kernels.first_layer import First
from hear_edgel3.engine.kernels.layer import Layer
from hear_edgel3.engine.kernels.settings import Settings
from hear_edgel3.engine.kernels.shape import HALVE, KEEP, WHOLE, Place
from hear_edgel3.engine.kernels.winograd import GROUP, Winograd, tile_for
from hear_edgel3.families.l3.net import POOLED, L3Net


@dataclass(frozen=True)
class Plain:
    """An L3 net as arrays, batch norm folded into the convolutions.

    Attributes:
        scale: of the input.
        offset: added to the scaled input.
        weights: (n_out, n_in, 3, 3) float32 of each convolution; the first has one input.
        biases: (n_out,) float32.
        pooled: whether a 2 by 2 maximum follows; the last one is followed by the maximum of everything.
        relus: whether ReLU follows.
    """

    scale: float
    offset: float
    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    pooled: Sequence[bool]
    relus: Sequence[bool]

    @classmethod
    def of(cls, net: L3Net) -> Plain:
        """Those of a net, which is in eval mode."""
        folded = net.folded()
        convs = [conv for conv in folded.convs if isinstance(conv, nn.Conv2d)]
        return cls(
            float(folded.scale),
            float(folded.offset),
            [np.ascontiguousarray(conv.weight.numpy()) for conv in convs],
            [conv.bias.numpy().copy() for conv in convs if conv.bias is not None],
            [i in POOLED for i in range(len(convs))],
            [i < folded.n_relu for i in range(len(convs))],
        )


def lanes_for(height: int, n_pools: int, most: int) -> int | None:
    """The most lanes that can share the rows of an image, or None: after the last pooling a strip needs two rows."""
    return next((lanes for lanes in (16, 8, 4) if lanes <= most and height % (lanes << (n_pools + 1)) == 0), None)


def strips_for(plain: Plain, height: int, most: int, settings: Settings) -> int | None:
    """How many strips an image is best cut into, or None: as many as there are lanes, at `most`.

    Where the last layers are dense and have strips of 2 rows only, half as many: with tiles of 4 rows Winograd's
    algorithm takes a quarter less, and two images share a vector.
    """
    n_pools = sum(plain.pooled)
    strips = lanes_for(height, n_pools, most)
    if strips is None or strips < 16 or height != strips << (n_pools + 1):
        return strips
    dense = all(np.count_nonzero(w) > settings.dense * w.size and len(w) % GROUP == 0 for w in plain.weights[-2:])
    return strips // 2 if dense else strips


def net_for(plain: Plain, height: int, width: int, lanes: int, settings: Settings) -> LanesNet | None:
    """The net for images of a size on a machine of so many lanes, or None if it cannot be compiled for them."""
    strips = strips_for(plain, height, lanes, settings)
    return None if strips is None else LanesNet(plain, height, width, strips, settings, lanes)


def _places(plain: Plain, height: int, width: int, strips: int, images: int) -> list[Place]:
    """Where each layer stands."""
    places = []
    rows, columns = height // strips, width
    for i, relu in enumerate(plain.relus):
        pool = WHOLE if i == len(plain.relus) - 1 else HALVE if plain.pooled[i] else KEEP
        places.append(Place(strips * images, rows, columns, pool, relu, images))
        if pool == HALVE:
            rows, columns = rows // 2, columns // 2
    return places


def _layers(plain: Plain, places: Sequence[Place], settings: Settings, twins: Sequence[Layer]) -> list[Layer]:
    """The layers: each by the way that suits its density, the first two as one where nothing is between them.

    Twins are the layers for another number of images, or none.
    """
    begin = 1 if plain.relus[0] and places[0].pool == KEEP else 0
    layers: list[Layer] = []
    for i, (weights, bias, place) in enumerate(zip(plain.weights, plain.biases, places, strict=True)):
        if i < begin:
            continue
        first = First.of(plain.weights[0], plain.biases[0]) if i == begin == 1 else None
        density = float(np.count_nonzero(weights) / weights.size)
        if i > 0 and density > settings.dense and len(bias) % GROUP == 0:
            twin = twins[len(layers)] if twins else None
            assert twin is None or isinstance(twin, Winograd)  # the same density, the same kind
            layers.append(Winograd(weights, bias, place, *tile_for(place), *settings.winograd, first, twin))
        else:
            layers.append(Direct(weights, bias, place, *settings.tile(place, density), first))
    return layers


class _Memory:
    """What a call needs: the image, the outputs of two layers, and room for a layer to work in."""

    def __init__(self, image: int, size: int, room: int) -> None:
        self.image = aligned(image)
        self.maps = (aligned(size), aligned(size))
        self.room = aligned(room)


class Together:
    """The net for some images at once, of one size.

    It can be called by several threads at once: each has memory of its own, which is kept for later calls.

    Args:
        plain: what to compute.
        height: rows of the images.
        width: columns.
        strips: that an image is cut into.
        images: that share the vectors, whose lanes are their strips.
        settings: what suits the machine.
        twin: the same for another number of images; it is not kept, but weights that serve both are.

    Attributes:
        images: as given.
        kinds: of the layers, for people.
    """

    def __init__(
        self,
        plain: Plain,
        height: int,
        width: int,
        strips: int,
        images: int,
        settings: Settings,
        twin: Together | None = None,
    ) -> None:
        self.images = images
        self._scale, self._offset = np.float32(plain.scale), np.float32(plain.offset)
        self._shape = (strips, height // strips, width)
        self._n_out = len(plain.biases[-1])
        twins = [] if twin is None else twin._layers
        self._layers: list[Layer] = _layers(plain, _places(plain, height, width, strips, images), settings, twins)
        self.kinds = [type(layer).__name__.lower() for layer in self._layers]
        self._sizes = (
            height * width * images,
            max(layer.size_out for layer in self._layers),
            max(layer.room for layer in self._layers),
        )
        self._idle: list[_Memory] = []

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Embeds (height, width) float32 images, as many as share the vectors or fewer; returns (n, n_out) float32."""
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = _Memory(*self._sizes)
        strips, height, width = self._shape
        room = memory.room.ctypes.data
        filled = memory.image.reshape(height, width, self.images, strips)
        filled[:, :, len(images) :] = 0
        for i, image in enumerate(images):
            scaled = image * self._scale + self._offset
            filled[:, :, i] = scaled.reshape(strips, height, width).transpose(1, 2, 0)
        source = memory.image
        for i, layer in enumerate(self._layers):
            target = memory.maps[i % 2]
            layer(source.ctypes.data, target.ctypes.data, room)
            source = target
        found = source[: self._layers[-1].size_out].reshape(-1, self._n_out, self.images, strips)
        largest: np.ndarray = found.max(axis=(0, 3)).T[: len(images)]
        self._idle.append(memory)
        return largest


class LanesNet:
    """The net for images of one size, several threads at work.

    Args:
        plain: what to compute.
        height: rows of the images.
        width: columns.
        strips: that an image is cut into; :func:`lanes_for` says how many.
        settings: what suits the machine.
        lanes: of the vectors, which so many images share as have room; None for `strips`, one image.

    Attributes:
        most: images that share the vectors at most.
    """

    def __init__(
        self, plain: Plain, height: int, width: int, strips: int, settings: Settings, lanes: int | None = None
    ) -> None:
        self._alone = Together(plain, height, width, strips, 1, settings)
        self.most = 1 if lanes is None else max(1, lanes // strips)
        self._several = cache(lambda: Together(plain, height, width, strips, self.most, settings, self._alone))
        self._n_out = len(plain.biases[-1])

    @property
    def kinds(self) -> list[str]:
        """Of the layers, for people."""
        return self._alone.kinds

    def __call__(
        self, images: np.ndarray, threads: int, frontend: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> np.ndarray:
        """Embeds images.

        Args:
            images: (n, height, width) float32; or (n, samples), of what `frontend` makes images of.
            threads: how many may run at once; each image, and what it shares vectors with, has one.
            frontend: called by the thread that the image is for.

        Returns:
            (n, n_out) float32. Whether an image shares vectors does not change a bit.
        """
        result = np.empty((len(images), self._n_out), np.float32)
        shares = self._shares(len(images), threads)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                for first, n in todo:  # each share goes to one thread: a list's iterator is never torn
                    some = [image if frontend is None else frontend(image) for image in images[first : first + n]]
                    result[first : first + n] = self._alone(some) if n == 1 else self._several()(some)
            except BaseException as error:
                errors.append(error)

        todo = iter(shares)
        # New threads each time: they cost less than a tenth of a millisecond, survive a fork, and leave nothing behind.
        helpers = [threading.Thread(target=work) for _ in range(min(threads, len(shares)) - 1)]
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
        if errors:
            raise errors[0]
        return result

    def _shares(self, n: int, threads: int) -> list[tuple[int, int]]:
        """The first image and the number of images of each share: vectors that are half empty are no faster."""
        size = self.most if n > self.most // 2 and n >= threads * self.most // 2 else 1
        shares = []
        for first in range(0, n, size):
            rest = min(size, n - first)
            shares += [(first, rest)] if rest > size // 2 else [(first + i, 1) for i in range(rest)]
        return shares
