"""Small labelled sounds that can be told apart by ear, for detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
LABELS = ("hiss", "hum", "knock")


def sound(label: str, rng: np.random.Generator, seconds: float = 0.5) -> np.ndarray:
    """Samples of a sound of a class, a little different each time."""
    t = np.arange(int(seconds * RATE)) / RATE
    noise = rng.standard_normal(len(t))
    made = {
        "hum": 0.3 * np.sin(2 * np.pi * rng.uniform(100, 300) * t),
        "hiss": 0.1 * noise,
        "knock": 0.5 * np.exp(-40 * t) * noise,
        "beep": 0.3 * np.sin(2 * np.pi * rng.uniform(2000, 3000) * t),
    }[label]
    return np.asarray(made + 0.003 * rng.standard_normal(len(t)))


def write_sounds(folder: Path, labels: Sequence[str] = LABELS, groups: int = 6, each: int = 2, seed: int = 0) -> Path:
    """A folder per class, with a folder per recording, with sounds."""
    rng = np.random.default_rng(seed)
    for label in labels:
        for group in range(groups):
            for i in range(each):
                path = folder / label / f"recording {group}" / f"{i}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, sound(label, rng), RATE)
    return folder
