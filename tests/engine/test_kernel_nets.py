"""What the compiled kernels are given: weights, lanes and places; and small nets of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hear_edgel3.engine.kernels.direct import Nonzeros
from hear_edgel3.engine.kernels.network import LanesNet, Plain, lanes_for, strips_for
from hear_edgel3.engine.kernels.shape import Place
from hear_edgel3.engine.kernels.winograd import GROUP, Winograd
from support.kernels import LANES, NET_TOLERANCE, POOLS, USUAL, check_layer, random_weights, small_net, through_plain


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
            channel, place = divmod(vectors, patch)
            assert rest == 0
            assert channel < block
            rebuilt[o, j // n_out * block + channel, place // pitch, place % pitch] += kept.values[k]
    np.testing.assert_array_equal(rebuilt, weights)
    for b in range(n_blocks):
        assert sorted(kept.outputs[b * n_out : (b + 1) * n_out]) == list(range(n_out))


@pytest.mark.parametrize(
    ("height", "most", "lanes"),
    [
        *[(256, 16, 16), (256, 8, 8), (256, 4, 4), (128, 16, 8), (64, 16, 4), (192, 16, 4), (512, 16, 16)],
        *[(40, 16, None), (32, 16, None), (100, 16, None), (63, 8, None)],
    ],
)
def test_lanes(height: int, most: int, lanes: int | None) -> None:
    assert lanes_for(height, 3, most) == lanes


def test_lanes_without_pooling() -> None:
    assert lanes_for(32, 0, 16) == 16
    assert lanes_for(8, 0, 16) == 4
    assert lanes_for(4, 0, 16) is None


def test_places() -> None:
    keep, halve, whole = (Place(8, 4, 7, pool, relu=True) for pool in POOLS)
    assert (keep.width_out, halve.width_out, whole.width_out) == (7, 6, 7)
    assert (keep.tiles(2, 4), halve.tiles(2, 4), whole.tiles(2, 3)) == (4, 4, 6)
    assert keep.size_out(3, keep.tiles(2, 4)) == 3 * 4 * 7 * 8
    assert halve.size_out(3, halve.tiles(2, 4)) == 3 * 2 * 3 * 8
    assert whole.size_out(3, 6) == 6 * 3 * 8


@pytest.mark.parametrize("final_norm", [True, False])
def test_plain_is_the_folded_net(final_norm: bool) -> None:
    net = small_net(final_norm)
    plain, folded = Plain.of(net), net.folded()
    assert (plain.scale, plain.offset) == (float(folded.scale), float(folded.offset))
    for weights, bias, conv in zip(plain.weights, plain.biases, folded.convs, strict=True):
        assert weights.flags.c_contiguous
        np.testing.assert_array_equal(weights, conv.weight.numpy())
        np.testing.assert_array_equal(bias, conv.bias.numpy())
    assert list(plain.pooled) == [False, True] * 3 + [False] * 2
    assert list(plain.relus) == [True] * 7 + [final_norm]
    x = np.random.RandomState(0).randn(2, 16, 11).astype(np.float32)
    expected = folded.double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(through_plain(plain, x), expected, rtol=0, atol=1e-12)
    net.convs[0].weight.zero_()  # a copy: the net may change meanwhile
    assert np.count_nonzero(plain.weights[0])


@pytest.fixture(scope="module")
def images() -> Callable[[int, int, int], np.ndarray]:
    return lambda n, height, width: np.random.RandomState(7).randn(n, height, width).astype(np.float32)


@pytest.fixture
def nets() -> dict[bool, Plain]:
    return {final_norm: Plain.of(small_net(final_norm)) for final_norm in (True, False)}


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("width", [8, 15, 31])
def test_a_small_net(width: int, lanes: int, images, nets: dict[bool, Plain]) -> None:
    """With every kind of layer that its densities could ask for; the narrowest map has one column in the end."""
    height = 16 * lanes
    x = images(2, height, width)
    for final_norm, plain in nets.items():
        for settings in (USUAL, dataclasses.replace(USUAL, dense=0.0), dataclasses.replace(USUAL, dense=1.0)):
            net = LanesNet(plain, height, width, lanes, settings)
            found = net(x, 1)
            assert found.dtype == np.float32
            expected = through_plain(plain, x)
            check_layer(found, expected, NET_TOLERANCE, (final_norm, settings, net.kinds))
            np.testing.assert_array_equal(net(x[:, :, ::-1][:, :, ::-1], 2), found)  # threads, and memory that is kept


def test_kinds_follow_density() -> None:
    """Winograd for dense layers of as many outputs as it takes; the first two layers are always one."""
    sparse = Plain.of(small_net(final_norm=True, density=0.05))
    dense = Plain.of(small_net(final_norm=True, density=1.0, n_out=GROUP))
    assert LanesNet(sparse, 64, 16, 4, USUAL).kinds == ["direct"] * 7
    kinds = LanesNet(dense, 64, 16, 4, USUAL).kinds
    assert kinds == ["winograd", "direct", "direct", "winograd", "direct", "direct", "winograd"]


def test_no_images(nets: dict[bool, Plain], images) -> None:
    net = LanesNet(nets[True], 64, 16, 4, USUAL)
    assert net(images(0, 64, 16), 4).shape == (0, 6)


def test_errors_reach_the_caller(nets: dict[bool, Plain], images) -> None:
    """From whichever thread; and the next call works."""
    net = LanesNet(nets[True], 64, 16, 4, USUAL)
    with pytest.raises(ValueError, match="reshape"):
        net(images(3, 64, 15), 2)
    check_layer(net(images(3, 64, 16), 2), through_plain(nets[True], images(3, 64, 16)), NET_TOLERANCE, "after")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 13])
def test_threads_give_the_same_bits(n: int, nets: dict[bool, Plain], images) -> None:
    net = LanesNet(nets[False], 64, 24, 4, USUAL)
    x = images(n, 64, 24)
    alone = np.concatenate([net(one[None], 1) for one in x])
    for threads in range(1, 9):
        np.testing.assert_array_equal(net(x, threads), alone)


@pytest.mark.parametrize(("strips", "lanes"), [(4, 8), (4, 16), (8, 16)])
@pytest.mark.parametrize("dense", [0.0, 1.0])
def test_images_that_share_vectors(strips: int, lanes: int, dense: float, nets: dict[bool, Plain], images) -> None:
    """Rows of one image do not reach into the next; how many share changes no bit, however many images there are."""
    settings = dataclasses.replace(USUAL, dense=dense)
    height = strips << 4
    alone = LanesNet(nets[True], height, 22, strips, settings)
    shared = LanesNet(nets[True], height, 22, strips, settings, lanes)
    x = images(9, height, 22)
    expected = alone(x, 1)
    check_layer(expected, through_plain(nets[True], x), NET_TOLERANCE, "alone")
    for n in range(10):
        for threads in (1, 3):
            np.testing.assert_array_equal(shared(x[:n], threads), expected[:n])
    for one, other in zip(shared._alone._layers, shared._several()._layers, strict=True):
        assert not isinstance(one, Winograd) or (isinstance(other, Winograd) and other.kept is one.kept)


def test_how_images_are_shared_out(nets: dict[bool, Plain]) -> None:
    """All of a vector's room is used where there are enough for all threads; half of it is the least that pays."""
    net = LanesNet(nets[True], 64, 16, 4, USUAL, 16)
    assert net._shares(12, 1) == [(0, 4), (4, 4), (8, 4)]
    assert net._shares(7, 1) == [(0, 4), (4, 3)]
    assert net._shares(6, 2) == [(0, 4), (4, 1), (5, 1)]
    assert net._shares(2, 1) == [(0, 1), (1, 1)]
    assert net._shares(4, 4) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert net._shares(0, 1) == []


@pytest.mark.parametrize(
    ("density", "height", "most", "strips"),
    [
        (1.0, 256, 16, 8),
        (0.05, 256, 16, 16),
        (1.0, 512, 16, 16),
        (1.0, 128, 16, 8),
        (1.0, 64, 16, 4),
        (1.0, 40, 16, None),
    ],
)
def test_strips(density: float, height: int, most: int, strips: int | None) -> None:
    """Half as many where dense layers would else have 2 rows to a strip, if there are enough of them."""
    plain = Plain.of(small_net(final_norm=True, density=density, n_out=GROUP))
    dense_last = dataclasses.replace(plain, weights=[np.repeat(w, GROUP, 0)[: GROUP * 2] for w in plain.weights])
    assert strips_for(dense_last, height, most, USUAL) == strips
