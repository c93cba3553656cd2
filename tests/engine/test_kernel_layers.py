"""The compiled kernels of the numba engine, layer by layer, each against torch's convolution in float64."""

from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.engine.kernels.direct import Direct
from hear_edgel3.engine.kernels.first_layer import FirstLayer
from hear_edgel3.engine.kernels.shape import HALVE, KEEP, WHOLE, LayerShape
from hear_edgel3.engine.kernels.winograd import GROUP, Winograd, tile_for
from hear_edgel3.engine.kernels.winograd_maths import transformed
from support.kernels import (
    AT_ONCE,
    DIRECT_TOLERANCE,
    LANES,
    POOLS,
    USUAL,
    WINOGRAD,
    WINOGRAD_TOLERANCE,
    check_layer,
    convolved,
    random_weights,
    run_kernel,
)


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
        found = run_kernel(Direct(weights, bias, shape, 2, 4, block), x, n_out, shape)
        check_layer(found, convolved(x, weights, bias, pool, relu), DIRECT_TOLERANCE, (width, height, density, block))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("columns", USUAL.columns)
def test_direct_with_the_tiles_of_nets(columns: int, pool: int) -> None:
    rs = np.random.RandomState(2)
    for width in (columns - 1, columns, 2 * columns + 3):
        shape = LayerShape(16, 4, width, pool, relu=True)
        weights, bias = random_weights(5, 20, 0.2), rs.randn(5).astype(np.float32)
        x = rs.randn(20, 64, width).astype(np.float32)
        found = run_kernel(Direct(weights, bias, shape, 2, columns, 8), x, 5, shape)
        check_layer(found, convolved(x, weights, bias, pool, relu=True), DIRECT_TOLERANCE, width)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("block", [1, 3, 4, 100])
def test_a_layer_without_weights(block: int, pool: int) -> None:
    """Its bias is everywhere."""
    bias = np.array([1.5, -2.0, 0.0], np.float32)
    shape = LayerShape(4, 2, 5, pool, relu=False)
    x = np.ones((4, 8, 5), np.float32)
    found = run_kernel(Direct(np.zeros((3, 4, 3, 3), np.float32), bias, shape, 2, 4, block), x, 3, shape)
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
        found = run_kernel(Winograd(weights, bias, shape, rows, columns, *AT_ONCE), x, n_out, shape)
        check_layer(found, convolved(x, weights, bias, pool, relu), WINOGRAD_TOLERANCE, (width, height, density, relu))


@pytest.mark.parametrize("at_once", [(16, 1), (4, 3)])
@pytest.mark.parametrize("n_in", [127, 128, 129, 300])
def test_winograd_of_many_inputs(n_in: int, at_once: tuple[int, int]) -> None:
    """They are summed up in runs; as many at once as may be, the bits are the same."""
    rs = np.random.RandomState(7)
    shape = LayerShape(4, 4, 7, KEEP, relu=True)
    weights, bias = random_weights(GROUP, n_in, 1.0), rs.randn(GROUP).astype(np.float32)
    x = rs.randn(n_in, 16, 7).astype(np.float32)
    found = run_kernel(Winograd(weights, bias, shape, 4, 6, *at_once), x, GROUP, shape)
    check_layer(found, convolved(x, weights, bias, KEEP, relu=True), WINOGRAD_TOLERANCE, n_in)
    np.testing.assert_array_equal(run_kernel(Winograd(weights, bias, shape, 4, 6, *AT_ONCE), x, GROUP, shape), found)


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
    found = run_kernel(Winograd(weights, bias, shape, rows, columns, *AT_ONCE), x, GROUP, shape)
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
        found = run_kernel(both, x, n_out, shape)
        between = convolved(x, first, first_bias, KEEP, relu=True)
        expected = convolved(between, weights, bias, pool, relu)
        check_layer(found, expected, DIRECT_TOLERANCE, (width, height, density, block))


def test_first_two_layers_in_one_with_low_strips() -> None:
    """Tiles of two rows, for strips that no tile of four fits."""
    rs = np.random.RandomState(5)
    columns = USUAL.columns[0]
    shape = LayerShape(4, 2, 15, HALVE, relu=True)
    first, weights = random_weights(4, 1, 0.5), random_weights(6, 4, 0.2)
    biases = rs.randn(4).astype(np.float32), rs.randn(6).astype(np.float32)
    x = rs.randn(1, 8, 15).astype(np.float32)
    found = run_kernel(Direct(weights, biases[1], shape, 2, columns, 16, FirstLayer.of(first, biases[0])), x, 6, shape)
    expected = convolved(convolved(x, first, biases[0], KEEP, relu=True), weights, biases[1], HALVE, relu=True)
    check_layer(found, expected, DIRECT_TOLERANCE, "2 rows")


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
        found = run_kernel(
            Winograd(weights, bias, shape, rows, columns, *AT_ONCE, FirstLayer.of(first, first_bias)), x, n_out, shape
        )
        expected = convolved(convolved(x, first, first_bias, KEEP, relu=True), weights, bias, pool, relu)
        check_layer(found, expected, WINOGRAD_TOLERANCE, (width, height, density, relu))
