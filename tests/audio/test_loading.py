"""Sound files as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.resample import resample
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption
from support import signals


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, signals.clip(9.3, 44100, channels=2), 44100, subtype="PCM_16")
    return path


def test_it_has_the_samples_of_its_file(file: Path) -> None:
    samples, rate = soundfile.read(file)
    found = hear_edgel3.load_audio(file, rate)
    assert (found.dtype, found.ndim) == (np.float32, 1)
    np.testing.assert_array_equal(found, samples.mean(axis=1).astype(np.float32))
    np.testing.assert_array_equal(hear_edgel3.load_audio(file, rate, channel=1), samples[:, 1].astype(np.float32))


def test_it_is_brought_to_the_rate_as_everywhere(file: Path) -> None:
    samples, rate = soundfile.read(file)
    expected = resample(torch.from_numpy(samples.mean(axis=1)), rate, 16000).float().numpy()
    # In blocks, products are summed in another order.
    np.testing.assert_allclose(hear_edgel3.load_audio(file, 16000), expected, rtol=0, atol=1e-7)


def test_a_part_is_what_lies_there(file: Path) -> None:
    samples, rate = soundfile.read(file, dtype="float32")
    found = hear_edgel3.load_audio(file, rate, start=1.5, end=4.0, channel=0)
    np.testing.assert_array_equal(found, samples[round(1.5 * rate) : 4 * rate, 0])


def test_bytes_are_a_file(file: Path) -> None:
    np.testing.assert_array_equal(hear_edgel3.load_audio(file.read_bytes(), 8000), hear_edgel3.load_audio(file, 8000))


def test_what_is_wrong_is_said_by_name(file: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="there is no"):
        hear_edgel3.load_audio(tmp_path / "there is no.wav", 16000)
    with pytest.raises(AudioFileError, match=r"stereo.wav .*begins at 20 s.*ends at 9.3"):
        hear_edgel3.load_audio(file, 16000, start=20)
    with pytest.raises(InvalidOption, match="sample_rate must be between 1000"):
        hear_edgel3.load_audio(file, 16)
    with pytest.raises(InvalidOption, match=r"stereo.wav.*channel"):
        hear_edgel3.load_audio(file, 16000, channel=2)
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(3), 48000)
    with pytest.raises(InvalidAudio, match=r"short.wav is too short to convert from 48000 to 8000 Hz; at least 6"):
        hear_edgel3.load_audio(short, 8000)
    bad = tmp_path / "bad.wav"
    soundfile.write(bad, np.array([0.0, np.nan, 0.0]), 48000, subtype="FLOAT")
    with pytest.raises(InvalidAudio, match=r"bad.wav: sample 1 is NaN"):
        hear_edgel3.load_audio(bad, 48000)
