"""``tag --output`` where results are there: kept while their source is the same, done anew when it has changed."""

from __future__ import annotations

import csv
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import soundfile

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.errors import OutputError
from hear_edgel3.tagging import output
from hear_edgel3.tagging.output import TagsFile
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.tag_command import counted

Captured = pytest.CaptureFixture[str]
TARGETS = ["tags.csv", "tags.jsonl", "tags.parquet"]


def write(name: str, seed: int, seconds: float = 0.4) -> None:
    soundfile.write(name, signals.clip(seconds, 16000, seed=seed), 16000)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abc"):
        write(f"{name}.wav", number)


def tag(target: str, *words: str) -> int:
    more = () if target.endswith(".parquet") else ("--top", "2")
    return main(["tag", *(words or ("a.wav", "b.wav", "c.wav")), "--output", target, *more])


@pytest.fixture
def tagged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are tagged."""
    return counted(monkeypatch)


def sources(target: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(Path(f"{target}.options.json").read_text())["sources"]
    return found


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("target", TARGETS)
def test_a_source_that_has_changed_is_done_anew(target: str, tagged: list[str], capsys: Captured) -> None:
    assert tag(target) == 0
    write("b.wav", 7)
    os.utime("b.wav", (1, 1))  # of the size that it had
    tagged.clear()
    capsys.readouterr()
    assert tag(target) == 0
    assert tagged == ["b.wav"]
    err = capsys.readouterr().err
    assert "1 files had changed since they were tagged, and were done anew\n" in err
    assert f"1 files tagged, 2 were there: {target}\n" in err
    assert tag("whole" + target) == 0
    assert Path(target).read_bytes() == Path("whole" + target).read_bytes()
    assert sources(target) == sources("whole" + target)
    state = os.stat("b.wav")
    assert ["b.wav", "", state.st_size, state.st_mtime_ns] in sources(target)
    tagged.clear()
    assert tag(target) == 0
    assert tagged == []
    assert "changed" not in capsys.readouterr().err


def test_predict_notices_it_too(tagged: list[str]) -> None:
    words = ["predict", "a.wav", "b.wav", "--config", "tiny", "--output", "found.csv", "--quiet"]
    assert main(words) == 0
    write("a.wav", 7, 0.5)
    tagged.clear()
    assert main(words) == 0
    assert tagged == ["a.wav"]


def test_members_and_clips(tagged: list[str]) -> None:
    """What counts is the file that they are in."""
    Path("clips.csv").write_text("file,start,end\na.wav,0,0.2\na.wav,0.2,0.4\nb.wav,0.1,0.3\n")
    with tarfile.open("shard.tar", "w") as tar:
        tar.add("c.wav")
    given = ("clips.csv", "shard.tar")
    assert tag("tags.csv", *given) == 0
    os.utime("a.wav", (1, 1))
    tagged.clear()
    assert tag("tags.csv", *given) == 0
    assert [Path(one).name for one in tagged] == ["a.wav", "a.wav"]
    os.utime("shard.tar", (1, 1))
    tagged.clear()
    assert tag("tags.csv", *given) == 0
    assert tagged == ["shard.tar/c.wav"]


def test_one_that_is_gone_keeps_its_rows(tagged: list[str], capsys: Captured) -> None:
    assert tag("tags.csv") == 0
    before = Path("tags.csv").read_bytes()
    Path("b.wav").unlink()
    write("a.wav", 9)
    os.utime("a.wav", (1, 1))
    assert tag("tags.csv", "a.wav", "c.wav") == 0
    rows = list(csv.reader(Path("tags.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1::2]] == ["b.wav", "a.wav", "c.wav"]
    assert [row for row in csv.reader(before.decode().splitlines()) if row[0] == "b.wav"] == rows[1:3]
    assert sorted(name for name, *_ in sources("tags.csv")) == ["a.wav", "b.wav", "c.wav"]


def test_one_that_cannot_be_read_any_more_has_no_rows(tagged: list[str], capsys: Captured) -> None:
    assert tag("tags.csv") == 0
    Path("b.wav").write_bytes(b"no audio")
    capsys.readouterr()
    assert tag("tags.csv") == 1
    err = capsys.readouterr().err
    assert "error: b.wav cannot be read as audio" in err
    assert "1 files had changed and could not be tagged: their old tags are left out\n" in err
    assert {row[0] for row in csv.reader(Path("tags.csv").read_text().splitlines())} == {"file", "a.wav", "c.wav"}
    write("b.wav", 1)
    tagged.clear()
    assert tag("tags.csv") == 0
    assert tagged == ["b.wav"]


@pytest.mark.parametrize("target", TARGETS)
def test_outputs_of_earlier_versions_are_kept(target: str, tagged: list[str]) -> None:
    """They do not say what their sources were like; what is added says it."""
    assert tag(target, "a.wav", "b.wav") == 0
    made = json.loads(Path(f"{target}.options.json").read_text())
    del made["sources"]
    Path(f"{target}.options.json").write_text(json.dumps(made))
    write("a.wav", 7, 0.5)
    tagged.clear()
    assert tag(target) == 0
    assert tagged == ["c.wav"]
    assert [name for name, *_ in sources(target)] == ["c.wav"]


def test_one_that_changes_while_it_is_read(monkeypatch: pytest.MonkeyPatch, tagged: list[str]) -> None:
    """What counts is what it was like before it was read."""
    tag_opened = Tagger.tag_opened

    def grows(self: Tagger, file: AudioFile, *arguments: Any, **more: Any) -> Any:
        found = tag_opened(self, file, *arguments, **more)
        write(str(file.path), 9, 0.8)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Tagger, "tag_opened", grows)
        assert tag("tags.csv", "a.wav") == 0
    tagged.clear()
    assert tag("tags.csv", "a.wav") == 0
    assert tagged == ["a.wav"]


@pytest.mark.parametrize("target", TARGETS)
def test_it_changes_before_an_interrupted_run_goes_on(
    target: str, monkeypatch: pytest.MonkeyPatch, tagged: list[str]
) -> None:
    """What an interrupted run has computed is done anew where its source has changed since."""
    with monkeypatch.context() as patch:
        patch.setattr(TagsFile, "finish", interrupted)
        assert tag(target) == 130
    write("b.wav", 7, 0.5)
    tagged.clear()
    assert tag(target) == 0
    assert tagged == ["b.wav"]
    assert tag("whole" + target) == 0
    assert Path(target).read_bytes() == Path("whole" + target).read_bytes()
    assert sources(target) == sources("whole" + target)


@pytest.mark.parametrize("when", ["_write", "_write_options", "_indexed"])
@pytest.mark.parametrize("target", TARGETS)
def test_it_is_ended_at_any_moment(
    target: str, when: str, monkeypatch: pytest.MonkeyPatch, tagged: list[str], capsys: Captured
) -> None:
    """Old rows never come to be taken for those of the changed file, nor is it tagged a second time."""
    assert tag(target) == 0
    write("b.wav", 7, 0.5)
    original = getattr(TagsFile, when)

    def ends(self: TagsFile, *arguments: object) -> object:
        if self.n_changed:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TagsFile, when, ends)
        assert tag(target) == 130
    tagged.clear()
    assert tag(target) == 0
    assert tagged == []
    assert tag("whole" + target) == 0
    assert Path(target).read_bytes() == Path("whole" + target).read_bytes()
    assert sources(target) == sources("whole" + target)
    assert sorted(path.name for path in Path().glob("tags*")) == [target, f"{target}.options.json"]


def test_a_disk_that_is_full_when_it_is_noted(
    monkeypatch: pytest.MonkeyPatch, tagged: list[str], capsys: Captured
) -> None:
    """What was computed stays, and the next run notes it."""
    assert tag("tags.csv") == 0
    write("b.wav", 7, 0.5)
    atomic_write = output.atomic_write

    def full(path: Path) -> Any:
        if path.name.endswith(".options.json"):
            raise OutputError(f"cannot write {path}: {os.strerror(28)}")
        return atomic_write(path)

    with monkeypatch.context() as patch:
        patch.setattr(output, "atomic_write", full)
        assert tag("tags.csv") == 1
    assert "cannot write tags.csv.options.json: No space left on device" in capsys.readouterr().err
    tagged.clear()
    assert tag("tags.csv") == 0
    assert tagged == []
    assert tag("whole.csv") == 0
    assert Path("tags.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert sources("tags.csv") == sources("whole.csv")


@pytest.mark.parametrize("damaged", [[["a.wav", "", "x", 1]], [["a.wav", "", 1]], 5, [None]])
def test_what_is_beside_it_is_damaged(damaged: object, capsys: Captured) -> None:
    assert tag("tags.csv") == 0
    made = json.loads(Path("tags.csv.options.json").read_text())
    Path("tags.csv.options.json").write_text(json.dumps({**made, "sources": damaged}))
    assert tag("tags.csv") == 1
    assert "tags.csv.options.json does not say with which options it was made" in capsys.readouterr().err


def test_nothing_of_it_is_in_the_output() -> None:
    assert tag("tags.jsonl") == 0
    assert all("seen" not in json.loads(line) for line in Path("tags.jsonl").read_text().splitlines())
