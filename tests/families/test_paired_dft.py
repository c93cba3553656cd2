"""The DFT in pairs of float32: as exact as float64, of pure tones and sweeps too, in an engine without that."""

from __future__ import annotations

import pytest
import torch

import hear_edgel3
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.paired_dft import SAMPLE_PLACES, PairedMelPower, split
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from hear_edgel3.families.two_step_dft import MelPower


def test_the_first_part_is_a_multiple_and_nothing_is_lost() -> None:
    x = torch.tensor([[0.0, 0.7, -0.7, 1.9, -1e-6, 40.0]])
    high, low = split(x, SAMPLE_PLACES)
    assert torch.equal(high * 1024, (high * 1024).round())
    assert float(low.abs().max()) <= 1 / 1024
    torch.testing.assert_close(high.double() + low.double(), x.double(), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("n_fft", "win_length", "bins", "hop"),
    [
        (1024, 800, 300, 320),
        (1024, 1024, 513, 160),
        (512, 512, 257, 82),
        (400, 400, 201, 160),
        (625, 600, 313, 160),
        (13, 13, 7, 5),
    ],
)
def test_the_power_of_a_dft(n_fft: int, win_length: int, bins: int, hop: int) -> None:
    """A hundred times nearer than in float32, where next to nothing leaks out of a tone."""
    random = torch.Generator().manual_seed(0)
    window = torch.hann_window(win_length, periodic=False, dtype=torch.float64)
    bank, t = torch.rand(20, bins, generator=random), torch.arange(3000) / 100
    bank[0], bank[0, -1] = 0, 1  # one bin alone, far from the tone
    samples = torch.stack([0.9 * torch.sin(t * 20), torch.rand(3000, generator=random) - 0.5])
    made, plain, exact = (
        PairedMelPower(window, bank, n_fft, hop),
        *(MelPower(window, bank, n_fft, hop, dtype) for dtype in (torch.float32, torch.float64)),
    )
    wanted = exact(samples.double())
    found = made(*split(samples, SAMPLE_PLACES))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-12 * float(wanted.max()))
    off = [float((one[0, :, 0] - wanted[0, :, 0]).abs().max()) for one in (found, plain(samples))]
    assert off[0] <= 0.02 * off[1] + 2e-12


@pytest.mark.parametrize("frontend", [MobileNetV3MelSpectrogram(), SsondoMelSpectrogram()])
def test_images(frontend: MobileNetV3MelSpectrogram | SsondoMelSpectrogram) -> None:
    t = torch.arange(16000) / 32000
    x = torch.stack([0.9 * torch.sin(2 * torch.pi * 12800 * t), 0.5 * torch.sin(2e5 * t**2), torch.zeros(16000)])
    made, plain = frontend.eval().portable_in_pairs(), frontend.portable(False)
    assert made is not None
    assert plain is not None
    wanted = frontend.in_float64(x)
    off = [(one(x) - wanted).abs().amax((1, 2)) for one in (made, plain)]
    assert float(off[0].max()) < 1e-5
    assert float(off[0][0]) < 0.1 * float(off[1][0])


def test_front_ends_without_it() -> None:
    class Own(MobileNetV3MelSpectrogram):
        pass

    class OwnToo(SsondoMelSpectrogram):
        pass

    assert Own().portable_in_pairs() is None
    assert OwnToo().portable_in_pairs() is None
    assert hear_edgel3.load("tiny").frontend.portable_in_pairs() is not None
