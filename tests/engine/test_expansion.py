"""The expansion of rows by a compiled kernel: products, masks, and what neighbouring strips see of each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

pytest.importorskip("numba", reason="the kernels need the extra `fast`")

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.engine.kernels import expansion
from hear_edgel3.engine.kernels.expansion import make_expansion
from hear_edgel3.engine.kernels.pointwise import GROUP, NONE, RELU

N_IN, ROWS = 5, 3
UNTOUCHED = np.float32(-7.0)


@cache
def made(lanes: int, _tile: tuple[int, int]) -> Callable[..., None]:
    """The kernel with tiles of so many outputs and columns, whatever this machine would take."""
    return make_expansion.__wrapped__(lanes)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    array = aligned(int(np.prod(shape))).reshape(shape)
    array[:] = np.random.default_rng(seed).standard_normal(shape)
    return array


def expected(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray, halo: int, mask: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """(GROUP, rows, halo + width + halo, lanes), in float64."""
    y = np.einsum("krcl,kg->grcl", x.astype(np.float64), weights) + bias[:, None, None, None]
    y = np.maximum(y, 0) * (mask != 0)
    width = y.shape[2]
    # Lane by lane, what the strip before has at its end, and the one behind at its beginning.
    before = np.roll(y[:, :, width - halo :], 1, axis=3) * edges[0]
    behind = np.roll(y[:, :, :halo], -1, axis=3) * edges[1]
    return np.concatenate([before, y, behind], axis=2)


@pytest.mark.parametrize("tile", [(8, 1), (8, 2), (4, 3)])
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("strips", [2, 4])
@pytest.mark.parametrize(
    ("width", "halo"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 2), (5, 2), (7, 3), (8, 0), (8, 2)]
)
@pytest.mark.parametrize("first_masked", [0, 2, 8])
def test_rows_with_halos(
    monkeypatch: pytest.MonkeyPatch,
    tile: tuple[int, int],
    lanes: int,
    strips: int,
    width: int,
    halo: int,
    first_masked: int,
) -> None:
    monkeypatch.setattr(expansion, "tile_shape", lambda: tile)
    x, weights, bias = random(N_IN, ROWS, width, lanes), random(N_IN, GROUP, seed=1), random(GROUP, seed=2)
    first_masked = min(first_masked, width)
    mask = aligned(width * lanes).reshape(width, lanes)
    mask[:] = 1
    mask[first_masked:, strips - 1 :: strips] = 0
    edges = aligned(2 * lanes).reshape(2, lanes)
    strip = np.arange(lanes) % strips
    edges[:] = strip > 0, strip < strips - 1
    wide = width + 2 * halo
    # A vector more behind each channel, which nothing may be written to.
    channel = (ROWS * wide + 1) * lanes
    out = aligned(GROUP * channel).reshape(GROUP, channel)
    out[:] = UNTOUCHED
    made(lanes, tile)(
        x.ctypes.data, 4 * ROWS * width * lanes, weights.ctypes.data, bias.ctypes.data,
        out.ctypes.data + 4 * halo * lanes, 4 * channel, 4 * wide * lanes, N_IN, ROWS, width, halo, RELU, first_masked,
        width, mask.ctypes.data, edges.ctypes.data,
    )  # fmt: skip
    found = out[:, : ROWS * wide * lanes].reshape(GROUP, ROWS, wide, lanes)
    np.testing.assert_allclose(found, expected(x, weights, bias, halo, mask, edges), rtol=0, atol=3e-6)
    assert (out[:, ROWS * wide * lanes :] == UNTOUCHED).all()


def test_what_is_masked_may_be_anything() -> None:
    """What a net makes of the zeros behind an image's end is nobody's, and may be infinite."""
    lanes, width = 4, 2
    x, weights, bias = random(N_IN, 1, width, lanes), random(N_IN, GROUP, seed=1), random(GROUP, seed=2)
    x[:, :, 1, 3] = np.inf
    mask = aligned(width * lanes).reshape(width, lanes)
    mask[:] = 1
    mask[1, 3] = 0
    edges = aligned(2 * lanes)
    edges[:] = 1
    out = aligned(GROUP * 4 * lanes).reshape(GROUP, 4, lanes)
    make_expansion(lanes)(
        x.ctypes.data, 4 * width * lanes, weights.ctypes.data, bias.ctypes.data, out.ctypes.data + 4 * lanes,
        16 * lanes, 16 * lanes, N_IN, 1, width, 1, NONE, 1, width, mask.ctypes.data, edges.ctypes.data,
    )  # fmt: skip
    assert np.isfinite(out).all()
    assert (out[:, 2, 3] == 0).all()
