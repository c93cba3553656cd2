"""What edgel3's users do with arrays and files, with the default model and no option but those they give."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hear_edgel3 import edgel3
from hear_edgel3.edgel3.core import get_embedding, get_output_path, process_file
from hear_edgel3.errors import AudioFileError, InvalidOption
from support import signals

RATE = 48000


@pytest.fixture(autouse=True)
def _weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))


@pytest.fixture(scope="module")
def second() -> np.ndarray:
    return signals.clip(1.0, RATE)


def test_the_default_model(second: np.ndarray) -> None:
    embedding, timestamps = get_embedding(second, RATE)
    assert (embedding.shape, embedding.dtype) == ((6, 512), np.float32)
    assert bool(np.isfinite(embedding).all())
    np.testing.assert_allclose(np.diff(timestamps), 0.1, rtol=0, atol=1e-12)
    assert timestamps[0] == 0
    model = edgel3.models.load_embedding_model("sparse", 128, "ft", 95.45)
    for verbose in (0, 1, True, False):
        again, times = get_embedding(second, RATE, model=model, verbose=verbose)
        np.testing.assert_array_equal(again, embedding)
        np.testing.assert_array_equal(times, timestamps)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("hop_size", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("seconds", [1.0, 1.3])
def test_frames_of_a_clip(seconds: float, hop_size: float, center: bool) -> None:
    """Counted as the documents say: half a window in front where centred, and the end filled up."""
    clip = signals.clip(seconds, RATE)
    embedding, timestamps = get_embedding(clip, RATE, center=center, hop_size=hop_size)
    beyond = len(clip) + (RATE // 2 if center else 0) - RATE
    assert embedding.shape == (1 + int(np.ceil(beyond / int(hop_size * RATE))), 512)
    np.testing.assert_array_equal(timestamps, np.arange(len(embedding)) * hop_size)


def test_channels_are_mixed_down(second: np.ndarray) -> None:
    expected, _ = get_embedding(second, RATE, center=False)
    stereo = np.stack([second * 1.5, second * 0.5], axis=1)
    np.testing.assert_allclose(get_embedding(stereo, RATE, center=False)[0], expected, rtol=0, atol=1e-4)


def test_other_rates_are_converted() -> None:
    for rate in (8000, 44100):
        embedding, timestamps = get_embedding(signals.clip(1.0, rate), rate, hop_size=0.5)
        assert embedding.shape == (2, 512)
        assert timestamps.tolist() == [0.0, 0.5]


def test_short_and_silent_audio(second: np.ndarray) -> None:
    with pytest.warns(edgel3.EdgeL3Warning, match="shorter than window size"):
        embedding, timestamps = get_embedding(second[:20000], RATE, center=False)
    assert (embedding.shape, timestamps.tolist()) == ((1, 512), [0.0])
    with pytest.warns(edgel3.EdgeL3Warning, match="all zeros"):
        embedding, _ = get_embedding(np.zeros(RATE), RATE)
    assert embedding.shape == (6, 512)
    assert bool(np.isfinite(embedding).all())
    with pytest.raises(edgel3.EdgeL3Error, match="empty"):
        get_embedding(np.zeros(0), RATE)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "invalid"},
        {"model_type": "invalid"},
        {"model_type": "sea", "emb_dim": 100},
        {"retrain_type": "invalid"},
        {"retrain_type": 1},
        {"center": "invalid"},
        {"sparsity": 40},
        {"sparsity": -95.45},
        {"sparsity": "invalid"},
        {"hop_size": -1},
        {"hop_size": 0},
        {"verbose": -1},
        {"audio": np.ones((10, 10, 10))},
        {"sr": 0},
    ],
    ids=lambda options: "-".join(f"{key}-{np.shape(value) or value}" for key, value in options.items()),
)
def test_invalid_arguments(options: dict[str, Any], second: np.ndarray) -> None:
    with pytest.raises(edgel3.EdgeL3Error):
        get_embedding(**({"audio": second, "sr": RATE} | options))


def test_get_output_path() -> None:
    path, folder = "/path/to/the/file/audio.wav", "/elsewhere"
    assert get_output_path(path, "embedding.npz", folder) == "/elsewhere/audio_embedding.npz"
    assert get_output_path(path, "embedding.npz") == "/path/to/the/file/audio_embedding.npz"
    assert get_output_path(path, ".npz") == "/path/to/the/file/audio.npz"


def test_process_file(second: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    source = tmp_path / "audio.wav"
    soundfile.write(source, second, RATE)
    copy = shutil.copy(source, tmp_path / "in")
    process_file(str(source), output_dir=str(tmp_path / "out"), hop_size=0.5)
    process_file(str(source), output_dir=str(tmp_path / "out"), suffix="suffix", hop_size=0.5)
    process_file(str(copy), hop_size=0.5)
    names = ["in/audio.npz", "out/audio.npz", "out/audio_suffix.npz"]
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.npz")) == names
    for name in names:
        with np.load(tmp_path / name) as data:
            assert data["embedding"].shape == (2, 512)
            assert data["timestamps"].tolist() == [0.0, 0.5]
    (tmp_path / "invalid.wav").write_text("This is not an audio file.")
    for path in (tmp_path / "invalid.wav", "/nowhere/audio.wav"):
        with pytest.raises(edgel3.EdgeL3Error) as caught:
            process_file(path, output_dir=tmp_path)
        assert isinstance(caught.value, AudioFileError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filepath": None}, r"filepath must be a path \(text or pathlib.Path\), got None"),
        ({"filepath": 5}, "filepath must be a path .*, got 5"),
        ({"filepath": b"clip.wav"}, "filepath must be a path .*, got b'clip.wav'"),
        ({"output_dir": 5}, "output_dir must be a path .*, got 5"),
        ({"suffix": 5}, "suffix must be text or None, got 5"),
    ],
)
def test_process_file_with_what_are_no_names(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=message):
        process_file(**({"filepath": tmp_path / "clip.wav"} | options))
