"""The DFT in two steps, of real samples: every bin is there once, whatever its number of points."""

from __future__ import annotations

import pytest
import torch

from hear_edgel3.families.two_step_dft import MelPower


@pytest.mark.parametrize(
    ("n_fft", "win_length", "bins"),
    [(1024, 1024, 513), (1024, 800, 300), (400, 400, 201), (625, 600, 313), (13, 13, 7)],
)
def test_the_power_of_a_dft(n_fft: int, win_length: int, bins: int) -> None:
    random = torch.Generator().manual_seed(0)
    window = torch.rand(win_length, generator=random, dtype=torch.float64)
    bank, samples = torch.rand(20, bins, generator=random), torch.randn(2, 3000, generator=random, dtype=torch.float64)
    made = MelPower(window, bank, n_fft, 160, torch.float64)
    frames = samples.unfold(1, win_length, 160) * window
    power = torch.fft.rfft(frames, n=n_fft).abs()[..., :bins] ** 2
    torch.testing.assert_close(made(samples), (power @ bank.double().T).float(), rtol=2e-6, atol=0)


def test_what_mirrors_another_bin_is_not_computed() -> None:
    made = MelPower(torch.ones(1024), torch.ones(1, 513), 1024, 160, torch.float64)
    steps = 2 * made.rows * made.n1 * made.n2 + 4 * made.rows * made.n2**2
    assert steps < 105_000  # multiplications of a frame; 135,000 if nothing is made of samples being real
