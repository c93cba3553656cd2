"""The rows of a dataset by their numbers, from 0 in the order of its parts: vectors, files and timestamps."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hear_edgel3.dataset.dataset import Dataset, embeddings_of
from hear_edgel3.errors import DatasetError

_log = logging.getLogger(__name__)
_VALUES_AT_ONCE = 1 << 24  # 64 MiB


@dataclass(frozen=True)
class Moment:
    """What an embedding is of: a file, and a time in it.

    Attributes:
        file: The file's name, as the dataset has it.
        timestamp_ms: The middle of its window in milliseconds, or None for an embedding of a whole file or clip.
        start_s: Where its clip begins, in seconds of the file; None for a whole file.
        end_s: Where its clip ends; None for a whole file, or the file's end.
    """

    file: str
    timestamp_ms: float | None
    start_s: float | None = None
    end_s: float | None = None


class Rows:
    """Access to a dataset's rows, some at a time.

    Args:
        dataset: The dataset to read.

    Attributes:
        dataset: The dataset that was given.
        starts: The number of the first row of each part, by the name of the part.
        lengths: How many rows each part has, those of errors included, by the name of the part.
        not_finite: How many rows have an embedding that is not finite, by the name of the part, of those parts whose
            embeddings have been gone through.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.starts: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.not_finite: dict[str, int] = {}
        self._groups: list[tuple[int, Path, int]] = []  # first row, part, row group
        number = 0
        for part in dataset.parts:
            self.starts[part.name] = number
            for group, length in enumerate(dataset.group_lengths(part)):
                self._groups.append((number, part, group))
                number += length
            self.lengths[part.name] = number - self.starts[part.name]
        self._at_once = max(1, _VALUES_AT_ONCE // dataset.description.size)
        self._group_starts = np.array([first for first, _, _ in self._groups], np.int64)
        self._total = number
        self._clip_columns = dataset.clip_columns

    def __len__(self) -> int:
        """Rows, those of errors included."""
        return self._total

    def vectors(self, parts: Sequence[Path] | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The embeddings that can be compared: those that are there and finite.

        Args:
            parts: of these parts only; None for all.

        Yields:
            (n,) int64 row numbers and (n, D) embeddings, of the dataset's type.
        """
        for part in self.dataset.parts if parts is None else parts:
            number, not_finite = self.starts[part.name], 0
            for batch in self.dataset.batches(["embedding"], self._at_once, [part]):
                there = np.flatnonzero(batch.column(0).is_valid().to_numpy(zero_copy_only=False))
                vectors = embeddings_of(batch)
                finite = np.isfinite(vectors).all(axis=1)
                not_finite += len(finite) - int(finite.sum())
                yield number + there[finite], vectors[finite]
                number += len(batch)
            self.not_finite[part.name] = not_finite

    def vector(self, number: int) -> np.ndarray:
        """(D,) of one row.

        Raises:
            DatasetError: there is no such row, or no embedding in it, or one that is not finite.
        """
        if not 0 <= number < len(self):
            raise DatasetError(f"{self.dataset.folder} has no row {number}; its rows are 0 to {len(self) - 1}")
        group = int(self._groups_of(np.array([number]))[0])
        value = self._read(group, ["embedding"])[0][number - int(self._group_starts[group])]
        if not value.is_valid:
            raise DatasetError(f"row {number} of {self.dataset.folder} has no embedding: its file failed")
        vector = np.asarray(value.values.to_numpy(zero_copy_only=False))
        if not np.isfinite(vector).all():
            raise DatasetError(f"row {number} of {self.dataset.folder} has an embedding that is not finite")
        return vector

    def moments(self, numbers: np.ndarray) -> list[Moment]:
        """The files and timestamps of rows.

        Args:
            numbers: (n,) int64.
        """
        found: dict[int, Moment] = {}
        groups = self._groups_of(numbers)
        for group in np.unique(groups):
            columns = self._read(int(group), ["file", "timestamp_ms", *self._clip_columns])
            for number in numbers[groups == group].tolist():
                row = number - int(self._group_starts[group])
                file, timestamp, *clip = (column[row].as_py() for column in columns)
                known = timestamp is not None and math.isfinite(timestamp)
                found[number] = Moment(file, timestamp if known else None, *clip)
        return [found[number] for number in numbers.tolist()]

    def mean_of_file(self, file: str) -> np.ndarray:
        """(D,) float32: the mean of a file's embeddings.

        Args:
            file: as the dataset names it.

        Raises:
            DatasetError: the dataset has no embedding of such a file.
        """
        from pyarrow import compute

        total, count, not_finite = np.zeros(self.dataset.description.size), 0, 0
        for batch in self.dataset.batches(["file", "embedding"], self._at_once):
            same = compute.equal(batch.column(0), file)
            if same.true_count:
                vectors = embeddings_of(batch.filter(same))
                finite = np.isfinite(vectors).all(axis=1)
                not_finite += len(finite) - int(finite.sum())
                vectors = vectors[finite]
                total += vectors.sum(axis=0, dtype=np.float64)
                count += len(vectors)
        if count == 0 and not_finite:
            raise DatasetError(f"{self.dataset.folder} has no embedding of the file {file} that is finite")
        if count == 0:
            raise DatasetError(
                f"{self.dataset.folder} has no embedding of the file {file}; name it as its `file` column does"
            )
        if not_finite:
            _log.warning("%d embeddings of %s are not finite, and left out of its mean", not_finite, file)
        return (total / count).astype(np.float32)

    def _groups_of(self, numbers: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._group_starts, numbers, side="right") - 1

    def _read(self, group: int, columns: Sequence[str]) -> list[Any]:
        """Columns of one row group, as Arrow arrays."""
        _, part, number = self._groups[group]
        table = self.dataset.row_group(part, number, columns)
        return [table.column(name) for name in columns]
