"""From SOURCES on the command line to audio files, for commands that take them one by one."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error
from hear_edgel3.sources.item import Item


@dataclass
class AudioSources:
    """What sources mean.

    Attributes:
        files: The audio files, each once. A member of a tar file is called ``<tar file>/<member>``.
        in_shards: Of those that are in tar files, where; the others are files of their own.
        failures: The sources that gave none, each with its error.
        notes: What else there is to know, in lines for stderr.
    """

    files: list[Path] = field(default_factory=list)
    in_shards: dict[Path, Item] = field(default_factory=dict)
    failures: list[tuple[str, HearEdgeL3Error]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def file_of(self, path: Path) -> Path:
        """The file on the disk that an audio file is, or that it is in."""
        item = self.in_shards.get(path)
        return path if item is None or item.shard is None else path_of_text(item.shard)


def audio_sources(sources: Sequence[str]) -> AudioSources:
    """The audio files that sources mean.

    Args:
        sources: As for :func:`hear_edgel3.sources.lister.list_items`; but tables of clips are for ``extract``.
    """
    from hear_edgel3.sources.item import Identities
    from hear_edgel3.sources.lister import list_items

    listing = list_items(sources)
    found = AudioSources(failures=listing.failures, notes=listing.notes)
    same = Identities(os.getcwd())
    seen: set[object] = set()
    for item in listing.items:
        if item.is_clip:
            error = "a table of clips is for `hear-edgel3 extract`, which embeds each of them"
            found.failures.append((item.name, AudioFileError(f"{item.name}: {error}")))
            continue
        if item.error is not None:
            found.failures.append((item.file, AudioFileError(item.error)))
            continue
        identity = same.of(item) if item.shard is not None else same.of_target(item)
        if identity in seen:
            continue
        seen.add(identity)
        path = path_of_text(item.file)
        found.files.append(path)
        if item.shard is not None:
            found.in_shards[path] = item
    return found


def is_missing(source: str) -> bool:
    """Whether a source is a path, and nothing is there."""
    return source != "-" and not glob.has_magic(source) and not os.path.lexists(source)
