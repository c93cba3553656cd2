"""Lines of JSON in a file that grows: what a run has done, so that the next one goes on from there.

A line is there as a whole or not at all, also on a disk that is full. One process at a time works with a file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.lock import lock
from hear_edgel3.errors import OutputError


class Place(NamedTuple):
    """Where a line is, in bytes: its beginning, and its length with what ends it."""

    start: int
    length: int


class Lines:
    """A file of lines.

    Args:
        path: Its name.
        output: What it is beside, for errors.
        anew: Whether what is there counts for nothing.
        kept: Whether there is such a file; else the lines are gone when it is closed.

    Raises:
        OutputError: It cannot be written, or another process is writing it.
    """

    def __init__(self, path: Path, output: str | os.PathLike[str], anew: bool = False, kept: bool = True) -> None:
        self.path = path
        try:
            # Without a buffer: what a full disk did not take would be tried again when it is closed.
            self._file: Any = path.open("a+b", 0) if kept else tempfile.TemporaryFile("a+b", 0)  # noqa: SIM115
            try:
                _lock(self._file, output)
                if anew:
                    self._file.truncate(0)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Closes it, and lets others have it."""
        self._file.close()

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return int(self._file.seek(0, os.SEEK_END))

    def __iter__(self) -> Iterator[tuple[Place, bytes]]:
        """The lines, each with its end. A last one that was not written to its end is left out."""
        start = 0
        with open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                yield Place(start, len(line)), line
                start += len(line)

    def read(self, place: Place) -> bytes:
        """The bytes of a place, or those of them that are there."""
        self._file.seek(place.start)
        return bytes(self._file.read(place.length))

    def append(self, values: Any) -> Place:
        """Adds a line.

        Args:
            values: What JSON takes.

        Returns:
            Where it is.

        Raises:
            OutputError: The disk is full, for example. What was there before stays.
        """
        line = (json_text(values, ensure_ascii=False) + "\n").encode()
        start = self.size
        try:
            written = 0
            while written < len(line):  # a disk that is nearly full takes a part of it
                written += self._file.write(line[written:])
        except OSError as error:
            with suppress(OSError):
                self.cut(start)
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}; what was computed before is kept: make room, "
                f"and the same command goes on"
            ) from error
        return Place(start, len(line))

    def cut(self, size: int) -> None:
        """Leaves only its first bytes.

        Raises:
            OSError: They cannot be.
        """
        self._file.truncate(size)


def _lock(file: Any, output: str | os.PathLike[str]) -> None:
    try:
        lock(file)
    except OSError as error:
        raise OutputError(f"another process is writing {os.fspath(output)}; wait for its end") from error
