"""A short clip, and the built-in model."""

from __future__ import annotations

import pytest
import torch

import hear_edgel3
from hear_edgel3.extractor.extractor import Extractor
from support import signals


@pytest.fixture(scope="session")
def audio() -> torch.Tensor:
    return torch.from_numpy(signals.clip(0.7, 16000))[None]


@pytest.fixture(scope="module")
def tiny() -> Extractor:
    return hear_edgel3.load()
