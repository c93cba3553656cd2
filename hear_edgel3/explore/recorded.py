"""When and where the clips of a dataset were recorded, of datasets that say it (`extract --recorded`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from hear_edgel3.dataset.clips import RECORDED_AT, SITE, START
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import Span


@dataclass(frozen=True)
class Moments:
    """When and where clips were recorded.

    Attributes:
        seconds: (n,) float64, when each began, in seconds since 1970 by the clock in which the dataset tells times, as
            if that were UTC; NaN where unknown. None if it is unknown of all.
        sites: The names of the sites, sorted.
        site_of: (n,) int32, the number of each clip's site; -1 where unknown. None if it is unknown of all.
    """

    seconds: np.ndarray | None
    sites: list[str]
    site_of: np.ndarray | None


def moments(dataset: Dataset, files: Sequence[str], spans: Sequence[Span | None]) -> Moments:
    """Reads when and where clips were recorded.

    Args:
        dataset: The dataset.
        files: The n files that the clips are of.
        spans: Where in it each clip is; None for all of it.

    Raises:
        DatasetError: it is damaged.
    """
    began: dict[str, float] = {}
    places: dict[str, str] = {}
    for batch in dataset.batches(["file", "timestamp_ms", START, RECORDED_AT, SITE]):
        there = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        nothing = [None] * batch.num_rows
        columns = (there.get(name, nothing) for name in ("file", "timestamp_ms", START, RECORDED_AT, SITE))
        for file, time_ms, start, recorded_at, site in zip(*columns, strict=True):
            if site is not None:
                places.setdefault(file, site)
            if recorded_at is not None and file not in began:
                # A row's moment is that of its timestamp, or of its clip's beginning.
                into = time_ms / 1000 if time_ms is not None else start or 0.0
                began[file] = _seconds(recorded_at) - into
    seconds = np.array(
        [began.get(file, np.nan) + (span[0] if span else 0) for file, span in zip(files, spans, strict=True)]
    )
    sites = sorted({places[file] for file in files if file in places})
    numbers = {site: i for i, site in enumerate(sites)}
    site_of = np.array([numbers[places[file]] if file in places else -1 for file in files], np.int32)
    return Moments(seconds if np.isfinite(seconds).any() else None, sites, site_of if sites else None)


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return np.nan
