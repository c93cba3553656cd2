"""Detectors from labelled sounds: the folder, and what is said."""

from __future__ import annotations

import csv
import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.detectors.learning import Reading, answers_of, guesses_of
from hear_edgel3.errors import InvalidOption, LabelsError, OutputError
from hear_edgel3.labels import Dividing, Labelled, LabelOptions
from hear_edgel3.labels.labelled import Kind
from hear_edgel3.sources.item import Item
from support.detector_sounds import LABELS, RATE, sound, write_sounds


def read(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "configuration.json").read_text())
    return values


@pytest.fixture(scope="module")
def detector(sounds: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("detectors") / "mine"
    return hear_edgel3.train(sounds, output, cache=cache, name="mine", licence="CC0", command="a command")


def test_the_folder_tells_sounds_that_it_has_not_heard(detector: Path) -> None:
    tagger = hear_edgel3.Tagger(str(detector))
    rng = np.random.default_rng(99)
    for label in LABELS:
        assert tagger.tag_samples(sound(label, rng), RATE).top(1)[0].label == label


def test_the_embedding_stays_that_of_the_net(detector: Path) -> None:
    audio = torch.from_numpy(sound("knock", np.random.default_rng(3))).float()[None]
    mine, tiny = (hear_edgel3.load(name, sample_rate=RATE) for name in (detector, "tiny_avg_time_pool"))
    torch.testing.assert_close(mine.scene_embeddings(audio), tiny.scene_embeddings(audio))


def test_all_that_is_in_it(detector: Path, sounds: Path) -> None:
    values = read(detector)
    assert (values["classes"], values["targets"], values["licence"]) == (list(LABELS), "single", "CC0")
    scores = json.loads((detector / "scores.json").read_text())
    assert scores["test"]["overall"]["balanced_accuracy"]["value"] > 0.9
    assert scores["test"]["n_groups"] < scores["test"]["n"]
    with (detector / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    parts = {part: {row["group"] for row in rows if row["part"] == part} for part in ("train", "validation", "test")}
    assert all(parts.values())
    assert not parts["train"] & parts["test"]
    assert (detector / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    card = (detector / "README.md").read_text()
    for said in ("balanced_accuracy", "a command", str(sounds), "CC0", "expected", f"torch {version('torch')}"):
        assert said in card


def test_again_it_is_the_same_and_another_one_is_refused(detector: Path, sounds: Path, cache: Path) -> None:
    before = {path.name: path.read_bytes() for path in detector.iterdir()}
    hear_edgel3.train(sounds, detector, cache=cache, name="mine", licence="CC0", command="a command")
    assert {path.name: path.read_bytes() for path in detector.iterdir()} == before
    with pytest.raises(OutputError, match="holds another net"):
        hear_edgel3.train(sounds, detector, cache=cache, name="mine", licence="CC0", seed=1)


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "split.csv", "scores.json", "confusion.png", "metrics.csv"])
def test_a_folder_with_other_things_is_left_alone(sounds: Path, cache: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"other things \({re.escape(name)}"):
        hear_edgel3.train(sounds, tmp_path, cache=cache)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_cross_validation_and_then_all_sounds(sounds: Path, cache: Path, tmp_path: Path) -> None:
    folder = hear_edgel3.train(sounds, tmp_path / "d", cache=cache, split="groups", head="mlp", units=16, epochs=40)
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["cross-validation (6 splits)"]["n"] == 36
    with (folder / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["part"] for row in rows} == {"train", "validation"}
    assert all(row["fold"] == f"without {row['group']}" for row in rows)


def test_thresholds_keep_sounds_of_no_class_out(tmp_path: Path, cache: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", groups=20, each=3)
    folder = hear_edgel3.train(sounds, tmp_path / "d", cache=cache, threshold=True)
    thresholds = read(folder)["thresholds"]
    assert all(0 < value < 1 for value in thresholds)
    assert read(folder)["made"]["calibration"]["fitted"]
    assert "from its threshold on" in (folder / "README.md").read_text()
    # Of a sound whose likeliest class stays below its threshold, the next one that reaches its own is said, by all.
    logits, rows = np.log([[0.5, 0.4, 0.1], [0.4, 0.35, 0.25]]), np.arange(2)
    labelled = Labelled("x", Kind.SINGLE, ("a", "b", "c"), (Item("0", 0), Item("1", 0)), np.array([1, 0]))
    answers = answers_of(labelled, rows, logits, Reading(thresholds=np.array([0.6, 0.38, np.nan])))
    assert guesses_of(labelled, answers).guessed().tolist() == [[False, True, False], [False] * 3]


def test_the_card_names_classes_without_a_threshold(tmp_path: Path, cache: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", groups=20, each=3)
    for path in sorted((sounds / "hum").rglob("*.wav"))[8:]:
        path.unlink()
    folder = hear_edgel3.train(sounds, tmp_path / "d", cache=cache, threshold=True)
    assert [value is None for value in read(folder)["thresholds"]] == [False, True, False]
    card = (folder / "README.md").read_text()
    assert "Classes without a threshold are said only where they are the likeliest of all: 'hum'." in card


def write_table(folder: Path, sounds: Path, column: str, cell: Any) -> Path:
    """A table of the sounds with something else in the place of their classes."""
    table = folder / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", column, "group"])
        for path in sorted(sounds.rglob("*.wav")):
            writer.writerow([path, cell(path), path.parent.name])
    return table


def test_several_labels(sounds: Path, cache: Path, tmp_path: Path) -> None:
    noisy = {"hiss": "noise;long", "hum": "long", "knock": "noise"}
    table = write_table(tmp_path, sounds, "labels", lambda path: noisy[path.parts[-3]])
    folder = hear_edgel3.train(table, tmp_path / "d", cache=cache)
    tags = hear_edgel3.Tagger(str(folder)).tag_samples(sound("hum", np.random.default_rng(9)), RATE)
    assert read(folder)["targets"] == "several"
    assert dict(zip(read(folder)["classes"], tags.logits[0] > 0, strict=True)) == {"long": True, "noise": False}


def test_numbers(sounds: Path, cache: Path, tmp_path: Path) -> None:
    loud = {"hiss": 10.0, "hum": 30.0, "knock": 20.0}
    table = write_table(tmp_path, sounds, "number", lambda path: loud[path.parts[-3]])
    folder = hear_edgel3.train(table, tmp_path / "d", cache=cache, name="loudness")
    assert json.loads((folder / "scores.json").read_text())["test"]["overall"]["mae"]["value"] < 4
    assert not (folder / "confusion.csv").exists()
    tags = hear_edgel3.Tagger(str(folder)).tag_samples(sound("hum", np.random.default_rng(9)), RATE)
    assert abs(tags.logits[0, 0] - 30) < 6


def test_the_nets_own_classifier(sounds: Path, cache: Path, tmp_path: Path) -> None:
    folder = hear_edgel3.train(sounds, tmp_path / "d", cache=cache, head="own")
    assert read(folder)["head"] is None
    assert read(folder)["architecture"]["n_classes"] == 3
    rng = np.random.default_rng(98)
    tagger = hear_edgel3.Tagger(str(folder))
    for label in LABELS:
        assert tagger.tag_samples(sound(label, rng), RATE).top(1)[0].label == label


def test_a_detector_of_a_detector(detector: Path, cache: Path, tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", labels=("beep", "hum"))
    folder = hear_edgel3.train(sounds, tmp_path / "d", detector, cache=cache, name="second")
    assert read(folder)["classes"] == ["beep", "hum"]
    assert not [name for name in read(folder)["head"]["layout"] if name == "net"]
    hear_edgel3.load(folder)


class TestSaid:
    def test_five_sounds_per_class_one_and_none(
        self, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sounds = write_sounds(tmp_path / "sounds", groups=5, each=1)
        lone = sounds / "beep" / "recording 0" / "0.wav"
        lone.parent.mkdir(parents=True)
        soundfile.write(lone, sound("beep", np.random.default_rng(0)), RATE)
        labels = LabelOptions(classes=("beep", *LABELS, "silence"))
        split = Dividing("groups")
        hear_edgel3.train(sounds, tmp_path / "d", cache=cache, labels=labels, split=split, quiet=False)
        said = capsys.readouterr().err
        assert "classes without a sound, of which nothing is learnt: 'silence'" in said
        assert "too few to calibrate probabilities on (15 are needed)" in said
        assert read(tmp_path / "d")["classes"][-1] == "silence"

    def test_unreadable_sounds(self, tmp_path: Path, cache: Path) -> None:
        sounds = write_sounds(tmp_path / "sounds", groups=5, each=1)
        bad = sounds / "hum" / "recording 3" / "0.wav"
        bad.write_bytes(b"RIFF")
        with pytest.raises(LabelsError, match=r"1 of 15 sounds cannot be read:\n- .*recording 3"):
            hear_edgel3.train(sounds, tmp_path / "d", cache=cache)
        assert not (tmp_path / "d").exists()
        folder = hear_edgel3.train(sounds, tmp_path / "d", cache=cache, labels=LabelOptions(skip=True))
        assert any("recording 3" in note for note in read(folder)["made"]["notes"])

    def test_one_class(self, tmp_path: Path, cache: Path) -> None:
        with pytest.raises(LabelsError, match="one class"):
            hear_edgel3.train(write_sounds(tmp_path / "s", labels=("hum",)), tmp_path / "d", cache=cache)

    def test_copies_on_both_sides_of_a_stated_split(self, tmp_path: Path, cache: Path) -> None:
        sounds = write_sounds(tmp_path / "all", groups=2, each=1)
        for part in ("train", "test"):
            shutil.copytree(sounds, tmp_path / "data" / part)
        with pytest.raises(LabelsError, match="exact copies"):
            hear_edgel3.train(tmp_path / "data", tmp_path / "d", cache=cache)

    def test_louder_copies_on_both_sides_are_said(
        self, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sounds = write_sounds(tmp_path / "data" / "train", groups=10, each=3)
        write_sounds(tmp_path / "data" / "test", groups=2, each=1, seed=5)
        samples, rate = soundfile.read(sounds / "knock" / "recording 1" / "0.wav")
        soundfile.write(tmp_path / "data" / "test" / "knock" / "recording 1" / "0.wav", 0.7 * samples, rate)
        labels = LabelOptions(group_pattern=r"(test|train)/\w+/recording \d")
        hear_edgel3.train(tmp_path / "data", tmp_path / "d", cache=cache, labels=labels, quiet=False)
        assert "nearly the same on several sides" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"epochs": 3}, "epochs has no effect on a linear head"),
            ({"units": 3}, "units is for a hidden layer"),
            ({"head": "mlp", "activation": "rulu"}, "is relu meant"),
            ({"share": 0.5, "head": "mlp"}, "share is for training the net"),
            ({"hed": "mlp"}, "no option 'hed'; is head meant"),
            ({"head": "large"}, "head must be one of linear, mlp, own"),
            ({"dropout": 1, "head": "mlp"}, "dropout must be below 1"),
            ({"name": "my detector"}, "name must be letters and digits"),
            ({"split": "half"}, "split must be one of"),
            ({"labels": "label"}, "labels must be LabelOptions, which say how labels are read, got 'label'"),
        ],
    )
    def test_options(self, options: dict[str, Any], said: str, sounds: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match=said):
            hear_edgel3.train(sounds, tmp_path / "d", **options)

    @pytest.mark.parametrize("data", [None, 3, ["a.wav"]])
    def test_data_of_another_type(self, data: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match="data must be a folder or a table by its path"):
            hear_edgel3.train(data, tmp_path / "d")
