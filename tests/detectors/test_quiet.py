"""``--quiet`` hides how far a detector is, and what is good to know; not that something asked for was not done."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hear_edgel3.cli import main
from support.detector_sounds import write_sounds

Run = Callable[..., str]


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Five sounds of each class, of which one at most is in a validation part."""
    return write_sounds(tmp_path / "few", groups=5, each=1)


@pytest.fixture
def said(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with ``--quiet``, and returns what it has said on stderr."""

    def run(command: str, data: Path, *words: str) -> str:
        output = ["--output", str(tmp_path / "d")] if command == "train" else []
        capsys.readouterr()
        assert main([command, "--data", str(data), "--cache", str(cache), "--quiet", *words, *output]) == 0
        return capsys.readouterr().err

    return run


def test_thresholds_that_cannot_be_fitted(few: Path, said: Run, tmp_path: Path) -> None:
    """And nothing but that; the card says it too."""
    error = said("train", few, "--threshold")
    warning = "classes without a threshold, for they have fewer than 3 sounds in the validation part: 'hiss', 'hum'"
    assert error.startswith(f"warning: {warning}")
    assert error.count("\n") == 1
    values = json.loads((tmp_path / "d" / "configuration.json").read_text())
    assert values["thresholds"] == [None] * 3
    assert warning in "".join(values["made"]["notes"])
    card = (tmp_path / "d" / "README.md").read_text()
    assert "No class has a threshold, for the validation part has too few sounds of each" in card
    assert "from its threshold on" not in card


def test_no_validation_part(few: Path, said: Run) -> None:
    """As in folds; of all of them it is said once."""
    warning = "warning: there is no validation part: probabilities are not calibrated, and there are no thresholds\n"
    assert said("train", few, "--threshold", "--validation", "0", "--test", "0.2") == warning
    assert said("evaluate", few, "--threshold", "--folds", "2") == warning


def test_numbers_have_no_thresholds(few: Path, said: Run, tmp_path: Path) -> None:
    with (tmp_path / "numbers.csv").open("w", newline="") as file:
        csv.writer(file).writerow(["file", "number"])
        csv.writer(file).writerows((path, i) for i, path in enumerate(sorted(few.rglob("*.wav"))))
    error = said("train", tmp_path / "numbers.csv", "--threshold")
    assert error == "warning: there are no thresholds: numbers are guessed, and not classes\n"


def test_what_was_not_asked_for_is_not_said(few: Path, said: Run) -> None:
    """Though its validation part is as small."""
    assert said("train", few) == ""


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_sounds_that_are_left_out(command: str, few: Path, said: Run) -> None:
    (few / "hum" / "recording 3" / "0.wav").write_bytes(b"RIFF")
    error = said(command, few, "--skip")
    assert error.startswith("warning: 1 of 15 sounds cannot be read, and are left out:\n- ")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_sounds_that_are_left_out_before_they_are_read(command: str, few: Path, said: Run, tmp_path: Path) -> None:
    """And once; a detector that is evaluated says so too."""
    (few / "hum" / "recording 3" / "0.wav").write_bytes(b"")
    warning = f"warning: left out: empty files: {few}/hum/recording 3/0.wav\n"
    assert said(command, few, "--skip") == warning
    if command == "train":
        assert said("evaluate", few, "--skip", "--config", str(tmp_path / "d")) == warning


def test_scores_that_are_too_good(few: Path, said: Run, tmp_path: Path) -> None:
    said("train", few, "--test", "0")
    few.rename(tmp_path / "the same")
    (tmp_path / "the same" / "hum" / "0.wav").write_bytes(
        (write_sounds(tmp_path / "new", groups=1, each=1, seed=7) / "hum" / "recording 0" / "0.wav").read_bytes()
    )
    error = said("evaluate", tmp_path / "the same", "--config", str(tmp_path / "d"), "--on-leak", "say")
    assert error.startswith("warning: ")
    assert error.endswith("SCORES ARE TOO GOOD\n")


def test_a_picture_that_is_not_written(few: Path, said: Run, tmp_path: Path) -> None:
    with (tmp_path / "several.csv").open("w", newline="") as file:
        csv.writer(file).writerow(["file", "labels"])
        csv.writer(file).writerows((path, f"{path.parts[-3]};all") for path in sorted(few.rglob("*.wav")))
    picture = tmp_path / "p.png"
    error = said("evaluate", tmp_path / "several.csv", "--confusion", str(picture))
    assert error == f"warning: {picture} was not written: there is no picture of targets that are several\n"
