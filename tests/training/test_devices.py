"""Everything works where the caller's tensors are, with the numbers of the CPU."""

from __future__ import annotations

import pytest
import torch

from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.training import RECIPES, Draws
from hear_edgel3.training.images import SapAugment
from hear_edgel3.training.responses import convolve
from hear_edgel3.training.spectrograms import SpectrogramAugmentation
from hear_edgel3.training.waveforms import gain, mix_waveforms, roll


def _step(device: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sounds = (torch.rand(4, 8000, generator=generator) - 0.5).to(device)
    targets, logits = (torch.rand(4, 20, generator=generator).to(device) for _ in range(2))
    known = (torch.rand(4, 20, generator=generator) > 0.5).to(device)
    teacher = logits.flip(0), torch.tensor([True, False, True, True], device=device)
    sounds = roll(gain(sounds, torch.tensor([1, 2, 3, -4])), torch.tensor([5, 0, -7, 9]))
    sounds = convolve(sounds, torch.tensor([[0.5, 0.25]], device=device), torch.tensor([0, -1, 0, -1]))
    sounds = mix_waveforms(sounds, sounds.flip(0), torch.full((4,), 0.75))
    augmentation, draws = SpectrogramAugmentation(freq_mask=8, time_mask=8), Draws.seeded(1)
    frontend = MobileNetV3MelSpectrogram().eval()
    images, mix = augmentation(augmentation.spectrograms(frontend, sounds, draws), draws)
    styled, _ = SpectrogramAugmentation(mixstyle=1.0)(images, draws)
    cut, cut_targets = SapAugment()(images[:, None], targets, targets.sum(dim=1), draws)
    losses = [
        RECIPES["esc50"].loss_of(logits, targets, mix),
        RECIPES["openmic"].loss_of(logits, targets, mix, known),
        RECIPES["audioset"].loss_of(logits, targets, mix, teacher=teacher),
    ]
    return [sounds, images, styled, cut, cut_targets, torch.stack(losses)]


def test_a_step_is_the_same_again() -> None:
    for one, same in zip(_step("cpu"), _step("cpu"), strict=True):
        assert torch.equal(one, same)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    """To float32 rounding; decibels of quiet bands are the most sensitive."""
    for here, there in zip(_step("cpu"), _step("cuda"), strict=True):
        assert there.device.type == "cuda"
        torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_keeps_types(dtype: torch.dtype) -> None:
    images = torch.rand(4, 6, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    mixed, mix = SpectrogramAugmentation(freq_mask=2)(images, Draws.seeded(0))
    assert mixed.dtype == dtype
    styled, _ = SpectrogramAugmentation(mixstyle=1.0)(images, Draws.seeded(0))
    assert styled.dtype == dtype
    loss = RECIPES["esc50"].loss_of(images[:, 0], torch.tensor([0, 1, 2, 3]), mix)
    assert loss.dtype == torch.float32
