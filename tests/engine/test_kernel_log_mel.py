"""The compiled front ends of MobileNetV3s and of S-SONDO, against those in torch and against float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime
from hear_edgel3.engine.numba import CompiledResiduals
from hear_edgel3.families.kernel_residuals import ResidualNet
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from support import signals
from support.mobilenetv3_nets import MEL_TOLERANCE, build
from support.mobilenetv3_reference import Spec

LANES = 16
FrontEnd = MobileNetV3MelSpectrogram | SsondoMelSpectrogram
both = pytest.mark.parametrize("kind", [MobileNetV3MelSpectrogram, SsondoMelSpectrogram])


def compute(frontend: FrontEnd, samples: np.ndarray, strips: int) -> np.ndarray:
    """(n, n_mels, n_frames) of (n, n_samples), by strips of one size."""
    log_mel = LogMel(frontend, LANES)
    frames = log_mel.computes.n_frames(samples.shape[1])
    sharing = StripsOfTime(LANES, strips, frames, -(-frames // strips))
    images = []
    for first in range(0, len(samples), sharing.images):
        some = samples[first : first + sharing.images]
        raw = np.full(frontend.n_mels * sharing.width * LANES + 16, np.nan, np.float32)
        flat = raw[-raw.ctypes.data // 4 % 16 :][: len(raw) - 16]
        log_mel(some, sharing, flat)
        target = flat.reshape(frontend.n_mels, sharing.width, LANES)
        for i in range(len(some)):
            lanes = target[:, :, i * strips : (i + 1) * strips].transpose(0, 2, 1)
            images.append(lanes.reshape(frontend.n_mels, -1)[:, :frames])
    found = np.stack(images)
    assert np.isfinite(found).all()
    return found


def check(frontend: FrontEnd, samples: np.ndarray, strips: int) -> None:
    with torch.no_grad():
        exact = frontend.in_float64(torch.from_numpy(samples)).numpy()
        torchs = frontend(torch.from_numpy(samples)).numpy()
    found = compute(frontend, samples, strips)
    assert found.shape == exact.shape
    # Both round in float32: in bands that are nearly empty beside loud ones neither is better than the other.
    assert np.abs(found - exact).max() < max(MEL_TOLERANCE, 2 * np.abs(torchs - exact).max())
    assert np.abs(found - exact).mean() < 2 * np.abs(torchs - exact).mean() + 1e-7


@both
@pytest.mark.parametrize("strips", [1, 2, 16])
def test_noise_like_sounds(kind: type[FrontEnd], strips: int) -> None:
    check(kind().eval(), signals.windows(32000), strips)


@pytest.mark.parametrize(
    "options",
    [
        {"n_mels": 40},
        {"n_mels": 64, "hop_length": 160},
        {"n_mels": 256, "hop_length": 640},
        {"hop_length": 500, "fmin": 50.0, "fmax": 14000.0},
        {"n_fft": 128, "win_length": 100, "hop_length": 80, "n_mels": 16},
        {"n_fft": 256, "win_length": 256, "hop_length": 160, "n_mels": 40},
        {"n_fft": 512, "win_length": 402},
        {"n_fft": 2048, "win_length": 2048, "hop_length": 1000},
    ],
)
def test_other_front_ends(options: dict[str, int]) -> None:
    check(MobileNetV3MelSpectrogram(**options).eval(), signals.windows(32000)[:3, :9000], 1)


@pytest.mark.parametrize(
    "options",
    [
        {"n_mels": 40},
        {"hop_length": 160, "fmin": 0.0, "fmax": 14000.0},
        {"n_fft": 128, "hop_length": 128, "n_mels": 16},
        {"n_fft": 2048, "hop_length": 3000},
    ],
)
def test_other_front_ends_that_are_not_centred(options: dict[str, int]) -> None:
    check(SsondoMelSpectrogram(**options).eval(), signals.windows(32000)[:3, :9000], 1)


@pytest.mark.parametrize("n", [1024, 1025, 1535, 1536, 5120, 5121])
def test_lengths_of_what_is_not_centred(n: int) -> None:
    """No frame begins or ends beyond the samples, and none of the memory around them is looked at."""
    samples = np.full((6, n + 64), np.nan, np.float32)[:, 32 : n + 32]
    samples[:] = signals.windows(32000)[:6, :n]
    check(SsondoMelSpectrogram().eval(), samples, 1)


@pytest.mark.parametrize("n", [514, 515, 833, 5120, 5121])
def test_lengths(n: int) -> None:
    check(MobileNetV3MelSpectrogram().eval(), signals.windows(32000)[:4, :n], 1)


@both
def test_odd_sounds(kind: type[FrontEnd]) -> None:
    time = np.arange(5120) / 32000
    sounds = [
        np.zeros(5120),
        np.eye(1, 5120, 4321)[0],
        np.full(5120, 0.25),
        0.5 * np.sin(2 * np.pi * 440 * time),
        1e4 * np.sin(2 * np.pi * 100 * time**2),
        np.full(5120, 1e-40),
    ]
    frontend = kind().eval()
    check(frontend, np.array(sounds, np.float32), 1)
    silence = compute(frontend, np.zeros((1, 5120), np.float32), 1)
    np.testing.assert_allclose(silence, frontend(torch.zeros(1, 5120)).numpy(), rtol=0, atol=3e-7)


@both
def test_what_is_too_large_is_not_hidden(kind: type[FrontEnd]) -> None:
    samples = np.zeros((1, 5120), np.float32)
    samples[0, 2000:] = 3e38
    samples[0, 2001::2] = -3e38
    with pytest.raises(AssertionError):
        compute(kind().eval(), samples, 1)


@both
@pytest.mark.parametrize("strips", [1, 2])
def test_images_that_share_vectors_do_not_change_a_bit(kind: type[FrontEnd], strips: int) -> None:
    """Whether there are as many as there is room for, or few, whose frames are computed densely."""
    frontend, samples = kind().eval(), signals.windows(32000).reshape(-1, 4000)[:19]
    together = compute(frontend, samples, strips)
    np.testing.assert_array_equal(together, np.concatenate([compute(frontend, s[None], strips) for s in samples]))
    np.testing.assert_array_equal(together[:3], compute(frontend, samples[:3], strips))


@pytest.mark.parametrize(
    ("kind", "options", "length", "hop"),
    [
        (MobileNetV3MelSpectrogram, {}, 5120, 1600),
        (MobileNetV3MelSpectrogram, {}, 5120, 320),
        (MobileNetV3MelSpectrogram, {}, 5121, 1920),
        (MobileNetV3MelSpectrogram, {"n_mels": 40, "hop_length": 160}, 5120, 480),
        (MobileNetV3MelSpectrogram, {"n_fft": 512, "win_length": 402}, 3000, 640),
        (SsondoMelSpectrogram, {}, 5120, 512),
        (SsondoMelSpectrogram, {}, 5121, 1024),
        (SsondoMelSpectrogram, {"n_mels": 40, "hop_length": 160}, 5120, 480),
    ],
)
@pytest.mark.parametrize("n", [13, 16, 19])
def test_windows_that_overlap_in_memory_share_frames_bit_by_bit(
    kind: type[FrontEnd], options: dict[str, int], length: int, hop: int, n: int
) -> None:
    frontend = kind(**options).eval()
    clip = signals.windows(32000).reshape(-1)[: (n - 1) * hop + length]
    overlapping = np.lib.stride_tricks.sliding_window_view(clip, length)[::hop]
    assert overlapping.shape == (n, length)
    log_mel = LogMel(frontend, LANES)
    frames = log_mel.computes.n_frames(length)
    assert log_mel._shared(overlapping[:LANES], StripsOfTime(LANES, 1, frames, frames))[2] > 0
    apart = compute(frontend, overlapping.copy(), 1)
    np.testing.assert_array_equal(compute(frontend, overlapping, 1).view(np.int32), apart.view(np.int32))


@pytest.mark.parametrize("hop", [1601, 4999, 5120, 6000])
def test_windows_that_have_no_frames_in_common_share_none(hop: int) -> None:
    clip = signals.windows(32000).reshape(-1)[: 15 * hop + 5120]
    windows = np.lib.stride_tricks.sliding_window_view(clip, 5120)[::hop]
    frontend = MobileNetV3MelSpectrogram().eval()
    assert LogMel(frontend, LANES)._shared(windows, StripsOfTime(LANES, 1, 16, 16)) == (0, 0, 0)
    np.testing.assert_array_equal(compute(frontend, windows, 1), compute(frontend, windows.copy(), 1))


@pytest.mark.parametrize("apart", [320, 640, 960, 1600])
@pytest.mark.parametrize("step", [0, 2, 3])
def test_samples_that_do_not_lie_side_by_side_share_none(apart: int, step: int) -> None:
    """Channels of an array of (samples, channels), for one: what overlaps in memory are other samples."""
    clip = signals.windows(32000).reshape(-1)[: 15 * apart + 5120 * max(step, 1)]
    windows = np.lib.stride_tricks.as_strided(clip, (16, 5120), (4 * apart, 4 * step))
    frontend = MobileNetV3MelSpectrogram().eval()
    assert LogMel(frontend, LANES)._shared(windows, StripsOfTime(LANES, 1, 16, 16)) == (0, 0, 0)
    np.testing.assert_array_equal(compute(frontend, windows, 1), compute(frontend, windows.copy(), 1))


def test_which_front_ends_are_compiled() -> None:
    net = build(Spec(0.1), outputs=["b2", "mel_avgs"])
    form = net.kernel_residuals()
    assert isinstance(form, ResidualNet)
    compiled = CompiledResiduals(net, form)
    windows = torch.from_numpy(signals.windows(32000)[:2, :5120])
    frontend = MobileNetV3MelSpectrogram().eval()
    with torch.no_grad():
        expected = compiled(frontend(windows))
        found = compiled.from_samples(frontend, windows)
        assert found is not None
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
        assert torch.equal(found, compiled.from_samples(frontend, windows.double()))
        assert compiled.from_samples(frontend, windows[:0]).shape == (0, net.embedding_size)
        few = compiled.from_samples(frontend, windows[:, :100])  # which zeros follow
        torch.testing.assert_close(few, compiled(frontend(windows[:, :100])), rtol=0, atol=1e-4)

        class Own(MobileNetV3MelSpectrogram):
            pass

        assert compiled.from_samples(Own(), windows) is None
        assert compiled.from_samples(MobileNetV3MelSpectrogram(n_fft=1000), windows) is None
        assert compiled.from_samples(MobileNetV3MelSpectrogram(n_fft=64, win_length=64), windows) is None
        frontend.register_forward_hook(lambda *_: None)
        assert compiled.from_samples(frontend, windows) is None
