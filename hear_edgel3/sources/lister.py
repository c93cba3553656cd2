"""From SOURCES to items, in a fixed order: one lister for every command."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hear_edgel3.audio.find import check_ordinary, is_audio
from hear_edgel3.disk.paths import text_of_path, why_not_there
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error
from hear_edgel3.sources.channels import ChannelColumn, notes_of
from hear_edgel3.sources.folders import LeftOut, files_below
from hear_edgel3.sources.hdf5 import is_called_for_sounds
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.members import Members, holds_sounds, items_inside
from hear_edgel3.sources.names import NameFinder
from hear_edgel3.sources.shards import is_shard
from hear_edgel3.sources.tables import AS_THEY_ARE, Row, Table, TableOptions, is_list, open_list, paths_in

_STDIN = "-"


@dataclass
class Listing:
    """What SOURCES mean.

    Attributes:
        items: The items in order; a file may be there more than once.
        failures: The sources that gave nothing, and why.
        notes: What the user should know: what was left out, for example.
        columns: The names of the columns that were kept of tables; an item's ``kept`` is in their order.
        has_tables: Whether there was a table among the sources.
        has_ravens: Whether there was one by Raven, which counts channels from 1.
        channel_columns: The columns of channels of tables.
    """

    items: list[Item] = field(default_factory=list)
    failures: list[tuple[str, HearEdgeL3Error]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    has_tables: bool = False
    has_ravens: bool = False
    channel_columns: list[ChannelColumn] = field(default_factory=list)

    def channel_notes(self, heard: int | str) -> list[str]:
        """What to say where the columns of channels do not count.

        Args:
            heard: What of each file: the number of a channel, from 0, "mean" or "each".
        """
        return list(notes_of(self.channel_columns, heard, self.items))


def list_items(sources: Sequence[str], tables: TableOptions = AS_THEY_ARE, columns: Sequence[str] = ()) -> Listing:
    """The items that sources mean, without sizes of files.

    Args:
        sources: Audio files; folders, with those inside; globs; tar shards of audio files; HDF5 files with an audio
            file per row (in folders those that are called ``*_mp3.hdf``); lists of files (text with a
            path per line; ``-`` is such a text on stdin) and tables (.csv, .tsv, .parquet, and what Audacity and Raven
            write as .txt), which may say where clips begin and end. Paths in a list are relative to the list's folder
            (stdin: to the current folder).
        tables: How tables are read.
        columns: The names of columns that were kept before, which come first.
    """
    listing = Listing(columns=list(columns))
    lister = _Lister(listing, tables)
    listing.items = list(lister.expand(sources))
    if (note := lister.left_out.note()) is not None:
        listing.notes.append(note)
    return listing


class _Lister:
    """Turns sources into items, one after the other.

    Args:
        listing: What gets failures, notes and columns.
        tables: How tables are read.

    Attributes:
        left_out: What was left out of folders.
    """

    def __init__(self, listing: Listing, tables: TableOptions) -> None:
        self._listing = listing
        self._tables = tables
        self._members = Members(listing.notes.append)
        self.left_out = LeftOut()

    def expand(self, sources: Sequence[str]) -> Iterator[Item]:
        for source in sources:
            if source == _STDIN:
                items = self._items_of(source, "", paths_in(sys.stdin.buffer.read()))
                if not items:
                    self._fail(source, AudioFileError("the list on stdin names no files"))
                yield from items
            elif glob.has_magic(source) and not os.path.lexists(source):
                # A NUL is in no file's name, and glob raises for it.
                found = sorted(glob.iglob(source, recursive=True)) if "\0" not in source else []
                if not found:
                    self._fail(source, AudioFileError(f"nothing matches {source}"))
                for path in found:
                    if os.path.isdir(path) or is_list(path) or _is_sound(path):
                        yield from self._one(path)
                    else:
                        self.left_out.add_match(path)
            else:
                yield from self._one(source)

    def _one(self, path: str) -> Iterator[Item]:
        if not path:
            self._fail(path, AudioFileError("a source is empty, not the name of a file or folder"))
        elif os.path.isdir(path):
            yield from self._folder(path)
        elif (member := self._members.find(path)) is not None:
            if member.error is None:
                yield member
            else:
                self._fail(path, AudioFileError(member.error))
        elif not os.path.exists(path):
            self._fail(path, AudioFileError(f"{path} {why_not_there(path)}"))
        else:
            try:
                check_ordinary(path)
            except OSError as error:
                self._fail(path, _as_audio_file_error(path, error))
                return
            if is_list(path):
                yield from self._list(path)
            else:
                yield from self._file(path)

    def _folder(self, path: str) -> Iterator[Item]:
        def unreadable(error: OSError) -> None:
            name = os.fspath(error.filename or path)
            self._fail(name, AudioFileError(f"{name} cannot be listed: {error.strerror or error}"))

        n_failures, empty = len(self._listing.failures), True
        for file in files_below(path, _is_sound, self.left_out, unreadable):
            empty = False
            yield from self._file(file)
        if empty and len(self._listing.failures) == n_failures:
            self._fail(path, AudioFileError(f"the folder {path} has no audio files"))

    def _file(self, path: str) -> Iterator[Item]:
        if holds_sounds(path):
            yield from self._inside(path)
        else:
            yield Item(text_of_path(path), 0)

    def _inside(self, path: str) -> Iterator[Item]:
        try:
            items = items_inside(path, self._listing.notes.append, hidden=False)
        except HearEdgeL3Error as error:
            self._fail(path, error)
            return
        yield from items

    def _list(self, path: str) -> Iterator[Item]:
        n_failures = len(self._listing.failures)
        try:
            with open_list(path, self._tables) as table:
                items = self._items_of(path, os.path.dirname(path), table)
        except (OSError, ValueError, csv.Error) as error:  # pyarrow's ArrowInvalid is a ValueError
            self._fail(path, AudioFileError(f"{path} cannot be read as a list of files: {error}"))
            return
        if not items and len(self._listing.failures) == n_failures:
            self._fail(path, AudioFileError(f"the list {path} names no files"))
        yield from items

    def _items_of(self, source: str, beside: str, table: Table) -> list[Item]:
        """What a list means.

        Raises:
            OSError, ValueError, csv.Error: it cannot be read, or makes no sense.
        """
        self._listing.has_tables |= table.has_columns
        self._listing.has_ravens |= table.columns.is_ravens
        channels = ChannelColumn(text_of_path(source), table.channel or "", 1 if table.columns.is_ravens else 0)
        if table.channel is not None:
            self._listing.channel_columns.append(channels)
        audio = self._tables.audio
        finder = NameFinder(source, text_of_path(beside if audio is None else audio), audio is not None)
        alone = finder.sound_of_list() if table.columns.file is None else ""
        places = [self._column(name) for name in table.kept]
        items: list[Item] = []
        seen: set[str] = set()
        for row in table.rows:
            file = alone or row.file
            channels.add(row.channel)
            kept = _at_places(row.kept, places)
            if not file:
                error = f"row {row.number} of {source} names no file"
                items.append(Item(text_of_path(source), 0, kept=kept, error=text_of_path(error)))
                continue
            if table.has_columns and not table.columns.has_clips and not self._tables.repeats:
                if file in seen:
                    raise ValueError(
                        f"it names {file} twice (the second time in row {row.number}), and has no columns that say "
                        f"where clips begin and end (start and end, for example); name each file once"
                    )
                seen.add(file)
            items += self._of_row(row, file, kept, finder, source)
        if note := finder.note():
            self._listing.notes.append(note)
        return items

    def _of_row(
        self, row: Row, file: str, kept: tuple[str | None, ...], finder: NameFinder, source: str
    ) -> Iterator[Item]:
        error = row.error
        try:
            path = finder.find(file, row.other_files)
        except ValueError as raised:
            path, error = file, str(raised)
        is_clip = row.start is not None or row.end is not None
        if error is None and is_shard(path):
            if not is_clip:
                yield from (item._replace(kept=kept) for item in self._inside(path))
                return
            error = "a clip can be of an audio file, not of a tar file"
        if error is not None:
            said = text_of_path(f"{path}: {error} (row {row.number} of {source})")
            yield Item(text_of_path(path), 0, kept=kept, error=said)
        elif (member := self._members.find(path)) is not None:
            yield member._replace(start=row.start, end=row.end, kept=kept)
        else:
            yield Item(text_of_path(path), 0, start=row.start, end=row.end, kept=kept)

    def _column(self, name: str) -> int:
        """The place of a kept column among those of all tables."""
        columns = self._listing.columns
        if name not in columns:
            columns.append(name)
        return columns.index(name)

    def _fail(self, source: str, error: HearEdgeL3Error) -> None:
        self._listing.failures.append((source, error))


def _is_sound(path: str) -> bool:
    return is_audio(path) or is_shard(path) or is_called_for_sounds(path)


def _at_places(kept: tuple[str | None, ...], places: Sequence[int]) -> tuple[str | None, ...]:
    """Values in the order of all columns."""
    if not places or list(places) == list(range(len(places))):
        return kept
    found: list[str | None] = [None] * (max(places) + 1)
    for place, value in zip(places, kept, strict=True):
        found[place] = value
    return tuple(found)


def _as_audio_file_error(path: str, error: OSError) -> AudioFileError:
    if isinstance(error, AudioFileError):
        return error
    return AudioFileError(f"{path} cannot be opened: {error.strerror or error}")
