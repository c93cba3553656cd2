"""Exports that cannot be written, or would be written over."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import soundfile
from onnx import load, save

from hear_edgel3.cli import main
from hear_edgel3.disk import atomic
from hear_edgel3.errors import OutputError
from hear_edgel3.exporting import folders, onnx
from hear_edgel3.exporting.card import WHOLE
from hear_edgel3.exporting.folders import CARD, put_folder
from hear_edgel3.exporting.run import Exported, default_path
from hear_edgel3.registry.names import resolve, with_features
from support import signals
from support.detectors import write_detector
from support.processes import python


@pytest.mark.parametrize(("output", "report"), [("out.onnx", "./out.onnx"), (None, "mine.onnx"), ("link", "out.onnx")])
def test_the_report_is_another_file(output: str | None, report: str, here: Path, capsys) -> None:
    write_detector(here / "net")
    (here / "link").symlink_to("out.onnx")
    words = [] if output is None else ["--output", output]
    assert main(["export", "net", "--length", "0.1", "--report", report, *words]) == 2
    error = capsys.readouterr().err
    assert f"--report {str(Path(report))!r} is where the export itself goes" in error
    assert sorted(one.name for one in here.iterdir()) == ["link", "net"]


def test_the_report_is_in_no_folder_that_is_replaced(here: Path, capsys) -> None:
    """Where it could be written over the card."""
    write_detector(here / "net")
    staged_folder(here / "mine_c", "old", "mine.c")
    for words in (["--output", "mine_c"], []):
        assert main(["export", "net", "--to", "c", "--report", f"mine_c/{CARD}", *words]) == 2
        assert "is in the folder that the export itself writes" in capsys.readouterr().err
    assert '"old"' in (here / "mine_c" / CARD).read_text()


@pytest.mark.parametrize("name", ["configuration.json", "model.safetensors"])
def test_an_export_takes_no_place_of_its_net(name: str, here: Path, capsys) -> None:
    write_detector(here / "net")
    before = {one.name: one.read_bytes() for one in (here / "net").iterdir()}
    assert name in before
    (here / "link").symlink_to(f"net/{name}")
    for words in (["--output", f"net/{name}"], ["--output", "link"], ["--report", f"net/{name}"]):
        assert main(["export", "net", "--length", "0.1", *words]) == 1
        assert f"cannot write {words[1]}: it is what is read" in capsys.readouterr().err
    weights = Path("net/model.safetensors")
    assert main(["export", "tiny", "--weights", str(weights), "--output", "./net/../net/model.safetensors"]) == 1
    assert {one.name: one.read_bytes() for one in (here / "net").iterdir()} == before
    assert sorted(one.name for one in here.iterdir()) == ["link", "net"]


def test_an_export_takes_no_place_of_sounds_that_it_is_checked_with(here: Path, capsys) -> None:
    write_detector(here / "net")
    for path in (here / "sounds" / "a.wav", here / "sounds" / "inner" / "b.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, signals.clip(0.2, 16000), 16000)
    (here / "list.txt").write_text("sounds/a.wav\n")
    before = {one: one.read_bytes() for one in here.rglob("*") if one.is_file()}
    for words in (
        ["--check", "sounds", "--report", "sounds/a.wav"],
        ["--check", "sounds", "--output", "sounds/inner/b.wav"],
        ["--calibrate", "sounds", "--quantize", "int8", "--report", "sounds/inner/b.wav"],
        ["--check", "list.txt", "--report", "list.txt"],
        ["--check", "list.txt", "--output", "sounds/a.wav"],
    ):
        assert main(["export", "net", "--length", "0.1", *words]) == 1
        assert f"cannot write {words[-1]}: it is what is read" in capsys.readouterr().err
    assert {one: one.read_bytes() for one in here.rglob("*") if one.is_file()} == before


def test_folders_that_are_called_alike_inside_have_files_of_their_own(here: Path) -> None:
    """Those that were made without a name; others are called as they are."""
    for name in ("one", "two"):
        write_detector(here / name, name="custom")
        assert main(["export", name, "--length", "0.1", "-q"]) == 0
    assert main(["export", "./one/", "--length", "0.1", "--no-frontend", "-q"]) == 0
    files = {"one.onnx", "one_net.onnx", "two.onnx"}
    assert files == {one.name for one in here.iterdir() if one.is_file()}
    assert default_path(resolve("tiny_logits"), WHOLE, "onnx") == Path("tiny_logits.onnx")
    chosen = with_features(resolve("one"), ["logits"])
    assert default_path(chosen, WHOLE, "c") == Path("one_logits_c")
    write_detector(here / "three", name="mine")
    assert default_path(resolve(here / "three"), WHOLE, "onnx") == Path("mine.onnx")


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


def staged_folder(folder: Path, text: str, *names: str) -> Path:
    """What a target has written."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(text)
    folders.write_card(folder, "c", {"text": text})
    return folder


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["sync", "become"])
def test_half_a_folder_is_none(
    error: BaseException, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where there was none, nor an empty one, nor where an earlier export is, beside files of one's own."""
    staged, out = staged_folder(tmp_path / "new", "new", "a.c", "b.c"), tmp_path / "out"
    usual, left = atomic.become, [2]

    def failing(*given: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise error
        if step == "become":
            usual(*given)

    monkeypatch.setattr(*((atomic, "become") if step == "become" else (atomic.os, "fsync")), failing)

    def contents() -> set[str]:
        files = out.iterdir() if out.exists() else [Path("none")]
        return {f"{one.name} {one.read_text()}" if one.exists() else "none" for one in files if one.name != CARD}

    def fails() -> set[str]:
        left[0] = 2
        with pytest.raises((OutputError, KeyboardInterrupt)):
            put_folder(staged, out)
        return contents()

    assert fails() == {"none"}
    out.mkdir()
    assert fails() == set()
    (out / "mine.txt").write_text("mine")
    assert fails() == {"mine.txt mine"}
    out.rename(tmp_path / "kept")
    staged_folder(out, "old", "a.c", "gone.c")
    (out / "mine.txt").write_text("mine")
    assert fails() == {"a.c old", "gone.c old", "mine.txt mine"}
    assert '"old"' in (out / CARD).read_text()
    monkeypatch.undo()
    put_folder(staged, out)
    assert contents() == {"a.c new", "b.c new", "mine.txt mine"}
    assert '"new"' in (out / CARD).read_text()


def test_an_interrupt_between_two_files_waits(here: Path) -> None:
    """As of an OpenVINO file, whose weights would be those of another graph. In a process that a signal may end."""
    for name in ("new.bin", "new.xml", "out.bin", "out.xml"):
        Path(name).write_text(name)
    done = python(
        """
import signal
from pathlib import Path
from hear_edgel3._interrupts import interruptible
from hear_edgel3.disk import atomic

usual = atomic.become
def interrupted(file, place):
    usual(file, place)
    signal.raise_signal(signal.SIGTERM)

atomic.become = interrupted
try:
    with interruptible():
        atomic.copy_together([(Path(f"new.{one}"), Path(f"out.{one}")) for one in ("bin", "xml")])
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert {one.name: one.read_text() for one in here.iterdir()} == {
        **{"new.bin": "new.bin", "new.xml": "new.xml"},
        **{"out.bin": "new.bin", "out.xml": "new.xml"},
    }


def test_names_that_lead_out_of_a_folder_are_not_deleted(tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.txt", staged_folder(tmp_path / "out", "old", "a.c")
    mine.write_text("mine")
    names = ["../mine.txt", str(mine), "..", "", "a\0.c", "a.c", 5]
    (out / CARD).write_text(json.dumps({"target": "c", "files": names}))
    put_folder(staged_folder(tmp_path / "new", "new", "b.c"), out)
    assert mine.read_text() == "mine"
    assert {one.name for one in out.iterdir()} == {"b.c", CARD}


def test_a_name_that_another_target_s_files_have(here: Path, capsys) -> None:
    write_detector(here / "net")
    for to, output in (("c", "x.onnx"), ("onnx", "x.XML"), ("openvino", "x.onnx")):
        assert main(["export", "net", "--to", to, "--output", output]) == 2
        error = capsys.readouterr().err
        assert f"{output!r} ends as files for {'openvino' if output == 'x.XML' else 'onnx'} do" in error
    assert [one.name for one in here.iterdir()] == ["net"]


@pytest.mark.parametrize("words", [["--check"], ["--quantize", "int8", "--calibrate"]])
def test_sounds_that_cannot_be_read_are_told_of_before_the_work(
    words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write_detector(here / "net")
    for name in ("empty", "damaged"):
        (here / name).mkdir()
    (here / "damaged" / "no sound.wav").write_bytes(b"RIFF")
    monkeypatch.setattr(onnx, "write", lambda *_: pytest.fail("it has begun"))
    for folder in ("nowhere", "empty", "damaged"):
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
