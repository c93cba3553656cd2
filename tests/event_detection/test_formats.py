"""What is written for other programs is read back by this package as what it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.event_detection import Event, formats
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.labels.reading import read_labelled
from hear_edgel3.recorded import zone_of

EVENTS = (
    Event(0.25, 1.5, "Bird", "/m/015p6", 0.75),
    Event(1.25, 2.0, "Dishes, pots, and pans", "/m/04brg2", 1 / 3),
    Event(3.0, 3.5, "Bird", "/m/015p6", 0.5),
)
MORE = (Event(0.5, 1.0, "Frog", "/m/09ld4", 0.875),)


def recordings(folder: Path) -> list[Recording]:
    found = []
    for name, events in {"a.wav": EVENTS, "b.wav": MORE, "none.wav": ()}.items():
        soundfile.write(folder / name, np.zeros(4 * 8000), 8000)
        began, site = "2024-05-01T23:59:59+02:00", "north"
        found.append(Recording(str(folder / name), events, None, None, 4.0, 8000, began, site))
    return found


def written(form: str, some: list[Recording], layout: Layout | None = None) -> bytes:
    target = io.BytesIO()
    formats.write(form, target, some, layout or Layout())
    return target.getvalue()


def labelled(path: Path, **options: str) -> list[tuple[str, float, float, str]]:
    """What a file of labels says, as this package reads it."""
    read = read_labelled(str(path), LabelOptions(**options))  # type: ignore[arg-type]
    assert read.kind == "single"
    return sorted(
        (Path(item.file).name, item.start or 0.0, item.end or 0.0, read.classes[int(target)])
        for item, target in zip(read.items, read.targets, strict=True)
    )


EXPECTED = sorted(
    (name, event.start, event.end, event.label)
    for name, events in {"a.wav": EVENTS, "b.wav": MORE}.items()
    for event in events
)


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "x.csv"), ("parquet", "x.parquet"), ("raven", "x.txt"), ("birdnet", "x.csv")]
)
def test_tables_are_read_back(form: str, name: str, tmp_path: Path) -> None:
    some = recordings(tmp_path)
    (tmp_path / name).write_bytes(written(form, some))
    assert labelled(tmp_path / name) == EXPECTED


def test_kaleidoscope_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "id.csv").write_bytes(written("kaleidoscope", recordings(tmp_path)))
    assert labelled(tmp_path / "id.csv") == EXPECTED


@pytest.mark.parametrize("form", ["audacity", "raven"])
def test_tracks_are_read_back(form: str, tmp_path: Path) -> None:
    for one in recordings(tmp_path):
        (tmp_path / f"{Path(one.file).stem}.txt").write_bytes(written(form, [one]))
    (tmp_path / "none.txt").unlink()
    assert labelled(tmp_path, layout="tracks") == EXPECTED


def test_clips_of_a_file_are_where_they_are_in_it_for_raven() -> None:
    """A file stands for its length once in a selection table of several, however many clips of it are listened to."""
    clips = [("a.wav", 0.0), ("b.wav", 1.0), ("a.wav", 2.0)]
    some = [
        Recording(file, (Event(start + 0.25, start + 0.75, "Bird", "", 0.5),), start, start + 1, 4.0, 8000)
        for file, start in clips
    ]
    rows = list(csv.DictReader(io.StringIO(written("raven", some).decode()), delimiter="\t"))
    assert [float(row["Begin Time (s)"]) for row in rows] == [0.25, 4 + 1.25, 2.25]
    assert [float(row["End Time (s)"]) for row in rows] == [0.75, 4 + 1.75, 2.75]
    assert [float(row["File Offset (s)"]) for row in rows] == [0.25, 1.25, 2.25]


@pytest.mark.parametrize(
    ("start", "end", "duration", "seconds"),
    [
        *((None, None, 60.0, 60.0), (None, None, None, 0.0), (1.5, 3.0, 60.0, 1.5)),
        *((58.5, 63.5, 60.0, 1.5), (50.0, None, 60.0, 10.0), (70.0, 71.0, 60.0, 0.0), (1.5, 3.0, None, 0.0)),
    ],
)
def test_the_sound_of_clips_is_theirs(
    start: float | None, end: float | None, duration: float | None, seconds: float
) -> None:
    assert Recording("a.wav", start=start, end=end, duration=duration).seconds == seconds


SEVERAL = (
    Event(0.25, 1.5, "Bird", "/m/015p6", 0.75),
    Event(0.25, 1.5, "Frog", "/m/09ld4", 1 / 3),
    Event(0.25, 1.5, "Dishes, pots, and pans", "/m/04brg2", 0.5),
    Event(0.25, 1.25, "Frog", "/m/09ld4", 0.5),
    Event(0.3, 0.7, "Bird", "/m/015p6", 0.5),
    Event(0.3, 0.7, "Frog", "/m/09ld4", 0.25),
)
ALL = {
    ("a.wav", 0.25, 1.5): {"Bird", "Frog", "Dishes, pots, and pans"},
    ("a.wav", 0.25, 1.25): {"Frog"},
    ("a.wav", 0.3, 0.7): {"Bird", "Frog"},
    ("b.wav", 0.5, 1.0): {"Frog"},
}


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("csv", "x.csv"),
        ("parquet", "x.parquet"),
        ("raven", "x.txt"),
        ("raven", "x.tsv"),
        ("birdnet", "x.csv"),
        ("kaleidoscope", "id.csv"),
        ("audacity", ""),
        ("raven", ""),
    ],
)
def test_several_classes_at_the_same_times(form: str, name: str, tmp_path: Path) -> None:
    """They are several labels of one sound, in whatever format they were written."""
    a, b, _ = recordings(tmp_path)
    some = [replace(a, events=SEVERAL), b]
    if name:
        (tmp_path / name).write_bytes(written(form, some))
    else:
        for one in some:
            (tmp_path / f"{Path(one.file).stem}.txt").write_bytes(written(form, [one]))
    found = read_labelled(str(tmp_path / name), LabelOptions(layout=None if name else "tracks"))
    assert found.kind == "several"
    said = {
        (Path(item.file).name, round(item.start or 0.0, 6), round(item.end or 0.0, 6)): {
            found.classes[number] for number in np.flatnonzero(row)
        }
        for item, row in zip(found.items, found.targets, strict=True)
    }
    assert said == ALL
    assert len(found) == len(ALL)
    if name and name != "x.txt":
        (note,) = [note for note in found.notes if "in rows of one time" in note]
        assert note.startswith("2 of 4 sounds of ")


@pytest.mark.parametrize("form", ["csv", "birdnet", "kaleidoscope"])
def test_where_only_one_label_may_be(form: str, tmp_path: Path) -> None:
    """Who names the column of one label is told of rows that contradict each other."""
    a, *_ = recordings(tmp_path)
    (tmp_path / "x.csv").write_bytes(written(form, [replace(a, events=SEVERAL)]))
    with pytest.raises(LabelsError, match=r"contradict each other(.|\n)*without the option `label`, rows of one time"):
        read_labelled(tmp_path / "x.csv", LabelOptions(label="label" if form == "csv" else "common_name"))


@pytest.mark.parametrize(("form", "name"), [("csv", "x.csv"), ("parquet", "x.parquet")])
def test_recordings_that_failed_have_no_labels(form: str, name: str, tmp_path: Path) -> None:
    a, b, _ = recordings(tmp_path)
    failed = [Recording("gone.wav", error="AudioFileError: gone.wav does not exist"), Recording("b.wav", error="x")]
    (tmp_path / name).write_bytes(written(form, [failed[0], a, b, failed[1]]))
    assert labelled(tmp_path / name) == EXPECTED
    (note,) = read_labelled(str(tmp_path / name)).notes
    assert note == f"2 recordings that failed, as {tmp_path / name} says, have no labels and are left out"


def test_what_people_have_heard_in_kaleidoscope(tmp_path: Path) -> None:
    a, b, _ = recordings(tmp_path)
    rows = list(csv.reader(io.StringIO(written("kaleidoscope", [replace(a, events=SEVERAL), b]).decode())))
    path = tmp_path / "id.csv"
    for row, heard in zip(rows[1:4], ("owl", "owl", "wren"), strict=True):
        row[-1] = heard
    path.write_text("".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    notes = read_labelled(path).notes
    assert any("the column 'common_name', and not the 3 in 'MANUAL ID', which the option `labels`" in n for n in notes)
    found = read_labelled(path, LabelOptions(labels="MANUAL ID"))
    assert found.classes == ("owl", "wren")
    assert [found.targets[i].tolist() for i in range(len(found))] == [[1, 1], [0, 0], [0, 0], [0, 0]]


def test_raven_times_run_on_from_file_to_file(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(written("raven", recordings(tmp_path)).decode()), delimiter="\t"))
    assert [row["Begin Time (s)"] for row in rows] == ["0.250000", "1.250000", "3.000000", "4.500000"]
    assert [row["File Offset (s)"] for row in rows] == ["0.250000", "1.250000", "3.000000", "0.500000"]
    assert [row["Selection"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0]["High Freq (Hz)"] == "4000"


def test_rows_say_when_and_where(tmp_path: Path) -> None:
    (a, *_) = recordings(tmp_path)
    rows = list(csv.DictReader(io.StringIO(written("csv", [a]).decode())))
    assert [row["recorded_at"] for row in rows] == [
        *("2024-05-01T23:59:59.250+02:00", "2024-05-02T00:00:00.250+02:00", "2024-05-02T00:00:02.000+02:00"),
    ]
    assert {row["site"] for row in rows} == {"north"}
    told = written("csv", [a], Layout(zone=zone_of("UTC"))).decode()
    assert "2024-05-01T21:59:59.250+00:00" in told
    unknown = written("csv", [replace(a, began="2024-05-01T23:59:59")], Layout(zone=None)).decode()
    assert "2024-05-01T23:59:59.250," in unknown
    day = list(csv.DictReader(io.StringIO(written("kaleidoscope", [a]).decode())))
    assert (day[1]["DATE"], day[1]["TIME"]) == ("2024-05-02", "00:00:00")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_recording_that_failed_is_a_row(form: str, tmp_path: Path) -> None:
    bad = Recording("x\r.wav", error="AudioFileError: x is, well, damaged", site="north")
    data = written(form, [bad])
    if form == "csv":
        (row,) = csv.DictReader(io.StringIO(data.decode(), newline=""))
    elif form == "jsonl":
        row = json.loads(data)
    else:
        (row,) = pq.read_table(io.BytesIO(data)).to_pylist()
    assert row["file"] == "x\r.wav"
    assert row["error"] == "AudioFileError: x is, well, damaged"
    assert row["site"] == "north"
    assert not row.get("start")


def test_json_lines_lack_what_is_not_known() -> None:
    line = json.loads(written("jsonl", [Recording("a.wav", MORE)]))
    assert line == {"file": "a.wav", "start": 0.5, "end": 1.0, "label": "Frog", "mid": "/m/09ld4", "score": 0.875}


def test_text_for_people() -> None:
    assert formats.as_text(Recording("a.wav", MORE)) == "a.wav  0.50 - 1.00 s  0.875  Frog\n"
    assert formats.as_text(Recording("a\n.wav")) == "a\\x0a.wav  no events\n" or "\\n" in formats.as_text(
        Recording("a\n.wav")
    )


@pytest.mark.parametrize(
    ("output", "named", "form"),
    [("x.CSV", None, "csv"), ("x.parquet", None, "parquet"), ("x", "raven", "raven"), (None, None, None)],
)
def test_formats_by_name(output: str | None, named: str | None, form: str | None) -> None:
    assert formats.format_of(output, named) == form


@pytest.mark.parametrize(
    "ask",
    [
        lambda: formats.format_of("x.txt", None),
        lambda: formats.format_of("x.csv", "word"),
        lambda: formats.format_of(None, "parquet"),
    ],
)
def test_formats_that_are_not_there(ask: Callable[[], object]) -> None:
    with pytest.raises(InvalidOption, match="format"):
        ask()
