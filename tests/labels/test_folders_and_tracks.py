"""A folder per class; and tracks of labels as Audacity and Raven write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.event_detection.output import _tracks
from hear_edgel3.event_detection.records import Recording
from hear_edgel3.labels import Kind, LabelOptions, read_labelled
from hear_edgel3.labels.reading import layout_of
from support.labelled import touch, write

pytestmark = pytest.mark.usefixtures("here")


def test_a_folder_per_class() -> None:
    touch("d/dog/1.wav", "d/cat/2.wav", "d/cat/.hidden.wav", "d/cat/more/3.flac")
    labelled = read_labelled("d")
    assert layout_of("d") == "folders"
    assert labelled.kind is Kind.SINGLE
    assert labelled.classes == ("cat", "dog")
    assert [(item.file, int(target)) for item, target in zip(labelled.items, labelled.targets, strict=True)] == [
        ("d/cat/2.wav", 0),
        ("d/cat/more/3.flac", 0),
        ("d/dog/1.wav", 1),
    ]
    assert labelled.groups is None
    assert any("2 of 3 sounds lie in no folder inside that of their class" in note for note in labelled.notes)


def test_folders_inside_classes_are_groups() -> None:
    touch("d/yes/ann/1.wav", "d/yes/bob/1.wav", "d/no/ann/1.wav")
    assert read_labelled("d").groups == ("ann", "ann", "bob")


def test_folders_of_parts() -> None:
    touch("d/train/x/1.wav", "d/train/y/2.wav", "d/Test/x/3.wav", "d/valid/y/4.wav")
    labelled = read_labelled("d")
    assert labelled.parts == ("test", "train", "train", "validation")
    assert labelled.classes == ("x", "y")


def test_a_folder_beside_parts_is_no_class() -> None:
    touch("d/train/x/1.wav", "d/test/y/2.wav", "d/more/y/3.wav")
    with pytest.raises(LabelsError, match=r"'test', 'train' are the parts of a split, but beside them.*'more'"):
        read_labelled("d")
    touch("e/train/1.wav", "e/bus/2.wav")  # a class
    assert read_labelled("e").classes == ("bus", "train")


def test_what_is_wrong_with_folders() -> None:
    touch("d/dog/1.wav", "d/Dog /2.wav", "d/stray.wav")
    Path("d/empty").mkdir()
    with pytest.raises(LabelsError) as raised:
        read_labelled("d")
    said = str(raised.value)
    assert "classes without a sound: empty" in said
    assert "sounds beside the folders of classes, and in none: 1 in d" in said
    assert "'Dog ' (1 of them) and 'dog' (1 of them)" in said
    touch("e/x/1.wav", "e/y/1.wav")
    Path("e/empty").mkdir()
    labelled = read_labelled("e", LabelOptions(skip=True))
    assert labelled.classes == ("x", "y")
    assert "left out: classes without a sound: empty" in labelled.notes


def test_folders_of_tables_are_no_folders_of_classes() -> None:
    """As BirdNET writes them, a table for each sound."""
    for name in ("north/a.BirdNET.results.csv", "south/a.BirdNET.results.csv"):
        Path("d", name).parent.mkdir(parents=True)
        write(f"d/{name}", "Start (s),End (s),Scientific name,Common name,Confidence\n0,3,Strix aluco,Tawny Owl,0.9\n")
    for options in (LabelOptions(), LabelOptions(audio="sounds")):
        with pytest.raises(LabelsError, match=r"d has tables \(d/north/a.* for example\) and no sounds: give"):
            read_labelled("d", options)
    touch("d/north/a.wav", "d/south/a.wav")  # what lies beside sounds counts for nothing, as ever
    assert read_labelled("d").classes == ("north", "south")


def test_links_that_lead_nowhere_are_said_and_spoil_nothing() -> None:
    touch("d/dog/1.wav", "d/cat/2.wav")
    os.symlink("circle.wav", "d/circle.wav")
    os.symlink("nowhere.wav", "d/lost.wav")
    os.symlink("circle", "d/circle")
    with pytest.raises(LabelsError, match="sounds beside the folders of classes, and in none: 2 in d"):
        read_labelled("d")
    assert read_labelled("d", LabelOptions(skip=True)).classes == ("cat", "dog")


def test_audacitys_tracks() -> None:
    touch("d/a.wav", "d/b.wav")
    write("d/a.txt", "0.5\t1.5\tdog\n\\\t100.0\t2000.0\n2.0\t3.0\tcat\n")
    write("d/b.txt", "0.0\t1.0\tdog\n")
    write("d/readme.txt", "these are sounds\n")
    assert layout_of("d") == "tracks"
    labelled = read_labelled("d")
    assert labelled.kind is Kind.SINGLE
    assert [(item.file, item.start, item.end) for item in labelled.items] == [
        ("d/a.wav", 0.5, 1.5),
        ("d/a.wav", 2.0, 3.0),
        ("d/b.wav", 0.0, 1.0),
    ]
    assert labelled.targets.tolist() == [1, 0, 1]
    assert len(read_labelled("d/a.txt")) == 2


def test_tracks_whose_sound_is_gone_are_said() -> None:
    touch("d/a.wav")
    write("d/a.txt", "0.5\t1.5\tdog\n2.0\t3.0\tcat\n")
    write("d/b.txt", "0.0\t1.0\tdog\n")
    with pytest.raises(LabelsError, match=r"tracks that cannot be read: d/b\.txt .* d has no audio file called"):
        read_labelled("d")
    labelled = read_labelled("d", LabelOptions(skip=True))
    assert len(labelled) == 2
    assert any(note.startswith("left out: tracks that cannot be read: d/b.txt") for note in labelled.notes)


def test_tracks_away_from_their_sounds() -> None:
    """Those of equal names lie in folders, as `events` writes them; a folder of them alone has no sound in it."""
    touch("north/1.wav", "north/2.wav", "south/1.wav")
    write("labels/north/1.wav.txt", "0.0\t1.0\tdog\n")
    write("labels/south/1.wav.txt", "0.0\t1.0\tcat\n")
    assert layout_of("labels") == "tracks"
    labelled = read_labelled("labels", LabelOptions(audio="."))
    assert [os.path.normpath(item.file) for item in labelled.items] == ["north/1.wav", "south/1.wav"]
    write("labels/2.txt", "0.0\t1.0\tcat\n")  # one called as no other, whose sound is in a folder of `audio`
    assert os.path.normpath(read_labelled("labels", LabelOptions(audio=".")).items[0].file) == "north/2.wav"
    touch("south/2.wav")
    with pytest.raises(LabelsError, match=r"tracks that cannot be read: labels/2\.txt"):
        read_labelled("labels", LabelOptions(audio="."))
    write("flat/1.txt", "0.0\t1.0\tdog\n")
    write("flat/more/2.txt", "0.0\t1.0\tcat\n")
    labelled = read_labelled("flat", LabelOptions(audio="north"))
    assert [item.file for item in labelled.items] == ["north/1.wav", "north/2.wav"]


@pytest.mark.parametrize("where", [".", "..", "absolute"])
def test_tracks_as_events_puts_them(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into folders only where names are equal; `--audio .` is the folder that `events` was run in."""
    names = ["north/1.wav", "north/2.wav", "south/deep/1.wav", "south/3.flac"]
    touch(*names)
    Path("work").mkdir()
    here = Path.cwd()
    if where == "..":
        monkeypatch.chdir("work")
    texts = [{".": name, "..": f"../{name}", "absolute": f"{here}/{name}"}[where] for name in names]
    tracks = _tracks([Recording(text) for text in texts])
    for i, track in enumerate(tracks):
        write(f"tracks/{track}", f"0.0\t1.0\t{'ab'[i % 2]}\n")
    assert len(tracks) == 4
    labelled = read_labelled("tracks", LabelOptions(audio=os.path.relpath(here)))
    assert {Path(item.file).resolve() for item in labelled.items} == {here / name for name in names}


