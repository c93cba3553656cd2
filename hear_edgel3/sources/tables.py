"""Tables and lists of files: CSV, TSV, Parquet, label files, and text with a path per line."""

from __future__ import annotations

import codecs
import csv
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from numbers import Real
from typing import Any, TextIO

from hear_edgel3._extras import require
from hear_edgel3.disk.cells import DELIMITERS, cells_of, delimiter_said, open_text, point_of, with_said
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.sources.columns import Columns, find_columns

_TEXTS = (".txt", ".lst", ".list")
LISTS = (*DELIMITERS, *_TEXTS, ".parquet")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
# A line of a label file as Audacity writes it: start, end and a label, with tabs between.
_LABEL = re.compile(rf"\s*{_NUMBER}\t{_NUMBER}(\t.*)?$")
_LABEL_COLUMNS = ["start", "end", "label"]


@dataclass(frozen=True)
class TableOptions:
    """How tables are read.

    Attributes:
        keep: The names of the columns that are kept; None for all of them.
        audio: The folder that relative paths in lists are relative to; None for the list's own.
        whole_files: Whether to embed whole files, whatever starts and ends a table has.
        repeats: Whether a table without starts and ends may name a file twice.
    """

    keep: tuple[str, ...] | None = ()
    audio: str | None = None
    whole_files: bool = False
    repeats: bool = False


AS_THEY_ARE = TableOptions()


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        number: The number of its line, from 1; of Parquet that of the row.
        file: The file's name; None if the table has no such column, and empty if the row has none.
        other_files: Names of it for when there is none of the first, the best one first.
        start: Where its clip begins, in seconds; None for the beginning.
        end: Where its clip ends; None for the end.
        kept: What it has in the columns that are kept.
        error: What is wrong with it, or None.
        channel: What it has in the column of channels.
    """

    number: int
    file: str | None
    other_files: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    kept: tuple[str | None, ...] = ()
    error: str | None = None
    channel: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that has been opened.

    Attributes:
        columns: Where it has what.
        kept: The names of the columns that are kept, in the table's order.
        rows: Its rows, to be gone through once.
        has_columns: Whether it is a table, and not text with a path per line.
        channel: The name of its column of channels, or None.
    """

    columns: Columns
    kept: tuple[str, ...]
    rows: Iterator[Row]
    has_columns: bool = True
    channel: str | None = None


def is_list(path: str) -> bool:
    """Whether a path's ending is that of a list of files."""
    return path.lower().endswith(LISTS)


@contextmanager
def open_list(path: str, options: TableOptions) -> Iterator[Table]:
    """Opens a list; text with a path per line is a table with a file in each row, and nothing else.

    Raises:
        OSError, ValueError, csv.Error: it cannot be read; the message lacks its name.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending == ".parquet":
        with _open_parquet(path, options) as table:
            yield table
        return
    kind = _kind_of_text(path) if ending in _TEXTS else ending
    if kind == "paths":
        with open(path, "rb") as file:
            yield paths_in(file.read())
        return
    with open_text(path) as text:
        if kind == "labels":
            yield _read_rows(csv.reader(_without_frequencies(text), delimiter="\t"), _LABEL_COLUMNS, 0, options, ".")
        else:
            yield _open_csv(text, DELIMITERS[kind], options)


def paths_in(data: bytes) -> Table:
    """Paths, one per line, or what ``find -print0`` writes; in UTF-16, as Windows writes them, with its mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "backslashreplace").encode("utf-8", "backslashreplace")
    data = data.removeprefix(codecs.BOM_UTF8)
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    rows = (Row(i, line.decode("utf-8", "backslashreplace")) for i, line in enumerate(lines, 1) if line.strip())
    return Table(Columns(file=0), (), rows, has_columns=False)


def _kind_of_text(path: str) -> str:
    """What a text is: ``labels``, ``.tsv`` (Raven writes tables that are called .txt), or ``paths``."""
    with open_text(path) as text:
        for line in text:
            line = line.rstrip("\r\n")  # noqa: PLW2901
            if not line.strip():
                continue
            if _LABEL.match(line):
                return "labels"
            names = next(csv.reader([line], delimiter="\t"), [])
            return ".tsv" if len(names) > 1 and _knows(names) else "paths"
    return "paths"


def _without_frequencies(text: TextIO) -> Iterator[str]:
    r"""The lines of a label file without those that say a label's frequencies, which begin with ``\``."""
    return (line if not line.startswith("\\") else "\n" for line in text)


def _open_csv(text: TextIO, delimiters: Sequence[str], options: TableOptions) -> Table:
    """A table whose first row, or last comment before it, names the columns; before them the sign between cells."""
    comment, first, n_lines = "", "", 0
    for line in text:
        n_lines += 1
        if n_lines == 1 and (said := delimiter_said(line)) is not None:
            delimiters = with_said(said, delimiters)
        elif line.lstrip().startswith("#"):
            comment = line.lstrip("# \t")
        elif line.strip():
            first = line
            break
    for delimiter in delimiters:
        point = point_of(delimiter)
        names = _cells(first, delimiter)
        if _knows(names):
            return _read_rows(cells_of(text, delimiter), names, n_lines, options, point)
        names = _cells(comment, delimiter)
        if _knows(names):
            return _read_rows(cells_of(chain([first], text), delimiter), names, n_lines - 1, options, point)
    return _read_rows(cells_of(text, delimiters[0]), _cells(first, delimiters[0]), n_lines, options, ".")


def _cells(line: str, delimiter: str) -> list[str]:
    return next(cells_of([line], delimiter), [])


def _columns(names: Sequence[str], options: TableOptions) -> Columns:
    """What the columns of a table are.

    Raises:
        ValueError: none names files, and none says where clips begin.
    """
    columns = find_columns(names, options.whole_files)
    if columns.file is None and not columns.has_clips:
        raise ValueError(
            f"it has no column that names files (file, path, filename, fname or the like), but "
            f"{', '.join(map(repr, names)) or 'none'}"
        )
    return columns


def _knows(names: Sequence[str]) -> bool:
    """Whether a row may be the names of a table's columns."""
    try:
        columns = find_columns(names)
    except ValueError:
        return True
    return columns.file is not None or columns.has_clips


def _read_rows(rows: Any, names: Sequence[str], lines_before: int, options: TableOptions, point: str) -> Table:
    """A table of cells.

    Args:
        rows: A reader of :mod:`csv`, of what is behind the names.
        names: The names of the columns.
        lines_before: How many lines of the file are before that.
        options: How tables are read.
        point: The decimal point.

    Raises:
        ValueError: its columns make no sense.
    """
    columns = _columns(names, options)
    kept = _kept(names, columns, options)
    reader = _RowReader(columns, [place for _, place in kept], point, len(names))

    def read() -> Iterator[Row]:
        for cells in rows:
            if any(cell.strip() for cell in cells) and not (cells[0].startswith("#") and len(cells) < len(names)):
                yield reader.row(rows.line_num + lines_before, cells)

    return Table(columns, tuple(name for name, _ in kept), read(), channel=_name_of_channel(names, columns))


@contextmanager
def _open_parquet(path: str, options: TableOptions) -> Iterator[Table]:
    pq = require("pyarrow.parquet", "a list in Parquet", "extract")
    with pq.ParquetFile(path, pre_buffer=False) as file:
        names = file.schema_arrow.names
        columns = _columns(names, options)
        kept = _kept(names, columns, options)
        wanted = sorted({*_needed(columns), *(place for _, place in kept)})
        moved = {place: i for i, place in enumerate(wanted)}
        reader = _RowReader(_moved(columns, moved), [moved[place] for _, place in kept], ".")

        def read() -> Iterator[Row]:
            number = 0
            needed = list(dict.fromkeys(names[place] for place in wanted))
            # Several columns may have one name, and all of that name are read, in the table's order.
            places = [place for place, name in enumerate(names) if name in needed]
            read_as = [places.index(place) for place in wanted]
            for batch in file.iter_batches(columns=needed, use_threads=False):
                values = [batch.column(i).to_pylist() for i in read_as]
                for cells in zip(*values, strict=True):
                    number += 1
                    yield reader.row(number, cells)

        yield Table(columns, tuple(name for name, _ in kept), read(), channel=_name_of_channel(names, columns))


def _name_of_channel(names: Sequence[str], columns: Columns) -> str | None:
    return None if columns.channel is None else names[columns.channel].strip()


def _needed(columns: Columns) -> set[int]:
    more = (columns.other_file, columns.fold, columns.channel, *(columns.raven_times or ()), *columns.folders)
    return columns.used | {place for place in more if place is not None}


def _moved(columns: Columns, moved: dict[int, int]) -> Columns:
    def to(place: int | None) -> int | None:
        return None if place is None else moved[place]

    times = columns.raven_times
    return Columns(
        to(columns.file),
        to(columns.other_file),
        to(columns.start),
        to(columns.end),
        to(columns.length),
        None if times is None else (moved[times[0]], moved[times[1]]),
        to(columns.fold),
        to(columns.channel),
        columns.is_ravens,
        tuple(moved[place] for place in columns.folders),
    )


def _kept(names: Sequence[str], columns: Columns, options: TableOptions) -> list[tuple[str, int]]:
    """The columns that are kept, with their numbers.

    Raises:
        ValueError: the table has no such column.
    """
    stripped = [name.strip().lstrip("#").strip() or f"column_{place + 1}" for place, name in enumerate(names)]
    if options.keep is None:
        seen: dict[str, int] = {}
        for place, name in enumerate(stripped):
            if place not in columns.used:
                seen[name if name not in seen else f"{name}_{place + 1}"] = place
        return list(seen.items())
    found = []
    for name in options.keep:
        if name not in stripped:
            raise ValueError(f"it has no column {name!r} to keep, but {', '.join(map(repr, stripped))}")
        found.append((name, stripped.index(name)))
    return found


