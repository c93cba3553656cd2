"""The HEAR functions of the MobileNetV3 family, with seeded weights: against the reference wrapper, and every promise.

Where only the framing matters, the features are mel_avgs: they take the front end and no block of the net.
"""

from __future__ import annotations

import copy
import importlib
import math
import pickle
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hear_edgel3
from hear_edgel3.audio.rates import resampled_length
from hear_edgel3.audio.resample import resample
from hear_edgel3.errors import InvalidAudio, InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.window_net import embed_blocks, mean_embedding
from hear_edgel3.framing.cutting import windows_of_batch
from hear_edgel3.framing.path import NetInput, WindowPath
from hear_edgel3.framing.rules import CentredFraming
from support import mobilenetv3_reference as reference
from support import signals
from support.write_weights import MOBILENETV3

HOPS = {"mn01_as": 320, "mn04_as": 320, "mn10_as_hop_15": 480}
DEFAULT = ("mel_avgs", "b5", "b11", "b13", "b15")
# Against float64, of an embedding's peak: 1.4e-5 was observed.
TOLERANCE = 4e-5
# Between two ways to the same float32 numbers, of the peak, where sums may be taken in another order.
SAME = 5e-6


def clips(n_samples: int, n_clips: int = 2, rate: int = 32000, seed: int = 0) -> np.ndarray:
    """(n_clips, n_samples) float32 on 16-bit steps."""
    x = signals.clip(n_samples / rate, rate, 16, seed)[:, :n_clips]
    return np.ascontiguousarray(x.T.astype(np.float32))


def embedder(name: str, names: Sequence[str] = DEFAULT, pooling: str = "avg_ch") -> reference.Embed:
    spec = MOBILENETV3[name]
    return reference.embedder(spec, reference.seeded_state(spec), names, HOPS[name], pooling)


def assert_same(found: Any, expected: Any, tolerance: float = SAME) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    peak = float(np.abs(expected).max()) if expected.size else 0.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * peak)


@pytest.fixture(scope="module")
def load(mobilenetv3_folder: Path) -> Callable[..., Extractor]:
    def loaded(name: str, sample_rate: int | None = 32000, **options: Any) -> Extractor:
        return hear_edgel3.load(name, mobilenetv3_folder, sample_rate=sample_rate, **options)

    return loaded


@pytest.fixture(scope="module")
def mn01(load) -> Extractor:
    return load("mn01_as")


@pytest.fixture(scope="module")
def mn04(load) -> Extractor:
    return load("mn04_as")


@pytest.fixture(scope="module")
def framed(load) -> Extractor:
    """Fed at 32000 Hz, with nothing behind the front end."""
    return load("mn01_as_mel_avgs")


# --- against the reference wrapper ---


@pytest.mark.parametrize("n_samples", [1, 2, 100, 514, 2560, 2561, 5119, 16000])
@pytest.mark.parametrize("name", ["mn04_as", "mn10_as_hop_15"])
def test_short_clips(name: str, n_samples: int, load) -> None:
    extractor, embed, audio = load(name), embedder(name), clips(n_samples)
    expected, times = reference.timestamp_embeddings(embed, audio)
    embeddings, timestamps = extractor.timestamp_embeddings(audio)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert timestamps.tolist() == [times, times]
    assert len(times) == n_samples // 1600 + 1
    assert_same(embeddings, expected, TOLERANCE)
    scenes = extractor.scene_embeddings(audio)
    assert scenes.dtype == torch.float32
    assert_same(scenes, reference.scene_embeddings(embed, audio), TOLERANCE)


