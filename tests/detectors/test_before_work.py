"""What is wrong with labels is said before sounds are embedded, and a training without a test says so."""

from __future__ import annotations

from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption, LabelsError
from support.detectors import write_detector


@pytest.mark.parametrize(
    ("label", "split", "said"),
    [("b\nc", "auto", "no name that can be shown"), ("b", "groups", "'x', only"), ("b", "given", "states no split")],
)
def test_nothing_is_computed(tmp_path: Path, label: str, split: str, said: str) -> None:
    for name in "ab":
        (tmp_path / f"{name}.wav").write_text("no sound")
    table = tmp_path / "t.csv"
    table.write_text(f'file,label,group\na.wav,a,x\nb.wav,"{label}",x\n')
    with pytest.raises(LabelsError, match=said):
        hear_edgel3.train(table, tmp_path / "out", cache=tmp_path / "cache", split=split)
    assert not (tmp_path / "cache").exists()
    if split != "auto":
        with pytest.raises(LabelsError, match=said):
            hear_edgel3.evaluate(table, cache=tmp_path / "cache", split=split)
        assert not (tmp_path / "cache").exists()


def test_confusions_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the work, which may take hours; and the table of labels, named again by mistake, is not replaced."""
    (tmp_path / "a.wav").write_text("no sound")
    table = tmp_path / "t.csv"
    table.write_text("file,label\na.wav,a\n")
    (tmp_path / "link.csv").symlink_to(table)
    for name, said in (
        ("t.csv", "it is what is read"),
        ("link.csv", "it is what is read"),
        ("nowhere/c.csv", "nowhere does not exist"),
    ):
        words = ["--data", str(table), "--cache", str(tmp_path / "cache"), "--confusion", str(tmp_path / name)]
        assert main(["evaluate", *words]) == 1
        assert f"cannot write {tmp_path / name}" in (error := capsys.readouterr().err)
        assert said in error
    assert table.read_text() == "file,label\na.wav,a\n"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("options", [{"head": "own"}, {"head": "own", "fine_tune": True}, {"recipe": "esc50"}])
@pytest.mark.parametrize("kind", ["small", "own"])
def test_the_classifier_of_a_detector_keeps_its_classes(tmp_path: Path, options: dict, kind: str) -> None:
    """Be it a head or the net's own."""
    folder = write_detector(tmp_path / "net", kind, name="mine")
    (tmp_path / "a.wav").write_text("no sound")
    (tmp_path / "t.csv").write_text("file,label\na.wav,a\n")
    with pytest.raises(InvalidOption, match="mine is a detector, and its classifier keeps its classes: use the head"):
        hear_edgel3.train(tmp_path / "t.csv", tmp_path / "out", folder, cache=tmp_path / "cache", **options)
    assert not (tmp_path / "cache").exists()
