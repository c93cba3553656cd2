"""A folder of recordings with its results is moved, or its disk is called otherwise elsewhere: jobs go on there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.disk.paths import folder_of_names

COMMANDS = {
    "e.csv": ["events", "rec", "--output", "e.csv", "--classes", "Sine wave", "--workers", "1"],
    "t.csv": ["tag", "rec", "--output", "t.csv", "--top", "1"],
    "d": ["extract", "rec", "--output", "d", "--workers", "1"],
}


def record(name: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(name, 0.4 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000), 16000)


def files(output: str) -> list[str]:
    """What rows are of."""
    if Path(output).is_dir():
        return sorted(pq.read_table(output, columns=["file"])["file"].to_pylist())
    return sorted(line.split(",")[0] for line in Path(output).read_text().splitlines()[1:])


@pytest.mark.parametrize("output", COMMANDS)
def test_nothing_counts_twice(output: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record("old/rec/a.wav")
    monkeypatch.chdir("old")
    assert main(COMMANDS[output]) == 0
    monkeypatch.chdir(here)
    Path("old").rename("new")
    monkeypatch.chdir("new")
    record("rec/b.wav")
    for _ in range(2):
        assert main(COMMANDS[output]) == 0
        assert files(output) == ["rec/a.wav", "rec/b.wav"]


def test_what_was_not_moved_keeps_its_names(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("begun", "other"):
        Path(name).mkdir()
    begun, gone, other = str(here / "begun"), str(here / "gone"), str(here / "other")
    monkeypatch.chdir("other")
    assert folder_of_names(begun, other, "e.csv") == begun  # it is there still
    assert folder_of_names(gone, other, "e.csv") == other
    assert folder_of_names(gone, other, "deeper/e.csv") == other
    assert folder_of_names(gone, other, "../e.csv") == gone  # the output was not in a folder that was moved
    assert folder_of_names(gone, other, str(here / "begun" / "e.csv")) == gone
    assert folder_of_names(other, other, "e.csv") == other
