"""From SOURCES - files, folders, globs, lists of files, tar shards - to the items of a job, in a fixed order."""

from __future__ import annotations

import csv
import glob
import lzma
import os
import sys
import tarfile
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from hear_edgel3.audio.find import AUDIO_SUFFIXES, files_below
from hear_edgel3.dataset.parquet import require_pyarrow
from hear_edgel3.disk.paths import path_of_text, text_of_path
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error

_PLAIN_SHARD = ".tar"
_PACKED_SHARDS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Last endings of what is looked for in folders.
_BELOW = AUDIO_SUFFIXES | {os.path.splitext(ending)[1] for ending in (_PLAIN_SHARD, *_PACKED_SHARDS)}
_COLUMNS = ("file", "path")
_TABLES = {".csv": ",", ".tsv": "\t"}
_LISTS = (".txt", ".lst", ".list")
_SIZES_AT_ONCE = 1000


class Item(NamedTuple):
    """One thing to embed.

    Attributes:
        file: What the ``file`` column says: a path, or ``<path of the shard>/<member>``.
        size: How many bytes it has; 0 where that is unknown.
        shard: The path of the tar file that has it, as in ``file``; None for a file of its own.
        offset: Where its bytes begin in the (unpacked) tar file.
    """

    file: str
    size: int
    shard: str | None = None
    offset: int | None = None


@dataclass
class Listing:
    """What SOURCES mean.

    Attributes:
        items: The items in order; a file may be there more than once.
        failures: The sources that gave nothing, and why.
    """

    items: list[Item] = field(default_factory=list)
    failures: list[tuple[str, HearEdgeL3Error]] = field(default_factory=list)


def list_items(sources: Sequence[str]) -> Listing:
    """The items that sources mean, without sizes of files.

    Args:
        sources: Audio files; folders, with those inside; globs; lists of files (.csv and .tsv with a column ``file`` or
            ``path``, .parquet with such a column, .txt with a path per line; ``-`` is such a text on stdin); tar shards
            of audio files. Paths in a list are relative to the list's folder (stdin: to the current folder).
    """
    listing = Listing()
    listing.items = list(_Lister(listing.failures).expand(sources))
    return listing


def new_items(items: Iterable[Item], here: str, folder: str, known: Container[str]) -> list[Item]:
    """The items that a job does not have yet, each once, with their sizes.

    Args:
        items: The items as they were listed.
        here: The folder that their relative paths are relative to.
        folder: The folder that those in the job are relative to.
        known: The :func:`absolute` paths of the job's items.
    """
    found: dict[str, Item] = {}
    for item in items:
        key = absolute(item.file, here)
        if key not in known and key not in found:
            if here != folder:
                shard = None if item.shard is None else absolute(item.shard, here)
                item = item._replace(file=key, shard=shard)  # noqa: PLW2901
            found[key] = item
    return list(_with_sizes(list(found.values()), folder))


def absolute(file: str, folder: str) -> str:
    """The text of an item's path that is equal for the same item, however it was named."""
    return os.path.normpath(os.path.join(text_of_path(folder), file))


