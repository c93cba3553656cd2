"""The published sets, built small in the folders that they are given away in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hear_edgel3.errors import LabelsError
from hear_edgel3.labels import Kind, LabelOptions, read_labelled
from hear_edgel3.labels.reading import layout_of
from support.labelled import touch, write

pytestmark = pytest.mark.usefixtures("here")

ESC50 = "filename,fold,target,category,esc10,src_file,take\n"


def test_esc50() -> None:
    touch("e/audio/1-100032-A-0.wav", "e/audio/2-7-A-49.wav", "e/audio/5-7-B-49.wav")
    rows = [
        "1-100032-A-0.wav,1,0,dog,True,100032,A\n",
        "2-7-A-49.wav,2,49,hand_saw,False,7,A\n",
        "5-7-B-49.wav,5,49,hand_saw,False,7,B\n",
    ]
    write("e/meta/esc50.csv", ESC50 + "".join(rows))
    assert layout_of("e") == "esc50"
    labelled = read_labelled("e")
    assert (labelled.name, labelled.kind, len(labelled.classes)) == ("ESC-50", Kind.SINGLE, 50)
    assert labelled.targets.tolist() == [0, 49, 49]
    assert labelled.classes[0] == "dog"
    assert labelled.classes[48:] == ("fireworks", "hand_saw")
    assert labelled.folds == ("1", "2", "5")
    assert labelled.groups == ("100032", "7", "7")
    assert len(labelled.empty_classes()) == 48
    assert any("48 of 50 classes have no sound" in note for note in labelled.notes)
    touch("e/audio_32k/1-100032-A-0.wav", "e/audio_32k/2-7-A-49.wav", "e/audio_32k/5-7-B-49.wav")
    assert read_labelled("e").items[0].file == "e/audio_32k/1-100032-A-0.wav"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.wav,1,50,x,,7,A", "'50' in the column 'target' is no number from 0 to 49"),
        (f"a.wav,1,{'1' * 5000},x,,7,A", "in the column 'target' is no number from 0 to 49"),
        ("a.wav,1,0,cat,,7,A\nb.wav,1,0,dog,,7,A", "the class 0 is called 'cat' as well as 'dog'"),
        ("a.wav,,0,dog,,7,A", "line 2 has nothing in 'fold'"),
        ("a.wav,1,0,dog,,7,A,more", "line 2 has more cells than the 7 columns"),
    ],
)
def test_esc50_that_is_wrong(row: str, said: str) -> None:
    touch("e/audio/a.wav", "e/audio/b.wav")
    write("e/meta/esc50.csv", ESC50 + row + "\n")
    with pytest.raises(LabelsError, match=said):
        read_labelled("e")


def test_urbansound8k() -> None:
    touch("u/audio/fold5/100032-3-0-0.wav", "u/audio/fold10/9-2-1-0.wav")
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    rows = "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark\n9-2-1-0.wav,9,40.5,44.5,1,10,2,children_playing\n"
    write("u/metadata/UrbanSound8K.csv", header + rows)
    labelled = read_labelled("u")
    assert labelled.name == "UrbanSound8K"
    assert [(item.file, item.start) for item in labelled.items] == [
        ("u/audio/fold5/100032-3-0-0.wav", None),  # files are cut already
        ("u/audio/fold10/9-2-1-0.wav", None),
    ]
    assert labelled.targets.tolist() == [3, 2]
    assert len(labelled.classes) == 10
    assert (labelled.folds, labelled.groups) == (("5", "10"), ("100032", "9"))
    # The table alone does as a table, too.
    alone = read_labelled("u/metadata/UrbanSound8K.csv", LabelOptions(audio="u/audio", group="fsID"))
    assert [item.file for item in alone.items] == [item.file for item in labelled.items]
    assert alone.classes == ("children_playing", "dog_bark")


def test_fsd50k() -> None:
    touch("f/FSD50K.dev_audio/64760.wav", "f/FSD50K.dev_audio/16399.wav", "f/FSD50K.eval_audio/37199.wav")
    truth = "f/FSD50K.ground_truth"
    write(f"{truth}/vocabulary.csv", "0,Accordion,/m/0mkg\n1,Bark,/m/05tny_\n2,Dog,/m/0bt9lr\n")
    write(f"{truth}/dev.csv", 'fname,labels,mids,split\n64760,"Bark,Dog","x,y",train\n16399,Accordion,z,val\n')
    write(f"{truth}/eval.csv", 'fname,labels,mids\n37199,"Dog",y\n')
    labelled = read_labelled("f")
    assert (labelled.name, labelled.kind) == ("FSD50K", Kind.SEVERAL)
    assert labelled.classes == ("Accordion", "Bark", "Dog")
    assert labelled.targets.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 1]]
    assert labelled.parts == ("train", "validation", "test")
    assert labelled.groups is None
    for part, clips in (("dev", ("64760", "16399")), ("eval", ("37199",))):
        about = {clip: {"uploader": f"of {clip}"} for clip in clips}
        write(f"f/FSD50K.metadata/{part}_clips_info_FSD50K.json", json.dumps(about))
    assert read_labelled("f").groups == ("of 64760", "of 16399", "of 37199")
    for damaged in ("[]", '{"64760": 5}', "[" * 50_000):
        write("f/FSD50K.metadata/dev_clips_info_FSD50K.json", damaged)
        with pytest.raises(LabelsError, match=r"dev_clips_info_FSD50K\.json is no list of FSD50K's clips"):
            read_labelled("f")


def test_tau2020(shared: Path) -> None:
    folder = shared / "reference" / "training" / "fixtures" / "dcase20"
    if not folder.is_dir():
        pytest.skip(f"the references of training are not at {folder}")
    labelled = read_labelled(folder)
    stated = json.loads((shared / "reference" / "training" / "training_reference.json").read_text())
    for part, key in (("train", "dcase_train"), ("test", "dcase_test")):
        mine = [
            ("audio/" + Path(item.file).name, str(target))
            for item, target, its in zip(labelled.items, labelled.targets, labelled.parts or (), strict=True)
            if its == part
        ]
        assert mine == [tuple(row[1:3]) for row in stated[key]]


def test_tau2020_of_our_own() -> None:
    touch("t/audio/airport-a-0-0-a.wav", "t/audio/bus-b-1-1-s1.wav", "t/audio/bus-c-2-2-s6.wav")
    rows = [
        "audio/airport-a-0-0-a.wav\tairport\ta-0\ta\n",
        "audio/bus-b-1-1-s1.wav\tbus\tb-1\ts1\n",
        "audio/bus-c-2-2-s6.wav\tbus\tc-2\ts6\n",
    ]
    write("t/meta.csv", "filename\tscene_label\tidentifier\tsource_label\n" + "".join(rows))
    write("t/evaluation_setup/fold1_train.csv", "filename\tscene_label\naudio/airport-a-0-0-a.wav\tairport\n")
    write("t/evaluation_setup/fold1_evaluate.csv", "filename\tscene_label\naudio/bus-b-1-1-s1.wav\tbus\n")
    labelled = read_labelled("t")
    assert labelled.parts == ("train", "test")
    assert labelled.groups == ("a-0", "b-1")
    assert any("1 of 3 sounds of meta.csv are in neither part" in note for note in labelled.notes)
    write("t/evaluation_setup/fold1_evaluate.csv", "filename\naudio/airport-a-0-0-a.wav\n")
    with pytest.raises(LabelsError, match="several parts of a split: audio/airport-a-0-0-a"):
        read_labelled("t")


def test_openmic() -> None:
    touch("o/audio/000/000046_3840.ogg", "o/audio/000/000135_483840.ogg")
    rows = "000046_3840,clarinet,0.17105,3\n000046_3840,flute,0.0,3\n000135_483840,voice,1.0,4\n"
    write("o/openmic-2018-aggregated-labels.csv", "sample_key,instrument,relevance,num_responses\n" + rows)
    write("o/partitions/split01_train.csv", "000046_3840\n")
    write("o/partitions/split01_test.csv", "000135_483840\n")
    labelled = read_labelled("o")
    assert labelled.kind is Kind.SEVERAL
    assert len(labelled.classes) == 20
    assert labelled.mask is not None
    assert [labelled.classes[i] for i in labelled.mask[0].nonzero()[0]] == ["clarinet", "flute"]
    assert labelled.targets[0, labelled.classes.index("clarinet")] == pytest.approx(0.17105)
    assert labelled.positives().sum() == 1  # the voice
    assert labelled.parts == ("train", "test")
    assert labelled.groups == ("000046", "000135")
    write("o/partitions/split01_test.csv", "000135_483840\n000141_1\n")
    with pytest.raises(LabelsError, match="nothing is said of any class"):
        read_labelled("o")


def hear_task(prediction: str, files: dict[str, dict[str, object]]) -> None:
    write("h/task_metadata.json", json.dumps({"task_name": "t", "prediction_type": prediction, "splits": list(files)}))
    write("h/labelvocabulary.csv", "idx,label\n0,hiss\n1,hum\n")
    for split, labels in files.items():
        write(f"h/{split}.json", json.dumps(labels))
        touch(*(f"h/{rate}/{split}/{name}" for rate in (16000, 48000) for name in labels))


def test_hear_scenes_with_folds() -> None:
    hear_task("multiclass", {"fold00": {"a.wav": ["hum"]}, "fold01": {"a.wav": ["hiss"], "b.wav": ["hum"]}})
    labelled = read_labelled("h")
    assert layout_of("h") == "hear"
    assert labelled.kind is Kind.SINGLE
    assert [item.file for item in labelled.items] == [
        "h/48000/fold00/a.wav",
        "h/48000/fold01/a.wav",
        "h/48000/fold01/b.wav",
    ]
    assert labelled.targets.tolist() == [1, 0, 1]
    assert labelled.folds == ("fold00", "fold01", "fold01")
    assert any("48000 Hz is taken (not 16000)" in note for note in labelled.notes)


def test_hear_events_with_parts() -> None:
    events = [{"label": "hum", "start": 500, "end": 1500.0}, {"label": "hiss", "start": 500, "end": 1500}]
    hear_task("multilabel", {"train": {"a.wav": events}, "valid": {"b.wav": events[:1]}, "test": {"c.wav": events}})
    labelled = read_labelled("h")
    assert labelled.kind is Kind.SEVERAL
    assert labelled.parts == ("train", "validation", "test")
    assert (labelled.items[0].start, labelled.items[0].end) == (0.5, 1.5)
    assert labelled.targets.tolist() == [[1, 1], [0, 1], [1, 1]]
    hear_task("multilabel", {"train": {"a.wav": [{"label": "hum", "start": 5}]}})
    with pytest.raises(LabelsError, match=r"an event of a\.wav has no label, start and end"):
        read_labelled("h")


def test_several_layouts_in_one_folder() -> None:
    hear_task("multiclass", {"fold00": {"a.wav": ["hum"]}})
    write("h/meta/esc50.csv", ESC50)
    with pytest.raises(LabelsError, match="may be any of esc50, hear"):
        read_labelled("h")
    assert read_labelled("h", LabelOptions(layout="hear")).name == "t"
