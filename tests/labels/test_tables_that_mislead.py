"""Tables that would be read, and be wrong: cells without quotes, numbers of other kinds, names that look the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from hear_edgel3.errors import LabelsError
from hear_edgel3.labels import Labelled, LabelOptions, read_labelled
from support.labelled import touch, write

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.filterwarnings("error")]


def read(text: str, **options: object) -> Labelled:
    touch(*(f"{stem}.wav" for stem in "abcd"))
    return read_labelled(write("t.csv", text), LabelOptions(**options))  # type: ignore[arg-type]


def wrong(text: str) -> str:
    with pytest.raises(LabelsError) as raised:
        read(text)
    return str(raised.value)


def test_a_comma_without_quotes_does_not_cut_a_label() -> None:
    text = "file,label\na.wav,rain, heavy\nb.wav,wind\nc.wav,wind\nd.wav,rain\n"
    assert "a.wav: the row has 3 cells, and the table 2 columns" in wrong(text)
    assert len(read(text, skip=True)) == 3
    assert read(text.replace("rain, heavy", '"rain, heavy"')).classes == ("rain", "rain, heavy", "wind")


def test_labels_in_another_encoding_are_no_names_of_classes() -> None:
    """As Excel saves CSV on Windows, unless it is told otherwise."""
    touch("a.wav", "b.wav")
    text = "file,label\na.wav,Mésange\nb.wav,Merle\n"
    Path("t.csv").write_bytes(text.encode("cp1252"))
    with pytest.raises(LabelsError, match=r"names in t\.csv that are not in UTF-8 or UTF-16, .*: 'M\\\\xe9sange'"):
        read_labelled("t.csv")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        Path("t.csv").write_bytes(text.encode(encoding))
        assert read_labelled("t.csv").classes == ("Merle", "Mésange")
    Path("t.csv").write_bytes("file,é,b\na.wav,1,0\nb.wav,0,1\n".encode("cp1252"))
    with pytest.raises(LabelsError, match="not in UTF-8 or UTF-16"):
        read_labelled("t.csv", LabelOptions(relevances=(r"\xe9", "b")))
    Path("é.wav".encode("latin-1").decode("utf-8", "surrogateescape")).write_text("a sound")  # a file may be called so
    Path("t.csv").write_bytes("file,label\né.wav,x\nb.wav,y\n".encode("latin-1"))
    assert read_labelled("t.csv").items[0].file == r"\xe9.wav"


def test_a_cell_that_is_nested_too_deeply_is_no_list() -> None:
    assert read(f"file,labels\na.wav,{'[' * 50_000}\nb.wav,x\n").classes == ("[" * 50_000, "x")


def test_empty_cells_at_the_end_are_nothing() -> None:
    assert read("file,label\na.wav,x,,\nb.wav,y,\n").classes == ("x", "y")


def test_the_same_row_twice_may_be_left_out() -> None:
    text = "file,label\na.wav,x\na.wav,x\nb.wav,y\n"
    assert "the same sound twice: a.wav" in wrong(text)
    assert len(read(text, skip=True)) == 2


def test_names_that_look_the_same_are_told_apart() -> None:
    said = wrong("file,label\na.wav,caf\u00e9\nb.wav,cafe\u0301\nc.wav,bar\n")
    assert r"'caf\xe9' (1 of them) and 'cafe\u0301' (1 of them) differ by case, spaces, underscores or forms" in said


def test_forms_of_one_number_are_not_several_classes() -> None:
    """A program that has read a column as floats, or as integers, writes it otherwise."""
    said = wrong("file,label\na.wav,1\nb.wav,1.0\nc.wav,01\nd.wav,2\n")
    assert "'1' (1 of them) and '1.0' (1 of them) and '01' (1 of them) are the same number, and different" in said
    assert read("file,label\na.wav,1\nb.wav,10\nc.wav,1.5\nd.wav,-1\n").classes == ("-1", "1", "1.5", "10")
    assert read("file,label\na.wav,007\nb.wav,02\nc.wav,v1.0\nd.wav,v1\n").classes == ("007", "02", "v1", "v1.0")


def test_numbers_that_are_none_here() -> None:
    assert "'1,5' in 'number' is no number; write it with a point" in wrong('file,number\na.wav,"1,5"\nb.wav,2\n')
    assert "a.wav: '1e39' in 'number' is too large for a float32" in wrong("file,number\na.wav,1e39\nb.wav,2\n")
