"""Jobs: clips for them, and what they wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset, Description
from support.files import write_clip

LENGTHS = (0.3, 1.0, 0.02, 1.0, 0.55, 1.0)  # seconds


def clips(folder: str = "in", rate: int = 8000) -> list[str]:
    return [os.fspath(write_clip(f"{folder}/{i}.wav", seconds, rate, i)) for i, seconds in enumerate(LENGTHS)]


def table(folder: str | Path = "out") -> pa.Table:
    dataset = Dataset(folder)
    return pa.Table.from_batches(dataset.batches())


def rows(folder: str | Path = "out") -> list[dict[str, Any]]:
    return table(folder).to_pylist()


def files(folder: str | Path = "out") -> list[str]:
    return [row["file"] for row in rows(folder)]


def run_extract(*arguments: str) -> int:
    return main(["extract", *arguments, "--output", "out", "--workers", "1", "--quiet"])


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-5 of the peak: the groups that windows run in are others, and means are taken in float64."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def sea_description(size: int = 64, sha256: str = "", hop_ms: float | None = None) -> Description:
    return Description("sea_64", sha256, 1, size, hop_ms, "float32", hear_edgel3.__version__)
