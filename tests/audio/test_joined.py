"""MP3 files without a count of their frames, and files of any kind that were joined."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.mpeg import frame_length
from hear_edgel3.errors import AudioFileError, AudioWarning
from hear_edgel3.extractor.extractor import Extractor

_RATE = 44100
_DELAY = 1105  # of LAME, and of any decoder


def sound(seconds: float, channels: int = 2, rate: int = _RATE) -> np.ndarray:
    """Noise whose loudness changes, so that a variable bit rate varies."""
    n = round(seconds * rate)
    noise = np.random.default_rng(n).standard_normal((n, channels))
    return np.asarray(0.25 * noise * (np.arange(n) // (rate // 4) % 2)[:, None] + 0.001 * noise)


def mp3(folder: Path, seconds: float, mode: str = "VARIABLE", channels: int = 2, rate: int = _RATE) -> bytes:
    path = folder / "encoded.mp3"
    with soundfile.SoundFile(path, "w", rate, channels, bitrate_mode=mode, compression_level=0.6) as file:
        file.write(sound(seconds, channels, rate))
    return path.read_bytes()


def ogg(folder: Path, seconds: float, subtype: str, channels: int = 2) -> bytes:
    path = folder / f"encoded{seconds}.ogg"
    rate = 48000 if subtype == "OPUS" else _RATE
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format="OGG") as file:
        for second in np.array_split(sound(seconds, channels, rate), 1 + int(seconds)):
            file.write(second)
    return path.read_bytes()


def without_header(data: bytes) -> bytes:
    """A stream as it goes into a pipe: the first frame, which counts the others, is not there."""
    length, _ = frame_length(data[:4])
    assert b"Xing" in data[:length] or b"Info" in data[:length]
    return data[length:]


def read(path: Path) -> tuple[np.ndarray, float, list[str]]:
    with AudioFile(path) as file:
        duration = file.duration
        return torch.cat(list(file.blocks(watch=False))).numpy(), duration, file.notes


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT", "AVERAGE"])
@pytest.mark.parametrize("seconds", [0.2, 0.7, 9.1])
@pytest.mark.parametrize("label", [b"", b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)])
def test_mp3_without_a_count_is_read_to_its_end(tmp_path: Path, mode: str, seconds: float, label: bytes) -> None:
    data = mp3(tmp_path, seconds, mode)
    right = read(write(tmp_path, "counted.mp3", data))[0]
    assert len(right) == round(seconds * _RATE)
    found, duration, notes = read(write(tmp_path, "piped.mp3", label + without_header(data)))
    assert len(found) % 1152 == 0
    assert len(found) >= len(right) + _DELAY
    assert duration == len(found) / _RATE
    assert notes == []
    # The decoder begins a frame later, without what the header's frame would have put into its filters.
    np.testing.assert_allclose(found[_DELAY:][: len(right)][1152:], right[1152:], rtol=0, atol=1e-7)


def test_mp3_whose_rate_rises_is_not_cut_where_it_was_guessed_to_end(tmp_path: Path) -> None:
    """A quiet end after a loud beginning, and the other way round: the guess is wrong by factors."""
    for reverse in (False, True):
        path = tmp_path / "encoded.mp3"
        samples = np.concatenate([sound(4), 1e-6 * sound(8)])
        with soundfile.SoundFile(path, "w", _RATE, 2, bitrate_mode="VARIABLE", compression_level=0.6) as file:
            file.write(samples[::-1] if reverse else samples)
        found, duration, _ = read(write(tmp_path, "piped.mp3", without_header(path.read_bytes())))
        assert len(found) == pytest.approx(len(samples) + _DELAY, abs=1152)
        assert duration == len(found) / _RATE


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_mp3_in_wav(tmp_path: Path, mode: str) -> None:
    stream = without_header(mp3(tmp_path, 5.3, mode))
    right = read(write(tmp_path, "piped.mp3", stream))[0]
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 2, _RATE, 16000, 1, 0, 12, 1, 2, 417, 1, 0)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(stream)) + stream
    found, duration, _ = read(write(tmp_path, "a.wav", b"RIFF" + struct.pack("<I", len(chunks)) + chunks))
    np.testing.assert_array_equal(found, right)
    assert duration == len(right) / _RATE


def test_a_cut_mp3_without_a_count_is_not_called_truncated(tmp_path: Path) -> None:
    data = without_header(mp3(tmp_path, 9.1))
    assert 0.3 < read(write(tmp_path, "cut.mp3", data[: len(data) // 2]))[1] / 9.1 < 0.7


@pytest.mark.parametrize("label", [b"", b"TAG" + bytes(125), b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128)])
@pytest.mark.parametrize("modes", [("VARIABLE", "CONSTANT"), ("CONSTANT", "VARIABLE")])
def test_joined_mp3(tmp_path: Path, label: bytes, modes: tuple[str, str], sea: Extractor) -> None:
    parts = [mp3(tmp_path, seconds, mode) for seconds, mode in zip((4.2, 5.3), modes, strict=True)]
    right = np.concatenate([read(write(tmp_path, f"{i}.mp3", part))[0] for i, part in enumerate(parts)])
    path = write(tmp_path, "joined.mp3", parts[0] + label + parts[1])
    found, duration, notes = read(path)
    np.testing.assert_array_equal(found, right)
    assert duration == len(right) / _RATE == 9.5
    assert notes == ["it is 2 streams, one after the other: all were read"]
    with pytest.warns(AudioWarning, match="joined.mp3: it is 2 streams"):
        assert hear_edgel3.embed_file(path, sea).duration == 9.5


def test_joined_mp3_that_was_cut(tmp_path: Path) -> None:
    both = mp3(tmp_path, 4.2) + mp3(tmp_path, 5.3)
    with pytest.raises(AudioFileError, match=r"truncated: its header says 9.50 s, [78].\d\d s could be decoded"):
        read(write(tmp_path, "joined.mp3", both[: len(both) * 8 // 10]))


def test_mp3_that_goes_on_behind_its_count(tmp_path: Path) -> None:
    parts = mp3(tmp_path, 4.2), without_header(mp3(tmp_path, 5.3, "CONSTANT"))
    right = [read(write(tmp_path, "part.mp3", part))[0] for part in parts]
    found, duration, notes = read(write(tmp_path, "joined.mp3", b"".join(parts)))
    np.testing.assert_array_equal(found, np.concatenate(right))
    assert duration == len(found) / _RATE
    assert len(notes) == 1


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("lengths", [(4.2, 5.3), (5.3, 4.2), (2.1, 2.1, 2.1)])
def test_chained_ogg(tmp_path: Path, subtype: str, lengths: tuple[float, ...], sea: Extractor) -> None:
    parts = [ogg(tmp_path, seconds, subtype) for seconds in lengths]
    right = np.concatenate([read(write(tmp_path, f"{i}.ogg", part))[0] for i, part in enumerate(parts)])
    path = write(tmp_path, "chain.ogg", b"".join(parts))
    found, duration, notes = read(path)
    np.testing.assert_array_equal(found, right)
    assert duration == pytest.approx(sum(lengths), abs=1e-9)
    assert notes == [f"it is {len(lengths)} streams, one after the other: all were read"]
    with AudioFile(path) as file:
        place = lengths[0] - 0.1  # over a joint
        first = round(place * file.sample_rate)
        np.testing.assert_allclose(file.stretch(place, 0.3), right[first:][: len(file.stretch(place, 0.3))], atol=1e-7)


@pytest.mark.parametrize(
    ("ending", "parts"),
    [
        ("ogg", [lambda d: ogg(d, 1.2, "VORBIS"), lambda d: ogg(d, 1.3, "VORBIS", 1)]),
        ("ogg", [lambda d: ogg(d, 1.2, "VORBIS"), lambda d: ogg(d, 1.3, "OPUS")]),
        ("mp3", [lambda d: mp3(d, 1.2), lambda d: mp3(d, 1.3, rate=48000)]),
        ("mp3", [lambda d: mp3(d, 1.2), lambda d: mp3(d, 1.3, channels=1)]),
    ],
)
def test_joined_files_that_differ(tmp_path: Path, ending: str, parts: list) -> None:  # type: ignore[type-arg]
    path = write(tmp_path, f"joined.{ending}", b"".join(make(tmp_path) for make in parts))
    with pytest.raises(AudioFileError, match=r"joined.\w+ is damaged after \d+ samples \(1.20 s\): it changes from"):
        read(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_end_says_so(tmp_path: Path, subtype: str) -> None:
    data = ogg(tmp_path, 9.1, subtype)
    found, duration, notes = read(write(tmp_path, "cut.ogg", data[: len(data) // 2]))
    assert 2 < duration < 7
    assert len(found) > 0
    assert notes == ["it has no mark of its end, which may be missing"]
    assert read(write(tmp_path, "whole.ogg", data))[2] == []
