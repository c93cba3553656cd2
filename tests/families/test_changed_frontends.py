"""Front ends whose settings are changed after they were made compute as those made with these settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import hear_edgel3
from hear_edgel3.families.l3.frontend import L3MelSpectrogram
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram

SOUND = 0.3 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "first", "other"),
    [
        (MobileNetV3MelSpectrogram, {}, {"fmax": 8000.0}),
        (MobileNetV3MelSpectrogram, {}, {"fmin": 300.0, "n_mels": 40}),
        (MobileNetV3MelSpectrogram, {}, {"win_length": 400}),
        (SsondoMelSpectrogram, {}, {"fmax": 8000.0}),
        (SsondoMelSpectrogram, {}, {"n_mels": 64, "n_fft": 512}),
        (L3MelSpectrogram, {"sample_rate": 8000, "n_fft": 512, "hop_length": 160, "n_mels": 64}, {"n_mels": 40}),
        (
            L3MelSpectrogram,
            {"sample_rate": 8000, "n_fft": 512, "hop_length": 160, "n_mels": 64},
            {"sample_rate": 16000},
        ),
    ],
)
def test_other_settings_count(kind: type[nn.Module], first: dict[str, Any], other: dict[str, Any]) -> None:
    changed, made = kind(**first).eval(), kind(**{**first, **other}).eval()
    before = changed(SOUND)
    for name, value in other.items():
        setattr(changed, name, value)
    found = changed(SOUND)
    assert torch.equal(found, made(SOUND))
    assert found.shape != before.shape or not torch.equal(found, before)


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_engines_hear_the_same_range(engine: str) -> None:
    extractor = hear_edgel3.load("tiny", engine=engine)
    windows = SOUND[:, :5120]
    before = extractor.embed_windows(windows)
    extractor.frontend.fmax = 8000.0
    with torch.no_grad():
        expected = extractor(windows)
    found = extractor.embed_windows(windows)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5 * float(expected.abs().max()))
    assert float((found - before).abs().max()) > 0.01


def test_modes_and_hidden_attributes_keep_what_was_worked_out() -> None:
    frontend = MobileNetV3MelSpectrogram()
    kept = frontend._constants[torch.device("cpu")]
    frontend.eval()
    frontend.train()
    assert frontend._constants[torch.device("cpu")] is kept
