"""Datasets of embeddings on disk: a folder of Parquet files, one row per embedding and one per file that failed.

Any Parquet reader can open them (``pyarrow.dataset``, pandas, DuckDB, Spark, ...); files whose names start with an
underscore or a dot are not part of the data, as usual there. The columns:

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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_METADATA = b"hear_edgel3"
_BATCH_ROWS = 16384
_PURPOSE, _EXTRA = "a dataset of embeddings", "extract"  # what pyarrow is for, and what brings it


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
        package_version: The version of hear_edgel3.
    """

    configuration: str
    weights_sha256: str
    embedding_version: int
    size: int
    hop_ms: float | None
    dtype: str
    package_version: str

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
        """What a schema's metadata say, or None if they are not ours."""
        try:
            return cls(**json.loads((schema.metadata or {})[_METADATA]))
        except (KeyError, ValueError, TypeError):
            return None


class Dataset:
    """A folder of embeddings, to be read.

    Args:
        folder: The folder that ``hear-edgel3 extract`` wrote.

    Attributes:
        folder: The folder that was given.
        parts: Its Parquet files, sorted by name.
        description: What made it.

    Raises:
        DatasetError: the folder has no such files, or files of different makings.
        MissingExtra: pyarrow is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        pq = _require_parquet()
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DatasetError(f"{self.folder} is not a folder; give one that `hear-edgel3 extract` wrote")
        self.parts = sorted(p for p in self.folder.glob("*.parquet") if p.name[0] not in "._")
        if not self.parts:
            raise DatasetError(f"{self.folder} has no Parquet files; give a folder that `hear-edgel3 extract` wrote")
        found: dict[Description, Path] = {}
        self._rows = 0
        for part in self.parts:
            try:
                opened = pq.ParquetFile(part)
            except Exception as error:  # pyarrow's errors have no common base
                raise DatasetError(
                    f"{part} cannot be read as Parquet ({error}); delete it and run extract again"
                ) from error
            with opened:
                description = Description.of_schema(opened.schema_arrow)
                self._rows += opened.metadata.num_rows
            if description is None:
                raise DatasetError(f"{part} was not written by `hear-edgel3 extract`: it does not say what made it")
            found.setdefault(description, part)
        if len(found) > 1:
            (one, first), (other, second) = list(found.items())[:2]
            differing = [k for k, v in asdict(one).items() if v != asdict(other)[k]]
            raise DatasetError(
                f"{self.folder} holds embeddings that cannot be compared: {first.name} and {second.name} differ in "
                f"{', '.join(differing)}"
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
        pq = _require_parquet()
        for part in self.parts if parts is None else parts:
            try:
                with pq.ParquetFile(part) as opened:
                    yield from opened.iter_batches(rows, columns=None if columns is None else list(columns))
            except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
                raise DatasetError(f"{part} is damaged ({error}); delete it and run extract again") from error


def embeddings_of(batch: pa.RecordBatch) -> np.ndarray:
    """(n, D) of the ``embedding`` column; rows without one are left out."""
    import numpy as np

    column = batch.column(batch.schema.get_field_index("embedding")).drop_null()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(column), column.type.list_size)


def require_pyarrow() -> Any:
    """The pyarrow module.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("pyarrow", _PURPOSE, _EXTRA)


def _require_parquet() -> Any:
    return require("pyarrow.parquet", _PURPOSE, _EXTRA)
