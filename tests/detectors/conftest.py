from __future__ import annotations

from pathlib import Path

import pytest

from support.detector_sounds import write_sounds


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twelve sounds, of six recordings each."""
    return write_sounds(tmp_path_factory.mktemp("labelled") / "sounds")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings that tests share."""
    return tmp_path_factory.mktemp("embeddings")
