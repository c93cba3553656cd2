"""From what a list calls a file to its path: names without endings, and tables that are called as their sound is."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hear_edgel3.audio.find import is_audio
from hear_edgel3.disk.paths import path_of_text, text_of_path
from hear_edgel3.sources.shards import is_shard

# AudioSet's ids are YouTube's, which may begin with a dash; some downloads put a Y before all of them.
_PREFIXES = ("", "Y")


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
            ValueError: several files are called so.
        """
        path = self._path(name)
        if others and not os.path.lexists(path):
            path = next((other for other in map(self._path, others) if os.path.lexists(other)), path)
        if is_audio(path) or is_shard(path) or os.path.lexists(path):
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
                return text_of_path(os.path.basename(found))
            name, ending = os.path.splitext(name)
            if not ending:
                raise ValueError(
                    f"no column names files, and {folder or 'the current folder'} has no audio file called as it is "
                    f"({first}.wav, for example); --audio says where the sound is"
                )

    def _path(self, name: str) -> str:
        return os.fspath(path_of_text(os.path.join(self._folder, name)))

    def _of_stem(self, folder: str, stem: str) -> str | None:
        if folder not in self._stems:
            self._stems[folder] = _audio_by_stem(folder)
        found = self._stems[folder].get(stem, [])
        if len(found) > 1:
            raise ValueError(f"{stem} may be {' or '.join(map(text_of_path, sorted(found)))}; give the ending too")
        return os.path.join(folder, found[0]) if found else None


def _audio_by_stem(folder: str) -> dict[str, list[str]]:
    """The audio files in a folder by their names without endings."""
    found: dict[str, list[str]] = {}
    try:
        names = os.listdir(folder or os.curdir)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return found
    for name in names:
        if is_audio(name) and not name.startswith("."):
            found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found
