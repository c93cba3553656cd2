"""Part files of a dataset: rows in, one Parquet file out, whole or not at all."""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hear_edgel3.dataset.clips import NO_COLUMNS, PROBABILITIES, SPAN, TAGS, TableColumns
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.dataset.parquet import opened_parquet, require_pyarrow
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.disk.state import FileState
from hear_edgel3.errors import DatasetError
from hear_edgel3.sources.seen import from_text, to_text

if TYPE_CHECKING:
    from hear_edgel3.tagging.alongside import BestTags

# Embeddings that are held before they are written as one row group.
_GROUP_BYTES = 8 << 20
_GROUP_ROWS = 1 << 16
_SEEN = "hear_edgel3.sources"  # in the footer of a part


@contextmanager
def part_writer(
    path: Path, description: Description, table_columns: TableColumns = NO_COLUMNS, labels: Sequence[str] = ()
) -> Iterator[PartWriter]:
    """A writer of a part, which appears when the block ends well.

    Args:
        path: Where it will be.
        description: As for :class:`PartWriter`.
        table_columns: As for :class:`PartWriter`.
        labels: As for :class:`PartWriter`.

    Raises:
        OutputError: it cannot be written, because the disk is full, for example; nothing is left of it.
    """
    with atomic_write(path, swept=True) as file:
        writer = PartWriter(file, path, description, table_columns, labels)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


