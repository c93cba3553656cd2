"""Detectors are tested on what they have not learnt from, and nets by cross-validation."""

from __future__ import annotations

import csv
import errno
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.detectors.evaluation import _guessed
from hear_edgel3.detectors.learning import notes_of_splits
from hear_edgel3.detectors.result import read_split
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.labels import Dividing, Labelled, read_labelled
from hear_edgel3.labels.contents import digests_of
from hear_edgel3.labels.labelled import Kind
from hear_edgel3.labels.leaks import Bond
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items
from support.detector_sounds import write_sounds


@pytest.fixture(scope="module")
def detector(sounds: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hear_edgel3.train(sounds, tmp_path_factory.mktemp("detectors") / "mine", cache=cache)


def test_its_own_test_part_of_the_same_data(detector: Path, sounds: Path, cache: Path) -> None:
    found = hear_edgel3.evaluate(sounds, detector, cache=cache)
    wanted = json.loads((detector / "scores.json").read_text())["test"]
    assert "own test part" in found.what
    assert found.scores.n == wanted["n"] < 36
    assert found.scores.overall == pytest.approx({k: v["value"] for k, v in wanted["overall"].items()}, nan_ok=True)


def test_sounds_that_it_learnt_from_are_refused_wherever_they_lie(
    detector: Path, sounds: Path, cache: Path, tmp_path: Path
) -> None:
    with (detector / "split.csv").open(newline="") as file:
        learnt = next(row for row in csv.DictReader(file) if row["part"] == "train")
    other = write_sounds(tmp_path / "other", groups=2, each=1, seed=7)
    assert hear_edgel3.evaluate(other, detector, cache=cache).scores.n == 6
    copy = other / learnt["labels"] / "recording 0" / "renamed.wav"
    copy.write_bytes(Path(learnt["file"]).read_bytes())
    with pytest.raises(LabelsError, match=r"made with 1 of the 7 sounds .*1 in its train part.*renamed\.wav"):
        hear_edgel3.evaluate(other, detector, cache=cache)
    found = hear_edgel3.evaluate(other, detector, cache=cache, on_leak="say")
    assert any("TOO GOOD" in note for note in found.notes)


def test_a_detector_that_has_learnt_from_all_has_no_test_part_to_be_sent_to(
    detector: Path, sounds: Path, cache: Path, tmp_path: Path
) -> None:
    whole = hear_edgel3.train(sounds, tmp_path / "whole", cache=cache, split=Dividing(test=0))
    with pytest.raises(LabelsError, match=r"other sounds \(it was made without a test part of its own\); `on_leak`"):
        hear_edgel3.evaluate(sounds, whole, cache=cache)
    learnt = read_labelled(sounds)
    parts = read_split(detector).parts
    rows = [i for i, digest in enumerate(digests_of(learnt.items)) if parts[digest] == "train"]
    with pytest.raises(LabelsError, match=r"other sounds, or on its own test part \(split\.csv there says"):
        hear_edgel3.evaluate(learnt.subset(np.array(rows)), detector, cache=cache)


def test_classes_are_matched_by_name(detector: Path, cache: Path, tmp_path: Path) -> None:
    two = write_sounds(tmp_path / "two", labels=("hum", "knock"), groups=3, seed=8)
    found = hear_edgel3.evaluate(two, detector, cache=cache)
    assert found.scores.classes == ("hiss", "hum", "knock")
    assert found.scores.positives == (0, 6, 6)
    assert found.scores.overall["balanced_accuracy"] == 1
    with pytest.raises(LabelsError, match="'beep'"):
        hear_edgel3.evaluate(write_sounds(tmp_path / "s", labels=("beep", "hum")), detector, cache=cache)


def test_cross_validation(sounds: Path, cache: Path) -> None:
    found = hear_edgel3.evaluate(sounds, cache=cache, split="groups")
    assert found.scores.n == 36
    assert list(found.per_split) == [f"without recording {i}" for i in range(6)]
    assert found.confusion is not None
    assert found.confusion.sum() == 36
    assert list(found.as_json()["learnt"]) == list(found.per_split)
    assert all("penalty" in how for how in found.learnt.values())
    # Every sound is tested once, and what was guessed for it is what the confusions count.
    truth = [found.labelled.classes[i] for i in found.labelled.targets]
    places = {name: i for i, name in enumerate(found.labelled.classes)}
    counted = np.zeros_like(found.confusion)
    for right, guess in zip(truth, found.guessed, strict=True):
        counted[places[right], places.get(guess, -1)] += 1  # the last column, if there are thresholds, is of no class
    assert counted.tolist() == found.confusion.tolist()


def test_what_was_guessed_where_several_classes_may_be_heard() -> None:
    sounds = [Item(f"{i}.wav", 0) for i in range(3)]
    labelled = Labelled("x", Kind.SEVERAL, ("a", "b"), tuple(sounds), np.zeros((3, 2), np.uint8))
    said = np.array([[True, True], [False, False]])
    assert _guessed(labelled, np.array([2, 0]), said) == ((), None, ("a", "b"))
    one = replace(labelled, kind=Kind.SINGLE, targets=np.zeros(3, int))
    assert _guessed(one, np.array([2, 0]), np.array([[False, True], [False, False]])) == (None, None, "b")


def test_notes_of_splits_name_those_that_they_are_of() -> None:
    said = [("fold 1", "few"), ("fold 1", "fold 1: odd"), ("fold 2", "few"), ("fold 3", "few"), ("fold 3", "odd")]
    assert notes_of_splits(said, 3) == ["few", "fold 1, fold 3: odd"]
    assert notes_of_splits([("random split", "random split: odd")], 1) == ["random split: odd"]


def test_options_are_not_for_detectors(detector: Path, sounds: Path) -> None:
    with pytest.raises(InvalidOption, match="is a detector, and is tested as it is: head"):
        hear_edgel3.evaluate(sounds, detector, head="mlp")


class TestCommands:
    def test_from_sounds_to_scores(
        self, sounds: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = str(tmp_path / "d")
        common = ["--data", str(sounds), "--cache", str(cache), "--quiet"]
        assert main(["train", *common, "--output", folder, "--head", "mlp", "--activation", "arelu"]) == 0
        assert capsys.readouterr().out == f"{folder}\n"
        assert "hear-edgel3 train --data" in (tmp_path / "d" / "README.md").read_text()
        assert main(["evaluate", *common, "--config", folder]) == 0
        assert "balanced_accuracy  1.000" in capsys.readouterr().out

    def test_leave_one_group_out_as_json_with_confusions(
        self, sounds: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("c.csv", "c.png"):
            command = ["evaluate", "--data", str(sounds), "--cache", str(cache), "--leave-one-group-out", "--json"]
            assert main([*command, "--confusion", str(tmp_path / name)]) == 0
        lines = capsys.readouterr().out
        found = json.loads(lines[: len(lines) // 2])
        assert len(found["splits"]) == 6
        assert found["overall"]["accuracy"]["interval"][0] <= found["overall"]["accuracy"]["value"]
        with (tmp_path / "c.csv").open(newline="") as file:
            assert next(csv.reader(file)) == ["true", "hiss", "hum", "knock"]
        assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"

    def test_scores_are_said_though_the_disk_is_full(
        self,
        detector: Path,
        sounds: Path,
        cache: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        words = ["--data", str(sounds), "--cache", str(cache), "--config", str(detector), "--quiet"]
        monkeypatch.setattr(os, "fsync", full)
        assert main(["evaluate", *words, "--confusion", str(tmp_path / "c.csv")]) == 1
        out, err = capsys.readouterr()
        assert "balanced_accuracy" in out
        assert "c.csv: No space left" in err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--folds", "3", "--split", "random"], "--folds is for folds"),
            (["--test", "0.3", "--split", "groups"], "--test is the share of a random split"),
            (["--parts", "dev"], "--parts takes WORD=PART"),
            (["--recipe", "esc51"], "recipe must be one of esc50"),
            (["--folds", "1"], "--folds must be at least 2, got 1"),
            (["--lr", "1"], "--lr has no effect on a linear head"),
            (["--lr", "1"], "give --head mlp or --fine-tune, or leave it out"),
            (["--head-lr", "1"], "--head-lr is for training the net: give --fine-tune too, or leave it out"),
            (["--units", "3"], "--units is for a hidden layer: give --head mlp too, or leave it out"),
            (["--deepspectrumlite", "none.json"], "cannot read none.json"),
        ],
    )
    def test_what_cannot_be(
        self, more: list[str], said: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["train", "--data", str(sounds), "--output", str(tmp_path / "d"), *more]) != 0
        assert said in capsys.readouterr().err


def test_a_copy_inside_a_tar_file_is_known_by_its_bytes(cache: Path, tmp_path: Path) -> None:
    folder = write_sounds(tmp_path / "sounds", groups=2, each=1, seed=9)
    first = next(iter(sorted(folder.rglob("*.wav"))))
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(first, "copy.wav")
    plain = read_labelled(folder)
    items = (*plain.items, *list_items([str(tmp_path / "shard.tar")]).items)
    targets = np.append(plain.targets, plain.targets[[item.file == str(first) for item in plain.items]])
    parts = ("train",) * (len(plain) - 1) + ("test", "test")
    labelled = Labelled("some", plain.kind, plain.classes, items, targets, parts=parts)
    with pytest.raises(LabelsError, match=rf"{Bond.COPY} .*copy\.wav"):
        hear_edgel3.evaluate(labelled, cache=cache, split="given")
