"""MP3 files without a count of their frames, and files of any kind that were joined."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.contents import Part
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.mpeg import frame_length
from hear_edgel3.audio.ogg import inspect
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


CHUNKED = pytest.mark.parametrize(
    ("form", "subtype"),
    [
        *(("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT")),
        *((form, "PCM_16") for form in ("RF64", "W64", "CAF", "AIFF", "AU", "FLAC")),
    ],
)


def chunked(folder: Path, form: str, subtype: str, *seconds: float, rate: int = _RATE) -> list[bytes]:
    """Files of a format in which the header gives the length."""
    written = []
    for i, length in enumerate(seconds):
        path = folder / f"encoded{i}"
        soundfile.write(path, sound(length, 1, rate), rate, subtype, format=form)
        written.append(path.read_bytes())
    return written


@CHUNKED
def test_joined_files_whose_headers_give_their_length(tmp_path: Path, form: str, subtype: str) -> None:
    """As ``cat`` makes them, or a recorder that is started again. Players play the first, and FFmpeg reads it."""
    files = chunked(tmp_path, form, subtype, 0.5001, 1.25, 0.1)
    path = tmp_path / "joined"
    path.write_bytes(b"".join(files))
    whole, duration, notes = read(path)
    assert notes == [f"it is 3 {'streams' if form == 'FLAC' else 'files'}, one after the other: all were read"]
    alone = []
    for data in files:
        (tmp_path / "alone").write_bytes(data)
        samples, _, notes = read(tmp_path / "alone")
        assert notes == []
        alone.append(samples)
    np.testing.assert_array_equal(whole, np.concatenate(alone))
    assert duration == len(whole) / _RATE
    with AudioFile(path, start=0.25, end=1.8) as file:
        clip = torch.cat(list(file.blocks(watch=False))).numpy()
    np.testing.assert_array_equal(clip, whole[round(0.25 * _RATE) : round(1.8 * _RATE)].astype(np.float32))
    # The last one may be cut, as any file.
    path.write_bytes(b"".join(files)[: -len(files[2]) // 2])
    said = r"truncated: its header says 1\.85 s, 1\.(79|80) s could be decoded"
    with pytest.raises(AudioFileError, match=r"is damaged after \d+ samples" if form in ("CAF", "FLAC") else said):
        read(path)
    path.write_bytes(files[0] + chunked(tmp_path, form, subtype, 0.5, rate=48000)[0])
    with pytest.raises(AudioFileError, match="it changes from 44100 Hz, 1 channel, to 48000 Hz, 1 channel"):
        read(path)


@pytest.mark.parametrize("seconds", [(1, 1), (1, 3), (3, 1), (2, 2, 2)])
def test_joined_flacs_of_any_lengths(tmp_path: Path, seconds: tuple[int, ...]) -> None:
    """Also of one length; what is in front of a stream, as many labels are, does not matter."""
    files = [
        (tmp_path / f"{i}.flac", 0.2 * np.random.default_rng(i).standard_normal(length * 8000))
        for i, length in enumerate(seconds)
    ]
    for path, samples in files:
        soundfile.write(path, samples, 8000)
    label = b"ID3\x03\0\0\0\0\0\x0afLaC\0\0\0\0\0\0"
    joined = tmp_path / "joined.flac"
    joined.write_bytes(label + label.join(path.read_bytes() for path, _ in files))
    found, duration, notes = read(joined)
    assert notes == [f"it is {len(files)} streams, one after the other: all were read"]
    assert duration == sum(seconds)
    np.testing.assert_array_equal(found, np.concatenate([soundfile.read(path)[0] for path, _ in files]))


def test_a_joined_wav_whose_recorder_lost_its_power(tmp_path: Path) -> None:
    first, second = chunked(tmp_path, "WAV", "PCM_16", 0.5, 1)
    path = tmp_path / "joined.wav"
    path.write_bytes(first + second[:40] + bytes(4) + second[44:])
    samples, duration, notes = read(path)
    assert (len(samples), duration) == (round(1.5 * _RATE), 1.5)
    assert notes[0] == "it is 2 files, one after the other: all were read"
    assert notes[1].startswith("of the last of them, its header gives no length")


def test_more_samples_in_a_chunk_of_their_own_are_said(tmp_path: Path) -> None:
    """Decoders read the first chunk of samples alone."""
    (data,) = chunked(tmp_path, "WAV", "PCM_16", 0.5)
    path = tmp_path / "two.wav"
    path.write_bytes(data + data[36:])
    samples, _, (note,) = read(path)
    assert len(samples) == _RATE // 2
    assert note.startswith("its header gives 0.50 s, and 44108 bytes more follow that are no part of it")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_end_says_so(tmp_path: Path, subtype: str) -> None:
    data = ogg(tmp_path, 9.1, subtype)
    found, duration, notes = read(write(tmp_path, "cut.ogg", data[: len(data) // 2]))
    assert 2 < duration < 7
    assert len(found) > 0
    assert notes == ["it has no mark of its end, which may be missing"]
    assert read(write(tmp_path, "whole.ogg", data))[2] == []


def test_many_false_beginnings_take_no_time(tmp_path: Path) -> None:
    # What looks like the first page of a stream, over and over: none of them has the right checksum.
    path = tmp_path / "a.ogg"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    soundfile.write(path, samples, 8000, format="OGG", subtype="VORBIS")
    data = path.read_bytes()
    false = b"OggS\x00\x02" + bytes(20) + b"\xff" + b"\xff" * 255
    read = [0]

    def read_at(offset: int, size: int) -> bytes:
        read[0] += min(size, 1 << 16)
        return (data + false * 400)[offset : offset + size]

    contents = inspect(read_at, len(data) + 400 * len(false), 8000)
    assert contents.parts == (Part(),)
    assert read[0] < 400 * 4200 + (1 << 18)
