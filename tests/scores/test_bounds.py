"""Scores of sounds that are all ranked rightly, or all wrongly: what so few can tell, and no more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from hear_edgel3.scores import Guesses, score_classes
from hear_edgel3.scores.ranking import Ranking


def test_areas_are_exactly_1_however_many_sounds() -> None:
    """Counts are whole numbers: 1 less a rounding would have a d' of 11."""
    rng = np.random.default_rng(0)
    for n in (7, 49, 333, 2001):
        right = np.arange(n) % 3 == 0
        ranking = Ranking(right, rng.random(n) / 2 + right / 2)
        ap, auc = ranking.ap_and_auc(rng.integers(1, 5, (20, n)).astype(np.float64))
        assert auc.tolist() == [1.0] * 20
        assert ap == pytest.approx(np.ones(20), abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_d_prime_of_what_is_never_mistaken(sign: int) -> None:
    """Six sounds of the first class, four of the second, two of the third: nearest to 1 is half a pair less."""
    targets = np.repeat([0, 1, 2], [6, 4, 2])
    probabilities = np.eye(3)[targets] if sign > 0 else (1 - np.eye(3)[targets]) / 2
    scores = score_classes(Guesses(targets, probabilities), ["a", "b", "c"])
    pairs = np.array([6 * 6, 4 * 8, 2 * 10])
    wanted = sign * math.sqrt(2) * norm.ppf(1 - 0.5 / pairs)
    assert scores.per_class["d_prime"] == pytest.approx(wanted)
    nearest = 1 - 0.5 / pairs.max() / 3
    assert scores.overall["d_prime"] == pytest.approx(sign * math.sqrt(2) * norm.ppf(nearest))
    assert any("half a pair" in note and "a, b, c" in note for note in scores.notes)
    low, high = scores.overall_intervals["d_prime"] or (math.nan, math.nan)
    assert math.isfinite(low)
    assert math.isfinite(high)


def test_d_prime_of_one_tie_is_as_near() -> None:
    """One pair with equal scores is the nearest to 1, and is told as it is, without a note."""
    right = np.array([[1], [1], [0], [0], [0]])
    tied = score_classes(Guesses(right, np.array([[0.9], [0.5], [0.5], [0.2], [0.1]])), ["a"])
    assert tied.overall["roc_auc"] == pytest.approx(1 - 0.5 / 6)
    assert tied.overall["d_prime"] == pytest.approx(math.sqrt(2) * norm.ppf(1 - 0.5 / 6))
    assert not any("half a pair" in note for note in tied.notes)


def test_without_an_area_there_is_no_d_prime() -> None:
    scores = score_classes(Guesses(np.array([[1], [1]]), np.array([[0.9], [0.8]])), ["a"])
    assert scores.per_class["d_prime"] == (None,)
    assert scores.overall["d_prime"] is None
