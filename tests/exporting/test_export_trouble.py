"""Exports that cannot be written, or would be written over."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from onnx import load, save

from hear_edgel3.cli import main
from hear_edgel3.exporting import folders, onnx
from hear_edgel3.exporting.folders import CARD, put_folder
from hear_edgel3.exporting.run import Exported
from support.detectors import write_detector


@pytest.mark.parametrize(("output", "report"), [("out.onnx", "./out.onnx"), (None, "mine.onnx"), ("link", "out.onnx")])
def test_the_report_is_another_file(output: str | None, report: str, here: Path, capsys) -> None:
    write_detector(here / "net")
    (here / "link").symlink_to("out.onnx")
    words = [] if output is None else ["--output", output]
    assert main(["export", "net", "--length", "0.1", "--report", report, *words]) == 2
    error = capsys.readouterr().err
    assert f"--report {str(Path(report))!r} is where the export itself goes" in error
    assert sorted(one.name for one in here.iterdir()) == ["link", "net"]


@pytest.mark.parametrize("words", [[], ["--quantize", "int8"]])
def test_no_space_for_what_is_temporary(words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_detector(here / "net")
    monkeypatch.setattr(onnx, "quantize" if words else "write", full)
    assert main(["export", "net", "--length", "0.1", "--output", "out.onnx", *words]) == 1
    error = capsys.readouterr().err
    assert "out.onnx was not written" in error
    assert "No space left on device" in error
    assert "TMPDIR" in error
    assert [one.name for one in here.iterdir()] == ["net"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_half_a_folder_is_none(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless there was one: what lies in that is not touched."""
    staged = tmp_path / "staged"
    staged.mkdir()
    for name in ("a.c", "b.c"):
        (staged / name).write_text("new")
    (staged / CARD).write_text(json.dumps({"target": "c"}))
    usual = folders.atomic_write

    def failing(path: Path) -> object:
        if path.name == "b.c":
            raise error
        return usual(path)

    monkeypatch.setattr(folders, "atomic_write", failing)
    with pytest.raises(type(error)):
        put_folder(staged, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(type(error)):
        put_folder(staged, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(type(error)):
        put_folder(staged, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_a_name_that_another_target_s_files_have(here: Path, capsys) -> None:
    write_detector(here / "net")
    for to, output in (("c", "x.onnx"), ("onnx", "x.XML"), ("openvino", "x.onnx")):
        assert main(["export", "net", "--to", to, "--output", output]) == 2
        error = capsys.readouterr().err
        assert f"{output!r} ends as files for {'openvino' if output == 'x.XML' else 'onnx'} do" in error
    assert [one.name for one in here.iterdir()] == ["net"]


@pytest.mark.parametrize("words", [["--check"], ["--quantize", "int8", "--calibrate"]])
def test_sounds_that_are_not_there_are_missed_before_the_work(
    words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write_detector(here / "net")
    (here / "empty").mkdir()
    monkeypatch.setattr(onnx, "write", lambda *_: pytest.fail("it has begun"))
    for folder in ("nowhere", "empty"):
        assert main(["export", "net", "--length", "0.1", *words, folder]) != 0
        assert folder in capsys.readouterr().err


def test_info_names_a_graph_that_is_damaged(tiny_file: Exported, tmp_path: Path, capfd) -> None:
    model = load(tiny_file.path)
    del model.graph.node[5]
    save(model, tmp_path / "damaged.onnx")
    assert main(["info", str(tmp_path / "damaged.onnx")]) != 0
    error = capfd.readouterr().err
    assert "damaged.onnx is damaged: ONNX Runtime cannot run what is in it" in error
    assert "Traceback" not in error


def test_files_that_are_no_exports(here: Path, capsys) -> None:
    (here / "notes.txt").write_text("hello")
    assert main(["info", "notes.txt"]) == 1
    error = capsys.readouterr().err
    assert "notes.txt is a file, but none that `hear-edgel3 export` writes" in error
    assert ".onnx, .xml, .tflite, .pte" in error


@pytest.mark.parametrize("option", ["--check", "--calibrate"])
def test_sounds_that_are_not_there(option: str, here: Path, capsys) -> None:
    words = ["export", "tiny", "--quantize", "int8", option, "nowhere"]
    assert main(words) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    (here / "nowhere").mkdir()
    assert main(words) == 1
    assert "the folder nowhere has no audio files" in capsys.readouterr().err
    assert [one.name for one in here.iterdir()] == ["nowhere"]
