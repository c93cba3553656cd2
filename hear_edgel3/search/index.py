"""The index of a dataset, stored in its folder as one file.

It is what usearch writes, and behind that a zip archive that says what it was made from, so that an index that is not
of this dataset any more is noticed; and the sha256 of what usearch wrote, since usearch trusts its bytes and crashes
if they are damaged. The file is written beside and renamed: readers see the old one or the new one, whole, and of two
that build at the same time the later wins.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from hear_edgel3.dataset.dataset import Dataset, Description
from hear_edgel3.dataset.parquet import one_line
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import DatasetError, OutputError
from hear_edgel3.search import hnsw
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.whitening import Whitening

FILE = "_index.usearch"
_FORMAT = 2  # 1 had no sha256
_LARGEST_ABOUT = 1 << 28
# An index grows in the whitening of its first rows; when there are more than so many times as many, it is built anew.
_MOST_GROWTH = 2.0


@dataclass(frozen=True)
class IndexInfo:
    """What an index was made from.

    Attributes:
        description: What made the embeddings of the dataset.
        fitted_rows: How many rows the dataset had when the whitening was fitted.
        parts: The name, fingerprint and number of rows of each part, in the order in which they were added.
        not_finite: How many of these rows have embeddings that are not finite, and are not in it.
    """

    description: Description
    fitted_rows: int
    parts: tuple[tuple[str, str, int], ...]
    not_finite: int = 0


@dataclass
class StoredIndex:
    """An index that fits its dataset, or did before the dataset grew.

    Attributes:
        info: What it was made from.
        whitening: What was applied to its vectors.
        missing_parts: The parts of the dataset that it does not have yet.
    """

    info: IndexInfo
    whitening: Whitening
    missing_parts: list[Path]
    _index: Any
    _rows: Rows
    _bytes: memoryview | None = None  # what the index views

    def __len__(self) -> int:
        """Embeddings in it."""
        return len(self._index)

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows, nearly always the true ones.

        Args:
            vectors: (q, D) float32, whitened as the index's are.
            k: How many rows to find, at least 1.

        Returns:
            (q, up to k) int64 numbers of rows of the dataset and float32 similarities, good to about 0.001, best
            first; -1 and NaN where there are no more.

        Raises:
            DatasetError: it names rows that the dataset does not have.
        """
        keys, similarities = hnsw.search(self._index, vectors, min(k, max(1, len(self._index))))
        if keys.max(initial=-1) >= sum(n for _, _, n in self.info.parts):
            raise _damaged(_path(self._rows.dataset), "it names rows that the dataset does not have")
        starts = _starts(self.info.parts)
        shifts = np.array([self._rows.starts[name] for name, _, _ in self.info.parts], np.int64) - starts
        part = np.maximum(np.searchsorted(starts, keys, side="right") - 1, 0)
        return np.where(keys < 0, -1, keys + shifts[part]), similarities


def open_index(rows: Rows) -> StoredIndex | None:
    """The index in a dataset's folder, memory-mapped, or None if there is none.

    Raises:
        DatasetError: it is damaged, or was made from other parts than the dataset has now.
        MissingExtra: usearch is not installed.
    """
    return _open(rows, lambda index, data: index.view(data))


def build_index(
    rows: Rows, threads: int = 0, anew: bool = False, progress: Callable[[int], object] | None = None
) -> StoredIndex:
    """Builds a dataset's index, or adds the parts that it does not have, and stores it.

    Memory holds the index, 2 bytes per value and about 150 per embedding, and some batches of embeddings.

    Args:
        rows: The rows of the dataset.
        threads: How many threads add embeddings; 0 for all cores.
        anew: Whether to build it from nothing, whatever there is.
        progress: Is called after each batch with the number of embeddings added.

    Returns:
        The index as it is stored now.

    Raises:
        DatasetError: a part is damaged, or there is nothing to be indexed.
        MissingExtra: usearch is not installed.
        OutputError: it cannot be written; an index that was there is still there.
    """
    old = None if anew else _to_extend(rows)
    if old is None:
        old = _empty(rows)
    if not old.missing_parts:
        return old
    known = list(old.info.parts)
    for part in old.missing_parts:
        entry = (part.name, fingerprint(part), rows.lengths[part.name])
        shift = int(_starts([*known, entry])[-1]) - rows.starts[part.name]
        for numbers, vectors in rows.vectors([part]):
            old._index.add(numbers + shift, old.whitening.apply(vectors), threads=threads)
            if progress is not None:
                progress(len(numbers))
        known.append(entry)
    not_finite = old.info.not_finite + sum(rows.not_finite[part.name] for part in old.missing_parts)
    info = replace(old.info, parts=tuple(known), not_finite=not_finite)
    made = StoredIndex(info, old.whitening, [], old._index, rows)
    if len(made) == 0:
        raise DatasetError(f"{rows.dataset.folder} has no embeddings to be indexed: its files all failed")
    _save(made, _path(rows.dataset))
    return made


def fit_whitening(rows: Rows) -> Whitening:
    """The whitening of all rows of a dataset."""
    return Whitening.fit((vectors for _, vectors in rows.vectors()), rows.dataset.description.size, len(rows))


