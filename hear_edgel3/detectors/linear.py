"""Linear heads on frozen embeddings, fitted in float64.

One class of several: ridge regression on +1 and -1, classes weighed the same (scikit-learn's ``RidgeClassifier``), the
outputs then brought to the scale of logits by what they say of sounds that were left out. It is the probe of this
project's quality benchmark; multinomial logistic regression was slower, and better on one of its three tasks only. Any
number of classes: logistic regression for each of them. Numbers: ridge regression. The strength of the penalty is
chosen by cross-validation inside the training part, in which units (recordings, groups, copies) stay whole.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hear_edgel3._extras import require
from hear_edgel3.heads import Head, HeadLayout
from hear_edgel3.labels.labelled import Kind

_PURPOSE, _EXTRA = "fitting a linear head", "train"
_PENALTIES = tuple(10.0**power for power in range(6))
_LOGISTIC_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
_USUAL = 100.0  # where there is nothing to choose by
_INNER_FOLDS = 4
# Of so many classes the penalty is chosen by the most frequent ones: with hundreds that took most of the time.
_CHOSEN_BY = 32
_LEAST_DEVIATION = 1e-6
_NEVER = -1e4  # the logit of a class that nothing was learnt of
_SCALES = (0.05, 10.0)


@dataclass(frozen=True)
class Part:
    """Embeddings of some sounds, and what is right for them.

    Attributes:
        vectors: (N, D) float32.
        targets: As those of :class:`hear_edgel3.labels.Labelled`.
        mask: (N, C) bool, which cells were judged; None for all.
        units: (N,) int64, equal for sounds that must stay together.
        kind: What is right for a sound.
        n_outputs: How many classes or numbers there are.
    """

    vectors: np.ndarray
    targets: np.ndarray
    mask: np.ndarray | None
    units: np.ndarray
    kind: Kind
    n_outputs: int

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Fitted:
    """A head, and how it came about.

    Attributes:
        head: On embeddings as they are.
        about: How it came about, as plain values.
        notes: What the user should know.
    """

    head: Head
    about: dict[str, Any]
    notes: tuple[str, ...] = ()


def fit_linear(part: Part) -> Fitted:
    """A linear head.

    Args:
        part: What to learn from.

    Raises:
        MissingExtra: scikit-learn or scipy is not installed.
    """
    require("sklearn", _PURPOSE, _EXTRA, "scikit-learn")
    folds = list(_inner_folds(part))
    notes = () if folds else ("too few sounds that may be parted to choose the penalty by: it is the usual one",)
    if part.kind is Kind.SEVERAL:
        penalty, weights, bias = _logistic(part, folds)
        about: dict[str, Any] = {"fitted_by": "logistic regression", "penalty": penalty}
    else:
        penalty, weights, bias, scale = _ridge(part, folds)
        about = {"fitted_by": "ridge regression", "penalty": penalty}
        if part.kind is Kind.SINGLE:
            weights, bias = weights * scale, bias * scale
            bias[np.bincount(part.targets, minlength=part.n_outputs) == 0] = _NEVER
            about |= {"fitted_by": "ridge classifier", "scale": scale}
    return Fitted(_head(part, weights, bias), about, notes)


def standard(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) means and deviations in float64, as a head standardises: a value that does not vary counts as 1."""
    values = vectors.astype(np.float64)
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > _LEAST_DEVIATION, deviation, 1.0)


def _head(part: Part, weights: np.ndarray, bias: np.ndarray) -> Head:
    """A head that standardises with the part's values, and then does what was fitted."""
    layout = HeadLayout("linear", part.vectors.shape[1], part.n_outputs, standardize=True)
    head = Head(layout)
    mean, deviation = standard(part.vectors)
    head.standardize(torch.from_numpy(mean).float(), torch.from_numpy(deviation).float())
    with torch.no_grad():
        head.output.weight.copy_(torch.from_numpy(weights))
        head.output.bias.copy_(torch.from_numpy(bias))
    return head.eval()


