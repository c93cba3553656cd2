"""Audio files, decoded in blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.audio.samples import check_finite
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption

_BLOCK_SECONDS = 4


class AudioFile:
    """An audio file opened for reading in blocks, mixed down to mono.

    Use it as a context manager.

    Args:
        path: a file in any format libsndfile reads (wav, flac, ogg, mp3, aiff, ...).
        opened: a seekable binary file to read instead; then the path is only what it is called in errors.

    Attributes:
        path: where it is.
        sample_rate: in Hz.

    Raises:
        AudioFileError: missing, a folder, empty, or not audio.
    """

    def __init__(self, path: str | os.PathLike[str], opened: BinaryIO | None = None) -> None:
        import soundfile

        if not isinstance(path, (str, os.PathLike)):
            raise AudioFileError(f"the path of an audio file must be a str or a Path, got {path!r}")
        self.path = Path(path)
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
            raise AudioFileError(f"{self.path} cannot be read as audio: {_reason(error)}") from error
        except OSError as error:
            if isinstance(error, AudioFileError):
                raise
            raise AudioFileError(f"{self.path} cannot be opened: {error.strerror or error}") from error
        self.sample_rate = int(self._file.samplerate)

    @property
    def duration(self) -> float:
        """Seconds, as the header says."""
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
        try:
            self._file.seek(min(first, self._file.frames))
            block = self._file.read(round(seconds * self.sample_rate), dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioFileError(f"{self.path} is damaged at {start:.2f} s: {_reason(error)}") from error
        if len(block) == 0:
            raise AudioFileError(f"{self.path} has no samples at {start:.2f} s")
        samples = torch.from_numpy(block).T
        check_finite(samples, str(self.path), first, "channel")
        return samples.mean(dim=0)

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yields the file as (n,) float64 blocks of a few seconds: the mean over channels, as edgel3 mixes.

        Raises:
            AudioFileError: the file has no samples, is damaged, or ends before its header says.
            InvalidAudio: a sample is not finite.
        """
        import soundfile

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
            check_finite(samples, str(self.path), read, "channel")
            read += samples.shape[1]
            yield samples.mean(dim=0)
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
        self._file.close()


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name into errors about audio and options that lack it."""
    try:
        yield
    except (InvalidAudio, InvalidOption) as error:
        text = str(error)
        raise type(error)(text if str(path) in text else f"{path}: {text}") from error


def _reason(error: Exception) -> str:
    """Libsndfile's own words, without the path it repeats."""
    text: str = getattr(error, "error_string", None) or str(error)
    if "does not exist or is not a regular file" in text:  # said of every .mp3 that is none; existence was checked
        return "Format not recognised"
    return text.removeprefix("Error : ").strip().rstrip(".")
