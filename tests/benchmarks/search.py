"""The index of a large dataset against going through all of it: CPU time to build, queries per second, recall@10.

    python -m tests.benchmarks.search [--rows 200000] [--size 512] [--queries 200] [--threads 1] [--files 20000]
        [--timed 20] [--keep FOLDER]

The embeddings are random, positive, in overlapping clusters of 20, and lie on fewer dimensions than they have, as
those of nets do; queries are other draws of the same. A last line times the search for duplicates, among all pairs.
Times are seconds of CPU. Going through all of a dataset that is too large to be kept in memory reads it for each
question: ``--timed`` says how many are asked one by one that way; recall is of all of them, asked at once. ``--keep``
keeps the dataset and its index, and goes on with one that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hear_edgel3.dataset.dataset import Dataset, Description
from hear_edgel3.search import find_duplicates
from hear_edgel3.search.index import FILE, build_index
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.scan import Scan

_ROWS_PER_PART = 20_000
_TOP = 10
_HIDDEN = 128  # dimensions in which the clusters lie


class Sounds:
    """Embeddings of imaginary sounds."""

    def __init__(self, size: int, clusters: int, seed: int = 0) -> None:
        self._random = np.random.RandomState(seed)
        self._centres = self._random.randn(clusters, _HIDDEN) * np.geomspace(3, 0.3, _HIDDEN)
        self._mixing = self._random.randn(_HIDDEN, size) / np.sqrt(_HIDDEN)

    def draw(self, n: int) -> np.ndarray:
        """(n, size) float32."""
        hidden = self._centres[self._random.randint(len(self._centres), size=n)]
        hidden = hidden + 0.7 * self._random.randn(n, _HIDDEN)
        vectors = hidden @ self._mixing
        return np.maximum(vectors + 0.1 * self._random.randn(*vectors.shape), 0).astype(np.float32)


def write_dataset(folder: Path, batches: Iterator[np.ndarray], size: int) -> None:
    """One part per batch, in 16-bit floats."""
    schema = Description("tiny", "0" * 64, 1, size, None, "float16", "0").schema()
    for number, vectors in enumerate(batches):
        n = len(vectors)
        flat = pa.array(vectors.astype(np.float16).reshape(-1))
        columns = {
            "file": [f"{number}/{i}.wav" for i in range(n)],
            "timestamp_ms": pa.nulls(n, pa.float64()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, size),
            "error": pa.nulls(n, pa.string()),
            "duration_s": pa.nulls(n, pa.float64()),
            "sample_rate": pa.nulls(n, pa.int32()),
        }
        pq.write_table(pa.table(columns, schema=schema), folder / f"{number:05d}.parquet")


def drawn(sounds: Sounds, rows: int) -> Iterator[np.ndarray]:
    """So many embeddings, some at a time."""
    for start in range(0, rows, _ROWS_PER_PART):
        yield sounds.draw(min(_ROWS_PER_PART, rows - start))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--files", type=int, default=20_000, help="for the search for duplicates")
    parser.add_argument("--timed", type=int, default=20, help="queries that are asked exactly, one by one")
    parser.add_argument("--keep", type=Path, help="a folder for the dataset and its index, or with them")
    arguments = parser.parse_args()
    sounds = Sounds(arguments.size, max(1, arguments.rows // 20))
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        there = (folder / FILE).exists()
        if not there:
            folder.mkdir(parents=True, exist_ok=True)
            write_dataset(folder, drawn(sounds, arguments.rows), arguments.size)
        rows = Rows(Dataset(folder))
        begun = time.process_time()
        index = build_index(rows, arguments.threads)
        built = "before" if there else f"in {time.process_time() - begun:.0f} s"
        megabytes = (folder / FILE).stat().st_size / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{len(rows)} embeddings of {arguments.size} values: built {built}, {megabytes:.0f} MB; peak "
            f"memory {peak:.2f} GiB",
            flush=True,
        )
        queries = index.whitening.apply(sounds.draw(arguments.queries))
        scan = Scan(rows, index.whitening)
        scan.search(queries[:1], _TOP)  # reads the dataset
        begun = time.process_time()
        for query in queries[: arguments.timed]:
            scan.search(query[None], _TOP)
        exact = len(queries[: arguments.timed]) / (time.process_time() - begun)
        begun = time.process_time()
        approximate = np.concatenate([index.search(query[None], _TOP)[0] for query in queries])
        by_index = len(queries) / (time.process_time() - begun)
        true, _ = scan.search(queries, _TOP)
        found = [len(set(a) & set(b)) for a, b in zip(true.tolist(), approximate.tolist(), strict=True)]
        print(
            f"exact {exact:.3g} queries per second, index {by_index:.0f}; recall@{_TOP} "
            f"{sum(found) / (_TOP * len(found)):.4f}"
        )
    with tempfile.TemporaryDirectory() as name:
        write_dataset(Path(name), drawn(sounds, arguments.files), arguments.size)
        begun = time.process_time()
        groups = find_duplicates(name)
        taken = time.process_time() - begun
        print(f"duplicates among {arguments.files} files: {taken:.1f} s, {len(groups)} groups")


if __name__ == "__main__":
    main()