class _Lister:
    """Turns sources into items, one after the other.

    Args:
        failures: The list that gets the sources that give nothing.
    """

    def __init__(self, failures: list[tuple[str, HearEdgeL3Error]]) -> None:
        self._failures = failures

    def expand(self, sources: Sequence[str]) -> Iterator[Item]:
        for source in sources:
            if source == "-":
                yield from self._entries(source, "", _lines(sys.stdin.buffer.read()))
            elif glob.has_magic(source) and not os.path.lexists(source):
                found = sorted(glob.iglob(source, recursive=True))
                if not found:
                    self._fail(source, AudioFileError(f"nothing matches {source}"))
                for path in found:
                    if os.path.isdir(path) or _is_list(path) or _is_shard(path) or _is_audio(path):
                        yield from self._one(path)
            else:
                yield from self._one(source)

    def _one(self, path: str) -> Iterator[Item]:
        if not path:
            self._fail(path, AudioFileError("a source is empty, not the name of a file or folder"))
        elif os.path.isdir(path):
            yield from self._folder(path)
        elif not os.path.exists(path):
            self._fail(path, AudioFileError(f"{path} does not exist"))
        elif _is_list(path):
            yield from self._entries(path, os.path.dirname(path), _texts(path))
        else:
            yield from self._file(path)

    def _folder(self, path: str) -> Iterator[Item]:
        def unreadable(error: OSError) -> None:
            name = os.fspath(error.filename or path)
            self._fail(name, AudioFileError(f"{name} cannot be listed: {error.strerror or error}"))

        n_failures, empty = len(self._failures), True
        for file in files_below(path, _BELOW, unreadable):
            if _is_shard(file) or _is_audio(file):
                empty = False
                yield from self._file(file)
        if empty and len(self._failures) == n_failures:
            self._fail(path, AudioFileError(f"the folder {path} has no audio files"))

    def _file(self, path: str) -> Iterator[Item]:
        if _is_shard(path):
            yield from self._members(path)
        else:
            yield Item(text_of_path(path), 0)

    def _members(self, path: str) -> Iterator[Item]:
        shard, empty = text_of_path(path), True
        try:
            with open_tar(path) as tar:  # of a plain one only the headers are read
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # they would add up
                    if member.isreg() and not member.issparse() and _is_audio(member.name):
                        empty = False
                        yield Item(f"{shard}/{text_of_path(member.name)}", member.size, shard, member.offset_data)
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            self._fail(path, AudioFileError(f"{path} cannot be read as a tar file: {error}"))
        else:
            if empty:
                self._fail(path, AudioFileError(f"the shard {path} has no audio files"))

    def _entries(self, source: str, beside: str, texts: Iterator[str]) -> Iterator[Item]:
        empty = True
        try:
            for text in texts:
                empty = False
                # Whether they exist is not asked here: one that does not becomes an error row.
                yield from self._file(os.fspath(path_of_text(os.path.join(text_of_path(beside), text))))
        except (OSError, ValueError, csv.Error) as error:  # pyarrow's ArrowInvalid is a ValueError
            self._fail(source, AudioFileError(f"{source} cannot be read as a list of files: {error}"))
        else:
            if empty:
                self._fail(source, AudioFileError(f"the list {source} names no files"))

    def _fail(self, source: str, error: HearEdgeL3Error) -> None:
        self._failures.append((source, error))


def open_tar(path: str) -> tarfile.TarFile:
    """A tar file, to be read from its beginning to its end if it is packed."""
    return tarfile.open(path, "r:" if not is_packed(path) else "r|*", encoding="utf-8", errors="surrogateescape")


def is_packed(shard: str) -> bool:
    """Whether a shard is compressed as a whole, so that it can only be read from its beginning."""
    return shard.lower().endswith(_PACKED_SHARDS)


def _is_shard(path: str) -> bool:
    return path.lower().endswith((_PLAIN_SHARD, *_PACKED_SHARDS))


def _is_list(path: str) -> bool:
    return path.lower().endswith((*_TABLES, *_LISTS, ".parquet"))


def _is_audio(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in AUDIO_SUFFIXES


def _texts(path: str) -> Iterator[str]:
    """The paths in a list, as text."""
    ending = os.path.splitext(path)[1].lower()
    if ending == ".parquet":
        yield from _parquet_column(path)
    elif ending in _TABLES:
        # The lines of a table that is not UTF-8 keep their bytes.
        with open(path, newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
            rows = csv.reader(file, delimiter=_TABLES[ending])
            column = _column(next(rows, []))
            yield from (row[column] for row in rows if len(row) > column and row[column])
    else:
        with open(path, "rb") as file:
            yield from _lines(file.read())


def _lines(data: bytes) -> Iterator[str]:
    """Lines, or what `find -print0` writes."""
    for line in data.split(b"\0") if b"\0" in data else data.splitlines():
        if line.strip():
            yield line.decode("utf-8", "backslashreplace")


def _column(names: Iterable[str]) -> int:
    names = list(names)
    for wanted in _COLUMNS:
        if wanted in names:
            return names.index(wanted)
    raise ValueError(f"it has no column named {' or '.join(_COLUMNS)}, but {', '.join(map(repr, names)) or 'none'}")


def _parquet_column(path: str) -> Iterator[str]:
    require_pyarrow()
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        for batch in file.iter_batches(columns=[names[_column(names)]]):
            yield from (str(text) for text in batch.column(0).to_pylist() if text)


def _with_sizes(items: list[Item], folder: str) -> Iterator[Item]:
    """Adds the sizes of files; by several threads, for where each question takes a while."""

    def sizes(some: list[Item]) -> list[int]:
        return [item.size if item.shard else _size(os.path.join(folder, item.file)) for item in some]

    with ThreadPoolExecutor(16) as threads:
        chunks = [items[i : i + _SIZES_AT_ONCE] for i in range(0, len(items), _SIZES_AT_ONCE)]
        for some, found in zip(chunks, threads.map(sizes, chunks), strict=True):
            yield from (item._replace(size=size) for item, size in zip(some, found, strict=True))


def _size(text: str) -> int:
    try:
        return os.stat(path_of_text(text)).st_size
    except OSError:
        return 0  # decoding it will say why
