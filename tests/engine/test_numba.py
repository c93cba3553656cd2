"""What the engine of compiled kernels promises: its numbers, whatever the net, the sound and the number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.engine.runner import Runner
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve
from support import signals
from support.engines import FLOAT64_TOLERANCE, SMALL, TORCH_TOLERANCE, WIDE, check_embeddings, make_net, run_net

SPARSITIES = sorted({resolve(name).checkpoint.zeros for name in hear_edgel3.list_configurations("l3")} - {0.0})


@pytest.mark.parametrize("how", ["uniform", "early-dense"])
@pytest.mark.parametrize("zeros", SPARSITIES)
def test_sparse_nets_equal_float64(zeros: float, how: str, decibels: torch.Tensor) -> None:
    """Every published sparsity, with as many zeros everywhere and with fewer in the first layers."""
    number = SPARSITIES.index(zeros)
    net = make_net(WIDE, zeros, how, seed=number)
    x = decibels[number % 6 : number % 6 + 1]
    with torch.no_grad():
        found = run_net(net, x, "numba")
        expected = net.double()(x).numpy()
    check_embeddings(found, expected, FLOAT64_TOLERANCE)


@pytest.mark.parametrize("seed", range(3))
def test_dense_nets_of_sea_equal_float64(seed: int) -> None:
    """All layers by Winograd's algorithm, several windows to a vector; torch itself was off by 1.6e-6 to 2.1e-6."""
    x = resolve("sea_512").checkpoint.frontend.build()(torch.from_numpy(signals.windows(8000)))
    net = make_net(WIDE, 0.0, seed=seed)
    found = run_net(net, x, "numba")
    with torch.no_grad():
        expected = net.double()(x).numpy()
    check_embeddings(found, expected, FLOAT64_TOLERANCE)


def test_there_are_eight_sparsities() -> None:
    assert len(SPARSITIES) == 8


def test_batches_and_threads_give_the_same_bits(decibels: torch.Tensor, sparse_net: L3Net, threads) -> None:
    runner = Runner("numba")
    many = torch.cat([decibels, decibels.flip(2), decibels[:1].flip(1)])
    with torch.no_grad():
        alone = torch.cat([runner(sparse_net, window[None]) for window in many])
        for n, n_threads in ((2, 1), (3, 2), (7, 3), (13, 8)):
            threads(n_threads)
            assert torch.equal(runner(sparse_net, many[:n]), alone[:n])
    check_embeddings(alone.numpy()[:2], run_net(sparse_net, many[:2], "torch"), TORCH_TOLERANCE)


def test_every_number_of_threads(threads) -> None:
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    x = 20 * torch.randn(9, 64, 50) - 40
    with torch.no_grad():
        expected = runner(net, x)
        for n in range(1, 9):
            threads(n)
            assert torch.equal(runner(net, x), expected)


def odd_sounds() -> torch.Tensor:
    t = torch.arange(48000) / 48000
    click = torch.zeros(48000)
    click[24000] = 1
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * t)
    return torch.stack([torch.zeros(48000), click, tone, torch.full((48000,), 0.25), torch.full((48000,), 1e-40)])


def test_odd_sounds(sparse_net: L3Net) -> None:
    """Silence, a click, a tone, a constant and subnormal samples: the same spectrograms go into both nets."""
    x = resolve("sparse_95").checkpoint.frontend.build()(odd_sounds())
    assert torch.isfinite(x).all()
    check_embeddings(run_net(sparse_net, x, "numba"), run_net(sparse_net, x, "torch"), TORCH_TOLERANCE)


def test_odd_spectrograms() -> None:
    """All of one value, subnormal or large ones, and other layouts and types than the front end's."""
    net = make_net(SMALL, 0.8)
    noise = 20 * torch.randn(3, 64, 50) - 40
    for x in (torch.zeros(1, 64, 50), torch.full((1, 64, 50), -80.0), noise * 1e-42, noise * 1e4):
        check_embeddings(run_net(net, x, "numba"), run_net(net, x, "torch"), TORCH_TOLERANCE)
    expected = run_net(net, noise, "numba")
    np.testing.assert_array_equal(run_net(net, noise.transpose(1, 2).contiguous().transpose(1, 2), "numba"), expected)
    np.testing.assert_array_equal(run_net(net, noise.double(), "numba"), expected)
    np.testing.assert_array_equal(run_net(net, noise.repeat_interleave(2, 0)[::2], "numba"), expected)
    np.testing.assert_array_equal(run_net(net, noise.clone().requires_grad_(), "numba"), expected)
    assert run_net(net, noise[:0], "numba").shape == (0, 64)


@pytest.mark.parametrize("height", [64, 256, 40])
def test_heights(height: int) -> None:
    """One net, images of any height; 40 rows cannot be shared out to lanes, and go through torch."""
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    for width in (8, 33, 50, 8):
        x = 20 * torch.randn(2, height, width) - 40
        with torch.no_grad():
            found, expected = runner(net, x).numpy(), run_net(net, x, "torch")
        check_embeddings(found, expected, TORCH_TOLERANCE)
        assert np.array_equal(found, expected) == (height == 40)


def test_the_input_and_earlier_results_are_left_alone() -> None:
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    x, y = 20 * torch.randn(2, 2, 64, 50) - 40
    kept = x.clone()
    with torch.no_grad():
        first = runner(net, x)
        again = first.clone()
        runner(net, y)
    assert torch.equal(x, kept)
    assert torch.equal(first, again)
