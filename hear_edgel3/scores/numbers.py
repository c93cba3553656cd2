"""Scores of numbers (regression)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hear_edgel3._checks import check_several, several_texts
from hear_edgel3.errors import LabelsError
from hear_edgel3.scores.arrays import matrix_of
from hear_edgel3.scores.report import Figures, Scores, number, with_intervals
from hear_edgel3.scores.resampling import n_resamples, resampled_weights

_NAMES = ("mae", "rmse", "r2", "pearson", "ccc")


def score_numbers(
    targets: np.ndarray,
    guesses: np.ndarray,
    names: Sequence[str],
    groups: Sequence[str] | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> Scores:
    """Scores of numbers: of each one, and overall as means over these, with 95 % intervals.

    ``mae``: mean absolute error. ``rmse``: root of the mean squared error. ``r2``: the share of the variance that is
    explained, which may be negative. ``pearson``: correlation. ``ccc``: Lin's concordance correlation coefficient,
    2 cov / (var + var + (difference of means)^2), with variances of n (Lin, Biometrics 1989). Where all targets are
    equal there is no ``r2``, ``pearson`` or ``ccc``.

    Args:
        targets: (N, C) what is right.
        guesses: (N, C) what was guessed.
        names: The names of the numbers.
        groups: (N,) what is drawn as a whole for the intervals; None for each sound by itself.
        resamples: How many samples the intervals are from; None for 1000, and of large sets for fewer; 0 for none.
        seed: Of the samples.

    Raises:
        LabelsError: Shapes do not fit, or a number is not finite.
    """
    targets, guesses = matrix_of(targets, "targets"), matrix_of(guesses, "guesses")
    names = several_texts(names, "names")
    if targets.shape != guesses.shape or targets.shape[1] != len(names) or not len(targets):
        raise LabelsError(f"{guesses.shape} guesses do not fit {targets.shape} targets of {len(names)} names")
    groups = None if groups is None else list(check_several(groups, "groups", "a list of names"))
    if groups is not None and len(groups) != len(targets):
        raise LabelsError(f"{len(groups)} groups do not fit {len(targets)} targets")
    for what, values in (("targets", targets), ("guesses", guesses)):
        if not np.isfinite(values).all():
            raise LabelsError(f"{np.count_nonzero(~np.isfinite(values))} of the {what} are not finite")
    right, guessed = targets.astype(np.float64), guesses.astype(np.float64)
    n = len(right)
    overall, per_class = _figures(np.ones((1, n)), right, guessed)
    group_of = np.asarray(range(n) if groups is None else groups)
    constant = [name for i, name in enumerate(names) if np.ptp(right[:, i]) == 0]
    notes = [f"all targets are equal, so there is no r2, pearson or ccc: {', '.join(constant)}"] if constant else []
    scores = Scores(
        tuple(names),
        n,
        len(np.unique(group_of)),
        None,
        {name: number(values[0]) for name, values in overall.items()},
        {name: tuple(number(value) for value in values[0]) for name, values in per_class.items()},
        notes=tuple(notes),
    )
    times = n_resamples(n, len(names), resamples) if scores.n_groups > 1 else 0
    return with_intervals(
        scores, [_figures(block, right, guessed) for block in resampled_weights(group_of, None, times, seed)]
    )


def _figures(weights: np.ndarray, right: np.ndarray, guessed: np.ndarray) -> Figures:
    total = weights.sum(axis=1, keepdims=True)
    # Taken from the means of all first, so that squares of large numbers lose nothing.
    centre = right.mean(axis=0)
    x, y = right - centre, guessed - centre

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ values / total)

    mean_x, mean_y = mean(x), mean(y)
    squared = mean((x - y) ** 2)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    # What is left of a variance of zero is rounding.
    var_x = np.where(var_x > 1e-12 * np.maximum(mean(x * x), 1e-300), var_x, 0)
    var_y = np.where(var_y > 1e-12 * np.maximum(mean(y * y), 1e-300), var_y, 0)
    cov = mean(x * y) - mean_x * mean_y
    with np.errstate(invalid="ignore", divide="ignore"):
        values = (
            mean(np.abs(x - y)),
            np.sqrt(squared),
            np.where(var_x > 0, 1 - squared / var_x, np.nan),
            np.where((var_x > 0) & (var_y > 0), cov / np.sqrt(var_x * var_y), np.nan),
            np.where(var_x > 0, 2 * cov / (var_x + var_y + (mean_x - mean_y) ** 2), np.nan),
        )
    per_class = dict(zip(_NAMES, values, strict=True))
    overall = {}
    for name, found in per_class.items():
        known = np.isfinite(found)
        count = known.sum(axis=1)
        mean_of = np.where(known, found, 0).sum(axis=1) / np.maximum(count, 1)
        overall[name] = np.where(count > 0, mean_of, np.nan)
    return overall, per_class
