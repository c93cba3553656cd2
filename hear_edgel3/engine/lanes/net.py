"""An L3 net of compiled layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn

from hear_edgel3.engine.lanes.direct import Direct
from hear_edgel3.engine.lanes.entrance import DenseEntrance, Entrance
from hear_edgel3.engine.lanes.memory import aligned
from hear_edgel3.engine.lanes.place import HALVE, KEEP, WHOLE, Place
from hear_edgel3.engine.lanes.settings import Settings
from hear_edgel3.engine.lanes.winograd import GROUP, Winograd
from hear_edgel3.nets.l3 import POOLED, L3Net


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


class Layer(Protocol):
    """A compiled layer."""

    size_out: int
    room: int

    def __call__(self, x: int, out: int, room: int) -> None:
        """Runs it; all are addresses."""


def lanes_for(height: int, n_pools: int, most: int) -> int | None:
    """The most lanes that can share the rows of an image, or None: after the last pooling a strip needs two rows."""
    return next((lanes for lanes in (16, 8, 4) if lanes <= most and height % (lanes << (n_pools + 1)) == 0), None)


def _places(plain: Plain, height: int, width: int, lanes: int) -> list[Place]:
    """Where each layer stands."""
    places = []
    rows, columns = height // lanes, width
    for i, relu in enumerate(plain.relus):
        pool = WHOLE if i == len(plain.relus) - 1 else HALVE if plain.pooled[i] else KEEP
        places.append(Place(lanes, rows, columns, pool, relu))
        if pool == HALVE:
            rows, columns = rows // 2, columns // 2
    return places


def _layers(plain: Plain, places: Sequence[Place], settings: Settings) -> list[Layer]:
    """The layers: each by the way that suits its density, the first two as one."""
    layers: list[Layer] = []
    for i, (weights, bias, place) in enumerate(zip(plain.weights, plain.biases, places, strict=True)):
        density = float(np.count_nonzero(weights) / weights.size)
        is_dense = density > settings.dense and len(bias) % GROUP == 0
        dense, sparse = (2 if place.height % 4 else 4, *settings.winograd), settings.tile(place, density)
        if i == 1 and plain.relus[0] and places[0].pool == KEEP:
            both = (plain.weights[0], plain.biases[0], weights, bias, place)
            layers[0] = DenseEntrance(*both, *dense) if is_dense else Entrance(*both, *sparse)
        elif is_dense and i > 0:
            layers.append(Winograd(weights, bias, place, *dense))
        else:
            layers.append(Direct(weights, bias, place, *sparse))
    return layers


class _Memory:
    """What a call needs: the image, the outputs of two layers, and room for a layer to work in."""

    def __init__(self, image: int, size: int, room: int) -> None:
        self.image = aligned(image)
        self.maps = (aligned(size), aligned(size))
        self.room = aligned(room)


class LanesNet:
    """The net for images of one size.

    It can be called by several threads at once: each has memory of its own, which is kept for later calls.

    Args:
        plain: what to compute.
        height: rows of the images; :func:`lanes_for` says with how many lanes they can be computed.
        width: columns.
        lanes: of the vectors.
        settings: what suits the machine.

    Attributes:
        kinds: of the layers, for people.
    """

    def __init__(self, plain: Plain, height: int, width: int, lanes: int, settings: Settings) -> None:
        self._scale, self._offset = np.float32(plain.scale), np.float32(plain.offset)
        self._strips = (lanes, height // lanes, width)
        self._n_out = len(plain.biases[-1])
        self._layers = _layers(plain, _places(plain, height, width, lanes), settings)
        self.kinds = [type(layer).__name__.lower() for layer in self._layers]
        self._sizes = (
            height * width,
            max(layer.size_out for layer in self._layers),
            max(layer.room for layer in self._layers),
        )
        self._idle: list[_Memory] = []

    def __call__(
        self, images: np.ndarray, threads: int, frontend: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> np.ndarray:
        """Embeds images.

        Args:
            images: (n, height, width) float32; or (n, samples), of what `frontend` makes images of.
            threads: how many may run at once; there is one image to a thread.
            frontend: called by the thread that the image is for.

        Returns:
            (n, n_out) float32.
        """
        result = np.empty((len(images), self._n_out), np.float32)
        numbers = iter(range(len(images)))
        errors: list[BaseException] = []

        def work() -> None:
            try:
                try:
                    memory = self._idle.pop()
                except IndexError:
                    memory = _Memory(*self._sizes)
                for i in numbers:  # each number goes to one thread: a range's iterator is never torn
                    image = images[i] if frontend is None else frontend(images[i])
                    result[i] = self._one(image, memory)
                self._idle.append(memory)
            except BaseException as error:
                errors.append(error)

        # New threads each time: they cost less than a tenth of a millisecond, survive a fork, and leave nothing behind.
        helpers = [threading.Thread(target=work) for _ in range(min(threads, len(images)) - 1)]
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
        if errors:
            raise errors[0]
        return result

    def _one(self, image: np.ndarray, memory: _Memory) -> np.ndarray:
        scaled = image * self._scale + self._offset
        lanes, height, width = self._strips
        memory.image.reshape(height, width, lanes)[:] = scaled.reshape(lanes, height, width).transpose(1, 2, 0)
        source, room = memory.image, memory.room.ctypes.data
        for i, layer in enumerate(self._layers):
            target = memory.maps[i % 2]
            layer(source.ctypes.data, target.ctypes.data, room)
            source = target
        largest: np.ndarray = source[: self._layers[-1].size_out].reshape(-1, self._n_out, lanes).max(axis=(0, 2))
        return largest
