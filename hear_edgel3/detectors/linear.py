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
from hear_edgel3.detectors.logistic import Logistic, axes_of
from hear_edgel3.heads import Head, HeadLayout
from hear_edgel3.labels.labelled import Kind

_PURPOSE, _EXTRA = "fitting a linear head", "train"
_PENALTIES = tuple(10.0**power for power in range(6))
_LOGISTIC_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
_USUAL, _USUAL_LOGISTIC = 100.0, 10.0  # where there is nothing to choose by
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
        penalty: That of a linear head; None for others.
    """

    head: Head
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    penalty: float | None = None


Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def fit_linear(part: Part, penalty: float | None = None) -> Fitted:
    """A linear head.

    Args:
        part: What to learn from.
        penalty: How strong it is; None to choose.

    Raises:
        MissingExtra: scikit-learn or scipy is not installed.
    """
    require("sklearn", _PURPOSE, _EXTRA, "scikit-learn")
    single = part.kind is Kind.SINGLE
    folds = list(_inner_folds(part)) if penalty is None or single else []
    notes: tuple[str, ...] = ()
    if not folds and penalty is None:
        notes = ("too few sounds that may be parted to choose the penalty by: it is the usual one",)
    if part.kind is Kind.SEVERAL:
        penalty, weights, bias = _logistic(part, folds, penalty)
        about: dict[str, Any] = {"fitted_by": "logistic regression", "penalty": penalty}
    else:
        penalty, weights, bias, scale = _ridge(part, folds, penalty)
        about = {"fitted_by": "ridge regression", "penalty": penalty}
        if single:
            weights, bias = weights * scale, bias * scale
            bias[np.bincount(part.targets, minlength=part.n_outputs) == 0] = _NEVER
            about |= {"fitted_by": "ridge classifier", "scale": scale}
    return Fitted(_head(part, weights, bias), about, notes, penalty)


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


def _standardised(vectors: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to test on in float64, both by what the first are like."""
    mean, deviation = standard(vectors[train])
    return (vectors[train] - mean) / deviation, (vectors[test] - mean) / deviation


def _ridge(part: Part, folds: Folds, penalty: float | None) -> tuple[float, np.ndarray, np.ndarray, float]:
    """The penalty, (C, D) weights and (C,) bias on standardised embeddings, and the scale that makes logits of them."""
    single = part.kind is Kind.SINGLE
    targets = _signs(part) if single else part.targets.astype(np.float64)
    scale = 1.0
    if folds:
        penalty, scale = _ridge_choice(part, targets, folds, _PENALTIES if penalty is None else (penalty,))
    elif penalty is None:
        penalty = _USUAL
    mean, deviation = standard(part.vectors)
    weights = _balanced(part.targets) if single else None
    coefficients, bias = Ridge((part.vectors - mean) / deviation, targets, weights).fit(penalty)
    return penalty, coefficients, bias, scale


def _ridge_choice(part: Part, targets: np.ndarray, folds: Folds, penalties: Sequence[float]) -> tuple[float, float]:
    """The penalty with which sounds that were left out are guessed best, and the scale by what is said of these."""
    single = part.kind is Kind.SINGLE
    found = {penalty: np.full(targets.shape, np.nan) for penalty in penalties}
    for train, test in folds:
        seen, unseen = _standardised(part.vectors, train, test)
        ridge = Ridge(seen, targets[train], _balanced(part.targets[train]) if single else None)
        for penalty in penalties:
            coefficients, bias = ridge.fit(penalty)
            found[penalty][test] = unseen @ coefficients.T + bias
    tested = np.concatenate([test for _, test in folds])
    # The stronger of two that are equally good.
    penalty = max(penalties, key=lambda p: (_goodness(part, found[p][tested], tested), p))
    return penalty, _scale(found[penalty][tested], part.targets[tested]) if single else 1.0


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
            rows *= root
            wanted *= root
        # Of few rows their products with each other are the smaller matrix.
        self._rows = rows if len(rows) < rows.shape[1] else None
        self._products = rows.T @ rows if self._rows is None else rows @ rows.T
        self._wanted = rows.T @ wanted if self._rows is None else wanted

    def fit(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """(C, D) coefficients and (C,) bias."""
        linalg = require("scipy.linalg", _PURPOSE, _EXTRA)
        products = self._products.copy(order="F")
        products[np.diag_indices_from(products)] += penalty
        solved = linalg.cho_solve(linalg.cho_factor(products, overwrite_a=True), self._wanted)
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


def _logistic(part: Part, folds: Folds, penalty: float | None) -> tuple[float, np.ndarray, np.ndarray]:
    """The penalty, (C, D) weights and (C,) bias, each class against all others where it was judged."""
    right = part.targets > 0.5
    judged = np.ones(right.shape, bool) if part.mask is None else part.mask
    mean, deviation = standard(part.vectors)
    # However many threads products of matrices are made by otherwise, the same sounds give the same bits.
    with require("threadpoolctl", _PURPOSE, _EXTRA).threadpool_limits(1, "blas"):
        axes = axes_of((part.vectors - mean) / deviation) if len(part) >= len(mean) else None
        if penalty is None:
            penalty = _logistic_penalty(part.vectors, right, judged, folds, axes) if folds else _USUAL_LOGISTIC
        weights, bias = Logistic((part.vectors - mean) / deviation, right, judged, axes).fit([penalty])
    return penalty, weights[0], bias[0]


def _logistic_penalty(
    vectors: np.ndarray, right: np.ndarray, judged: np.ndarray, folds: Folds, axes: np.ndarray | None
) -> float:
    """The penalty that makes labels of sounds that were left out likeliest."""
    frequent = np.argsort(-(right & judged).sum(axis=0), kind="stable")[:_CHOSEN_BY]
    losses = np.zeros(len(_LOGISTIC_PENALTIES))
    for train, test in folds:
        labels = frequent[judged[np.ix_(test, frequent)].any(axis=0)]
        seen, unseen = _standardised(vectors, train, test)
        of_train, of_test = np.ix_(train, labels), np.ix_(test, labels)
        fitted = Logistic(seen, right[of_train], judged[of_train], axes, rough=True).fit(_LOGISTIC_PENALTIES)
        for i, (weights, bias) in enumerate(zip(*fitted, strict=True)):
            each = np.logaddexp(0, np.where(right[of_test], -1.0, 1.0) * (unseen @ weights.T + bias))
            losses[i] += each.mean(axis=0, where=judged[of_test]).sum()
    return _LOGISTIC_PENALTIES[int(losses.argmin())]
