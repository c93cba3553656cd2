"""Classes in pictures whose names the font cannot write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from hear_edgel3.cli import main
from hear_edgel3.scores import draw_confusion
from hear_edgel3.scores.names_drawn import EXPLAINED, by_number, drawn_names
from support.detector_sounds import LABELS, write_sounds

CLASSES = ("鳥", "dog", "새 (bird)", "Straße, naïve", "犬 $x$", "птица")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Those that are drawn; a warning while they are is an error, as everywhere in tests."""
    kept: list[Figure] = []
    usual = Figure.savefig

    def savefig(self: Figure, *given: Any, **options: Any) -> None:
        kept.append(self)
        usual(self, *given, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


def test_by_number_where_there_are_no_glyphs() -> None:
    numbers = by_number(CLASSES)
    assert numbers == {1: "鳥", 3: "새 (bird)", 5: "犬 $x$"}
    assert drawn_names(CLASSES, numbers) == ["#1", "dog", "#3", "Straße, naïve", "#5", "птица"]
    assert drawn_names(["a $x$"], by_number(["a $x$"])) == [r"a \$x\$"]


def test_the_fonts_are_those_that_are_set() -> None:
    """The second one of which has glyphs that the first lacks; and none of them, or one that is nowhere."""
    with matplotlib.rc_context({"font.family": ["STIXGeneral", "DejaVu Sans"]}):
        assert by_number(["ↀ", "a", "ꝏ", "鳥"]) == {4: "鳥"}
    with matplotlib.rc_context({"font.family": ["STIXGeneral"]}):
        assert by_number(["a", "ꝏ"]) == {2: "ꝏ"}
    with matplotlib.rc_context({"font.family": ["no such font"]}):
        assert by_number(["a", "ꝏ", "鳥"]) == {3: "鳥"}


@pytest.mark.parametrize("columns", [6, 7])
def test_confusions(columns: int, figures: list[Figure]) -> None:
    picture = draw_confusion(np.eye(6, columns, dtype=int), CLASSES)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    axes = figures[0].axes[0]
    names = ["#1", "dog", "#3", "Straße, naïve", "#5", "птица"]
    assert [one.get_text() for one in axes.get_yticklabels()] == names
    assert [one.get_text() for one in axes.get_xticklabels()] == [*names, "(none)"][:columns]
    assert axes.get_title() == EXPLAINED
    draw_confusion(np.eye(2, dtype=int), ["a", "b"])
    assert figures[1].axes[0].get_title() == ""


@pytest.mark.parametrize("n_classes", [2, 20])
@pytest.mark.parametrize("letter", ["i", "W"])
def test_long_names_leave_room(n_classes: int, letter: str, figures: list[Figure]) -> None:
    """A name in a table may be a whole sentence. Where matplotlib finds no room it warns, and draws no squares."""
    names = [letter * 300 + f"{i:02d}" for i in range(n_classes)]
    assert draw_confusion(np.eye(n_classes, dtype=int), names) is not None
    axes = figures[0].axes[0]
    drawn = [one.get_text() for one in axes.get_yticklabels()]
    assert len(set(drawn)) == n_classes
    assert all(len(name) < 50 for name in drawn)
    assert min(axes.get_window_extent().bounds[2:]) > 20 * n_classes
    assert draw_confusion(np.eye(2, dtype=int), ["a" * 40, "b" * 40]) is not None
    assert [one.get_text() for one in figures[1].axes[0].get_yticklabels()] == ["a" * 40, "b" * 40]


def test_a_training(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sounds = write_sounds(tmp_path / "sounds", groups=5, each=1)
    for label, name in zip(LABELS, ("カチカチ", "鳥", "knock"), strict=True):
        (sounds / label).rename(sounds / name)
    words = ["--data", str(sounds), "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "d")]
    assert main(["train", *words, "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    card = (tmp_path / "d" / "README.md").read_text(encoding="utf-8")
    assert "In the picture #2 is カチカチ, #3 is 鳥: its font has no glyphs for these names." in card
    # The numbers are those of the rows.
    rows = (tmp_path / "d" / "confusion.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["true", "knock", "カチカチ", "鳥"]
