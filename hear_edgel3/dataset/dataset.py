"""Datasets of embeddings on disk: a folder of Parquet files, one row per embedding and one per file that failed.

Any Parquet reader can open them (``pyarrow.dataset``, pandas, DuckDB, Spark, ...); files whose names start with an
underscore or a dot are not part of the data, as usual there. The columns that all have (others are in
:mod:`hear_edgel3.dataset.clips`):

=============  ===========================================  ==========================================================
file           string                                       the audio file, as it was named; see :func:`path_of_text`
timestamp_ms   float64, null for scenes and errors          middle of the window in milliseconds
embedding      fixed_size_list<float32 or float16>[D]       null in an error row
error          string, null when all is well                class of the error, a colon, and its message
duration_s     float64, null where unknown                  seconds of audio in the file
sample_rate    int32, null where unknown                    of the file, in Hz
=============  ===========================================  ==========================================================

The schema's metadata say what made them (:class:`Description`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from hear_edgel3._checks import check_path, check_whole, several_paths, several_texts
from hear_edgel3._extras import require
from hear_edgel3.dataset.clips import END, START, has_clips
from hear_edgel3.dataset.parquet import (
    check_values,
    differing_columns,
    one_line,
    opened_parquet,
    parquet_files,
    require_pyarrow,
)
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    import pandas
    import pyarrow as pa

_METADATA = b"hear_edgel3"
_BATCH_ROWS = 16384
_DTYPES = ("float32", "float16")
_LARGEST_SIZE = 1 << 20
_ADVICE = "delete it and run extract again"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_SIZE


def _is_hop(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e12)


_RIGHT: dict[str, Callable[[object], bool]] = {
    "configuration": _is_text,
    "weights_sha256": _is_text,
    "embedding_version": _is_whole,
    "size": _is_size,
    "hop_ms": _is_hop,
    "dtype": lambda value: isinstance(value, str) and value in _DTYPES,
    "package_version": _is_text,
}


@dataclass(frozen=True)
class Description:
    """What made the embeddings of a dataset; equal for all of its files.

    Attributes:
        configuration: The name of the configuration.
        weights_sha256: The SHA-256 of its weights file, as hexadecimal digits.
        embedding_version: The version of the configuration's numbers.
        size: How many values an embedding has (D).
        hop_ms: The distance of timestamps in milliseconds; None for scene embeddings.
        dtype: The type of the values, ``float32`` or ``float16``.
        package_version: The version of hear_edgel3. It does not count in comparisons: ``embedding_version`` is what
            changes with the numbers.
    """

    configuration: str
    weights_sha256: str
    embedding_version: int
    size: int
    hop_ms: float | None
    dtype: str
    package_version: str = field(compare=False)

    def schema(self) -> pa.Schema:
        """The Arrow schema of the dataset's files."""
        pa = require_pyarrow()
        value = {"float32": pa.float32(), "float16": pa.float16()}[self.dtype]
        return pa.schema(
            [
                pa.field("file", pa.string(), nullable=False),
                pa.field("timestamp_ms", pa.float64()),
                pa.field("embedding", pa.list_(value, self.size)),
                pa.field("error", pa.string()),
                pa.field("duration_s", pa.float64()),
                pa.field("sample_rate", pa.int32()),
            ],
            metadata={_METADATA: json_text(asdict(self), sort_keys=True).encode()},
        )

    @classmethod
    def of_schema(cls, schema: pa.Schema) -> Description | None:
        """What a schema's metadata say, or None if they are not ours.

        Raises:
            DatasetError: they are ours, but no description, or not of these columns; without the name of the file.
        """
        text = (schema.metadata or {}).get(_METADATA)
        if text is None:
            return None
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"its description is no JSON ({one_line(error)})") from error
        made = cls.of_values(values)
        wrong = differing_columns(schema, made.schema())
        if wrong:
            raise DatasetError(f"its columns are not those of a dataset: {'; '.join(wrong)}")
        return made

    @classmethod
    def of_values(cls, values: object) -> Description:
        """A description from what JSON gave.

        Raises:
            DatasetError: these are no description, without the name of the file that has them.
        """
        if not isinstance(values, dict):
            raise DatasetError(f"its description is no object, but a {type(values).__name__}")
        names = [known.name for known in fields(cls)]
        lacking = [name for name in names if name not in values]
        unknown = [name for name in values if name not in names]
        if lacking or unknown:
            said = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has an unknown {unknown[:1]}"] * bool(unknown)
            raise DatasetError(f"its description {' and '.join(said)}")
        for name, is_right in _RIGHT.items():
            if not is_right(values[name]):
                raise DatasetError(f"its description says {name} {one_line(ValueError(repr(values[name])))}")
        return cls(**values)

    def differing(self, other: Description) -> list[str]:
        """The names of what differs, of what counts."""
        mine, others = asdict(self), asdict(other)
        return [known.name for known in fields(self) if known.compare and mine[known.name] != others[known.name]]


