"""An approximate index (HNSW, by usearch) of vectors by cosine: what all who need one here make it with."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from hear_edgel3._extras import require

# What `python -m tests.benchmarks.search` measures: links per vector, and how many candidates are kept on the way.
CONNECTIVITY = 16
EXPANSION_ADD = 128
EXPANSION_SEARCH = 128


def new(size: int, half: bool = False) -> Any:
    """An empty index.

    Args:
        size: How many values a vector has.
        half: Whether to keep them as 16-bit floats.

    Raises:
        MissingExtra: usearch is not installed.
    """
    return require_usearch().Index(
        ndim=size,
        metric="cos",
        dtype="f16" if half else "f32",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
        enable_key_lookups=False,
    )


def search(index: Any, vectors: np.ndarray, k: int, threads: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows of an index.

    Args:
        index: An index whose keys are the numbers of its rows.
        vectors: (q, D) float32.
        k: How many rows to find, at least 1.
        threads: How many threads search; 0 for all cores.

    Returns:
        (q, k) int64 numbers and (q, k) float32 similarities, best first; -1 and NaN where there are no more.
    """
    numbers = np.full((len(vectors), k), -1, np.int64)
    similarities = np.full((len(vectors), k), np.nan, np.float32)
    if len(index) == 0 or len(vectors) == 0:
        return numbers, similarities
    # usearch gives matches of another form for one vector
    found = index.search(vectors if len(vectors) > 1 else np.repeat(vectors, 2, axis=0), k, threads=threads)
    keys, distances = found.keys[: len(vectors)], found.distances[: len(vectors)]
    there = np.arange(keys.shape[1]) < np.asarray(found.counts)[: len(vectors), None]
    numbers[:, : keys.shape[1]][there] = keys[there]
    similarities[:, : keys.shape[1]][there] = 1 - distances[there]
    return numbers, similarities


def require_usearch() -> Any:
    """The usearch.index module.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("usearch.index", "an index of many embeddings", "search")


def installed() -> bool:
    """Whether usearch is."""
    return importlib.util.find_spec("usearch") is not None
