"""Intervals: of groups, not of sounds; reproducible; and as wide as theory says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption
from hear_edgel3.scores import Guesses, score_classes, score_numbers
from hear_edgel3.scores.resampling import n_resamples, resampled_weights


def guesses_with(right: np.ndarray) -> Guesses:
    """Sounds of two classes in turn, of which some are guessed rightly."""
    targets = np.arange(len(right)) % 2
    return Guesses(targets, np.eye(2)[np.where(right, targets, 1 - targets)])


def width(found: tuple[float, float] | None) -> float:
    assert found is not None
    return found[1] - found[0]


def test_the_interval_of_an_accuracy_is_that_of_the_binomial() -> None:
    right = np.arange(400) % 10 < 8
    np.random.default_rng(0).shuffle(right)
    scores = score_classes(guesses_with(right), ["a", "b"])
    assert scores.resamples == 1000
    low, high = scores.overall_intervals["accuracy"] or (0, 0)
    assert low < 0.8 < high
    # Two standard errors to each side, to a tenth: 1000 samples tell it no better.
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.1)


def test_equal_sounds_of_a_group_are_no_more_than_one() -> None:
    right = np.repeat(np.arange(40) % 10 < 8, 10)
    groups = [f"g{i // 10}" for i in range(400)]
    guesses = guesses_with(right)
    of_groups = score_classes(guesses, ["a", "b"], groups).overall_intervals["accuracy"]
    of_sounds = score_classes(guesses, ["a", "b"]).overall_intervals["accuracy"]
    assert width(of_groups) == pytest.approx(np.sqrt(10) * width(of_sounds), rel=0.15)


def test_the_same_seed_draws_the_same_groups() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])
    first, again, other = (np.concatenate(list(resampled_weights(groups, None, 50, seed))) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first[:, 0], first[:, 1])  # a group is drawn as a whole
    assert (first[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_no_class_is_missing_where_groups_have_one_each() -> None:
    groups, classes = np.arange(6), np.array([0, 0, 0, 0, 0, 1])
    drawn = np.concatenate(list(resampled_weights(groups, classes, 100)))
    assert (drawn[:, 5] == 1).all()
    mixed = np.concatenate(list(resampled_weights(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 0, 0, 1, 0]), 100)))
    assert set(mixed[:, 0]) == {0, 1, 2}


def test_few_groups_are_said_and_one_has_no_interval() -> None:
    guesses = guesses_with(np.array([True, False, True, True]))
    few = score_classes(guesses, ["a", "b"], ["x", "x", "y", "y"])
    assert any("over 2 groups only are rough" in note for note in few.notes)
    one = score_classes(guesses, ["a", "b"], ["x"] * 4)
    assert one.overall_intervals == {}
    assert any("one group" in note for note in one.notes)


def test_what_has_no_score_has_no_interval() -> None:
    targets = np.array([[1, 0], [0, 0], [1, 0], [0, 0]] * 5)
    probabilities = np.random.default_rng(0).random((20, 2))
    scores = score_classes(Guesses(targets, probabilities), ["a", "b"])
    assert scores.class_intervals["ap"][0] is not None
    assert scores.class_intervals["ap"][1] is None
    written = json.loads(json.dumps(scores.as_json(), allow_nan=False))
    assert written["per_class"][1]["ap"] == {"value": None, "interval": None}
    assert len(written["overall"]["mAP"]["interval"]) == 2
    assert " to " in scores.table().splitlines()[0]


def test_large_sets_have_fewer_samples() -> None:
    assert n_resamples(400, 50, None) == 1000
    assert n_resamples(20_000, 100, None) == 300
    assert n_resamples(2_000_000, 527, None) == 100
    assert n_resamples(400, 50, 7) == 7
    with pytest.raises(InvalidOption, match="resamples must be a whole number from 0"):
        n_resamples(1, 1, -1)


def test_intervals_of_numbers() -> None:
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((300, 1))
    guesses = targets + 0.5 * rng.standard_normal((300, 1))
    scores = score_numbers(targets, guesses, ["x"])
    low, high = scores.overall_intervals["rmse"] or (0, 0)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(2 * 300), rel=0.15)


@pytest.mark.parametrize("of_several", [False, True])
def test_a_class_of_one_group_has_no_interval(of_several: bool) -> None:
    targets = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    guessed = np.array([0, 1, 0, 2, 1, 0, 1, 1, 2, 0, 2, 1])
    groups = ["a", "a", "b", "c", "d", "e", "e", "d", "f", "f", "f", "f"]
    right = np.eye(3)[targets] if of_several else targets
    found = score_classes(Guesses(right, np.eye(3)[guessed]), ["x", "y", "z"], groups)
    for name, known in found.class_intervals.items():
        assert known[2] is None, name
        assert known[0] is not None, name
    assert found.overall_intervals["mAP"] is not None
    assert [note for note in found.notes if "one group" in note] == [
        "classes whose sounds are of one group, so that they have no intervals, and those of means are too narrow: z"
    ]


def test_classes_of_one_group_each_have_no_intervals() -> None:
    found = score_classes(guesses_with(np.arange(8) < 6), ["x", "y"], ["a", "b"] * 4)
    assert found.resamples == 0
    assert found.notes[-1] == "the sounds of each class are of one group, so there are no intervals"
    assert " to " not in found.table()
    assert all(entry["interval"] is None for entry in found.as_json()["overall"].values())
