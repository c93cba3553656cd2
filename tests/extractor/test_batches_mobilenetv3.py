"""Batches, engines, types and lengths in the MobileNetV3 family: the same numbers, however they are asked for."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.audio.rates import resampled_length
from hear_edgel3.audio.resample import resample
from hear_edgel3.extractor.extractor import Extractor
from support.wrapper import SAME, assert_same, cached, noise_clips

# --- the promises ---


@pytest.mark.parametrize("engine", ["torch", "eager", "numba"])
@pytest.mark.parametrize("name", ["mn04_as", "mn10_as_hop_15"])
def test_batch_invariance(name: str, engine: str, load_native) -> None:
    """Row i of a batch is the clip alone, and a batch is the same bits every time."""
    extractor, audio = load_native(name, engine=engine), noise_clips(9000, 4)
    batch, _ = extractor.timestamp_embeddings(audio)
    scenes = extractor.scene_embeddings(audio)
    assert torch.equal(extractor.timestamp_embeddings(audio)[0], batch)
    assert torch.equal(extractor.scene_embeddings(audio), scenes)
    peak, scene_peak = float(batch.abs().max()), float(scenes.abs().max())
    for i in range(4):
        alone, _ = extractor.timestamp_embeddings(audio[i : i + 1])
        torch.testing.assert_close(batch[i], alone[0], rtol=0, atol=SAME * peak)
        torch.testing.assert_close(
            scenes[i], extractor.scene_embeddings(audio[i : i + 1])[0], rtol=0, atol=SAME * scene_peak
        )


def test_engines_agree(load_native) -> None:
    audio = noise_clips(16000)
    plain, folded = (load_native("mn04_as", engine=engine) for engine in ("eager", "torch"))
    assert (plain.engine, folded.engine) == ("eager", "torch")
    assert_same(folded.timestamp_embeddings(audio)[0], plain.timestamp_embeddings(audio)[0], 3e-5)
    assert_same(folded.scene_embeddings(audio), plain.scene_embeddings(audio), 3e-5)


@pytest.mark.parametrize("windows", [1, 3, 50])
def test_internal_batch_size_does_not_show(windows: int, mn04: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise_clips(12000)
    expected, scenes = mn04.timestamp_embeddings(audio)[0], mn04.scene_embeddings(audio)
    monkeypatch.setattr(Extractor, "windows_at_once", lambda self, window: windows)
    assert_same(mn04.timestamp_embeddings(audio)[0], expected)
    assert_same(mn04.scene_embeddings(audio), scenes)


def test_samples_of_all_types(mn01: Extractor) -> None:
    """The same bits for the same sound, as an array or a tensor."""
    audio = noise_clips(8000)
    expected, scenes = mn01.timestamp_embeddings(audio)[0], mn01.scene_embeddings(audio)
    same: list[np.ndarray] = [
        audio.astype(np.float64),
        (audio * 32768).astype(np.int16),
        (audio.astype(np.float64) * 2147483648).astype(np.int32),
        np.asfortranarray(audio),
    ]
    for array in same:
        for samples in (array, torch.from_numpy(array)):
            assert torch.equal(mn01.timestamp_embeddings(samples)[0], expected), array.dtype
            assert torch.equal(mn01.scene_embeddings(samples), scenes), array.dtype
    coarse = audio.astype(np.float16)
    expected, scenes = mn01.timestamp_embeddings(coarse.astype(np.float32))[0], mn01.scene_embeddings(coarse)
    assert torch.equal(mn01.timestamp_embeddings(coarse)[0], expected)
    assert torch.equal(mn01.timestamp_embeddings(torch.from_numpy(coarse))[0], expected)
    assert torch.equal(mn01.scene_embeddings(coarse.astype(np.float32)), scenes)


@pytest.mark.parametrize("sample_rate", [32000, 48000])
@pytest.mark.parametrize("n_samples", [1, 16000, 500_000])
def test_empty_batches(n_samples: int, sample_rate: int, load_native) -> None:
    extractor = load_native("mn01_as", sample_rate)
    embeddings, times = extractor.timestamp_embeddings(torch.zeros(0, n_samples))
    count = n_samples * 20 // sample_rate + 1
    assert embeddings.shape == (0, count, extractor.timestamp_embedding_size)
    assert times.shape == (0, count)
    scenes = extractor.scene_embeddings(np.zeros((0, n_samples), np.int16))
    assert scenes.shape == (0, extractor.scene_embedding_size)
    assert embeddings.dtype == times.dtype == scenes.dtype == torch.float32


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 100, 3840, 3841, 7679, 24000])
def test_short_clips_at_the_default_rate(n_samples: int, load_native) -> None:
    """48000 Hz is converted to 32000, and then it is the same; one sample, which gives none, is silence."""
    presented, native = load_native("mn04_as", None), load_native("mn04_as")
    assert (presented.sample_rate, presented.net_sample_rate) == (48000, 32000)
    audio = torch.from_numpy(noise_clips(n_samples, rate=48000))
    embeddings, times = presented.timestamp_embeddings(audio)
    scenes = presented.scene_embeddings(audio)
    assert times[0].tolist() == [50.0 * k for k in range(n_samples // 2400 + 1)]
    converted = resample(audio, 48000, 32000) if n_samples > 1 else torch.zeros(2, 1)
    assert converted.shape[1] == max(1, n_samples * 2 // 3)
    expected, _ = native.timestamp_embeddings(converted)
    assert_same(embeddings, expected)
    assert_same(scenes, native.scene_embeddings(converted))


@pytest.mark.parametrize("n_samples", [480_000, 480_001, 600_000])
def test_long_clips_at_the_default_rate(n_samples: int, load_native) -> None:
    presented, native = load_native("mn01_as", None), load_native("mn01_as")
    audio = torch.from_numpy(noise_clips(n_samples, 1, rate=48000))
    converted = resample(audio, 48000, 32000)
    assert_same(presented.scene_embeddings(audio), native.scene_embeddings(converted))
    embeddings, times = presented.timestamp_embeddings(audio, hop_ms=250)
    expected, expected_times = native.timestamp_embeddings(converted, hop_ms=250)
    assert torch.equal(times, expected_times)
    assert_same(embeddings, expected)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 192000])
def test_any_rate_can_be_fed(rate: int, load_native) -> None:
    extractor = load_native("mn01_as", rate)
    audio = torch.from_numpy(noise_clips(rate * 3 // 10, 1, rate))
    embeddings, times = extractor.timestamp_embeddings(audio)
    assert times[0].tolist() == [50.0 * k for k in range(7)]
    expected, _ = load_native("mn01_as").timestamp_embeddings(resample(audio, rate, 32000))
    assert_same(embeddings, expected)


@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(1, 40_000),
    rate=st.sampled_from([8000, 16000, 22050, 32000, 44100, 48000]),
    hop_ms=st.one_of(st.sampled_from([50.0, 25.0, 33.3, 1000 / 3, 7.7]), st.floats(7.0, 900.0)),
)
def test_timestamps_stay_within_the_clip(n_samples: int, rate: int, hop_ms: float, mobilenetv3_folder: Path) -> None:
    extractor = cached("mn01_as_mel_avgs", rate, mobilenetv3_folder)
    audio = np.zeros((1, n_samples), np.float32)
    embeddings, times = extractor.timestamp_embeddings(audio, hop_ms=hop_ms)
    count = math.floor(Fraction(n_samples, rate) * 1000 / Fraction(hop_ms)) + 1
    assert embeddings.shape == (1, count, 128)
    found = times[0].double().numpy()
    assert found[0] == 0
    assert found[-1] <= 1000 * n_samples / rate
    np.testing.assert_allclose(found, np.arange(count) * hop_ms, rtol=2**-23, atol=0)
    assert (embeddings + 1.402585).abs().max() < 1e-6  # silence, reflected and all


def must_not_run(*arguments: object) -> None:
    raise AssertionError("the clip was converted as a whole")


# --- clips too long to be held twice ---


@pytest.mark.parametrize("rate", [32000, 48000])
@pytest.mark.parametrize("n_samples", [8193, 10_001, 24_000, 39_999])
def test_long_clips_are_cut_as_they_are_read(
    n_samples: int, rate: int, load_native, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, audio = load_native("mn04_as", rate), noise_clips(n_samples, 2, rate)
    expected, times = extractor.timestamp_embeddings(audio)
    sparse, _ = extractor.timestamp_embeddings(audio, hop_ms=170.3)
    scenes = extractor.scene_embeddings(audio)
    monkeypatch.setattr("hear_edgel3.framing.path._LONGEST_AT_ONCE", 8192)
    monkeypatch.setattr("hear_edgel3.framing.path.windows_of_batch", must_not_run)
    embeddings, same_times = extractor.timestamp_embeddings(audio)
    assert torch.equal(same_times, times)
    assert_same(embeddings, expected)
    assert_same(extractor.timestamp_embeddings(audio, hop_ms=170.3)[0], sparse)
    assert_same(extractor.scene_embeddings(audio), scenes)


@pytest.mark.parametrize("rate", [32000, 48000])
def test_scenes_of_long_clips_are_cut_as_they_are_read(rate: int, load_native, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, audio = load_native("mn01_as", rate), noise_clips(11 * rate + 1, 2, rate)
    expected = extractor.scene_embeddings(audio)
    monkeypatch.setattr("hear_edgel3.framing.path._LONGEST_AT_ONCE", 1 << 17)
    monkeypatch.setattr("hear_edgel3.framing.path.windows_of_batch", must_not_run)
    window = extractor.configuration.checkpoint.scene.window
    assert window is not None
    assert window < audio.shape[1]
    assert_same(extractor.scene_embeddings(audio), expected)


def test_lengths_after_conversion() -> None:
    """What the tests above count on: two thirds, rounded down."""
    assert [resampled_length(n, 48000, 32000) for n in (1, 2, 3, 4, 5, 6)] == [0, 1, 2, 2, 3, 4]
