"""Where the bytes of a sound come from, and views of them in which a header is mended or a part is cut out."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.errors import AudioFileError

SoundSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""What can be opened as a sound: a path, the bytes of a file, or a binary file object."""

# A view's piece: bytes, or a stretch of the source as (offset, size).
Piece = bytes | tuple[int, int]
ReadAt = Callable[[int, int], bytes]

_IN_MEMORY = 32 << 20
_BUFFER = 1 << 16


def name_of(source: Any, called: str | os.PathLike[str] | None = None) -> str:
    """What a source is called in errors.

    Args:
        source: as for :class:`~hear_edgel3.audio.file.AudioFile`.
        called: its name, if it has been given one.
    """
    if called is not None:
        return os.fspath(called)
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"<{memoryview(source).nbytes} bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else f"<{type(source).__name__}>"


class Source:
    """An open source of bytes: any part of it can be read, in any order.

    Args:
        source: a path, bytes, or a binary file object, which is read from its beginning and is not closed. One that
            cannot seek is read to its end first.
        name: what it is called in errors.

    Attributes:
        name: what it is called in errors.
        path: where it is, or None for what is no file with a path.
        size: how many bytes it has.
        failure: the error by which reading it ended, which decoders written in C do not hand on; None if there is none.

    Raises:
        AudioFileError: it is missing, a folder, no ordinary file, or empty, or cannot be opened or read.
    """

    def __init__(self, source: SoundSource, name: str) -> None:
        self.name = name
        self.path: Path | None = None
        self.failure: AudioFileError | None = None
        self._own = True
        if isinstance(source, (str, os.PathLike)):
            if not os.fspath(source):
                raise AudioFileError("a file's name is empty")
            self.path = Path(source)
            self._file = _opened(self.path)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            # A memoryview may skip bytes, which BytesIO does not take.
            data = source.tobytes() if isinstance(source, memoryview) else source
            self._file = cast(BinaryIO, io.BytesIO(data))
        else:
            with self._naming():
                self._file, self._own = _seekable(source, name)
        with self._naming():
            self._file.seek(0, os.SEEK_END)
            self.size = self._file.tell()  # not what seek returns, which is nothing for a mmap
        if self.size == 0:
            self.close()
            raise AudioFileError(f"{name} is empty (0 bytes)")

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to so many bytes from a place on; fewer at the end.

        Raises:
            AudioFileError: it cannot be read, or could not be before.
        """
        if self.failure is not None:
            raise self.failure
        with self._naming():
            return _read_at(self._file, offset, size)

    def view(self, pieces: Sequence[Piece] | None = None, endless: bool = False, quiet: bool = False) -> BinaryIO:
        """A binary file object made of pieces of this one; of all of it if none are given.

        Args:
            pieces: what it is put together of.
            endless: whether it claims to be far longer than it is.
            quiet: whether it ends where reading fails, for decoders that drop what is raised; ``failure`` says so.
        """
        pieces = [(0, self.size)] if pieces is None else pieces
        read_at = self._read_as_far_as_it_goes if quiet else self.read_at
        return cast(BinaryIO, io.BufferedReader(_View(read_at, pieces, endless), _BUFFER))

    def _read_as_far_as_it_goes(self, offset: int, size: int) -> bytes:
        try:
            return self.read_at(offset, size)
        except AudioFileError:
            return b""

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Makes an error that names the source of whatever its file object raises."""
        try:
            yield
        except AudioFileError:
            raise
        except Exception as error:  # an object of the caller's may raise anything, for example what a network does
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.failure = AudioFileError(f"{self.name} cannot be read: {said}")
            raise self.failure from error

    def close(self) -> None:
        """Closes what was opened here."""
        if self._own:
            self._file.close()


def part_of_file(path: str | os.PathLike[str], offset: int, size: int, buffer: int = _BUFFER) -> BinaryIO:
    """A stretch of a file, as a file of its own, opened.

    Args:
        path: the file.
        offset: where it begins, in bytes.
        size: how many bytes it has; less are there where the file ends before.
        buffer: how many bytes are read at once.

    Raises:
        OSError: the file cannot be opened.
    """
    file = cast(BinaryIO, open(path, "rb", buffering=0))  # noqa: SIM115
    view = _View(lambda at, count: _read_at(file, at, count), [(offset, size)], at_close=file.close)
    return cast(BinaryIO, io.BufferedReader(view, buffer))


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):  # an unbuffered file may give less
        data += more
    return data


def _opened(path: Path) -> BinaryIO:
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise AudioFileError(f"{path} is a folder, not an audio file")
        check_ordinary(path)
        return cast(BinaryIO, path.open("rb", buffering=0))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: of a name with a NUL in it
        raise AudioFileError(f"{path} does not exist") from error
    except OSError as error:
        if isinstance(error, AudioFileError):
            raise
        raise AudioFileError(f"{path} cannot be opened: {error.strerror or error}") from error


def _seekable(source: BinaryIO, name: str) -> tuple[BinaryIO, bool]:
    """The object itself, or a copy of what is left in it, and whether it is ours to close."""
    if not callable(getattr(source, "read", None)):
        raise AudioFileError(
            f"{name} cannot be read as audio: it must be a str or a Path, or bytes or a binary file object, "
            f"got {source!r}"
        )
    if isinstance(source, io.TextIOBase):
        raise AudioFileError(f"{name} was opened as text; open it with mode 'rb'")
    seekable = getattr(source, "seekable", None)
    if callable(getattr(source, "seek", None)) and (seekable is None or seekable()):
        return source, False
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
    shutil.copyfileobj(source, copy)
    return cast(BinaryIO, copy), True


class _View(io.RawIOBase):
    """A file made of pieces of another.

    Args:
        read_at: reads from the other one.
        pieces: bytes, or places in the other one.
        endless: whether :meth:`seek` says that it ends a terabyte later. There, far behind what is read from the
            beginning on, are zeros: some programs look for labels at an end.
        at_close: is called when it is closed.
    """

    _MORE = 1 << 40
    _FAR_END = 1 << 12

    def __init__(
        self,
        read_at: ReadAt,
        pieces: Sequence[Piece],
        endless: bool = False,
        at_close: Callable[[], object] = lambda: None,
    ) -> None:
        self._read_at = read_at
        self._at_close = at_close
        self._pieces: list[tuple[int, int, Piece]] = []
        at = 0
        for piece in pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1]
            self._pieces.append((at, at + length, piece))
            at += length
        self._length = at
        self._claimed = at + self._MORE if endless else at
        self._position = 0

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._at_close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._claimed}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        at = self._position
        data = b""
        if at >= self._length:
            if self._claimed > self._length and at >= self._claimed - self._FAR_END:
                data = bytes(min(len(buffer), max(0, self._claimed - at)))
        else:
            start, end, piece = next(found for found in self._pieces if at < found[1])
            size = min(len(buffer), end - at)
            if isinstance(piece, bytes):
                data = piece[at - start : at - start + size]
            else:
                data = self._read_at(piece[0] + at - start, size)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