def _inner_folds(part: Part) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to test on, units whole; none where there are too few."""
    selection = require("sklearn.model_selection", _PURPOSE, _EXTRA, "scikit-learn")
    n = min(_INNER_FOLDS, len(np.unique(part.units)))
    if part.kind is Kind.SINGLE:
        n = min(n, int(np.bincount(part.targets).max()))
    if n < 2:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a class has fewer sounds than there are folds
        if part.kind is Kind.SINGLE:
            found = selection.StratifiedGroupKFold(n, shuffle=True, random_state=0)
        else:
            found = selection.GroupKFold(n)
        for train, test in found.split(part.vectors, part.targets, part.units):
            if len(train) and len(test) and (part.kind is not Kind.SINGLE or np.ptp(part.targets[train]) > 0):
                yield train, test


def _ridge(part: Part, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, np.ndarray, np.ndarray, float]:
    """The penalty, (C, D) weights and (C,) bias on standardised embeddings, and the scale that makes logits of them."""
    single = part.kind is Kind.SINGLE
    targets = _signs(part) if single else part.targets.astype(np.float64)
    found = {penalty: np.full(targets.shape, np.nan) for penalty in _PENALTIES}
    for train, test in folds:
        mean, deviation = standard(part.vectors[train])
        seen, unseen = ((part.vectors[rows] - mean) / deviation for rows in (train, test))
        ridge = Ridge(seen, targets[train], _balanced(part.targets[train]) if single else None)
        for penalty in _PENALTIES:
            coefficients, bias = ridge.fit(penalty)
            found[penalty][test] = unseen @ coefficients.T + bias
    tested = np.concatenate([test for _, test in folds]) if folds else np.zeros(0, np.int64)
    penalty, scale = _USUAL, 1.0
    if len(tested):
        # The stronger of two that are equally good.
        penalty = max(_PENALTIES, key=lambda p: (_goodness(part, found[p][tested], tested), p))
        if single:
            scale = _scale(found[penalty][tested], part.targets[tested])
    mean, deviation = standard(part.vectors)
    weights = _balanced(part.targets) if single else None
    coefficients, bias = Ridge((part.vectors - mean) / deviation, targets, weights).fit(penalty)
    return penalty, coefficients, bias, scale


class Ridge:
    """Ridge regression with any penalties: what scikit-learn's ``Ridge`` gives with each, by the same equations.

    scikit-learn makes the products of all embeddings again for each penalty; here they are made once, which is most of
    the work.

    Args:
        vectors: (N, D) float64.
        targets: (N, C) float64.
        weights: (N,) how much each row counts; None for 1.
    """

    def __init__(self, vectors: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> None:
        self._mean = np.average(vectors, axis=0, weights=weights)
        self._target_mean = np.average(targets, axis=0, weights=weights)
        rows, wanted = vectors - self._mean, targets - self._target_mean
        if weights is not None:
            root = np.sqrt(weights)[:, None]
            rows, wanted = rows * root, wanted * root
        # Of few rows their products with each other are the smaller matrix.
        self._rows = rows if len(rows) < rows.shape[1] else None
        self._products = rows.T @ rows if self._rows is None else rows @ rows.T
        self._wanted = rows.T @ wanted if self._rows is None else wanted

    def fit(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """(C, D) coefficients and (C,) bias."""
        linalg = require("scipy.linalg", _PURPOSE, _EXTRA)
        products = self._products.copy()
        products.flat[:: len(products) + 1] += penalty
        solved = linalg.solve(products, self._wanted, assume_a="pos", overwrite_a=True)
        coefficients = np.asarray(solved if self._rows is None else self._rows.T @ solved).T
        return coefficients, self._target_mean - coefficients @ self._mean


def _signs(part: Part) -> np.ndarray:
    return np.where(part.targets[:, None] == np.arange(part.n_outputs), 1.0, -1.0)


def _balanced(targets: np.ndarray) -> np.ndarray:
    """(N,) weights with which all classes that are there weigh the same."""
    counts = np.bincount(targets)
    return np.asarray(len(targets) / (np.count_nonzero(counts) * counts[targets]))


def _goodness(part: Part, outputs: np.ndarray, rows: np.ndarray) -> float:
    """Balanced accuracy of classes; of numbers minus the mean squared error, each measured by its variance."""
    if part.kind is Kind.SINGLE:
        targets = part.targets[rows]
        right = outputs.argmax(axis=1) == targets
        return float(np.mean([right[targets == label].mean() for label in np.unique(targets)]))
    targets = part.targets[rows].astype(np.float64)
    variance = targets.var(axis=0)
    return -float(np.mean(((outputs - targets) ** 2).mean(axis=0) / np.where(variance > 0, variance, 1.0)))


def _scale(outputs: np.ndarray, targets: np.ndarray) -> float:
    """What outputs for sounds that were left out are multiplied by, so that softmax makes probabilities of them.

    Targets are smoothed as if one more sound had been seen everywhere, of all classes in equal parts, so that a scale
    is found also where all guesses are right; one more of each class would make many classes far too unsure. Strong
    penalties make outputs small, so it is sought around what makes their deviation 1.
    """
    optimize = require("scipy.optimize", _PURPOSE, _EXTRA)
    n = len(outputs)
    smooth = 1 / (n + 1)
    weights = _balanced(targets)
    size = max(float(outputs.std()), 1e-12)

    def loss(log: float) -> float:
        scaled = math.exp(log) / size * outputs
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        log_probabilities = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        right = log_probabilities[np.arange(n), targets]
        each = -(1 - smooth) * right - smooth * log_probabilities.mean(axis=1)
        return float(np.average(each, weights=weights))

    bounds = tuple(map(math.log, _SCALES))
    return math.exp(float(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x)) / size


def _logistic(part: Part, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, np.ndarray, np.ndarray]:
    """The penalty, (C, D) weights and (C,) bias, each class against all others where it was judged."""
    right = part.targets > 0.5
    judged = np.ones(right.shape, bool) if part.mask is None else part.mask
    frequent = np.argsort(-(right & judged).sum(axis=0), kind="stable")[:_CHOSEN_BY]
    losses = np.zeros(len(_LOGISTIC_PENALTIES))
    for train, test in folds:
        mean, deviation = standard(part.vectors[train])
        seen, unseen = ((part.vectors[rows] - mean) / deviation for rows in (train, test))
        for label in frequent:
            known, tested = judged[train, label], judged[test, label]
            if not tested.any():
                continue
            path = _logistic_path(seen[known], right[train, label][known], _LOGISTIC_PENALTIES)
            for i, (weights, bias) in enumerate(path):
                logits = unseen[tested] @ weights + bias
                signs = np.where(right[test, label][tested], 1.0, -1.0)
                losses[i] += np.logaddexp(0, -signs * logits).mean()
    penalty = _LOGISTIC_PENALTIES[int(losses.argmin())] if folds else 10.0
    mean, deviation = standard(part.vectors)
    values = (part.vectors - mean) / deviation
    fitted = [
        _logistic_path(values[judged[:, i]], right[judged[:, i], i], (penalty,))[0] for i in range(part.n_outputs)
    ]
    return penalty, np.stack([weights for weights, _ in fitted]), np.array([bias for _, bias in fitted])


def _logistic_path(values: np.ndarray, right: np.ndarray, penalties: Sequence[float]) -> list[tuple[np.ndarray, float]]:
    """(D,) weights and a bias for each penalty, the strongest fitted first, since each begins where the last ended."""
    positives = int(right.sum())
    if positives in (0, len(right)):  # nothing to tell apart: what is known is how rare it is
        odds = math.log((positives + 0.5) / (len(right) - positives + 0.5))
        return [(np.zeros(values.shape[1]), odds)] * len(penalties)
    linear_model = require("sklearn.linear_model", _PURPOSE, _EXTRA, "scikit-learn")
    model = linear_model.LogisticRegression(max_iter=300, warm_start=True)
    found = []
    for penalty in sorted(penalties, reverse=True):
        model.C = 1 / penalty
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it could be fitted a little nearer
            model.fit(values, right)
        found.append((model.coef_[0].astype(np.float64).copy(), float(model.intercept_[0])))
    order = sorted(range(len(penalties)), key=lambda i: -penalties[i])
    return [found[order.index(i)] for i in range(len(penalties))]
