"""What the compiled kernels are given: weights, strips and shapes; and small nets of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hear_edgel3.engine.kernels.direct import Nonzeros
from hear_edgel3.engine.kernels.network import KernelNet, best_strips, most_strips
from hear_edgel3.engine.kernels.shape import LayerShape
from hear_edgel3.engine.kernels.winograd import GROUP, Winograd
from hear_edgel3.families.kernel_description import FoldedNet, SparseWeights, dense, density
from support.kernels import LANES, NET_TOLERANCE, POOLS, USUAL, check_layer, in_float64, random_weights, small_net


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


@pytest.mark.parametrize("final_norm", [True, False])
def test_kernel_layers_are_the_folded_net(final_norm: bool) -> None:
    net = small_net(final_norm)
    layers, folded = net.kernel_layers(), net.folded()
    assert (layers.scale, layers.offset) == (float(folded.scale), float(folded.offset))
    for weights, bias, conv in zip(layers.weights, layers.biases, folded.convs, strict=True):
        assert dense(weights).flags.c_contiguous
        np.testing.assert_array_equal(dense(weights), conv.weight.numpy())
        np.testing.assert_array_equal(bias, conv.bias.numpy())
    assert list(layers.pooled) == [False, True] * 3 + [False] * 2
    assert list(layers.relus) == [True] * 7 + [final_norm]
    x = np.random.RandomState(0).randn(2, 16, 11).astype(np.float32)
    expected = folded.double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(in_float64(layers, x), expected, rtol=0, atol=1e-12)
    net.convs[0].weight.zero_()  # a copy: the net may change meanwhile
    assert np.count_nonzero(dense(layers.weights[0]))


@pytest.mark.parametrize("final_norm", [True, False])
def test_of_pruned_layers_only_what_is_left_is_folded(final_norm: bool) -> None:
    net = small_net(final_norm, density=0.1)
    layers, folded = net.kernel_layers(), net.folded()
    for weights, bias, conv in zip(layers.weights, layers.biases, folded.convs, strict=True):
        assert isinstance(weights, SparseWeights)
        np.testing.assert_array_equal(weights.dense(), conv.weight.numpy())
        np.testing.assert_array_equal(bias, conv.bias.numpy())
        assert density(weights) == np.count_nonzero(conv.weight.numpy()) / weights.size
    # A channel that batch norm switches off has nothing left, and negative zeros are zeros.
    net.norms[2].weight[0] = 0
    net.convs[3].weight[1] = -0.0
    layers = net.kernel_layers()
    assert not np.any(dense(layers.weights[2])[0])
    assert density(layers.weights[2]) == density(dense(layers.weights[2]))
    assert density(layers.weights[3]) == density(dense(layers.weights[3]))


@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("block", [1, 3, 7])
def test_the_order_of_nonzeros(part: float, block: int) -> None:
    """By blocks, by how many weights an output has, by outputs, by places: of arrays and of what is left of them."""
    rs = np.random.RandomState(int(100 * part) + block)
    weights = (rs.randn(9, 7, 3, 3) * (rs.rand(9, 7, 3, 3) < part)).astype(np.float32)
    found = Nonzeros.of(SparseWeights.of(weights), block, 5, 20, 4)
    for some, other in zip(found, Nonzeros.of(weights, block, 5, 20, 4), strict=True):
        np.testing.assert_array_equal(some, other)
    values, offsets, outputs, starts = [], [], [], [0]
    for first in range(0, 7, block):
        these = weights[:, first : first + block]
        for o in sorted(range(9), key=lambda o, these=these: np.count_nonzero(these[o])):
            outputs.append(o)
            for i, y, x in np.argwhere(these[o]):
                values.append(these[o, i, y, x])
                offsets.append((i * 20 + y * 5 + x) * 16)
            starts.append(len(values))
    for some, expected in ((found.values, values), (found.offsets, offsets), (found.outputs, outputs)):
        assert some.tolist() == expected
    assert found.starts.tolist() == starts
    assert {str(some.dtype) for some in found[1:]} == {"int32", "float32"}


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
            check_layer(found, expected, NET_TOLERANCE, (final_norm, settings, net.kinds))
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
    check_layer(net(images(3, 64, 16), 2), in_float64(nets[True], images(3, 64, 16)), NET_TOLERANCE, "after")


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
    check_layer(expected, in_float64(nets[True], x), NET_TOLERANCE, "alone")
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
    dense_last = dataclasses.replace(
        folded, weights=[np.repeat(dense(w), GROUP, 0)[: GROUP * 2] for w in folded.weights]
    )
    assert best_strips(dense_last, height, lanes, USUAL) == strips
