"""``hear-edgel3 tag --output``: a file that is whole when it appears, and that a later run goes on with."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.tagging.output import TagsFile
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.full_disk import files_of_at_most
from support.tag_command import counted

Captured = pytest.CaptureFixture[str]
NAMES = ["a.wav", "b.wav", "c.wav", "with, comma\r and \n line.wav"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        soundfile.write(name, signals.clip(0.4, 16000, seed=number), 16000)


def tag(*words: str) -> int:
    """Tags with the built-in net, the two most probable classes."""
    return main(["tag", *words, "--top", "2"])


def printed(capsys: Captured, form: str, *words: str) -> str:
    capsys.readouterr()
    assert tag(*words, form) == 0
    return capsys.readouterr().out


def stop_at(name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    tag_opened = Tagger.tag_opened

    def stops(self: Tagger, file: AudioFile, *arguments: Any, **more: Any) -> Any:
        if file.path.name == name:
            raise error
        return tag_opened(self, file, *arguments, **more)

    monkeypatch.setattr(Tagger, "tag_opened", stops)


@pytest.mark.parametrize(("target", "form"), [("tags.jsonl", "--json"), ("tags.csv", "--csv")])
def test_the_file_has_what_is_printed(target: str, form: str, capsys: Captured) -> None:
    assert tag(*NAMES, "--output", target) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"4 files tagged: {target}\n" in err
    assert Path(target).read_bytes().decode() == printed(capsys, form, *NAMES)
    assert sorted(os.listdir()) == sorted([*NAMES, target, f"{target}.options.json"])


@pytest.mark.parametrize("target", ["tags.jsonl", "tags.csv"])
def test_a_second_run_adds_what_is_new(target: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert tag(*NAMES, "--output", "whole" + target) == 0
    assert tag("b.wav", NAMES[3], "--output", target) == 0
    seen = counted(monkeypatch)
    capsys.readouterr()
    assert tag(*NAMES, "--output", target) == 0
    assert seen == ["a.wav", "c.wav"]
    assert f"2 files tagged, 2 were there: {target}\n" in capsys.readouterr().err
    assert Path(target).read_bytes() == Path("whole" + target).read_bytes()
    before = Path(target).stat()
    seen.clear()
    assert tag("c.wav", "--output", target, "--quiet") == 0
    assert seen == []
    assert (Path(target).stat().st_ino, Path(target).stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("target", ["tags.jsonl", "tags.csv"])
def test_an_interrupted_run_loses_nothing(target: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert tag(*NAMES, "--output", "whole" + target) == 0
    with monkeypatch.context() as patch:
        stop_at("c.wav", KeyboardInterrupt(), patch)
        assert tag(*NAMES, "--output", target) == 130
    assert "2 files are tagged; the same command goes on" in capsys.readouterr().err
    assert not Path(target).exists()
    with Path(f"{target}.part").open("ab") as journal:
        journal.write(b'{"file": "c.wav", "conf')  # as if it had been killed while it wrote
    seen = counted(monkeypatch)
    assert tag(*NAMES, "--output", target) == 0
    assert seen == ["c.wav", NAMES[3]]
    assert Path(target).read_bytes() == Path("whole" + target).read_bytes()
    assert not Path(f"{target}.part").exists()


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_ended_before_the_file_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tag(*NAMES, "--output", "whole.csv") == 0
    with monkeypatch.context() as patch:
        patch.setattr(TagsFile, "_write", interrupted)
        assert tag(*NAMES, "--output", "tags.csv") == 130
    assert not Path("tags.csv").exists()
    seen = counted(monkeypatch)
    assert tag(*NAMES, "--output", "tags.csv") == 0
    assert seen == []
    assert Path("tags.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not Path("tags.csv.part").exists()


def test_a_run_that_ended_before_the_journal_was_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TagsFile, "_write", interrupted)
        assert tag(*NAMES, "--output", "tags.csv") == 130
    journal = Path("tags.csv.part").read_bytes()
    assert tag(*NAMES, "--output", "tags.csv") == 0
    written = Path("tags.csv").read_bytes()
    Path("tags.csv.part").write_bytes(journal)
    assert tag(*NAMES, "--output", "tags.csv") == 0
    assert Path("tags.csv").read_bytes() == written
    assert not Path("tags.csv.part").exists()


def test_what_failed_is_tried_again_and_comes_in_its_place(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    with monkeypatch.context() as patch:
        stop_at("b.wav", RuntimeError("out of memory"), patch)
        assert tag(*NAMES, "--output", "tags.jsonl") == 1
    assert "error: b.wav: out of memory" in capsys.readouterr().err
    assert tag(*NAMES, "--output", "tags.jsonl") == 0
    assert [json.loads(line)["file"] for line in Path("tags.jsonl").read_text().splitlines()] == NAMES


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--window", "0.2"], "window"),
        (["--top", "3"], "top"),
        (["--engine", "eager"], "engine"),
        (["--config", "mn04_as"], "config"),
    ],
)
def test_other_options_are_refused_by_name(
    options: list[str], name: str, mobilenetv3_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(mobilenetv3_folder))
    assert main(["tag", "a.wav", "--top", "2", "--output", "tags.csv"]) == 0
    before = Path("tags.csv").read_bytes()
    capsys.readouterr()
    assert main(["tag", "b.wav", "--top", "2", "--output", "tags.csv", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("hear-edgel3: tags.csv was begun with ")
    assert f" {name} " in error
    assert Path("tags.csv").read_bytes() == before
    assert sorted(os.listdir()) == sorted([*NAMES, "tags.csv", "tags.csv.options.json"])
    assert main(["tag", "b.wav", "--top", "1", "--output", "tags.csv", "--overwrite"]) == 0
    assert len(Path("tags.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("foreign", [False, True])
def test_what_is_to_be_replaced_stays_until_then(foreign: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run with --overwrite leaves the old file as it was, and the same command without it goes on."""
    if foreign:
        Path("tags.csv").write_text("not ours")
    else:
        assert tag("a.wav", "--output", "tags.csv") == 0
    before = Path("tags.csv").read_bytes()
    with monkeypatch.context() as patch:
        stop_at("b.wav", KeyboardInterrupt(), patch)
        assert tag("a.wav", "b.wav", "--output", "tags.csv", "--window", "0.2", "--overwrite") == 130
    assert Path("tags.csv").read_bytes() == before
    seen = counted(monkeypatch)
    assert tag("a.wav", "b.wav", "--output", "tags.csv", "--window", "0.2") == 0
    assert seen == ["b.wav"]
    after = Path("tags.csv").read_bytes()
    assert after != before
    assert tag("a.wav", "b.wav", "--output", "tags.csv", "--window", "0.2") == 0
    assert Path("tags.csv").read_bytes() == after
    assert sorted(os.listdir()) == sorted([*NAMES, "tags.csv", "tags.csv.options.json"])


