"""The MobileNetV3 front end against support/mobilenetv3_reference.py, and the augmentation in train mode."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from hear_edgel3.families.mobilenetv3 import frontend as frontends
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from support import mobilenetv3_reference as reference
from support import signals
from support.mobilenetv3_nets import MEL_TOLERANCE, SPECS, build

# --- front end ---


@pytest.mark.parametrize("n_mels", [40, 64, 128, 256])
@pytest.mark.parametrize("hop", [160, 320, 480, 640, 800])
def test_front_end(hop: int, n_mels: int) -> None:
    frontend = MobileNetV3MelSpectrogram(hop_length=hop, n_mels=n_mels).eval()
    samples = signals.windows(9000)
    found, expected = frontend(torch.from_numpy(samples)), reference.log_mel(samples, hop, n_mels)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape == (6, n_mels, frontend.n_frames(9000))
    np.testing.assert_allclose(found, expected, rtol=0, atol=MEL_TOLERANCE)


@pytest.mark.parametrize(("n_clips", "n_samples"), [(2, 240_000), (40, 5120), (300, 400), (3, 81920), (3, 82240)])
def test_front_end_of_many_frames(n_clips: int, n_samples: int, frontend: MobileNetV3MelSpectrogram) -> None:
    """However the work is divided: many short clips, few long ones."""
    rs = np.random.RandomState(0)
    samples = rs.uniform(-0.5, 0.5, (n_clips, n_samples)).astype(np.float32)
    found = frontend(torch.from_numpy(samples))
    np.testing.assert_allclose(found, reference.log_mel(samples), rtol=0, atol=MEL_TOLERANCE)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 100, 400, 401, 402, 512, 513, 514, 515, 640, 641, 642])
def test_shortest_clips(n_samples: int, frontend: MobileNetV3MelSpectrogram) -> None:
    assert frontend.minimum_samples == 514
    samples = signals.windows(1000)[:, :n_samples]
    found = frontend(torch.from_numpy(samples))
    zeros = np.zeros((6, max(0, 514 - n_samples)), np.float32)
    followed = frontend(torch.from_numpy(np.concatenate([samples, zeros], axis=1)))
    assert torch.equal(found, followed)
    np.testing.assert_allclose(found, reference.log_mel(samples), rtol=0, atol=MEL_TOLERANCE)


@pytest.mark.parametrize("hop", [160, 320, 480, 640, 800])
def test_number_of_frames(hop: int) -> None:
    frontend = MobileNetV3MelSpectrogram(hop_length=hop, n_mels=4).eval()
    edges = [k * hop + d for k in range(1, 12) for d in (-1, 0, 1, 2)]
    for n_samples in [*range(1, 40), *range(505, 530), *edges, 5120, 31999, 32000, 32001]:
        n_frames = frontend(torch.zeros(1, n_samples)).shape[2]
        assert frontend.n_frames(n_samples) == n_frames == 1 + (max(n_samples, 514) - 1) // hop
    assert MobileNetV3MelSpectrogram().n_frames(320000) == 1000
    assert MobileNetV3MelSpectrogram().n_frames(5120) == 16


def test_silence_and_gain(frontend: MobileNetV3MelSpectrogram) -> None:
    assert frontend(torch.zeros(1, 3200)).sub(-1.402585).abs().max() < 1e-6
    samples = torch.from_numpy(signals.windows(3200)[:1])
    step = frontend(samples * 10) - frontend(samples)
    assert step.max() == pytest.approx(math.log(100) / 5, abs=2e-3)


def test_a_row_does_not_see_the_others(frontend: MobileNetV3MelSpectrogram) -> None:
    samples = torch.from_numpy(signals.windows(5120))
    together = frontend(samples)
    for i in range(6):
        torch.testing.assert_close(frontend(samples[i : i + 1])[0], together[i], rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_front_end_is_float32_inside(kind: torch.dtype, frontend: MobileNetV3MelSpectrogram) -> None:
    samples = torch.from_numpy(signals.windows(3200)).to(kind)
    found = frontend(samples)
    assert found.dtype == torch.float32
    assert torch.equal(found, frontend(samples.float()))


def test_front_end_holds_nothing(frontend: MobileNetV3MelSpectrogram) -> None:
    """Nothing in the state dict, nothing that a change of type reaches: its constants stay exact."""
    samples = torch.from_numpy(signals.windows(3200))
    before = frontend(samples)
    assert dict(frontend.state_dict()) == {}
    assert list(frontend.parameters()) == list(frontend.buffers()) == []
    for changed in (copy.deepcopy(frontend).half(), copy.deepcopy(frontend).double(), copy.deepcopy(frontend).cpu()):
        assert torch.equal(changed(samples), before)
    assert "hop_length=320, n_mels=128" in repr(frontend)


def test_front_end_at_another_rate() -> None:
    """fmax follows the rate: 1000 Hz below half of it."""
    assert MobileNetV3MelSpectrogram(sample_rate=16000).fmax == 7000
    assert MobileNetV3MelSpectrogram().fmax == 15000
    assert MobileNetV3MelSpectrogram(fmax=8000.0).fmax == 8000.0


# --- augmentation ---


@pytest.fixture
def seeded() -> Iterator[None]:
    before = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(before)


def test_eval_mode_repeats_itself(frontend: MobileNetV3MelSpectrogram) -> None:
    samples = torch.from_numpy(signals.windows(16000))
    before = torch.get_rng_state()
    net = build(SPECS["width_0.1"])
    first = frontend(samples)
    assert torch.equal(frontend(samples), first)
    with torch.no_grad():
        assert torch.equal(net(first), net(first))
    training = copy.deepcopy(frontend).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # masks may be longer than so short a clip: one in seventy pairs has nothing left but them
        assert not torch.equal(training(samples), training(samples))
    assert torch.equal(training.eval()(samples), first)
    torch.set_rng_state(before)
    frontend(samples)
    assert torch.equal(torch.get_rng_state(), before), "eval mode must not draw random numbers"


def stretches(masked: np.ndarray) -> tuple[int, int]:
    """Length of the one run of True, and its start."""
    places = np.flatnonzero(masked)
    if len(places) == 0:
        return 0, 0
    assert places[-1] - places[0] + 1 == len(places), "masked places must lie side by side"
    return len(places), int(places[0])


@pytest.mark.usefixtures("seeded")
def test_masks() -> None:
    """One stretch of bands and one of frames per example, of any length below 48 and 192, anywhere, of 0.9."""
    frontend = MobileNetV3MelSpectrogram(fmin_jitter=1, fmax_jitter=2).train()
    samples = torch.from_numpy(signals.clip(10.0, 32000, 8).T.astype(np.float32))
    bands, frames = [], []
    for _ in range(20):
        for mel in frontend(samples).numpy():
            hit = mel == np.float32(0.9)
            rows, columns = hit.all(axis=1), hit.all(axis=0)
            # Of twenty million values, one may be exactly 0.9 by itself: which ones depends on the processor.
            assert hit[~rows][:, ~columns].sum() <= 1
            bands.append(stretches(rows))
            frames.append(stretches(columns))
    for found, most, length in ((bands, 48, 128), (frames, 192, 1000)):
        sizes, starts = (np.array(values) for values in zip(*found, strict=True))
        assert sizes.max() <= most
        assert sizes.max() > 0.9 * most
        assert sizes.min() < 0.1 * most
        assert abs(sizes.mean() - most / 2) < 0.12 * most
        assert len(set(found)) > 100  # every example has its own
        assert starts.min() < 0.1 * length
        assert (starts + sizes).max() > 0.9 * length
        assert (starts + sizes).max() <= length


@pytest.mark.usefixtures("seeded")
def test_masks_of_short_clips_and_none() -> None:
    """A clip shorter than the longest mask, and no masks at all."""
    short = MobileNetV3MelSpectrogram().train()
    samples = torch.from_numpy(signals.windows(5120))
    for _ in range(20):
        assert short(samples).isfinite().all()
    unmasked = MobileNetV3MelSpectrogram(fmin_jitter=1, fmax_jitter=1, fmax=15000, freq_mask=0, time_mask=0)
    assert torch.equal(unmasked.train()(samples), unmasked.eval()(samples))
    assert short.train()(samples[:0]).shape == (0, 128, 16)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("n_mels", "n_frames", "bands", "frames"),
    [(128, 1000, 48, 192), (128, 100, 48, 20), (40, 16, 15, 3), (64, 4, 24, 0)],
)
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_masks_of_a_finished_spectrogram(n_mels: int, n_frames: int, bands: int, frames: int, strength: float) -> None:
    """One stretch of each per example, of at most three eighths of the bands and a fifth of the frames."""
    frontend = MobileNetV3MelSpectrogram(n_mels=n_mels).eval()
    mel = torch.randn(60, n_mels, n_frames)
    before = mel.clone()
    masked = frontend.mask(mel, strength)
    assert torch.equal(mel, before)
    hit = masked != mel
    assert torch.equal(masked[hit], torch.full_like(masked[hit], 0.9))  # what zero is before logarithms are scaled
    found = []
    for one in hit.numpy():
        rows, columns = one.all(axis=1), one.all(axis=0)
        assert not one[~rows][:, ~columns].any()
        found.append((stretches(rows)[0], stretches(columns)[0]))
    sizes = np.array(found)
    for axis, most in enumerate((strength * bands, strength * frames)):
        assert sizes[:, axis].max() <= most
        assert sizes[:, axis].max() >= int(0.8 * most) - 1  # of sixty that are uniform
    assert len(set(found)) > 10 or bands * frames * strength < 30


def test_a_mask_follows_from_the_seed(frontend: MobileNetV3MelSpectrogram) -> None:
    mel = torch.randn(8, 128, 100, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        first, second = frontend.mask(mel), frontend.mask(mel)
        torch.manual_seed(5)
        assert torch.equal(frontend.mask(mel), first)
        assert not torch.equal(first, second)
        assert torch.equal(frontend.mask(mel, 0.0), mel)
        assert not torch.equal(frontend.mask(mel, 0.5), mel)


@pytest.mark.usefixtures("seeded")
def test_the_mel_range_jitters(monkeypatch: pytest.MonkeyPatch) -> None:
    """fmin by 0 to 9 Hz, fmax by -999 to 1000 Hz; the bank is the one of that range."""
    drawn: list[tuple[float, float]] = []
    bank = frontends.kaldi_mel_bank

    def watched(n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float) -> torch.Tensor:
        drawn.append((fmin, fmax))
        return bank(n_mels, n_fft, sample_rate, fmin, fmax)

    frontend = MobileNetV3MelSpectrogram(freq_mask=0, time_mask=0)
    samples = torch.from_numpy(signals.windows(1600)[:2])
    still = frontend.eval()(samples)
    frontend.train()
    monkeypatch.setattr(frontends, "kaldi_mel_bank", watched)
    for i in range(300):
        found = frontend(samples)
        if i < 3:
            expected = reference.log_mel(samples, low_hz=drawn[-1][0], high_hz=drawn[-1][1])
            np.testing.assert_allclose(found, expected, rtol=0, atol=MEL_TOLERANCE)
            assert not torch.equal(found, still)
    low, high = (np.array(values) for values in zip(*drawn, strict=True))
    assert len(drawn) == 300  # one per batch
    assert set(low) == set(range(10))
    assert 14001 <= high.min() < 14050
    assert 15950 < high.max() <= 16000
    assert torch.equal(frontend.eval()(samples), still)
