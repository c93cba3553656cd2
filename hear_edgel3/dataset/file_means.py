"""From the rows of a dataset to one vector per file or clip: the mean of its embeddings, however many it has."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3.dataset.clips import place_name
from hear_edgel3.dataset.dataset import Dataset, embeddings_of

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

_NOT_FINITE = "its embedding is not finite"
_REST = 0.01  # of a segment: what is left at the end of a file (of MP3, or by rounding) and is no segment of its own


# Where a clip begins and ends, in seconds of its file; None for the file's end.
Span = tuple[float, float | None]
Place = tuple[str, Span | None]


@dataclass(frozen=True)
class FileMeans:
    """What a dataset says of its audio files, with the mean embedding of each.

    Attributes:
        files: The n names, as the ``file`` column has them, in the order in which they first appear. A file that
            several clips are of is there once for each.
        vectors: (n, D) float32, the mean of each file's embeddings, or each clip's.
        rows: (n,) int64, how many embeddings that is the mean of; those that are not finite do not count.
        seconds: (n,) float64, the length of the audio; NaN where it is unknown.
        sample_rates: (n,) int64, the sample rate in Hz; 0 where it is unknown.
        failed: The files without an embedding, each with the reason.
        spans: Where each clip begins and ends, in seconds of its file (None: the file's end); None for a whole file.
        not_finite: How many embeddings are not finite, and do not count.
    """

    files: list[str]
    vectors: np.ndarray
    rows: np.ndarray
    seconds: np.ndarray
    sample_rates: np.ndarray
    failed: list[tuple[str, str]]
    spans: list[Span | None]
    not_finite: int = 0

    @property
    def names(self) -> list[str]:
        """What to call each: the file's name, and the seconds of a clip."""
        return [place_name(file, *(span or (None, None))) for file, span in zip(self.files, self.spans, strict=True)]


def read_file_means(dataset: Dataset, segment_s: float | None = None) -> FileMeans:
    """Reads a dataset, and takes the mean of each file's embeddings.

    Memory grows with the number of files, not of rows.

    Args:
        dataset: The dataset.
        segment_s: Seconds, of a dataset of timestamps: the mean is of each such stretch of a file or clip, by itself.

    Raises:
        DatasetError: it is damaged.
    """
    sums = _Sums(dataset.description.size, dataset.clip_columns, segment_s)
    failed: list[tuple[str, str]] = []
    for batch in dataset.batches():
        there, errors = _apart(batch, dataset.clip_columns)
        sums.add(there)
        failed += errors
    means = sums.means(failed)
    _tell_not_finite(dataset, means.not_finite)
    return means


def read_some_file_means(
    dataset: Dataset, choose: Callable[[np.ndarray], np.ndarray], segment_s: float | None = None
) -> tuple[FileMeans, int]:
    """As :func:`read_file_means`, of some of the files or clips.

    The dataset is read twice: for its files and clips, of which some 100 bytes each are held, and for the means of
    those that are chosen. Memory grows with the number of these.

    Args:
        dataset: The dataset.
        choose: Is given (n,) int64, the number of the recording that each clip is of, from 0 in the order in which they
            first appear, and gives the numbers of the clips that are kept, ascending.
        segment_s: As for :func:`read_file_means`.

    Returns:
        The means, and how many there are of all. What failed, and what is not finite, is of all.

    Raises:
        DatasetError: it is damaged.
    """
    everything = _Outline(dataset.clip_columns, segment_s)
    failed: list[tuple[str, str]] = []
    for batch in dataset.batches():
        there, errors = _apart(batch, dataset.clip_columns)
        everything.add(there)
        failed += errors
    places, unusable = everything.places()
    if not len(places):
        return _Sums(dataset.description.size, (), None).means(failed + unusable), 0
    kept = [everything.place(place) for place in places[choose(_numbered(places["file"]))]]
    sums = _Sums(dataset.description.size, dataset.clip_columns, segment_s, kept)
    for batch in dataset.batches():
        sums.add(_apart(batch, dataset.clip_columns)[0])
    _tell_not_finite(dataset, everything.not_finite)
    return replace(sums.means(failed + unusable), not_finite=everything.not_finite), len(places)


def _apart(batch: pa.RecordBatch, clip_columns: Sequence[str]) -> tuple[pa.RecordBatch, list[tuple[str, str]]]:
    """The rows with an embedding, and of the others what failed, with the reason."""
    has_embedding = _column(batch, "embedding").is_valid()
    without = batch.filter(_import_compute().invert(has_embedding))
    failed = [
        (place_name(file, *(span or (None, None))), error or "it has no embedding")
        for (file, span), error in zip(
            _places(without, clip_columns), _column(without, "error").to_pylist(), strict=True
        )
    ]
    return batch.filter(has_embedding), failed


def _tell_not_finite(dataset: Dataset, count: int) -> None:
    if count:
        _log.warning("%s: %d embeddings are not finite, and do not count", dataset.folder, count)


def _numbered(values: np.ndarray) -> np.ndarray:
    """The number of each value, from 0 in the order in which they first appear."""
    _, first, of_value = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[of_value])