def test_texts_in_the_folders_of_classes_make_no_tracks_of_them() -> None:
    touch("d/dog/1.wav", "d/cat/1.wav")
    write("d/dog/1.txt", "0.0\t1.0\tloud\n")
    assert layout_of("d") == "folders"
    assert read_labelled("d").classes == ("cat", "dog")


def test_a_stretch_with_several_labels_and_one_without() -> None:
    touch("a.wav")
    write("a.txt", "0.0\t1.0\tdog\n0.0\t1.0\train\n2.0\t3.0\train\n")
    labelled = read_labelled("a.txt")
    assert labelled.kind is Kind.SEVERAL
    assert labelled.targets.tolist() == [[1, 1], [0, 1]]
    write("a.txt", "0.0\t1.0\tdog\n2.0\t3.0\t\n4.0\t5.0\train\n")
    with pytest.raises(LabelsError, match=r"without a label: a.wav \(2-3 s\)"):
        read_labelled("a.txt")


def test_ravens_selection_tables() -> None:
    touch("rec/a.wav", "rec/b.wav")
    header = "Selection\tView\tChannel\tBegin File\tBegin Time (s)\tEnd Time (s)\tFile Offset (s)\tAnnotation\n"
    rows = [
        "1\tWaveform 1\t1\ta.wav\t1.0\t2.0\t1.0\trobin\n",
        "1\tSpectrogram 1\t1\ta.wav\t1.0\t2.0\t1.0\trobin\n",
        "2\tSpectrogram 1\t1\tb.wav\t61.0\t63.5\t1.0\twren\n",
    ]
    write("rec/all.selections.txt", header + "".join(rows))
    labelled = read_labelled("rec/all.selections.txt")
    assert layout_of("rec/all.selections.txt") == "tracks"
    assert [(item.file, item.start, item.end) for item in labelled.items] == [
        ("rec/a.wav", 1.0, 2.0),
        ("rec/b.wav", 1.0, 3.5),
    ]
    assert labelled.classes == ("robin", "wren")
    assert any("1 labels are in a track twice" in note for note in labelled.notes)


def test_what_has_no_layout() -> None:
    with pytest.raises(LabelsError, match="does not exist"):
        read_labelled("nothing")
    Path("d").mkdir()
    touch("d/a.wav")
    with pytest.raises(LabelsError, match="neither a folder per class"):
        read_labelled("d")
    touch("e/x/1.wav", "e/y/2.wav")
    with pytest.raises(InvalidOption, match="e has the layout folders, to which label, separator do not apply"):
        read_labelled("e", LabelOptions(label="kind", separator=";"))
    with pytest.raises(InvalidOption, match="to which audio does not apply"):
        read_labelled("e", LabelOptions(audio="f"))
    with pytest.raises(InvalidOption, match="layout 'esc-50' is none of 'esc50'"):
        read_labelled("d", LabelOptions(layout="esc-50"))
