"""Pointwise convolutions by a compiled kernel, in tiles of each shape that some machine takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

pytest.importorskip("numba", reason="the kernels need the extra `fast`")

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.engine.kernels import pointwise
from hear_edgel3.engine.kernels.pointwise import GROUP, HARDSWISH, NONE, RELU, make_pointwise, packed

N_IN, N_OUT = 7, 2 * GROUP
TILES = [(8, 1), (8, 2), (4, 3)]


@cache
def made(lanes: int, _tile: tuple[int, int]) -> Callable[..., None]:
    """The kernel with tiles of so many outputs and columns, whatever this machine would take."""
    return make_pointwise.__wrapped__(lanes)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    array = aligned(int(np.prod(shape))).reshape(shape)
    array[:] = np.random.default_rng(seed).standard_normal(shape)
    return array


def computed(lanes: int, tile: tuple[int, int], columns: int, act: int, added: bool, scaled: bool) -> list[np.ndarray]:
    """What the kernel makes of random numbers, and the same in float64; both (N_OUT, columns, lanes)."""
    x, y = random(N_IN, columns, lanes), random(N_OUT, columns, lanes, seed=1)
    linear, bias = random(N_OUT, N_IN, seed=2), random(N_OUT, seed=3)
    scale, weights = random(N_IN, lanes, seed=4), aligned(N_OUT * N_IN)
    weights[:] = packed(linear).reshape(-1)
    expected = np.einsum("kcl,ok->ocl", x.astype(np.float64) * (scale[:, None] if scaled else 1), linear)
    expected += bias[:, None, None]
    if act == RELU:
        expected = np.maximum(expected, 0)
    elif act == HARDSWISH:
        expected *= np.clip(expected + 3, 0, 6) / 6
    # A column more behind each channel, which nothing may be written to.
    out = aligned(N_OUT * (columns + 1) * lanes).reshape(N_OUT, columns + 1, lanes)
    out[:] = -7
    made(lanes, tile)(
        x.ctypes.data, 4 * columns * lanes, weights.ctypes.data, bias.ctypes.data, out.ctypes.data,
        4 * (columns + 1) * lanes, N_IN, N_OUT, columns, act, y.ctypes.data if added else 0, 4 * columns * lanes,
        scale.ctypes.data if scaled else 0,
    )  # fmt: skip
    assert (out[:, columns] == -7).all()
    return [out[:, :columns], expected + (y if added else 0)]


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("act", [NONE, RELU, HARDSWISH])
@pytest.mark.parametrize(("added", "scaled"), [(False, False), (True, False), (False, True), (True, True)])
def test_products(
    monkeypatch: pytest.MonkeyPatch,
    tile: tuple[int, int],
    lanes: int,
    columns: int,
    act: int,
    added: bool,
    scaled: bool,
) -> None:
    monkeypatch.setattr(pointwise, "tile_shape", lambda: tile)
    found, expected = computed(lanes, tile, columns, act, added, scaled)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("columns", [1, 4, 5])
def test_all_tiles_have_the_same_bits(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """What is computed on one machine is what another one computes."""
    found = []
    for tile in TILES:
        monkeypatch.setattr(pointwise, "tile_shape", lambda tile=tile: tile)
        found.append(computed(8, tile, columns, HARDSWISH, True, True)[0].tobytes())
    assert len(set(found)) == 1
