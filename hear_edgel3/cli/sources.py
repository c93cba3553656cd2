"""From SOURCES on the command line to files and clips, for commands that take them one by one."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.audio.span import span
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error
from hear_edgel3.sources.item import Item


@dataclass
class AudioSources:
    """What sources mean.

    Attributes:
        items: The audio files and clips, each once. A member of a tar file is called ``<tar file>/<member>``.
        failures: The sources that gave none, each with its error.
        notes: What else there is to know, in lines for stderr.
    """

    items: list[Item] = field(default_factory=list)
    failures: list[tuple[str, HearEdgeL3Error]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def has_clips(self) -> bool:
        """Whether some are clips."""
        return any(item.is_clip for item in self.items)


def audio_sources(
    sources: Sequence[str], audio: str | None = None, whole_files: bool = False, channel: int | str = MEAN
) -> AudioSources:
    """The audio files and clips that sources mean.

    Args:
        sources: As for :func:`hear_edgel3.sources.lister.list_items`.
        audio: The folder that relative paths in lists are relative to; None for the list's own.
        whole_files: Whether files are taken whole, whatever starts and ends of clips a table has.
        channel: What is heard of each file: the number of a channel, from 0, "mean" or "each".
    """
    from hear_edgel3.sources.item import Identities
    from hear_edgel3.sources.lister import list_items
    from hear_edgel3.sources.tables import TableOptions

    listing = list_items(sources, TableOptions(audio=audio, whole_files=whole_files))
    found = AudioSources(failures=listing.failures, notes=[*listing.notes, *listing.channel_notes(channel)])
    same = Identities(os.getcwd())
    seen: set[object] = set()
    for item in listing.items:
        if item.error is not None:
            found.failures.append((item.name, AudioFileError(item.error)))
            continue
        identity = same.of(item) if item.shard is not None else same.of_target(item)
        if identity not in seen:
            seen.add(identity)
            found.items.append(item)
    return found


def file_of(item: Item) -> Path:
    """The file on the disk that an item is, or that it is in."""
    return path_of_text(item.file if item.shard is None else item.shard)


def name_of(item: Item) -> str:
    """What an item is called in messages: its path, and the seconds of a clip, as :class:`AudioFile` calls it."""
    path = str(path_of_text(item.file))
    return f"{path} ({span(item.start, item.end)})" if item.is_clip else path


def is_missing(source: str) -> bool:
    """Whether a source is a path, and nothing is there."""
    return source != "-" and not glob.has_magic(source) and not os.path.lexists(source)