def longest_s(dataset: Dataset) -> float:
    """Seconds of the longest file, or clip, that has an embedding; 0 where none is known.

    Raises:
        DatasetError: it is damaged.
    """
    longest = 0.0
    for batch in dataset.batches(["file", "error", "duration_s", *dataset.clip_columns]):
        good = batch.filter(_import_compute().is_null(_column(batch, "error")))
        durations = _column(good, "duration_s").to_pylist()
        for (_, span), duration in zip(_places(good, dataset.clip_columns), durations, strict=True):
            begin, end = span or (0.0, None)
            end = duration if end is None else end
            longest = longest if end is None else max(longest, end - begin)
    return longest


# A place in few bytes: the number of its file, and its seconds, -1 for those that are None.
_PLACE = np.dtype([("file", np.int64), ("start", np.float64), ("end", np.float64)])


class _Outline:
    """The places of a dataset, without their embeddings."""

    def __init__(self, clip_columns: Sequence[str], segment_s: float | None) -> None:
        self._clip_columns = clip_columns
        self._segment_s = segment_s
        self._files: dict[str, int] = {}
        self._seen: list[np.ndarray] = []
        self._usable: list[np.ndarray] = []
        self._names: list[str] = []
        self.not_finite = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows, all with an embedding."""
        if not batch.num_rows:
            return
        finite = np.asarray(np.isfinite(embeddings_of(batch)).all(axis=1))
        self.not_finite += len(finite) - int(finite.sum())
        places, codes = _coded_places(batch, self._clip_columns, self._segment_s)
        numbers = (self._files.setdefault(file, len(self._files)) for file, _ in places)
        spans = (
            (-1.0, -1.0) if span is None else (span[0], -1.0 if span[1] is None else span[1]) for _, span in places
        )
        self._seen.append(np.array([(n, *span) for n, span in zip(numbers, spans, strict=True)], _PLACE))
        self._usable.append(np.bincount(codes, finite, len(places)) > 0)

    def places(self) -> tuple[np.ndarray, list[tuple[str, str]]]:
        """Those with an embedding that is finite, in the order in which they first appear, and the others' names."""
        if not self._seen:
            return np.zeros(0, _PLACE), []
        seen, usable = (np.concatenate(some) for some in (self._seen, self._usable))
        self._seen, self._usable = [], []
        by_value = np.lexsort((seen["end"], seen["start"], seen["file"]))  # stable, and much faster than np.unique
        begins = np.flatnonzero(np.append(True, seen[by_value][1:] != seen[by_value][:-1]))
        first = by_value[begins]
        has_one = np.logical_or.reduceat(usable[by_value], begins)
        self._names = list(self._files)
        without = (self.place(place) for place in seen[np.sort(first[~has_one])])
        unusable = [(place_name(file, *(span or (None, None))), _NOT_FINITE) for file, span in without]
        return seen[np.sort(first[has_one])], unusable

    def place(self, place: Any) -> Place:
        """What a place in few bytes says."""
        file, start, end = place.item()
        return self._names[file], None if start < 0 else (start, None if end < 0 else end)


