"""Lengths of sounds that give their classes away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.detectors.lengths import lengths_of, telling_lengths
from hear_edgel3.labels import Labelled
from hear_edgel3.labels.labelled import Kind
from hear_edgel3.sources.item import Item
from support.detector_sounds import RATE


def labelled(targets: np.ndarray) -> Labelled:
    items = tuple(Item(f"{i}.wav", 0) for i in range(len(targets)))
    return Labelled("mine", Kind.SINGLE, ("a", "b"), items, targets.astype(np.int64))


HALVES = labelled(np.repeat([0, 1], 20))


def test_lengths_that_are_apart_are_told_with_numbers() -> None:
    (told,) = telling_lengths(HALVES, np.repeat([1.0, 10.0], 20))
    assert "medians: a 1 s, others 10 s; b 10 s, others 1 s" in told
    # One sound that is as long as the others does not hide it.
    assert telling_lengths(HALVES, np.array([10.0] + [1.5] * 19 + [2.0] * 20)) != []


@pytest.mark.parametrize(
    "lengths",
    [
        np.full(40, 5.0),
        np.random.default_rng(1).uniform(1, 10, 40),
        np.repeat([5.0, 5.02], 20),  # what an encoder adds
        np.r_[np.linspace(1, 8, 20), np.linspace(3, 10, 20)],
        np.full(40, np.nan),
    ],
)
def test_ordinary_lengths_tell_nothing(lengths: np.ndarray) -> None:
    assert telling_lengths(HALVES, lengths) == []


def test_few_sounds_may_be_apart_by_chance() -> None:
    assert telling_lengths(labelled(np.repeat([0, 1], 5)), np.repeat([1.0, 10.0], 5)) == []


def test_of_many_sounds_some_are_opened(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(2 * RATE), RATE)
    whole, clip = Item(str(tmp_path / "a.wav"), 0), Item("nowhere.wav", 0, start=1.0, end=4.0)
    np.testing.assert_array_equal(lengths_of([whole, clip, whole._replace(start=0.5)]), [2.0, 3.0, 1.5])
    found = lengths_of([whole, whole, clip, whole, whole], most=2)
    np.testing.assert_array_equal(found, [2.0, np.nan, 3.0, 2.0, np.nan])
    assert np.isnan(lengths_of([Item("nowhere.wav", 0)])).all()


def test_train_warns_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name, seconds in {"short": 1, "long": 2}.items():
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for i in range(12):
            soundfile.write(tmp_path / "sounds" / name / f"{i}.wav", rng.normal(0, 0.1, seconds * RATE), RATE)
    hear_edgel3.train(tmp_path / "sounds", tmp_path / "made", cache=tmp_path / "cache", workers=1, quiet=True)
    said = "medians: long 2 s, others 1 s; short 1 s, others 2 s"
    assert said in capsys.readouterr().err
    assert any(
        said in note for note in json.loads((tmp_path / "made" / "configuration.json").read_text())["made"]["notes"]
    )
