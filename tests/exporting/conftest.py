"""Files that were exported once for all tests of a module."""

from __future__ import annotations

from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.exporting.run import Exported


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The built-in net. Nobody changes it."""
    return hear_edgel3.export("tiny", tmp_path_factory.mktemp("exported") / "tiny.onnx")


@pytest.fixture(scope="session")
def sea_exported(tmp_path_factory: pytest.TempPathFactory, weights_folder: Path) -> Exported:
    """A net without classes, of windows of one length."""
    return hear_edgel3.export("sea_64", tmp_path_factory.mktemp("exported") / "sea.onnx", weights=weights_folder)
