"""From what a list calls a file to its path: names without endings, and tables that are called as their sound is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache

from hear_edgel3.audio.find import is_audio
from hear_edgel3.disk.paths import path_of_text, text_of_path
from hear_edgel3.disk.state import FileState, file_state
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.sources.members import file_around, holds_sounds, items_inside
from hear_edgel3.sources.shards import is_shard

# AudioSet's ids are YouTube's, which may begin with a dash; some downloads put a Y before all of them.
_PREFIXES = ("", "Y")
# Bytes of a name that are no UTF-8, as Python has them in text.
_NO_TEXT = re.compile("[\udc80-\udcff]")


class NameFinder:
    """Finds the files that a list names.

    Args:
        source: The list.
        folder: The text of the folder that its relative paths are relative to.
    """

    def __init__(self, source: str, folder: str) -> None:
        self._source = source
        self._folder = folder
        self._stems: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str, others: Sequence[str] = ()) -> str:
        """The path of a file.

        Whether a file with the ending of an audio file exists is not asked: one that does not becomes an error row.

        Args:
            name: What the list calls it. Where there is none of this name, and the name has no ending that is known,
                it may be that of an audio file without its ending.
            others: What else the list calls it; the first one that is there counts where there is none of the name.

        Raises:
            ValueError: several files are called so; or none, and the name is of another encoding than that of the list.
        """
        path = self._path(name)
        if others and not _is_there(path):
            path = next((other for other in map(self._path, others) if _is_there(other)), path)
        if _NO_TEXT.search(path) and not _is_there(path):
            raise ValueError(
                "there is no such file, and this name is not in UTF-8, as it should be; save the list in UTF-8 (Excel "
                "calls that CSV UTF-8)"
            )
        if is_audio(path) or is_shard(path) or _is_there(path):
            return path
        folder, stem = os.path.split(path)
        for prefix in _PREFIXES:
            if (found := self._of_stem(folder, prefix + stem)) is not None:
                return found
        return path

    def sound_of_list(self) -> str:
        """The name of the sound that a table without a column of files is of: it is called as the table is.

        ``a.wav`` has the labels ``a.txt``, ``a.wav.txt``, ``a.Table.1.selections.txt`` or
        ``a.BirdNET.results.csv``.

        Raises:
            ValueError: there is none, or there are several.
        """
        folder = os.fspath(path_of_text(self._folder))
        first = name = os.path.splitext(os.path.basename(self._source))[0]
        while True:
            path = os.path.join(folder, name)
            if is_audio(path) and os.path.isfile(path):
                return text_of_path(name)
            if (found := self._of_stem(folder, name)) is not None:
                return text_of_path(found.removeprefix(os.path.join(folder, "")))
            name, ending = os.path.splitext(name)
            if not ending:
                raise ValueError(
                    f"no column names files, and {folder or 'the current folder'} has no audio file called as it is "
                    f"({first}.wav, for example); --audio says where the sound is: in which folder, tar or HDF5 file"
                )

    def _path(self, name: str) -> str:
        return os.fspath(path_of_text(os.path.join(self._folder, name)))

    def _of_stem(self, folder: str, stem: str) -> str | None:
        if folder not in self._stems:
            self._stems[folder] = _audio_by_stem(folder)
        found = self._stems[folder].get(stem, [])
        if len(found) > 1:
            named = " or ".join(map(text_of_path, sorted(found)))
            in_folders = len({os.path.dirname(name) for name in found}) > 1
            hint = "--audio may be one of these folders in it" if in_folders else "give the ending too"
            raise ValueError(f"{stem} may be {named}{f' in {text_of_path(folder)}' if in_folders else ''}; {hint}")
        return os.path.join(folder, found[0]) if found else None


def _is_there(path: str) -> bool:
    """Whether there is something of a path, or it leads into a tar or HDF5 file."""
    return os.path.lexists(path) or file_around(path) is not None


@lru_cache(maxsize=1)  # many tracks are of one
def _inside_by_stem(path: str, state: FileState | None) -> dict[str, list[str]]:  # noqa: ARG001 - as it is now
    """The sounds inside a tar or HDF5 file by their names without endings and folders."""
    found: dict[str, list[str]] = {}
    for item in items_inside(path):
        name = os.fspath(path_of_text(item.member))
        found.setdefault(os.path.splitext(os.path.basename(name))[0], []).append(name)
    return found


def _audio_by_stem(folder: str) -> dict[str, list[str]]:
    """The audio files in a folder, or in a tar or HDF5 file or a folder of one, by their names without endings."""
    found: dict[str, list[str]] = {}
    around = folder if holds_sounds(folder) and os.path.isfile(folder) else file_around(folder)
    if around is not None:
        try:
            inside = _inside_by_stem(around, file_state(around))
        except HearEdgeL3Error as error:
            raise ValueError(str(error)) from error
        place = os.path.join(folder[len(around) + 1 :], "")
        for stem, names in inside.items():
            if below := [name[len(place) :] for name in names if name.startswith(place)]:
                found[stem] = below
        return found
    try:
        names = os.listdir(folder or os.curdir)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return found
    for name in names:
        if is_audio(name) and not name.startswith("."):
            found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found
