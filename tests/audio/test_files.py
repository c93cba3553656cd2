"""Audio files: every kind that can be read, and every way one can be bad."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error, InvalidAudio, InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from support import signals


def read(path: Path) -> np.ndarray:
    with AudioFile(path) as file:
        return torch.cat(list(file.blocks())).numpy()


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("wav", {}),
        ("wav", {"subtype": "FLOAT"}),
        ("wav", {"subtype": "DOUBLE"}),
        ("wav", {"subtype": "PCM_24"}),
        ("wav", {"subtype": "PCM_U8"}),
        ("flac", {}),
        ("aiff", {}),
        ("w64", {}),
        ("caf", {}),
    ],
)
def test_lossless_files(tmp_path: Path, ending: str, options: dict[str, str], channels: int) -> None:
    clip = signals.clip(0.5, 8000, channels)
    if options.get("subtype") == "PCM_U8":
        clip = np.round(clip * 128) / 128
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, clip, 8000, **options)
    np.testing.assert_array_equal(read(path), clip if channels == 1 else torch.from_numpy(clip).mean(dim=1).numpy())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("ending", "options"), [("ogg", {}), ("mp3", {}), ("opus", {"subtype": "OPUS"})])
def test_lossy_files(tmp_path: Path, ending: str, options: dict[str, str], channels: int) -> None:
    t = np.arange(48000) / 16000
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)
    path = tmp_path / f"clip.{ending}"
    container = {"format": "OGG", **options} if options else {}
    soundfile.write(path, np.stack([tone] * channels, axis=1), 16000, **container)
    found = read(path)
    assert len(found) == 48000
    spectrum = np.abs(np.fft.rfft(found))
    assert spectrum.argmax() == 3 * 440
    assert 0.25 < np.abs(found[8000:-8000]).max() < 0.35


def test_blocks_are_short_and_complete(tmp_path: Path) -> None:
    clip = signals.clip(10.3, 8000, 2)
    soundfile.write(tmp_path / "clip.wav", clip, 8000)
    with AudioFile(tmp_path / "clip.wav") as file:
        assert file.sample_rate == 8000
        assert file.path == tmp_path / "clip.wav"
        blocks = list(file.blocks())
    assert [len(block) for block in blocks] == [32000, 32000, 18400]
    np.testing.assert_array_equal(torch.cat(blocks).numpy(), clip.mean(axis=1))


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def encoded(tmp_path: Path, ending: str, seconds: float = 8.0) -> bytes:
    path = tmp_path / f"whole.{ending}"
    soundfile.write(path, signals.clip(seconds, 16000, 2), 16000)
    return path.read_bytes()


def _directory(folder: Path) -> Path:
    (folder / "clips.wav").mkdir()
    return folder / "clips.wav"


def _no_samples(folder: Path) -> Path:
    soundfile.write(folder / "none.wav", np.zeros((0, 2)), 8000)
    return folder / "none.wav"


BAD_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zero bytes": (lambda d: write(d, "z.wav", b""), r"is empty \(0 bytes\)"),
    "zero bytes mp3": (lambda d: write(d, "z.mp3", b""), r"is empty \(0 bytes\)"),
    "garbage": (lambda d: write(d, "g.wav", np.random.RandomState(0).bytes(5000)), "cannot be read as audio: Format"),
    "text": (lambda d: write(d, "notes.txt", b"no audio here\n"), "cannot be read as audio: Format not recognised"),
    "text called wav": (lambda d: write(d, "notes.wav", b"no audio here\n"), "cannot be read as audio: Format"),
    "text called mp3": (lambda d: write(d, "notes.mp3", b"no audio here\n"), "cannot be read as audio: Format not"),
    "text called raw": (lambda d: write(d, "notes.raw", b"no audio here\n"), "cannot be read as audio"),
    "wav header cut": (lambda d: write(d, "cut.wav", encoded(d, "wav")[:30]), "cannot be read as audio"),
    "wav header only": (lambda d: write(d, "cut.wav", encoded(d, "wav")[:44]), "has no samples"),
    "aiff header only": (lambda d: write(d, "cut.aiff", encoded(d, "aiff")[:44]), "cannot be read as audio"),
    "flac header only": (
        lambda d: write(d, "cut.flac", encoded(d, "flac")[:42]),
        r"is truncated: its header says 8.00 s, 0.00 s",
    ),
    "ogg header only": (lambda d: write(d, "cut.ogg", encoded(d, "ogg")[:44]), "cannot be read as audio"),
    "flac cut at 60 %": (
        lambda d: write(d, "cut.flac", encoded(d, "flac")[: -len(encoded(d, "flac")) * 4 // 10]),
        r"is truncated: its header says 8.00 s, 4\.\d+ s could be decoded",
    ),
    "no samples": (_no_samples, "has no samples"),
    "folder": (_directory, "is a folder, not an audio file"),
    "missing": (lambda d: d / "nowhere.wav", "does not exist"),
    "missing folder": (lambda d: d / "nowhere" / "clip.wav", "does not exist"),
    "file as folder": (lambda d: write(d, "clip.wav", b"x") / "clip.wav", "does not exist"),
    "name too long": (lambda d: d / f"{'n' * 300}.wav", "cannot be opened: File name too long"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, tmp_path: Path, sea: Extractor) -> None:
    make, message = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(AudioFileError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(AudioFileError, match=message) as again:
        hear_edgel3.embed_file(path, sea)
    assert str(again.value) == str(caught.value)
    assert isinstance(again.value, OSError)


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_truncated_mp3(tmp_path: Path, percent: int, capfd: pytest.CaptureFixture[str]) -> None:
    whole = encoded(tmp_path, "mp3")
    path = write(tmp_path, "cut.mp3", whole[: len(whole) * percent // 100])
    with pytest.raises(AudioFileError, match=r"is truncated: its header says 8.00 s, (0\.|3\.9|7\.2)\d* s could be"):
        read(path)
    capfd.readouterr()  # the decoder's own remarks


def test_a_whole_mp3_is_not_called_truncated(tmp_path: Path) -> None:
    path = write(tmp_path, "whole2.mp3", encoded(tmp_path, "mp3", 0.3))
    assert len(read(path)) == 4800


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path, "clip.wav", encoded(tmp_path, "wav", 0.1))
    path.chmod(0)
    with pytest.raises(AudioFileError, match="cannot be opened: Permission denied"):
        AudioFile(path)


def test_the_systems_words_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "clip.wav", encoded(tmp_path, "wav", 0.1))

    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioFileError, match=r"clip.wav cannot be opened: Permission denied"):
        AudioFile(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [3, 31_999, 32_000, 70_000])
def test_bad_samples_in_float_files(tmp_path: Path, place: int, value: float, sea: Extractor) -> None:
    clip = signals.clip(10, 8000, 2).astype(np.float32)
    clip[place, 1] = value
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, 8000, subtype="FLOAT")
    words = f"clip.wav: sample {place} of channel 1 is {'NaN' if np.isnan(value) else 'infinite'}"
    with pytest.raises(InvalidAudio, match=words):
        hear_edgel3.embed_file(path, sea)


@pytest.mark.parametrize("rate", [1, 500, 999])
def test_rates_too_low(tmp_path: Path, rate: int, sea: Extractor) -> None:
    path = tmp_path / "slow.wav"
    soundfile.write(path, np.zeros(2000), rate)
    with pytest.raises(InvalidOption, match=f"slow.wav: the file's sample rate must be between 1000 .* got {rate}"):
        hear_edgel3.embed_file(path, sea)


def test_rates_too_high(tmp_path: Path, sea: Extractor) -> None:
    path = tmp_path / "fast.wav"
    soundfile.write(path, np.zeros(2000), 1_000_000)
    with pytest.raises(InvalidOption, match=r"fast.wav: the file's sample rate must be between .* 768000 Hz"):
        hear_edgel3.embed_file(path, sea)


@pytest.mark.parametrize("rate", [1000, 11025, 12345, 96000, 192000])
def test_unusual_rates(tmp_path: Path, rate: int, sea: Extractor) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, signals.clip(1.0, rate), rate)
    found = hear_edgel3.embed_file(path, sea)
    assert found.embedding.shape == (6, 64)
    assert np.isfinite(found.embedding).all()


def test_a_file_too_short_to_resample(tmp_path: Path, sea: Extractor) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(5), 48000)
    with pytest.raises(InvalidAudio, match=r"short.wav: audio of 5 samples at 48000 Hz is too short.*at least 6"):
        hear_edgel3.embed_file(path, sea)


def test_the_file_is_closed_after_an_error(tmp_path: Path, sea: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "cut.flac", encoded(tmp_path, "flac")[:20000])
    opened: list[AudioFile] = []
    start = AudioFile.__init__

    def remember(self: AudioFile, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options)
        opened.append(self)

    monkeypatch.setattr(AudioFile, "__init__", remember)
    with pytest.raises(HearEdgeL3Error):
        hear_edgel3.embed_file(path, sea)
    assert [file._sound._file.closed for file in opened] == [True]
