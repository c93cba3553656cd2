"""Models of the drop-in, and a clip for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hear_edgel3 import edgel3
from hear_edgel3.extractor.extractor import Extractor
from support import signals


@pytest.fixture(scope="session")
def sea(weights_folder: Path) -> Extractor:
    return edgel3.models.load_embedding_model("sea", 64, weights=weights_folder)


@pytest.fixture(scope="session")
def sparse(weights_folder: Path) -> Extractor:
    return edgel3.models.load_embedding_model(weights=weights_folder)


@pytest.fixture(scope="session")
def noise() -> np.ndarray:
    return signals.clip(1.5, 8000)


@pytest.fixture(scope="session")
def reference(sea: Extractor, noise: np.ndarray) -> np.ndarray:
    """Embedding of ``noise`` every half second."""
    return edgel3.get_embedding(noise, 8000, sea, hop_size=0.5)[0]
