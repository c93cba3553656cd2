"""The sounds of a set, to be heard: which of them cannot be, and all of them as sources for ``extract``."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence

from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener


def unreadable(items: Sequence[Item], folder: str = "") -> list[tuple[int, str]]:
    """The sounds that cannot be read, and why.

    Each file is opened and its first block decoded, so that damage further behind is not found.

    Args:
        items: What to hear.
        folder: The folder that relative paths are relative to.

    Returns:
        Their numbers, and what is wrong, with the file's name.
    """
    found = []
    opener = ItemOpener(folder)
    try:
        for row, item in enumerate(items):
            try:
                with opener.open(item) as file:
                    if next(iter(file.blocks()), None) is None:
                        raise AudioFileError(f"{item.name} has no samples")
            except HearEdgeL3Error as error:
                found.append((row, str(error)))
    finally:
        opener.close()
    return found


def write_sources(items: Iterable[Item], path: str) -> list[str]:
    """Writes a table of the sounds, and says what to give to ``extract``, so that it embeds all of them.

    Args:
        items: What to hear; relative paths are relative to the current folder.
        path: The table to write: file, start and end.

    A job of ``extract`` hears one channel, or the mean, of all: sounds of which single channels are heard are not for
    it.

    Returns:
        The sources: the table, if any sound is in it, and the tar and HDF5 files that other sounds are in. Of these
        all sounds are embedded, whether they are among the items or not.

    Raises:
        InvalidOption: Of a sound one channel is heard.
        OutputError: The table cannot be written.
    """
    items = list(items)
    if any(item.channel is not None for item in items):
        raise InvalidOption("a table for extract cannot say channels: read the labels without the option `channel`")
    loose = dict.fromkeys((item.file, item.start, item.end) for item in items if item.shard is None)
    shards = dict.fromkeys(item.shard for item in items if item.shard is not None)
    here = text_of_path(os.getcwd())
    if loose:
        try:
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["file", "start", "end"])
                for name, start, end in loose:
                    writer.writerow(
                        [os.path.join(here, name), *("" if at is None else repr(at) for at in (start, end))]
                    )
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return ([path] if loose else []) + list(shards)
