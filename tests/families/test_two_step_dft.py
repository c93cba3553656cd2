"""The DFT in two steps, of real samples: every bin is there once, whatever its number of points."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.paired_dft import SAMPLE_PLACES, PairedMelPower, split
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


@pytest.mark.parametrize(
    ("n_fft", "n_mels", "kind"), [(1024, 128, MelPower), (1024, 3, PairedMelPower), (13, 5, MelPower)]
)
def test_zeros_of_a_mel_bank_are_left_out(n_fft: int, n_mels: int, kind: type[nn.Module]) -> None:
    """Of engines that store them like any value. Bands without any weight stay."""
    random = torch.Generator().manual_seed(0)
    bank, samples = torch.zeros(n_mels, n_fft // 2), torch.randn(2, 3000, generator=random)
    for band in range(1, n_mels):
        first = band * (n_fft // 2 - 6) // n_mels
        bank[band, first : first + 6] = torch.rand(min(6, n_fft // 2 - first), generator=random)
    words = (torch.float32,) if kind is MelPower else ()
    made = kind(torch.ones(n_fft), bank, n_fft, 160, *words)
    given = (samples,) if kind is MelPower else split(samples, SAMPLE_PLACES)
    before, whole = made(*given), sum(one.numel() for one in made.mel.buffers())
    for _ in range(2):
        made.mel.leave_out_zeros()
        torch.testing.assert_close(made(*given), before, rtol=1e-5, atol=0)
    left = sum(one.numel() for one in made.mel.buffers())
    assert left <= whole
    assert n_mels < 100 or left < 0.2 * whole


def test_no_table_with_a_place_for_each_sample() -> None:
    """As which engines store what ``reflection_pad1d`` is made of."""
    made, x = MobileNetV3MelSpectrogram().eval().portable(False), torch.randn(1, 3200)
    called = [node for node in torch.export.export(made, (x,), strict=False).graph.nodes if node.op == "call_function"]
    assert any(node.target.__name__.startswith("flip") for node in called)
    assert all("reflect" not in node.args and "reflect" not in node.target.__name__ for node in called)
