"""What compiled kernels do with what is wrong: values that are not finite, arguments, addresses, threads that fail."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest
import torch
from numba import types
from numba.core.errors import TypingError

from hear_edgel3.compiled import primitive, simd
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.engine.kernels import network
from hear_edgel3.engine.kernels.direct import Direct
from hear_edgel3.engine.kernels.network import BatchNet, KernelNet
from hear_edgel3.engine.kernels.settings import Settings
from hear_edgel3.engine.kernels.shape import KEEP, LayerShape
from hear_edgel3.families.kernel_description import FoldedNet
from hear_edgel3.families.l3.net import L3Net

USUAL = Settings.usual()
HEIGHT, WIDTH, STRIPS = 64, 16, 4


def small_net() -> FoldedNet:
    """All weights are not zero; the outputs of four layers are as many as Winograd's algorithm takes."""
    torch.manual_seed(0)
    return L3Net((6, 16, 8, 16, 16, 8, 12, 16), final_norm=True).eval().requires_grad_(False).kernel_layers()


def images(n: int) -> np.ndarray:
    return np.random.RandomState(0).randn(n, HEIGHT, WIDTH).astype(np.float32)


@pytest.mark.parametrize("dense", [0.0, 2.0])
def test_a_weight_that_is_not_a_number_reaches_the_embedding(dense: float) -> None:
    """In whichever layer it is, and by both ways of convolution: ReLU does not make 0 of it."""
    net, settings = small_net(), dataclasses.replace(USUAL, dense=dense)
    for i in range(len(net.weights)):
        weights = [w.copy() for w in net.weights]
        weights[i][0, 0, 1, 1] = np.nan
        found = KernelNet(dataclasses.replace(net, weights=weights), HEIGHT, WIDTH, STRIPS, settings)(images(1), 1)
        last = i == len(net.weights) - 1
        assert np.isnan(found[0]).tolist() == [not last or channel == 0 for channel in range(16)]


def test_a_count_that_is_not_known_is_refused() -> None:
    """numba says what the primitive was given."""

    @part
    def tile(n: int) -> int:
        return simd.rows_of(simd.tile_of(n, 2, simd.zeros(4, 4)))

    with pytest.raises(TypingError, match="tile_of"):
        tile.compile((types.int64,))

    @part
    def scalar(x: float) -> int:
        return simd.lanes_of(x)

    with pytest.raises(TypingError, match="lanes_of"):
        scalar.compile((types.float64,))


@pytest.mark.parametrize("error", [TypeError, AttributeError])
def test_a_bug_in_a_primitive_is_not_hidden(error: type[Exception]) -> None:
    @primitive.primitive
    def broken(vector: simd.Vector):
        raise error("a bug")

    @part
    def call() -> int:
        return broken(simd.zeros(4, 4))

    with pytest.raises((error, TypingError), match="a bug"):
        call.compile(())


def test_tiles_of_float64() -> None:
    """A tile's vectors are of any type: nothing takes them for float32."""

    @kernel
    def double(address: int) -> None:
        tile = simd.load_tile(simd.tile_of(1, 2, simd.double_zeros(4)), address)
        simd.store_tile(simd.tile_plus_tile(tile, tile), address, 0)

    memory = np.empty(16)
    start = -memory.ctypes.data % 64 // 8
    values = memory[start : start + 8]
    values[:] = np.arange(8) + 0.1
    double(values.ctypes.data)
    np.testing.assert_array_equal(values, 2 * (np.arange(8) + 0.1))


def test_memory_that_is_not_aligned_is_noticed() -> None:
    layer = Direct(np.ones((2, 3, 3, 3), np.float32), np.zeros(2, np.float32), LayerShape(4, 2, 4, KEEP, True), 2, 4, 1)
    for addresses in ((68, 128, 192), (64, 132, 192), (64, 128, 196)):
        with pytest.raises(AssertionError, match="aligned"):
            layer(*addresses)


def test_when_several_threads_fail_the_others_are_noted() -> None:
    net = KernelNet(small_net(), HEIGHT, WIDTH, STRIPS, USUAL)
    both = threading.Barrier(2)

    def frontend(samples: np.ndarray) -> np.ndarray:
        both.wait(30)
        raise ValueError(f"window {int(samples[0])}")

    with pytest.raises(ValueError, match="window") as caught:
        net(np.arange(2, dtype=np.float32)[:, None], 2, frontend)
    (note,) = caught.value.__notes__
    assert {str(caught.value), note} in (
        {"window 0", "Another thread failed too: ValueError: window 1"},
        {"window 1", "Another thread failed too: ValueError: window 0"},
    )


def test_two_first_callers_build_one_net(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    class Slow(BatchNet):
        def __init__(self, *arguments: object) -> None:
            built.append(arguments)
            time.sleep(0.1)
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "BatchNet", Slow)
    net = KernelNet(small_net(), HEIGHT, WIDTH, STRIPS, USUAL, lanes=16)
    threads = [threading.Thread(target=net._for_several) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 2  # the one for an image, and one for those that share vectors
