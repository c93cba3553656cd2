"""Audio files, decoded in blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

from hear_edgel3.audio.channels import MEAN, Mixer, check_channel
from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.audio.media import MediaFile, may_be_media
from hear_edgel3.audio.samples import check_finite
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption, MissingExtra

_BLOCK_SECONDS = 4


class AudioFile:
    """An audio file opened for reading in blocks, mixed down to mono.

    Use it as a context manager.

    Args:
        path: a file in any format libsndfile reads (wav, flac, ogg, mp3, aiff, ...), or, with the extra ``media``, in
            most that FFmpeg reads (m4a, wma, webm, the sound of videos, ...).
        opened: a seekable binary file to read instead; then the path is only what it is called in errors.
        channel: what of its channels: "mean" of all, or the number of one, from 0.

    Attributes:
        path: where it is.
        sample_rate: in Hz.
        channel: what of its channels blocks are.

    Raises:
        AudioFileError: missing, a folder, empty, or not audio, or only with the extra ``media``.
        InvalidOption: ``channel`` is neither.
    """

    def __init__(self, path: str | os.PathLike[str], opened: BinaryIO | None = None, channel: int | str = MEAN) -> None:
        import soundfile

        self.path = Path(path)
        self.channel = check_channel(channel)
        self._media: MediaFile | None = None
        try:
            if opened is not None:
                self._file = soundfile.SoundFile(opened)
                self.sample_rate = int(self._file.samplerate)
                return
            if self.path.is_dir():
                raise AudioFileError(f"{self.path} is a folder, not an audio file")
            if not self.path.exists():
                raise AudioFileError(f"{self.path} does not exist")
            check_ordinary(self.path)
            if self.path.is_file() and self.path.stat().st_size == 0:
                raise AudioFileError(f"{self.path} is empty (0 bytes)")
            with self.path.open("rb"):
                pass  # for the system's own words on permissions, which libsndfile does not pass on
            # bytes, because names on POSIX need not be text
            self._file = soundfile.SoundFile(str(self.path) if os.name == "nt" else os.fsencode(self.path))
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a headerless .raw file
            if (media := _media_file(self.path, opened)) is not None:
                self._media = media
                self.sample_rate = media.sample_rate
                return
            raise AudioFileError(f"{self.path} cannot be read as audio: {_reason(error)}") from error
        except OSError as error:
            if isinstance(error, AudioFileError):
                raise
            raise AudioFileError(f"{self.path} cannot be opened: {error.strerror or error}") from error
        self.sample_rate = int(self._file.samplerate)

    @property
    def duration(self) -> float:
        """Seconds, as the header says; counted where it does not say."""
        if self._media is not None:
            return self._media.duration
        return float(self._file.frames / self.sample_rate)

    def stretch(self, start: float, seconds: float) -> torch.Tensor:
        """Part of the file, mixed down.

        Args:
            start: seconds from its beginning.
            seconds: how much; less is given where the file ends before.

        Returns:
            (n,) float32.

        Raises:
            AudioFileError: that part is damaged or lies behind the end.
            InvalidAudio: a sample is not finite.
        """
        import soundfile

        first = round(start * self.sample_rate)
        count = round(seconds * self.sample_rate)
        if self._media is not None:
            samples = torch.from_numpy(self._media.stretch(first, count))
        else:
            try:
                self._file.seek(min(first, self._file.frames))
                samples = torch.from_numpy(self._file.read(count, dtype="float32", always_2d=True)).T
            except soundfile.SoundFileError as error:
                raise AudioFileError(f"{self.path} is damaged at {start:.2f} s: {_reason(error)}") from error
        if samples.shape[1] == 0:
            raise AudioFileError(f"{self.path} has no samples at {start:.2f} s")
        check_finite(samples, str(self.path), first, "channel")
        return Mixer(str(self.path), self.channel).mix(samples)

    def blocks(self, watch: bool = True) -> Iterator[torch.Tensor]:
        """Yields the file as (n,) float64 blocks of a few seconds: the mean over channels, as edgel3 mixes, or one.

        Args:
            watch: whether to warn at the end of channels that cancel each other and of samples far beyond full scale.

        Raises:
            AudioFileError: the file has no samples, is damaged, or ends before its header says.
            InvalidAudio: a sample is not finite.
            InvalidOption: it has no such channel.
        """
        mixer = Mixer(str(self.path), self.channel)
        read = 0
        for samples in self._channels():
            check_finite(samples, str(self.path), read, "channel")
            read += samples.shape[1]
            yield mixer.mix(samples)
        if watch:
            mixer.finish()

    def _channels(self) -> Iterator[torch.Tensor]:
        """Yields the file as (channels, n) float64 blocks, not checked for what is not finite."""
        import soundfile

        if self._media is not None:
            for decoded in self._media.blocks():
                yield torch.from_numpy(decoded).double()
            return
        read = 0
        expected = self._file.frames
        while True:
            try:
                block = self._file.read(_BLOCK_SECONDS * self.sample_rate, dtype="float64", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioFileError(
                    f"{self.path} is damaged after {read} samples ({read / self.sample_rate:.2f} s): {_reason(error)}"
                ) from error
            if len(block) == 0:
                break
            samples = torch.from_numpy(block).T
            read += samples.shape[1]
            yield samples
        if read == 0:
            raise AudioFileError(f"{self.path} has no samples")
        # Compressed headers may be off by a frame or so; a file cut short is off by far more.
        if read < 0.99 * expected:
            raise AudioFileError(
                f"{self.path} is truncated: its header says {expected / self.sample_rate:.2f} s, "
                f"{read / self.sample_rate:.2f} s could be decoded"
            )

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._media is not None:
            self._media.close()
        else:
            self._file.close()


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name into errors about audio and options that lack it."""
    try:
        yield
    except (InvalidAudio, InvalidOption) as error:
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


def _reason(error: Exception) -> str:
    """Libsndfile's own words, without the path it repeats."""
    text: str = getattr(error, "error_string", None) or str(error)
    if "does not exist or is not a regular file" in text:  # said of every .mp3 that is none; existence was checked
        return "Format not recognised"
    return text.removeprefix("Error : ").strip().rstrip(".")
