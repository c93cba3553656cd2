"""Bytes and file objects in place of files."""

from __future__ import annotations

import io
import mmap
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.mpeg import frame_length
from hear_edgel3.errors import AudioFileError
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.media import encode


class Pipe(io.RawIOBase):
    """What can be read once, and in small portions."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), 1000, len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", signals.clip(5.3, 16000, 2), 16000)
    return tmp_path / "a.wav"


def sources(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    at_its_end = io.BytesIO(data)
    at_its_end.seek(0, io.SEEK_END)
    return {
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "memoryview of every second byte": memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2],
        "BytesIO": io.BytesIO(data),
        "BytesIO at its end": at_its_end,
        "buffered pipe": io.BufferedReader(Pipe(data)),
        "pipe": Pipe(data),
        "path as text": str(path),
    }


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_object_gives_the_samples_of_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, signals.clip(5.3, 16000, 2), 16000, format=kind)
    with AudioFile(path) as file:
        right, duration = torch.cat(list(file.blocks())), file.duration
    for source in sources(path).values():
        with AudioFile(source) as file:
            assert file.duration == duration
            torch.testing.assert_close(torch.cat(list(file.blocks())), right, rtol=0, atol=0)
            torch.testing.assert_close(file.stretch(2, 1), right[32000:48000].float(), rtol=0, atol=1e-7)


def test_embed_file_and_tag_take_them(path: Path) -> None:
    tagger, extractor = hear_edgel3.Tagger(), hear_edgel3.load()
    embedded, tagged = hear_edgel3.embed_file(path, extractor), tagger.tag_file(path)
    for source in sources(path).values():
        np.testing.assert_array_equal(hear_edgel3.embed_file(source, extractor).embedding, embedded.embedding)
    for source in sources(path).values():
        np.testing.assert_array_equal(tagger.tag_file(source).logits, tagged.logits)
    np.testing.assert_array_equal(hear_edgel3.tag(path.read_bytes()).logits, tagged.logits)
    with path.open("rb") as opened:
        np.testing.assert_array_equal(hear_edgel3.tag(opened).logits, tagged.logits)
        assert not opened.closed  # it is the caller's


def test_what_has_no_name_is_called_by_what_it_is(path: Path, sea: Extractor) -> None:
    garbage = np.random.default_rng(0).bytes(5000)
    closed = io.BytesIO(garbage)
    closed.close()
    cases: list[tuple[Any, str]] = [
        (garbage, "^<5000 bytes> cannot be read as audio: Format"),
        (io.BytesIO(garbage), "^<BytesIO> cannot be read as audio: Format"),
        (b"", r"^<0 bytes> is empty \(0 bytes\)"),
        (io.BytesIO(), r"^<BytesIO> is empty \(0 bytes\)"),
        (
            b"a.wav",
            r"^<5 bytes> cannot be read as audio: .* \(bytes are taken for those of a file; give a path as a str",
        ),
        (io.StringIO("RIFF"), "^<StringIO> was opened as text; open it with mode 'rb'"),
        (7, "^<int> cannot be read as audio: it must be a str or a Path, or bytes or a binary file object, got 7"),
        (closed, r"^<BytesIO> cannot be read: I/O operation on closed file"),
        ("", "^a file's name is empty"),
        (path.read_bytes()[: 5 * 16000], "^<80000 bytes> is truncated: its header says 5.30 s, 1.25 s"),
    ]
    for source, message in cases:
        with pytest.raises(AudioFileError, match=message):
            hear_edgel3.embed_file(source, sea)


def test_a_file_object_has_its_name(tmp_path: Path, sea: Extractor) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    opened: BinaryIO
    with bad.open("rb") as opened, pytest.raises(AudioFileError, match=r"bad.wav cannot be read as audio"):
        hear_edgel3.embed_file(opened, sea)


class Failing(io.BytesIO):
    """What cannot be read behind a place, as when a connection breaks off."""

    def __init__(self, data: bytes, good: int, error: Exception) -> None:
        super().__init__(data)
        self._good = good
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._good:
            raise self._error
        return super().read(size)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["WAV", "MP3 without a count", "CAF", "M4A"])
@pytest.mark.parametrize("good", [0, 100_000])
def test_a_read_that_fails_is_an_error_and_never_the_end_of_a_sound(tmp_path: Path, kind: str, good: int) -> None:
    path = tmp_path / f"a.{kind[:3].lower()}"
    if kind == "M4A":
        pytest.importorskip("av", reason="needs the extra media")
        encode(path, "alac", np.random.default_rng(0).integers(-9999, 9999, (2, 100_000)).astype(np.int16), 16000)
    else:
        soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, (400_000, 2)), 16000)
    data = path.read_bytes()
    if kind.startswith("MP3"):
        data = data[frame_length(data[:4])[0] :]  # without the frame that says how many there are
    assert len(data) > 110_000
    for error in (OSError(5, "Input/output error"), ValueError("the connection broke off")):
        for use in (hear_edgel3.load_audio, durations):
            with pytest.raises(AudioFileError, match=r"^<Failing> cannot be read: (Input/output|the connection broke)"):
                use(Failing(data, good, error), 16000)


def durations(source: Any, rate: int) -> float:
    with AudioFile(source) as file:
        return sum(len(block) for block in file.blocks()) / rate


def test_a_mapped_file_is_a_sound(path: Path) -> None:
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        np.testing.assert_array_equal(
            hear_edgel3.load_audio(cast(BinaryIO, mapped), 16000), hear_edgel3.load_audio(path, 16000)
        )
