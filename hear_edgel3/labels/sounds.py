"""The sounds of a set, to be heard: which of them cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from hear_edgel3.errors import AudioFileError, HearEdgeL3Error
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
