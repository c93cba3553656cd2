"""What edgel3 0.2.1 computes, without any code of this package; and silence."""

from __future__ import annotations

import numpy as np

from support import oracle, resampy022, synthetic

ZEROS = np.zeros(12000)


def by_the_oracle(clip: np.ndarray, rate: int, hop: float = 0.1, center: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """What edgel3 computes with the seeded SEA-64, in float64 and without any code of this package."""
    samples = clip if clip.ndim == 1 else clip.mean(axis=1)
    samples = samples if rate == 8000 else resampy022.resample(samples, rate, 8000)
    frames, times = oracle.get_frames(samples, 8000, center, hop)
    return oracle.forward(synthetic.oracle_weights("sea_64"), frames), times
