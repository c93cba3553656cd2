"""A dataset by its files: one embedding for each, whether the dataset has one per file or many."""

from __future__ import annotations

import numpy as np

from hear_edgel3.dataset import Dataset, embeddings_of


def clip_embeddings(dataset: Dataset) -> tuple[list[str], np.ndarray]:
    """The mean embedding of every file.

    Args:
        dataset: of scene or of timestamp embeddings.

    Returns:
        The files as the dataset names them, in its order, and (n, D) float32. Files with no embedding that is finite
        are left out.

    Raises:
        DatasetError: a part of the dataset is damaged.
    """
    numbers: dict[str, int] = {}
    sums = np.zeros((0, dataset.description.size), np.float32 if dataset.description.hop_ms is None else np.float64)
    counts = np.zeros(0, np.int64)
    for batch in dataset.batches(["file", "embedding"]):
        there = batch.filter(batch.column(1).is_valid())
        vectors = embeddings_of(there)
        finite = np.isfinite(vectors).all(axis=1)
        encoded = there.column(0).dictionary_encode()
        names = np.array([numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()], np.int64)
        of_file = names[encoded.indices.to_numpy()][finite]
        vectors = vectors[finite].astype(sums.dtype)
        if len(numbers) > len(sums):
            grown = max(len(numbers), 2 * len(sums))
            sums = np.concatenate([sums, np.zeros((grown - len(sums), sums.shape[1]), sums.dtype)])
            counts = np.concatenate([counts, np.zeros(grown - len(counts), np.int64)])
        if len(of_file) == 0:
            continue
        starts = np.flatnonzero(np.diff(of_file, prepend=-1))  # rows of one file follow each other, as a rule
        np.add.at(sums, of_file[starts], np.add.reduceat(vectors, starts, axis=0))
        np.add.at(counts, of_file, 1)
    sums, counts = sums[: len(numbers)], counts[: len(numbers)]
    known = counts > 0
    files = [name for name, number in numbers.items() if known[number]]
    return files, (sums[known] / counts[known, None]).astype(np.float32)
