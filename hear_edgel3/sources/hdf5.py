"""HDF5 files with a whole audio file per row, as the AudioSet, FSD50K and OpenMIC of EfficientAT and PaSST are kept."""

from __future__ import annotations

import os
from typing import Any

from hear_edgel3._extras import require
from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import AudioFileError
from hear_edgel3.sources.item import Item

NAMES, SOUNDS = "audio_name", "mp3"
_ENDINGS = (".hdf", ".hdf5", ".h5")
_OF_SOUNDS = ("_mp3.hdf", "_mp3.hdf5", "_mp3.h5")
# What h5py raises on damaged files.
_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def is_hdf5(path: str) -> bool:
    """Whether a path's ending is that of an HDF5 file."""
    return path.lower().endswith(_ENDINGS)


def is_called_for_sounds(path: str) -> bool:
    """Whether an HDF5 file is called as those of sounds are; others, of weights for example, may have any name."""
    return path.lower().endswith(_OF_SOUNDS)


class Hdf5Sounds:
    """An HDF5 file of sounds, opened.

    Args:
        path: The file; its data sets ``audio_name`` and ``mp3`` have a row per sound.

    Raises:
        AudioFileError: It cannot be read, or has no such data sets.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: str) -> None:
        h5py = require("h5py", "reading HDF5 files of sounds", "train")
        self.path = path
        try:
            check_ordinary(path)
            self._file: Any = h5py.File(path, "r")
        except AudioFileError:
            raise
        except _ERRORS as error:
            raise AudioFileError(f"{path} cannot be read as an HDF5 file: {error}") from error
        lacking = [name for name in (NAMES, SOUNDS) if name not in self._file]
        if not lacking and len(self._file[NAMES]) != len(self._file[SOUNDS]):
            self.close()
            raise AudioFileError(f"{path}: its data sets {NAMES} and {SOUNDS} have different lengths")
        if lacking:
            has = ", ".join(self._file) or "none"
            self.close()
            raise AudioFileError(f"{path} has no data set {' and '.join(lacking)}, but {has}")

    def items(self) -> list[Item]:
        """The sounds, in the order of the rows.

        An item's ``offset`` is its row, and its ``size`` the mean of all, for what one has is only known when it is
        read.
        """
        shard = text_of_path(self.path)
        names = [self._text(name) for name in self.read(NAMES)]
        size = os.path.getsize(self.path) // max(1, len(names))
        return [Item(f"{shard}/{name}", size, shard, row) for row, name in enumerate(names)]

    def read(self, name: str) -> Any:
        """All of a data set.

        Raises:
            AudioFileError: There is none of this name, or it is damaged.
        """
        try:
            return self._file[name][:]
        except _ERRORS as error:
            raise AudioFileError(f"{self.path}: its data set {name} cannot be read: {error}") from error

    def sound(self, item: Item) -> bytes:
        """The bytes of a sound's file.

        Raises:
            AudioFileError: The row is damaged, or is another sound's now.
        """
        assert item.offset is not None
        try:
            name = self._text(self._file[NAMES][item.offset])
            data: bytes = self._file[SOUNDS][item.offset].tobytes()
        except _ERRORS as error:
            raise AudioFileError(f"{item.file} cannot be read from its HDF5 file: {error}") from error
        if name != item.member:
            raise AudioFileError(f"{self.path} has changed: in row {item.offset} is {name}, not {item.member}")
        if not data:
            raise AudioFileError(f"{item.file} is empty")
        return data

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    @staticmethod
    def _text(name: bytes | str) -> str:
        return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
