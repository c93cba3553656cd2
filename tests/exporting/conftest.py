"""Files that are exported once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from hear_edgel3 import load
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.exporting.targets import target_of
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from support.detectors import write_detector, write_net

Export = Callable[[str | Path, str], Exported]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, weights_folder: Path) -> Export:
    """`exported(name, to)`: what a net, or a folder, is for a target, made once and proven. Nobody changes it.

    Of L3 nets it is the net alone where the engine has no float64, which their front end needs.
    """

    @cache
    def made(name: str | Path, to: str) -> Exported:
        target = target_of(to)
        output = tmp_path_factory.mktemp("exported") / f"{Path(name).name}{target.SUFFIX}"
        part = "net" if name == "sea_64" and not target.FLOAT64 else "whole"
        weights = weights_folder if name == "sea_64" else None
        return export(name, output, to=to, part=part, weights=weights)

    return made


@pytest.fixture(scope="session")
def tiny_file(exported: Export) -> Exported:
    """The built-in net. Nobody changes it."""
    return exported("tiny", "onnx")


@pytest.fixture(scope="session")
def sea_exported(exported: Export) -> Exported:
    """A net without classes, of windows of one length."""
    return exported("sea_64", "onnx")


@pytest.fixture(scope="session")
def c_tiny(exported: Export) -> Exported:
    """The built-in net in C, proven. Nobody changes it."""
    return exported("tiny", "c")


@pytest.fixture(scope="session")
def c_sea(exported: Export) -> Exported:
    """A net of the L3 family in C, proven. Nobody changes it."""
    return exported("sea_64", "c")


@pytest.fixture(scope="session")
def c_dymn(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A small net of the DyMN family in C, proven. Nobody changes it."""
    return exported(write_net(tmp_path_factory.mktemp("dymn") / "net"), "c")


@pytest.fixture(scope="session")
def c_dymn_int8(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Another one with weights in eight bits, proven. Nobody changes it."""
    place = tmp_path_factory.mktemp("dymn_int8")
    return export(write_net(place / "net", words="b5_15_clf1", gain=2.0), place / "c", to="c", quantize="int8")


@pytest.fixture(scope="session")
def c_ssondo(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A small DyMN with S-SONDO's front end in C, proven. Nobody changes it."""
    place = tmp_path_factory.mktemp("ssondo")
    extractor = load(write_net(place / "net", n_mels=128), engine="torch")
    extractor.frontend = SsondoMelSpectrogram()
    return export(extractor, place / "c", to="c")


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Makes a small folder of a kind with classes of one's own, of some targets."""

    @cache
    def made(kind: str, targets: str) -> Path:
        scale = {} if targets == "numbers" else {"temperature": 1.7}
        return write_detector(tmp_path_factory.mktemp("detector") / "net", kind, targets=targets, **scale)

    return made


@pytest.fixture(scope="session")
def detector_file(
    detector_folder: Callable[[str, str], Path], exported: Export
) -> Callable[[str, str], tuple[Path, Exported]]:
    """Such a folder, and its ONNX file."""

    def made(kind: str, targets: str) -> tuple[Path, Exported]:
        folder = detector_folder(kind, targets)
        return folder, exported(folder, "onnx")

    return made
