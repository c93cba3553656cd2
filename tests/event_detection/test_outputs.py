"""``hear-edgel3 events``: what is there is not replaced, tracks that are out of date go, files with odd contents."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.disk.lock import lock
from hear_edgel3.disk.paths import folders_of
from hear_edgel3.errors import ComputationError
from hear_edgel3.event_detection.clips import ClipCutter
from hear_edgel3.event_detection.event import Event
from hear_edgel3.event_detection.records import Layout
from hear_edgel3.event_detection.request import read_thresholds
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.tagging.tagger import Tagger
from support.detectors import write_detector
from support.full_disk import files_of_at_most
from support.signals import tone

Captured = pytest.CaptureFixture[str]
RATE = 16000


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    for name in ("north/b.wav", "south/b.wav"):
        (here / name).parent.mkdir()
        soundfile.write(name, tone(1, RATE), RATE)


def events(*words: str) -> int:
    return main(["events", *words, "--classes", "Sine wave", "--workers", "1"])


def tracks() -> list[str]:
    return sorted(str(path.relative_to("tracks")) for path in Path("tracks").rglob("*.txt"))


def test_what_no_earlier_run_has_written_is_not_replaced(capsys: Captured) -> None:
    before = Path("south/b.wav").read_bytes()
    assert events("north", "-o", "south/b.wav", "--format", "csv") == 1
    assert "not replacing south/b.wav: it exists" in capsys.readouterr().err
    assert Path("south/b.wav").read_bytes() == before
    assert sorted(path.name for path in Path("south").iterdir()) == ["b.wav"]

    Path("tracks").mkdir()
    Path("tracks/b.txt").write_text("0\t1\tby hand\n")
    assert events("north", "-o", "tracks", "--format", "audacity") == 1
    assert "not replacing tracks/b.txt" in capsys.readouterr().err
    assert Path("tracks/b.txt").read_text() == "0\t1\tby hand\n"
    assert events("north", "-o", "tracks", "--format", "audacity", "--overwrite") == 0
    assert "Sine wave" in Path("tracks/b.txt").read_text()
    # What is new in a later run must not replace anything either.
    soundfile.write("north/c.wav", tone(1, RATE), RATE)
    Path("tracks/c.txt").write_text("0\t1\tby hand\n")
    assert events("north", "-o", "tracks", "--format", "audacity") == 1
    assert Path("tracks/c.txt").read_text() == "0\t1\tby hand\n"


def test_tracks_that_are_out_of_date_go() -> None:
    assert events("north", "-o", "tracks", "--format", "audacity") == 0
    assert tracks() == ["b.txt"]
    assert events("south", "-o", "tracks", "--format", "audacity") == 0
    assert tracks() == ["north/b.wav.txt", "south/b.wav.txt"]
    Path("south/b.wav").write_text("no sound any more")
    assert events("south", "-o", "tracks", "--format", "audacity") == 1
    assert tracks() == ["b.txt"]


def test_standard_output_has_no_name(capsys: Captured) -> None:
    assert events("north", "-o", "-", "--format", "csv") == 2
    assert "leave it out for standard output" in capsys.readouterr().err
    assert not Path("-").exists()


def test_several_nets_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Their logits are averaged as a tagger does it, and each recording is decoded once."""
    one, other = (str(write_detector(tmp_path / f"d{seed}", targets="several", seed=seed)) for seed in (1, 2))
    nets = ("--config", one, "--ensemble", other, one)
    words = ["events", "north", "south", "--threshold", "0.5", "--hysteresis", "1", "--workers", "1", "-q"]
    words += ["-o", "e.csv"]
    opened: list[object] = []
    enter = AudioFile.__enter__
    monkeypatch.setattr(AudioFile, "__enter__", lambda self: opened.append(self) or enter(self))
    assert main([*words, *nets]) == 0
    assert len(opened) == 2
    with open("e.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["file"] == "north/b.wav"]
    tags = Tagger([one, other]).tag_file("north/b.wav", window=1.0, hop=0.5)
    alone = Tagger(one).tag_file("north/b.wav", window=1.0, hop=0.5)
    expected = {label.name: p for label, p in zip(tags.labels, tags.probabilities.max(axis=0), strict=True) if p >= 0.5}
    assert expected
    assert {row["label"]: float(row["score"]) for row in rows} == pytest.approx(expected, abs=1e-5)
    assert np.abs(tags.probabilities - alone.probabilities).max() > 1e-3
    found = hear_edgel3.EventFinder([one, other], threshold=0.5).find_file("north/b.wav")
    assert {event.label for event in found} == set(expected)
    # It goes on, and another choice of nets is other options.
    assert main([*words, *nets]) == 0
    assert main([*words, "--config", one]) == 2
    assert "was begun with config [" in capsys.readouterr().err
    assert events("north", "--ensemble", "tiny", one) == 2
    assert "an ensemble needs nets with the same classes" in capsys.readouterr().err


def test_each_channel_by_itself(capsys: Captured) -> None:
    Path("wide").mkdir()
    later = np.concatenate([np.zeros(RATE), tone(1, RATE), np.zeros(RATE // 2)])
    sound = np.stack([np.roll(later, -RATE), np.zeros(len(later)), later], axis=1)
    soundfile.write("wide/a.wav", sound, RATE)
    words = ("wide", "north", "--channel", "each", "--hysteresis", "1")
    into = (*words, "-o", "e.txt", "--clips", "cut", "--format")
    assert events(*into, "csv") == 0
    assert "3 events in 2 recordings" in capsys.readouterr().err
    with open("e.txt", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    one_by_one = []
    for number in range(3):
        assert events("wide", "--channel", str(number), "--hysteresis", "1", "-o", f"{number}.jsonl") == 0
        found = map(json.loads, Path(f"{number}.jsonl").read_text().splitlines())
        one_by_one += [(number, row["start"], row["end"], row["score"]) for row in found]
    assert {number for number, *_ in one_by_one} == {0, 2}
    told = [(int(row["channel"]), *(float(row[name]) for name in ("start", "end", "score"))) for row in rows]
    assert told == [*one_by_one, (0, 0.0, 1.0, told[-1][-1])]
    assert [*rows[0]][:3] == ["file", "channel", "start"]
    clips = [soundfile.read(row["clip"])[0] for row in rows[:2]]
    assert rows[1]["clip"].startswith("cut/Sine wave/wide/a.wav_channel2_")
    begin = max(0, round((told[1][1] - 0.5) * RATE))
    assert np.abs(clips[1] - later[begin : begin + len(clips[1])]).max() < 1e-3
    # As arrays and files, a list for each channel.
    asked = {"classes": ["Sine wave"], "hysteresis": 1.0}
    of_file = hear_edgel3.events("wide/a.wav", channel="each", **asked)
    assert [len(one) for one in of_file] == [1, 0, 1]
    assert (
        hear_edgel3.EventFinder(**asked).find_samples(soundfile.read("wide/a.wav")[0], RATE, channel="each") == of_file
    )

    # Other formats of what is known already.
    assert events(*into, "raven") == 0
    assert [line.split("\t")[2] for line in Path("e.txt").read_text().splitlines()] == ["Channel", "1", "3", "1"]
    assert events(*into, "kaleidoscope") == 0
    assert [line.split(",")[3] for line in Path("e.txt").read_text().splitlines()] == ["CHANNEL", "0", "2", "0"]
    for form in ("audacity", "birdnet"):
        assert events(*words, "-o", "x", "--format", form) == 2
        assert f"--format {form} has no place for channels" in capsys.readouterr().err
    assert events("wide", *words[2:]) == 0
    assert capsys.readouterr().out.startswith("wide/a.wav  channel 0  0.00 - ")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "Sine wave,0.2\nSine wave,0.9\n", "'Sine wave' is there twice"),
        ("t.json", '{"Sine wave": 0.2, "Sine wave": 0.9}', "'Sine wave' is there twice"),
        ("t.csv", "Sine wave,0.2\nsine WAVE,0.9\n", "'Sine wave' and 'sine WAVE' are one class"),
        ("t.csv", "Sine wave,0.2\n/m/01v_m0,0.9\n", "'Sine wave' and '/m/01v_m0' are one class"),
        ("t.json", "[1]", "it is no object of numbers"),
        ("t.json", '[["Sine wave", 0.5]]', "it is no object of numbers"),
        ("t.json", '{"Sine wave": {"a": 1}}', "entry 1 is no class with a number"),
        ("t.csv", "Bird,0.2\n", "there is a threshold for 'Bird', which is none"),
        ("t.csv", "sep=;\n", "the thresholds t.csv have no classes"),
        ("t.csv", "sep=;\nBird;0,4\nFrog;loud\n", "entry 2 is no class with a number, but ['Frog', 'loud']"),
        ("t.csv", "Bird,nan\n", "the threshold of 'Bird' must be a number"),
        ("t.csv", "Bird,5\n", "the threshold of 'Bird' must be a number"),
        ("none.json/t.csv", None, "the thresholds none.json/t.csv cannot be read: No such file"),
        ("t.json", b"\xff", "the thresholds t.json cannot be read"),
        ("t.csv", b"\xff,0.5", "the thresholds t.csv cannot be read"),
    ],
)
def test_thresholds_that_cannot_be(name: str, text: str | bytes | None, said: str, capsys: Captured) -> None:
    if text is not None:
        Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    assert events("north", "--thresholds", name) == 2
    assert said in capsys.readouterr().err


def test_thresholds_by_machine_identifiers(capsys: Captured) -> None:
    Path("t.csv").write_text("/m/01v_m0,0.999\n")
    assert read_thresholds("t.csv") == {"/m/01v_m0": 0.999}
    assert events("north", "--thresholds", "t.csv", "--format", "jsonl") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text",
    [
        "Bird,0.4\nMale speech,0.1\n",
        "class,threshold\nBird,0.4\nMale speech,0.1\n",
        "sep=;\nBird;0,4\nMale speech;0,1\n",
        "sep=;\nBird,0.4\nMale speech,0.1\n",  # as programs write it anew that do not know the first line
        "sep=;\nclass;threshold\nBird;0.4\nMale speech;0.1\n",
        '"sep=|"\nBird|0.4\nMale speech|0.1\n',
        "Klasse;Schwelle\nBird;0,4\nMale speech;0,1\n",  # as Excel has it where commas are decimal ones
        "Bird\t0.4\n\nMale speech\t0.1\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_thresholds_are_read_as_other_tables_are(text: str, encoding: str) -> None:
    Path("t.csv").write_text(text, encoding=encoding)
    assert read_thresholds("t.csv") == {"Bird": 0.4, "Male speech": 0.1}


def test_thresholds_of_classes_with_commas() -> None:
    Path("t.csv").write_text('"Male speech, man speaking",0.4\n')
    assert read_thresholds("t.csv") == {"Male speech, man speaking": 0.4}
    Path("t.csv").write_text("Male speech, man speaking;0,4\n")
    assert read_thresholds("t.csv") == {"Male speech, man speaking": 0.4}


def test_odd_names_in_tables_of_other_programs() -> None:
    names = ["a,b.wav", 'q"uo"te.wav', "new\nline.wav", "tab\tx.wav", "=x.wav"]
    Path("odd").mkdir()
    for name in names:
        soundfile.write(f"odd/{name}", tone(1, RATE), RATE)
    for form, column, delimiter in (("birdnet", "File", ","), ("kaleidoscope", "IN FILE", ","), ("csv", "file", ",")):
        assert events("odd", "-o", f"{form}.csv", "--format", form) == 0
        with open(f"{form}.csv", newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file, delimiter=delimiter))
        assert sorted(Path(row[column]).name for row in found) == sorted(names)
    with open("kaleidoscope.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):  # it looks for files there
            assert Path(row["INDIR"], row["FOLDER"], row["IN FILE"]).resolve().parent == Path("odd").resolve()


def test_clips_of_rates_that_flac_does_not_take() -> None:
    rate = 768000
    times = np.arange(rate) / rate
    soundfile.write("bat.wav", 0.5 * np.sin(2 * np.pi * 50000 * times), rate, "FLOAT")
    cutter = ClipCutter("cut", 0.1, ItemOpener(""))
    (path,) = cutter.cut(Item("bat.wav", 0), [Event(0.3, 0.5, "Bat", "", 1.0)])
    clip, found = soundfile.read(path)
    assert (found, len(clip)) == (384000, round(0.4 * 384000))
    spectrum = np.abs(np.fft.rfft(clip))
    assert np.argmax(spectrum) * found / len(clip) == pytest.approx(50000, abs=3)
    assert np.abs(clip).max() == pytest.approx(0.5, abs=0.02)


def test_clips_of_recordings_with_long_names() -> None:
    names = ["x" * 240 + ".wav", "x" * 239 + "y.wav"]
    cutter = ClipCutter("cut", 0.0, ItemOpener(""))
    made = []
    for name in names:
        soundfile.write(name, tone(1, RATE), RATE)
        made += cutter.cut(Item(name, 0), [Event(0.25, 0.5, "Bird", "", 1.0)])
    assert len({Path(path).name for path in made if Path(path).is_file()}) == 2
    assert all(path.endswith("_0.25-0.5s.flac") for path in made)


def test_clips_of_classes_with_long_names() -> None:
    names = ["x" * 300, "x" * 299 + "y", "x" * 299 + "/", "鳥" * 100]
    soundfile.write("a.wav", tone(1, RATE), RATE)
    made = ClipCutter("cut", 0.0, ItemOpener("")).cut(
        Item("a.wav", 0), [Event(0.25, 0.5, name, "", 1.0) for name in names]
    )
    assert len({Path(path).parent for path in made if Path(path).is_file()}) == 4


def test_tracks_of_recordings_with_long_names() -> None:
    """Also where the name that no other recording has would be too long for a file."""
    for name in ("a/short.wav", "a/" + "x" * 250 + ".wav", "b/" + "x" * 250 + ".wav", "b/" + "x" * 249 + "y.wav"):
        Path(name).parent.mkdir(exist_ok=True)
        soundfile.write(name, tone(1, RATE), RATE)
    assert events("a", "-o", "tracks", "--format", "audacity") == 0
    assert tracks() == ["short.txt", "x" * 250 + ".txt"]
    assert events("a", "b", "-o", "tracks", "--format", "audacity") == 0
    first, second, *others = tracks()
    assert [len(Path(name).name) for name in (first, second)] == [255, 255]
    assert [first[:4], second[:4]] == ["a/xx", "b/xx"]
    assert others == ["short.txt", "x" * 249 + "y.txt"]


def test_one_run_at_a_time_writes_an_output(capsys: Captured) -> None:
    assert events("north", "-o", "e.csv") == 0
    before = Path("e.csv").read_bytes()
    with open("e.csv.done.jsonl", "a+b") as other:
        lock(other)
        for more in ([], ["--overwrite"]):
            assert events("south", "-o", "e.csv", *more) == 1
            assert "another process is writing e.csv; wait for its end" in capsys.readouterr().err
    assert Path("e.csv").read_bytes() == before


def test_a_full_disk(capsys: Captured) -> None:
    """One line says it; what is done is kept as a whole, and the same command goes on."""
    words = ("north", "south", "-q", "-o", "e.csv")
    assert events(*words) == 0
    whole = Path("e.csv").read_bytes()
    size = Path("e.csv.done.jsonl").read_bytes().index(b'{"written"')
    for path in Path().glob("e.csv*"):
        path.unlink()
    with files_of_at_most(size - 10):
        assert events(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot write e.csv.done.jsonl: File too large; what was computed before is kept" in line
    lines = [json.loads(text) for text in Path("e.csv.done.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines if "file" in line] == ["north/b.wav"]
    assert "north/b.wav" in Path("e.csv").read_text()
    assert events(*words) == 0
    assert Path("e.csv").read_bytes() == whole


def test_a_disk_that_is_too_full_for_clips(capfd: pytest.CaptureFixture[str]) -> None:
    """The encoder calls from C, where an error would be printed with a traceback."""
    words = ("north", "-q", "-o", "e.csv", "--clips", "cut")
    with files_of_at_most(2000):
        assert events(*words) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "cannot write cut/Sine wave/north/b.wav_0-1s.flac: File too large" in line
    assert [path for path in Path("cut").rglob("*") if path.is_file()] == []
    assert events(*words) == 0
    assert soundfile.info("cut/Sine wave/north/b.wav_0-1s.flac").frames == RATE


def test_recordings_above_this_folder_have_places_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("here").mkdir()
    monkeypatch.chdir("here")
    Path("b.wav").write_bytes(Path("../north/b.wav").read_bytes())
    Path("north").mkdir()
    Path("north/b.wav").write_bytes(Path("../north/b.wav").read_bytes())
    words = ("../north", "north", "b.wav", "-q")
    assert events(*words, "-o", "tracks", "--format", "audacity") == 0
    assert tracks() == ["_../north/b.wav.txt", "b.wav.txt", "north/b.wav.txt"]
    assert events(*words, "-o", "e.csv", "--clips", "cut") == 0
    found = sorted(str(path.parent.relative_to("cut/Sine wave")) for path in Path("cut").rglob("*.flac"))
    assert found == [".", "_../north", "north"]


def test_absolute_names_have_places_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    inside = Path(*other.parts[1:])
    for folder in (other, inside):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "b.wav").write_bytes(Path("north/b.wav").read_bytes())
    words = (str(other), str(inside), "-q")
    assert events(*words, "-o", "tracks", "--format", "audacity") == 0
    assert tracks() == sorted(f"{folder}/b.wav.txt" for folder in (f"_root/{inside}", inside))
    assert events(*words, "-o", "e.csv", "--clips", "cut") == 0
    found = {str(path.parent.relative_to("cut/Sine wave")) for path in Path("cut").rglob("*.flac")}
    assert found == {f"_root/{inside}", str(inside)}
    names = ["/a/b", "a/b", "_root/a/b", "__root/a/b", "../a/b", "_../a/b", "__../a/b", "/_root/a/b", "root/a/b"]
    assert len({folders_of(name) for name in names}) == len(names)
    assert ".." not in {part for name in names for part in folders_of(name).parts}


def test_a_short_name_is_no_other_recordings_long_one() -> None:
    Path("north/b.flac").write_bytes(Path("north/b.wav").read_bytes())
    for name in ("b.wav", "b.wav.wav"):
        Path(name).write_bytes(Path("north/b.wav").read_bytes())
    assert events("b.wav", "b.wav.wav", "north", "-q", "-o", "tracks", "--format", "audacity") == 0
    assert tracks() == ["b.wav.txt", "b.wav.wav.txt", "north/b.flac.txt", "north/b.wav.txt"]


def test_the_channel_that_was_chosen_is_said_as_programs_count() -> None:
    soundfile.write("wide.wav", np.stack([np.zeros(RATE), tone(1, RATE)], axis=1), RATE)
    words = ("wide.wav", "--channel", "1", "-q", "-o", "e.txt", "--format")
    assert events(*words, "raven") == 0
    assert [line.split("\t")[2] for line in Path("e.txt").read_text().splitlines()] == ["Channel", "2"]
    assert events(*words, "kaleidoscope") == 0
    assert [line.split(",")[3] for line in Path("e.txt").read_text().splitlines()] == ["CHANNEL", "1"]
    assert events(*words, "csv") == 0
    assert [line.split(",")[1] for line in Path("e.txt").read_text().splitlines()] == ["channel", "1"]
    assert events(*words, "jsonl") == 0
    assert [*json.loads(Path("e.txt").read_text())][:3] == ["file", "channel", "start"]
    assert events(*words, "parquet") == 0
    table = pq.read_table("e.txt")
    assert (table["channel"].to_pylist(), table.schema.field("channel").type) == ([1], pa.int64())
    # Of the mean of all there is nothing to say.
    assert events("wide.wav", "-q", "-o", "mean.csv") == 0
    assert Path("mean.csv").read_text().startswith("file,start,")


def test_the_channel_is_said_in_runs_that_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of what a version found that did not say it."""
    soundfile.write("wide.wav", np.stack([np.zeros(RATE), tone(1, RATE)], axis=1), RATE)
    words = ("wide.wav", "--channel", "1", "-q", "-o", "e.csv")
    with monkeypatch.context() as before:
        before.setattr(Layout, "has_channel", False)
        assert events(*words) == 0
    assert Path("e.csv").read_text().startswith("file,start,")
    monkeypatch.setattr("hear_edgel3.tagging.answering.AnsweringNet.embed_windows", None)  # nothing is found anew
    assert events(*words) == 0
    assert [line.split(",")[1] for line in Path("e.csv").read_text().splitlines()] == ["channel", "1"]


def test_classes_whose_names_are_no_folders_have_folders_of_their_own() -> None:
    labels = ["a/b", "a:b", "a_b", "Grünfink", "a_b.", ".."]
    cutter = ClipCutter("cut", 0.0, ItemOpener(""))
    made = cutter.cut(Item("north/b.wav", 0), [Event(0.25, 0.5, label, "", 1.0) for label in labels])
    assert len({path for path in made if Path(path).is_file()}) == len(labels)
    assert Path(made[3]).parts[:2] == ("cut", "Grünfink")
    assert ".." not in {part for path in made for part in Path(path).parts}


def test_errors_of_the_net_name_the_recording(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def damaged(*_: object) -> None:
        raise ComputationError("tiny gives values that are not finite")

    monkeypatch.setattr("hear_edgel3.tagging.answering.AnsweringNet.embed_windows", damaged)
    said = "north/b.wav: tiny gives values that are not finite"
    assert events("north", "--format", "csv") == 1
    printed = capsys.readouterr()
    assert printed.err == f"error: ComputationError: {said}\n"
    assert said in printed.out
    with pytest.raises(ComputationError, match=said):
        hear_edgel3.events("north/b.wav")