def test_options_that_come_to_the_same_go_on(capsys: Captured) -> None:
    assert tag("a.wav", "--output", "tags.csv", "--window", "0.2") == 0
    assert tag("a.wav", "b.wav", "--output", "tags.csv", "--window", "0.2", "--hop", "0.05") == 0


def test_a_run_from_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert tag("a.wav", "--output", "tags.jsonl") == 0
    Path("deeper").mkdir()
    monkeypatch.chdir("deeper")
    seen = counted(monkeypatch)
    assert tag("../a.wav", "../b.wav", "--output", "../tags.jsonl") == 0
    assert seen == ["../b.wav"]
    files = [json.loads(line)["file"] for line in Path("../tags.jsonl").read_text().splitlines()]
    assert files == ["a.wav", os.path.abspath("deeper/../../b.wav")]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--output", "tags.txt"], 2, "cannot write tags.txt: the name must end in one of .csv, .jsonl"),
        (["--output", "tags.csv", "--json"], 2, "--json does not fit --output tags.csv"),
        (["--overwrite"], 2, "--overwrite is for --output"),
        (["--output", "nowhere/tags.csv"], 1, "the folder nowhere does not exist"),
        (["--output", "folder.csv"], 1, "it is a folder"),
        (["--output", "mine.csv"], 1, "not replacing mine.csv: it exists, and mine.csv.options.json does not say"),
        (["--output", "other.csv"], 1, "not replacing other.csv: it exists, and is not what"),
    ],
)
def test_outputs_that_cannot_be(words: list[str], code: int, message: str, capsys: Captured) -> None:
    Path("folder.csv").mkdir()
    Path("mine.csv").write_text("something of mine")
    assert tag("a.wav", "--output", "other.csv") == 0
    Path("other.csv").write_text("something else")
    before = sorted(os.listdir())
    capsys.readouterr()
    assert tag("a.wav", *words) == code
    assert message in capsys.readouterr().err
    assert Path("mine.csv").read_text() == "something of mine"
    assert Path("other.csv").read_text() == "something else"
    assert sorted(os.listdir()) == before


