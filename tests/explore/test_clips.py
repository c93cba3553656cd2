"""Rows of a dataset to clips, and clips to places on a map."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.disk.apart import Apart, Failed
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import ComputationError, DatasetError, InvalidOption, MissingExtra
from hear_edgel3.explore import projection
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.folders import below, common_folder
from hear_edgel3.explore.projection import project
from hear_edgel3.search.neighbours import unit
from support.datasets import description, write_rows
from support.pages import SIZE, vectors, write_dataset

# --- rows to clips ---


def test_a_clip_is_the_mean_of_its_rows_wherever_they_are() -> None:
    made = description(SIZE, hop_ms=50.0)
    rows, expected = [], {}
    for i, name in enumerate("dacb"):
        values = vectors(3 + i, seed=i)
        expected[name] = values.astype(np.float64).mean(axis=0)
        rows += [
            {"file": name, "timestamp_ms": 50.0 * k, "embedding": v, "duration_s": 1.0 + i, "sample_rate": 8000}
            for k, v in enumerate(values)
        ]
    np.random.RandomState(0).shuffle(rows)
    write_rows(Path("embeddings"), made, rows[:7], "part-0.parquet")
    write_rows(Path("embeddings"), made, rows[7:], "part-1.parquet")
    clips = read_file_means(Dataset("embeddings"))
    assert sorted(clips.files) == list("abcd")
    assert clips.files == list(dict.fromkeys(row["file"] for row in rows))
    for i, name in enumerate(clips.files):
        assert np.allclose(clips.vectors[i], expected[name], atol=1e-6)
    by_name = dict(zip(clips.files, zip(clips.rows, clips.seconds, clips.sample_rates, strict=True), strict=True))
    assert by_name == {"d": (3, 1.0, 8000), "a": (4, 2.0, 8000), "c": (5, 3.0, 8000), "b": (6, 4.0, 8000)}


def test_many_files_in_many_batches() -> None:
    values = vectors(5000)
    rows = [{"file": f"{i % 2500}.wav", "embedding": value} for i, value in enumerate(values)]
    write_rows(Path("embeddings"), description(SIZE), rows)
    clips = read_file_means(Dataset("embeddings"))
    assert clips.files == [f"{i}.wav" for i in range(2500)]
    assert np.allclose(clips.vectors, (values[:2500] + values[2500:]) / 2, atol=1e-6)
    assert np.isnan(clips.seconds).all()
    assert (clips.sample_rates == 0).all()


def test_errors_and_embeddings_that_are_not_finite_are_failures() -> None:
    overflown = np.full(SIZE, np.inf, np.float16)
    rows = [
        {"file": "bad.wav", "error": "AudioFileError: bad.wav is empty (0 bytes)"},
        {"file": "loud.wav", "embedding": overflown},
        {"file": "good.wav", "embedding": np.ones(SIZE, np.float16)},
        {"file": "strange.wav"},
    ]
    write_rows(Path("embeddings"), description(SIZE, dtype="float16"), rows)
    clips = read_file_means(Dataset("embeddings"))
    assert clips.files == ["good.wav"]
    assert clips.vectors.dtype == np.float32
    assert clips.failed == [
        ("bad.wav", "AudioFileError: bad.wav is empty (0 bytes)"),
        ("strange.wav", "it has no embedding"),
        ("loud.wav", "its embedding is not finite"),
    ]


def test_a_dataset_of_failures_cannot_be_shown() -> None:
    write_rows(Path("embeddings"), description(SIZE), [{"file": "a.wav", "error": "AudioFileError: a.wav is odd"}])
    with pytest.raises(DatasetError, match=r"embeddings has no embeddings to show: 1 files failed.*a\.wav is odd"):
        explore("embeddings", "page.html")
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    ("files", "common", "folders"),
    [
        (["/x/a/1.wav", "/x/b/c/2.wav"], "/x", ["a", "b/c"]),
        (["x/1.wav", "x/2.wav"], "x", ["", ""]),
        (["1.wav", "a/2.wav"], "", ["", "a"]),
        (["/x/1.wav", "y/2.wav"], "", ["/x", "y"]),
        (["/a/1.wav", "/ab/2.wav"], "/", ["a", "ab"]),
        (["a/1.wav", "ab/2.wav"], "", ["a", "ab"]),
    ],
)
def test_folders_are_seen_from_the_common_one(files: list[str], common: str, folders: list[str]) -> None:
    assert common_folder(files) == common
    assert [below(common, file) for file in files] == folders


# --- the map ---


def test_principal_components_are_those_of_the_unit_vectors() -> None:
    values = vectors(60) * np.linspace(1, 3, SIZE) * np.linspace(1, 9, 60)[:, None]
    places, method = project(values, "pca")
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    for axis in range(2):
        assert abs(np.corrcoef(places[:, axis], u[:, axis] * s[axis])[0, 1]) > 0.99999
    assert method == "pca"
    assert places.dtype == np.float32
    assert np.abs(places).max() == pytest.approx(1)
    assert np.ptp(places, axis=0)[0] > np.ptp(places, axis=0)[1]
    assert np.array_equal(places, project(values, "pca")[0])


def test_the_map_is_not_mirrored_by_chance() -> None:
    """The sign of a principal axis is arbitrary: here the largest weight of each is positive."""
    for seed in range(6):
        random = np.random.RandomState(seed)
        values = (random.randn(40, 5) * [1, 7, 1, 3, 1] + 20).astype(np.float32)
        places, _ = project(values, "pca")
        directions = unit(values) - unit(values).mean(axis=0)
        for column in range(2):
            # The weights of an axis, by how the coordinate goes with each value.
            weights = np.linalg.lstsq(directions, places[:, column] - places[:, column].mean(), rcond=None)[0]
            assert weights[np.abs(weights).argmax()] > 0


@pytest.mark.parametrize("values", [np.ones((1, 4)), np.ones((2, 4)), np.zeros((3, 4)), np.ones((3, 1)), vectors(15)])
def test_few_and_equal_vectors_have_a_map(values: np.ndarray) -> None:
    places, method = project(values.astype(np.float32), "auto")
    assert method == "pca"
    assert places.shape == (len(values), 2)
    assert np.isfinite(places).all()


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
def test_umap_keeps_clusters_apart_and_repeats() -> None:
    kind = np.arange(60) % 3
    values = (vectors(3, seed=1)[kind] * 8 + vectors(60)).astype(np.float32)
    values[59] = 0  # which has no neighbours
    places, method = project(values, "auto", seed=3)
    assert method == "umap"
    assert np.abs(places).max() == pytest.approx(1)
    middles = np.stack([places[kind == k].mean(axis=0) for k in range(3)])
    nearest_middles = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest_middles == kind)[:59].all()
    # Nothing of it is in this process: where numba and torch share an OpenMP library, numba raises torch's threads.
    assert "umap" not in sys.modules
    compiled = _compiled()
    assert any("optimize_layout_euclidean" in file.name for file in compiled)
    assert np.array_equal(places, project(values, "umap", seed=3)[0])
    assert _compiled() == compiled


def _compiled() -> dict[Path, int]:
    """What numba has compiled, and when."""
    return {file: file.stat().st_mtime_ns for file in (cache_folder() / "numba").rglob("*.nb?")}


def test_umap_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Apart, question: Any, body: bytes) -> None:
        raise Failed("out of memory")

    monkeypatch.setattr(Apart, "ask", fails)
    with pytest.raises(ComputationError, match="could not lay 40 clips out: out of memory; --projection pca"):
        project(vectors(40), "umap")


def test_without_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection.importlib.util, "find_spec", lambda name: None)
    assert project(vectors(40), "auto")[1] == "pca"
    with pytest.raises(MissingExtra, match=r'umap-learn.*"\.\[explore\]"'):
        explore(write_dataset(["a.wav"]), "page.html", projection="umap")
    assert not Path("page.html").exists()


def test_a_projection_that_is_not_known() -> None:
    with pytest.raises(InvalidOption, match="'tsne' is not known; use one of auto, pca, umap"):
        project(vectors(3), "tsne")
