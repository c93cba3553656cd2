"""``predict``, and ``tag``, ``listen``, ``embed``, ``info`` and HEAR modules with a folder of classes of one's own."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
import hear_edgel3.custom
from hear_edgel3.cli import main
from hear_edgel3.dataset import Dataset
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.detectors import CLASSES, write_detector
from support.folders import change, make_folder
from support.types import Captured


@pytest.fixture(autouse=True)
def _sounds(here: Path) -> None:
    for number, name in enumerate(("a.wav", "b.wav")):
        soundfile.write(name, signals.clip(1.2 + number, 16000, seed=number), 16000)


@pytest.fixture
def detector(here: Path) -> Path:
    return write_detector(here / "mine")


def run(capsys: Captured, *words: str, status: int = 0) -> str:
    capsys.readouterr()
    assert main([*words]) == status
    return capsys.readouterr().out


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def refused(capsys: Captured, *words: str, status: int = 2) -> str:
    capsys.readouterr()
    assert main([*words]) == status
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_all_classes_of_every_file_as_json(detector: Path, capsys: Captured) -> None:
    found = records(run(capsys, "predict", "-c", str(detector), "a.wav", "b.wav", "--json"))
    assert [record["file"] for record in found] == ["a.wav", "b.wav"]
    tagger = Tagger(detector)
    for record in found:
        tags = tagger.tag_file(record["file"])
        [window] = record["windows"]
        assert {tag["label"] for tag in window["tags"]} == set(CLASSES)
        expected = [{"label": t.label, "mid": "", "probability": round(t.probability, 6)} for t in tags.top(3)]
        assert window["tags"] == expected
    assert run(capsys, "tag", "-c", str(detector), "a.wav", "b.wav", "--json") == "".join(
        json.dumps(record) + "\n" for record in found
    )


def test_windows_as_csv(detector: Path, capsys: Captured) -> None:
    text = run(capsys, "predict", "--config", "mine", "b.wav", "--csv", "--window", "1", "--hop", "0.5")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["file", "start", "end", "rank", "label", "mid", "probability"]
    tags = Tagger(detector).tag_file("b.wav", 1.0, 0.5)
    assert len(rows) == 1 + 3 * len(tags.starts)
    assert [row[4] for row in rows[4:7]] == [tag.label for tag in tags.top(3, 1)]
    change(detector, thresholds=[0.4, 0.4, None])
    text = run(capsys, "predict", "--config", "mine", "b.wav", "--csv", "--window", "1", "--hop", "0.5")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][-1] == "above_threshold"
    tags = Tagger(detector).tag_file("b.wav", 1.0, 0.5)
    assert [row[-1] for row in rows[1:4]] == [str(tag.above_threshold).lower() for tag in tags.top(3, 0)]


def test_text_says_no_class_where_none_reaches_its_threshold(detector: Path, capsys: Captured) -> None:
    change(detector, thresholds=[0.999999] * 3)
    assert run(capsys, "tag", "-c", "mine", "a.wav") == "a.wav  0.00 - 1.20 s\n  no class\n"
    found = records(run(capsys, "tag", "-c", "mine", "a.wav", "--json"))
    assert [tag["above_threshold"] for tag in found[0]["windows"][0]["tags"]] == [False] * 3
    tags = Tagger(detector).tag_file("a.wav")
    least = int(tags.logits[0].argmin())
    thresholds = [0.999999] * 3
    thresholds[least] = 1e-12
    change(detector, thresholds=thresholds)
    # The least likely class is the one that is said, though one class is asked for.
    text = run(capsys, "tag", "-c", "mine", "a.wav", "--top", "1")
    assert text == f"a.wav  0.00 - 1.20 s\n  {tags.probabilities[0, least]:.3f}  {CLASSES[least]}\n"


def test_numbers(here: Path, capsys: Captured) -> None:
    folder = write_detector(here / "n", targets="numbers", classes=("height", "width"))
    values = Tagger(folder).tag_file("a.wav").logits[0]
    text = run(capsys, "predict", "-c", "n", "a.wav")
    assert text == f"a.wav  0.00 - 1.20 s\n  {values[0]:.6g}  height\n  {values[1]:.6g}  width\n"
    [record] = records(run(capsys, "tag", "-c", "n", "a.wav", "--json"))
    tags = record["windows"][0]["tags"]
    assert [tag["label"] for tag in tags] == ["height", "width"]
    assert np.array_equal(np.array([tag["value"] for tag in tags], np.float32), values)
    rows = list(csv.reader(io.StringIO(run(capsys, "tag", "-c", "n", "a.wav", "--csv"))))
    assert rows[0][-1] == "value"
    assert [np.float32(row[-1]) for row in rows[1:]] == values.tolist()


def test_many_numbers_are_all_given(here: Path, capsys: Captured) -> None:
    write_detector(here / "n", targets="numbers", classes=tuple(f"n{i}" for i in range(15)))
    [record] = records(run(capsys, "tag", "-c", "n", "a.wav", "--json"))
    assert len(record["windows"][0]["tags"]) == 15
    assert len(run(capsys, "tag", "-c", "n", "a.wav", "--top", "2").splitlines()) == 3


@pytest.mark.parametrize("targets", ["single", "several", "numbers"])
def test_parquet(targets: str, here: Path, capsys: Captured) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    folder = write_detector(here / "d", targets=targets)
    command = ["predict", "-c", "d", "a.wav", "b.wav", "--window", "1", "--output", "x.parquet", "--quiet"]
    run(capsys, *command)
    table = pq.read_table("x.parquet")
    fixed = ["file", "start", "end", *([] if targets == "numbers" else ["predicted"])]
    assert table.column_names == [*fixed, *CLASSES]
    every = [Tagger(folder).tag_file(name, 1.0) for name in ("a.wav", "b.wav")]
    found = np.stack([table[name].to_numpy() for name in CLASSES], axis=1)
    assert np.array_equal(found, np.concatenate([tags.probabilities for tags in every]))
    assert found.dtype == np.float32
    assert table["file"].to_pylist() == ["a.wav"] * len(every[0].starts) + ["b.wav"] * len(every[1].starts)
    assert table["start"].to_pylist() == [start for tags in every for start in tags.starts]
    said = [[CLASSES[i] for i in np.flatnonzero(row)] for tags in every for row in tags.said]
    if targets == "single":
        assert table["predicted"].to_pylist() == [names[0] for names in said]
    elif targets == "several":
        assert table["predicted"].to_pylist() == said
    assert sorted(path.name for path in here.glob("x.*")) == ["x.parquet", "x.parquet.options.json"]
    # tag writes the same; the same command adds what is not there.
    run(capsys, "tag", *command[1:6], "1", "--output", "y.parquet", "--quiet")
    assert pq.read_table("y.parquet").equals(table)
    soundfile.write("c.wav", signals.clip(0.7, 16000, seed=5), 16000)
    run(capsys, *command[:4], "c.wav", "b.wav", *command[5:])
    more = pq.read_table("x.parquet")
    assert list(dict.fromkeys(more["file"].to_pylist())) == ["a.wav", "c.wav", "b.wav"]
    kept = [i for i, name in enumerate(more["file"].to_pylist()) if name != "c.wav"]
    assert more.take(kept).equals(table)


def test_parquet_of_nothing_said_and_of_odd_names(here: Path, capsys: Captured) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    write_detector(here / "d", classes=("file", "predicted", "dog"), thresholds=[0.999999] * 3)
    run(capsys, "predict", "-c", "d", "a.wav", "--output", "x.parquet", "--quiet")
    table = pq.read_table("x.parquet")
    assert table.column_names == ["file", "start", "end", "predicted", "file (1)", "predicted (2)", "dog"]
    assert table["predicted"].to_pylist() == [None]
    assert table["file"].to_pylist() == ["a.wav"]


def test_parquet_of_the_built_in_net_and_of_each_channel(here: Path, capsys: Captured) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    soundfile.write("s.wav", signals.clip(0.5, 16000, channels=2), 16000)
    run(capsys, "tag", "s.wav", "--channel", "each", "--output", "x.parquet", "--quiet")
    table = pq.read_table("x.parquet")
    assert table.column_names[:5] == ["file", "channel", "start", "end", "predicted"]
    assert table.num_columns == 5 + 527
    assert table["channel"].to_pylist() == [0, 1]
    every = Tagger().tag_file("s.wav", channel="each")
    assert np.array_equal(table["Speech"].to_numpy(), [tags.probabilities[0, 0] for tags in every])


def test_parquet_of_clips(here: Path, capsys: Captured) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    write_detector(here / "d")
    Path("list.csv").write_text("file,start,end\na.wav,0,0.5\na.wav,0.5,1\nb.wav,0.25,1\n")
    for _ in range(2):
        run(capsys, "predict", "-c", "d", "list.csv", "--output", "x.parquet", "--quiet")
        table = pq.read_table("x.parquet")
        assert table["clip_start"].to_pylist() == [0.0, 0.5, 0.25]
        assert table["start"].to_pylist() == [0.0, 0.5, 0.25]
    Path("more.csv").write_text("file,start,end\nb.wav,1,2\na.wav,0.5,1\n")
    run(capsys, "predict", "-c", "d", "more.csv", "--output", "x.parquet", "--quiet")
    assert pq.read_table("x.parquet")["clip_start"].to_pylist() == [0.0, 0.25, 1.0, 0.5]


def test_other_tables_and_other_nets_are_not_added_to(detector: Path, capsys: Captured) -> None:
    pytest.importorskip("pyarrow")
    command = ["predict", "-c", "mine", "a.wav", "--output", "x.parquet"]
    run(capsys, *command)
    for changes, what in (
        ({"temperature": 2.0}, "temperature 1.0, and now it is 2.0"),
        ({"thresholds": [0.5, None, None]}, "thresholds"),
        ({"classes": ["dog", "cat", "owl"]}, "classes"),
    ):
        before = json.loads((detector / "configuration.json").read_text())
        change(detector, **changes)
        assert f"was begun with {what}" in refused(capsys, *command)
        (detector / "configuration.json").write_text(json.dumps(before))
    Path("x.parquet").write_bytes(b"PAR1 and nothing else")
    assert "is not what `hear-edgel3 tag` wrote" in refused(capsys, *command, status=1)
    Path("x.parquet.options.json").unlink()
    assert "not replacing x.parquet" in refused(capsys, *command, status=1)
    run(capsys, *command, "--overwrite")


def test_what_predict_refuses(here: Path, detector: Path, capsys: Captured) -> None:
    make_folder(here / "plain", "l3")
    for name in ("plain", "sea_64"):
        err = refused(capsys, "predict", "-c", name, "a.wav")
        assert f"{name} has no classes to predict; give a folder that `hear-edgel3 train` made" in err
    assert "--top does not fit --output x.parquet" in refused(
        capsys, "predict", "-c", "mine", "a.wav", "--top", "2", "--output", "x.parquet"
    )
    assert "must end in one of .csv, .jsonl, .parquet" in refused(
        capsys, "predict", "-c", "mine", "a.wav", "--output", "x.xlsx"
    )
    with pytest.raises(SystemExit):
        main(["predict", "a.wav"])
    assert "the following arguments are required: --config" in capsys.readouterr().err
    write_detector(here / "l3", "small_l3")
    for command in ("predict", "tag"):
        err = refused(capsys, command, "-c", "l3", "a.wav", "--window", "2")
        assert "--window 2.0 is not what mine takes: its windows are 1 s" in err


def test_the_hint_for_the_built_in_net_is_not_for_others(detector: Path, capsys: Captured) -> None:
    change(detector, temperature=1000.0)  # all classes have a third
    assert main(["tag", "-c", "mine", "a.wav"]) == 0
    assert "unsure" not in capsys.readouterr().err


def test_info(detector: Path, capsys: Captured) -> None:
    change(detector, temperature=1.25, thresholds=[0.25, None, 0.5])
    facts = json.loads(run(capsys, "info", "mine", "--json"))
    assert facts["detector"] == {
        "classes": list(CLASSES),
        "targets": "single",
        "head": {**facts["detector"]["head"], "kind": "linear", "outputs": 3},
        "head_features": "",
        "temperature": 1.25,
        "thresholds": [0.25, None, 0.5],
    }
    extractor = hear_edgel3.load(detector)
    trained = sum(p.numel() for p in extractor.net.parameters())
    assert facts["parameters"] == facts["complexity"]["parameters"] == trained
    assert facts["complexity"]["macs_10s"] > 0
    text = run(capsys, "info", "mine")
    assert "detector:\n  targets              one class is right: softmax\n" in text
    assert f"  classes              3: {', '.join(CLASSES)}\n" in text
    assert f"  head                 linear, from {extractor.scene_embedding_size} values to 3\n" in text
    assert "  temperature          1.25\n" in text
    assert "  thresholds           dog 0.25, cat none, a bell, far away 0.5\n" in text
    assert json.loads(run(capsys, "info", "tiny", "--json"))["detector"] is None


def test_embedding_and_extracting_with_such_a_folder(detector: Path, capsys: Captured) -> None:
    pytest.importorskip("pyarrow")
    run(capsys, "embed", "-c", "mine", "a.wav", "--output", "out", "--quiet")
    scene = hear_edgel3.embed_file("a.wav", detector)
    assert np.array_equal(np.load("out/a.npz")["embedding"], scene.embedding)
    run(capsys, "extract", "a.wav", "b.wav", "--config", "mine", "--output", "set", "--quiet")
    found = Dataset("set")
    assert found.description.size == hear_edgel3.load(detector).scene_embedding_size
    assert found.description.configuration == "mine"


def test_as_a_hear_module(detector: Path) -> None:
    model = hear_edgel3.custom.load_model(detector)
    clips = np.stack([signals.clip(0.5, model.sample_rate, seed=i) for i in range(2)]).astype(np.float32)
    import torch

    scenes = hear_edgel3.custom.get_scene_embeddings(torch.from_numpy(clips), model)
    assert scenes.shape == (2, model.scene_embedding_size)
    timestamps, _ = hear_edgel3.custom.get_timestamp_embeddings(torch.from_numpy(clips), model)
    assert timestamps.shape[2] == model.timestamp_embedding_size
    logits = hear_edgel3.custom.load_model(str(detector), features=["logits"])
    assert hear_edgel3.custom.get_scene_embeddings(torch.from_numpy(clips), logits).shape == (2, 3)


def test_a_picture(detector: Path, here: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    write_detector(here / "n", targets="numbers")
    for name in ("mine", "n"):
        run(capsys, "predict", "-c", name, "b.wav", "--window", "1", "--plot", f"{name}.svg", "--quiet")
        text = Path(f"{name}.svg").read_text()
        assert all(label in text for label in CLASSES)
        assert ("value" if name == "n" else "probability") in text
