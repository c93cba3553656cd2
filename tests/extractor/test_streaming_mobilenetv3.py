"""Streams and files in the MobileNetV3 family, with their reflected ends, are the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.window_net import embed_blocks, mean_embedding
from hear_edgel3.framing.rules import CentredFraming
from support.wrapper import assert_same, cached, noise_clips


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
    audio = noise_clips(n_samples, 1, rate)
    expected, _ = extractor.timestamp_embeddings(audio, hop_ms=hop_ms)
    framing = CentredFraming(extractor.window, 32000, hop_ms, True)
    [found] = embed_blocks([extractor], pieces(audio[0], sizes), extractor.window_path(framing, rate))
    assert_same(found, expected[0])


def test_a_stream_of_single_samples(mn04: Extractor) -> None:
    audio = noise_clips(3000, 1)
    framing = CentredFraming(5120, 32000, 50.0, True)
    expected, _ = mn04.timestamp_embeddings(audio)
    [found] = embed_blocks([mn04], pieces(audio[0], [1]), mn04.window_path(framing, 32000))
    assert_same(found, expected[0])


@pytest.mark.parametrize("rate", [32000, 48000])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 9.99, 12.6])
def test_the_scene_of_a_stream(seconds: float, rate: int, load_native) -> None:
    extractor = load_native("mn01_as_mel_avgs", rate)
    audio = noise_clips(round(seconds * rate) + 1, 1, rate)
    path = extractor.window_path(scene_framing(extractor.configuration), rate)
    [found] = embed_blocks([extractor], pieces(audio[0], [40_000, 12_345]), path)
    assert_same(mean_embedding(found), extractor.scene_embeddings(audio)[0])


@pytest.mark.parametrize("n_samples", [1, 2000, 2561, 40_000])
def test_a_file_is_its_samples(n_samples: int, mn04: Extractor, tmp_path: Path) -> None:
    audio = noise_clips(n_samples, 1)
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


def test_a_file_at_another_rate(load_native, tmp_path: Path) -> None:
    """The rate to feed is for arrays; a file has its own."""
    audio = noise_clips(30_000, 1, 48000)
    path = tmp_path / "clip.wav"
    soundfile.write(path, audio[0], 48000, subtype="PCM_16")
    expected, _ = load_native("mn01_as", None).timestamp_embeddings(audio)
    for extractor in (load_native("mn01_as"), load_native("mn01_as", None)):
        assert_same(hear_edgel3.embed_file(path, extractor).embedding, expected[0])


def test_files_are_centred(mn01: Extractor, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise_clips(1000, 1)[0], 32000)
    with pytest.raises(InvalidOption, match="center=False"):
        hear_edgel3.embed_file(path, mn01, center=False)