class PartWriter:
    """Writes the rows of files, one file after the other, holding few of them.

    Args:
        file: The open file to write into; :func:`part_writer` makes it.
        path: What it will be called when it is complete.
        description: What makes the embeddings of the dataset.
        table_columns: What its rows have besides the usual columns.
        labels: The names of the classes that tags are of.
    """

    def __init__(
        self,
        file: BinaryIO,
        path: Path,
        description: Description,
        table_columns: TableColumns,
        labels: Sequence[str] = (),
    ) -> None:
        pa = require_pyarrow()
        self._file = file
        self._path = path
        self._schema = table_columns.added_to(description.schema())
        self._more = table_columns.of_rows
        self._value = self._schema.field("embedding").type.value_type
        self._size = description.size
        rows = max(1, min(_GROUP_ROWS, _GROUP_BYTES // (4 * self._size)))
        # One array that is filled again and again, and not from the allocator: between the large temporaries of the
        # net it would keep that from reusing its memory.
        memory = mmap.mmap(-1, rows * self._size * np.dtype(description.dtype).itemsize)
        self._embeddings = np.ndarray((rows, self._size), description.dtype, memory)
        self._tags = None if table_columns.tags is None else _HeldTags(rows, table_columns.tags, labels)
        usual = ("file", "timestamp_ms", "error", "duration_s", "sample_rate")
        self._columns: dict[str, list[Any]] = {name: [] for name in (*usual, *self._more)}
        self._held = 0
        self._written = 0
        self._rows_before_file = 0
        self._seen: list[FileState | None] = []
        self._pa = pa
        self._writer = self._open()

    @property
    def rows(self) -> int:
        """How many rows there are so far, those of the current file included."""
        return self._written + self._held

    def begin_file(self) -> None:
        """Says that what follows is of a new file."""
        self._rows_before_file = self.rows

    def add_embeddings(
        self,
        file: str,
        times: np.ndarray | None,
        embeddings: np.ndarray,
        duration: float | None,
        rate: int | None,
        more: Sequence[object] = (),
        best: BestTags | None = None,
    ) -> None:
        """Adds embeddings of the current file.

        Args:
            file: The name of the file.
            times: (n,) timestamps in milliseconds; None for a scene.
            embeddings: (n, D) floating point.
            duration: The length of the file in seconds; None where it is unknown.
            rate: The sample rate of the file in Hz; None where it is unknown.
            more: What the rows have in further columns; a list says it row by row.
            best: Their tags, if there are any.
        """
        done = 0
        while done < len(embeddings):
            if self._held == len(self._embeddings):
                self._write_group()
            n = min(len(embeddings) - done, len(self._embeddings) - self._held)
            self._embeddings[self._held : self._held + n] = embeddings[done : done + n]
            if self._tags is not None and best is not None:
                self._tags.hold(self._held, best, done, n)
            stamps = [None] * n if times is None else times[done : done + n].tolist()
            some = [value[done : done + n] if isinstance(value, list) else value for value in more]
            self._add_columns(n, file, stamps, [None] * n, duration, rate, some)
            done += n

    def fail_file(
        self,
        file: str,
        error: Exception,
        duration: float | None,
        rate: int | None,
        more: Sequence[object] = (),
    ) -> None:
        """Puts an error row in the place of whatever rows the current file has."""
        self._drop_current_file()
        if self._held == len(self._embeddings):
            self._write_group()
        self._embeddings[self._held] = 0  # under a null
        self._add_columns(1, file, [None], [error_text(error)], duration, rate, more)

    def _add_columns(
        self,
        n: int,
        file: str,
        times: list[Any],
        errors: list[str | None],
        duration: float | None,
        rate: int | None,
        more: Sequence[object],
    ) -> None:
        values = {"file": [file] * n, "timestamp_ms": times, "error": errors}
        for name, column in {**values, "duration_s": [duration] * n, "sample_rate": [rate] * n}.items():
            self._columns[name] += column
        for name, value in zip(self._more, more, strict=True):
            self._columns[name] += value if isinstance(value, list) else [value] * n
        self._held += n

    def add_seen(self, seen: FileState | None) -> None:
        """Keeps what the source of the next item was like, to be written into the footer."""
        self._seen.append(seen)

    def close(self) -> None:
        """Writes what is held, and the footer."""
        self._write_group()
        if self._seen:
            self._writer.add_key_value_metadata({_SEEN: to_text(self._seen)})
        self._writer.close()

    def abandon(self) -> None:
        """Lets go of the file, which will be deleted; a full disk must not complain a second time."""
        with suppress(Exception):  # whatever it is, the error that led here is the one to tell
            self._writer.close()

    def _open(self) -> Any:
        import pyarrow.parquet as pq

        of_tags = [] if self._tags is None else [f"{TAGS}.list.element"]  # as Parquet calls what a list has
        # Embeddings are neither repeated nor in order: a dictionary and statistics of them would only cost time.
        return pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            use_dictionary=["file", "error", *(name for name in self._more if name not in SPAN), *of_tags],
            write_statistics=["file", "timestamp_ms", "error", "duration_s", "sample_rate", *self._more],
        )

    def _write_group(self) -> None:
        if not self._held:
            return
        pa = self._pa
        n = self._held
        failed = np.array([error is not None for error in self._columns["error"]])
        values = pa.array(self._embeddings[:n].reshape(-1), self._value)
        embeddings = pa.FixedSizeListArray.from_arrays(values, self._size, mask=pa.array(failed))
        computed = {"embedding": embeddings, **({} if self._tags is None else self._tags.columns(failed))}
        columns = [
            computed[f.name] if f.name in computed else pa.array(self._columns[f.name], f.type) for f in self._schema
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._count_as_written()

    def _count_as_written(self) -> None:
        self._written += self._held
        self._held = 0
        for column in self._columns.values():
            column.clear()

    def _drop_current_file(self) -> None:
        """Drops the rows of the current file."""
        keep = self._rows_before_file - self._written
        if keep >= 0:
            self._held = keep
            for column in self._columns.values():
                del column[keep:]
            return
        # Some were written already, which happens to long files only: all rows are read again, up to this file's.
        import pyarrow.parquet as pq

        self._held = 0
        self._count_as_written()
        self._writer.close()
        self._file.flush()
        with TemporaryFile(dir=self._path.parent) as copy:
            self._file.seek(0)
            shutil.copyfileobj(self._file, copy)
            self._file.seek(0)
            self._file.truncate()
            self._writer = self._open()
            left = self._rows_before_file
            with pq.ParquetFile(copy, pre_buffer=False) as before:
                for batch in before.iter_batches(len(self._embeddings), use_threads=False):
                    if left > 0:
                        self._writer.write_batch(batch.slice(0, left))
                        left -= min(left, len(batch))
        self._written = self._rows_before_file


class _HeldTags:
    """The tags of the rows that are held.

    Args:
        rows: How many rows are held at most.
        most: How many classes each has at most.
        labels: The names of the classes.
    """

    def __init__(self, rows: int, most: int, labels: Sequence[str]) -> None:
        self._labels = list(labels)
        shape = (rows, min(most, len(self._labels)))
        self._classes, self._probabilities = np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def hold(self, row: int, best: BestTags, first: int, count: int) -> None:
        """Takes some tags.

        Args:
            row: The row of the first of them.
            best: All there are.
            first: The number of the first to take.
            count: How many to take.
        """
        self._classes[row : row + count] = best.classes[first : first + count]
        self._probabilities[row : row + count] = best.probabilities[first : first + count]

    def columns(self, failed: np.ndarray) -> dict[str, Any]:
        """The columns of as many rows as (n,) bool ``failed`` has, null where that is true."""
        pa = require_pyarrow()
        good, each = ~failed, self._classes.shape[1]
        offsets = np.concatenate([[0], np.cumsum(good * each)]).astype(np.int32)
        names = pa.array(self._labels, pa.string()).take(pa.array(self._classes[: len(failed)][good].reshape(-1)))
        values = pa.array(self._probabilities[: len(failed)][good].reshape(-1))
        mask = pa.array(failed)
        return {
            name: pa.ListArray.from_arrays(pa.array(offsets), found, mask=mask)
            for name, found in {TAGS: names, PROBABILITIES: values}.items()
        }


def error_text(error: Exception) -> str:
    """What an error row says."""
    return text_of_path(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class FinishedPart:
    """What a finished part says of itself.

    Attributes:
        failed: How many error rows it has.
        seen: What the sources of its items were like when they were embedded; None if it is of an older version, which
            did not say.
    """

    failed: int
    seen: list[FileState | None] | None


def read_finished(path: Path, description: Description, n_items: int) -> FinishedPart:
    """Reads what a finished part says of itself, from its footer.

    Args:
        path: The part.
        description: What makes the embeddings of its job.
        n_items: How many items it has.

    Raises:
        DatasetError: it is damaged, or of another job.
    """
    advice = "delete it, and the same command makes it again"
    with opened_parquet(path, advice) as opened:
        try:
            made = Description.of_schema(opened.schema_arrow)
            text = (opened.metadata.metadata or {}).get(_SEEN.encode())
            seen = None if text is None else from_text(text, n_items)
            if not opened.metadata.num_rows:
                raise DatasetError("it has no rows")
            if made != description:
                raise DatasetError("it is not of this job")
        except DatasetError as error:
            raise DatasetError(f"{path} is damaged: {error}; {advice}") from error
        return FinishedPart(_failed_rows(opened), seen)


def _failed_rows(opened: Any) -> int:
    """Error rows, by the column itself: what the footer says of a column, where it is damaged, ends the process."""
    batches = opened.iter_batches(columns=["error"], use_threads=False)
    return sum(batch.num_rows - batch.column("error").null_count for batch in batches)
