"""The HEAR functions of the MobileNetV3 family, with seeded weights: against the reference wrapper, and HEAR's rules.

Where only the framing matters, the features are mel_avgs: they take the front end and no block of the net.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidAudio
from hear_edgel3.extractor.extractor import Extractor
from support import mobilenetv3_reference as reference
from support.wrapper import TOLERANCE, assert_same, embedder, noise_clips, some, some_or_all

# --- against the reference wrapper ---


@pytest.mark.parametrize("n_samples", [1, 2, 100, 514, 2560, 2561, 5119, 16000])
@pytest.mark.parametrize("name", ["mn04_as", "mn10_as_hop_15"])
def test_short_clips(name: str, n_samples: int, load_native) -> None:
    extractor, embed, audio = load_native(name), embedder(name), noise_clips(n_samples)
    expected, times = reference.timestamp_embeddings(embed, audio)
    embeddings, timestamps = extractor.timestamp_embeddings(audio)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert timestamps.tolist() == [times, times]
    assert len(times) == n_samples // 1600 + 1
    assert_same(embeddings, expected, TOLERANCE)
    scenes = extractor.scene_embeddings(audio)
    assert scenes.dtype == torch.float32
    assert_same(scenes, reference.scene_embeddings(embed, audio), TOLERANCE)


@pytest.mark.parametrize("n_samples", [320000, 320001, 800000])
def test_timestamps_of_long_clips(n_samples: int, mn01: Extractor) -> None:
    audio = noise_clips(n_samples, 1)
    expected, times = reference.timestamp_embeddings(embedder("mn01_as"), audio, rows=some)
    embeddings, timestamps = mn01.timestamp_embeddings(audio)
    assert timestamps[0].tolist() == times
    assert embeddings.shape == (1, n_samples // 1600 + 1, mn01.timestamp_embedding_size)
    assert_same(embeddings[:, some(len(times))], expected, TOLERANCE)


@pytest.mark.parametrize(
    ("name", "n_samples"), [("mn04_as", 320000), ("mn04_as", 320001), ("mn01_as", 400001), ("mn01_as", 800000)]
)
def test_scenes_of_long_clips(name: str, n_samples: int, load_native) -> None:
    """Ten seconds in one piece; one sample more, and it is the mean of five windows."""
    audio = noise_clips(n_samples, 1)
    expected = reference.scene_embeddings(embedder(name), audio)
    assert_same(load_native(name).scene_embeddings(audio), expected, TOLERANCE)


# hops that are no whole number of samples, or longer than the window
@pytest.mark.parametrize("hop_ms", [20, 33.3, 1000 / 3, 12.5, 160.0, 777.7, 1e6])
def test_hops(hop_ms: float, mn01: Extractor) -> None:
    audio = noise_clips(31777, 1)
    expected, times = reference.timestamp_embeddings(embedder("mn01_as"), audio, hop_ms=hop_ms, rows=some_or_all)
    embeddings, timestamps = mn01.timestamp_embeddings(audio, hop_ms=hop_ms)
    np.testing.assert_array_equal(timestamps[0], np.array(times, np.float32))
    assert_same(embeddings[:, some_or_all(len(times))], expected, TOLERANCE)


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
def test_words(words: str, names: tuple[str, ...], pooling: str, load_native) -> None:
    """Names of both vocabularies choose these features in this order."""
    extractor, audio = load_native(f"mn01_as_{words}"), noise_clips(6000)
    expected, _ = reference.timestamp_embeddings(embedder("mn01_as", names, pooling), audio)
    embeddings, _ = extractor.timestamp_embeddings(audio)
    assert embeddings.shape[2] == extractor.timestamp_embedding_size == extractor.scene_embedding_size
    assert_same(embeddings, expected, TOLERANCE)
    scene = reference.scene_embeddings(embedder("mn01_as", names, pooling), audio)
    assert_same(extractor.scene_embeddings(audio), scene, TOLERANCE)
    if not any(word in words for word in ("e1", "block", "clf", "pool", "_b7")):
        same = load_native("mn01_as", features=words.split("_"))
        assert torch.equal(same.timestamp_embeddings(audio)[0], embeddings)


@pytest.mark.parametrize("window_ms", [20, 320, 640, 1280])
def test_words_for_the_window(window_ms: int, load_native) -> None:
    extractor, audio = load_native(f"mn01_as_all_b_mel_avgs_ts{window_ms}"), noise_clips(20000)
    window = 32 * window_ms
    assert extractor.window == window
    assert extractor.contract.window_ms == window_ms
    expected, times = reference.timestamp_embeddings(embedder("mn01_as"), audio, window)
    embeddings, timestamps = extractor.timestamp_embeddings(audio)
    assert timestamps[0].tolist() == times
    assert_same(embeddings, expected, TOLERANCE)
    # scenes have their own windows
    assert_same(extractor.scene_embeddings(audio), load_native("mn01_as").scene_embeddings(audio), 0)


# --- the HEAR rules ---


def test_options_of_the_module(mobilenetv3_folder: Path) -> None:
    hear = importlib.import_module("hear_edgel3.mn01_as")
    model = hear.load_model(str(mobilenetv3_folder), sample_rate=32000, features=["clf1", "ts320"], hop_ms=100)
    embeddings, times = hear.get_timestamp_embeddings(torch.zeros(1, 32000), model)
    assert embeddings.shape == (1, 11, 96)
    assert times[0].tolist() == [100.0 * k for k in range(11)]
    assert model.window == 10240
    assert hear.get_timestamp_embeddings(torch.zeros(1, 32000), model, hop_ms=500)[1].tolist() == [[0, 500, 1000]]


def test_contract(load_native) -> None:
    contract = load_native("mn04_as", None).contract.to_dict()
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
