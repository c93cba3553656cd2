"""A net of compiled layers: from its description to embeddings, with threads over images.

Three words are used alike everywhere here. An image is cut into horizontal *strips*; a vector has *lanes*, of which
each holds a strip; where a vector has more lanes than an image has strips, several *images* share the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.engine.kernels.direct import Direct
from hear_edgel3.engine.kernels.first_layer import FirstLayer
from hear_edgel3.engine.kernels.layer import Layer
from hear_edgel3.engine.kernels.settings import Settings
from hear_edgel3.engine.kernels.shape import HALVE, KEEP, WHOLE, LayerShape
from hear_edgel3.engine.kernels.threads import BUILDING, share_out
from hear_edgel3.engine.kernels.winograd import GROUP, Winograd, tile_for
from hear_edgel3.families.kernel_description import FoldedNet, dense, density


def most_strips(height: int, n_pools: int, lanes: int) -> int | None:
    """The most strips that an image can be cut into, one for each lane or fewer, or None if it cannot be cut.

    They are 16, 8 or 4, equally high, and after the last pooling each still has an even number of rows.

    Args:
        height: rows of the image.
        n_pools: how often its rows are halved.
        lanes: of a vector.
    """
    return next((n for n in (16, 8, 4) if n <= lanes and height % (n << (n_pools + 1)) == 0), None)


def best_strips(folded: FoldedNet, height: int, lanes: int, settings: Settings) -> int | None:
    """How many strips an image is best cut into, or None if it cannot be cut: usually as many as can be.

    Where the last layers are dense and would have strips of 2 rows only, half as many: with tiles of 4 rows Winograd's
    algorithm takes a quarter less, and two images share a vector.

    Args:
        folded: the net.
        height: rows of the image.
        lanes: of a vector.
        settings: what suits the machine.
    """
    n_pools = sum(folded.pooled)
    strips = most_strips(height, n_pools, lanes)
    if strips is None or strips < 16 or height != strips << (n_pools + 1):
        return strips
    are_dense = all(density(w) > settings.dense and w.shape[0] % GROUP == 0 for w in folded.weights[-2:])
    return strips // 2 if are_dense else strips


def net_for(folded: FoldedNet, height: int, width: int, lanes: int, settings: Settings) -> KernelNet | None:
    """The net for images of a size on a machine of so many lanes, or None if it cannot be compiled for them."""
    strips = best_strips(folded, height, lanes, settings)
    return None if strips is None else KernelNet(folded, height, width, strips, settings, lanes)


def _layer_shapes(folded: FoldedNet, height: int, width: int, strips: int, images: int) -> list[LayerShape]:
    """The shape of each layer."""
    shapes = []
    rows, columns = height // strips, width
    for i, relu in enumerate(folded.relus):
        pool = WHOLE if i == len(folded.relus) - 1 else HALVE if folded.pooled[i] else KEEP
        shapes.append(LayerShape(strips * images, rows, columns, pool, relu, images))
        if pool == HALVE:
            rows, columns = rows // 2, columns // 2
    return shapes


def _layers(
    folded: FoldedNet, shapes: Sequence[LayerShape], settings: Settings, share_weights_with: Sequence[Layer]
) -> list[Layer]:
    """The layers: each by the way that suits its density, the first two as one where nothing is between them.

    Those to share weights with are the same net's for another number of images, or none.
    """
    begin = 1 if folded.relus[0] and shapes[0].pool == KEEP else 0
    layers: list[Layer] = []
    for i, (weights, bias, shape) in enumerate(zip(folded.weights, folded.biases, shapes, strict=True)):
        if i < begin:
            continue
        first_layer = FirstLayer.of(dense(folded.weights[0]), folded.biases[0]) if i == begin == 1 else None
        part = density(weights)
        if i > 0 and part > settings.dense and len(bias) % GROUP == 0:
            other = share_weights_with[len(layers)] if share_weights_with else None
            assert other is None or isinstance(other, Winograd)  # the same density, the same kind
            all_of_them = dense(weights)
            layers.append(Winograd(all_of_them, bias, shape, *tile_for(shape), *settings.winograd, first_layer, other))
        else:
            layers.append(Direct(weights, bias, shape, *settings.tile(shape, part), first_layer))
    return layers


class _Buffers:
    """The memory that a call works in.

    Args:
        image: values of the input.
        output: values of the largest output of a layer. Two such maps suffice: a layer reads one and writes the other,
            which the layer before it has read and nobody needs any more.
        room: values that the most demanding layer works in besides.
    """

    def __init__(self, image: int, output: int, room: int) -> None:
        self.image = aligned(image)
        self.maps = (aligned(output), aligned(output))
        self.room = aligned(room)


class BatchNet:
    """The net for a few images at once, of one size: as many as share the vectors.

    It can be called by several threads at once: each has buffers of its own, which are kept for later calls.

    Args:
        folded: what to compute.
        height: rows of the images.
        width: columns of the images.
        strips: that an image is cut into.
        images: that share the vectors, whose lanes are their strips.
        settings: what suits the machine.
        share_weights_with: the same net for another number of images, whose transformed weights serve this one too; or
            None. The other net itself is not kept.

    Attributes:
        images: as given.
        kinds: of the layers, "direct" or "winograd", for people.
    """

    def __init__(
        self,
        folded: FoldedNet,
        height: int,
        width: int,
        strips: int,
        images: int,
        settings: Settings,
        share_weights_with: BatchNet | None = None,
    ) -> None:
        self.images = images
        self._scale, self._offset = np.float32(folded.scale), np.float32(folded.offset)
        self._shape = (strips, height // strips, width)
        self._n_out = len(folded.biases[-1])
        shapes = _layer_shapes(folded, height, width, strips, images)
        others = [] if share_weights_with is None else share_weights_with._layers
        self._layers: list[Layer] = _layers(folded, shapes, settings, others)
        self.kinds = [type(layer).__name__.lower() for layer in self._layers]
        self._sizes = (
            height * width * images,
            max(layer.size_out for layer in self._layers),
            max(layer.room for layer in self._layers),
        )
        self._idle: list[_Buffers] = []

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Embeds (height, width) float32 images, as many as share the vectors or fewer; returns (n, n_out) float32."""
        try:
            buffers = self._idle.pop()
        except IndexError:
            buffers = _Buffers(*self._sizes)
        strips, height, width = self._shape
        room = buffers.room.ctypes.data
        filled = buffers.image.reshape(height, width, self.images, strips)
        filled[:, :, len(images) :] = 0
        for i, image in enumerate(images):
            scaled = image * self._scale + self._offset
            filled[:, :, i] = scaled.reshape(strips, height, width).transpose(1, 2, 0)
        source = buffers.image
        for i, layer in enumerate(self._layers):
            target = buffers.maps[i % 2]
            layer(source.ctypes.data, target.ctypes.data, room)
            source = target
        found = source[: self._layers[-1].size_out].reshape(-1, self._n_out, self.images, strips)
        largest: np.ndarray = found.max(axis=(0, 3)).T[: len(images)]
        self._idle.append(buffers)  # after an error they are dropped instead, and the next call makes new ones
        return largest


