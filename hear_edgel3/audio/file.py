"""Sound files of any kind, decoded in blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import torch

from hear_edgel3.audio import kinds, magic
from hear_edgel3.audio.decoder import Decoder, DecodingError
from hear_edgel3.audio.levels import Levels, peak_of, warn_of
from hear_edgel3.audio.samples import check_channel, check_finite
from hear_edgel3.audio.sndfile import SndfileDecoder
from hear_edgel3.audio.source import SoundSource, Source, name_of
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption, how_to_install

_BLOCK_SECONDS = 4
_LARGEST = float(torch.finfo(torch.float32).max)


class AudioFile:
    """A sound file opened for reading in blocks, mixed down to mono or one channel of it.

    Use it as a context manager. What libsndfile reads (wav, flac, ogg, mp3, aiff, ...) is read in any installation;
    what FFmpeg reads beside it (m4a, wma, webm, the sound of videos, ...) with the extra ``media``.

    Args:
        source: a path, the bytes of a file, or a binary file object, which is read from its beginning and is not
            closed.
        opened: a binary file object to read instead; then ``source`` is only what it is called in errors.
        channel: which channel to read, counted from 0, or ``mean`` for the mean of all.

    Attributes:
        path: where it is, or what it is called.
        sample_rate: in Hz.
        channels: how many channels it has.
        notes: what its user should know of it, each a clause that begins with "its" or "it". Complete when the last
            block has been read.

    Raises:
        AudioFileError: missing, a folder, a pipe or device, empty, not audio, or a kind for which the extra is missing.
        InvalidOption: there is no such channel.
    """

    def __init__(self, source: SoundSource, opened: BinaryIO | None = None, channel: int | str = "mean") -> None:
        check_channel(channel)
        name = name_of(source)
        self.path = Path(name)
        self._name = os.fspath(self.path)
        self._source = Source(source if opened is None else opened, self._name)
        try:
            self._decoder = _decoder(self._source)
            self.sample_rate = self._decoder.sample_rate
            self.channels = self._decoder.channels
            self._channel = _known_channel(channel, self.channels, self._name)
        except BaseException:
            self._close()
            raise
        self.notes = list(self._decoder.notes)

    @property
    def duration(self) -> float | None:
        """Seconds, as its header says or its frames were counted; None if only decoding it would tell."""
        return None if self._decoder.frames is None else self._decoder.frames / self.sample_rate

    def stretch(self, start: float, seconds: float) -> torch.Tensor:
        """Part of the file, mixed down: the very samples that :meth:`blocks` gives there.

        In some formats (Ogg Vorbis, GSM, and what FFmpeg reads) all before it must be decoded to find it.

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
        try:
            self._decoder.seek(first)
            block = self._decoder.read(round(seconds * self.sample_rate), "float32")
        except DecodingError as error:
            raise AudioFileError(f"{self._name} is damaged at {start:.2f} s: {error}") from error
        if len(block) == 0:
            raise AudioFileError(f"{self._name} has no samples at {start:.2f} s")
        return self._mixed(block, first)[0]

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yields the file as (n,) float64 blocks of a few seconds: the mean over channels, as edgel3 mixes, or one.

        Raises:
            AudioFileError: the file has no samples, is damaged, or ends before its header says.
            InvalidAudio: a sample is not finite.
        """
        decoder = self._decoder
        levels = Levels()
        size = _BLOCK_SECONDS * self.sample_rate
        read = 0
        while True:
            try:
                block = decoder.read(size, "float64")
            except DecodingError as error:
                raise AudioFileError(
                    f"{self._name} is damaged after {read} samples ({read / self.sample_rate:.2f} s): {error}"
                ) from error
            if len(block) == 0:
                break
            mixed, peak = self._mixed(block, read)
            levels.add_peak(peak)
            if self.channels > 1 and self._channel is None:
                levels.add_mix(torch.from_numpy(block), mixed)
            read += len(block)
            yield mixed
        self._check_end(read)
        if read == 0:
            raise AudioFileError(f"{self._name} has no samples")
        self.notes = [*decoder.notes, *self._of_its_end(read), *levels.notes()]

    def _mixed(self, block: np.ndarray, first: int) -> tuple[torch.Tensor, float]:
        """(n,) samples of (n, channels), and the largest absolute value of all channels."""
        samples = torch.from_numpy(block)
        peak = peak_of(samples.reshape(-1))
        samples = samples.T
        if not peak <= _LARGEST:
            check_finite(samples, self._name, first, "channel")
        return samples.mean(dim=0) if self._channel is None else samples[self._channel].contiguous(), peak

    def _check_end(self, read: int) -> None:
        # A count may be off by a frame or so; a file cut short is off by far more.
        counted = self._decoder.counted
        if counted is not None and read < min(0.99 * counted, counted - self._decoder.slack):
            raise AudioFileError(
                f"{self._name} is truncated: its header says {counted / self.sample_rate:.2f} s, "
                f"{read / self.sample_rate:.2f} s could be decoded"
            )

    def _of_its_end(self, read: int) -> list[str]:
        counted = self._decoder.counted
        if counted is None or read >= counted - self._decoder.slack:
            return []
        return [
            f"its end is missing: its header says {counted / self.sample_rate:.2f} s, "
            f"{read / self.sample_rate:.2f} s could be decoded"
        ]

    def _close(self) -> None:
        if (decoder := getattr(self, "_decoder", None)) is not None:
            decoder.close()
        self._source.close()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


@contextmanager
def reading(source: SoundSource, channel: int | str = "mean") -> Iterator[AudioFile]:
    """Opens a sound file, names it in errors, and warns at the end of what its user should know.

    Args:
        source: as for :class:`AudioFile`.
        channel: as for :class:`AudioFile`.
    """
    with naming(name_of(source)), AudioFile(source, channel=channel) as file:
        yield file
        warn_of(file.notes, os.fspath(file.path))


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name into errors about audio and options that lack it."""
    try:
        yield
    except (InvalidAudio, InvalidOption) as error:
        text = str(error)
        raise type(error)(text if str(path) in text else f"{path}: {text}") from error


