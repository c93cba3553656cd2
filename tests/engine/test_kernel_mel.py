"""The compiled front end of the numba engine, against the one in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hear_edgel3.engine.kernels import mel
from hear_edgel3.engine.numba import CompiledNet
from hear_edgel3.families.l3.frontend import L3MelSpectrogram
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve
from support import signals

# Decibels. Both compute in float64 and round once to float32, whose steps at 80 dB are 7.6e-6; observed: 0 for all but
# clean tones, where the bins between the tone's are rounding noise 1e-13 high.
TOLERANCE = 8e-6


def frontend_of(name: str) -> L3MelSpectrogram:
    module = resolve(name).checkpoint.frontend.build()
    assert isinstance(module, L3MelSpectrogram)
    return module


def check(frontend: L3MelSpectrogram, samples: np.ndarray) -> None:
    expected = frontend(torch.from_numpy(samples)[None])[0].numpy()
    found = mel.Spectrogram(frontend)(samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.fixture(params=[2, 4, 8])
def lanes(request, monkeypatch) -> int:
    """Frames at once: as with SSE or NEON, AVX2, and AVX-512."""
    monkeypatch.setattr(mel, "native_lanes", lambda: 2 * request.param)
    return request.param


@pytest.mark.parametrize("name", ["sparse_95", "sea_64", "sea_512"])
def test_noise_like_sounds(name: str, lanes: int) -> None:
    frontend = frontend_of(name)
    for window in signals.windows(frontend.sample_rate):
        check(frontend, window)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("what", ["silence", "click", "tone", "constant", "loud", "faint"])
def test_odd_sounds(what: str, dtype: type) -> None:
    frontend = frontend_of("sea_64")
    time = np.arange(8000) / 8000
    sounds = {
        "silence": np.zeros(8000),
        "click": np.eye(1, 8000, 4321)[0],
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time),
        "constant": np.full(8000, 0.25),
        "loud": 3e38 * np.sin(2 * np.pi * 100 * time**2),
        "faint": 1e-30 * np.sin(2 * np.pi * 100 * time**2),
    }
    check(frontend, sounds[what].astype(dtype))


@pytest.mark.parametrize(("n_fft", "hop"), [(4, 1), (8, 3), (16, 16), (32, 40), (64, 7), (512, 100)])
@pytest.mark.parametrize("n", [1, 2, 31, 500])
def test_other_sizes(n_fft: int, hop: int, n: int) -> None:
    """Powers of 4 and of 2, frames apart and overlapping, windows shorter than a frame, vectors that are not full."""
    samples = np.random.RandomState(0).randn(n).astype(np.float32)
    check(L3MelSpectrogram(8000, n_fft, hop, min(5, n_fft // 4)), samples)


def test_the_logarithm() -> None:
    x = np.concatenate([10.0 ** np.arange(-20, 80, 0.37), [1.0, 0.5, np.sqrt(0.5), np.nextafter(1, 0), 2.0, 1e-20]])
    powers, image = x[None].copy(), np.empty((1, len(x)), np.float32)
    mel._relative(powers, image, 1e-20, 80.0)
    np.testing.assert_allclose(powers[0], 5 * np.log10(x), rtol=1e-14, atol=1e-13)
    assert image.max() == 0
    assert image.min() == -80


def net() -> L3Net:
    module = resolve("sea_64").checkpoint.net.build()
    assert isinstance(module, L3Net)
    return module.eval()


def test_the_whole_path_is_that_of_the_parts() -> None:
    compiled, frontend = CompiledNet(net()), frontend_of("sea_64")
    windows = torch.from_numpy(signals.windows(8000))
    whole = compiled.from_samples(frontend, windows)
    assert whole is not None
    with torch.no_grad():
        torch.testing.assert_close(whole, compiled(frontend(windows)), rtol=0, atol=1e-5)
    # windows of one clip, as framing cuts them, share memory
    overlapping = windows.flatten().unfold(0, 8000, 1000)
    alone = compiled.from_samples(frontend, overlapping[3:4].clone())
    assert torch.equal(compiled.from_samples(frontend, overlapping)[3:4], alone)


class Other(L3MelSpectrogram):
    """Somebody's own."""


def test_what_cannot_be_compiled_is_left_to_torch() -> None:
    compiled = CompiledNet(net())
    windows = torch.zeros(1, 8000)
    hooked, before = frontend_of("sea_64"), frontend_of("sea_64")
    hooked.register_forward_hook(lambda module, inputs, output: output + 1)
    before.register_forward_pre_hook(lambda module, inputs: inputs)
    others: list[nn.Module] = [
        hooked,
        before,
        Other(8000, 2048, 162, 64),
        nn.Identity(),
        L3MelSpectrogram(8000, 1000, 162, 64),
    ]
    assert [compiled.from_samples(other, windows) for other in others] == [None] * len(others)
    assert compiled.from_samples(L3MelSpectrogram(8000, 2048, 162, 63), windows) is None  # rows that no lanes can share
    assert compiled.from_samples(frontend_of("sea_64"), windows.half()) is None
    assert compiled.from_samples(frontend_of("sea_64"), windows) is not None
