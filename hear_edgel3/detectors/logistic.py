"""Logistic regressions of many labels on the same embeddings.

Each label's is the minimum of the sum of its log losses and penalty / 2 times the squared length of its weights, with
the bias free: what scikit-learn's ``LogisticRegression(C=1 / penalty)`` goes to, too. SciPy's L-BFGS-B finds it, as it
does there, but here the embeddings are turned to the axes along which they vary, and each is measured by its curvature:
a fraction of the steps is needed then. Where there are fewer sounds than values, only axes that the sounds reach are
left. Along a path of penalties each minimum begins where those before it lead to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hear_edgel3._extras import require

_PURPOSE, _EXTRA = "fitting a linear head", "train"
# The norm of the gradient of the mean loss at which a label has arrived. scikit-learn asks for 1e-4 of the largest of
# its values only. Rough ones are nearer than float32 lets their loss tell.
TOLERANCE, ROUGH = 1e-6, 2e-4
_MOST_STEPS = 1000
_REMEMBERED = 10  # steps, by L-BFGS
# Axes with a smaller share of the squares than this of the largest one's are rounding.
_LEAST_SHARE = 1e-10
# Where a label begins so far away that no sound is undecided, even by rounding.
_LEAST_UNDECIDED = 1e-6


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
        self._variances = np.einsum("nr,nr->r", self._values, self._values).astype(np.float64) / len(values)
        self._signs = np.where(judged, np.where(right, 1.0, -1.0), 0.0).T

    def fit(self, penalties: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """(P, C, D) weights and (P, C) biases.

        Of a label that all or no sounds have there is nothing to tell apart: its bias says how rare it is.

        Args:
            penalties: More than 0, all different. The strongest is fitted first, and the others begin where those
                before them lead to.
        """
        found = np.zeros((len(penalties), len(self._signs), self._values.shape[1] + 1))
        logs = np.log(penalties)
        order = np.argsort(-logs, kind="stable")
        for label, signs in enumerate(self._signs):
            positives, negatives = ((signs == sign).sum() for sign in (1, -1))
            found[:, label, -1] = np.log((positives + 0.5) / (negatives + 0.5))
            if not positives or not negatives:
                continue
            start = np.zeros(found.shape[-1])
            start[-1] = np.log(positives / negatives)
            for i, last, before in zip(order, [None, *order], [None, None, *order], strict=False):
                if last is not None:
                    start = found[last, label]
                if before is not None:  # weights grow about as much whenever the penalty gets so many times weaker
                    further = (logs[i] - logs[last]) / (logs[last] - logs[before])
                    start = start + further * (start - found[before, label])
                found[i, label] = self._minimum(signs, penalties[i], start)
        return found[..., :-1] @ self._axes.T, found[..., -1]

    def _minimum(self, signs: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
        """(R + 1,) weights along the axes, and the bias, of one label."""
        optimize = require("scipy.optimize", _PURPOSE, _EXTRA)
        expit = require("scipy.special", _PURPOSE, _EXTRA).expit
        judged = signs != 0
        values, signs, n = (self._values if judged.all() else self._values[judged]), signs[judged], judged.sum()

        def against(at: np.ndarray) -> np.ndarray:
            return np.asarray(-signs * (values @ at[:-1].astype(values.dtype) + at[-1]))

        # By the curvatures of the mean loss, as if all sounds were as undecided as they are on average.
        wrong = expit(against(start))
        undecided = max(float(np.mean(wrong * (1 - wrong))), _LEAST_UNDECIDED)
        scale = 1 / np.sqrt(np.r_[undecided * self._variances + penalty / n, undecided])
        slope = np.inf

        def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal slope
            at = scale * scaled
            not_right = against(at)
            pull = -signs * expit(not_right)
            gradient = np.r_[pull.astype(values.dtype) @ values + penalty * at[:-1], pull.sum()] / n
            slope = float(np.linalg.norm(gradient))
            return float(np.logaddexp(0, not_right).mean() + penalty / 2 * (at[:-1] @ at[:-1]) / n), scale * gradient

        def stop_there(_: np.ndarray) -> None:
            if slope <= self._tolerance:
                raise StopIteration

        options = {"maxiter": _MOST_STEPS, "maxcor": _REMEMBERED, "ftol": 0, "gtol": 0}
        found = optimize.minimize(
            loss, start / scale, jac=True, method="L-BFGS-B", callback=stop_there, options=options
        )
        return np.asarray(scale * found.x)
