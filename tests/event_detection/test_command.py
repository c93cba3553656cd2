"""``hear-edgel3 events``: outputs that a later run goes on with, errors as rows, sounds cut out."""

from __future__ import annotations

import csv
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.event_detection.work import Worker
from hear_edgel3.sources.item import Item
from support.signals import tone

Captured = pytest.CaptureFixture[str]
RATE = 16000


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    (here / "north").mkdir()
    for name, seconds in {"north/20240501_050000.wav": 2, "north/b.wav": 1}.items():
        soundfile.write(name, np.stack([tone(seconds, RATE)] * 2, axis=1), RATE)
    soundfile.write("quiet.wav", np.zeros(RATE), RATE)
    Path("bad.wav").write_text("this is no sound")


def events(*words: str) -> int:
    """With one class that tones are, in this process."""
    return main(["events", *words, "--classes", "Sine wave", "--workers", "1"])


def rows(name: str) -> list[dict[str, str]]:
    with open(name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings that are looked into from here on."""
    seen: list[str] = []
    find = Worker._find

    def watched(self: Worker, item: Item, report: object) -> object:
        seen.append(item.file)
        return find(self, item, report)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "_find", watched)
    return seen


def test_clips_of_a_recording_are_not_counted_as_recordings(capsys: Captured) -> None:
    Path("clips.csv").write_text(
        "file,start,end\nnorth/20240501_050000.wav,0,1\nnorth/20240501_050000.wav,1,2\nnorth/b.wav,0,1\n"
    )
    assert events("clips.csv", "-o", "e.csv") == 0
    assert "3 events in 3 clips of 2 recordings (" in capsys.readouterr().err


def test_a_run_and_the_runs_after_it(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    seen = counted(monkeypatch)
    assert events("north", "quiet.wav", "-o", "e.csv") == 0
    assert "2 events in 3 recordings" in capsys.readouterr().err
    first = rows("e.csv")
    assert [(row["file"], row["start"], row["end"], row["label"], row["site"]) for row in first] == [
        ("north/20240501_050000.wav", "0", "2", "Sine wave", "north"),
        ("north/b.wav", "0", "1", "Sine wave", "north"),
    ]
    assert first[0]["recorded_at"] == "2024-05-01T05:00:00.000"
    assert first[1]["recorded_at"] == first[1]["error"] == ""
    before = Path("e.csv").read_bytes()

    # Nothing is new, also of what had no events, by whatever name it is called.
    assert events("./north/b.wav", "north", os.path.abspath("quiet.wav"), "-o", "e.csv") == 0
    assert len(seen) == 3
    assert sorted(Path("e.csv").read_bytes().splitlines()) == sorted(before.splitlines())

    # What has changed is done anew, and what is new is added; what failed is a row, and stays one.
    soundfile.write("north/b.wav", np.zeros(RATE), RATE)
    capsys.readouterr()
    assert events("north", "quiet.wav", "bad.wav", "-o", "e.csv") == 1
    assert seen[3:] == ["north/b.wav", "bad.wav"]
    assert [row["file"] for row in rows("e.csv")] == ["north/20240501_050000.wav", "bad.wav"]
    assert "cannot be read as audio" in rows("e.csv")[1]["error"]
    assert capsys.readouterr().err.count("bad.wav cannot be read") == 1
    assert events("bad.wav", "-o", "e.csv") == 1
    assert len(seen) == 5
    assert "1 failed in earlier runs" in capsys.readouterr().err

    soundfile.write("bad.wav", np.zeros(RATE), RATE)
    assert events("bad.wav", "-o", "e.csv", "--retry-failed") == 0
    assert [row["file"] for row in rows("e.csv")] == ["north/20240501_050000.wav"]


def test_other_options_are_refused(capsys: Captured) -> None:
    assert events("north/b.wav", "-o", "e.csv") == 0
    for words, said in {
        ("--threshold", "0.4"): "was begun with threshold not given, and now it is 0.4",
        ("--hop", "0.25"): "was begun with hop 0.5, and now it is 0.25",
        ("--time-zone", "UTC"): 'zone not given, and now it is "UTC"',
    }.items():
        assert events("north/b.wav", "-o", "e.csv", *words) == 2
        assert said in capsys.readouterr().err
        assert len(rows("e.csv")) == 1
    assert events("north/b.wav", "-o", "e.csv", "--threshold", "1", "--overwrite") == 0
    assert rows("e.csv") == []


def test_what_was_done_is_kept_when_a_run_is_ended(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    seen = counted(monkeypatch)
    find = Worker._find

    def stops(self: Worker, item: Item, report: object) -> object:
        if item.file == "north/b.wav" and len(seen) < 2:
            raise KeyboardInterrupt
        return find(self, item, report)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "_find", stops)
    assert events("north", "-o", "e.csv") == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(rows("e.csv")) == 1
    monkeypatch.setattr(Worker, "_find", find)
    # A line that was being written when the power went is cut off.
    with open("e.csv.done.jsonl", "ab") as file:
        file.write(b'{"file": "north/b.w')
    assert events("north", "-o", "e.csv") == 0
    assert seen == ["north/20240501_050000.wav", "north/b.wav"]
    assert len(rows("e.csv")) == 2


def test_a_damaged_journal_is_told(capsys: Captured) -> None:
    assert events("north/b.wav", "-o", "e.csv") == 0
    lines = Path("e.csv.done.jsonl").read_text().splitlines()
    Path("e.csv.done.jsonl").write_text("\n".join([lines[0], "no JSON", ""]))
    assert events("north/b.wav", "-o", "e.csv") == 1
    assert "is damaged (line 2" in capsys.readouterr().err
    Path("e.csv.done.jsonl").write_text("something of somebody's\n")
    assert events("north/b.wav", "-o", "e.csv") == 1
    assert Path("e.csv.done.jsonl").read_text() == "something of somebody's\n"


def test_the_same_events_in_another_format_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    assert events("north", "-o", "tracks", "--format", "audacity") == 0
    assert {path.name for path in Path("tracks").iterdir()} == {"20240501_050000.txt", "b.txt"}
    assert Path("tracks/b.txt").read_text() == "0.000000\t1.000000\tSine wave\n"
    assert events("north", "-o", "tracks", "--format", "raven") == 0
    assert len(seen) == 2
    assert Path("tracks/b.txt").read_text().startswith("Selection\t")


def test_recordings_of_one_name_have_tracks_of_their_own() -> None:
    Path("south").mkdir()
    Path("south/b.wav").write_bytes(Path("north/b.wav").read_bytes())
    assert events("north", "south", "-o", "tracks", "--format", "audacity") == 0
    found = sorted(str(path.relative_to("tracks")) for path in Path("tracks").rglob("*.txt"))
    assert found == ["20240501_050000.txt", "north/b.wav.txt", "south/b.wav.txt"]


def test_sounds_are_cut_out_with_a_margin() -> None:
    samples = 1e-4 * np.random.default_rng(1).standard_normal(8 * RATE)
    samples[3 * RATE : 5 * RATE] += tone(2, RATE)
    soundfile.write("north/c.wav", samples, RATE, "FLOAT")
    assert events("north/c.wav", "-o", "e.csv", "--clips", "cut", "--margin", "0.25") == 0
    (row,) = rows("e.csv")
    start, end = float(row["start"]), float(row["end"])
    assert row["clip"] == f"cut/Sine wave/north/c.wav_{row['start']}-{row['end']}s.flac"
    clip, rate = soundfile.read(row["clip"])
    assert rate == RATE
    first = round((start - 0.25) * RATE)
    assert len(clip) == round((end + 0.25) * RATE) - first
    assert np.abs(clip - samples[first : first + len(clip)]).max() < 1e-4


def test_clips_of_another_output_and_what_is_no_clip_stay(capsys: Captured) -> None:
    samples = 1e-4 * np.random.default_rng(1).standard_normal(5 * RATE)
    samples[2 * RATE : 3 * RATE] += tone(1, RATE)
    soundfile.write("north/c.wav", samples, RATE, "FLOAT")
    assert events("north/c.wav", "-o", "e.csv", "--clips", "cut") == 0
    (clip,) = (Path(row["clip"]) for row in rows("e.csv"))
    cut = clip.read_bytes()
    assert events("north/c.wav", "-o", "same.csv", "--clips", "cut") == 0  # the same sound
    for before in (cut, b"mine"):
        clip.write_bytes(before)
        capsys.readouterr()
        assert events("north/c.wav", "-o", "f.csv", "--clips", "cut", "--margin", "0.1") == 1
        assert f"not replacing {clip}: it exists, and is not what would be cut out now" in capsys.readouterr().err
        assert clip.read_bytes() == before
    assert events("north/c.wav", "-o", "f.csv", "--clips", "cut", "--margin", "0.1", "--overwrite") == 0
    assert clip.read_bytes() not in (cut, b"mine")


def test_clips_of_a_recording_that_has_changed_are_cut_out_anew() -> None:
    assert events("north/b.wav", "-o", "e.csv", "--clips", "cut") == 0
    (clip,) = (Path(row["clip"]) for row in rows("e.csv"))
    cut = clip.read_bytes()
    samples, rate = soundfile.read("north/b.wav")
    soundfile.write("north/b.wav", samples * 0.99, rate, "FLOAT")
    assert events("north/b.wav", "-o", "e.csv", "--clips", "cut") == 0
    assert [row["clip"] for row in rows("e.csv")] == [str(clip)]
    assert clip.read_bytes() != cut


def cut_out() -> set[str]:
    """What is in the folder of clips, whatever it is."""
    return {str(path) for path in Path("cut").rglob("*") if path.is_file()}


def test_clips_of_what_a_recording_was_before_it_changed_go() -> None:
    """Folders of classes are learnt from: a sound that is heard no more must not stay in one."""
    Path("table.csv").write_text("file,start,end\nnorth/b.wav,0,1\nnorth/b.wav,0,\nnorth/20240501_050000.wav,0,1\n")
    assert events("table.csv", "-o", "e.csv", "--clips", "cut") == 0
    assert {row["clip"] for row in rows("e.csv")} == cut_out()
    both = "cut/Sine wave/north/b.wav_0-1s.flac"  # two rows of the table, and one sound
    assert [row["clip"] for row in rows("e.csv")][:2] == [both, both]
    Path("cut/mine.flac").write_bytes(b"mine")
    samples, rate = soundfile.read("north/b.wav")
    soundfile.write("north/b.wav", np.concatenate([np.zeros((rate, 2)), samples]), rate)
    assert events("table.csv", "-o", "e.csv", "--clips", "cut") == 0
    named = {row["clip"] for row in rows("e.csv")}
    assert both not in named
    assert cut_out() == {*named, "cut/mine.flac"}
    Path("north/b.wav").write_text("no sound any more")
    assert events("table.csv", "-o", "e.csv", "--clips", "cut") == 1
    assert cut_out() == {*(row["clip"] for row in rows("e.csv") if row["clip"]), "cut/mine.flac"}
    assert len(cut_out()) == 2


def test_clips_are_found_again_from_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getcwd()
    assert events("north/b.wav", "-o", "e.csv", "--clips", "cut") == 0
    monkeypatch.chdir("north")
    words = ("20240501_050000.wav", "b.wav", "-o", "../e.csv", "--clips", "../cut")
    assert events(*words) == 0
    clips = [row["clip"] for row in rows("../e.csv")]
    assert clips == [
        f"{here}/cut/Sine wave/20240501_050000.wav_0-2s.flac",
        "cut/Sine wave/north/b.wav_0-1s.flac",
    ]
    samples, rate = soundfile.read("20240501_050000.wav")
    soundfile.write("20240501_050000.wav", samples * 0.99, rate, "FLOAT")  # so it is cut out anew, in the same place
    assert events(*words) == 0
    assert [row["clip"] for row in rows("../e.csv")] == clips


def test_what_was_cut_out_is_not_listened_to_again(capsys: Captured) -> None:
    assert events("north", "-o", "e.csv", "--clips", "north/cut") == 0
    capsys.readouterr()
    assert events("north", "-o", "e.csv", "--clips", "north/cut") == 0
    assert "2 sounds in north/cut are left out" in capsys.readouterr().err
    assert len(rows("e.csv")) == 2


def test_into_a_pipe() -> None:
    os.mkfifo("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    assert events("north", "-o", "pipe", "--format", "csv") == 0
    reader.join(20)
    assert read[0].count(b"\n") == 3
    assert not Path("pipe.done.jsonl").exists()


def test_clips_of_tables_are_listened_to_in_their_place() -> None:
    Path("list.csv").write_text("file,start,end\nnorth/20240501_050000.wav,0.5,1.75\n")
    assert events("list.csv", "-o", "e.jsonl") == 0
    (row,) = map(json.loads, Path("e.jsonl").read_text().splitlines())
    assert (row["start"], row["end"]) == (0.5, 1.75)
    assert row["recorded_at"] == "2024-05-01T05:00:00.500"


def test_to_standard_output(capsys: Captured) -> None:
    assert events("north", "quiet.wav", "bad.wav") == 1
    printed = capsys.readouterr()
    assert [line.split("  ")[:2] for line in printed.out.splitlines()] == [
        *(["north/20240501_050000.wav", "0.00 - 2.00 s"], ["north/b.wav", "0.00 - 1.00 s"], ["quiet.wav", "no events"]),
    ]
    assert "bad.wav cannot be read" in printed.err
    assert events("north", "--format", "birdnet") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Start (s),End (s),Scientific name,Common name,Confidence,File"
    assert len(lines) == 3


def test_several_processes_give_the_same() -> None:
    assert events("north", "bad.wav", "-o", "one.csv") == 1
    assert main(["events", "north", "bad.wav", "--classes", "Sine wave", "--workers", "2", "-o", "two.csv"]) == 1
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


def test_thresholds_and_groups_of_files(capsys: Captured) -> None:
    Path("g.json").write_text('{"Loud": ["Sine wave", "Silence"]}')
    Path("t.csv").write_text("class,threshold\nloud,0.9999\n")
    words = ["events", "north/b.wav", "--groups", "g.json", "--workers", "1", "--format", "jsonl"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "Loud"
    assert main([*words, "--thresholds", "t.csv"]) == 0
    assert capsys.readouterr().out == ""
    Path("t.csv").write_text("class,threshold\nloud,high\n")
    assert main([*words, "--thresholds", "t.csv"]) == 2
    assert "it takes JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--retry-failed"], "--retry-failed is for --output"),
        (["--margin", "1"], "--margin is for --clips"),
        (["--format", "raven"], "for one recording"),
        (["--format", "audacity", "-o", "x.txt"], "one label track"),
        (["--site", "("], "no regular expression"),
        (["--time-pattern", "%H"], "says no day"),
    ],
)
def test_options_that_do_not_fit(words: list[str], said: str, capsys: Captured) -> None:
    assert events("north", *words) == 2
    assert said in capsys.readouterr().err


def test_extract_and_tag_say_when_and_where() -> None:
    import pyarrow.parquet as pq

    words = ["--workers", "1", "-q", "--time-zone", "+02:00", "--timestamps", "--hop", "0.5"]
    assert main(["extract", "north", "bad.wav", "-o", "d", *words]) == 1
    table = pq.read_table("d").to_pylist()
    assert [row["recorded_at"] for row in table[:2]] == [
        *("2024-05-01T05:00:00.000+02:00", "2024-05-01T05:00:00.500+02:00"),
    ]
    assert {(row["file"], row["site"]) for row in table} == {
        *(("north/20240501_050000.wav", "north"), ("north/b.wav", "north"), ("bad.wav", Path.cwd().name)),
    }
    assert main(["extract", "north", "-o", "d", *words[:3], *words[5:]]) == 2
    tag = ["tag", "north", "--window", "1", "--hop", "1", "--top", "1", "--recorded", "-q"]
    assert main([*tag, "-o", "t.csv"]) == 0
    assert [(row["start"], row["recorded_at"], row["site"]) for row in rows("t.csv")] == [
        ("0", "2024-05-01T05:00:00.000", "north"),
        ("1", "2024-05-01T05:00:01.000", "north"),
        ("0", "", "north"),
    ]
    assert main([*tag[:6], *tag[8:], "-o", "t.parquet"]) == 0
    assert pq.read_table("t.parquet").column("recorded_at").to_pylist()[1] == "2024-05-01T05:00:01.000"
