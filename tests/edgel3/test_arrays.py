"""The drop-in for edgel3 0.2.1: the same signatures and arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3 import edgel3
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption, OutputError, WeightsNotFound
from hear_edgel3.extractor.extractor import Extractor
from support import signals, synthetic
from support.edgel3_oracle import by_the_oracle

# --- signatures ---


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def test_signatures_and_defaults_are_the_old_ones() -> None:
    required = inspect.Parameter.empty
    old_embedding = {
        "audio": required,
        "sr": required,
        "model": None,
        "model_type": "sparse",
        "emb_dim": 128,
        "retrain_type": "ft",
        "sparsity": 95.45,
        "center": True,
        "hop_size": 0.1,
        "verbose": 1,
    }
    old_process = {
        "filepath": required,
        "output_dir": None,
        "suffix": None,
        "model": None,
        "model_type": "sparse",
        "emb_dim": 128,
        "sparsity": 95.45,
        "center": True,
        "hop_size": 0.1,
        "verbose": True,
    }
    # New options come after the old ones, so that positional calls mean what they meant.
    assert list(parameters(edgel3.get_embedding).items())[:10] == list(old_embedding.items())
    assert parameters(edgel3.get_embedding) == old_embedding | {"weights": None}
    assert list(parameters(edgel3.process_file).items())[:10] == list(old_process.items())
    assert parameters(edgel3.process_file) == old_process | {"retrain_type": "ft", "weights": None}
    assert parameters(edgel3.get_output_path) == {"filepath": required, "suffix": required, "output_dir": None}
    four = ["model_type", "emb_dim", "retrain_type", "sparsity"]
    assert list(parameters(edgel3.models.load_embedding_model))[:4] == four
    assert list(parameters(edgel3.models.load_embedding_model_path))[:4] == four


def test_old_except_clauses_catch_everything() -> None:
    for error in (InvalidAudio, InvalidOption, AudioFileError, OutputError, WeightsNotFound):
        assert issubclass(error, edgel3.EdgeL3Error)
    assert issubclass(edgel3.EdgeL3Warning, UserWarning)


# --- the same arrays ---


def test_kinds_of_results(sea: Extractor, noise: np.ndarray) -> None:
    embedding, timestamps = edgel3.get_embedding(noise, 8000, sea)
    assert isinstance(embedding, np.ndarray)
    assert isinstance(timestamps, np.ndarray)
    assert (embedding.shape, embedding.dtype) == ((11, 64), np.float32)
    assert (timestamps.shape, timestamps.dtype) == ((11,), np.float64)
    assert embedding.flags.writeable


@pytest.mark.parametrize(
    ("rate", "channels", "hop", "center"),
    [
        (8000, 1, 0.1, True),
        (44100, 2, 0.1, True),
        (44100, 2, 0.33, False),
        (16000, 5, 0.33, True),
        (22050, 1, 0.5, False),
    ],
)
def test_embeddings_are_the_oracles(rate: int, channels: int, hop: float, center: bool, sea: Extractor) -> None:
    clip = signals.clip(1.2, rate, channels, seed=rate)
    expected, times = by_the_oracle(clip, rate, hop, center)
    embedding, timestamps = edgel3.get_embedding(clip, rate, sea, hop_size=hop, center=center)
    np.testing.assert_array_equal(timestamps, times)
    np.testing.assert_allclose(embedding, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("seconds", "hop", "center", "count"),
    [
        (1.0, 0.1, True, 6),
        (2.0, 0.1, True, 16),
        (1.0, 0.1, False, 1),
        (2.0, 0.1, False, 11),
        (1.05, 0.1, False, 2),
        (0.9, 0.1, True, 5),
        (0.4, 0.1, True, 1),
        (1.5, 2.0, True, 2),
        (2.0, 0.5, False, 3),
    ],
)
@pytest.mark.filterwarnings("ignore:Duration of provided audio is shorter:hear_edgel3.edgel3.EdgeL3Warning")
def test_number_of_windows(seconds: float, hop: float, center: bool, count: int, sea: Extractor) -> None:
    clip = signals.clip(seconds, 8000)
    embedding, timestamps = edgel3.get_embedding(clip, 8000, sea, hop_size=hop, center=center)
    assert len(embedding) == count
    np.testing.assert_array_equal(timestamps, np.arange(count) * hop)


def test_the_sparse_model_at_its_own_rate(sparse: Extractor) -> None:
    window = signals.windows(48000)[:1]
    embedding, timestamps = edgel3.get_embedding(window[0], 48000, sparse, center=False)
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.testing.assert_allclose(embedding, golden["emb__sparse_95"][:1], rtol=0, atol=1e-4)
    assert timestamps.tolist() == [0.0]


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_arrays_and_files_give_the_same(rate: int, sea: Extractor, tmp_path: Path) -> None:
    clip = signals.clip(9.2, rate, 2, seed=3)  # more than one block of a file, more than one piece of an array
    soundfile.write(tmp_path / "clip.flac", clip, rate)
    embedding, timestamps = edgel3.get_embedding(clip, rate, sea, hop_size=0.7)
    from_file = hear_edgel3.embed_file(tmp_path / "clip.flac", sea, hop_size=0.7)
    np.testing.assert_array_equal(timestamps, from_file.timestamps)
    # The blocks differ, so float64 sums of the resampler may; after rounding to float32 hardly anything is left.
    np.testing.assert_allclose(embedding, from_file.embedding, rtol=0, atol=2e-5)
    assert from_file.configuration == "sea_64"


def test_process_file_writes_the_arrays_of_embed_file(sea: Extractor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.2, 11025), 11025)
    assert edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=0.25, center=False) is None
    expected = hear_edgel3.embed_file(tmp_path / "clip.wav", sea, hop_size=0.25, center=False)
    with np.load(tmp_path / "clip.npz") as found:
        np.testing.assert_array_equal(found["embedding"], expected.embedding)
        np.testing.assert_array_equal(found["timestamps"], expected.timestamps)
        assert (found["embedding"].dtype, found["timestamps"].dtype) == (np.float32, np.float64)
