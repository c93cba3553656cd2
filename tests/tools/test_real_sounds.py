"""The benchmark on real recordings: its figures, what it says of doubts, and the section of the card."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

from hear_edgel3.errors import InvalidAudio
from support.paths import PACKAGE
from support.tag_command import write_loud_clip
from support.types import Captured
from tests.benchmarks import real_sounds
from tests.benchmarks.real_sounds import Recording, compare, doubt, doubts_table, heard, kind_of, section


def table(rows: list[list[float]]) -> torch.Tensor:
    """Probabilities of six classes, of which three are never heard."""
    return torch.tensor([[*row, 1e-3, 1e-4, 1e-5] for row in rows], dtype=torch.float64)


WANTED = table([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.2, 0.6], [0.3, 0.2, 0.1]])
FOUND = table([[0.8, 0.1, 0.0], [0.25, 0.2, 0.1], [0.1, 0.2, 0.28], [0.1, 0.4, 0.2]])
LABELS = ["Dog", "Cat", "Rain", "Car", "Bell", "Sea"]


def test_figures() -> None:
    scores = compare(WANTED, FOUND)
    assert scores["top"] == 0.5
    assert compare(WANTED, WANTED) == pytest.approx({"top": 1, "in five": 1, "cosine": 1, "KL": 0})
    assert scores["KL"] > 0


def test_doubts() -> None:
    """Of the two below 0.3 one is wrong, and so is one of the others."""
    assert doubt(WANTED, FOUND, 0.3) == (0.5, 0.5, 0.5)
    assert doubt(WANTED, FOUND, 0.5) == (0.75, pytest.approx(2 / 3), 0.0)
    share, wrong, right = doubt(WANTED, FOUND, 0.1)
    assert (share, right) == (0.0, 0.5)
    assert math.isnan(wrong)
    lines = doubts_table(WANTED, FOUND).splitlines()
    assert "| 0.1 | 0 % | - | 50 % |" in lines
    assert "| **0.3** | **50 %** | **50 %** | **50 %** |" in lines  # what `tag` goes by


def test_the_section_of_a_card() -> None:
    sounds = [Recording(f"{name}.flac", name.split("_")[0], torch.zeros(9), 9) for name in ("a_1", "a_2", "b_1", "b_2")]
    text = section("large", sounds, WANTED, FOUND, LABELS)
    assert "4 recordings" in text
    assert "| a | 2 | 0.50 | 1.00 |" in text
    assert "| all | 4 | 0.50 | 1.00 |" in text
    assert "less than 0.3 (50 % of them), the teacher's is another in 50 %; else in 50 %." in text
    right, wrong = text.split("Wrong, of what it was surest of:")
    assert right.endswith(
        "surest of:\n\n- `a_1.flac`: Dog (0.80); the teacher: Dog (0.90)\n"
        "- `b_1.flac`: Rain (0.28); the teacher: Rain (0.60)\n\n"
    )
    assert wrong.startswith("\n\n- `b_2.flac`: Cat (0.40); the teacher: Dog (0.30)\n- `a_2.flac`: Dog (0.25)")


def test_kinds() -> None:
    assert kind_of("sounds/birds/wood/a_b.wav", ["noises", "sounds"]) == "birds"
    assert kind_of("sounds/rain_heavy.wav", ["sounds"]) == "rain"
    assert kind_of("sounds/clock.wav", ["sounds"]) == "others"
    assert kind_of("sounds/rain_heavy.wav", ["sounds/rain_heavy.wav"]) == "rain"


def test_recordings(tmp_path: Path) -> None:
    """Their first ten seconds, at most so many of each kind; too short ones do not count."""
    for i in range(5):
        write_loud_clip(tmp_path / "all" / "long" / f"{i}.wav", 11.0 if i == 0 else 1.0, rate=8000)
    write_loud_clip(tmp_path / "all" / "short" / "a.wav", 0.2, rate=8000)
    found = heard([str(tmp_path / "all")], at_most=2)
    assert [(sound.name, sound.kind) for sound in found] == [("0.wav", "long"), ("2.wav", "long")]
    assert len(found[0].samples) == 80000
    assert len(heard([str(tmp_path / "all")])) == 5
    with pytest.raises(InvalidAudio, match=r"there is no recording of 0\.3 s or more"):
        heard([str(tmp_path / "all" / "short")])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """A net beside itself is never wrong."""
    write_loud_clip(tmp_path / "all" / "a_1.wav")
    net = str(PACKAGE / "checkpoints" / "tiny")
    file = tmp_path / "section.md"
    arguments = [net, net, "--audio", str(tmp_path / "all"), "--each", "--unsure", "--card", str(file)]
    monkeypatch.setattr(sys, "argv", ["real_sounds", *arguments])
    real_sounds.main()
    assert "| tiny | 1.000 | 1.000 | 1.000 | 0.000 |" in capsys.readouterr().out
    assert "the teacher: " in file.read_text()
