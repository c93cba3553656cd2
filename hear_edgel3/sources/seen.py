"""What a source file was like when its rows were made: by this a later run notices that it has changed since."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.disk.state import FileState, file_state
from hear_edgel3.errors import DatasetError
from hear_edgel3.sources.item import Item

_AT_ONCE = 1000


def look(item: Item, folder: str) -> FileState | None:
    """What an item's file is like now; None if it is not there.

    Args:
        item: The item.
        folder: The folder that relative paths are relative to.
    """
    return _look_at(item.file if item.shard is None else item.shard, folder)


def _look_at(file: str, folder: str) -> FileState | None:
    return file_state(path_of_text(os.path.join(folder, file)))


def changed_items(items: Sequence[Item], then: Sequence[FileState | None], folder: str) -> list[Item]:
    """The items whose file is another one than when their rows were made. One that is gone keeps its rows.

    Args:
        items: The items.
        then: What the file of each was like.
        folder: The folder that relative paths are relative to.
    """
    names = list({item.file if item.shard is None else item.shard: None for item in items})
    chunks = [names[i : i + _AT_ONCE] for i in range(0, len(names), _AT_ONCE)]
    with ThreadPoolExecutor(16) as threads:  # for where each question takes a while
        found = threads.map(lambda some: [_look_at(name, folder) for name in some], chunks)
        now = dict(zip(names, (seen for some in found for seen in some), strict=True))
    latest = [now[item.file if item.shard is None else item.shard] for item in items]
    return [item for item, old, new in zip(items, then, latest, strict=True) if new is not None and new != old]


def to_text(seen: Sequence[FileState | None]) -> str:
    """As JSON, for the metadata of a part."""
    return json.dumps(seen, separators=(",", ":"))


def from_text(text: bytes, count: int) -> list[FileState | None]:
    """What :func:`to_text` wrote.

    Args:
        text: The text.
        count: How many there must be.

    Raises:
        DatasetError: it is something else; without the name of the file.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError("what it says of its sources is no JSON") from error
    if not isinstance(values, list) or len(values) != count or not all(map(_is_seen, values)):
        raise DatasetError(f"what it says of its sources is not of {count} files")
    return [None if value is None else FileState(*value) for value in values]


def _is_seen(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 2 and all(isinstance(number, int) for number in value)
    )
