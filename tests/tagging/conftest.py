"""Taggers, and a sound for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.tagging import RATE


@pytest.fixture(scope="session")
def sound() -> np.ndarray:
    """Five seconds, each unlike the others."""
    return np.concatenate([signals.clip(1.0, RATE, seed=0), *signals.windows(RATE)[[3, 0, 5, 2]]])


@pytest.fixture(scope="module")
def tagger(tagging_folder: Path) -> Tagger:
    return Tagger("mn01_as", tagging_folder)


@pytest.fixture(scope="module")
def tiny_tagger() -> Tagger:
    """The built-in net's."""
    return Tagger("tiny")
