"""Arrays whose rate is said, clips of different lengths, and files as scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.errors import AudioWarning, InvalidAudio, InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from support import signals


@pytest.fixture(scope="module", params=["tiny", "sea"])
def extractor(request: pytest.FixtureRequest) -> Extractor:
    return hear_edgel3.load() if request.param == "tiny" else request.getfixturevalue("sea")


def test_the_rate_of_an_array_can_be_said(extractor: Extractor) -> None:
    audio = torch.from_numpy(signals.clip(2.1, 22050))[None].float()
    made_for_it = Extractor(extractor.configuration, extractor.frontend, extractor.net, 22050).eval()
    embeddings, timestamps = extractor.timestamp_embeddings(audio, sample_rate=22050)
    expected, times = made_for_it.timestamp_embeddings(audio)
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=0)
    torch.testing.assert_close(timestamps, times, rtol=0, atol=0)
    scenes = extractor.scene_embeddings(audio, sample_rate=22050)
    torch.testing.assert_close(scenes, made_for_it.scene_embeddings(audio), rtol=0, atol=0)
    assert not torch.allclose(scenes, extractor.scene_embeddings(audio), rtol=0, atol=1e-3)
    lists = extractor.scene_embeddings([audio[0], audio[0, :30000]], sample_rate=22050)
    torch.testing.assert_close(lists[0], scenes[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("wrong", [0, 48000.5, "48000", True])
def test_a_rate_that_is_none_is_refused(extractor: Extractor, wrong: object) -> None:
    for method in (extractor.scene_embeddings, extractor.timestamp_embeddings, extractor.timestamp_embeddings_of_each):
        with pytest.raises(InvalidOption, match="sample_rate must be"):
            method(np.zeros((1, 48000)), sample_rate=wrong)  # type: ignore[operator]


def test_clips_of_different_lengths_have_the_timestamps_that_they_have_alone(extractor: Extractor) -> None:
    clips = [signals.clip(seconds, extractor.sample_rate).astype(np.float32) for seconds in (1.0, 2.3, 0.4)]
    found = extractor.timestamp_embeddings_of_each(clips, hop_ms=100)
    assert len(found) == 3
    for clip, (embeddings, timestamps) in zip(clips, found, strict=True):
        expected, times = extractor.timestamp_embeddings(clip[None], hop_ms=100)
        torch.testing.assert_close(embeddings, expected[0], rtol=0, atol=0)
        torch.testing.assert_close(timestamps, times[0], rtol=0, atol=0)
    [(embeddings, _)] = extractor.timestamp_embeddings_of_each([clips[2].tolist()], hop_ms=100)
    torch.testing.assert_close(embeddings, found[2][0], rtol=0, atol=1e-6)


def test_a_bad_clip_is_named(extractor: Extractor) -> None:
    clip = signals.clip(1.0, extractor.sample_rate).astype(np.float32)
    bad = clip.copy()
    bad[9] = np.inf
    with pytest.raises(InvalidAudio, match="clip 1 of clips: sample 9 is infinite"):
        extractor.timestamp_embeddings_of_each([clip, bad])


def test_a_clip_that_is_too_loud_is_named() -> None:
    tiny = hear_edgel3.load()
    clips = [signals.clip(1.0, tiny.sample_rate).astype(np.float32) * np.float32(scale) for scale in (1, 1e30)]
    with pytest.warns(AudioWarning), pytest.raises(InvalidAudio, match=r"clip 1 of clips.*too loud"):
        tiny.timestamp_embeddings_of_each(clips)


def test_an_embedding_has_its_size(extractor: Extractor) -> None:
    audio = signals.clip(0.5, extractor.sample_rate)[None]
    assert extractor.scene_embeddings(audio).shape == (1, extractor.embedding_size)


def test_a_file_has_one_scene_embedding(extractor: Extractor, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    samples = signals.clip(12.5, 44100, channels=2)
    soundfile.write(path, samples, 44100, subtype="FLOAT")
    found = hear_edgel3.embed_scene(path, extractor)
    assert (found.shape, found.dtype) == ((extractor.embedding_size,), np.float32)
    expected = extractor.scene_embeddings(samples.mean(axis=1)[None], sample_rate=44100)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    part = hear_edgel3.embed_scene(path, extractor, channel=1, start=2.0, end=3.0)
    expected = extractor.scene_embeddings(samples[88200:132300, 1][None], sample_rate=44100)[0].numpy()
    np.testing.assert_allclose(part, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_a_scene_of_a_file_is_what_a_job_writes(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    soundfile.write(tmp_path / "clip.wav", signals.clip(70.0, 16000), 16000)
    hear_edgel3.extract(tmp_path / "clip.wav", tmp_path / "out")
    row = pq.read_table(next((tmp_path / "out").glob("**/*.parquet")))["embedding"][0].as_py()
    np.testing.assert_allclose(hear_edgel3.embed_scene(tmp_path / "clip.wav"), row, rtol=0, atol=1e-6)


def test_embeddings_are_a_table_of_pandas(extractor: Extractor, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    path = tmp_path / "clip.wav"
    soundfile.write(path, signals.clip(1.5, 16000, channels=2), 16000)
    clip = hear_edgel3.embed_file(path, extractor)
    table = clip.to_pandas()
    assert table.index.name == "timestamp"
    np.testing.assert_array_equal(table.index, clip.timestamps)
    np.testing.assert_array_equal(table.to_numpy(), clip.embedding)
    both = hear_edgel3.embed_file(path, extractor, channel="each")
    table = both.to_pandas()
    assert table.index.names == ["channel", "timestamp"]
    np.testing.assert_array_equal(table.loc[1].to_numpy(), both.embedding[1])
