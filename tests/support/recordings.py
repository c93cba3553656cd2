"""Recordings for the benchmark of quality."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tests.benchmarks.quality.clips import Clips, Recording, read_clips, stratified

needs_sklearn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed (the extra quality)"
)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n).astype(np.float32) * 0.1


def recording(name: str, label: str, group: str, samples: np.ndarray, rate: int = 8000) -> Recording:
    return Recording(name, label, group, lambda: (samples, rate))


def some_clips(n_groups: int = 6) -> Clips:
    recordings = [
        recording(f"{label} #{group} {take}", label, f"{label} {group}", noise(8000, 100 * group + take + 10 * number))
        for number, label in enumerate("abc")
        for group in range(n_groups)
        for take in range(2)
    ]
    return read_clips(recordings, stratified(3))
