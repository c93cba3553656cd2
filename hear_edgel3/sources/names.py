"""From what a list calls a file to its path: names without endings, and tables that are called as their sound is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from hear_edgel3.audio.find import is_audio
from hear_edgel3.disk.paths import path_of_text, text_of_path
from hear_edgel3.disk.state import FileState, file_state
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.sources.members import file_around, holds_sounds, items_inside
from hear_edgel3.sources.shards import is_shard

# AudioSet's ids are YouTube's, which may begin with a dash; some downloads put a Y before all of them.
_PREFIXES = ("", "Y")
# How absolute names begin, of this system or of Windows.
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|[\\/]")
# Bytes of a name that are no UTF-8, as Python has them in text.
_NO_TEXT = re.compile("[\udc80-\udcff]")


class NameFinder:
    """Finds the files that a list names.

    Args:
        source: The list.
        folder: The text of the folder that its relative paths are relative to.
        given: Whether somebody said that the files are in this folder. Then absolute names of files that are not where
            these lead, as those of another machine, may be those of files in it.
    """

    def __init__(self, source: str, folder: str, given: bool = False) -> None:
        self._source = source
        self._folder = folder
        self._given = given
        self._name_of: dict[str, str] = {}  # of files that were found by the ends of absolute names
        self._clash: tuple[str, str, str] | None = None  # a file, and two names that have led to it
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
        if not _is_there(path):
            path = self._by_its_end(name) or self._in_deeper(name) or path
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
        given = os.fspath(path_of_text(self._folder))
        base, folders = os.path.join(given, ""), [*self._deeper, given]
        first = os.path.splitext(os.path.basename(self._source))[0]
        for folder in folders:
            name, ending = first, "."
            while ending:
                path = os.path.join(folder, name)
                if is_audio(path) and os.path.isfile(path):
                    return text_of_path(path.removeprefix(base))
                if (found := self._of_stem(folder, name)) is not None:
                    return text_of_path(found.removeprefix(base))
                name, ending = os.path.splitext(name)
        raise ValueError(
            f"no column names files, and {given or 'the current folder'} has no audio file called as it is "
            f"({first}.wav, for example); --audio says where the sound is: in which folder, tar or HDF5 file"
        )

    @cached_property
    def _deeper(self) -> list[str]:
        """Folders in the one that was given that are called as those that the list is in, the longest way first.

        A list ``labels/north/a.txt`` may be of sounds in ``sounds/north``, if the folder is ``sounds``.
        """
        parts = Path(os.path.dirname(self._source)).parts if self._given else ()
        ends = [parts[i:] for i in range(len(parts)) if os.pardir not in parts[i:] and not os.path.isabs(parts[i])]
        paths = [os.path.join(os.fspath(path_of_text(self._folder)), *end) for end in ends]
        return [path for path in paths if os.path.isdir(path) or file_around(path) is not None]

    def note(self) -> str | None:
        """What there is to know of files that were found by the ends of absolute names.

        Raises:
            ValueError: two names have led to one file, which cannot be both.
        """
        if self._clash is not None:
            path, one, other = self._clash
            raise ValueError(
                f"{one} and {other} are not there, and of both {text_of_path(path)} may be what they mean; --audio is "
                f"to be a folder that has each of them in a folder of its own, as these names say"
            )
        if not self._name_of:
            return None
        path, name = next(iter(self._name_of.items()))
        return (
            f"found by the ends of their names, as they are not where {text_of_path(self._source)} says: "
            f"{len(self._name_of)} files ({name} is {text_of_path(path)})"
        )

    def _by_its_end(self, name: str) -> str | None:
        r"""The file in the folder that has most of a name's end: of ``C:\night\a.wav`` ``night/a.wav``, else ``a.wav``.

        Relative names are taken whole: only what Windows writes between their folders is another thing here.
        """
        absolute = _ABSOLUTE.match(name)
        parts = [part for part in re.split("/" if name.startswith("/") else r"[\\/]", name) if part]
        if os.pardir in parts or not (self._given if absolute else "\\" in name):
            return None
        for first in range(1 if absolute and not name.startswith(("/", "\\")) else 0, len(parts) if absolute else 1):
            path = self._path(os.path.join(*parts[first:]))
            if _is_there(path):
                if absolute and (known := self._name_of.setdefault(path, name)) != name:
                    self._clash = self._clash or (path, known, name)
                return path
        return None

    def _in_deeper(self, name: str) -> str | None:
        """The file of a relative name in a folder that is called as the list's own is, if there is one."""
        if _ABSOLUTE.match(name):
            return None
        paths = (os.path.join(folder, os.fspath(path_of_text(name))) for folder in self._deeper)
        return next((path for path in paths if _is_there(path)), None)

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
