"""The logistic regressions of linear heads: where they end, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hear_edgel3.detectors.logistic import ROUGH, TOLERANCE, Logistic, axes_of

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
# More sounds than values, fewer of them, and as many; some values depend on each other, as those of real nets do.
SHAPES = [(400, 40), (60, 150), (80, 80)]


def data(n: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised values of very different directions, labels of 8 % to 70 % of the sounds, and what was judged."""
    rng = np.random.default_rng(n)
    hidden = rng.standard_normal((n, size)) * np.geomspace(3, 0.01, size)
    values = StandardScaler().fit_transform(hidden @ rng.standard_normal((size, size)) + 0.1 * hidden[:, :1])
    marks = hidden[:, :6] @ rng.standard_normal((6, 6)) + 0.3 * rng.standard_normal((n, 6))
    shares = np.array([0.08, 0.1, 0.2, 0.3, 0.5, 0.7])
    right = marks > [np.quantile(marks[:, i], 1 - share) for i, share in enumerate(shares)]
    return values, right, rng.random(right.shape) < 0.8


def gradients(
    values: np.ndarray, right: np.ndarray, judged: np.ndarray, weights: np.ndarray, bias: np.ndarray, penalty: float
) -> np.ndarray:
    """(C,) norms of the gradients of mean losses, by the definition."""
    found = []
    for i in range(right.shape[1]):
        rows, known = values[judged[:, i]], right[judged[:, i], i]
        pull = 1 / (1 + np.exp(-(rows @ weights[i] + bias[i]))) - known
        found.append(np.linalg.norm(np.r_[rows.T @ pull + penalty * weights[i], pull.sum()]) / len(rows))
    return np.array(found)


@pytest.mark.parametrize(("n", "size"), SHAPES)
@pytest.mark.parametrize("rough", [False, True])
def test_every_label_arrives_with_every_penalty(n: int, size: int, rough: bool) -> None:
    """By the gradient on the values as they were, beside rounding."""
    values, right, judged = data(n, size)
    found = Logistic(values, right, judged, rough=rough).fit(PENALTIES)
    for penalty, weights, bias in zip(PENALTIES, *found, strict=True):
        norms = gradients(values, right, judged, weights, bias, penalty)
        assert norms.max() <= (1.01 * ROUGH if rough else 1.01 * TOLERANCE)


@pytest.mark.parametrize(("n", "size"), SHAPES)
def test_logits_of_other_sounds_are_those_of_the_minimum(n: int, size: int) -> None:
    """Which is where scikit-learn gets to if it must go on, and from which it is further away as it is called usually.

    Observed: at most 1.7e-4 of the size of the logits, with the weakest penalty; scikit-learn 4e-2.
    """
    values, right, judged = data(n, size)
    others = np.random.default_rng(1).standard_normal((200, n)) @ values / np.sqrt(n)
    found = Logistic(values, right, judged).fit(PENALTIES)
    mine, theirs = [], []
    for penalty, weights, bias in zip(PENALTIES, *found, strict=True):
        for i in range(right.shape[1]):
            rows = judged[:, i]
            usual, longer = (
                LogisticRegression(C=1 / penalty, max_iter=steps, tol=tol, solver=solver)
                .fit(values[rows], right[rows, i])
                .decision_function(others)
                for steps, tol, solver in ((300, 1e-4, "lbfgs"), (100, 1e-10, "newton-cholesky"))
            )
            largest = np.sqrt(np.mean(longer**2))
            mine.append(np.abs(others @ weights[i] + bias[i] - longer).max() / largest)
            theirs.append(np.abs(usual - longer).max() / largest)
    assert np.max(mine) < 5e-4
    assert np.max(mine) < 0.1 * np.max(theirs)
    assert np.median(mine) < 0.1 * np.median(theirs)


def test_the_axes_of_other_values_lead_to_the_same() -> None:
    """Observed: 1.2e-4 of the largest weight."""
    values, right, judged = data(400, 40)
    other = axes_of(values[::2] * np.linspace(0.5, 2, 40))
    own = Logistic(values, right, judged).fit(PENALTIES)
    theirs = Logistic(values, right, judged, other).fit(PENALTIES)
    for mine, others in zip(own, theirs, strict=True):
        assert np.abs(mine - others).max() < 5e-4 * np.abs(mine).max()
        assert (mine != others).any()


def test_a_label_does_not_depend_on_the_others() -> None:
    values, right, judged = data(400, 40)
    whole = Logistic(values, right, judged).fit(PENALTIES)
    for i in range(right.shape[1]):
        alone = Logistic(values, right[:, [i]], judged[:, [i]]).fit(PENALTIES)
        for one, all_of_them in zip(alone, whole, strict=True):
            np.testing.assert_allclose(one[:, 0], all_of_them[:, i], rtol=0, atol=1e-10)


def test_the_same_bits_again() -> None:
    first, second = (Logistic(*data(60, 150)).fit(PENALTIES) for _ in range(2))
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


def test_the_order_of_penalties_makes_no_difference() -> None:
    values, right, judged = data(60, 150)
    first = Logistic(values, right, judged).fit(PENALTIES)
    second = Logistic(values, right, judged).fit(PENALTIES[::-1])
    assert all((one == other[::-1]).all() for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("far", "off"), [(1e2, 1e-4), (1e6, 1e-3)])
def test_it_comes_back_from_far_away(far: float, off: float) -> None:
    """Also from where all probabilities are 0 or 1, much further than it ever begins: then in more steps than it has.

    Observed: 1.4e-5, and 2.4e-4, where the largest weight is 4.7.
    """
    values, right, judged = data(400, 40)
    problem, signs = Logistic(values, right, judged), np.where(judged, np.where(right, 1.0, -1.0), 0.0).T
    starts = far * np.random.default_rng(0).standard_normal((6, 41))
    found = [problem._minimum(sign, 10.0, start) for sign, start in zip(signs, starts, strict=True)]
    wanted = [problem._minimum(sign, 10.0, np.zeros(41)) for sign in signs]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=off)


def test_values_that_do_not_vary_and_copies() -> None:
    _, right, judged = data(60, 150)
    weights, bias = Logistic(np.zeros((60, 150)), right, judged).fit([1.0])
    shares = (right & judged).sum(axis=0) / judged.sum(axis=0)
    assert not weights.any()
    np.testing.assert_allclose(1 / (1 + np.exp(-bias[0])), shares)
    values = np.tile(data(10, 150)[0], (6, 1))
    weights, bias = Logistic(values, right, judged).fit([1.0])
    assert gradients(values, right, judged, weights[0], bias[0], 1.0).max() <= 1.01 * TOLERANCE
