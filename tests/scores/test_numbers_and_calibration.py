"""Scores of numbers, confusions, temperature, calibration errors and thresholds, against others' and by hand."""

from __future__ import annotations

import builtins
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn import metrics

from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.scores import Guesses, score_numbers
from hear_edgel3.scores.calibration import (
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
    negative_log_likelihood,
    probabilities_of,
)
from hear_edgel3.scores.confusion import confusion_matrix, draw_confusion


def test_numbers_as_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((60, 2)) * (1, 30) + (0, 1e4)
    guesses = targets + rng.standard_normal((60, 2)) * (0.5, 20)
    scores = score_numbers(targets, guesses, ["x", "y"], resamples=0)
    for i in range(2):
        x, y = targets[:, i], guesses[:, i]
        assert scores.per_class["mae"][i] == pytest.approx(metrics.mean_absolute_error(x, y))
        assert scores.per_class["rmse"][i] == pytest.approx(metrics.root_mean_squared_error(x, y))
        assert scores.per_class["r2"][i] == pytest.approx(metrics.r2_score(x, y))
        assert scores.per_class["pearson"][i] == pytest.approx(pearsonr(x, y).statistic)
        cov = np.cov(x, y, bias=True)
        ccc = 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (x.mean() - y.mean()) ** 2)
        assert scores.per_class["ccc"][i] == pytest.approx(ccc)
    r2 = scores.per_class["r2"]
    assert scores.overall["r2"] == pytest.approx((r2[0] + r2[1]) / 2)  # type: ignore[operator]
    assert scores.positives is None


def test_constant_numbers_have_no_correlation() -> None:
    targets = np.array([[2.0, 1], [2, 2], [2, 4]])
    scores = score_numbers(targets, targets + 0.1, ["x", "y"], resamples=0)
    assert scores.per_class["r2"][0] is None
    assert scores.per_class["pearson"] == (None, pytest.approx(1))
    assert scores.overall["ccc"] == scores.per_class["ccc"][1]
    assert scores.notes == ("all targets are equal, so there is no r2, pearson or ccc: x",)
    flat = score_numbers(targets, np.full((3, 2), 2.0), ["x", "y"], resamples=0)
    assert flat.per_class["pearson"][1] is None
    assert flat.per_class["ccc"][1] == pytest.approx(0, abs=1e-15)
    with pytest.raises(LabelsError, match="1 of the guesses are not finite"):
        score_numbers(targets, np.where(targets == 4, np.nan, targets), ["x", "y"])


def test_confusions_as_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    targets, probabilities = rng.integers(0, 3, 50), rng.random((50, 3))
    matrix = confusion_matrix(Guesses(targets, probabilities))
    assert np.array_equal(matrix, metrics.confusion_matrix(targets, probabilities.argmax(axis=1)))
    refused = confusion_matrix(Guesses(targets, probabilities, thresholds=np.full(3, 0.7)))
    assert refused.shape == (3, 4)
    assert refused[:, 3].sum() == (probabilities.max(axis=1) < 0.7).sum()
    assert refused.sum() == 50
    several = (rng.random((50, 3)) < 0.4).astype(int)
    expected = metrics.multilabel_confusion_matrix(several, probabilities >= 0.5)
    assert np.array_equal(confusion_matrix(Guesses(several, probabilities)), expected)
    mask = rng.random((50, 3)) < 0.5
    assert np.array_equal(confusion_matrix(Guesses(several, probabilities, mask)).sum(axis=(1, 2)), mask.sum(axis=0))


@pytest.mark.parametrize("n", [2, 30, 80])
def test_the_picture_of_confusions(n: int) -> None:
    picture = draw_confusion(np.eye(n, dtype=int) * 3, [f"$c_{i}" for i in range(n)])
    assert picture is not None
    assert picture.startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert draw_confusion(np.eye(2, dtype=int), ["a", "b"]) is None


@pytest.mark.parametrize("is_single", [True, False])
def test_temperature_is_found_again(is_single: bool) -> None:
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((4000, 3)) * 2
    true = probabilities_of(logits, is_single)
    drawn = rng.random((4000, 3))
    targets = (drawn[:, :1] > true.cumsum(axis=1)).sum(axis=1) if is_single else (drawn < true).astype(int)
    found = fit_temperature(3 * logits, targets)
    assert found == pytest.approx(3, rel=0.1)
    losses = [negative_log_likelihood(3 * logits, targets, None, found * by) for by in (0.99, 1, 1.01)]
    assert losses[1] == min(losses)
    before, after = (
        expected_calibration_error(probabilities_of(3 * logits, is_single, t), targets) for t in (1, found)
    )
    assert after < 0.03 < before