def fingerprint(part: Path) -> str:
    """Tells a Parquet file from others by its footer: sizes, offsets and statistics of all of its columns.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        with part.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - 8))
            footer = int.from_bytes(file.read(4), "little")
            file.seek(max(0, size - 8 - footer))
            return hashlib.sha256(file.read()).hexdigest()[:32]
    except OSError as error:
        raise DatasetError(f"{part} cannot be read: {error.strerror or error}") from error


def _path(dataset: Dataset) -> Path:
    return dataset.folder / FILE


def _starts(parts: Sequence[tuple[str, str, int]]) -> np.ndarray:
    """The key of the first row of each part."""
    return np.cumsum([0, *(n for _, _, n in parts)][:-1], dtype=np.int64)


def _empty(rows: Rows) -> StoredIndex:
    description = rows.dataset.description
    index = hnsw.new(description.size, half=True)
    return StoredIndex(
        IndexInfo(description, len(rows), ()), fit_whitening(rows), list(rows.dataset.parts), index, rows
    )


def _to_extend(rows: Rows) -> StoredIndex | None:
    """The stored index, in memory, if what it lacks can be added to it."""
    try:
        found = _open(rows, lambda index, data: index.load(data))
    except DatasetError:
        return None
    if found is None or len(rows) > _MOST_GROWTH * found.info.fitted_rows:
        return None
    return found


def _open(rows: Rows, read: Callable[[Any, memoryview], None]) -> StoredIndex | None:
    path = _path(rows.dataset)
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            about, arrays = _read_about(file)
        info, whitening = _checked(about, arrays)
        n_bytes, sha256 = about["bytes"], about["sha256"]
    except Exception as error:  # zipfile's, zlib's and numpy's errors have no common base
        raise _damaged(path, one_line(error)) from error
    if info.description != rows.dataset.description:
        raise DatasetError(f"the index {path} was made from embeddings of another making")
    present = {part.name: part for part in rows.dataset.parts}
    for name, found, n in info.parts:
        if name not in present or fingerprint(present[name]) != found or rows.lengths[name] != n:
            raise DatasetError(f"the index {path} is out of date: {name} was changed or deleted since")
        del present[name]
    stored = memoryview(data)[:n_bytes]
    if len(stored) != n_bytes or hashlib.sha256(stored).hexdigest() != sha256:
        raise _damaged(path, "its bytes are not those that were written")
    index = hnsw.new(info.description.size, half=True)
    try:
        read(index, stored)  # usearch keeps what it views; of the memory map itself it knows nothing
    except (RuntimeError, ValueError) as error:
        raise _damaged(path, one_line(error)) from error
    if index.ndim != info.description.size:
        raise _damaged(path, f"its vectors have {index.ndim} values, not {info.description.size}")
    return StoredIndex(info, whitening, list(present.values()), index, rows, stored)


def _damaged(path: Path, reason: str) -> DatasetError:
    return DatasetError(f"the index {path} is damaged or of another version ({reason})")


def _read_about(file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is behind the bytes of usearch, not yet checked."""
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > _LARGEST_ABOUT:
                raise ValueError(f"{entry.filename} is packed or too large")
        about = json.loads(archive.read("made_from.json"))
        if not isinstance(about, dict) or about.get("format") != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        arrays = {
            name: np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
            for name in ("centre", "axes")
        }
    return about, arrays


def _checked(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[IndexInfo, Whitening]:
    description = Description.of_values(about["description"])
    counts = [about[name] for name in ("fitted_rows", "space_rows", "not_finite", "bytes")]
    parts = [tuple(part) for part in about["parts"]]
    counts += [n for _, _, n in parts]
    if not all(type(n) is int and n >= 0 for n in counts):
        raise ValueError("a number of rows is no number")
    if not all(type(text) is str for name, found, _ in parts for text in (name, found)):
        raise ValueError("the name of a part is no text")
    size = description.size
    for name, shape in (("centre", (size,)), ("axes", (size, size))):
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, or not finite")
    info = IndexInfo(description, about["fitted_rows"], cast(Any, tuple(parts)), about["not_finite"])
    return info, Whitening(arrays["centre"], arrays["axes"], about["space_rows"])


def _save(made: StoredIndex, path: Path) -> None:
    with atomic_write(path) as file:
        try:
            made._index.save(_name_for_usearch(file))
        except RuntimeError as error:
            raise OutputError(f"cannot write {path}: {error}") from error
        about = {
            "format": _FORMAT,
            "description": asdict(made.info.description),
            "parts": made.info.parts,
            "fitted_rows": made.info.fitted_rows,
            "not_finite": made.info.not_finite,
            "space_rows": made.whitening.rows,
            "sha256": sha256_of(file.name),
            "bytes": file.seek(0, io.SEEK_END),
        }
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("made_from.json", json_text(about, sort_keys=True))
            for name, array in (("centre", made.whitening.centre), ("axes", made.whitening.axes)):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)


def _name_for_usearch(file: BinaryIO) -> str:
    """The name of an open file, which usearch takes in UTF-8 only."""
    name = os.fsdecode(file.name)
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"/dev/fd/{file.fileno()}"
    return name
