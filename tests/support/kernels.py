"""The layers of the compiled kernels, and what they should give."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.engine.kernels.network import FoldedNet, dense
from hear_edgel3.engine.kernels.settings import Settings
from hear_edgel3.engine.kernels.shape import HALVE, KEEP, WHOLE, LayerShape
from hear_edgel3.engine.kernels.winograd import GROUP
from hear_edgel3.families.l3.net import L3Net

# LLVM splits vectors that are wider than the machine's, so that all of them run anywhere.
LANES = [4, 8, 16]
POOLS = [KEEP, HALVE, WHOLE]
# Rows and columns of tiles of layers by Winograd's algorithm, and lanes; outputs and tiles at once in registers.
WINOGRAD = [(4, 4, 4), (4, 6, 4), (4, 6, 8), (4, 4, 16), (4, 6, 16), (2, 4, 4), (2, 6, 4)]
AT_ONCE = (8, 3)
USUAL = Settings.usual()
# Of the output's peak. Sums of a few hundred float32 products: observed at most 3.5e-7.
DIRECT_TOLERANCE = 1e-6
# Winograd's transforms have factors up to 5 forth and 32 back, and lose most of a digit: observed at most 2.5e-6.
WINOGRAD_TOLERANCE = 5e-6
# Eight layers, some by Winograd: observed at most 9.7e-7.
NET_TOLERANCE = 3e-6


class Kernel(Protocol):
    """A layer of any kind."""

    size_out: int
    room: int

    def __call__(self, x: int, out: int, room: int) -> None: ...


class Guarded:
    """Aligned memory full of NaN between two margins that nobody may touch."""

    _MARGIN = 256

    def __init__(self, size: int) -> None:
        raw = np.full(size + 2 * self._MARGIN + 32, np.nan, np.float32)
        start = -raw.ctypes.data // 4 % 32
        self._all = raw[start : start + size + 2 * self._MARGIN]
        self.values = self._all[self._MARGIN : self._MARGIN + size]

    @property
    def address(self) -> int:
        return self.values.ctypes.data

    def untouched(self) -> bool:
        """Whether the margins are as they were."""
        margins = np.concatenate([self._all[: self._MARGIN], self._all[self._MARGIN + len(self.values) :]])
        return bool(np.isnan(margins).all())


def random_weights(n_out: int, n_in: int, density: float, seed: int = 0) -> np.ndarray:
    """Normal, of which a part is not zero; with few weights there is an output that has none."""
    rs = np.random.RandomState(seed)
    weights = rs.randn(n_out, n_in, 3, 3) * (rs.rand(n_out, n_in, 3, 3) < density)
    if density < 1:
        weights[n_out // 2] = 0
    return weights.astype(np.float32)


def in_strips(image: np.ndarray, lanes: int) -> np.ndarray:
    """(channels, height, width) as vectors."""
    channels, height, width = image.shape
    return image.reshape(channels, lanes, height // lanes, width).transpose(0, 2, 3, 1)


def from_strips(strips: np.ndarray) -> np.ndarray:
    """The image of vectors (channels, rows, width, lanes)."""
    channels, rows, width, lanes = strips.shape
    return strips.transpose(0, 3, 1, 2).reshape(channels, lanes * rows, width)


def run_kernel(kernel: Kernel, x: np.ndarray, n_out: int, shape: LayerShape) -> np.ndarray:
    """What a kernel makes of an image; whatever it may not touch, and memory it has not written, is NaN."""
    source, out, room = Guarded(x.size), Guarded(kernel.size_out), Guarded(kernel.room)
    source.values[:] = in_strips(x, shape.lanes).reshape(-1)
    kernel(source.address, out.address, room.address)
    assert source.untouched()
    assert out.untouched()
    assert room.untouched()
    np.testing.assert_array_equal(source.values, in_strips(x, shape.lanes).reshape(-1))
    if shape.pool == WHOLE:
        return out.values.reshape(-1, n_out, shape.lanes).max(axis=(0, 2))
    shrink = 2 if shape.pool == HALVE else 1
    return from_strips(out.values.reshape(n_out, shape.height // shrink, shape.width // shrink, shape.lanes))


def convolved(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, pool: int, relu: bool) -> np.ndarray:
    """What it should be."""
    image, kernels, offsets = (torch.from_numpy(array).double() for array in (x, weights, bias))
    y = functional.conv2d(image[None], kernels, offsets, padding=1)
    if relu:
        y = torch.relu(y)
    if pool == HALVE:
        y = functional.max_pool2d(y, 2)
    if pool == WHOLE:
        y = y.amax(dim=(2, 3))
    return y[0].numpy()


def check_layer(found: np.ndarray, expected: np.ndarray, tolerance: float, what: object) -> None:
    peak = max(float(np.abs(expected).max(initial=0)), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * peak, err_msg=str(what))


def small_net(final_norm: bool, density: float = 0.4, seed: int = 0, n_out: int = 6) -> L3Net:
    """Of a few channels, with batch norms that do something."""
    torch.manual_seed(seed)
    net = L3Net((6, GROUP, 8, 8, GROUP, 8, 12, n_out), final_norm).eval().requires_grad_(False)
    for conv in net.convs:
        assert isinstance(conv, nn.Conv2d)
        mask = torch.rand_like(conv.weight) < density
        conv.weight.copy_(torch.randn_like(conv.weight) * mask * (2 / 9 / density / conv.in_channels) ** 0.5)
        conv.bias.normal_(std=0.1)
    for norm in (net.input_norm, *net.norms):
        assert isinstance(norm, nn.BatchNorm2d)
        norm.weight.uniform_(0.7, 1.3)
        norm.bias.normal_(std=0.1)
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return net


def in_float64(folded: FoldedNet, x: np.ndarray) -> np.ndarray:
    """A folded net in float64, layer by layer."""
    results = []
    for image in x.astype(np.float64):
        y = image[None] * folded.scale + folded.offset
        last = len(folded.weights) - 1
        for i, (weights, bias) in enumerate(zip(folded.weights, folded.biases, strict=True)):
            pool = WHOLE if i == last else HALVE if folded.pooled[i] else KEEP
            y = convolved(y, dense(weights), bias, pool, folded.relus[i])
        results.append(y)
    return np.stack(results)
