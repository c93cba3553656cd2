"""Audio files, decoded in blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

from hear_edgel3._checks import check_seconds
from hear_edgel3.audio.channels import MEAN, Mixer, check_channel, warn
from hear_edgel3.audio.media import LONGEST_S, MediaFile, may_be_media
from hear_edgel3.audio.samples import check_finite
from hear_edgel3.audio.sndfile import DecodingError, SndfileDecoder
from hear_edgel3.audio.source import SoundSource, Source, name_of
from hear_edgel3.audio.span import span
from hear_edgel3.errors import AudioFileError, ComputationError, InvalidAudio, InvalidOption, MissingExtra

_BLOCK_SECONDS = 4
# Bytes that may have been meant as the name of a file.
_LONGEST_NAME = 4096
# A clip longer than this is read in pieces.
_PIECE_SECONDS = 60


class AudioFile:
    """An audio file opened for reading in blocks, mixed down to mono.

    Use it as a context manager.

    Args:
        path: a file in any format libsndfile reads (wav, flac, ogg, mp3, aiff, ...), or, with the extra ``media``, in
            most that FFmpeg reads (m4a, wma, webm, the sound of videos, ...); or the bytes of one, or a binary file
            object, which is read from its beginning and is not closed.
        opened: a binary file object to read instead; then the path is only what it is called in errors.
        channel: what of its channels: "mean" of all, or the number of one, from 0; or "each", for :meth:`each` alone.
        start: where a clip of it begins, in seconds; then :meth:`blocks` and :meth:`each` are of this clip. None for
            the beginning.
        end: where the clip ends, in seconds of the file; None for the end.

    Attributes:
        path: where it is, or what it is called.
        name: what it is called in errors: its path, and the seconds of a clip.
        start: where the clip begins; None if it is all of the file.
        end: where the clip ends; None for the file's end.
        sample_rate: in Hz.
        channels: how many it has.
        channel: what of its channels blocks are.
        notes: what its user should know of it, each a clause that begins with "it" or "its".

    Raises:
        AudioFileError: missing, a folder, a pipe or device, empty, or not audio, or only with the extra ``media``.
        InvalidOption: ``channel`` is neither.
    """

    def __init__(
        self,
        path: SoundSource,
        opened: BinaryIO | None = None,
        channel: int | str = MEAN,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        self.path = Path(name_of(path))
        begin = None if start is None else check_seconds(start, "start")
        self.start = begin if end is None else begin or 0.0
        self.end = None if end is None else check_seconds(end, "end", infinite=True)
        self.name = str(self.path) if self.start is None else f"{self.path} ({span(self.start, end)})"
        self.channel = check_channel(channel, each=True)
        self.notes: list[str] = []
        name = os.fspath(self.path)
        self._sound: SndfileDecoder | None = None
        self._media: MediaFile | None = None
        self._source = Source(path if opened is None else opened, name)
        try:
            self._open(opened)
        except BaseException:
            self._source.close()
            raise

    def _open(self, opened: BinaryIO | None) -> None:
        try:
            self._sound = SndfileDecoder(self._source)
            self.sample_rate, self.channels = self._sound.sample_rate, self._sound.channels
            self.notes += self._sound.notes
        except DecodingError as error:
            if self._source.path is None:
                # Also of what was given opened, so that errors in reading it have its name.
                opened = self._source.view()
            self._media = _media_file(self.path, opened)
            if self._media is None:
                short = self._source.path is None and self._source.size <= _LONGEST_NAME
                hint = " (bytes are taken for those of a file; give a path as a str or a Path)" if short else ""
                raise AudioFileError(f"{self.path} cannot be read as audio: {error}{hint}") from error
            self.sample_rate, self.channels = self._media.sample_rate, self._media.channels

    @property
    def n_bytes(self) -> int:
        """How many bytes the file has."""
        return self._source.size

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to so many bytes of the file from a place on, whatever they are; fewer at its end."""
        return self._source.read_at(offset, size)

    @property
    def duration(self) -> float:
        """Seconds, as the header says, where it is right; else counted, by decoding all if need be."""
        if self._media is not None:
            return self._media.duration
        assert self._sound is not None
        frames = self._sound.frames
        if frames is None or frames > LONGEST_S * self.sample_rate:
            frames = self._sound.frames = self._counted()
        return frames / self.sample_rate

    def _counted(self) -> int:
        decoder = SndfileDecoder(self._source)
        total = 0
        try:
            while n := len(decoder.read(_BLOCK_SECONDS * self.sample_rate, "float32")):
                total += n
        except DecodingError:  # said when it is read
            pass
        finally:
            decoder.close()
        return total

    def stretch(self, start: float, seconds: float) -> torch.Tensor:
        """Part of the file, mixed down: the very samples that :meth:`blocks` has there.

        In some formats (Ogg Vorbis, GSM, those of the extra ``media``) all that is before must be decoded to find it.

        Args:
            start: seconds from its beginning.
            seconds: how much; less is given where the file ends before.

        Returns:
            (n,) float32.

        Raises:
            AudioFileError: that part is damaged or lies behind the end.
            InvalidAudio: a sample is not finite.
        """
        first = round(start * self.sample_rate)
        return self._part(first, round(seconds * self.sample_rate), Mixer(str(self.path), self.channel))

    def _part(self, first: int, count: int, mixer: Mixer) -> torch.Tensor:
        """So many samples from a place on, mixed down."""
        start = first / self.sample_rate
        if self._media is not None:
            samples = torch.from_numpy(self._media.stretch(first, count))
        else:
            assert self._sound is not None
            try:
                self._sound.seek(first)
                samples = torch.from_numpy(self._sound.read(count, "float32")).T
            except DecodingError as error:
                raise AudioFileError(f"{self.path} is damaged at {start:.2f} s: {error}") from error
        if samples.shape[1] == 0:
            raise AudioFileError(f"{self.path} has no samples at {start:.2f} s")
        peak = check_finite(samples, str(self.path), first, "channel")
        return mixer.mix(samples, peak)

    def blocks(self, watch: bool = True) -> Iterator[torch.Tensor]:
        """Yields the file as (n,) float64 blocks of a few seconds: the mean over channels, as edgel3 mixes, or one.

        Of a clip, the blocks are float32. Its first sample is the one nearest to its start, and it ends before the one
        nearest to its end, or with the file, if that is earlier.

        Args:
            watch: whether to warn at the end of what the notes say, of channels that cancel each other, and of samples
                far beyond full scale.

        Raises:
            AudioFileError: the file has no samples, is damaged, or ends before its header says; the clip begins behind
                its end, or has no sample.
            InvalidAudio: a sample is not finite.
            InvalidOption: it has no such channel.
        """
        mixer = Mixer(str(self.path), self.channel)
        if self.start is not None:
            yield from self._of_clip(self.start, mixer)
        else:
            read = 0
            for samples in self._channels():
                peak = check_finite(samples, str(self.path), read, "channel")
                read += samples.shape[1]
                yield mixer.mix(samples, peak)
        if watch:
            for note in self.notes:
                warn(f"{self.path}: {note}")
            mixer.finish()

    def _of_clip(self, start: float, mixer: Mixer) -> Iterator[torch.Tensor]:
        """The samples of the clip."""
        rate = self.sample_rate
        n_samples = round(self.duration * rate)
        first = round(start * rate)
        if start >= self.duration or first >= n_samples:
            raise AudioFileError(
                f"{self.name}: the clip begins at {start:g} s, and the file ends at {self.duration:g} s; if files are "
                f"cut already, take them whole (--whole-files)"
            )
        last = n_samples if self.end is None or self.end >= self.duration else round(self.end * rate)
        if last <= first:
            raise AudioFileError(f"{self.name}: the clip is shorter than a sample at {rate} Hz")
        while first < last:
            length = min(last - first, _PIECE_SECONDS * rate)
            block = self._part(first, length, mixer)
            yield block
            first += len(block)
            if len(block) < length:
                if is_truncated(first, n_samples):
                    raise AudioFileError(
                        f"{self.name}: the file is truncated, it ends at {first / rate:g} s, inside the clip"
                    )
                return

    def each(self) -> Iterator[AudioFile]:
        """The file, or clip, once for each channel, opened anew; each is closed when the next is asked for."""
        for channel in range(self.channels):
            path = self._source.path
            opened = None if path else self._source.view()
            with AudioFile(path or self.path, opened, channel, start=self.start, end=self.end) as file:
                yield file

    def _channels(self) -> Iterator[torch.Tensor]:
        """Yields the file as (channels, n) float64 blocks, not checked for what is not finite."""
        if self._media is not None:
            for decoded in self._media.blocks():
                yield torch.from_numpy(decoded).double()
            return
        assert self._sound is not None
        read = 0
        while True:
            try:
                block = self._sound.read(_BLOCK_SECONDS * self.sample_rate, "float64")
            except DecodingError as error:
                raise AudioFileError(
                    f"{self.path} is damaged after {read} samples ({read / self.sample_rate:.2f} s): {error}"
                ) from error
            if len(block) == 0:
                break
            read += len(block)
            yield torch.from_numpy(block).T
        self._check_end(read, self._sound.counted, self._sound.slack)

    def _check_end(self, read: int, counted: int | None, slack: int) -> None:
        """Compares what has been read with what the header counts, if it counts."""
        said = ""
        if counted is not None and read < counted - slack:
            said = (
                f"its header says {counted / self.sample_rate:.2f} s, {read / self.sample_rate:.2f} s could be decoded"
            )
        if said and counted is not None and is_truncated(read, counted):
            raise AudioFileError(f"{self.path} is truncated: {said}")
        if read == 0:
            raise AudioFileError(f"{self.path} has no samples")
        if said:
            self.notes.append(f"its end or another part is missing: {said}")

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for decoder in (self._sound, self._media):
            if decoder is not None:
                decoder.close()
        self._source.close()


def is_truncated(read: float, counted: float) -> bool:
    """Whether a file is cut short; a header's count may be off by a frame or so, and then it is off by far more."""
    return read < 0.99 * counted


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name into errors about audio, options and what nets make of it that lack it."""
    try:
        yield
    except (InvalidAudio, InvalidOption, ComputationError) as error:
        text = str(error)
        raise type(error)(text if str(path) in text else f"{path}: {text}") from error


def _media_file(path: Path, opened: BinaryIO | None) -> MediaFile | None:
    """A file that libsndfile does not read, opened by FFmpeg; None if that is not likely to read it either."""
    likely = may_be_media(path, opened)
    if likely is False:
        return None
    try:
        return MediaFile(path, opened)
    except MissingExtra as error:
        if likely is None:
            return None
        raise AudioFileError(str(error)) from error
    except AudioFileError:
        if likely is None:
            return None
        raise
