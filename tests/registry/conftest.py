"""Small folders with seeded weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.folders import make_folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the MobileNetV3 family. Nobody changes it."""
    return make_folder(tmp_path_factory.mktemp("folders") / "small")


@pytest.fixture(scope="session")
def small_l3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the L3 family. Nobody changes it."""
    return make_folder(tmp_path_factory.mktemp("folders") / "l3", "l3")


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    """One to damage."""
    return shutil.copytree(small, tmp_path / "copy")


@pytest.fixture
def copied_l3(small_l3: Path, tmp_path: Path) -> Path:
    """One to damage."""
    return shutil.copytree(small_l3, tmp_path / "copy_l3")
