"""``hear-edgel3 tag``: what it prints in each form, for which files, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.registry.labels import Label
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags
from support import signals
from support.processes import SCRIPT
from support.tag_command import HEADER, no_work, rows_of, run_tag, write_loud_clip
from support.types import Captured

pytestmark = pytest.mark.usefixtures("tagging_weights")

# --- what is printed ---


def test_text(capsys: Captured) -> None:
    source = write_loud_clip("a.wav", 1.25)
    assert run_tag("a.wav") == 0
    out, err = capsys.readouterr()
    assert err == ""
    head, *lines = out.splitlines()
    assert head == "a.wav  0.00 - 1.25 s"
    expected = hear_edgel3.tag(source, "mn01_as").top(10)
    assert len(lines) == 10
    for line, found in zip(lines, expected, strict=True):
        assert line == f"  {found.probability:.3f}  {found.label}"


def test_text_of_windows_and_files(capsys: Captured) -> None:
    write_loud_clip("a.wav", 2.0)
    write_loud_clip("d/b.wav", 0.7, seed=1)
    assert run_tag("a.wav", "d/b.wav", "--top", "2", "--window", "1", "--hop", "0.5") == 0
    out, err = capsys.readouterr()
    assert err == ""
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert heads == [
        "a.wav  0.00 - 1.00 s",
        "a.wav  0.50 - 1.50 s",
        "a.wav  1.00 - 2.00 s",
        f"d{os.sep}b.wav  0.00 - 1.00 s",
    ]
    a = hear_edgel3.tag("a.wav", "mn01_as", window=1.0, hop=0.5)
    blocks = re.split(r"^\S.*\n", out, flags=re.MULTILINE)[1:]
    assert len(blocks) == 4
    for number in range(3):
        expected = "".join(f"  {t.probability:.3f}  {t.label}\n" for t in a.top(2, number))
        assert blocks[number] == expected
    assert len({*blocks}) > 1


def test_json(capsys: Captured) -> None:
    sources = [write_loud_clip("a.wav", 1.5), write_loud_clip("b.flac", 0.5, seed=2)]
    assert run_tag("a.wav", "b.flac", "--json", "--top", "3", "--window", "1.0") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 2
    for source, record in zip(sources, found, strict=True):
        tags = hear_edgel3.tag(source, "mn01_as", window=1.0)
        assert list(record) == ["file", "configurations", "duration", "windows"]
        assert record["file"] == source.name
        assert record["configurations"] == ["mn01_as"]
        assert record["duration"] == tags.duration
        assert [w["start"] for w in record["windows"]] == tags.starts.tolist()
        assert [w["end"] for w in record["windows"]] == tags.ends.tolist()
        for number, window in enumerate(record["windows"]):
            assert window["tags"] == [
                {"label": t.label, "mid": t.mid, "probability": pytest.approx(t.probability, abs=1e-6)}
                for t in tags.top(3, number)
            ]
    assert [w["start"] for w in found[0]["windows"]] == [0.0, 0.25, 0.5]


def test_csv(capsys: Captured) -> None:
    sources = [write_loud_clip("a.wav", 2.0), write_loud_clip("with, comma.wav", 0.5, seed=2)]
    assert run_tag("a.wav", "with, comma.wav", "--csv", "--top", "5", "--window", "1", "--hop", "0.75") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\r" not in out
    header, *rows = csv.reader(io.StringIO(out))
    assert header == HEADER
    expected = [
        row
        for source in sources
        for row in rows_of(hear_edgel3.tag(source, "mn01_as", window=1.0, hop=0.75), source.name, 5)
    ]
    assert rows == expected
    assert [row[1:4] for row in rows[::5]] == [
        ["0", "1", "1"],
        ["0.75", "1.75", "1"],
        ["1.5", "2.5", "1"],
        ["0", "1", "1"],
    ]
    assert '"with, comma.wav",0,1,1,' in out


def test_labels_with_commas_are_quoted_in_csv(capsys: Captured) -> None:
    write_loud_clip("a.wav")
    assert run_tag("a.wav", "--csv", "--top", "527") == 0
    out = capsys.readouterr().out
    _, *rows = csv.reader(io.StringIO(out))
    assert {len(row) for row in rows} == {7}
    assert [row[3] for row in rows] == [str(rank) for rank in range(1, 528)]
    assert {(row[4], row[5]) for row in rows} == {
        (label.name, label.mid) for label in hear_edgel3.Tagger("mn01_as").labels
    }
    assert ',"Male speech, man speaking",/m/05zppz,' in out


@pytest.mark.parametrize(("top", "count"), [("1", 1), ("10", 10), ("527", 527), ("1000", 527)])
def test_top(top: str, count: int, capsys: Captured) -> None:
    write_loud_clip("a.wav")
    assert run_tag("a.wav", "--top", top, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["windows"][0]["tags"]) == count


def test_the_whole_clip_and_the_default_hop(capsys: Captured) -> None:
    write_loud_clip("a.wav", 2.0)
    assert run_tag("a.wav", "--json") == 0
    assert [(w["start"], w["end"]) for w in json.loads(capsys.readouterr().out)["windows"]] == [(0.0, 2.0)]
    assert run_tag("a.wav", "--json", "--window", "1.6") == 0
    assert [w["start"] for w in json.loads(capsys.readouterr().out)["windows"]] == [0.0, 0.4]


def test_what_is_done_is_out_before_the_next_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_loud_clip(name)
    for form in ([], ["--json"], ["--csv"]):
        raw = io.BytesIO()
        seen: list[bytes] = []
        tag_file = Tagger.tag_opened

        def watched(
            self: Tagger, *arguments: Any, raw: io.BytesIO = raw, seen: list[bytes] = seen, **more: Any
        ) -> ClipTags:
            seen.append(raw.getvalue())
            return tag_file(self, *arguments, **more)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(Tagger, "tag_opened", watched)
            stdout = io.TextIOWrapper(raw, encoding="utf-8")
            patch.setattr(sys, "stdout", stdout)
            assert run_tag("a.wav", "b.wav", "c.wav", *form) == 0
        assert b"a.wav" not in seen[0]
        assert b"a.wav" in seen[1]
        assert b"b.wav" not in seen[1]
        assert b"b.wav" in seen[2]
        assert raw.getvalue().startswith(seen[2])
        assert b"c.wav" in raw.getvalue()
        stdout.close()


# --- which files ---


def test_folders(capsys: Captured) -> None:
    for name in ("d/b.wav", "d/a.FLAC", "d/deeper/c.ogg"):
        write_loud_clip(name)
    Path("d/notes.txt").write_text("no audio")

    def found(*arguments: str) -> list[str]:
        assert run_tag("d", *arguments, "--json", "--top", "1") == 0
        out, err = capsys.readouterr()
        assert err.count("\n") == 1
        assert "of no kind that is read there: 1 .txt." in err
        return [Path(json.loads(line)["file"]).as_posix() for line in out.splitlines()]

    everything = ["d/a.FLAC", "d/b.wav", "d/deeper/c.ogg"]
    assert found() == everything
    assert found("--recursive") == everything
    assert found("d/b.wav", str(Path("d/a.FLAC").absolute())) == everything  # each once


def test_tar_files(capsys: Captured) -> None:
    for seed, name in enumerate(("a.wav", "b.wav")):
        write_loud_clip(name, seed=seed)
    with tarfile.open("s.tgz", "w:gz") as tar:
        tar.add("a.wav")
        tar.add("b.wav")

    def found(*arguments: str) -> list[dict[str, Any]]:
        assert run_tag(*arguments, "--json") == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    own = found("a.wav", "b.wav")
    for more in ([], ["--workers", "2"]):
        shard = found("s.tgz", *more)
        assert [line.pop("file") for line in shard] == ["s.tgz/a.wav", "s.tgz/b.wav"]
        assert shard == [{key: value for key, value in line.items() if key != "file"} for line in own]
    assert run_tag("s.tgz", "--plot", "x.png") == 2


def test_an_empty_folder(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    Path("d/deeper").mkdir(parents=True)
    assert run_tag("d") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: the folder d has no audio files\n"


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
def test_bad_files_among_good_ones(form: str, capsys: Captured) -> None:
    good = [write_loud_clip("d/a.wav"), write_loud_clip("d/z.flac", seed=1)]
    Path("d/m1.wav").write_bytes(b"garbage" * 100)
    Path("d/m2.wav").write_bytes(b"")
    bad = signals.clip(1.0, 16000)
    bad[1234] = np.nan
    soundfile.write("d/m3.wav", bad, 16000, subtype="FLOAT")
    soundfile.write("d/m4.wav", bad[:9], 500)
    assert run_tag("d", "nowhere.wav", *([form] if form else [])) == 1
    out, err = capsys.readouterr()
    if form == "--json":
        assert [json.loads(line)["file"] for line in out.splitlines()] == list(map(str, good))
    elif form == "--csv":
        header, *rows = csv.reader(io.StringIO(out))
        assert header == HEADER
        assert rows == [row for source in good for row in rows_of(hear_edgel3.tag(source, "mn01_as"), str(source))]
    else:
        assert [line for line in out.splitlines() if not line.startswith("  ")] == [f"{f}  0.00 - 0.60 s" for f in good]
        assert len(out.splitlines()) == 22
    d = f"d{os.sep}"
    lines = [
        "nowhere.wav does not exist",
        f"{d}m1.wav cannot be read as audio: Format not recognised",
        f"{d}m2.wav is empty (0 bytes)",
        f"{d}m3.wav: sample 1234 is NaN; remove or replace such samples first",
        f"{d}m4.wav: the file's sample rate must be between 1000 and 768000 Hz, got 500",
    ]
    assert err.splitlines() == [f"error: {line}" for line in lines] + ["failures:"] + [f"  {line}" for line in lines]


def test_one_bad_file_is_said_once(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bad.wav").write_bytes(b"garbage" * 100)
    assert run_tag("bad.wav") == 1
    assert capsys.readouterr() == ("", "error: bad.wav cannot be read as audio: Format not recognised\n")
    no_work(monkeypatch)
    assert run_tag("nowhere.wav", "--json") == 1
    assert capsys.readouterr() == ("", "error: nowhere.wav does not exist\n")
    assert run_tag("") == 1
    assert "a source is empty" in capsys.readouterr().err


def test_a_device_without_memory_does_not_end_the_run(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    write_loud_clip("a.wav")
    write_loud_clip("b.wav")
    tag_file = Tagger.tag_opened

    def first_fails(self: Tagger, path: Path, *arguments: Any, **more: Any) -> ClipTags:
        if path.name == "a.wav":
            raise RuntimeError("CUDA out of memory")
        return tag_file(self, path, *arguments, **more)

    monkeypatch.setattr(Tagger, "tag_opened", first_fails)
    assert run_tag("a.wav", "b.wav", "--json") == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["b.wav"]
    assert "error: a.wav: CUDA out of memory\n" in err


def test_ctrl_c(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    write_loud_clip("a.wav")

    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tagger, "tag_opened", interrupted)
    assert run_tag("a.wav") == 130
    assert capsys.readouterr() == ("", "hear-edgel3: interrupted\n")


# --- the installed program ---


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_names_that_are_no_text() -> None:
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x8e\xb5.wav")
    write_loud_clip("plain.wav").rename(name)
    Path(os.fsdecode(b"bad\xe9.wav")).write_bytes(b"no audio")
    command = [SCRIPT, "tag", ".", "-c", "mn01_as", "--json", "--top", "1"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["file"] == "caf? \U0001f3b5.wav"
    assert "\U0001f3b5".encode() in done.stdout  # as it is, not escaped
    assert done.stderr.decode().endswith("\n  bad\\udce9.wav cannot be read as audio: Format not recognised\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a shell")
@pytest.mark.parametrize("form", [[], ["--csv"]])
def test_a_reader_that_goes_away(form: list[str]) -> None:
    write_loud_clip("a.wav", 2.0)
    write_loud_clip("b.wav")
    command = [
        SCRIPT,
        "tag",
        "a.wav",
        "b.wav",
        "-c",
        "mn01_as",
        "--window",
        "0.02",
        "--hop",
        "0.01",
        "--top",
        "30",
        *form,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == (
            b",".join(h.encode() for h in HEADER) + b"\n" if form else b"a.wav  0.00 - 0.02 s\n"
        )
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# --- a label list of our own, so that every form can be read at a glance ---


def test_the_three_forms(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (Label("Speech", "/m/1"), Label('Roar, "loud"', "/m/2"))
    logits = np.log(np.array([[0.25 / 0.75, 1.0], [3.0, 1e-9]], np.float32))
    tags = ClipTags(("mn01_as",), names, np.array([0.0, 2.5]), np.array([10.0, 12.5]), logits, 12.0)
    monkeypatch.setattr(Tagger, "tag_opened", lambda *arguments, **more: tags)
    write_loud_clip("a.wav")
    assert run_tag("a.wav") == 0
    assert capsys.readouterr().out == (
        'a.wav  0.00 - 10.00 s\n  0.500  Roar, "loud"\n  0.250  Speech\n'
        'a.wav  2.50 - 12.50 s\n  0.750  Speech\n  0.000  Roar, "loud"\n'
    )
    assert run_tag("a.wav", "--csv", "--top", "1") == 0
    assert capsys.readouterr().out == (
        "file,start,end,rank,label,mid,probability\n"
        'a.wav,0,10,1,"Roar, ""loud""",/m/2,0.500000\n'
        "a.wav,2.5,12.5,1,Speech,/m/1,0.750000\n"
    )
    assert run_tag("a.wav", "--json", "--top", "1") == 0
    assert capsys.readouterr().out == (
        '{"file": "a.wav", "configurations": ["mn01_as"], "duration": 12.0, "windows": ['
        '{"start": 0.0, "end": 10.0, "tags": [{"label": "Roar, \\"loud\\"", "mid": "/m/2", "probability": 0.5}]}, '
        '{"start": 2.5, "end": 12.5, "tags": [{"label": "Speech", "mid": "/m/1", "probability": 0.75}]}]}\n'
    )


# --- what once went wrong ---


def test_times_of_long_files_are_not_rounded_away() -> None:
    from hear_edgel3.tagging.records import seconds

    assert [seconds(x) for x in (0.0, 10000.025, 1000.025, 2.5, 100.0)] == ["0", "10000.025", "1000.025", "2.5", "100"]


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
def test_a_terminal_that_does_not_know_the_characters(form: str) -> None:
    write_loud_clip("é.wav")
    command = [sys.executable, "-m", "hear_edgel3.cli", "tag", "é.wav", "-c", "mn01_as", *filter(None, [form])]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b".wav" in done.stdout


def test_a_last_window_behind_the_clip_is_left_out(capsys: Captured) -> None:
    write_loud_clip("a.wav", 3.5)
    assert run_tag("a.wav", "--window", "0.5", "--hop", "1.25", "--json") == 0
    assert [w["start"] for w in json.loads(capsys.readouterr().out)["windows"]] == [0, 1.25, 2.5]
