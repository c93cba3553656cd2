"""Files that are exported once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.exporting.run import Exported
from support.detectors import write_detector


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The built-in net. Nobody changes it."""
    return hear_edgel3.export("tiny", tmp_path_factory.mktemp("exported") / "tiny.onnx")


@pytest.fixture(scope="session")
def sea_exported(tmp_path_factory: pytest.TempPathFactory, weights_folder: Path) -> Exported:
    """A net without classes, of windows of one length."""
    return hear_edgel3.export("sea_64", tmp_path_factory.mktemp("exported") / "sea.onnx", weights=weights_folder)


@pytest.fixture(scope="session")
def c_tiny(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The built-in net in C, proven. Nobody changes it."""
    return hear_edgel3.export("tiny", tmp_path_factory.mktemp("exported") / "tiny_c", to="c")


@pytest.fixture(scope="session")
def c_sea(tmp_path_factory: pytest.TempPathFactory, weights_folder: Path) -> Exported:
    """A net of the L3 family in C, proven. Nobody changes it."""
    folder = tmp_path_factory.mktemp("exported") / "sea_c"
    return hear_edgel3.export("sea_64", folder, to="c", weights=weights_folder)


@pytest.fixture(scope="session")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Path, Exported]]:
    """Makes a small folder of a kind with classes of one's own, of some targets, and its file."""

    @cache
    def made(kind: str, targets: str) -> tuple[Path, Exported]:
        folder = tmp_path_factory.mktemp("detector") / "net"
        scale = {} if targets == "numbers" else {"temperature": 1.7}
        write_detector(folder, kind, targets=targets, **scale)
        return folder, hear_edgel3.export(folder, folder.parent / "net.onnx")

    return made
