"""Decoding by libsndfile: WAV and its kin, FLAC, MP3, Ogg Vorbis and Opus, AIFF, AU, CAF and more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from hear_edgel3.audio import flac, headers, mpeg, ogg
from hear_edgel3.audio.contents import Contents, Part
from hear_edgel3.audio.source import Piece, Source

SampleType = Literal["float32", "float64"]

_CHUNKED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST")
# Where libsndfile goes to the very sample that it is asked for. In Ogg Vorbis it is off by some hundred samples, and
# GSM, G.721 and the like it does not seek in at all.
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "ALAC_")
# Where it does, but what is decoded there depends on what comes before: MP3's bits, Opus's filters.
_RUN_UP_S = 3
_SKIPPED_AT_ONCE = 1 << 20
_NO_LENGTH = 1 << 62
# Where it copies samples as they are stored, and takes twice as long to make other floats of them: their type, and
# what it multiplies them with.
_COPIED_IN = ("WAV", "WAVEX", "RF64", "W64")
_COPIED = {"PCM_16": ("int16", 2.0**-15), "PCM_32": ("int32", 2.0**-31), "FLOAT": ("float32", 1.0)}


class DecodingError(Exception):
    """What is wrong with a file, without the file's name."""


class SndfileDecoder:
    """An open file, read from its beginning to its end.

    Args:
        source: what to read.

    Attributes:
        sample_rate: Its rate in Hz.
        channels: How many channels it has.
        frames: How many samples per channel it has, or had before its end was lost; None if only decoding tells.
        counted: How many samples per channel a count in its header says; None if there is no such count.
        slack: By how many samples the count may be off without anything being lost.
        notes: What its user should know, each a clause without the file's name.

    Raises:
        DecodingError: it is nothing that libsndfile reads.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        whole: tuple[Piece, ...] | None = None
        self._file = _try_open(source, Part())
        if self._file is None:
            whole = headers.readable_form(source.read_at, source.size)
            self._file = None if whole is None else _try_open(source, Part(whole))
        if self._file is None:
            _open(source, Part())  # says why
        contents = _contents(source, self._file)
        self._parts: Sequence[Part] = contents.parts
        if whole is not None and self._parts == (Part(),):
            self._parts = (Part(whole),)
        elif self._parts != (Part(),):
            self._file.close()
            self._file = _open(source, self._parts[0])
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.notes = list(contents.notes)
        self._failed: DecodingError | None = None
        self.slack = contents.slack
        self.counted, self.frames = contents.counted, contents.frames
        self._at = self._at_part = self._part_at = self._part_frames = 0
        if contents.counts_parts or self.frames is None:
            self.frames = self._count()
        if contents.counts_parts:
            self.counted = self.frames
        self._begin_part(0)

    def read(self, count: int, dtype: SampleType) -> np.ndarray:
        """The next samples.

        Args:
            count: how many per channel.
            dtype: of what type.

        Returns:
            (n, channels); fewer than ``count`` at the end or before what is damaged, and none behind the end.

        Raises:
            DecodingError: they are damaged.
        """
        if self._failed is not None:
            raise self._failed
        block = self._read(count, dtype)
        while len(block) < count and self._at_part + 1 < len(self._parts):
            try:
                self._open_part(self._at_part + 1)
            except DecodingError as error:  # what was before it is good
                if len(block) == 0:
                    raise
                self._failed = error
                break
            block = np.concatenate([block, self._read(count - len(block), dtype)])
        self._at += len(block)
        return block

    def seek(self, frame: int) -> None:
        """Goes to a sample, so that what is read then is what would be read there from the beginning on.

        Raises:
            DecodingError: what lies before is damaged.
        """
        if frame == self._at:
            return
        start = None
        if len(self._parts) == 1 and 0 <= frame < self._part_frames < _NO_LENGTH and not self._parts[0].endless:
            if self._file.format == "FLAC" or self._file.subtype.startswith(_EXACT):
                start = frame
            elif self._file.subtype.startswith(("MPEG_", "OPUS")):
                start = max(0, frame - _RUN_UP_S * self.sample_rate)
        if start is not None and (start == frame or not start <= self._at <= frame):
            try:
                self._file.seek(start)
            except _soundfile().SoundFileError as error:
                _check_source(self._source)
                raise DecodingError(reason(error)) from error
            self._at = self._part_at = start
        elif frame < self._at:
            self._open_part(0)
            self._at = 0
            self._failed = None
        while self._at < frame:
            if len(self.read(min(_SKIPPED_AT_ONCE, frame - self._at), "float32")) == 0:
                break

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read(self, count: int, dtype: SampleType) -> np.ndarray:
        # Behind the samples that a header counts there may be labels, which a decoder takes for damage.
        count = max(0, min(count, self._part_frames - self._part_at))
        try:
            block = self._numbers(count, dtype)
        except _soundfile().SoundFileError as error:
            _check_source(self._source)
            raise DecodingError(reason(error)) from error
        _check_source(self._source)
        self._part_at += len(block)
        return block

    def _numbers(self, count: int, dtype: SampleType) -> np.ndarray:
        """What libsndfile makes of the next samples, bit by bit."""
        copied = _COPIED if self._file.format in _COPIED_IN else {}
        stored, factor = copied.get(self._file.subtype, (dtype, 1.0))
        found: np.ndarray = self._file.read(count, dtype=stored, always_2d=True)
        if stored == dtype:
            return found
        floats: np.ndarray = np.multiply(found, np.dtype(dtype).type(factor), dtype=dtype, casting="same_kind")
        return floats

    def _begin_part(self, number: int) -> None:
        self._at_part = number
        self._part_at = 0
        known = self._parts[number].frames
        self._part_frames = known if known is not None and self._file.format == "FLAC" else int(self._file.frames)

    def _open_part(self, number: int) -> None:
        self._file.close()
        self._file = _open(self._source, self._parts[number])
        self._begin_part(number)
        found = int(self._file.samplerate), int(self._file.channels)
        if found != (self.sample_rate, self.channels):
            raise DecodingError(
                f"it changes from {self.sample_rate} Hz, {_channels(self.channels)}, to {found[0]} Hz, "
                f"{_channels(found[1])}; cut it there into files of their own"
            )

    def _count(self) -> int | None:
        """How many samples per channel there are in all parts; None if one of them does not know."""
        total = 0
        for part in self._parts:
            frames = part.frames
            if frames is None:
                with _open(self._source, part) as file:
                    frames = int(file.frames)
            if frames >= _NO_LENGTH or (part.endless and part.frames is None):
                return None
            total += frames
        return total


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _contents(source: Source, file: Any) -> Contents:
    """What is in a file, by its format."""
    decoded = int(file.frames)
    if file.subtype.startswith("MPEG_"):
        start, end = 0, source.size
        if file.format != "MP3":  # in a WAV file
            field = headers.data_field(source.read_at, source.size)
            if field is None:
                return Contents(frames=None)
            start, end = field.start, min(end, field.start + field.said) if field.said else end
        return mpeg.inspect(source.read_at, start, end, decoded)
    if file.format in _CHUNKED:
        if (first := headers.first_of_several(source.read_at, source.size)) is not None:
            with _open(source, first) as opened:
                decoded = int(opened.frames)
        return headers.inspect(source.read_at, source.size, decoded, int(file.samplerate))
    if file.format == "FLAC":
        return flac.inspect(source.read_at, source.size, int(file.samplerate))
    if file.format == "OGG":
        return ogg.inspect(source.read_at, source.size, decoded)
    return Contents(counted=decoded, frames=decoded)


def _try_open(source: Source, part: Part) -> Any:
    try:
        return _open(source, part)
    except DecodingError:
        return None


def _open(source: Source, part: Part) -> Any:
    if part.pieces is None and not part.endless and source.path is not None:
        # bytes, because names on POSIX need not be text
        opened: Any = str(source.path) if os.name == "nt" else os.fsencode(source.path)
    else:
        opened = source.view(part.pieces, part.endless, quiet=True)
    try:
        return _forward_file()(opened)
    except (_soundfile().SoundFileError, TypeError) as error:  # TypeError: a headerless .raw file
        _check_source(source)
        raise DecodingError(reason(error)) from error


def _check_source(source: Source) -> None:
    """Raises what reading the source has failed with, if it has: libsndfile takes that for the source's end.

    Raises:
        AudioFileError: it has.
    """
    if source.failure is not None:
        raise source.failure


def _soundfile() -> Any:
    import soundfile

    return soundfile


@cache
def _forward_file() -> type[Any]:
    soundfile = _soundfile()

    class ForwardFile(soundfile.SoundFile):  # type: ignore[misc, name-defined]
        """A sound file that is read as far as it goes.

        A SoundFile that can seek reads no further than its header says, and seeks after each read; where the header
        says too much or nothing, that seek fails, and what has been read is lost.
        """

        def seekable(self) -> bool:
            return False

    return ForwardFile


def reason(error: Exception) -> str:
    """Libsndfile's own words, without the path it repeats."""
    text: str = getattr(error, "error_string", None) or str(error)
    if "does not exist or is not a regular file" in text:  # said of every .mp3 that is none; existence was checked
        return "Format not recognised"
    return text.removeprefix("Error : ").strip().rstrip(".")