class KernelNet:
    """The net for images of one size, several threads at work.

    Args:
        folded: what to compute.
        height: rows of the images.
        width: columns of the images.
        strips: that an image is cut into; :func:`best_strips` says how many.
        settings: what suits the machine.
        lanes: of the vectors, which as many images share as have room; None for as many as there are strips, which is
            one image.

    Attributes:
        most_images: how many share the vectors at most.
    """

    def __init__(
        self, folded: FoldedNet, height: int, width: int, strips: int, settings: Settings, lanes: int | None = None
    ) -> None:
        self._for_one = BatchNet(folded, height, width, strips, 1, settings)
        self.most_images = 1 if lanes is None else max(1, lanes // strips)
        self._make_for_several: Callable[[], BatchNet] = partial(
            BatchNet, folded, height, width, strips, self.most_images, settings, self._for_one
        )
        self._made_for_several: BatchNet | None = None
        self._n_out = len(folded.biases[-1])

    @property
    def kinds(self) -> list[str]:
        """Of the layers, for people."""
        return self._for_one.kinds

    def _for_several(self) -> BatchNet:
        """The net for images that share the vectors, built when it is first needed."""
        if self._made_for_several is None:
            with BUILDING:
                if self._made_for_several is None:  # no other thread has built it meanwhile
                    self._made_for_several = self._make_for_several()
        return self._made_for_several

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

        Raises:
            BaseException: the first one that a thread raised, with a note where others failed too.
        """
        result = np.empty((len(images), self._n_out), np.float32)

        def work(first: int, n: int) -> None:
            some = [image if frontend is None else frontend(image) for image in images[first : first + n]]
            result[first : first + n] = self._for_one(some) if n == 1 else self._for_several()(some)

        share_out(work, self._shares(len(images), threads), threads)
        return result

    def _shares(self, n: int, threads: int) -> list[tuple[int, int]]:
        """The first image and the number of images of each share: vectors that are half empty are no faster."""
        size = self.most_images if n > self.most_images // 2 and n >= threads * self.most_images // 2 else 1
        shares = []
        for first in range(0, n, size):
            rest = min(size, n - first)
            shares += [(first, rest)] if rest > size // 2 else [(first + i, 1) for i in range(rest)]
        return shares
