"""From the rows of a dataset to clips: one vector per file, however many rows the file has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3.dataset import Dataset, embeddings_of
from hear_edgel3.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Clips:
    """What a dataset says of its audio files.

    Attributes:
        files: (n) names, as the ``file`` column has them, in the order in which they first appear.
        vectors: (n, D) float32: the mean of the file's embeddings.
        rows: (n,) int64, how many embeddings that is the mean of.
        seconds: (n,) float64 of audio; NaN where unknown.
        sample_rates: (n,) int64 in Hz; 0 where unknown.
        failed: files without an embedding, each with the reason.
    """

    files: list[str]
    vectors: np.ndarray
    rows: np.ndarray
    seconds: np.ndarray
    sample_rates: np.ndarray
    failed: list[tuple[str, str]]


def read_clips(dataset: Dataset) -> Clips:
    """Reads a dataset. Memory grows with the number of files, not of rows.

    Raises:
        DatasetError: it is damaged, or no file has an embedding.
    """
    sums = _Sums(dataset.description.size)
    failed: list[tuple[str, str]] = []
    for batch in dataset.batches():
        has_embedding = _column(batch, "embedding").is_valid()
        sums.add(batch.filter(has_embedding))
        without = batch.filter(_import_compute().invert(has_embedding))
        for file, error in zip(*(_column(without, name).to_pylist() for name in ("file", "error")), strict=True):
            failed.append((file, error or "it has no embedding"))
    clips = sums.means(failed)
    if not clips.files:
        raise DatasetError(
            f"{dataset.folder} has no embeddings to show: {len(failed)} files failed"
            + (f", the first with: {failed[0][1]}" if failed else "")
        )
    return clips


class _Sums:
    """Running sums of embeddings per file; the arrays double as files come."""

    def __init__(self, size: int) -> None:
        self._numbers: dict[str, int] = {}
        self._sums = np.zeros((1024, size))
        self._rows = np.zeros(1024, np.int64)
        self._seconds = np.full(1024, np.nan)
        self._rates = np.zeros(1024, np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows, all with an embedding."""
        if not batch.num_rows:
            return
        names = _column(batch, "file").dictionary_encode()
        codes = names.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        to = np.array([self._number(name) for name in names.dictionary.to_pylist()])[codes[order[starts]]]
        self._sums[to] += np.add.reduceat(embeddings_of(batch)[order].astype(np.float64), starts)
        self._rows[to] += np.diff(starts, append=len(order))
        first = order[starts]
        self._seconds[to] = _column(batch, "duration_s").to_numpy(zero_copy_only=False)[first]
        self._rates[to] = _column(batch, "sample_rate").fill_null(0).to_numpy()[first]

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._numbers))
        if number == len(self._rows):
            for field in ("_sums", "_rows", "_seconds", "_rates"):
                held = getattr(self, field)
                setattr(self, field, np.concatenate([held, np.zeros_like(held)]))
        return number

    def means(self, failed: list[tuple[str, str]]) -> Clips:
        """The clips; those whose embedding is not finite (16-bit floats overflow) are counted as failed."""
        n = len(self._numbers)
        vectors = (self._sums[:n] / self._rows[:n, None]).astype(np.float32)
        finite = np.isfinite(vectors).all(axis=1)
        files = list(self._numbers)
        unusable = [(files[i], "its embedding is not finite") for i in np.flatnonzero(~finite)]
        return Clips(
            [files[i] for i in np.flatnonzero(finite)],
            vectors[finite],
            self._rows[:n][finite],
            self._seconds[:n][finite],
            self._rates[:n][finite],
            failed + unusable,
        )


def common_folder(files: Sequence[str]) -> str:
    """The innermost folder that all the files are in; empty where they have none in common."""
    try:
        return os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # absolute and relative names, or several drives
        return ""


def below(folder: str, file: str) -> str:
    """The folder of ``file``, as seen from ``folder`` and with slashes; empty for that folder itself."""
    own = os.path.dirname(file)
    return own.removeprefix(folder).lstrip(os.sep).replace(os.sep, "/") if folder else own.replace(os.sep, "/")


def _column(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(batch.schema.get_field_index(name))


def _import_compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute
