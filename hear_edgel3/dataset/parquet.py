"""Parquet files that may be damaged, or have any name: one place that opens them and says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.errors import DatasetError, HearEdgeL3Error

if TYPE_CHECKING:
    import pyarrow as pa

_PURPOSE, _EXTRA = "a dataset of embeddings", "extract"  # what pyarrow is for, and what brings it


def require_pyarrow() -> Any:
    """The pyarrow module.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("pyarrow", _PURPOSE, _EXTRA)


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a dataset's folder, by their names; not hidden ones, and those that are being written.

    Raises:
        DatasetError: there is no such folder, it cannot be looked into, or it has none.
    """
    try:
        if not folder.is_dir():
            raise DatasetError(f"{folder} is not a folder; give one that `hear-edgel3 extract` wrote")
        # Not by globbing, which finds nothing where it may not look.
        names = [name for name in os.listdir(folder) if name.endswith(".parquet") and name[0] not in "._"]
    except OSError as error:
        raise DatasetError(f"{folder} cannot be opened: {error.strerror or error}") from error
    if not names:
        raise DatasetError(f"{folder} has no Parquet files; give a folder that `hear-edgel3 extract` wrote")
    return sorted(folder / name for name in names)


@contextmanager
def opened_parquet(path: str | os.PathLike[str], advice: str) -> Iterator[Any]:
    """A Parquet file, open as a ``pyarrow.parquet.ParquetFile``.

    Python opens it, because pyarrow takes names of UTF-8 only. Who reads from it says ``use_threads=False``: now and
    then Arrow's threads that read through Python hang or abort the process when it ends (apache/arrow#50482, #34314),
    and one column holds nearly everything, which is what they could share.

    Args:
        path: The file.
        advice: What to do about it where it is damaged; ends the message.

    Raises:
        DatasetError: it cannot be read, or is damaged; also where the block finds that out.
        MissingExtra: pyarrow is not installed.
    """
    pq = require("pyarrow.parquet", _PURPOSE, _EXTRA)
    name = os.fspath(path)
    if os.path.exists(name) and not os.path.isfile(name):
        raise DatasetError(f"{name} cannot be read: it is no ordinary file")
    try:
        file = open(name, "rb")  # noqa: SIM115  # closed below
    except (OSError, ValueError) as error:
        raise DatasetError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with file:
        try:
            opened = pq.ParquetFile(file, pre_buffer=False)
        except Exception as error:  # pyarrow's errors have no common base
            raise DatasetError(
                f"{name} cannot be read as Parquet, it is damaged ({one_line(error)}); {advice}"
            ) from error
        try:
            with opened:
                yield opened
        except HearEdgeL3Error:
            raise
        except Exception as error:
            raise DatasetError(f"{name} is damaged ({one_line(error)}); {advice}") from error


def one_line(error: Exception) -> str:
    """What an error says, on one line of sensible length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def differing_columns(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    """How a file's columns differ from those that it should have: one is missing, or has another type.

    Further columns do not count.
    """
    wrong = []
    for field in wanted:
        places = found.get_all_field_indices(field.name)
        if len(places) != 1:
            wrong.append(f"{field.name} is there {len(places)} times" if places else f"{field.name} is missing")
        elif not _same(found.field(places[0]).type, field.type):
            wrong.append(f"{field.name} is {found.field(places[0]).type}, not {field.type}")
    return wrong


def _same(one: Any, other: Any) -> bool:
    """Whether two types are equal but for the names inside."""
    pa = require_pyarrow()
    if pa.types.is_fixed_size_list(one) and pa.types.is_fixed_size_list(other):
        return bool(one.list_size == other.list_size and one.value_type == other.value_type)
    return bool(one == other)


def check_values(rows: pa.RecordBatch | pa.Table) -> None:
    """Checks what was read: texts are UTF-8, and every row names a file.

    Raises:
        ValueError: they are not (pyarrow's ArrowInvalid is one).
    """
    rows.validate(full=True)
    if "file" in rows.schema.names and rows.column("file").null_count:
        raise ValueError("a row names no file")