def test_two_at_once(capsys: Captured) -> None:
    pytest.importorskip("fcntl")
    assert tag("a.wav", "--output", "tags.csv") == 0
    options = json.loads(Path("tags.csv.options.json").read_text())["options"]
    with TagsFile("tags.csv", options):
        assert tag("b.wav", "--output", "tags.csv") == 1
    assert "another process is writing tags.csv" in capsys.readouterr().err


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)  # the last moment
        # what says the options is written first
        assert tag("a.wav", "--output", "tags.csv") == 1
        assert "No space left on device" in capsys.readouterr().err
    assert sorted(os.listdir()) == sorted(NAMES)


def test_a_disk_that_becomes_full(capsys: Captured) -> None:
    """One line says it; what is done is kept as a whole, and the same command goes on."""
    words = (*NAMES, "--quiet", "--output", "tags.csv")
    assert tag(*words) == 0
    whole = Path("tags.csv").read_bytes()
    for path in Path().glob("tags.csv*"):
        path.unlink()
    with files_of_at_most(900):
        assert tag(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot write tags.csv.part: File too large; what was computed before is kept" in line
    assert Path("tags.csv.part").read_bytes().endswith(b"\n")
    assert tag(*words) == 0
    assert Path("tags.csv").read_bytes() == whole


def test_several_workers(capsys: Captured) -> None:
    """The same results in the same order, and one file that is bad."""
    Path("bad.wav").write_bytes(b"no audio")
    files = [NAMES[0], "bad.wav", *NAMES[1:]]
    assert tag(*files, "--workers", "2", "--json") == 1
    out, err = capsys.readouterr()
    assert "error: bad.wav cannot be read as audio" in err
    assert tag(*files, "--threads", "1", "--json") == 1
    assert out == capsys.readouterr().out
    assert tag(*files, "--workers", "2", "--output", "tags.jsonl", "--quiet") == 1
    assert Path("tags.jsonl").read_text() == out


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed(number: int) -> None:
    """In whatever way it ends, what was tagged stays, no half of a file is there, and the same command goes on."""
    for index in range(40):
        soundfile.write(f"{index:02}.wav", signals.clip(4, 16000, seed=index), 16000)
    command = [sys.executable, "-m", "hear_edgel3", "tag", "??.wav", "--top", "1", "--output", "tags.csv"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        journal, end = Path("tags.csv.part"), time.monotonic() + 120
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=60)
    if Path("tags.csv").exists():
        pytest.skip("it was faster")
    assert journal.read_bytes().count(b"\n") >= 2
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "were there" in done.stderr
    _, *rows = csv.reader(io.StringIO(Path("tags.csv").read_text()))
    assert [row[0] for row in rows] == [f"{index:02}.wav" for index in range(40)]
