"""Means over the windows of long clips: one rule everywhere, summed in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.extractor.window_net import mean_embedding, mean_of_windows
from support import signals

# An hour of windows 50 ms apart. Summed in float32 along time, 1.1e-5 of the peak was observed on such values.
WINDOWS = 72_000
ROUNDED = 6e-8  # half a step of float32, of a value


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Positive values, as after a rectifier, of which no rounding error cancels another."""
    return (np.random.default_rng(0).random((WINDOWS, 16)) ** 2).astype(np.float32)


def test_an_hour_of_windows(windows: np.ndarray) -> None:
    exact = windows.mean(axis=0, dtype=np.float64)
    found = mean_embedding(windows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=ROUNDED)
    batch = mean_of_windows(torch.from_numpy(np.stack([windows, windows[::-1]])))
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch, np.stack([exact, exact]), rtol=ROUNDED)
    # what this is to be better than
    assert np.abs(windows.mean(axis=0) / exact - 1).max() > 1e-6


@pytest.mark.parametrize("last_weight", [1.0, 0.75, 0.1])
def test_the_last_window_may_count_less(last_weight: float) -> None:
    few = np.random.default_rng(1).random((2, 3, 4)).astype(np.float32)
    exact = np.average(few.astype(np.float64), axis=1, weights=[1, 1, last_weight])
    np.testing.assert_allclose(mean_of_windows(torch.from_numpy(few), last_weight), exact, rtol=2 * ROUNDED)


def test_the_mean_of_one_window_is_that_window() -> None:
    one = torch.tensor([[[0.1, -0.0, 1e-45, -3e38]], [[1.0, 2.0, 3.0, 4.0]]])
    mean = mean_of_windows(one)
    assert mean.tolist() == one[:, 0].tolist()
    assert not bool(torch.signbit(mean[0, 1]))  # as in a mean of several
    mean.zero_()  # which is not memory of the windows
    assert bool(one.any())


@pytest.mark.parametrize("seconds", [7.0, 23.0])
def test_one_rule_everywhere(seconds: float, weights_folder: Path, here: Path) -> None:
    """Arrays, datasets and queries; and tags, whose scene embedding is the logits."""
    pq = pytest.importorskip("pyarrow.parquet")
    from hear_edgel3.dataset.dataset import Dataset
    from hear_edgel3.search.query import QueryEmbedder

    clip = signals.clip(seconds, 16000).astype(np.float32)
    soundfile.write("a.wav", clip, 16000, "FLOAT")
    model = hear_edgel3.load("sea_64", weights_folder)
    scene = model.scene_embeddings(clip[None])[0].numpy()
    each = model.timestamp_embeddings(clip[None], 250.0)[0][0]
    np.testing.assert_array_equal(scene, each.double().mean(dim=0).float())
    assert hear_edgel3.extract("a.wav", "out", "sea_64", weights=weights_folder, workers=1).all_well
    row = pq.read_table(next(Path("out").glob("part-*.parquet"))).to_pylist()[0]["embedding"]
    query = QueryEmbedder(Dataset("out").description, weights=weights_folder).of_file("a.wav")
    # Windows share groups with others here, whose sums are rounded in another order.
    np.testing.assert_allclose(row, scene, rtol=0, atol=2e-6 * float(np.abs(scene).max()))
    np.testing.assert_allclose(query, scene, rtol=0, atol=2e-6 * float(np.abs(scene).max()))