class _Sums:
    """Running sums of embeddings per file; the arrays double as files come.

    Args:
        size: Of an embedding.
        clip_columns: The dataset's.
        segment_s: As for :func:`read_file_means`.
        only: The places that count; None for all.
    """

    def __init__(
        self, size: int, clip_columns: Sequence[str], segment_s: float | None, only: Sequence[Place] | None = None
    ) -> None:
        self._clip_columns = clip_columns
        self._segment_s = segment_s
        self._only = None if only is None else set(only)
        self._numbers: dict[Place, int] = {}
        self._not_finite = 0
        self._sums = np.zeros((1024, size))
        self._rows = np.zeros(1024, np.int64)
        self._seconds = np.full(1024, np.nan)
        self._rates = np.zeros(1024, np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows, all with an embedding."""
        if not batch.num_rows:
            return
        places, codes = _coded_places(batch, self._clip_columns, self._segment_s)
        numbers = np.array([self._number(place) for place in places])
        if self._only is not None:
            counts = numbers[codes] >= 0
            if not counts.any():
                return
            batch, codes = batch.filter(_import_arrow().array(counts)), codes[counts]
        vectors = embeddings_of(batch).astype(np.float64)
        finite = np.asarray(np.isfinite(vectors).all(axis=1))
        vectors[~finite] = 0
        self._not_finite += len(finite) - int(finite.sum())
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        to = numbers[codes[order[starts]]]
        self._sums[to] += np.add.reduceat(vectors[order], starts)
        self._rows[to] += np.add.reduceat(finite[order].astype(np.int64), starts)
        first = order[starts]
        self._seconds[to] = _column(batch, "duration_s").to_numpy(zero_copy_only=False)[first]
        if self._segment_s is not None:
            self._seconds[to] = [
                seconds if span is None or span[1] is None else span[1] - span[0]
                for seconds, (_, span) in zip(self._seconds[to], (places[code] for code in codes[first]), strict=True)
            ]
        self._rates[to] = _column(batch, "sample_rate").fill_null(0).to_numpy()[first]

    def _number(self, place: Place) -> int:
        """The number of a place; -1 if it does not count."""
        if self._only is not None and place not in self._only:
            return -1
        number = self._numbers.setdefault(place, len(self._numbers))
        if number == len(self._rows):
            for field in ("_sums", "_rows", "_seconds", "_rates"):
                held = getattr(self, field)
                setattr(self, field, np.concatenate([held, np.zeros_like(held)]))
        return number

    def means(self, failed: list[tuple[str, str]]) -> FileMeans:
        """The means; files with no embedding that is finite (16-bit floats overflow) are counted as failed."""
        n = len(self._numbers)
        known = self._rows[:n] > 0
        places = list(self._numbers)
        unusable = []
        for i in np.flatnonzero(~known):
            file, span = places[i]
            unusable.append((place_name(file, *(span or (None, None))), _NOT_FINITE))
        rows = self._rows[:n][known]
        return FileMeans(
            [places[i][0] for i in np.flatnonzero(known)],
            (self._sums[:n][known] / rows[:, None]).astype(np.float32),
            rows,
            self._seconds[:n][known],
            self._rates[:n][known],
            failed + unusable,
            [places[i][1] for i in np.flatnonzero(known)],
            self._not_finite,
        )


def _places(batch: pa.RecordBatch, clip_columns: Sequence[str]) -> list[Place]:
    """The file of each row, and the span of its clip."""
    files = _column(batch, "file").to_pylist()
    if not clip_columns:
        return [(file, None) for file in files]
    spans = zip(*(_column(batch, name).to_pylist() for name in clip_columns), strict=True)
    return [(file, _span(start, end)) for file, (start, end) in zip(files, spans, strict=True)]


def _span(start: float | None, end: float | None) -> Span | None:
    if start is None or not 0 <= start < math.inf:
        return None
    return start, end if end is not None and start < end < math.inf else None


def _segments(batch: pa.RecordBatch, places: list[Place], segment_s: float) -> list[Place]:
    """The stretch of a file or clip that each row is in the middle of."""
    found: list[Place] = []
    times, durations = (_column(batch, name).to_pylist() for name in ("timestamp_ms", "duration_s"))
    for (file, span), time_ms, duration in zip(places, times, durations, strict=True):
        if time_ms is None:
            found.append((file, span))
            continue
        begin, stop = span or (0.0, None)
        end = min((known for known in (stop, duration) if known is not None), default=None)
        number = max(0, math.floor((time_ms / 1000 - begin) / segment_s + 1e-9))
        last = None if end is None else max(0, math.ceil((end - begin) / segment_s - _REST) - 1)
        if last is not None:  # the last window may be centred on the very end
            number = min(number, last)
        start, following = (round(begin + k * segment_s, 9) for k in (number, number + 1))  # as a person writes it
        found.append((file, (start, end if number == last else following)))
    return found


def _coded_places(
    batch: pa.RecordBatch, clip_columns: Sequence[str], segment_s: float | None
) -> tuple[list[Place], np.ndarray]:
    """The places that rows are of, each once, and (n,) the number of the one that each row is of."""
    if not clip_columns and segment_s is None:
        names = _column(batch, "file").dictionary_encode()
        return [(file, None) for file in names.dictionary.to_pylist()], names.indices.to_numpy()
    places = _places(batch, clip_columns)
    if segment_s is not None:
        places = _segments(batch, places, segment_s)
    known: dict[Place, int] = {}
    codes = np.array([known.setdefault(place, len(known)) for place in places])
    return list(known), codes


def _column(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(batch.schema.get_field_index(name))


def _import_arrow() -> Any:
    import pyarrow

    return pyarrow


def _import_compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute
