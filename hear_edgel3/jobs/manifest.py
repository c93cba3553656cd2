"""The items of a job: those that SOURCES mean (:mod:`hear_edgel3.sources`) and the job does not have yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.sources.item import Identities, Item
from hear_edgel3.sources.lister import Listing, list_items

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Item", "Listing", "absolute", "identities", "items_from", "items_schema", "list_items", "new_items"]

_ASKED_AT_ONCE = 1000
# A clip counts as so many bytes per second when work is cut into parts: its file may be of any length.
_CLIP_BYTES_PER_SECOND = 192_000


def new_items(items: Iterable[Item], here: str, folder: str, known: Container[Hashable]) -> list[Item]:
    """The items that a job does not have yet, each once, with their sizes.

    Args:
        items: The items as they were listed.
        here: The folder that their relative paths are relative to.
        folder: The folder that those in the job are relative to.
        known: The identities of the job's items, as :func:`identities` gives them.
    """
    found: dict[Hashable, Item] = {}
    for item, names in _looked_up(list(items), here):
        if any(name in known or name in found for name in names):
            continue
        if here != folder:
            shard = None if item.shard is None else absolute(item.shard, here)
            file = absolute(item.file, here) if shard is None else f"{shard}/{item.member}"
            item = item._replace(file=file, shard=shard)  # noqa: PLW2901
        found[names[-1]] = item
    return list(found.values())


def absolute(file: str, folder: str) -> str:
    """The text of an item's path, or its shard's, from the root."""
    return os.path.normpath(os.path.join(text_of_path(folder), file))


def identities(items: Iterable[Item], folder: str) -> Iterator[Hashable]:
    """What tells the items of a job from each other.

    Args:
        items: The items.
        folder: The folder that their relative paths are relative to.
    """
    same = Identities(folder)
    return map(same.of, items)


def _looked_up(items: list[Item], folder: str) -> Iterator[tuple[Item, list[Hashable]]]:
    """Items with their sizes, each with its identity, and with that of what it links to.

    The system is asked by several threads, for where each question takes a while.
    """
    same = Identities(folder)

    def look_up(some: list[Item]) -> list[tuple[Item, list[Hashable]]]:
        found = []
        for item in some:
            names = [same.of(item)]
            if item.shard is None and item.error is None:
                path = same.path(item.file)
                size, is_link = _status(os.lstat, path)
                if is_link:
                    names.append(same.of_target(item))
                    size, _ = _status(os.stat, path)
                if item.is_clip and item.end is not None:
                    size = min(size, int((item.end - (item.start or 0.0)) * _CLIP_BYTES_PER_SECOND))
                item = item._replace(size=size)  # noqa: PLW2901
            found.append((item, names))
        return found

    with ThreadPoolExecutor(16) as threads:
        chunks = (items[i : i + _ASKED_AT_ONCE] for i in range(0, len(items), _ASKED_AT_ONCE))
        for found in threads.map(look_up, chunks):
            yield from found


def _status(ask: Any, path: str) -> tuple[int, bool]:
    """The size of what is there, and whether it is a link; decoding what is not there will say why."""
    try:
        status = ask(path)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return 0, False
    return status.st_size, stat.S_ISLNK(status.st_mode)


def items_schema() -> pa.Schema:
    """The columns of a job's list of items, which state no channel: a job has one for all. Older jobs lack some."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("file", pa.string(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("shard", pa.string()),
            pa.field("offset", pa.int64()),
            pa.field("header", pa.int64()),
            pa.field("start", pa.float64()),
            pa.field("end", pa.float64()),
            pa.field("kept", pa.list_(pa.field("element", pa.string()))),
            pa.field("error", pa.string()),
        ]
    )


def items_from(table: pa.Table | pa.RecordBatch) -> list[Item]:
    """The items of some rows of a job's list, which may lack columns."""
    names = [name for name in Item._fields if name in table.schema.names]
    columns = [table.column(name).to_pylist() for name in names]
    if "kept" in names:
        place = names.index("kept")
        columns[place] = [tuple(values or ()) for values in columns[place]]
    if names == list(Item._fields[: len(names)]):
        return [Item(*values) for values in zip(*columns, strict=True)]
    return [Item(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
