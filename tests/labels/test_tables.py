"""Tables of labelled sounds: targets of each kind, columns by their usual names, and all that is wrong by name."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.labels import Kind, Labelled, LabelOptions, read_labelled
from support.labelled import touch, write

pytestmark = pytest.mark.usefixtures("here")


def read(text: str, name: str = "t.csv", **options: object) -> Labelled:
    touch(*(f"{stem}.wav" for stem in "abcd"))
    return read_labelled(write(name, text), LabelOptions(**options))  # type: ignore[arg-type]


def wrong(text: str, **options: object) -> str:
    with pytest.raises(LabelsError) as raised:
        read(text, **options)
    return str(raised.value)


def test_one_label_with_clips_folds_and_groups() -> None:
    text = "file,start,end,label,fold,group\na.wav,0,1,dog,1,x\na.wav,1,2.5,cat,2,x\nb.wav,0,1,dog,1,y\n"
    for labelled in (
        read(text),
        read(text.replace(",", "\t"), "t.tsv"),
        read(text.replace(",", ";").replace("2.5", "2,5")),
        read("sep=;\n" + text.replace(",", ";").replace("2.5", "2,5")),  # as Excel has it
    ):
        assert labelled.kind is Kind.SINGLE
        assert labelled.classes == ("cat", "dog")
        assert labelled.targets.tolist() == [1, 0, 1]
        assert [(item.file, item.start, item.end) for item in labelled.items] == [
            ("a.wav", 0.0, 1.0),
            ("a.wav", 1.0, 2.5),
            ("b.wav", 0.0, 1.0),
        ]
        assert labelled.folds == ("1", "2", "1")
        assert labelled.groups == ("x", "x", "y")
        assert labelled.parts is None
        assert labelled.matrix().tolist() == [[0, 1], [1, 0], [0, 1]]
        assert labelled.positives().tolist() == [1, 2]


def test_parts_in_the_usual_words_and_in_others() -> None:
    text = "file,label,split\na.wav,x,Training\nb.wav,y,val\nc.wav,x,eval\n"
    assert read(text).parts == ("train", "validation", "test")
    own = read(text.replace(",val", ",dev"), parts={"dev": "validation"})
    assert own.parts == ("train", "validation", "test")
    assert "skip" not in wrong(text.replace(",val", ",dev"))
    said = wrong(text.replace("eval", "dev").replace("Training", "trian"))
    assert "'dev' is no part of a split" in said
    assert "'trian' is no part of a split" in said
    assert "is 'train' meant?" in said


@pytest.mark.parametrize(
    ("cells", "separator"),
    [("x;y,x", ";"), ("x|y,x", "|"), ('"x,y",x', ","), ('"[""x"", ""y""]",x', None)],
)
def test_several_labels(cells: str, separator: str | None) -> None:
    first, second = cells.rsplit(",", 1)
    labelled = read(f"file,labels\na.wav,{first}\nb.wav,{second}\nc.wav,\n")
    assert labelled.kind is Kind.SEVERAL
    assert labelled.classes == ("x", "y")
    assert labelled.targets.dtype == np.uint8
    assert labelled.targets.tolist() == [[1, 1], [1, 0], [0, 0]]  # an empty cell: of no class
    notes = [note for note in labelled.notes if "separated by" in note]
    assert len(notes) == (separator is not None)
    assert all(repr(separator) in note for note in notes)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("rain;wind|rain|wind", "'rain;wind'"),
        ("rain;hail|wind|rain", "'rain;hail'"),
        ('"rain,wind"|rain|wind', "'rain,wind'"),
        ('"Music, sad"|Music|wind', None),
        ("rain;|rain;wind|wind", "'rain;wind'"),
    ],
)
def test_several_labels_in_a_column_of_single_ones_are_said(cells: str, said: str | None) -> None:
    rows = zip("abc", cells.split("|")[-3:], strict=True)
    labelled = read("file,label\n" + "".join(f"{stem}.wav,{cell}\n" for stem, cell in rows))
    assert labelled.kind is Kind.SINGLE
    notes = [note for note in labelled.notes if "has one label per sound" in note]
    assert len(notes) == (said is not None)
    assert all(f"classes too: {said}; if" in note for note in notes)


def test_a_separator_can_be_named_and_is_not_guessed_between_two() -> None:
    text = 'file,labels\na.wav,"Speech, male;x"\nb.wav,Rain\n'
    assert read(text).classes == ("Rain", "Speech, male", "x")
    assert read(text, separator="/").classes == ("Rain", "Speech, male;x")
    assert "both ';' and '|'" in wrong("file,labels\na.wav,x;y\nb.wav,x|y\n")


def test_a_parquet_of_lists() -> None:
    touch("a.wav", "b.wav")
    pq.write_table(pa.table({"file": ["a.wav", "b.wav"], "tags": [["x", "y,z"], []]}), "t.parquet")
    labelled = read_labelled("t.parquet")
    assert labelled.classes == ("x", "y,z")
    assert labelled.targets.tolist() == [[1, 1], [0, 0]]


def test_audiosets_own_tables() -> None:
    text = (
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        'a, 30.000, 40.000, "/m/09x0r,/m/05zppz"\nb, 0.000, 10.000, "/m/09x0r"\n'
    )
    labelled = read(text)
    assert len(labelled.classes) == 527
    assert labelled.classes[:2] == ("Speech", "Male speech, man speaking")
    assert labelled.targets[:, :2].tolist() == [[1, 1], [1, 0]]
    assert labelled.items[0].start == 30
    assert read(text, whole_files=True).items[0].start is None


def test_numbers() -> None:
    labelled = read("file,valence,arousal\na.wav,0.5,-1\nb.wav,1e-3,2\n", numbers=("valence", "arousal"))
    assert labelled.kind is Kind.NUMBERS
    assert labelled.classes == ("valence", "arousal")
    assert labelled.targets.dtype == np.float32
    assert labelled.targets.tolist() == [[0.5, -1], [np.float32(1e-3), 2]]
    assert read("file,numbers\na.wav,1;2\nb.wav,3;5\n").targets.tolist() == [[1, 2], [3, 5]]
    assert read("file,value\na.wav,1\nb.wav,3\n").classes == ("value",)


@pytest.mark.parametrize("cell", ["nan", "inf", "1_0", "x", "", '"0,5"'])
def test_what_is_no_number(cell: str) -> None:
    said = wrong(f"file,value\na.wav,1\nb.wav,{cell}\n")
    assert "b.wav" in said
    assert "number" in said
    assert len(read(f"file,value\na.wav,1\nb.wav,{cell}\nc.wav,2\n", skip=True)) == 2


def test_relevances_with_gaps() -> None:
    labelled = read("file,p,q\na.wav,0.75,\nb.wav,,0\nc.wav,1,true\n", relevances=("p", "q"))
    assert labelled.kind is Kind.SEVERAL
    assert labelled.targets.tolist() == [[0.75, 0], [0, 0], [1, 1]]
    assert labelled.mask is not None
    assert labelled.mask.tolist() == [[True, False], [False, True], [True, True]]
    assert labelled.positives().tolist() == [2, 1]
    whole = read("file,p,q\na.wav,0,1\nb.wav,1,0\n", relevances=("p", "q"))
    assert whole.targets.dtype == np.uint8
    assert whole.mask is None
    assert "'1.5' in 'p' is not between 0 and 1" in wrong("file,p\na.wav,1.5\nb.wav,0\n", relevances=("p",))


def test_labels_that_differ_by_case_or_spaces() -> None:
    said = wrong("file,label\na.wav,Dog\nb.wav,dog \nc.wav,big cat\nd.wav,big_cat\n")
    assert "'Dog' (1 of them) and 'dog ' (1 of them)" in said
    assert "'big cat' (1 of them) and 'big_cat' (1 of them)" in said


def test_all_that_is_wrong_is_said_at_once_and_can_be_left_out() -> None:
    text = "file,label\na.wav,x\nb.wav,y\nc.wav,\ngone.wav,x\nempty.wav,y\n"
    write("empty.wav", "")
    said = wrong(text)
    assert "sounds without a label: c.wav" in said
    assert "files that are not there: gone.wav" in said
    assert "relative paths begin in the set's own folder or in that of the option `audio`" in said
    assert "empty files: empty.wav" in said
    assert "`skip`" in said
    labelled = read(text, skip=True)
    assert [item.file for item in labelled.items] == ["a.wav", "b.wav"]
    assert [note for note in labelled.notes if note.startswith("left out")] == [
        "left out: sounds without a label: c.wav",
        "left out: files that are not there: gone.wav",
        "left out: empty files: empty.wav",
    ]


def test_one_class_only() -> None:
    assert "all sounds have one class, 'x'" in wrong("file,label\na.wav,x\nb.wav,x\n")
    assert "every sound has every class" in wrong("file,labels\na.wav,x\nb.wav,x\n")
    assert "no sound has any label" in wrong("file,labels\na.wav,\nb.wav,\n", classes=("x", "y"))
    assert "the same number 2" in wrong("file,value\na.wav,2\nb.wav,2\n")
    assert len(read("file,labels\na.wav,x\nb.wav,\n")) == 2  # a detector of one class


def test_stated_classes_give_the_order() -> None:
    text = "file,label\na.wav,x\nb.wav,y\n"
    labelled = read(text, classes=("y", "z", "x"))
    assert labelled.classes == ("y", "z", "x")
    assert labelled.targets.tolist() == [2, 0]
    assert labelled.empty_classes() == ["z"]
    assert any("1 of 3 classes have no sound" in note and "'z'" in note for note in labelled.notes)
    assert "none of the 2 stated classes: 'y'" in wrong(text, classes=("x", "z"))
    with pytest.raises(InvalidOption, match="classes: 'a', 'A' are the same"):
        LabelOptions(classes=("a", "b", "A"))


def test_the_same_sound_twice() -> None:
    said = wrong("file,label\na.wav,x\na.wav,y\nb.wav,y\n")
    assert (
        "contradict each other; several labels belong into one row, in a column `labels`: a.wav is 'x' and 'y'" in said
    )
    assert "the same sound twice: a.wav" in wrong("file,label\na.wav,x\n./a.wav,x\nb.wav,y\n")
    clips = "file,start,end,label,split\na.wav,0,1,x,train\na.wav,0,1,x,test\nb.wav,0,1,y,train\n"
    assert "several parts of a split: a.wav (0-1 s) in train and test" in wrong(clips)
    said = wrong("file,start,end,label\na.wav,0,1,x\na.wav,0,1,y\nb.wav,0,1,y\n")
    assert "a.wav (0-1 s) is 'x' and 'y'" in said


def test_columns_must_be_stated_for_all_rows_or_none() -> None:
    assert "1 of 2 sounds have no fold" in wrong("file,label,fold\na.wav,x,1\nb.wav,y,\n")
    assert read("file,label,fold\na.wav,x,\nb.wav,y,\n").folds is None


def test_columns_that_are_not_there_or_too_many() -> None:
    assert "no column of labels" in wrong("file,colour\na.wav,x\n")
    assert "'colour'" in wrong("file,colour\na.wav,x\n")
    assert "'label' and 'labels'" in wrong("file,label,labels\na.wav,x,y\n")
    assert "no column 'kind'" in wrong("file,label\na.wav,x\n", label="kind")
    assert "without columns" in wrong_list()
    assert read("file,colour\na.wav,x\nb.wav,y\n", label="Colour").classes == ("x", "y")
    with pytest.raises(InvalidOption, match="label and numbers contradict"):
        LabelOptions(label="a", numbers=("b",))


def wrong_list() -> str:
    touch("a.wav")
    with pytest.raises(LabelsError) as raised:
        read_labelled(write("t.lst", "a.wav\n"))
    return str(raised.value)


def test_groups_by_column_and_by_pattern() -> None:
    text = "file,label,speaker\na.wav,x,s1\nb.wav,y,s2\n"
    assert read(text).groups is None
    assert read(text, group="speaker").groups == ("s1", "s2")
    assert read(text, group_pattern=r"(.)\.wav").groups == ("a", "b")
    assert "group_pattern 'z' does not match (2): a.wav; b.wav" in wrong(text, group_pattern="z")
    with pytest.raises(InvalidOption, match="no regular expression"):
        LabelOptions(group_pattern="(")


def test_a_file_that_is_not_there_is_named_once() -> None:
    text = "file,start,end,label\n" + "".join(f"gone.wav,{i},{i + 1},x\n" for i in range(9)) + "/other.wav,0,1,y\n"
    said = wrong(text)
    assert "- files that are not there (2, of 10 sounds): gone.wav; /other.wav\n" in said
    assert "absolute ones are taken as the set has them" in said
