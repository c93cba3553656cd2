"""The compiled kernels of the numba engine, each against torch's convolution in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.engine.kernels.direct import Direct, Nonzeros
from hear_edgel3.engine.kernels.first_layer import FirstLayer
from hear_edgel3.engine.kernels.network import KernelNet, best_strips, most_strips
from hear_edgel3.engine.kernels.settings import Settings
from hear_edgel3.engine.kernels.shape import HALVE, KEEP, WHOLE, LayerShape
from hear_edgel3.engine.kernels.winograd import GROUP, Winograd, tile_for
from hear_edgel3.engine.kernels.winograd_maths import transformed
from hear_edgel3.families.kernel_description import FoldedNet
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


def run(kernel: Kernel, x: np.ndarray, n_out: int, shape: LayerShape) -> np.ndarray:
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


def check(found: np.ndarray, expected: np.ndarray, tolerance: float, what: object) -> None:
    peak = max(float(np.abs(expected).max(initial=0)), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * peak, err_msg=str(what))


# --- one layer ---


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("lanes", LANES)
def test_direct(lanes: int, pool: int, relu: bool) -> None:
    """Maps narrower than a tile, as wide as some, and not quite; strips of one tile and of several."""
    rs = np.random.RandomState(1)
    n_in, n_out = 7, 6
    bias = rs.randn(n_out).astype(np.float32)
    cases = [(2, 2, 0.3, 7), (3, 4, 0.1, 3), (4, 2, 1.0, 2), (5, 6, 0.3, 8), (8, 2, 0.3, 3), (11, 4, 0.05, 1)]
    for width, height, density, block in cases:
        shape = LayerShape(lanes, height, width, pool, relu)
        weights = random_weights(n_out, n_in, density, seed=width)
        x = rs.randn(n_in, height * lanes, width).astype(np.float32)
        found = run(Direct(weights, bias, shape, 2, 4, block), x, n_out, shape)
        check(found, convolved(x, weights, bias, pool, relu), DIRECT_TOLERANCE, (width, height, density, block))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("columns", USUAL.columns)
def test_direct_with_the_tiles_of_nets(columns: int, pool: int) -> None:
    rs = np.random.RandomState(2)
    for width in (columns - 1, columns, 2 * columns + 3):
        shape = LayerShape(16, 4, width, pool, relu=True)
        weights, bias = random_weights(5, 20, 0.2), rs.randn(5).astype(np.float32)
        x = rs.randn(20, 64, width).astype(np.float32)
        found = run(Direct(weights, bias, shape, 2, columns, 8), x, 5, shape)
        check(found, convolved(x, weights, bias, pool, relu=True), DIRECT_TOLERANCE, width)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("block", [1, 3, 4, 100])
def test_a_layer_without_weights(block: int, pool: int) -> None:
    """Its bias is everywhere."""
    bias = np.array([1.5, -2.0, 0.0], np.float32)
    shape = LayerShape(4, 2, 5, pool, relu=False)
    x = np.ones((4, 8, 5), np.float32)
    found = run(Direct(np.zeros((3, 4, 3, 3), np.float32), bias, shape, 2, 4, block), x, 3, shape)
    np.testing.assert_array_equal(found, np.broadcast_to(bias.reshape(3, *[1] * (found.ndim - 1)), found.shape))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("rows", "columns", "lanes"), WINOGRAD)
def test_winograd(rows: int, columns: int, lanes: int, pool: int) -> None:
    rs = np.random.RandomState(3)
    n_in, n_out = 5, 2 * GROUP
    bias = rs.randn(n_out).astype(np.float32)
    # the last ones have tiles with nothing missing around them, which take another way
    cases = [(2, 1, 1.0, True), (3, 1, 0.5, False), (4, 2, 0.1, True), (7, 1, 1.0, False)]
    cases += [(8, 3, 1.0, True), (9, 3, 1.0, False), (13, 3, 0.6, True)]
    for width, tiles_high, density, relu in cases:
        height = rows * tiles_high
        shape = LayerShape(lanes, height, width, pool, relu)
        weights = random_weights(n_out, n_in, density, seed=width)
        x = rs.randn(n_in, height * lanes, width).astype(np.float32)
        found = run(Winograd(weights, bias, shape, rows, columns, *AT_ONCE), x, n_out, shape)
        check(found, convolved(x, weights, bias, pool, relu), WINOGRAD_TOLERANCE, (width, height, density, relu))


@pytest.mark.parametrize("at_once", [(16, 1), (4, 3)])
@pytest.mark.parametrize("n_in", [127, 128, 129, 300])
def test_winograd_of_many_inputs(n_in: int, at_once: tuple[int, int]) -> None:
    """They are summed up in runs; as many at once as may be, the bits are the same."""
    rs = np.random.RandomState(7)
    shape = LayerShape(4, 4, 7, KEEP, relu=True)
    weights, bias = random_weights(GROUP, n_in, 1.0), rs.randn(GROUP).astype(np.float32)
    x = rs.randn(n_in, 16, 7).astype(np.float32)
    found = run(Winograd(weights, bias, shape, 4, 6, *at_once), x, GROUP, shape)
    check(found, convolved(x, weights, bias, KEEP, relu=True), WINOGRAD_TOLERANCE, n_in)
    np.testing.assert_array_equal(run(Winograd(weights, bias, shape, 4, 6, *AT_ONCE), x, GROUP, shape), found)


def test_tiles_suit_maps() -> None:
    """Of 6 columns where that is worth it: in wide maps, or for much fewer products."""
    for width, height, pool, expected in [
        (199, 32, HALVE, (4, 6)),
        (49, 8, KEEP, (4, 4)),
        (48, 8, HALVE, (4, 6)),
        (24, 4, KEEP, (4, 4)),
        (6, 2, WHOLE, (2, 6)),
        (6, 4, WHOLE, (4, 6)),
        (4, 2, KEEP, (2, 4)),
    ]:
        assert tile_for(LayerShape(4, height, width, pool, relu=True)) == expected


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (4, 6), (2, 4), (2, 6)])
def test_winograd_of_no_weights(rows: int, columns: int) -> None:
    bias = np.arange(GROUP, dtype=np.float32) - 3
    shape = LayerShape(4, rows, 5, KEEP, relu=False)
    x = np.ones((2, 4 * rows, 5), np.float32)
    weights = np.zeros((GROUP, 2, 3, 3), np.float32)
    found = run(Winograd(weights, bias, shape, rows, columns, *AT_ONCE), x, GROUP, shape)
    np.testing.assert_array_equal(found, np.broadcast_to(bias[:, None, None], found.shape))


@pytest.mark.parametrize("rows", [4, 2])
@pytest.mark.parametrize("columns", [6, 4])
def test_transformed_weights(rows: int, columns: int) -> None:
    """By the definition: a tile of 3 by 3 weights at each of the positions, and every weight at its own."""
    weights = random_weights(2 * GROUP, 3, 1.0)
    found = transformed(weights, rows, columns, GROUP, 8)
    assert found.shape == (2, (rows + 2) * (columns + 2), 2, 3, 8)
    # The last position has the last weight alone, the first one that at 0 of both polynomials (or of one).
    np.testing.assert_array_equal(found[:, -1].transpose(0, 1, 3, 2).reshape(2 * GROUP, 3), weights[:, :, 2, 2])
    at_zero = {2: -1, 4: 256 / 225, 6: -1}
    first = weights[:, :, 0, 0] * at_zero[rows] * at_zero[columns]
    np.testing.assert_allclose(found[:, 0].transpose(0, 1, 3, 2).reshape(2 * GROUP, 3), first, rtol=1e-6)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("lanes", LANES)
def test_first_two_layers_in_one(lanes: int, pool: int, relu: bool) -> None:
    """Two layers at once are the two, one after the other: also where the first one would put out its bias."""
    rs = np.random.RandomState(4)
    n_in, n_out = 7, 5
    first, first_bias = random_weights(n_in, 1, 1.0), 1 + rs.rand(n_in).astype(np.float32)
    bias = rs.randn(n_out).astype(np.float32)
    rows, columns = 4, 6
    cases = [(2, 1, 0.3, 7), (5, 2, 0.1, 3), (6, 1, 1.0, 8), (13, 3, 0.3, 2), (19, 1, 0.2, 16)]
    for width, tiles_high, density, block in cases:
        height = rows * tiles_high
        shape = LayerShape(lanes, height, width, pool, relu)
        weights = random_weights(n_out, n_in, density, seed=width)
        x = rs.randn(1, height * lanes, width).astype(np.float32)
        both = Direct(weights, bias, shape, rows, columns, block, FirstLayer.of(first, first_bias))
        found = run(both, x, n_out, shape)
        between = convolved(x, first, first_bias, KEEP, relu=True)
        expected = convolved(between, weights, bias, pool, relu)
        check(found, expected, DIRECT_TOLERANCE, (width, height, density, block))


def test_first_two_layers_in_one_with_low_strips() -> None:
    """Tiles of two rows, for strips that no tile of four fits."""
    rs = np.random.RandomState(5)
    columns = USUAL.columns[0]
    shape = LayerShape(4, 2, 15, HALVE, relu=True)
    first, weights = random_weights(4, 1, 0.5), random_weights(6, 4, 0.2)
    biases = rs.randn(4).astype(np.float32), rs.randn(6).astype(np.float32)
    x = rs.randn(1, 8, 15).astype(np.float32)
    found = run(Direct(weights, biases[1], shape, 2, columns, 16, FirstLayer.of(first, biases[0])), x, 6, shape)
    expected = convolved(convolved(x, first, biases[0], KEEP, relu=True), weights, biases[1], HALVE, relu=True)
    check(found, expected, DIRECT_TOLERANCE, "2 rows")


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("rows", "columns", "lanes"), WINOGRAD)
def test_first_two_layers_in_one_by_winograd(rows: int, columns: int, lanes: int, pool: int) -> None:
    rs = np.random.RandomState(6)
    n_in, n_out = 5, 2 * GROUP
    first, first_bias = random_weights(n_in, 1, 1.0), 1 + rs.rand(n_in).astype(np.float32)
    bias = rs.randn(n_out).astype(np.float32)
    for width, tiles_high, density, relu in [
        (2, 1, 1.0, True),
        (5, 2, 0.5, False),
        (8, 3, 1.0, True),
        (13, 3, 1.0, False),
    ]:
        height = rows * tiles_high
        shape = LayerShape(lanes, height, width, pool, relu)
        weights = random_weights(n_out, n_in, density, seed=width)
        x = rs.randn(1, height * lanes, width).astype(np.float32)
        found = run(
            Winograd(weights, bias, shape, rows, columns, *AT_ONCE, FirstLayer.of(first, first_bias)), x, n_out, shape
        )
        expected = convolved(convolved(x, first, first_bias, KEEP, relu=True), weights, bias, pool, relu)
        check(found, expected, WINOGRAD_TOLERANCE, (width, height, density, relu))


# --- what kernels are given ---


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("block", [1, 4, 5, 10, 64])
@pytest.mark.parametrize("density", [0.0, 0.03, 0.5, 1.0])
def test_nonzeros_are_the_weights(density: float, block: int, lanes: int) -> None:
    n_out, n_in, pitch, patch = 6, 10, 7, 4 * 7
    weights = random_weights(n_out, n_in, density)
    kept = Nonzeros.of(weights, block, pitch, patch, lanes)
    n_blocks = -(-n_in // block)
    assert kept.offsets.dtype == np.int32
    assert kept.values.dtype == np.float32
    assert len(kept.outputs) == len(kept.starts) - 1 == n_blocks * n_out
    assert kept.starts[0] == 0
    assert kept.starts[-1] == len(kept.values) == len(kept.offsets) == np.count_nonzero(weights)
    counts = np.diff(kept.starts).reshape(n_blocks, n_out)
    assert (np.diff(counts, axis=1) >= 0).all()  # so that the processor foresees the ends of the loops
    rebuilt = np.zeros_like(weights)
    for j, o in enumerate(kept.outputs):
        for k in range(kept.starts[j], kept.starts[j + 1]):
            vectors, rest = divmod(int(kept.offsets[k]), 4 * lanes)
            channel, position = divmod(vectors, patch)
            assert rest == 0
            assert channel < block
            rebuilt[o, j // n_out * block + channel, position // pitch, position % pitch] += kept.values[k]
    np.testing.assert_array_equal(rebuilt, weights)
    for b in range(n_blocks):
        assert sorted(kept.outputs[b * n_out : (b + 1) * n_out]) == list(range(n_out))


@pytest.mark.parametrize(
    ("height", "lanes", "strips"),
    [
        *[(256, 16, 16), (256, 8, 8), (256, 4, 4), (128, 16, 8), (64, 16, 4), (192, 16, 4), (512, 16, 16)],
        *[(40, 16, None), (32, 16, None), (100, 16, None), (63, 8, None)],
    ],
)
def test_most_strips(height: int, lanes: int, strips: int | None) -> None:
    assert most_strips(height, 3, lanes) == strips


def test_most_strips_without_pooling() -> None:
    assert most_strips(32, 0, 16) == 16
    assert most_strips(8, 0, 16) == 4
    assert most_strips(4, 0, 16) is None


def test_layer_shapes() -> None:
    keep, halve, whole = (LayerShape(8, 4, 7, pool, relu=True) for pool in POOLS)
    assert (keep.width_out, halve.width_out, whole.width_out) == (7, 6, 7)
    assert (keep.tiles(2, 4), halve.tiles(2, 4), whole.tiles(2, 3)) == (4, 4, 6)
    assert keep.size_out(3, keep.tiles(2, 4)) == 3 * 4 * 7 * 8
    assert halve.size_out(3, halve.tiles(2, 4)) == 3 * 2 * 3 * 8
    assert whole.size_out(3, 6) == 6 * 3 * 8


# --- small nets ---


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
            y = convolved(y, weights, bias, pool, folded.relus[i])
        results.append(y)
    return np.stack(results)


@pytest.mark.parametrize("final_norm", [True, False])
def test_kernel_layers_are_the_folded_net(final_norm: bool) -> None:
    net = small_net(final_norm)
    layers, folded = net.kernel_layers(), net.folded()
    assert (layers.scale, layers.offset) == (float(folded.scale), float(folded.offset))
    for weights, bias, conv in zip(layers.weights, layers.biases, folded.convs, strict=True):
        assert weights.flags.c_contiguous
        np.testing.assert_array_equal(weights, conv.weight.numpy())
        np.testing.assert_array_equal(bias, conv.bias.numpy())
    assert list(layers.pooled) == [False, True] * 3 + [False] * 2
    assert list(layers.relus) == [True] * 7 + [final_norm]
    x = np.random.RandomState(0).randn(2, 16, 11).astype(np.float32)
    expected = folded.double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(in_float64(layers, x), expected, rtol=0, atol=1e-12)
    net.convs[0].weight.zero_()  # a copy: the net may change meanwhile
    assert np.count_nonzero(layers.weights[0])


@pytest.fixture(scope="module")
def images() -> Callable[[int, int, int], np.ndarray]:
    return lambda n, height, width: np.random.RandomState(7).randn(n, height, width).astype(np.float32)


@pytest.fixture
def nets() -> dict[bool, FoldedNet]:
    return {final_norm: small_net(final_norm).kernel_layers() for final_norm in (True, False)}


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("width", [8, 15, 31])
def test_a_small_net(width: int, lanes: int, images, nets: dict[bool, FoldedNet]) -> None:
    """With every kind of layer that its densities could ask for; the narrowest map has one column in the end."""
    height = 16 * lanes
    x = images(2, height, width)
    for final_norm, folded in nets.items():
        for settings in (USUAL, dataclasses.replace(USUAL, dense=0.0), dataclasses.replace(USUAL, dense=1.0)):
            net = KernelNet(folded, height, width, lanes, settings)
            found = net(x, 1)
            assert found.dtype == np.float32
            expected = in_float64(folded, x)
            check(found, expected, NET_TOLERANCE, (final_norm, settings, net.kinds))
            np.testing.assert_array_equal(net(x[:, :, ::-1][:, :, ::-1], 2), found)  # threads, and memory that is kept


def test_kinds_follow_density() -> None:
    """Winograd for dense layers of as many outputs as it takes; the first two layers are always one."""
    sparse = small_net(final_norm=True, density=0.05).kernel_layers()
    dense = small_net(final_norm=True, density=1.0, n_out=GROUP).kernel_layers()
    assert KernelNet(sparse, 64, 16, 4, USUAL).kinds == ["direct"] * 7
    kinds = KernelNet(dense, 64, 16, 4, USUAL).kinds
    assert kinds == ["winograd", "direct", "direct", "winograd", "direct", "direct", "winograd"]


def test_no_images(nets: dict[bool, FoldedNet], images) -> None:
    net = KernelNet(nets[True], 64, 16, 4, USUAL)
    assert net(images(0, 64, 16), 4).shape == (0, 6)


def test_errors_reach_the_caller(nets: dict[bool, FoldedNet], images) -> None:
    """From whichever thread; and the next call works."""
    net = KernelNet(nets[True], 64, 16, 4, USUAL)
    with pytest.raises(ValueError, match="reshape"):
        net(images(3, 64, 15), 2)
    check(net(images(3, 64, 16), 2), in_float64(nets[True], images(3, 64, 16)), NET_TOLERANCE, "after")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 13])
def test_threads_give_the_same_bits(n: int, nets: dict[bool, FoldedNet], images) -> None:
    net = KernelNet(nets[False], 64, 24, 4, USUAL)
    x = images(n, 64, 24)
    alone = np.concatenate([net(one[None], 1) for one in x])
    for threads in range(1, 9):
        np.testing.assert_array_equal(net(x, threads), alone)


@pytest.mark.parametrize(("strips", "lanes"), [(4, 8), (4, 16), (8, 16)])
@pytest.mark.parametrize("dense", [0.0, 1.0])
def test_images_that_share_vectors(strips: int, lanes: int, dense: float, nets: dict[bool, FoldedNet], images) -> None:
    """Rows of one image do not reach into the next; how many share changes no bit, however many images there are."""
    settings = dataclasses.replace(USUAL, dense=dense)
    height = strips << 4
    alone = KernelNet(nets[True], height, 22, strips, settings)
    shared = KernelNet(nets[True], height, 22, strips, settings, lanes)
    x = images(9, height, 22)
    expected = alone(x, 1)
    check(expected, in_float64(nets[True], x), NET_TOLERANCE, "alone")
    for n in range(10):
        for threads in (1, 3):
            np.testing.assert_array_equal(shared(x[:n], threads), expected[:n])
    for one, other in zip(shared._for_one._layers, shared._for_several()._layers, strict=True):
        assert not isinstance(one, Winograd) or (
            isinstance(other, Winograd) and other.kernel_weights is one.kernel_weights
        )


def test_how_images_are_shared_out(nets: dict[bool, FoldedNet]) -> None:
    """All of a vector's room is used where there are enough for all threads; half of it is the least that pays."""
    net = KernelNet(nets[True], 64, 16, 4, USUAL, 16)
    assert net._shares(12, 1) == [(0, 4), (4, 4), (8, 4)]
    assert net._shares(7, 1) == [(0, 4), (4, 3)]
    assert net._shares(6, 2) == [(0, 4), (4, 1), (5, 1)]
    assert net._shares(2, 1) == [(0, 1), (1, 1)]
    assert net._shares(4, 4) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert net._shares(0, 1) == []


@pytest.mark.parametrize(
    ("density", "height", "lanes", "strips"),
    [
        (1.0, 256, 16, 8),
        (0.05, 256, 16, 16),
        (1.0, 512, 16, 16),
        (1.0, 128, 16, 8),
        (1.0, 64, 16, 4),
        (1.0, 40, 16, None),
    ],
)
def test_best_strips(density: float, height: int, lanes: int, strips: int | None) -> None:
    """Half as many where dense layers would else have 2 rows to a strip, if there are enough of them."""
    folded = small_net(final_norm=True, density=density, n_out=GROUP).kernel_layers()
    dense_last = dataclasses.replace(folded, weights=[np.repeat(w, GROUP, 0)[: GROUP * 2] for w in folded.weights])
    assert best_strips(dense_last, height, lanes, USUAL) == strips
