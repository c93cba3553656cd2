"""What EfficientAT's training functions gave, run with seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def published(shared: Path) -> dict[str, Any]:
    """Arrays by name; the README beside them says what each is."""
    path = shared / "reference" / "training" / "training_reference.npz"
    if not path.is_file():
        pytest.skip(f"the outputs of EfficientAT's training programs are not at {path}")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def published_clip(shared: Path) -> np.ndarray:
    """(n_samples,) float32: the clip that EfficientAT's front end was given in train mode."""
    path = shared / "reference" / "training" / "clip_c05.npy"
    if not path.is_file():
        pytest.skip(f"the clip of the outputs of EfficientAT's front end is not at {path}")
    return np.load(path).astype(np.float32) / 32768
