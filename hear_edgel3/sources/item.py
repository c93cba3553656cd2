"""One sound that SOURCES mean: a file, a member of a tar shard, or a stretch of one of these."""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import NamedTuple

from hear_edgel3.audio.span import span
from hear_edgel3.disk.paths import path_of_text, real_path, text_of_path


class Item(NamedTuple):
    """One thing to embed.

    Attributes:
        file: What the ``file`` column says: a path, or ``<path of the shard>/<member>``.
        size: How many bytes it has; 0 where that is unknown.
        shard: The path of the tar file that has it, as in ``file``; None for a file of its own.
        offset: Where its bytes begin in the (unpacked) tar file.
        header: Where its header begins in the (unpacked) tar file; None for a link to another member, or if unknown.
        start: Where a clip begins, in seconds of the file; None for the beginning.
        end: Where a clip ends, in seconds of the file; None for the end.
        kept: What a table says of it, in the columns that are kept; those behind its end are empty.
        error: Why it cannot be embedded, as far as its list or shard shows that already.
        channel: What is heard of its channels: "mean" of all, or the number of one, from 0; None for what whoever opens
            it hears of others.
    """

    file: str
    size: int
    shard: str | None = None
    offset: int | None = None
    header: int | None = None
    start: float | None = None
    end: float | None = None
    kept: tuple[str | None, ...] = ()
    error: str | None = None
    channel: int | str | None = None

    @property
    def is_clip(self) -> bool:
        """Whether it is a stretch of a file, and not all of it."""
        return self.start is not None or self.end is not None

    @property
    def member(self) -> str:
        """What it is called in its shard; its ``file`` if it is in none."""
        return self.file if self.shard is None else self.file[len(self.shard) + 1 :]

    @property
    def name(self) -> str:
        """What to call it in messages: its ``file``, the seconds of a clip, and a channel that it states."""
        more = [span(self.start, self.end)] if self.is_clip else []
        if self.channel is not None:
            more.append(f"channel {self.channel}")
        return f"{self.file} ({', '.join(more)})" if more else self.file


class Identities:
    """What is equal for equal items, however they were named: links among their folders are followed.

    Links are looked up once for as long as one of these lives; one system call per folder, not per file.

    Args:
        folder: The folder that relative paths are relative to.
    """

    def __init__(self, folder: str) -> None:
        self._folder = text_of_path(folder)
        self._folders: dict[str, str] = {}
        self._shards: dict[str, str] = {}

    def of(self, item: Item) -> Hashable:
        """A value that is equal for equal items.

        A name inside a shard stays as it is, so that it equals that of no file outside, whatever ``..`` it has.
        """
        return self._with_more(item, self.place(item.file) if item.shard is None else self._in_shard(item))

    def of_target(self, item: Item) -> Hashable:
        """As :meth:`of`, of the file that a link leads to."""
        return self._with_more(item, text_of_path(real_path(self.path(item.file))))

    def path(self, file: str) -> str:
        """The path that a name stands for."""
        return os.fspath(path_of_text(os.path.join(self._folder, file)))

    def place(self, file: str) -> str:
        """The text of a file's path, after links among its folders."""
        head, tail = os.path.split(os.path.join(self._folder, file))
        if tail in ("", ".", ".."):
            return text_of_path(real_path(self.path(file)))
        real = self._folders.get(head)
        if real is None:
            real = self._folders[head] = text_of_path(real_path(path_of_text(head))).rstrip("/")
        return f"{real}/{tail}"

    def _in_shard(self, item: Item) -> Hashable:
        assert item.shard is not None
        if item.shard not in self._shards:
            self._shards[item.shard] = text_of_path(real_path(self.path(item.shard)))
        return self._shards[item.shard], item.member

    def _with_more(self, item: Item, place: Hashable) -> Hashable:
        more = (item.start, item.end, item.kept, item.error, item.channel)
        return place if more == (None, None, (), None, None) else (place, *more)
