"""The reference wrapper of the MobileNetV3 family, and clips for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hear_edgel3
from hear_edgel3.extractor.extractor import Extractor
from support import mobilenetv3_reference as reference
from support import signals
from support.mobilenetv3_words import DEFAULT
from support.write_weights import MOBILENETV3

HOPS = {"mn01_as": 320, "mn04_as": 320, "mn10_as_hop_15": 480}


# Against float64, of an embedding's peak: 1.4e-5 was observed.
TOLERANCE = 4e-5
# Between two ways to the same float32 numbers, of the peak, where sums may be taken in another order.
SAME = 5e-6


def noise_clips(n_samples: int, n_clips: int = 2, rate: int = 32000, seed: int = 0) -> np.ndarray:
    """(n_clips, n_samples) float32 on 16-bit steps."""
    x = signals.clip(n_samples / rate, rate, 16, seed)[:, :n_clips]
    return np.ascontiguousarray(x.T.astype(np.float32))


def embedder(name: str, names: Sequence[str] = DEFAULT, pooling: str = "avg_ch") -> reference.Embed:
    spec = MOBILENETV3[name]
    return reference.embedder(spec, reference.seeded_state(spec), names, HOPS[name], pooling)


def assert_same(found: Any, expected: Any, tolerance: float = SAME) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    peak = float(np.abs(expected).max()) if expected.size else 0.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * peak)


def some(count: int) -> list[int]:
    """A few windows: those that see a reflection, and some between them."""
    return sorted({0, 1, 2, 3, count // 3, count // 2 + 1, count - 4, count - 3, count - 2, count - 1})


def some_or_all(count: int) -> list[int]:
    return some(count) if count > 10 else list(range(count))


_CACHE: dict[tuple[str, int], Extractor] = {}


def cached(name: str, rate: int, folder: Path) -> Extractor:
    """Loaded once for all the examples of a property."""
    if (name, rate) not in _CACHE:
        _CACHE[name, rate] = hear_edgel3.load(name, folder, sample_rate=rate)
    return _CACHE[name, rate]
