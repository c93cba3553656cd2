"""The sounds of events, cut out of their recordings into FLAC files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import soundfile

from hear_edgel3.audio.span import seconds
from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.event_detection.event import Event
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener

MARGIN_S = 0.5
# What no file system and no shell takes well in the name of a folder.
_UNSAFE = re.compile(r"[^\w .,()&'+-]", re.ASCII)
# libsndfile's FLAC takes no other rates.
_HIGHEST_RATE = 655350


class ClipCutter:
    """Cuts events out of recordings: ``<folder>/<class>/<folders of the recording>/<its name>_<start>-<end>s.flac``.

    A clip is of one channel, the one that was listened to, at the recording's rate and with 16 bits.

    Args:
        folder: Where clips go.
        margin: How many seconds before and behind an event are cut out with it.
        opener: What opens recordings.
    """

    def __init__(self, folder: str, margin: float, opener: ItemOpener) -> None:
        self._folder = Path(folder)
        self._margin = margin
        self._opener = opener
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
            OutputError: A clip cannot be written.
        """
        return tuple(self._cut_one(item, event) for event in events)

    def _cut_one(self, item: Item, event: Event) -> str:
        begin, end = max(item.start or 0.0, event.start - self._margin), event.end + self._margin
        if item.end is not None:
            end = min(end, item.end)
        with self._opener.open(item._replace(start=begin, end=end)) as file:
            rate = file.sample_rate
            # Without the warnings that the recording has given already.
            samples = np.concatenate([block.numpy() for block in file.blocks(watch=False)])
        path = self._folder / _safe(event.label) / _place(item.file) / _name(item.file, event)
        if path.parent not in self._made:
            make_folder(path.parent)
            self._made.add(path.parent)
        with atomic_write(path, swept=True) as target:
            soundfile.write(target, np.clip(samples, -1, 1), min(rate, _HIGHEST_RATE), "PCM_16", format="FLAC")
        return os.fspath(path)


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).strip(" .") or "_"


def _place(file: str) -> Path:
    """The folders of a recording, below others."""
    parts = [part for part in PurePath(path_of_text(file)).parent.parts if part not in ("/", "..", ".")]
    return Path(*parts)


def _name(file: str, event: Event) -> str:
    return f"{PurePath(path_of_text(file)).name}_{seconds(event.start)}-{seconds(event.end)}s.flac"
