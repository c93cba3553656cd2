"""Logistic regressions of many labels on the same embeddings, fitted together.

Each label's is the minimum of the sum of its log losses and penalty / 2 times the squared length of its weights, with
the bias free: what scikit-learn's ``LogisticRegression(C=1 / penalty)`` goes to, too. That fits one label after the
other, and reads all embeddings twice for each step of each. Here all labels take their steps at once, so that products
of matrices do the work, and the embeddings are turned to the axes along which they vary, where a curvature for each
axis says well how far a step goes. Where there are fewer sounds than values, only axes that the sounds reach are left.

SciPy's L-BFGS-B over all labels as one problem took 1.6 times as long with 10 labels, and 3.5 times with 32, since all
go on until the last has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hear_edgel3._extras import require

_PURPOSE, _EXTRA = "fitting a linear head", "train"
# The norm of the gradient of the mean loss at which a label has arrived. scikit-learn asks for 1e-4 of the largest of
# its values only.
TOLERANCE, ROUGH = 1e-6, 1e-4
_MOST_STEPS = 1000
_REMEMBERED = 10
_MOST_SHORTENED = 30
_ENOUGH = 1e-4  # of the decrease that the slope promises
# Axes with a smaller share of the squares than this of the largest one's are rounding.
_LEAST_SHARE = 1e-10
# Where a label begins so far away that no sound is undecided, even by rounding.
_LEAST_UNDECIDED = 1e-6
# So many labels at once are fast, and what is computed for each sound and label stays small beside the embeddings.
_AT_ONCE = 32


def axes_of(values: np.ndarray) -> np.ndarray:
    """(D, R) orthonormal axes along which values vary independently.

    Args:
        values: (N, D) float64. R is D, or the rank of the values, if N < D.
    """
    linalg = require("scipy.linalg", _PURPOSE, _EXTRA)
    if len(values) >= values.shape[1]:
        return np.asarray(linalg.eigh(values.T @ values, driver="evd")[1])
    squares, turned = linalg.eigh(values @ values.T, driver="evd")
    reached = squares > max(_LEAST_SHARE * squares[-1], np.finfo(np.float64).tiny)
    return np.asarray(values.T @ (turned[:, reached] / np.sqrt(squares[reached])))


class Logistic:
    """Labels on embeddings, to be fitted with any penalties.

    Args:
        values: (N, D) float64, standardised.
        right: (N, C) bool.
        judged: (N, C) bool, which cells count.
        axes: Those of other values that vary much as these do, which spares finding these ones' own; where there are
            fewer rows than values, these have fewer axes, which are found nevertheless. Which axes makes no difference
            to where the minimum is.
        rough: Whether to be less near to the minimum, with products of all sounds in float32, for the choice of a
            penalty.
    """

    def __init__(
        self,
        values: np.ndarray,
        right: np.ndarray,
        judged: np.ndarray,
        axes: np.ndarray | None = None,
        rough: bool = False,
    ) -> None:
        if axes is None or len(values) < values.shape[1]:
            axes = axes_of(values)
        self._axes = axes
        dtype = np.float32 if rough else np.float64
        self._tolerance = ROUGH if rough else TOLERANCE
        self._values = values.astype(dtype) @ axes.astype(dtype)
        self._squares = np.einsum("nr,nr->r", self._values, self._values).astype(np.float64)
        self._rounding = 10 * float(np.finfo(dtype).eps)
        self._signs = np.where(judged, np.where(right, 1.0, -1.0), 0.0).T

    def fit(self, penalties: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """(P, C, D) weights and (P, C) biases.

        Of a label that all or no sounds have there is nothing to tell apart: its bias says how rare it is.

        Args:
            penalties: More than 0, all different. The strongest is fitted first, and the others begin where those
                before them lead to.
        """
        found = np.zeros((len(penalties), len(self._signs), self._values.shape[1] + 1))
        positives, negatives = ((self._signs == sign).sum(axis=1) for sign in (1, -1))
        found[..., -1] = np.log((positives + 0.5) / (negatives + 0.5))
        told = np.flatnonzero((positives > 0) & (negatives > 0))
        logs = np.log(penalties)
        order = np.argsort(-logs, kind="stable")
        for first in range(0, len(told), _AT_ONCE):
            labels = told[first : first + _AT_ONCE]
            start = np.zeros((len(labels), found.shape[-1]))
            start[:, -1] = np.log(positives[labels] / negatives[labels])
            for i, last, before in zip(order, [None, *order], [None, None, *order], strict=False):
                if last is not None:
                    start = found[last, labels]
                if before is not None:  # weights grow about as much whenever the penalty gets so many times weaker
                    further = (logs[i] - logs[last]) / (logs[last] - logs[before])
                    start = start + further * (start - found[before, labels])
                found[i, labels] = self._minimum(self._signs[labels], penalties[i], start)
        return found[..., :-1] @ self._axes.T, found[..., -1]

    def _minimum(self, signs: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
        """(C, R + 1) weights along the axes, and biases, by L-BFGS, each label with steps of its own."""
        found, labels = start.copy(), np.arange(len(start))
        enough = self._tolerance * np.count_nonzero(signs, axis=1)
        now = self._at(signs, penalty, start)
        # Curvatures as if all sounds of a label were as undecided as they are on average.
        undecided = np.maximum((now.wrong * (1 - now.wrong) * signs**2).sum(axis=1), _LEAST_UNDECIDED)[:, None]
        path = _Path(1 / np.hstack([undecided / len(self._values) * self._squares + penalty, undecided]))
        for _ in range(_MOST_STEPS):
            on = np.linalg.norm(now.gradient, axis=1) > enough
            if not on.all():
                found[labels[~on]] = now.at[~on]
                labels, signs, enough, now = labels[on], signs[on], enough[on], now.of(on)
                path.keep(on)
                if not len(labels):
                    return found
            last, now = now, self._step(signs, penalty, now, path.direction(now.gradient))
            path.add(now.at - last.at, now.gradient - last.gradient)
        found[labels] = now.at
        return found

    def _step(self, signs: np.ndarray, penalty: float, now: _Place, direction: np.ndarray) -> _Place:
        """Where a step leads, shortened for labels for which it would go too far."""
        slope = _product(now.gradient, direction)
        length = np.ones(len(slope))
        new = self._at(signs, penalty, now.at + direction)
        for _ in range(_MOST_SHORTENED):
            far = np.flatnonzero(new.loss > now.loss + _ENOUGH * length * slope + self._rounding * now.loss)
            if not len(far):
                break
            # To where the parabola through what is known is lowest.
            was, down = length[far], slope[far]
            lowest = -down * was**2 / (2 * (new.loss[far] - now.loss[far] - down * was))
            length[far] = np.clip(lowest, 0.1 * was, 0.5 * was)
            nearer = self._at(signs[far], penalty, now.at[far] + length[far, None] * direction[far])
            for whole, part in zip(new, nearer, strict=True):
                whole[far] = part
        return new

    def _at(self, signs: np.ndarray, penalty: float, at: np.ndarray) -> _Place:
        weights = at[:, :-1]
        against = -signs * ((self._values @ weights.T.astype(self._values.dtype)).T + at[:, -1:])
        small = np.exp(-np.abs(against))
        losses = (np.maximum(against, 0) + np.log1p(small)) * signs**2
        wrong = np.where(against >= 0, 1.0, small) / (1 + small)
        pull = -signs * wrong
        gradient = np.hstack(
            [pull.astype(self._values.dtype) @ self._values + penalty * weights, pull.sum(axis=1, keepdims=True)]
        )
        return _Place(at, losses.sum(axis=1) + penalty / 2 * _product(weights, weights), gradient, wrong)


class _Place(NamedTuple):
    """Where labels are.

    Attributes:
        at: (C, R + 1) weights along the axes, and biases.
        loss: (C,) with the penalty.
        gradient: (C, R + 1).
        wrong: (C, N) probabilities of what is not right.
    """

    at: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    wrong: np.ndarray

    def of(self, labels: np.ndarray) -> _Place:
        """Some of the labels."""
        return _Place(*(values[labels] for values in self))


class _Path:
    """The last steps of some labels, and where they say that the next should go (Nocedal 1980).

    Args:
        inverse: (C, R + 1) inverse curvatures that are known beforehand.
    """

    def __init__(self, inverse: np.ndarray) -> None:
        self._inverse = inverse
        self._steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def keep(self, labels: np.ndarray) -> None:
        """Goes on with some of the labels only."""
        self._inverse = self._inverse[labels]
        self._steps = [(step[labels], change[labels], by[labels]) for step, change, by in self._steps]

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """Remembers steps, and by what they changed the gradients."""
        product = _product(step, change)
        by = np.where(product > 0, 1 / np.where(product > 0, product, 1.0), 0.0)
        self._steps = [*self._steps, (step, change, by)][-_REMEMBERED:]

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """(C, R + 1), downwards."""
        left, shares = gradient.copy(), []
        for step, change, by in reversed(self._steps):
            share = by * _product(step, left)
            left -= share[:, None] * change
            shares.append(share)
        left *= self._inverse
        if self._steps:
            _, change, by = self._steps[-1]
            size = by * _product(change * self._inverse, change)
            left /= np.where(size > 0, size, 1.0)[:, None]
        for (step, change, by), share in zip(self._steps, reversed(shares), strict=True):
            left += (share - by * _product(change, left))[:, None] * step
        return -left


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("cr,cr->c", first, second))