@pytest.mark.parametrize("is_single", [True, False])
@pytest.mark.parametrize("n_classes", [3, 10, 30])
@pytest.mark.parametrize("n", [20, 50, 100])
def test_temperatures_of_few_sounds_make_nothing_worse(n: int, n_classes: int, is_single: bool) -> None:
    """Probabilities that were right stay so, and those of a head that is far too sure become better."""
    figures = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = 2 * rng.standard_normal((n + 2000, n_classes))
        true, drawn = probabilities_of(logits, is_single), rng.random((n + 2000, n_classes))
        targets = (drawn[:, :1] > true.cumsum(axis=1)).sum(axis=1) if is_single else (drawn < true).astype(int)
        for sure in (1, 4):
            found = fit_temperature(sure * logits[:n], targets[:n], spread=0.35)
            rest = sure * logits[n:], targets[n:]
            figures.append(
                [
                    (
                        negative_log_likelihood(*rest, None, by),
                        expected_calibration_error(probabilities_of(rest[0], is_single, by), rest[1]),
                    )
                    for by in (1.0, found, float(sure))
                ]
            )
    right, sure = (np.mean(figures[start::2], axis=0) for start in (0, 1))
    assert right[1, 0] < 1.02 * right[0, 0]
    assert right[1, 1] < right[0, 1] + 0.03
    assert sure[1, 0] - sure[2, 0] < 0.4 * (sure[0, 0] - sure[2, 0])
    assert sure[1, 1] < sure[0, 1]


def test_sounds_that_are_all_guessed_rightly_make_nothing_sure() -> None:
    logits = 2 * np.eye(4)[np.arange(20) % 4]
    assert fit_temperature(logits, np.arange(20) % 4) < 0.1
    assert 0.4 < fit_temperature(logits, np.arange(20) % 4, spread=0.35) < 0.8
    with pytest.raises(InvalidOption, match="spread must be positive"):
        fit_temperature(logits, np.arange(20) % 4, spread=0)


def test_probabilities_and_likelihood_as_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    logits, targets = 40 * rng.standard_normal((30, 4)), rng.integers(0, 4, 30)
    soft = probabilities_of(logits, True)
    assert soft.sum(axis=1) == pytest.approx(1)
    mild = logits / 40
    expected = metrics.log_loss(targets, probabilities_of(mild, True), labels=range(4))
    assert negative_log_likelihood(mild, targets) == pytest.approx(expected)
    several, mask = (rng.random((30, 4)) < 0.5).astype(int), rng.random((30, 4)) < 0.5
    expected = metrics.log_loss(several[mask], probabilities_of(mild, False)[mask])
    assert negative_log_likelihood(mild, several, mask) == pytest.approx(expected)
    assert np.isfinite(probabilities_of(np.array([[-1e4, 1e4]]), False)).all()
    with pytest.raises(LabelsError, match="needs a validation part"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(LabelsError, match="not finite"):
        fit_temperature(np.array([[np.inf, 0]]), np.array([0]))


def test_calibration_error_by_hand() -> None:
    # Bins of .2: two guesses of .7 (one right: .2 off), two of .9 and 1 (both right: .05 off), weighed.
    probabilities = np.array([[0.7, 0.3], [0.7, 0.3], [0.9, 0.1], [0.0, 1.0]])
    targets = np.array([0, 1, 0, 1])
    assert expected_calibration_error(probabilities, targets, bins=5) == pytest.approx((2 * 0.2 + 2 * 0.05) / 4)
    # Cells: .1 and .3 in two bins, wrong and right; .9 is not judged.
    several = np.array([[0, 1, 0]])
    cells = np.array([[0.1, 0.3, 0.9]])
    mask = np.array([[True, True, False]])
    assert expected_calibration_error(cells, several, mask, bins=5) == pytest.approx((0.1 + 0.7) / 2)


def test_thresholds_have_the_best_f1_of_all() -> None:
    rng = np.random.default_rng(4)
    targets = (rng.random((100, 3)) < (0.1, 0.3, 0.5)).astype(int)
    probabilities = np.round(np.clip(0.3 * targets + 0.6 * rng.random((100, 3)), 0, 1), 2)
    found = fit_thresholds(probabilities, targets)
    for i in range(3):
        every = [metrics.f1_score(targets[:, i], probabilities[:, i] >= t) for t in np.arange(0.005, 1, 0.01)]
        assert metrics.f1_score(targets[:, i], probabilities[:, i] >= found[i]) == pytest.approx(max(every))


def test_thresholds_by_hand_and_where_there_is_nothing_to_fit() -> None:
    probabilities = np.array([[0.9, 0.9, 0.9], [0.5, 0.2, 0.2], [0.1, 0.1, 0.1]])
    targets = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1]])
    found = fit_thresholds(probabilities, targets)
    assert found[0] == pytest.approx(0.3)
    assert np.isnan(found[1:]).all()
    single = fit_thresholds(np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]), np.array([0, 1, 1]))
    assert single == pytest.approx([0.6, 0.4])
    mask = np.array([[True] * 3, [False] * 3, [True] * 3])
    assert fit_thresholds(probabilities, targets, mask)[0] == pytest.approx(0.5)
