"""Sounds of one's own that a file is checked with, or calibrated on: never more than fit into memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.exporting import clips
from hear_edgel3.exporting.clips import own_clips
from hear_edgel3.exporting.proof import OutputProof
from support.detectors import write_detector

_RATE = 8000


def folder_of(folder: Path, n: int, seconds: float = 12.0) -> Path:
    """Files whose samples all have a value of their own: 1/1000 of their number, from 1."""
    folder.mkdir()
    for i in range(n):
        soundfile.write(folder / f"{i:03}.wav", np.full(int(seconds * _RATE), (i + 1) / 1000), _RATE, "FLOAT")
    return folder


@pytest.mark.parametrize(
    ("n", "window_s", "expected", "said"),
    [
        (3, 1.0, [(0, 10), (1, 10), (2, 10)], None),
        (4, 1.0, [(i, 7) for i in range(4)], "of each of the 4 files the first 7 s"),
        (30, 1.0, [(i, 1) for i in range(30)], "of each of the 30 files the first 1 s"),
        (
            45,
            1.0,
            [(i * 45 // 30, 1) for i in range(30)],
            "of 30 of the 45 files, spread evenly over them, the first 1",
        ),
        (5, 10.0, [(0, 1), (1, 1), (3, 1)], "of 3 of the 5 files, spread evenly over them, the first 10 s; the others"),
        (2, 60.0, [(0, 1)], "of 1 of the 2 files"),
        (2, 0.01, [(0, 50), (1, 50)], "of each of the 2 files the first 0.5 s"),
    ],
)
def test_no_more_than_fit(
    n: int,
    window_s: float,
    expected: list[tuple[int, int]],
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In windows of each file; here of half a minute, or a hundred windows, in all."""
    monkeypatch.setattr(clips, "_MOST_S", 30)
    monkeypatch.setattr(clips, "_MOST_WINDOWS", 100)
    n_samples = int(window_s * _RATE)
    found = own_clips(str(folder_of(tmp_path / "own", n)), _RATE, n_samples)
    numbers = [round(1000 * float(one.samples[0])) - 1 for one in found.clips]
    assert [(number, numbers.count(number)) for number in dict.fromkeys(numbers)] == expected
    assert {one.samples.shape for one in found.clips} == {(n_samples,)}
    assert found.note is None if said is None else said in str(found.note)


def test_files_that_are_not_taken_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "_MOST_S", 2)
    own = folder_of(tmp_path / "own", 4, 1.0)
    (own / "001.wav").write_bytes(b"RIFF")
    assert len(own_clips(str(own), _RATE, _RATE).clips) == 2


@pytest.mark.parametrize("words", [["--check"], ["--quantize", "int8", "--calibrate"]])
@pytest.mark.parametrize("fails", [False, True])
def test_the_command_says_so(
    words: list[str], fails: bool, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clips, "_MOST_S", 2)
    write_detector(here / "net")
    folder_of(here / "own", 3, 1.0)
    if fails:
        monkeypatch.setattr(OutputProof, "passed", property(lambda _: False))
    assert main(["export", "net", "--length", "1", "--report", "r.json", "--quiet", *words, "own"]) == int(fails)
    error = capsys.readouterr().err
    assert "warning: own: no more than" in error
    assert "of 2 of the 3 files, spread evenly over them, the first 1 s; the others were not read\n" in error
    assert json.loads(Path("r.json").read_text())["notes"][0] in error
