"""Where the sounds of label tracks are that lie away from them: Audacity's do not say it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hear_edgel3.audio.find import is_audio
from hear_edgel3.disk.paths import folders_meant
from hear_edgel3.sources.folders import LeftOut, files_below
from hear_edgel3.sources.members import file_around

_ABOVE = re.compile(r"^(\.\./)+")


class TrackSounds:
    """Finds the folders that the sounds of tracks may be in.

    Args:
        folder: What the tracks are in, with folders inside as `events` makes them; None for a single one.
        audio: The folder of their sounds, as the option says; None if each lies beside its track.
    """

    def __init__(self, folder: str | None, audio: str | None) -> None:
        self._folder = folder
        self._audio = audio
        self._by_name: dict[str, set[str]] | None = None

    def folders(self, track: str) -> Iterator[str | None]:
        """The folders to look in for the sound of a track, the likeliest first; None for its own."""
        if self._audio is None:
            yield None
            return
        inside = "" if self._folder is None else os.path.dirname(os.path.relpath(track, self._folder))
        if inside:
            meant = folders_meant(inside)
            # The folder of all sounds may be that in which `events` was run, or what its names lead to from there.
            for place in (meant, _ABOVE.sub("", meant)):
                path = os.path.join(self._audio, place)
                if os.path.isdir(path) or file_around(path) is not None:
                    yield path
        yield self._audio
        if (found := self._below(track)) is not None:
            yield found

    def _below(self, track: str) -> str | None:
        """The only folder inside that of the sounds with one that is called as the track is; None if there is none."""
        name = os.path.splitext(os.path.basename(track))[0]
        if self._by_name is None:
            self._by_name = _by_name(self._audio or os.curdir)
        while name not in self._by_name:
            name, ending = os.path.splitext(name)
            if not ending:
                return None
        found = self._by_name[name]
        return next(iter(found)) if len(found) == 1 else None


def _by_name(folder: str) -> dict[str, set[str]]:
    """The folders of all sounds in a folder and those inside it, by their names with and without ending."""
    found: dict[str, set[str]] = {}
    for path in files_below(folder, is_audio, LeftOut(), lambda _: None):
        where, name = os.path.split(path)
        for one in (name, os.path.splitext(name)[0]):
            found.setdefault(one, set()).add(where)
    return found
