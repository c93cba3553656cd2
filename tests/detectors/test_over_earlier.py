"""A detector over an earlier one: all of its files are replaced, or none."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.detectors import run
from hear_edgel3.disk import atomic
from hear_edgel3.errors import OutputError


@pytest.fixture(scope="module")
def earlier(sounds: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what a training that can go on leaves beside it."""
    output = hear_edgel3.train(sounds, tmp_path_factory.mktemp("earlier") / "mine", cache=cache, command="old")
    for name in ("training.pt", "metrics.csv"):
        (output / name).write_text("to go on from")
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["sync", "become"])
def test_half_a_detector_is_none(
    error: BaseException,
    step: str,
    earlier: Path,
    sounds: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, calls = shutil.copytree(earlier, tmp_path / "out"), iter(range(100))
    owner: Any
    owner, name = (atomic, "become") if step == "become" else (os, "fsync")
    usual = getattr(owner, name)

    def failing(*given: object) -> None:
        if next(calls) == 4:
            raise error
        usual(*given)

    monkeypatch.setattr(owner, name, failing)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        hear_edgel3.train(sounds, output, cache=cache, command="new")
    monkeypatch.undo()
    before = contents(earlier)
    assert contents(output) == before
    hear_edgel3.train(sounds, output, cache=cache, command="new")
    after = contents(output)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"README.md", "configuration.json"}


def test_an_earlier_picture_goes(
    earlier: Path, sounds: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none can be drawn, it would be of other confusions."""
    output = shutil.copytree(earlier, tmp_path / "out")
    monkeypatch.setattr(run, "draw_confusion", lambda *_: None)
    hear_edgel3.train(sounds, output, cache=cache)
    assert contents(earlier).keys() - contents(output).keys() == {"confusion.png"}