def some(count: int) -> list[int]:
    """A few windows: those that see a reflection, and some between them."""
    return sorted({0, 1, 2, 3, count // 3, count // 2 + 1, count - 4, count - 3, count - 2, count - 1})


@pytest.mark.parametrize("n_samples", [320000, 320001, 800000])
def test_timestamps_of_long_clips(n_samples: int, mn01: Extractor) -> None:
    audio = clips(n_samples, 1)
    expected, times = reference.timestamp_embeddings(embedder("mn01_as"), audio, rows=some)
    embeddings, timestamps = mn01.timestamp_embeddings(audio)
    assert timestamps[0].tolist() == times
    assert embeddings.shape == (1, n_samples // 1600 + 1, mn01.timestamp_embedding_size)
    assert_same(embeddings[:, some(len(times))], expected, TOLERANCE)


@pytest.mark.parametrize(
    ("name", "n_samples"), [("mn04_as", 320000), ("mn04_as", 320001), ("mn01_as", 400001), ("mn01_as", 800000)]
)
def test_scenes_of_long_clips(name: str, n_samples: int, load) -> None:
    """Ten seconds in one piece; one sample more, and it is the mean of five windows."""
    audio = clips(n_samples, 1)
    expected = reference.scene_embeddings(embedder(name), audio)
    assert_same(load(name).scene_embeddings(audio), expected, TOLERANCE)


# hops that are no whole number of samples, or longer than the window
@pytest.mark.parametrize("hop_ms", [20, 33.3, 1000 / 3, 12.5, 160.0, 777.7, 1e6])
def test_hops(hop_ms: float, mn01: Extractor) -> None:
    audio = clips(31777, 1)
    expected, times = reference.timestamp_embeddings(embedder("mn01_as"), audio, hop_ms=hop_ms, rows=some_or_all)
    embeddings, timestamps = mn01.timestamp_embeddings(audio, hop_ms=hop_ms)
    np.testing.assert_array_equal(timestamps[0], np.array(times, np.float32))
    assert_same(embeddings[:, some_or_all(len(times))], expected, TOLERANCE)


def some_or_all(count: int) -> list[int]:
    return some(count) if count > 10 else list(range(count))


@pytest.mark.parametrize(
    ("words", "names", "pooling"),
    [
        ("clf1", ("clf1",), "avg_ch"),
        ("logits_all_se_mel_avgs", ("mel_avgs", "logits", "se5", "se11", "se13", "se15"), "avg_ch"),
        ("b2_3_max_ch_pool", ("b2", "b3"), "max_ch"),
        ("all_b_clf2_add_avg_max_ch_pool", ("clf2", "b5", "b11", "b13", "b15"), "add_avg_max_ch"),
        ("b12_0_cat_avg_max_ch_pool", ("b0", "b12"), "cat_avg_max_ch"),
        ("se4_b7_avg_time_pool", ("se4", "b7"), "avg_time"),
        ("all_b_avg_max_time_pool", ("b5", "b11", "b13", "b15"), "avg_max_time"),
        ("e1_l", ("logits", "clf1"), "avg_ch"),
        ("mels_block_e1_se", ("clf1", "mel_avgs", "b0", "b5", "b10", "b16", "se12", "se13", "se14", "se15"), "avg_ch"),
        ("all_se_clf", ("clf2", *(f"se{i}" for i in reference.SE_BLOCKS)), "avg_ch"),
    ],
)
def test_words(words: str, names: tuple[str, ...], pooling: str, load) -> None:
    """Names of both vocabularies choose these features in this order."""
    extractor, audio = load(f"mn01_as_{words}"), clips(6000)
    expected, _ = reference.timestamp_embeddings(embedder("mn01_as", names, pooling), audio)
    embeddings, _ = extractor.timestamp_embeddings(audio)
    assert embeddings.shape[2] == extractor.timestamp_embedding_size == extractor.scene_embedding_size
    assert_same(embeddings, expected, TOLERANCE)
    scene = reference.scene_embeddings(embedder("mn01_as", names, pooling), audio)
    assert_same(extractor.scene_embeddings(audio), scene, TOLERANCE)
    if not any(word in words for word in ("e1", "block", "clf", "pool", "_b7")):
        same = load("mn01_as", features=words.split("_"))
        assert torch.equal(same.timestamp_embeddings(audio)[0], embeddings)


@pytest.mark.parametrize("window_ms", [20, 320, 640, 1280])
def test_words_for_the_window(window_ms: int, load) -> None:
    extractor, audio = load(f"mn01_as_all_b_mel_avgs_ts{window_ms}"), clips(20000)
    window = 32 * window_ms
    assert extractor.window == window
    assert extractor.contract.window_ms == window_ms
    expected, times = reference.timestamp_embeddings(embedder("mn01_as"), audio, window)
    embeddings, timestamps = extractor.timestamp_embeddings(audio)
    assert timestamps[0].tolist() == times
    assert_same(embeddings, expected, TOLERANCE)
    # scenes have their own windows
    assert_same(extractor.scene_embeddings(audio), load("mn01_as").scene_embeddings(audio), 0)


# --- the promises ---


@pytest.mark.parametrize("engine", ["torch", "eager"])
@pytest.mark.parametrize("name", ["mn04_as", "mn10_as_hop_15"])
def test_batch_invariance(name: str, engine: str, load) -> None:
    """Row i of a batch is the clip alone, and a batch is the same bits every time."""
    extractor, audio = load(name, engine=engine), clips(9000, 4)
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


def test_engines_agree(load) -> None:
    audio = clips(16000)
    plain, folded = (load("mn04_as", engine=engine) for engine in ("eager", "auto"))
    assert (plain.engine, folded.engine) == ("eager", "torch")
    assert_same(folded.timestamp_embeddings(audio)[0], plain.timestamp_embeddings(audio)[0], 3e-5)
    assert_same(folded.scene_embeddings(audio), plain.scene_embeddings(audio), 3e-5)


@pytest.mark.parametrize("windows", [1, 3, 50])
def test_internal_batch_size_does_not_show(windows: int, mn04: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = clips(12000)
    expected, scenes = mn04.timestamp_embeddings(audio)[0], mn04.scene_embeddings(audio)
    monkeypatch.setattr(Extractor, "windows_at_once", lambda self, window: windows)
    assert_same(mn04.timestamp_embeddings(audio)[0], expected)
    assert_same(mn04.scene_embeddings(audio), scenes)


def test_samples_of_all_types(mn01: Extractor) -> None:
    """The same bits for the same sound, as an array or a tensor."""
    audio = clips(8000)
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
def test_empty_batches(n_samples: int, sample_rate: int, load) -> None:
    extractor = load("mn01_as", sample_rate)
    embeddings, times = extractor.timestamp_embeddings(torch.zeros(0, n_samples))
    count = n_samples * 20 // sample_rate + 1
    assert embeddings.shape == (0, count, extractor.timestamp_embedding_size)
    assert times.shape == (0, count)
    scenes = extractor.scene_embeddings(np.zeros((0, n_samples), np.int16))
    assert scenes.shape == (0, extractor.scene_embedding_size)
    assert embeddings.dtype == times.dtype == scenes.dtype == torch.float32


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 100, 3840, 3841, 7679, 24000])
def test_short_clips_at_the_default_rate(n_samples: int, load) -> None:
    """48000 Hz is converted to 32000, and then it is the same; one sample, which gives none, is silence."""
    presented, native = load("mn04_as", None), load("mn04_as")
    assert (presented.sample_rate, presented.net_sample_rate) == (48000, 32000)
    audio = torch.from_numpy(clips(n_samples, rate=48000))
    embeddings, times = presented.timestamp_embeddings(audio)
    scenes = presented.scene_embeddings(audio)
    assert times[0].tolist() == [50.0 * k for k in range(n_samples // 2400 + 1)]
    converted = resample(audio, 48000, 32000) if n_samples > 1 else torch.zeros(2, 1)
    assert converted.shape[1] == max(1, n_samples * 2 // 3)
    expected, _ = native.timestamp_embeddings(converted)
    assert_same(embeddings, expected)
    assert_same(scenes, native.scene_embeddings(converted))


@pytest.mark.parametrize("n_samples", [480_000, 480_001, 600_000])
def test_long_clips_at_the_default_rate(n_samples: int, load) -> None:
    presented, native = load("mn01_as", None), load("mn01_as")
    audio = torch.from_numpy(clips(n_samples, 1, rate=48000))
    converted = resample(audio, 48000, 32000)
    assert_same(presented.scene_embeddings(audio), native.scene_embeddings(converted))
    embeddings, times = presented.timestamp_embeddings(audio, hop_ms=250)
    expected, expected_times = native.timestamp_embeddings(converted, hop_ms=250)
    assert torch.equal(times, expected_times)
    assert_same(embeddings, expected)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 192000])
def test_any_rate_can_be_fed(rate: int, load) -> None:
    extractor = load("mn01_as", rate)
    audio = torch.from_numpy(clips(rate * 3 // 10, 1, rate))
    embeddings, times = extractor.timestamp_embeddings(audio)
    assert times[0].tolist() == [50.0 * k for k in range(7)]
    expected, _ = load("mn01_as").timestamp_embeddings(resample(audio, rate, 32000))
    assert_same(embeddings, expected)


@pytest.mark.parametrize("rate", [0, 7999, 192_001, 32000.5, "32000", True])
def test_rates_that_cannot_be_fed(rate: object, load) -> None:
    with pytest.raises(InvalidOption, match="sample_rate"):
        load("mn01_as", rate)


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


_CACHE: dict[tuple[str, int], Extractor] = {}


def cached(name: str, rate: int, folder: Path) -> Extractor:
    """Loaded once for all the examples of a property."""
    if (name, rate) not in _CACHE:
        _CACHE[name, rate] = hear_edgel3.load(name, folder, sample_rate=rate)
    return _CACHE[name, rate]


# --- clips too long to be held twice ---


@pytest.mark.parametrize("rate", [32000, 48000])
@pytest.mark.parametrize("n_samples", [8193, 10_001, 24_000, 39_999])
def test_long_clips_are_cut_as_they_are_read(n_samples: int, rate: int, load, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, audio = load("mn04_as", rate), clips(n_samples, 2, rate)
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


def must_not_run(*arguments: object) -> None:
    raise AssertionError("the clip was converted as a whole")


@pytest.mark.parametrize("rate", [32000, 48000])
def test_scenes_of_long_clips_are_cut_as_they_are_read(rate: int, load, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, audio = load("mn01_as", rate), clips(11 * rate + 1, 2, rate)
    expected = extractor.scene_embeddings(audio)
    monkeypatch.setattr("hear_edgel3.framing.path._LONGEST_AT_ONCE", 1 << 17)
    monkeypatch.setattr("hear_edgel3.framing.path.windows_of_batch", must_not_run)
    window = extractor.configuration.checkpoint.scene.window
    assert window is not None
    assert window < audio.shape[1]
    assert_same(extractor.scene_embeddings(audio), expected)


# --- streams and files ---


def pieces(audio: np.ndarray, sizes: Sequence[int]) -> list[torch.Tensor]:
    """A clip in blocks of these sizes, over and over."""
    blocks, start, i = [], 0, 0
    while start < len(audio):
        size = sizes[i % len(sizes)]
        blocks.append(torch.from_numpy(audio[start : start + size]))
        start, i = start + size, i + 1
    return blocks


@settings(max_examples=80, deadline=None)
@given(
    n_samples=st.one_of(st.integers(1, 30), st.integers(1, 6000), st.integers(1, 30_000)),
    sizes=st.lists(st.integers(1, 12_000), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) >= 40 * len(sizes)),
    hop_ms=st.one_of(st.sampled_from([50.0, 33.3, 160.0, 400.0]), st.floats(10.0, 700.0)),
    rate=st.sampled_from([32000, 48000, 44100, 16000]),
)
def test_a_stream_is_the_batch(
    n_samples: int, sizes: list[int], hop_ms: float, rate: int, mobilenetv3_folder: Path
) -> None:
    """Blocks of any size; clips shorter than half a window, hops longer than one."""
    extractor = cached("mn01_as_mel_avgs", rate, mobilenetv3_folder)
    audio = clips(n_samples, 1, rate)
    expected, _ = extractor.timestamp_embeddings(audio, hop_ms=hop_ms)
    framing = CentredFraming(extractor.window, 32000, hop_ms, True)
    [found] = embed_blocks([extractor], pieces(audio[0], sizes), extractor.window_path(framing, rate))
    assert_same(found, expected[0])


def test_a_stream_of_single_samples(mn04: Extractor) -> None:
    audio = clips(3000, 1)
    framing = CentredFraming(5120, 32000, 50.0, True)
    expected, _ = mn04.timestamp_embeddings(audio)
    [found] = embed_blocks([mn04], pieces(audio[0], [1]), mn04.window_path(framing, 32000))
    assert_same(found, expected[0])


@pytest.mark.parametrize("rate", [32000, 48000])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 9.99, 12.6])
def test_the_scene_of_a_stream(seconds: float, rate: int, load) -> None:
    extractor = load("mn01_as_mel_avgs", rate)
    audio = clips(round(seconds * rate) + 1, 1, rate)
    path = extractor.window_path(scene_framing(extractor.configuration), rate)
    [found] = embed_blocks([extractor], pieces(audio[0], [40_000, 12_345]), path)
    assert_same(mean_embedding(found), extractor.scene_embeddings(audio)[0])


@pytest.mark.parametrize("n_samples", [1, 2000, 2561, 40_000])
def test_a_file_is_its_samples(n_samples: int, mn04: Extractor, tmp_path: Path) -> None:
    audio = clips(n_samples, 1)
    path = tmp_path / "clip.wav"
    soundfile.write(path, audio[0], 32000, subtype="PCM_16")
    embeddings, times = mn04.timestamp_embeddings(audio)
    result = hear_edgel3.embed_file(path, mn04)
    assert_same(result.embedding, embeddings[0])
    np.testing.assert_allclose(result.timestamps * 1000, times[0], rtol=1e-7)
    assert result.hop_size == 0.05
    assert result.center is True
    wide, _ = mn04.timestamp_embeddings(audio, hop_ms=333)
    assert_same(hear_edgel3.embed_file(path, mn04, hop_size=0.333).embedding, wide[0])


def test_a_file_at_another_rate(load, tmp_path: Path) -> None:
    """The rate to feed is for arrays; a file has its own."""
    audio = clips(30_000, 1, 48000)
    path = tmp_path / "clip.wav"
    soundfile.write(path, audio[0], 48000, subtype="PCM_16")
    expected, _ = load("mn01_as", None).timestamp_embeddings(audio)
    for extractor in (load("mn01_as"), load("mn01_as", None)):
        assert_same(hear_edgel3.embed_file(path, extractor).embedding, expected[0])


def test_files_are_centred(mn01: Extractor, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, clips(1000, 1)[0], 32000)
    with pytest.raises(InvalidOption, match="center=False"):
        hear_edgel3.embed_file(path, mn01, center=False)


# --- reflection ---


def by_numpy(audio: np.ndarray, window: int, hop: float, count: int) -> np.ndarray:
    """Windows of a clip at 1000 Hz: zeros up to half a window and one sample, then NumPy's reflection."""
    half = window // 2
    padded = np.pad(np.pad(audio, (0, max(0, half + 1 - len(audio)))), half, mode="reflect")
    starts = [round(Fraction(hop) * k) for k in range(count)]
    return np.stack([padded[start : start + window] for start in starts])


@settings(max_examples=150, deadline=None)
@given(
    n_samples=st.integers(1, 300),
    half=st.integers(1, 60),
    hop=st.one_of(st.integers(1, 150).map(float), st.floats(1.0, 150.0)),
    block=st.integers(1, 301),
    group=st.integers(1, 9),
)
def test_reflection_is_numpys(n_samples: int, half: int, hop: float, block: int, group: int) -> None:
    audio = torch.stack([torch.arange(1.0, n_samples + 1), -torch.arange(1.0, n_samples + 1)])
    framing = CentredFraming(2 * half, 1000, hop, True)
    count = framing.count(n_samples, Fraction(n_samples, 1000))
    expected = np.stack([by_numpy(clip, 2 * half, hop, count) for clip in audio.numpy()])
    whole = list(windows_of_batch(audio, framing, count, group))
    np.testing.assert_array_equal(torch.cat(whole), expected.reshape(2 * count, -1))
    for i, clip in enumerate(audio):
        path = WindowPath(framing, 1000, NetInput("a net", 1000, True, clip.device), lambda window: group)
        stream = list(path.groups(torch.split(clip, block)))
        np.testing.assert_array_equal(torch.cat(stream), expected[i])
        assert all(len(windows) <= group for windows in stream)


def test_reflection_by_hand() -> None:
    framing = CentredFraming(6, 1000, 2.0, True)
    windows = torch.cat(list(windows_of_batch(torch.arange(5.0)[None], framing, 3, 10)))
    assert windows.tolist() == [[3, 2, 1, 0, 1, 2], [1, 0, 1, 2, 3, 4], [1, 2, 3, 4, 3, 2]]
    shortest = torch.cat(list(windows_of_batch(torch.ones(1, 1), framing, 1, 10)))
    assert shortest.tolist() == [[0, 0, 0, 1, 0, 0]]  # 1 0 0 0, reflected


# --- the HEAR rules ---


# lengths of the two validators: 2.0 and 3.74 s (PyPI), 1.07, 1.98, 4.0 and 2.74 s (main branch)
@pytest.mark.parametrize("seconds", [2.0, 1.07, 1.98, 4.0])
@pytest.mark.parametrize("name", ["mn04_as", "mn01_as_e1_l", "mn01_as_mel_avgs_ts640"])
def test_timestamps_obey_both_validators(name: str, seconds: float, mobilenetv3_folder: Path) -> None:
    hear = importlib.import_module(f"hear_edgel3.{name}")
    model = hear.load_model(str(mobilenetv3_folder / f"{name[:7]}.safetensors"))
    audio = torch.from_numpy(clips(int(seconds * model.sample_rate), 2, model.sample_rate))
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert embeddings.shape == (2, timestamps.shape[1], model.timestamp_embedding_size)
    steps = torch.diff(timestamps)
    assert (steps - steps.mean()).abs().max() < 1e-3
    assert timestamps[:, 0].eq(0).all()
    assert timestamps.max() <= 1000 * seconds
    assert timestamps.max() > 1000 * seconds - 50
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("seconds", [3.74, 2.74])
def test_scenes_obey_both_validators(seconds: float, mobilenetv3_folder: Path) -> None:
    hear = importlib.import_module("hear_edgel3.mn04_as_all_b_mel_avgs")
    model = hear.load_model(str(mobilenetv3_folder))
    scenes = hear.get_scene_embeddings(torch.from_numpy(clips(int(seconds * 48000), 2, 48000)), model)
    assert scenes.dtype == torch.float32
    assert scenes.shape == (2, model.scene_embedding_size)
    assert scenes.isfinite().all()


@pytest.mark.parametrize("name", MOBILENETV3)
def test_model_attributes(name: str, mobilenetv3_folder: Path) -> None:
    model = importlib.import_module(f"hear_edgel3.{name}").load_model(str(mobilenetv3_folder))
    assert model.sample_rate == 48000
    for size in (model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size):
        assert type(size) is int
    assert isinstance(model, torch.nn.Module)
    assert not any(module.training for module in model.modules())
    assert next(model.parameters()).device.type == "cpu"


def test_options_of_the_module(mobilenetv3_folder: Path) -> None:
    hear = importlib.import_module("hear_edgel3.mn01_as")
    model = hear.load_model(str(mobilenetv3_folder), sample_rate=32000, features=["clf1", "ts320"], hop_ms=100)
    embeddings, times = hear.get_timestamp_embeddings(torch.zeros(1, 32000), model)
    assert embeddings.shape == (1, 11, 96)
    assert times[0].tolist() == [100.0 * k for k in range(11)]
    assert model.window == 10240
    assert hear.get_timestamp_embeddings(torch.zeros(1, 32000), model, hop_ms=500)[1].tolist() == [[0, 500, 1000]]


def test_contract(load) -> None:
    contract = load("mn04_as", None).contract.to_dict()
    plain = {
        "sample_rate": 48000,
        "net_sample_rate": 32000,
        "window_ms": 160.0,
        "hop_ms": 50.0,
        "centred": True,
        "first_ms": 0.0,
        "minimum_samples": 1,
    }
    assert {key: contract[key] for key in plain} == plain
    assert "reflection" in contract["padding"]
    assert "2560 or fewer samples at 32000 Hz is first followed by zeros up to 2561" in contract["padding"]
    assert "up to 10 s" in contract["scene"]
    assert "2500 ms" in contract["scene"]


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(32000), "for one clip use audio"),
        (torch.zeros(2, 0), "has no samples"),
        (torch.zeros(32000, 2), "use audio.T"),
        (torch.tensor([[0.0, math.nan, 0.0]]), "sample 1 is NaN"),
        (torch.zeros(1, 100, dtype=torch.int64), "no full scale"),
    ],
)
def test_audio_that_cannot_be(audio: torch.Tensor, message: str, mn01: Extractor) -> None:
    for method in (mn01.timestamp_embeddings, mn01.scene_embeddings):
        with pytest.raises(InvalidAudio, match=message):
            method(audio)


def test_silence_is_finite(mn04: Extractor) -> None:
    for n_samples in (1, 5000):
        assert mn04.timestamp_embeddings(np.zeros((1, n_samples)))[0].isfinite().all()
        assert mn04.scene_embeddings(np.zeros((1, n_samples))).isfinite().all()


# --- as a module ---


def test_train_mode_does_not_show(load) -> None:
    """HEAR's tools never call eval(): embeddings are those of eval mode, and the caller's mode comes back."""
    extractor, audio = load("mn01_as_logits"), clips(9000)
    expected, scenes = extractor.timestamp_embeddings(audio)[0], extractor.scene_embeddings(audio)
    state = {name: value.clone() for name, value in extractor.state_dict().items()}
    extractor.train()
    assert torch.equal(extractor.timestamp_embeddings(audio)[0], expected)
    assert torch.equal(extractor.scene_embeddings(audio), scenes)
    assert all(module.training for module in extractor.modules())
    assert all(torch.equal(value, state[name]) for name, value in extractor.state_dict().items())
    assert all(name.startswith("net.") for name in state)


def test_forward_is_front_end_and_net(mn04: Extractor) -> None:
    windows = torch.from_numpy(clips(5120, 3))
    with torch.no_grad():
        found = mn04(windows)
    assert torch.equal(found, mn04.net(mn04.frontend(windows)))
    assert_same(found, embedder("mn04_as")(windows), TOLERANCE)
    assert_same(found, torch.stack([mn04.scene_embeddings(w[None])[0] for w in windows]), 3e-5)


def test_results_carry_no_gradient_and_can_be_trained_on(mn01: Extractor) -> None:
    scene = mn01.scene_embeddings(clips(5000))
    assert not scene.requires_grad
    probe = torch.nn.Linear(mn01.scene_embedding_size, 2)
    probe(scene).sum().backward()
    assert probe.weight.grad is not None


def test_inference_mode_leaves_no_traces(load) -> None:
    audio = torch.from_numpy(clips(9000))
    with torch.inference_mode():
        model = load("mn01_as_logits")
        inside = model.scene_embeddings(audio)
    assert torch.equal(model.scene_embeddings(audio), inside)
    samples = audio.clone().requires_grad_()
    model.train()(samples).square().sum().backward()
    assert samples.grad is not None
    assert all(p.grad is not None for p in model.parameters())


def test_new_weights_are_noticed(load) -> None:
    """Changed in place, the net is compiled anew; a copy and a pickle are models of their own."""
    model, audio = load("mn01_as"), clips(6000)
    before = model.scene_embeddings(audio)
    twin, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        model.net.features[0][0].weight.mul_(1.5)
    after = model.scene_embeddings(audio)
    assert not torch.equal(after, before)
    assert torch.equal(twin.scene_embeddings(audio), before)
    assert torch.equal(again.scene_embeddings(audio), before)
    assert len(pickle.dumps(model)) < 1.5e6  # 124,000 parameters, once
    model.net.select(["mel_avgs", "b5", "b11", "b13", "b15"], "max_ch")
    assert not torch.equal(model.scene_embeddings(audio), after)


@pytest.mark.parametrize(("kind", "tolerance"), [("double", 1e-6), ("half", 2e-2)])
def test_other_precisions(kind: str, tolerance: float, load) -> None:
    """As of the L3 family: the model converts, and embeddings stay float32."""
    model, audio = load("mn01_as"), clips(9000)
    expected, scenes = model.timestamp_embeddings(audio)[0], model.scene_embeddings(audio)
    getattr(model, kind)()
    found, found_scenes = model.timestamp_embeddings(audio)[0], model.scene_embeddings(audio)
    assert found.dtype == found_scenes.dtype == torch.float32
    tolerance = max(tolerance, TOLERANCE)
    assert_same(found, expected, tolerance)
    assert_same(found_scenes, scenes, tolerance)
    windows = torch.from_numpy(clips(5120))
    with torch.no_grad():
        assert model(windows).dtype == next(model.parameters()).dtype


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_default_dtype_does_not_show(kind: torch.dtype, mn01: Extractor) -> None:
    audio = clips(6000)
    expected, _ = mn01.timestamp_embeddings(audio)
    fresh = copy.deepcopy(mn01)
    fresh.frontend = fresh.configuration.checkpoint.frontend.build().eval()  # with no constants yet
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        embeddings, timestamps = fresh.timestamp_embeddings(audio)
    finally:
        torch.set_default_dtype(before)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert_same(embeddings, expected)


def test_loading_under_another_default_dtype(load, mn01: Extractor) -> None:
    audio = clips(6000)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = load("mn01_as")
        found = model.scene_embeddings(audio)
    finally:
        torch.set_default_dtype(before)
    assert found.dtype == torch.float32
    assert_same(found, mn01.scene_embeddings(audio), TOLERANCE)


def test_lengths_after_conversion() -> None:
    """What the tests above count on: two thirds, rounded down."""
    assert [resampled_length(n, 48000, 32000) for n in (1, 2, 3, 4, 5, 6)] == [0, 1, 2, 2, 3, 4]
