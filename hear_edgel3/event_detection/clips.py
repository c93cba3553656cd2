"""The sounds of events, cut out of their recordings into FLAC files."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
import soundfile

from hear_edgel3.audio.resample import resample_blocks
from hear_edgel3.audio.span import seconds
from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.paths import folders_of, path_of_text, text_of_path, with_ending
from hear_edgel3.disk.temporary import sweep_folder
from hear_edgel3.errors import OutputError
from hear_edgel3.event_detection.event import Event
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener

MARGIN_S = 0.5
# What no file system and no shell takes well in the name of a folder. Letters of any language are well.
_UNSAFE = re.compile(r"[^\w .,()&'+-]")
# FLAC takes no higher rates.
_HIGHEST_RATE = 655350
# Bytes, with what a file has in its name while it is written.
_LONGEST_NAME = 200
_COMPARED_AT_ONCE = 1 << 20


class ClipCutter:
    """Cuts events out of recordings: ``<folder>/<class>/<folders of the recording>/<its name>_<start>-<end>s.flac``.

    A clip is of one channel, the one that was listened to, with 16 bits, at the recording's rate; or at half of it, if
    that is more than FLAC takes (655,350 Hz).

    Args:
        folder: Where clips go.
        margin: How many seconds before and behind an event are cut out with it.
        opener: What opens recordings.
        channel: The channel that it opens, where that is to be in the name; else None.
        ours: The absolute paths, as text, of files that clips may replace; None for any file.
    """

    def __init__(
        self,
        folder: str,
        margin: float,
        opener: ItemOpener,
        channel: int | None = None,
        ours: Collection[str] | None = (),
    ) -> None:
        self._folder = Path(folder)
        self._margin = margin
        self._opener = opener
        self._mark = "" if channel is None else f"_channel{channel}"
        self._ours = ours
        self._made: set[Path] = set()

    def cut(self, item: Item, events: Sequence[Event]) -> tuple[str, ...]:
        """Cuts events out.

        Args:
            item: The recording.
            events: What is heard in it, in seconds of the file.

        Returns:
            The paths of the clips.

        Raises:
            AudioFileError: The recording cannot be read.
            OutputError: A clip cannot be written, or something else is there.
        """
        return tuple(self._cut_one(item, event) for event in events)

    def _cut_one(self, item: Item, event: Event) -> str:
        begin, end = max(item.start or 0.0, event.start - self._margin), event.end + self._margin
        if item.end is not None:
            end = min(end, item.end)
        path = self._folder / _safe(event.label) / folders_of(item.file) / _name(item.file, event, self._mark)
        if path.parent not in self._made:
            make_folder(path.parent)
            sweep_folder(path.parent)
            self._made.add(path.parent)
        with self._opener.open(item._replace(start=begin, end=end)) as file, atomic_write(path, swept=True) as target:
            rate = file.sample_rate
            # Without the warnings that the recording has given already; block by block, as an event may last for hours.
            blocks = file.blocks(watch=False)
            if rate > _HIGHEST_RATE:
                rate //= 2
                blocks = resample_blocks(blocks, file.sample_rate, rate)
            watched = _Watched(target)
            with soundfile.SoundFile(watched, "w", rate, 1, "PCM_16", format="FLAC") as clip:
                for block in blocks:
                    clip.write(np.clip(block.numpy(), -1, 1))
                    watched.check()
            watched.check()
            self._check_nothing_else_is_there(path, target)
        return os.fspath(path)

    def _check_nothing_else_is_there(self, path: Path, target: BinaryIO) -> None:
        """Checks that what will be replaced is the same sound, as after an interruption, or was cut out for the output.

        Raises:
            OutputError: It is something else: the user's own, or cut out for another output with other options.
        """
        if self._ours is None or text_of_path(os.path.abspath(path)) in self._ours or not path.is_file():
            return
        target.flush()
        target.seek(0)
        with path.open("rb") as there:
            same = os.fstat(there.fileno()).st_size == os.fstat(target.fileno()).st_size
            while same and (block := there.read(_COMPARED_AT_ONCE)):
                same = block == target.read(len(block))
        if not same:
            raise OutputError(
                f"not replacing {path}: it exists, and is not what would be cut out now; use --overwrite, or another "
                f"folder for --clips"
            )


class _Watched:
    """A file for an encoder in C, with the methods that it calls.

    An error that is raised there is printed with a traceback and does not get through to who writes, so that what the
    disk refuses is kept until it is asked for.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Has anything been refused?

        Raises:
            OSError: The disk is full, for example.
        """
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        self._try(self._file.write, data)
        return len(data)

    def read(self, n_bytes: int = -1) -> bytes:
        return self._file.read(n_bytes)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._try(self._file.seek, offset, whence))

    def tell(self) -> int:
        return int(self._try(self._file.tell))

    def flush(self) -> None:
        self._try(self._file.flush)

    def _try(self, do: Callable[..., Any], *given: Any) -> Any:
        if self._error is None:
            try:
                return do(*given)
            except OSError as error:
                self._error = error
        return 0


def _safe(name: str) -> str:
    """The name of a class's folder; another one for each class, and short enough for a file system."""
    safe = _UNSAFE.sub("_", name).strip(" .")
    mark = "" if safe == name else f"~{zlib.crc32(name.encode(errors='surrogatepass')):08x}"
    return with_ending(safe, mark, _LONGEST_NAME)


def _name(file: str, event: Event, mark: str) -> str:
    behind = f"{mark}_{seconds(event.start)}-{seconds(event.end)}s.flac"
    return with_ending(PurePath(path_of_text(file)).name, behind, _LONGEST_NAME)
