"""Scores of classes against scikit-learn's, and by hand; classes without sounds have none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn import metrics

from hear_edgel3.errors import LabelsError
from hear_edgel3.scores import Guesses, Scores, score_classes
from hear_edgel3.scores.ranking import Ranking, d_prime
from hear_edgel3.tagging.outputs import Outputs
from hear_edgel3.tagging.reading import are_said

CLOSE = 1e-12


def names(n: int) -> list[str]:
    return [f"c{i}" for i in range(n)]


def scored(guesses: Guesses, **more: object) -> Scores:
    return score_classes(guesses, names(guesses.n_classes), **{"resamples": 0, **more})  # type: ignore[arg-type]


def softmax(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits)
    return values / values.sum(axis=1, keepdims=True)


def test_one_class_each_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets = rng.choice(4, 200, p=(0.1, 0.2, 0.3, 0.4))
    probabilities = softmax(rng.standard_normal((200, 4)) + 1.5 * np.eye(4)[targets])
    scores = scored(Guesses(targets, probabilities))
    guessed = probabilities.argmax(axis=1)
    one_hot = np.eye(4)[targets]
    auc = metrics.roc_auc_score(one_hot, probabilities, average=None)
    expected = {
        "accuracy": metrics.accuracy_score(targets, guessed),
        "balanced_accuracy": metrics.balanced_accuracy_score(targets, guessed),
        "mAP": metrics.average_precision_score(one_hot, probabilities),
        "roc_auc": auc.mean(),
        "d_prime": math.sqrt(2) * norm.ppf(auc.mean()),
        "f1_macro": metrics.f1_score(targets, guessed, average="macro"),
        "f1_micro": metrics.f1_score(targets, guessed, average="micro"),
    }
    assert scores.overall == pytest.approx(expected, abs=CLOSE)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, guessed)
    for name, values in {
        "ap": metrics.average_precision_score(one_hot, probabilities, average=None),
        "roc_auc": auc,
        "d_prime": math.sqrt(2) * norm.ppf(auc),
        "f1": f1,
        "precision": precision,
        "recall": recall,
    }.items():
        assert scores.per_class[name] == pytest.approx(list(values), abs=CLOSE), name
    assert scores.positives == tuple(support)
    assert scores.notes == ()


def test_several_classes_with_ties_as_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    targets = (rng.random((150, 5)) < 0.3).astype(np.uint8)
    probabilities = np.round(np.clip(0.5 * rng.random((150, 5)) + 0.4 * targets, 0, 1), 1)
    scores = scored(Guesses(targets, probabilities))
    guessed = probabilities >= 0.5
    assert "accuracy" not in scores.overall
    assert scores.overall["mAP"] == pytest.approx(metrics.average_precision_score(targets, probabilities), abs=CLOSE)
    assert scores.overall["roc_auc"] == pytest.approx(metrics.roc_auc_score(targets, probabilities), abs=CLOSE)
    for kind in ("macro", "micro"):
        expected = metrics.f1_score(targets, guessed, average=kind)
        assert scores.overall[f"f1_{kind}"] == pytest.approx(expected, abs=CLOSE)
    thresholds = np.array([0.2, np.nan, 0.6, 0.7, 0.8])
    own = scored(Guesses(targets, probabilities, thresholds=thresholds))
    guessed = probabilities >= np.where(np.isnan(thresholds), 0.5, thresholds)
    assert own.per_class["f1"] == pytest.approx(metrics.f1_score(targets, guessed, average=None), abs=CLOSE)


def test_masked_cells_count_nowhere_as_in_the_original_programs(shared: Path) -> None:
    folder = shared / "reference" / "training"
    if not folder.is_dir():
        pytest.skip(f"the references of training are not at {folder}")
    stored = np.load(folder / "training_reference.npz")
    targets, values, mask = (stored[f"metric__{name}"] for name in ("targets", "scores", "mask"))
    places = (values - values.min()) / np.ptp(values)
    for key, its_mask in (("", None), ("_masked", mask > 0.5)):
        scores = scored(Guesses(targets, places, its_mask, ranks=values))
        assert scores.per_class["ap"] == pytest.approx(stored[f"metric__ap{key}"], abs=CLOSE)
        assert scores.per_class["roc_auc"] == pytest.approx(stored[f"metric__roc{key}"], abs=CLOSE)


def test_masks_as_scikit_learn_without_those_rows() -> None:
    rng = np.random.default_rng(2)
    targets, probabilities, mask = rng.random((80, 3)), rng.random((80, 3)), rng.random((80, 3)) < 0.5
    scores = scored(Guesses(targets, probabilities, mask))
    for i in range(3):
        right, guess = targets[mask[:, i], i] > 0.5, probabilities[mask[:, i], i]
        assert scores.per_class["ap"][i] == pytest.approx(metrics.average_precision_score(right, guess), abs=CLOSE)
        assert scores.per_class["f1"][i] == pytest.approx(metrics.f1_score(right, guess >= 0.5), abs=CLOSE)
        assert scores.positives is not None
        assert scores.positives[i] == right.sum()


def test_classes_without_sounds_have_no_scores_and_count_in_no_mean() -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    probabilities = np.array([[0.9, 0.9, 0.9], [0.8, 0.1, 0.8], [0.7, 0.1, 0.7], [0.1, 0.1, 0.6]])
    scores = scored(Guesses(targets, probabilities))
    # By hand: the first class has its sounds in places 1 and 3: (1 + 2/3) / 2, and three of four pairs in order.
    assert scores.per_class["ap"] == (pytest.approx(5 / 6), None, pytest.approx(1))
    assert scores.per_class["roc_auc"] == (pytest.approx(3 / 4), None, None)
    assert scores.per_class["f1"] == (pytest.approx(4 / 5), None, 1)
    assert scores.per_class["precision"] == (pytest.approx(2 / 3), None, 1)
    assert scores.overall["mAP"] == pytest.approx((5 / 6 + 1) / 2)
    assert scores.overall["roc_auc"] == pytest.approx(3 / 4)
    assert scores.overall["f1_macro"] == pytest.approx(0.9)
    assert scores.overall["f1_micro"] == pytest.approx(12 / 14)  # the false guess of the second class counts here
    assert any("1 of 3 classes have no sound in the test" in note and "c1" in note for note in scores.notes)
    assert any("there is no area to tell: c2" in note for note in scores.notes)
    text = scores.table()
    assert [line.split()[2:4] for line in text.splitlines() if line.startswith("c1 ")] == [["-", "-"]]
    json.loads(json.dumps(scores.as_json(), allow_nan=False))


def test_balanced_accuracy_is_of_the_classes_that_are_there() -> None:
    targets = np.array([0, 0, 0, 2])
    scores = scored(Guesses(targets, np.eye(3)[[0, 0, 1, 2]]))
    assert scores.overall["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores.per_class["recall"] == (pytest.approx(2 / 3), None, 1)


def test_sounds_of_which_nothing_is_guessed() -> None:
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7]])
    guesses = Guesses(np.array([0, 0, 1]), probabilities, thresholds=np.array([0.8, np.nan]))
    assert guesses.guessed().tolist() == [[False, False], [True, False], [False, True]]
    assert scored(guesses).overall["accuracy"] == pytest.approx(2 / 3)


def test_the_likeliest_class_that_reaches_its_threshold_is_guessed() -> None:
    """As taggers say it, though another class is likelier that stays below its own."""
    probabilities = np.array([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4], [0.9, 0.08, 0.02]])
    guesses = Guesses(np.array([1, 0, 0]), probabilities, thresholds=np.array([0.8, 0.3, np.nan]))
    assert guesses.guessed().tolist() == [[False, True, False], [False, False, False], [True, False, False]]
    assert scored(guesses).overall["accuracy"] == pytest.approx(2 / 3)
    outputs = Outputs("single", 1.0, (0.8, 0.3, None))
    assert np.array_equal(are_said(outputs, probabilities), guesses.guessed())


def test_d_prime() -> None:
    assert d_prime(0.5) == pytest.approx(0)
    assert d_prime(0.97) == pytest.approx(math.sqrt(2) * norm.ppf(0.97))
    assert [d_prime(area) for area in (None, 0.0, 1.0)] == [None] * 3
    assert d_prime(1.0, 0.01) == d_prime(0.99) == -(d_prime(0.0, 0.01) or 0)
    assert d_prime(0.98, 0.01) == d_prime(0.98)


def test_weights_are_as_repeated_sounds() -> None:
    rng = np.random.default_rng(3)
    right, values = rng.random(40) < 0.4, np.round(rng.random(40), 1)
    times = rng.integers(0, 4, (5, 40))
    ap, auc = Ranking(right, values).ap_and_auc(times.astype(float))
    for i, row in enumerate(times):
        repeated, scores = np.repeat(right, row), np.repeat(values, row)
        assert ap[i] == pytest.approx(metrics.average_precision_score(repeated, scores), abs=CLOSE)
        assert auc[i] == pytest.approx(metrics.roc_auc_score(repeated, scores), abs=CLOSE)
    assert np.isnan(Ranking(right, values).ap_and_auc(right[None] * 0.0)).all()


def test_lists_and_tensors_are_guesses_too() -> None:
    targets, guessed = [0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    expected = score_classes(Guesses(np.array(targets), np.array(guessed)), ["a", "b"]).table()
    for kind in (list, torch.tensor):
        assert score_classes(Guesses(kind(targets), kind(guessed)), ["a", "b"]).table() == expected


def test_guesses_that_make_no_sense() -> None:
    with pytest.raises(LabelsError, match="of 1 sounds are not finite, the first is number 1"):
        Guesses(np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]]))
    with pytest.raises(LabelsError, match="do not fit"):
        Guesses(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(LabelsError, match="there are none"):
        Guesses(np.zeros(0, int), np.zeros((0, 2)))
    others: list[tuple[list[Any], str]] = [([0, 2], "2"), ([-1, 0], "-1"), ([0.5, 1], "0.5")]
    for targets, strange in [*others, ([0, np.nan], "nan")]:
        with pytest.raises(LabelsError, match=rf"numbers of classes from 0 to 1, got {strange}"):
            Guesses(np.array(targets), np.zeros((2, 2)))
    with pytest.raises(LabelsError, match="mask"):
        Guesses(np.array([0]), np.zeros((1, 2)), np.ones((1, 2), bool))
    with pytest.raises(LabelsError, match="do not fit 1 names"):
        score_classes(Guesses(np.array([0]), np.zeros((1, 2))), ["a"])
