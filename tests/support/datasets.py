"""Datasets of embeddings for tests, written without `hear-edgel3 extract`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hear_edgel3.dataset import Description


def description(size: int, **changes: Any) -> Description:
    """Of scene embeddings, unless ``changes`` say otherwise."""
    made: dict[str, Any] = {
        "configuration": "tiny",
        "weights_sha256": "0" * 64,
        "embedding_version": 1,
        "size": size,
        "hop_ms": None,
        "dtype": "float32",
        "package_version": "0.1.0",
    }
    return Description(**{**made, **changes})


def write_part(folder: Path, made: Description, rows: Sequence[dict[str, Any]], name: str = "part-0.parquet") -> None:
    """Writes rows, of which any column may be missing, as one more file of a dataset."""
    folder.mkdir(exist_ok=True)
    schema = made.schema()
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    pq.write_table(pa.table(columns, schema=schema), folder / name)
