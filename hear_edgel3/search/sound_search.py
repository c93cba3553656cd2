"""Search in a dataset by sound, through its index where there is one and exactly where not."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from hear_edgel3._checks import check_flags, check_path, check_paths, check_whole, several_paths, shown
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.dataset.channel import channel_of
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.disk.paths import path_of_text, real_path, text_of_path
from hear_edgel3.errors import DatasetError, InvalidOption, MissingExtra
from hear_edgel3.search.index import StoredIndex, fit_whitening, open_index
from hear_edgel3.search.query import QueryEmbedder
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.scan import Scan, best_of

# Up to so many embeddings a search is fast without an index.
FEW_ROWS = 100_000
_CANDIDATES = 16  # candidates per match that is wanted, at first, where several may be of one file


@dataclass(frozen=True)
class Match:
    """A sound that was found.

    Attributes:
        similarity: The cosine in [-1, 1] after whitening, see :mod:`hear_edgel3.search.whitening`.
        file: The file's name, as the dataset has it.
        timestamp_ms: The moment in it, or None in a dataset of scene embeddings.
        row: The number of its row in the dataset.
        start_s: Where its clip begins, in seconds of the file; None for a whole file.
        end_s: Where its clip ends; None for a whole file, or the file's end.
    """

    similarity: float
    file: str
    timestamp_ms: float | None
    row: int
    start_s: float | None = None
    end_s: float | None = None


class SoundSearch:
    """Finds the sounds of a dataset that are most alike.

    Args:
        folder: The dataset that ``hear-edgel3 extract`` wrote.
        config: The configuration, as for :class:`~hear_edgel3.search.query.QueryEmbedder`.
        weights: The weights, as for :func:`hear_edgel3.load`. The net is loaded when the first audio is searched for.
        exact: Whether to leave the index alone.

    Attributes:
        dataset: The dataset that is searched.
        indexed: Whether there is an index that is used.
        note: What the user should know about the index, and about rows that cannot be compared, or None.

    Raises:
        DatasetError: the folder is no dataset, is damaged, or has no embeddings.
        MissingExtra: pyarrow is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        config: str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        exact: bool = False,
    ) -> None:
        check_flags(exact=exact)
        check_paths(config=config)
        if weights is not None:
            check_path(weights, "weights", empty=True)
        self.dataset = Dataset(folder)
        self.note: str | None = None
        self._net = (config, weights)
        self._embedder: QueryEmbedder | None = None
        self._rows = Rows(self.dataset)
        self._index = None if exact else self._usable_index()
        whitening = fit_whitening(self._rows) if self._index is None else self._index.whitening
        if whitening.rows == 0:
            raise DatasetError(f"{self.dataset.folder} has no embeddings: its files all failed")
        self._whitening = whitening
        self._scan = Scan(self._rows, whitening, None if self._index is None else self._index.missing_parts)
        self.indexed = self._index is not None
        self._say_what_is_not_finite()

    def _say_what_is_not_finite(self) -> None:
        if self._index is not None and self._index.missing_parts:
            self._scan.read()
        count = sum(self._rows.not_finite.values()) + (0 if self._index is None else self._index.info.not_finite)
        if count:
            said = f"{count} rows have embeddings that are not finite, and are never found"
            self.note = said if self.note is None else f"{self.note}; {said}"

    def _usable_index(self) -> StoredIndex | None:
        folder = self.dataset.folder
        try:
            index = open_index(self._rows)
        except (DatasetError, MissingExtra) as error:
            self.note = f"searching without the index: {error}"
            if isinstance(error, DatasetError):
                self.note += f"; `hear-edgel3 index {folder}` builds it anew"
            return None
        if index is not None and index.missing_parts:
            more = len(self._rows) - sum(n for _, _, n in index.info.parts)
            self.note = f"{more} rows are not in the index yet; `hear-edgel3 index {folder}` adds them"
        elif index is None and len(self._rows) > FEW_ROWS:
            self.note = f"searching {len(self._rows)} rows one by one; `hear-edgel3 index {folder}` makes this fast"
        return index

    def load_net(self) -> QueryEmbedder:
        """The net that queries are embedded with; loaded once.

        Raises:
            DatasetError: the net found is not the one that made the dataset.
            UnknownConfiguration, WeightsNotFound, ...: it cannot be loaded, see :func:`hear_edgel3.load`.
        """
        if self._embedder is None:
            self._embedder = QueryEmbedder(self.dataset.description, *self._net, channel_of(self.dataset.folder))
        return self._embedder

    def query(
        self,
        query: Any,
        top: int = 10,
        *,
        sample_rate: int | None = None,
        all_moments: bool = False,
        without: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    ) -> list[Match]:
        """The sounds most like a query.

        Args:
            query: the path of an audio file; or an embedding (D,), an array or a tensor; or, with ``sample_rate``, a
                clip: (n_samples,) or (n_samples, channels). In a dataset of timestamps a file or clip counts as the
                mean over its own.
            top: how many at most.
            sample_rate: of the clip in Hz.
            all_moments: in a dataset of timestamps, all moments of a file that are alike, not the best one only.
            without: files that are not to be found, or one.

        Returns:
            Matches, best first.

        Raises:
            DatasetError: the net found is not the one that made the dataset, or a part is damaged.
            InvalidOption: ``top`` is not positive, or the embedding cannot be compared.
            AudioFileError, InvalidAudio: the query cannot be embedded.
        """
        if sample_rate is not None:
            check_rate(sample_rate)
        if isinstance(query, (str, os.PathLike)):
            vector = self.load_net().of_file(query)
        elif sample_rate is not None:
            vector = self.load_net().of_samples(query, sample_rate)
        else:
            vector = _embedding(query)
        return self._matches(vector, top, all_moments, without, None)

    def neighbours_of(
        self,
        row: int,
        top: int = 10,
        *,
        all_moments: bool = False,
        without: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    ) -> list[Match]:
        """The sounds most like one of the dataset's rows, which is itself left out.

        Args:
            row: its number, from 0, in the order of the dataset's parts.
            top: as for :meth:`query`.
            all_moments: as for :meth:`query`.
            without: as for :meth:`query`.

        Raises:
            DatasetError: there is no such row, or it has no embedding.
            InvalidOption: ``row`` or ``top`` is no such number.
        """
        if not isinstance(row, Integral) or isinstance(row, bool):
            raise InvalidOption(f"row must be the number of a row, from 0, got {shown(row)}")
        return self._matches(self._rows.vector(row), top, all_moments, without, row)

    def neighbours_of_file(
        self,
        file: str | os.PathLike[str],
        top: int = 10,
        *,
        all_moments: bool = False,
        without: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    ) -> list[Match]:
        """The sounds most like one of the dataset's files, by its stored embeddings, without any net.

        Args:
            file: as the dataset names it.
            top: as for :meth:`query`.
            all_moments: as for :meth:`query`.
            without: as for :meth:`query`.

        Raises:
            DatasetError: the dataset has no embedding of it.
            InvalidOption: ``top`` is not positive.
        """
        check_path(file, "file")
        return self._matches(self._rows.mean_of_file(text_of_path(file)), top, all_moments, without, None)

    def _matches(
        self,
        vector: np.ndarray,
        top: int,
        all_moments: bool,
        without: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        own_row: int | None,
    ) -> list[Match]:
        size = self.dataset.description.size
        check_whole(top, "top", 1)
        check_flags(all_moments=all_moments)
        without = several_paths(without, "without")
        if vector.shape != (size,) or vector.dtype.kind != "f":
            raise InvalidOption(
                f"a query must be an embedding of {size} finite floats, a path, or a clip with its sample_rate; got "
                f"{vector.dtype} of shape {vector.shape}"
            )
        with np.errstate(over="ignore"):  # what is too large for float32 is compared no better than infinity
            finite = np.isfinite(vector.astype(np.float32))
        if not finite.all():
            bad = int((~finite).sum())
            raise InvalidOption(
                f"a query must be an embedding of {size} finite floats, and {bad} of this one's values are not finite"
            )
        whitened = self._whitening.apply(vector[None])
        several = self.dataset.description.hop_ms is not None and not all_moments
        wanted = min(len(self._rows), (top + 1) * (_CANDIDATES if several else 1) + len(without))
        while True:
            numbers, similarities = self._near(whitened, wanted)
            there = numbers >= 0
            matches = self._wanted_matches(numbers[there], similarities[there], several, without, own_row)
            if len(matches) >= top or not there.all() or wanted >= len(self._rows):
                return matches[:top]
            wanted = min(len(self._rows), 8 * wanted)

    def _near(self, whitened: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = self._scan.search(whitened, k)
        if self._index is not None:
            indexed = self._index.search(whitened, k)
            # An index gives equals in any order, and the rows that it lacks may have any numbers.
            numbers, similarities = (np.concatenate(pair, axis=1) for pair in zip(indexed, found, strict=True))
            order = np.argsort(numbers, axis=1)
            numbers, similarities = (np.take_along_axis(values, order, axis=1) for values in (numbers, similarities))
            found = best_of(numbers, similarities, k)
        return found[0][0], found[1][0]

    def _wanted_matches(
        self,
        numbers: np.ndarray,
        similarities: np.ndarray,
        several: bool,
        without: Sequence[str | os.PathLike[str]],
        own_row: int | None,
    ) -> list[Match]:
        """Matches, without those that are not wanted, and the best one only of each file or clip that has several."""
        left_out = {real_path(path) for path in without}
        seen: set[tuple[str, float | None, float | None]] = set()
        matches = []
        for number, similarity, moment in zip(
            numbers.tolist(), similarities.tolist(), self._rows.moments(numbers), strict=True
        ):
            place = (moment.file, moment.start_s, moment.end_s)
            if number == own_row or (several and place in seen):
                continue
            seen.add(place)
            if left_out and real_path(path_of_text(moment.file)) in left_out:
                continue
            matches.append(Match(similarity, moment.file, moment.timestamp_ms, number, moment.start_s, moment.end_s))
        return matches


def _embedding(query: Any) -> np.ndarray:
    """What is to be an embedding as an array; a tensor may be on a GPU, have gradients, or a type that NumPy lacks."""
    if "torch" in sys.modules:
        import torch

        if isinstance(query, torch.Tensor) and not query.is_meta:
            found = query.detach().cpu()
            query = found.float() if found.is_floating_point() else found
    try:
        return np.asarray(query)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidOption(f"a query must be an embedding, a path, or a clip with its sample_rate: {error}") from error
