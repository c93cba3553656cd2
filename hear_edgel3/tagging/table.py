"""Tags as a Parquet table: a row per window, and a column per class. Needs pyarrow (the extra ``extract``).

The columns are ``file``; ``clip_start`` and ``clip_end`` where there are clips, ``channel`` where each channel is
tagged by itself; ``start`` and ``end`` in seconds; ``recorded_at`` and ``site`` where these are asked for;
``predicted``, what is said to be heard (a text, or null, where one class is right, else a list of texts; missing where
the outputs are numbers); and one of float32 for each class, by its name. A class that is called as a column before it
has its number behind its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from hear_edgel3._extras import require
from hear_edgel3.dataset.parquet import opened_parquet
from hear_edgel3.tagging.outputs import Outputs
from hear_edgel3.tagging.records import CLIP_END, CLIP_START, RECORDED, SITE, Record

_PURPOSE, _EXTRA = "tags as Parquet", "extract"
_ROWS_PER_GROUP = 4096

# The first row of what is heard in a file or clip, and how many rows there are.
Place = tuple[int, int]


def require_pyarrow() -> None:
    """Finds out before the work whether tables can be written.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", _PURPOSE, _EXTRA)


class TagsTable:
    """How tags are laid out in a table.

    Args:
        classes: The names of the classes.
        outputs: How outputs are read.
        each: Whether each channel is tagged by itself.
        clips: Whether some of what is tagged are clips.
        recorded: Whether rows say when and where the sound was recorded.

    Raises:
        MissingExtra: pyarrow is not installed.
    """

    def __init__(
        self, classes: Sequence[str], outputs: Outputs, each: bool, clips: bool, recorded: bool = False
    ) -> None:
        pa = require("pyarrow", _PURPOSE, _EXTRA)
        fields = [("file", pa.string())]
        if clips:
            fields += [(CLIP_START, pa.float64()), (CLIP_END, pa.float64())]
        if each:
            fields.append(("channel", pa.int32()))
        fields += [("start", pa.float64()), ("end", pa.float64())]
        if recorded:
            fields += [(name, pa.string()) for name in RECORDED]
        if not outputs.are_numbers:
            fields.append(("predicted", pa.string() if outputs.targets == "single" else pa.list_(pa.string())))
        self._fixed = [name for name, _ in fields]
        self._classes: list[str] = []
        for number, name in enumerate(classes, 1):
            taken = name in self._fixed or name in self._classes
            self._classes.append(f"{name} ({number})" if taken else name)
        self.schema = pa.schema([*fields, *((name, pa.float32()) for name in self._classes)])

    def rows_of(self, record: Record) -> list[dict[str, Any]]:
        """The rows of what is heard in a file or clip."""
        same = {name: record[name] for name in ("file", CLIP_START, CLIP_END, SITE) if name in record}
        return [
            {
                **same,
                **{name: window[name] for name in self._fixed if name in window},
                **dict(zip(self._classes, window["values"], strict=True)),
            }
            for window in record["windows"]
        ]

    def places(self, path: Path) -> Iterator[tuple[Mapping[str, Any], Place]]:
        """What a table has of each file or clip, as far as it tells which, and where.

        Raises:
            DatasetError: It is no Parquet file, or damaged.
            ValueError: It has other columns.
        """
        columns = [name for name in ("file", CLIP_START, CLIP_END) if name in self._fixed]
        with opened_parquet(path, "use another name") as file:
            if not file.schema_arrow.equals(self.schema):
                raise ValueError("its columns are others")
            first, last, row = 0, None, 0
            for batch in file.iter_batches(columns=columns, use_threads=False):
                for found in batch.to_pylist():
                    if last is not None and found != last:
                        yield last, (first, row - first)
                        first = row
                    last, row = found, row + 1
            if last is not None:
                yield last, (first, row - first)

    def write(self, target: BinaryIO, old: Path | None, parts: Iterable[Place | Record]) -> None:
        """Writes a table.

        Args:
            target: Where to.
            old: A table that some rows are taken from.
            parts: Places in the old table, and new records, in order.
        """
        pq = require("pyarrow.parquet", _PURPOSE, _EXTRA)
        pa = require("pyarrow", _PURPOSE, _EXTRA)
        with pq.ParquetWriter(target, self.schema) as writer:
            waiting: list[Any] = []
            count = 0
            for table in self._tables(pa, old, parts):
                waiting.append(table)
                count += table.num_rows
                if count >= _ROWS_PER_GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting, count = [], 0
            if waiting:
                writer.write_table(pa.concat_tables(waiting))

    def _tables(self, pa: Any, old: Path | None, parts: Iterable[Place | Record]) -> Iterator[Any]:
        if old is None:
            for part in parts:
                yield pa.Table.from_pylist(self.rows_of(part), self.schema)  # type: ignore[arg-type]
            return
        with opened_parquet(old, "use another name") as file:
            rows = _OldRows(file)
            for part in parts:
                if isinstance(part, tuple):
                    yield from rows.at(*part)
                else:
                    yield pa.Table.from_pylist(self.rows_of(part), self.schema)


class _OldRows:
    """Rows of a table that is there, of which one group is held at a time: they are mostly taken in their order."""

    def __init__(self, file: Any) -> None:
        self._file = file
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self._firsts = [0, *accumulate(sizes)]
        self._held: tuple[int, Any] = (-1, None)

    def at(self, first: int, count: int) -> Iterator[Any]:
        """Some rows, as tables."""
        for number, (start, end) in enumerate(zip(self._firsts, self._firsts[1:], strict=False)):
            low, high = max(first, start), min(first + count, end)
            if low < high:
                if self._held[0] != number:
                    self._held = (number, self._file.read_row_group(number, use_threads=False))
                yield self._held[1].slice(low - start, high - low)
