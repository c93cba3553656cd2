"""Sounds inside tar and HDF5 files: all of them, and those that lists call by name, ``shard.tar/member.wav``."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable

from hear_edgel3.audio.find import is_audio
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error
from hear_edgel3.sources.hdf5 import ENDINGS, Hdf5Sounds, is_hdf5
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.shards import SHARDS, is_shard, items_in

_INSIDE = re.compile(rf"(?:{'|'.join(map(re.escape, (*SHARDS, *ENDINGS)))})(?=/)", re.IGNORECASE)

Note = Callable[[str], object]


def holds_sounds(path: str) -> bool:
    """Whether a path's ending is that of a file with sounds inside."""
    return is_shard(path) or is_hdf5(path)


def items_inside(path: str, note: Note = lambda _: None, hidden: bool = True) -> list[Item]:
    """The sounds inside a tar or HDF5 file.

    Args:
        path: The file.
        note: Is called with what the user should know.
        hidden: Whether those in a tar file are data whose names begin with a dot, as those of a Mac's shadow files do.

    Raises:
        AudioFileError: It cannot be read, or has none.
        MissingExtra: h5py is not installed.
    """
    if is_shard(path):
        items, what = items_in(path, is_audio, note), f"the shard {path} has no audio files"
        if not hidden:
            items = [item for item in items if not posixpath.basename(item.member).startswith(".")]
    else:
        opened = Hdf5Sounds(path)
        try:
            items, what = opened.items(), f"the HDF5 file {path} has no sounds"
        finally:
            opened.close()
    if not items:
        raise AudioFileError(what)
    return items


def file_around(path: str) -> str | None:
    """The tar or HDF5 file that a path leads into, as if it were a folder; None if it leads into none."""
    for found in _INSIDE.finditer(path):
        if path[found.end() :].strip("/") and os.path.isfile(path[: found.end()]):
            return path[: found.end()]
    return None


class Members:
    """Finds sounds inside tar and HDF5 files by their paths. Each file is gone through once.

    Args:
        note: Is called with what the user should know.
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self._inside: dict[str, dict[str, Item] | str] = {}  # or why it cannot be read

    def find(self, path: str) -> Item | None:
        """The sound of a path; None if the path leads into no such file.

        If there is no such sound, or the file cannot be read, it is an item with an error.
        """
        around = file_around(path)
        if around is None:
            return None
        if around not in self._inside:
            self._inside[around] = self._all(around)
        name, inside = text_of_path(path[len(around) + 1 :]), self._inside[around]
        if isinstance(inside, str):
            return Item(text_of_path(path), 0, error=inside)
        # Paths that were made absolute have lost dots and double slashes, which names inside may have.
        item = inside.get(name) or inside.get(posixpath.normpath(name))
        if item is None:
            return Item(text_of_path(path), 0, error=text_of_path(f"{around} has no audio file called {name}"))
        return item

    def _all(self, around: str) -> dict[str, Item] | str:
        try:
            items = items_inside(around, self._note)
        except HearEdgeL3Error as error:
            return text_of_path(str(error))
        plain = {posixpath.normpath(item.member): item for item in items}
        return {**plain, **{item.member: item for item in items}}
