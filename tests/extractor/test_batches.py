"""Batches: a row is the clip alone, whatever is beside it, however many windows are embedded at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.extractor.extractor import Extractor
from support import signals


# Row i of a batch equals the clip alone. Other batch sizes take other paths through the matrix libraries, so sums may
# be rounded differently: 2e-6 of the embedding's peak was observed, 5e-6 is allowed.
@pytest.mark.parametrize("name", ["sea_64", "sea_512", "sparse_95"])
def test_batch_invariance(name: str, weights_folder: Path) -> None:
    model = hear_edgel3.load(name, weights_folder)
    clips = np.stack([signals.clip(0.4, model.sample_rate, seed=i) for i in range(3)])
    batch, _ = model.timestamp_embeddings(clips, hop_ms=200)
    scenes = model.scene_embeddings(clips)
    peak = float(batch.abs().max())
    for i in range(3):
        alone, _ = model.timestamp_embeddings(clips[i : i + 1], hop_ms=200)
        torch.testing.assert_close(batch[i], alone[0], rtol=0, atol=5e-6 * peak)
        torch.testing.assert_close(scenes[i], model.scene_embeddings(clips[i : i + 1])[0], rtol=0, atol=5e-6 * peak)


@pytest.mark.parametrize("windows", [1, 3, 50])
def test_internal_batch_size_does_not_show(windows: int, sea: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = signals.clip(1.0, 16000)[None]
    expected, _ = sea.timestamp_embeddings(audio)
    monkeypatch.setattr(Extractor, "windows_at_once", lambda self, window: windows)
    found, _ = sea.timestamp_embeddings(audio)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-6 * float(expected.abs().max()))


def test_same_input_same_bits(sea: Extractor) -> None:
    audio = signals.clip(1.0, 16000)[None]
    assert torch.equal(sea.timestamp_embeddings(audio)[0], sea.timestamp_embeddings(audio)[0])


def test_short_clips_and_empty_batches(sea: Extractor) -> None:
    embeddings, times = sea.timestamp_embeddings(np.array([[0.5, -0.5]]))
    assert embeddings.shape == (1, 1, 64)
    assert times.tolist() == [[0.0]]
    embeddings, times = sea.timestamp_embeddings(torch.zeros(0, 16000))
    assert embeddings.shape == (0, 21, 64)
    assert times.shape == (0, 21)
    assert sea.scene_embeddings(torch.zeros(0, 16000)).shape == (0, 64)
    assert sea.contract.minimum_samples == 2
    with pytest.raises(InvalidAudio, match=r"1 samples at 16000 Hz is too short.*at least 2"):
        sea.timestamp_embeddings(torch.zeros(1, 1))


def test_many_short_sounds_are_embedded_with_a_warning(sea: Extractor) -> None:
    """They look like the channels of one clip the wrong way round, which many loaders give."""
    sounds = torch.from_numpy(signals.clip(0.4, 16000)).reshape(-1, 32)[:200].repeat(17, 1)[:3200]
    with pytest.warns(UserWarning, match=r"looks like \(n_samples, channels\).*use audio\.T"):
        found = sea.scene_embeddings(sounds)
    assert found.shape == (3200, 64)
    torch.testing.assert_close(found[7], sea.scene_embeddings(sounds[7:8])[0], rtol=0, atol=2e-5)
