"""HDF5 files with a whole audio file per row, as the AudioSet, FSD50K and OpenMIC of EfficientAT and PaSST are kept.

They are read by a process apart, because the HDF5 library does not come back from some damaged files, and nothing in
this process could stop it then.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.disk.apart import Apart, Ended, Failed, Refused
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import AudioFileError
from hear_edgel3.sources.item import Item

if TYPE_CHECKING:
    import numpy as np

_READER = "hear_edgel3.sources.hdf5_reading:answer"
ENDINGS = (".hdf", ".hdf5", ".h5")
_OF_SOUNDS = ("_mp3.hdf", "_mp3.hdf5", "_mp3.h5")
# A row is read in milliseconds, and the longest data set that is read at once, AudioSet's targets of 140 MB, in seconds
# from a disk; what is slower is a network that hardly works.
_PATIENCE_S = 180
_MAX_ENDS = 3  # rows that do not come back, until the rest of a file is given up


def is_hdf5(path: str) -> bool:
    """Whether a path's ending is that of an HDF5 file."""
    return path.lower().endswith(ENDINGS)


def is_called_for_sounds(path: str) -> bool:
    """Whether an HDF5 file is called as those of sounds are; others, of weights for example, may have any name."""
    return path.lower().endswith(_OF_SOUNDS)


class Hdf5Sounds:
    """An HDF5 file of sounds, opened.

    Args:
        path: The file; its data sets ``audio_name`` and ``mp3`` have a row per sound.
        patience_s: Seconds that reading a row or a data set may take.

    Raises:
        AudioFileError: It cannot be read, or has no such data sets.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: str, patience_s: int = _PATIENCE_S) -> None:
        require("h5py", "reading HDF5 files of sounds", "train")
        self.path = path
        self._patience_s = patience_s
        check_ordinary(path)
        self._n_ends = 0
        self._reader = self._start()
        try:
            self._ask("cannot be read as an HDF5 file", ask="open", path=path)
        except BaseException:
            self.close()
            raise

    def items(self) -> list[Item]:
        """The sounds, in the order of the rows.

        An item's ``offset`` is its row, and its ``size`` the mean of all, for what one has is only known when it is
        read.

        Raises:
            AudioFileError: The names are damaged.
        """
        shard = text_of_path(self.path)
        names = self._ask("has damaged names of sounds", ask="names")[0]["names"]
        size = os.path.getsize(self.path) // max(1, len(names))
        return [Item(f"{shard}/{name}", size, shard, row) for row, name in enumerate(names)]

    def read(self, name: str) -> np.ndarray:
        """All of a data set of numbers.

        Raises:
            AudioFileError: There is none of this name, or it is damaged.
        """
        import numpy as np

        head, body = self._ask(f"has a data set {name} that cannot be read", ask="all", name=name)
        return np.frombuffer(body, head["dtype"]).reshape(head["shape"])

    def sound(self, item: Item) -> bytes:
        """The bytes of a sound's file.

        Raises:
            AudioFileError: The row is damaged, or is another sound's now.
        """
        head, body = self._ask(f"has a damaged row, {item.member}", ask="sound", row=item.offset)
        if head["name"] != item.member:
            raise AudioFileError(f"{self.path} has changed: in row {item.offset} is {head['name']}, not {item.member}")
        if not body:
            raise AudioFileError(f"{item.file} is empty")
        return bytes(body)

    def close(self) -> None:
        """Ends the process that reads."""
        self._reader.close()

    def _start(self) -> Apart:
        return Apart(_READER, "HDF5", self._patience_s)

    def _ask(self, wrong: str, **question: Any) -> tuple[dict[str, Any], bytearray]:
        """The head and the body of an answer.

        Raises:
            AudioFileError: With ``wrong``, and what is.
        """
        if self._reader.has_ended:  # an earlier question ended it; other rows may be whole
            if self._n_ends >= _MAX_ENDS:
                raise AudioFileError(f"{self.path} {wrong}: after {self._n_ends} such rows it is not read any further")
            self._reader.close()
            self._reader = self._start()
            self._ask("cannot be read as an HDF5 file", ask="open", path=self.path)
        try:
            return self._reader.ask(question)
        except Refused as error:
            raise AudioFileError(f"{self.path} {error}") from error
        except Failed as error:
            raise AudioFileError(f"{self.path} {wrong}: {error}") from error
        except Ended as error:
            self._n_ends += 1
            raise AudioFileError(f"{self.path} {wrong}: {error}") from error
