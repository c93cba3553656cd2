"""Datasets of plain numbers for sound search, and the neighbours in them by brute force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.whitening import Whitening
from support.datasets import clustered, write_part


def rows_of(folder: Path) -> Rows:
    return Rows(Dataset(folder))


def without_usearch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)


def brute_force(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    similarities = wide @ wide.T
    np.fill_diagonal(similarities, -np.inf)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(similarities, order, axis=1)


def dataset(folder: Path, n: int = 300, **description: Any) -> np.ndarray:
    x = clustered(n)
    write_part(folder / "a.parquet", [*x[: n // 2], None], **description)
    write_part(folder / "b.parquet", x[n // 2 :], **description)
    return x


def expected_rows(x: np.ndarray, query: np.ndarray, top: int) -> list[int]:
    whitening = Whitening.fit([x], x.shape[1])
    order = np.argsort(-(whitening.apply(x) @ whitening.apply(query[None])[0]), kind="stable")[:top]
    return [int(i) + (i >= len(x) // 2) for i in order]  # the row that failed lies between


def moments(folder: Path) -> np.ndarray:
    """Three files of 40 moments; that at 500 ms is the same in all."""
    x = clustered(120, clusters=60)
    x[[10, 50, 90]] = x[10] + np.arange(3)[:, None] * 0.01
    files = [f"{name}.wav" for name in "uvw" for _ in range(40)]
    write_part(folder / "a.parquet", x, files, [50.0 * i for _ in range(3) for i in range(40)], hop_ms=50.0)
    return x


def brute_force_groups(x: np.ndarray, threshold: float) -> list[tuple[int, ...]]:
    placed = Whitening.fit([x], x.shape[1]).apply(x).astype(np.float64)
    alike = placed @ placed.T >= threshold
    groups: list[tuple[int, ...]] = []
    left = set(range(len(x)))
    while left:
        group, grown = set(), {min(left)}
        while grown - group:
            group |= grown
            grown = {int(j) for i in group for j in np.flatnonzero(alike[i])} | group
        left -= group
        if len(group) > 1:
            groups.append(tuple(sorted(group)))
    return groups