def _decoder(source: Source) -> Decoder:
    """What reads this source.

    Raises:
        AudioFileError: nothing does.
    """
    try:
        return SndfileDecoder(source)
    except DecodingError as error:
        refused = error
    kind = _media_kind(source, str(refused))
    if kind is None:
        raise AudioFileError(f"{source.name} cannot be read as audio: {refused}") from refused
    if not kinds.has_media():
        raise AudioFileError(
            f"{source.name} is {kind}: to read it, install the extra {kinds.MEDIA_EXTRA}, which brings FFmpeg: "
            f"{how_to_install(kinds.MEDIA_EXTRA)}"
        ) from refused
    from hear_edgel3.audio.media import MediaDecoder

    try:
        return MediaDecoder(source)
    except DecodingError as error:
        raise AudioFileError(f"{source.name} cannot be read as audio: {error}") from error


def _media_kind(source: Source, refused: str) -> str | None:
    """What a file is that libsndfile has refused and that FFmpeg may read; None if there is no reason to think so.

    Args:
        source: the file.
        refused: why libsndfile has.
    """
    head = source.read_at(0, magic.HEAD)
    kind = magic.beyond_basic(head)
    if kind is None and "unimplemented" in refused:
        kind = magic.kind_of(head)
    ending = Path(source.name).suffix.lower()
    if kind is None and ending in kinds.MEDIA_SUFFIXES and magic.kind_of(head) is None:
        kind = f"a {ending} file"
    return kind


def _known_channel(channel: int | str, channels: int, name: str) -> int | None:
    """The channel's number; None for the mean of all."""
    if not isinstance(channel, int):
        return None
    if channel >= channels:
        has = "has only channel 0" if channels == 1 else f"has channels 0 to {channels - 1}"
        raise InvalidOption(f"{name} has no channel {channel}: it {has}")
    return channel
