"""What is there, but out of reach: errors say why, and not that it does not exist, or that a folder is empty."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.errors import DatasetError
from support.types import Captured

pytestmark = pytest.mark.usefixtures("here")
COMMANDS = [
    "tag out/x.wav",
    "embed out/x.wav -o e",
    "extract out/x.wav -o e",
    "events out/x.wav",
    "distill --teacher tiny --audio out/x.wav --output e",
    "train --data out/x --output e",
    "evaluate --data out/x",
    "info out/x",
    "weights verify tiny --reference out/x",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_behind_links_that_lead_in_a_circle(command: str, capsys: Captured) -> None:
    os.symlink("out", "out")
    assert main(command.split()) in (1, 2)
    assert "Too many levels of symbolic links" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may look into every folder")
@pytest.mark.parametrize("command", [*COMMANDS, "explore out/x"])
def test_in_folders_without_permission(command: str, capsys: Captured) -> None:
    Path("out/x").mkdir(parents=True)
    Path("out").chmod(0)
    try:
        assert main(command.split()) in (1, 2)
    finally:
        Path("out").chmod(0o755)
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["explore out", "index out", "duplicates out", "search out x.wav"])
def test_datasets_that_may_not_be_listed(command: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    Path("out").mkdir()
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refused)
    assert main(command.split()) == 1
    assert capsys.readouterr().err.endswith("out cannot be opened: Permission denied\n")
    with pytest.raises(DatasetError, match="out cannot be opened: Permission denied"):
        Dataset("out")
