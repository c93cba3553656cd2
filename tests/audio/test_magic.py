"""Files that come where raw samples should, and samples that look like files."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from hear_edgel3.audio.magic import Beginning, begins_like_frames, frames_of, kind_of

_RANDOM = np.random.default_rng(0).bytes(300_000)


def kind(data: bytes, portion: int = 1 << 16) -> str | None:
    beginning = Beginning()
    for i in range(0, len(data), portion):
        if (found := beginning.take(data[i : i + portion])) is not None:
            return found
    return beginning.take(b"", last=True)


def frames(head: bytes, length: int) -> bytes:
    """A sequence of frames whose sound is silence: their bytes are not random."""
    return (head + bytes(length - len(head))) * 20


@pytest.mark.parametrize("portion", [1, 5, 4096, 1 << 16])
@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a WAV or AVI file"),
        (b"BW64\xff\xff\xff\xffWAVE", "a BW64 file"),
        (b"FORM\x00\x01\x00\x00AIFF", "an AIFF file"),
        (b"fLaC\x00\x00\x00\x22\x10\x00\x10\x00", "a FLAC file"),
        (b"OggS\x00\x02" + bytes(8), "an Ogg file"),
        (b".snd\x00\x00\x00\x18" + bytes(8), "an AU file"),
        (b"caff\x00\x01\x00\x00desc", "a CAF file"),
        (b"ID3\x04\x00\x00\x00\x00\x02\x01TSSE", "an MP3 file"),
        (bytes.fromhex("1a45dfa3") + bytes(8), "a Matroska or WebM file"),
        (bytes.fromhex("000000206674797069736f6d"), "an MP4, M4A or MOV file"),
        (bytes.fromhex("0000001c667479704d344120"), "an MP4, M4A or MOV file"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa"), "a Windows Media file"),
        (b"#!AMR-WB\n" + bytes(8), "an AMR file"),
        (bytes.fromhex("fffb90c0"), "an MP3 or MP2 file"),
        (bytes.fromhex("fff35080"), "an MP3 or MP2 file"),
        (bytes.fromhex("fff15080"), "an AAC file"),
        (bytes.fromhex("fff94c80"), "an AAC file"),
    ],
)
def test_files_are_noticed(head: bytes, name: str, portion: int) -> None:
    assert kind(head + _RANDOM[:20000], portion) == name
    assert kind_of(head) == name or begins_like_frames(head + _RANDOM[:2])


@pytest.mark.parametrize(
    ("head", "length", "name"),
    [
        ("fffb90c0", 417, "an MP3 or MP2 file"),  # 128 kbit/s at 44100 Hz
        ("fff3e4c4", 576, "an MP3 or MP2 file"),  # MPEG 2, 160 kbit/s at 24000 Hz with no padding: 480
        ("fff150800c9ffc", 100, "an AAC file"),
        ("0b770000083a", 256, "an AC-3 file"),  # 64 kbit/s at 48000 Hz: 256
        ("47400010", 188, "an MPEG transport stream"),
    ],
)
def test_frames_that_follow_each_other_are_noticed(head: str, length: int, name: str) -> None:
    if head == "fff3e4c4":
        length = 480
    data = frames(bytes.fromhex(head), length)
    assert kind(data) == name


@pytest.mark.parametrize("form", ["MP3", "WAV", "FLAC", "OGG", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_real_files_are_noticed(form: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal((20000, 2)), 44100, format=form)
    assert kind(file.getvalue()) is not None
    assert kind(file.getvalue(), 3) is not None


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<i4", "<f4", "u1", "i1"])
def test_samples_are_never_taken_for_files(dtype: str) -> None:
    """Recordings of any loudness; those that begin as a frame would are a few of them, and are looked at."""
    rng = np.random.default_rng(1)
    alike = 0
    for _ in range(20_000):
        scale = 10 ** rng.uniform(-4.5, -0.3)
        start = encoded(scale * rng.standard_normal(128), dtype)
        assert kind_of(start) is None
        if begins_like_frames(start):
            alike += 1
            assert kind(start + encoded(scale * rng.standard_normal(9000), dtype)) is None
    if dtype == ">i2":  # -5 begins like MP3 there
        assert alike > 100


@pytest.mark.parametrize("first", ["fffb90c0", "fff15080", "0b770000083a"])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 0.01, 0.1, 0.3, 1.0])
def test_samples_that_begin_like_a_frame(first: str, scale: float) -> None:
    """Noise up to full scale, and a tone."""
    t = np.arange(20000) / 44100
    for sound in (np.random.default_rng(0).standard_normal(20000) / 3, np.sin(2 * np.pi * 441 * t)):
        data = bytes.fromhex(first) + encoded(scale * sound, "<i2")
        assert begins_like_frames(data)
        assert frames_of(data[:8192]) is None
        assert kind(data) is None
        assert kind(data[:600]) is None


def encoded(samples: np.ndarray, dtype: str) -> bytes:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return samples.astype(kind).tobytes()
    full = 2.0 ** (8 * kind.itemsize - 1)
    values = np.clip(np.round(samples * full), -full, full - 1) + (full if kind.kind == "u" else 0)
    return values.astype(kind).tobytes()