class _RowReader:
    """Makes rows of cells.

    Args:
        columns: Where what is.
        kept: The numbers of the columns that are kept.
        point: The decimal point.
        n_columns: How many columns there are; None where rows cannot have more cells.
    """

    def __init__(self, columns: Columns, kept: Sequence[int], point: str, n_columns: int | None = None) -> None:
        self._columns = columns
        self._kept = kept
        self._point = point
        self._n_columns = n_columns

    def row(self, number: int, cells: Sequence[Any]) -> Row:
        columns = self._columns
        file, others = self._names(cells)
        kept = tuple(_text(_cell(cells, place)) for place in self._kept)
        channel = None if columns.channel is None else _text(_cell(cells, columns.channel))
        try:
            self._check_count(cells)
            start, end = self._span(cells)
        except ValueError as error:
            return Row(number, file, others, kept=kept, error=str(error), channel=channel)
        return Row(number, file, others, start, end, kept, channel=channel)

    def _names(self, cells: Sequence[Any]) -> tuple[str | None, tuple[str, ...]]:
        """What a row calls its file, and what else it may be called."""
        columns = self._columns
        if columns.file is None:
            return None, ()
        file = _text(_cell(cells, columns.file)) or ""
        if file and columns.fold is not None and (fold := _text(_cell(cells, columns.fold))):
            return file, (f"fold{fold}/{file}",)
        if file and columns.folders:
            folders = [_text(_cell(cells, place)) or "" for place in columns.folders]
            paths = (os.path.join(*folders[i:], file) for i in range(len(folders) + 1))
            # Folders of a table that was made on Windows may lie here as they lay there.
            first, *others = dict.fromkeys(name for path in paths for name in (path, path.replace("\\", "/")))
            return first, tuple(others)
        other = None if columns.other_file is None else _text(_cell(cells, columns.other_file))
        return file, (other,) if other else ()

    def _check_count(self, cells: Sequence[Any]) -> None:
        """Refuses rows with more cells than there are columns, where columns are kept: one would lack its end.

        Raises:
            ValueError: it has more.
        """
        if self._n_columns is not None and self._kept and any(cell.strip() for cell in cells[self._n_columns :]):
            raise ValueError(
                f"the row has {len(cells)} cells, and the table {self._n_columns} columns; what has the sign in it "
                f"that stands between cells must be in quotes"
            )

    def _span(self, cells: Sequence[Any]) -> tuple[float | None, float | None]:
        """Where the clip begins and ends; None and None for all of a file.

        Raises:
            ValueError: that makes no sense.
        """
        columns = self._columns
        if columns.start is None:
            return None, None
        start = self._seconds(cells, columns.start, "start")
        end = None if columns.end is None else self._seconds(cells, columns.end, "end")
        if columns.length is not None and (length := self._seconds(cells, columns.length, "length")) is not None:
            end = (start or 0.0) + length
        if columns.raven_times is not None:
            begin, stop = (self._seconds(cells, place, "time") for place in columns.raven_times)
            if start is not None and begin is not None and stop is not None:
                end = start + round(stop - begin, 9)
        if start is None and end is None:
            return None, None
        start = start or 0.0
        if start < 0:
            raise ValueError(f"the clip begins at {start:g} s, before the file")
        if end is not None and end <= start:
            raise ValueError(f"the clip from {start:g} s to {end:g} s has no length")
        return start, end

    def _seconds(self, cells: Sequence[Any], place: int, what: str) -> float | None:
        cell = _cell(cells, place)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        if isinstance(cell, timedelta):
            return cell.total_seconds()
        text = cell.strip() if isinstance(cell, str) else cell
        try:
            if isinstance(text, str):
                value = float(text.replace(self._point, ".")) if "_" not in text else math.nan
            else:
                value = float(text) if isinstance(text, Real) and not isinstance(text, bool) else float(str(text))
        except (ValueError, OverflowError):
            value = math.nan
        if math.isnan(value) and isinstance(cell, float):
            return None  # as pandas writes what is missing
        if not math.isfinite(value):
            raise ValueError(f"its {what} {str(cell)[:40]!r} is no number of seconds")
        return value


def _cell(cells: Sequence[Any], place: int) -> Any:
    return cells[place] if place < len(cells) else None


def _text(cell: Any) -> str | None:
    """What a cell says, as text."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return json_text(cell, ensure_ascii=False, default=str) if isinstance(cell, (list, dict)) else str(cell)