class Dataset:
    """A folder of embeddings, to be read.

    Args:
        folder: The folder that ``hear-edgel3 extract`` wrote.

    Attributes:
        folder: The folder that was given.
        parts: Its Parquet files, sorted by name.
        description: What made it.
        clip_columns: Its columns for starts and ends of clips; none if its rows are of whole files.

    Raises:
        DatasetError: the folder has no such files, or files of different makings.
        MissingExtra: pyarrow is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        require_pyarrow()
        check_path(folder, "folder")
        self.folder = Path(folder)
        self.parts = parquet_files(self.folder)
        found: dict[Description, Path] = {}
        self.clip_columns = [START, END]
        self._rows = 0
        self._columns: dict[str, None] = {}
        for part in self.parts:
            with opened_parquet(part, _ADVICE) as opened:
                try:
                    description = Description.of_schema(opened.schema_arrow)
                except DatasetError as error:
                    raise DatasetError(f"{part} is damaged: {error}; {_ADVICE}") from error
                if not has_clips(opened.schema_arrow):
                    self.clip_columns = []
                self._columns |= dict.fromkeys(opened.schema_arrow.names)
                self._rows += opened.metadata.num_rows
            if description is None:
                raise DatasetError(f"{part} was not written by `hear-edgel3 extract`: it does not say what made it")
            found.setdefault(description, part)
        if len(found) > 1:
            (one, first), (other, second) = list(found.items())[:2]
            raise DatasetError(
                f"{self.folder} holds embeddings that cannot be compared: {first.name} and {second.name} differ in "
                f"{', '.join(one.differing(other))}"
            )
        self.description = next(iter(found))

    def __len__(self) -> int:
        """Rows, those of errors included."""
        return self._rows

    def batches(
        self, columns: Sequence[str] | None = None, rows: int = _BATCH_ROWS, parts: Sequence[Path] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in order, some at a time.

        Args:
            columns: The columns to read; None for all.
            rows: How many rows there are at most in a batch.
            parts: The files to read; None for all.

        Raises:
            DatasetError: a file is damaged.
        """
        wanted = None if columns is None else list(several_texts(columns, "columns"))
        check_whole(rows, "rows", 1)
        for part in self.parts if parts is None else several_paths(parts, "parts"):
            with opened_parquet(part, _ADVICE) as opened:
                for batch in opened.iter_batches(rows, columns=wanted, use_threads=False):
                    check_values(batch)
                    yield batch

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """All rows, those of errors included, as a table; an embedding is a (D,) array, or None.

        Args:
            columns: The columns to read, without ``embedding`` for what takes little memory; None for all.

        Raises:
            DatasetError: a file is damaged, or there is no such column.
            MissingExtra: pandas is not installed.
        """
        require("pandas", "making a table", "pandas")
        pa = require_pyarrow()
        for name in () if columns is None else several_texts(columns, "columns"):
            if name not in self._columns:
                raise DatasetError(f"{self.folder} has no column {name!r}, but {', '.join(self._columns)}")
        return pa.Table.from_batches(self.batches(columns)).to_pandas()

    def row_group(self, part: Path, number: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group of a part.

        Raises:
            DatasetError: the file is damaged.
        """
        with opened_parquet(part, _ADVICE) as opened:
            table = opened.read_row_group(number, columns=list(columns), use_threads=False)
            check_values(table)
            return table

    def group_lengths(self, part: Path) -> list[int]:
        """How many rows each row group of a part has.

        Raises:
            DatasetError: the file is damaged.
        """
        with opened_parquet(part, _ADVICE) as opened:
            layout = opened.metadata
            return [layout.row_group(i).num_rows for i in range(layout.num_row_groups)]


def embeddings_of(batch: pa.RecordBatch) -> np.ndarray:
    """(n, D) of the ``embedding`` column; rows without one are left out."""
    import numpy as np

    column = batch.column(batch.schema.get_field_index("embedding")).drop_null()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(column), column.type.list_size)
