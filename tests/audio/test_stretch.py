"""Stretches of files: the very samples that are there when the whole is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.mpeg import frame_length
from hear_edgel3.errors import AudioFileError

_RATE = 16000
_KINDS = [
    *(("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")),
    *(("WAV", subtype) for subtype in ("G721_32", "NMS_ADPCM_16")),
    *(("AIFF", "PCM_16"), ("AIFF", "DWVW_16"), ("AU", "G723_24"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("XI", "DPCM_16")),
]


def sound(n: int, channels: int) -> np.ndarray:
    """Noise with pauses: what a decoder needs of what was before lies far back."""
    noise = np.random.default_rng(0).standard_normal((n, channels))
    return np.asarray(0.2 * noise * (np.arange(n) // 7000 % 2)[:, None])


def encoded(path: Path, form: str, subtype: str, seconds: float, **options: object) -> Path:
    alone = subtype.startswith(("GSM", "G72", "NMS", "DPCM", "DWVW"))
    samples = sound(round(seconds * _RATE), 1 if alone else 2)
    with soundfile.SoundFile(path, "w", _RATE, samples.shape[1], subtype, format=form, **options) as file:
        for part in np.array_split(samples, 20):
            file.write(part)
    return path


def compare(path: Path, seed: int = 0, count: int = 12) -> None:
    with AudioFile(path) as file:
        rate, whole = file.sample_rate, torch.cat(list(file.blocks())).numpy()
    rng = np.random.default_rng(seed)
    starts = [0, 1, *rng.integers(0, len(whole) - 1, count).tolist(), len(whole) - 10, 3]
    with AudioFile(path) as file:
        for start in starts:
            length = int(rng.integers(1, 2 * rate))
            found = file.stretch(start / rate, length / rate).numpy()
            assert len(found) == min(length, len(whole) - start)
            # Other than in Opus and MP3, whose filters round, they are equal.
            np.testing.assert_allclose(found, whole[start : start + length], rtol=0, atol=1e-7)


@pytest.mark.parametrize(("form", "subtype"), _KINDS)
def test_stretches_of_every_coding(tmp_path: Path, form: str, subtype: str) -> None:
    compare(encoded(tmp_path / f"a.{form.lower()}", form, subtype, 9.5))


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "GSM610"])
def test_where_seeking_is_exact_or_impossible_they_have_equal_bits(tmp_path: Path, subtype: str) -> None:
    path = encoded(tmp_path / "a.wav", "WAV", subtype, 3.1)
    with AudioFile(path) as file:
        whole = torch.cat(list(file.blocks())).float()
    with AudioFile(path) as file:
        for start in (20000, 123, 40001):
            torch.testing.assert_close(file.stretch(start / _RATE, 0.5), whole[start:][:8000], rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_a_count(tmp_path: Path, mode: str) -> None:
    data = encoded(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III", 9.5, bitrate_mode=mode).read_bytes()
    path = tmp_path / "piped.mp3"
    path.write_bytes(data[frame_length(data)[0] :])
    compare(path, count=25)


def test_flac_without_a_count(tmp_path: Path) -> None:
    data = bytearray(encoded(tmp_path / "a.flac", "FLAC", "PCM_16", 9.5).read_bytes())
    data[21:26] = (int.from_bytes(data[21:26], "big") >> 36 << 36).to_bytes(5, "big")
    path = tmp_path / "piped.flac"
    path.write_bytes(data)
    compare(path)


def test_behind_the_end(tmp_path: Path) -> None:
    for form, subtype in (("WAV", "PCM_16"), ("OGG", "VORBIS")):
        path = encoded(tmp_path / "a", form, subtype, 2)
        with AudioFile(path) as file:
            with pytest.raises(AudioFileError, match=r"a has no samples at 2.00 s"):
                file.stretch(2, 1)
            with pytest.raises(AudioFileError, match=r"a has no samples at 77.00 s"):
                file.stretch(77, 1)
            assert len(file.stretch(1.5, 9)) == 8000
