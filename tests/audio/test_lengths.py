"""Files whose header gives no length, or a wrong one; files that were joined; files that were cut."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio import flac
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.errors import AudioFileError, AudioWarning
from hear_edgel3.extractor.extractor import Extractor
from support import signals

_RATE = 16000
_SECONDS = 9.3  # more than two blocks
_N = int(_SECONDS * _RATE)


def read(path: Path) -> tuple[np.ndarray, float, list[str]]:
    """The samples, the duration and the notes of a file."""
    with AudioFile(path) as file:
        duration = file.duration
        samples = torch.cat(list(file.blocks(watch=False))).numpy()
        return samples, duration, file.notes


def encoded(folder: Path, ending: str, n: int = _N, **options: object) -> bytes:
    path = folder / f"encoded.{ending}"
    with soundfile.SoundFile(path, "w", _RATE, 2, **options) as file:  # type: ignore[arg-type]
        file.write(signals.clip(n / _RATE, _RATE, 2))
    return path.read_bytes()


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# FLAC


def with_count(flac: bytes, count: int) -> bytes:
    """A FLAC file whose header says another number of samples."""
    word = int.from_bytes(flac[21:26], "big")
    return flac[:21] + (word >> 36 << 36 | count).to_bytes(5, "big") + flac[26:]


@pytest.mark.parametrize("count", [0, 2 * _N, 3 * _N, _N + 1000, _N // 2, 1])
@pytest.mark.parametrize("labels", [b"", b"TAG" + bytes(125)])
def test_flac_with_another_count(tmp_path: Path, count: int, labels: bytes) -> None:
    flac = encoded(tmp_path, "flac")
    right = read(write(tmp_path, "right.flac", flac))[0]
    found, duration, notes = read(write(tmp_path, "other.flac", with_count(flac, count) + labels))
    np.testing.assert_array_equal(found, right)
    assert len(found) == _N
    assert duration == _N / _RATE
    said = f"its header says {count / _RATE:.2f} s, but it has 9.30 s: all that there is was read"
    assert notes == ([] if count == 0 else [said])


def test_flac_of_an_encoder_that_was_stopped(tmp_path: Path) -> None:
    """Without a count, what is there is read, up to the last whole frame."""
    flac = encoded(tmp_path, "flac")
    right = read(write(tmp_path, "right.flac", flac))[0]
    found, duration, notes = read(write(tmp_path, "cut.flac", with_count(flac, 0)[: len(flac) * 6 // 10]))
    assert 0.5 * _N < len(found) < 0.7 * _N
    assert duration == len(found) / _RATE
    np.testing.assert_array_equal(found, right[: len(found)])
    assert notes == ["it ends in the middle of a frame: its end is missing"]


@pytest.mark.parametrize("factor", [1, 2])
def test_flac_that_was_cut(tmp_path: Path, factor: int) -> None:
    flac = with_count(encoded(tmp_path, "flac"), factor * _N)
    path = write(tmp_path, "cut.flac", flac[: len(flac) // 2])
    with pytest.raises(AudioFileError, match=rf"cut.flac is truncated: its header says {factor * 9.3:.2f} s, 4.\d\d s"):
        read(path)


def test_flac_that_was_cut_between_frames(tmp_path: Path) -> None:
    """The last frame is as long as all others: an encoder did not come to its end."""
    flac = encoded(tmp_path, "flac")
    whole = [i for i in range(42, len(flac)) if flac[i : i + 2] == b"\xff\xf8"]
    path = write(tmp_path, "cut.flac", flac[: whole[len(whole) // 2]])
    with pytest.raises(AudioFileError, match=r"cut.flac is truncated: its header says 9.30 s, [34].\d\d s"):
        read(path)


def test_labels_behind_a_flac_are_no_damage(tmp_path: Path) -> None:
    flac = encoded(tmp_path, "flac")
    assert len(read(write(tmp_path, "a.flac", flac + b"some program's notes" * 9))[0]) == _N


# WAV and its kin


def sizes(form: str, data: bytes, riff: int | None, chunk: int) -> bytes:
    """A file whose header says other lengths.

    Args:
        form: its format.
        data: the file.
        riff: of the whole; None to leave it.
        chunk: of the samples.
    """
    changed = bytearray(data)
    at, whole = {
        "WAV": (data.find(b"data") + 4, (4, "<I")),
        "WAVEX": (data.find(b"data") + 4, (4, "<I")),
        "RF64": (data.find(b"ds64") + 16, (data.find(b"ds64") + 8, "<Q")),
        "W64": (data.find(b"data\xf3") + 16, (16, "<Q")),
        "AIFF": (data.find(b"SSND") + 4, (4, ">I")),
        "AU": (8, (8, ">I")),
        "CAF": (data.find(b"data") + 4, None),
    }[form]
    if riff is not None and whole is not None:
        struct.pack_into(whole[1], changed, whole[0], riff)
    order = {"AIFF": ">I", "AU": ">I", "CAF": ">Q", "RF64": "<Q", "W64": "<Q"}.get(form, "<I")
    struct.pack_into(order, changed, at, chunk % 2 ** (32 if order[1] == "I" else 64))
    if form == "AIFF":
        struct.pack_into(">I", changed, data.find(b"COMM") + 10, 0)
    return bytes(changed)


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("riff", [None, 0, 36])
def test_a_recorder_that_lost_its_power(tmp_path: Path, form: str, riff: int | None, sea: Extractor) -> None:
    data = encoded(tmp_path, "x", format=form, subtype="PCM_16")
    right = read(write(tmp_path, "right", data))[0]
    path = write(tmp_path, "lost", sizes(form, data, riff, 0))
    found, duration, notes = read(path)
    np.testing.assert_array_equal(found, right)
    assert duration == _N / _RATE
    [note] = notes
    assert "its header gives no length" in note
    with pytest.warns(AudioWarning, match="lost: its header gives no length, as when a recorder loses its power"):
        assert hear_edgel3.embed_file(path, sea).duration == _N / _RATE


@pytest.mark.parametrize("form", ["WAV", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("size", [-1, 0x7FFFF000, 0x80000000])
def test_a_length_that_was_not_known(tmp_path: Path, form: str, size: int) -> None:
    """What programs put in that write into a pipe. It is no fault, and nothing is said."""
    if size > 0 and form in ("W64", "CAF"):
        pytest.skip("its lengths have 64 bits")
    data = encoded(tmp_path, "x", format=form, subtype="PCM_16")
    found, duration, notes = read(write(tmp_path, "piped", sizes(form, data, None, size)))
    assert len(found) == _N
    assert duration == _N / _RATE
    assert notes == []


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_24", "IMA_ADPCM", "ULAW"])
def test_codings_of_a_recorder_that_lost_its_power(tmp_path: Path, subtype: str) -> None:
    data = encoded(tmp_path, "wav", subtype=subtype)
    right = read(write(tmp_path, "right.wav", data))[0]
    found = read(write(tmp_path, "lost.wav", sizes("WAV", data, 0, 0)))[0]
    np.testing.assert_array_equal(found, right)


def test_a_file_without_samples_has_none(tmp_path: Path) -> None:
    """Labels behind an empty chunk of samples are not taken for them."""
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros((0, 2)), 8000)
    data = path.read_bytes()
    label = b"LIST" + struct.pack("<I", 4000) + b"INFO" + bytes(3996)
    with pytest.raises(AudioFileError, match="has no samples"):
        read(write(tmp_path, "labels.wav", data + label))


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST"])
def test_cut_files_are_refused(tmp_path: Path, form: str) -> None:
    data = encoded(tmp_path, "x", format=form, subtype="PCM_16")
    path = write(tmp_path, "cut", data[: len(data) // 2])
    with pytest.raises(AudioFileError, match=r"cut is truncated: its header says 9.30 s, 4.\d\d s could be decoded"):
        read(path)


@pytest.mark.parametrize("form", ["WAV", "AIFF"])
def test_a_little_that_is_missing_is_said(tmp_path: Path, form: str, sea: Extractor) -> None:
    data = encoded(tmp_path, "x", format=form, subtype="PCM_16")
    path = write(tmp_path, "short", data[: len(data) - 4 * 800])
    found, _, notes = read(path)
    assert len(found) == _N - 800
    assert notes == ["its end or another part is missing: its header says 9.30 s, 9.25 s could be decoded"]
    with pytest.warns(AudioWarning, match="short: its end or another part is missing"):
        hear_edgel3.embed_file(path, sea)


def test_bw64(tmp_path: Path) -> None:
    data = encoded(tmp_path, "x", format="RF64", subtype="PCM_16")
    found, duration, notes = read(write(tmp_path, "new.wav", b"BW64" + data[4:]))
    np.testing.assert_array_equal(found, read(write(tmp_path, "old.wav", data))[0])
    assert (duration, notes) == (_N / _RATE, [])


@pytest.mark.parametrize("form", ["WAV", "AU", "AIFF"])
def test_sound_behind_the_length_is_said(tmp_path: Path, form: str) -> None:
    """A recorder that writes the length now and then, and loses its power: or a file with another one behind it."""
    data = encoded(tmp_path, "x", format=form, subtype="PCM_16")
    if form == "AIFF":
        changed = bytearray(data)
        struct.pack_into(">I", changed, data.find(b"SSND") + 4, 4 * 40000 + 8)
        struct.pack_into(">I", changed, data.find(b"COMM") + 10, 40000)
        data = bytes(changed)
    else:
        data = sizes(form, data, None, 4 * 40000)
    found, _, notes = read(write(tmp_path, "stale", data))
    assert len(found) == 40000
    [note] = notes
    rest = 4 * (_N - 40000)
    assert note.startswith(f"its header gives 2.50 s, and {rest} bytes more follow that are no part of it: if they are")
    assert f"{(_N - 40000) / _RATE:.2f} s were left out" in note


@pytest.mark.parametrize("size", [10, 20001])
def test_chunks_behind_the_samples_are_not(tmp_path: Path, size: int) -> None:
    data = encoded(tmp_path, "wav")
    label = b"LIST" + struct.pack("<I", size) + bytes(size + size % 2)
    assert read(write(tmp_path, "a.wav", data + label + label))[2] == []


def test_flac_that_is_made_to_be_slow_is_looked_at_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is full of what looks like beginnings of frames, over each of which a checksum would be taken."""
    head = bytes([0xFF, 0xF8, 0xC9, 0x18, 0x00])
    head += bytes([flac._crc8(head)])
    info = (4096).to_bytes(2, "big") * 2 + bytes(6) + ((44100 << 44) | (15 << 36)).to_bytes(8, "big") + bytes(16)
    data = b"fLaC" + bytes([0x80, 0, 0, len(info)]) + info + (head + bytes(2)) * 60_000
    summed = []
    crc16 = flac._crc16
    monkeypatch.setattr(flac, "_crc16", lambda some: (summed.append(len(some)), crc16(some[:0]) or 1)[1])
    found = flac.inspect(lambda at, size: data[at : at + size], len(data), 44100)
    assert found.frames is None  # it says nothing, and the decoder has to see what there is
    assert 0 < sum(summed) <= 2 * flac._MOST_CHECKED
    assert max(summed) <= flac._MOST_TAIL
