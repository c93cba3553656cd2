"""Datasets of embeddings for tests, written without `hear-edgel3 extract`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hear_edgel3.dataset.dataset import Description

DESCRIPTION = Description("tiny", "0" * 64, 1, 16, None, "float32", "0")


def description(size: int, **changes: Any) -> Description:
    """Of scene embeddings, unless ``changes`` say otherwise."""
    return replace(DESCRIPTION, **{"size": size, **changes})


def write_rows(folder: Path, made: Description, rows: Sequence[dict[str, Any]], name: str = "part-0.parquet") -> None:
    """Writes rows, of which any column may be missing, as one more file of a dataset."""
    folder.mkdir(exist_ok=True)
    schema = made.schema()
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    pq.write_table(pa.table(columns, schema=schema), folder / name)


def write_part(
    path: Path,
    vectors: np.ndarray | Sequence[Any],
    files: Sequence[str] | None = None,
    timestamps_ms: Sequence[float | None] | None = None,
    row_group: int = 100,
    **description: Any,
) -> Description:
    """Writes one part; a vector of None is the row of a file that failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(vectors)
    size = next((len(v) for v in vectors if v is not None), DESCRIPTION.size)
    made = replace(DESCRIPTION, **{"size": size, **description})
    schema = made.schema()
    values = [None if v is None else np.asarray(v).astype(made.dtype) for v in vectors]
    table = pa.table(
        {
            "file": [f"{path.stem}/{i}.wav" for i in range(n)] if files is None else list(files),
            "timestamp_ms": [None] * n if timestamps_ms is None else list(timestamps_ms),
            "embedding": pa.array(values, schema.field("embedding").type),
            "error": ["AudioFileError: no" if v is None else None for v in vectors],
            "duration_s": [None if v is None else 1.0 for v in vectors],
            "sample_rate": pa.array([None if v is None else 16000 for v in vectors], pa.int32()),
        },
        schema=schema,
    )
    pq.write_table(table, path, row_group_size=row_group)
    return made


def clustered(n: int, size: int = 16, clusters: int = 20, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """(n, size) float32 around some centres, all positive, as embeddings are."""
    random = np.random.RandomState(seed)
    centres = random.rand(clusters, size)
    return np.abs(centres[random.randint(clusters, size=n)] + spread * random.randn(n, size) / 3).astype(np.float32)
