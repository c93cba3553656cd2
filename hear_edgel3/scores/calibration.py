"""Probabilities that mean what they say: temperature, how far off they are (ECE), and thresholds of classes."""

from __future__ import annotations

import math

import numpy as np

from hear_edgel3._checks import check_positive, check_whole, number_of, shown
from hear_edgel3._extras import require
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.scores.arrays import array_of, mask_of, matrix_of, targets_of

_BINS = 15
# From this probability on a class of several is said, where it has no threshold of its own.
_USUAL_THRESHOLD = 0.5
_LEAST, _MOST = 0.02, 50.0


def probabilities_of(logits: np.ndarray, is_single: bool, temperature: float = 1.0) -> np.ndarray:
    """(N, C) float64 probabilities: softmax if each sound has one class, else sigmoid, of the logits / temperature.

    Raises:
        LabelsError: The logits are no matrix.
        InvalidOption: The temperature is not positive.
    """
    check_positive(temperature, "temperature")
    scaled = matrix_of(logits, "logits").astype(np.float64) / temperature
    if is_single:
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
    small = np.exp(-np.abs(scaled))
    return np.asarray(np.where(scaled >= 0, 1, small) / (1 + small))


def negative_log_likelihood(
    logits: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None, temperature: float = 1.0
) -> float:
    """The mean of -log(probability of what is right), over sounds or, of several classes, over judged cells.

    Args:
        logits: (N, C).
        targets: (N,) numbers of classes, or (N, C) in [0, 1].
        mask: (N, C) bool; None for all.
        temperature: What the logits are divided by.
    """
    scaled = logits.astype(np.float64) / temperature
    if targets.ndim == 1:
        highest = scaled.max(axis=1)
        totals = np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) + highest
        return float(np.mean(totals - scaled[np.arange(len(scaled)), targets]))
    losses = np.maximum(scaled, 0) - scaled * targets + np.log1p(np.exp(-np.abs(scaled)))
    return float(losses.mean() if mask is None else losses[mask].mean())


def fit_temperature(
    logits: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None, spread: float | None = None
) -> float:
    """The temperature under which the targets are likeliest, between 0.02 and 50.

    It changes no ranking within a sound, and no likeliest class (Guo et al., "On calibration of modern neural
    networks", ICML 2017).

    Args:
        logits: (N, C) of a part that nothing was learnt from: validation, not test.
        targets: (N,) numbers of classes, or (N, C) in [0, 1].
        mask: (N, C) bool; None for all.
        spread: How far from 1 a temperature is expected beforehand: the standard deviation of its natural logarithm,
            which is taken for normally distributed. On few sounds, say 20, the likeliest temperature is one of chance,
            and the coldest of all if all sounds happen to be guessed rightly. None to expect nothing.

    Raises:
        LabelsError: There is nothing to fit on, or a logit is not finite.
        InvalidOption: The spread is not positive.
        MissingExtra: scipy is not installed.
    """
    logits = matrix_of(logits, "logits")
    targets = targets_of(targets, logits, "logits")
    mask = mask_of(mask, targets)
    if not len(logits) or (mask is not None and not mask.any()):
        raise LabelsError("a temperature needs a validation part to be fitted on")
    if spread is not None and not number_of(spread) > 0:
        raise InvalidOption(f"spread must be positive, or None to expect nothing; got {shown(spread)}")
    if not np.isfinite(logits).all():
        raise LabelsError("a temperature cannot be fitted: a logit is not finite")
    optimize = require("scipy.optimize", "calibrating probabilities", "train")
    count = len(logits) if targets.ndim == 1 else logits.size if mask is None else int(mask.sum())

    def loss(log: float) -> float:
        expected = 0.0 if spread is None else (log / spread) ** 2 / (2 * count)
        return negative_log_likelihood(logits, targets, mask, math.exp(log)) + expected

    # In its logarithm; in its inverse the loss has one valley only.
    found = optimize.minimize_scalar(
        loss,
        bounds=(math.log(_LEAST), math.log(_MOST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(float(found.x))


def expected_calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None, bins: int = _BINS
) -> float:
    """The expected calibration error: how far probabilities are from frequencies, in the mean.

    Guesses are put into bins of equal width by their probability; the error is the mean over guesses of the distance
    between the mean probability of their bin and the share of it that is right (Naeini et al., AAAI 2015; Guo et al.,
    ICML 2017). Where each sound has one class, guesses are those of the likeliest class; else all judged cells.

    Args:
        probabilities: (N, C) in [0, 1].
        targets: (N,) numbers of classes, or (N, C), where above 0.5 means that a sound has the class.
        mask: (N, C) bool; None for all.
        bins: How many bins.

    Raises:
        LabelsError: Arrays make no sense, or do not fit.
        InvalidOption: The number of bins is none.
    """
    probabilities = matrix_of(probabilities, "probabilities")
    targets = targets_of(targets, probabilities, "probabilities")
    mask = mask_of(mask, targets)
    bins = check_whole(bins, "bins", 1)
    if targets.ndim == 1:
        likely = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == targets
    else:
        judged = np.ones(targets.shape, bool) if mask is None else mask
        likely, right = probabilities[judged], targets[judged] > 0.5
    if not len(likely):
        raise LabelsError("a calibration error needs guesses")
    # Bins are open to the left, as those of Guo et al. are; 0 is in the first one.
    place = np.clip(np.ceil(likely * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    off = np.abs(np.bincount(place, likely, bins) - np.bincount(place, right.astype(np.float64), bins))
    return float(off[count > 0].sum() / len(likely))


def fit_thresholds(probabilities: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """The threshold of each class with the best F1, each class against all others.

    Thresholds lie halfway between neighbouring probabilities; of equally good ones the one nearest to 0.5 is taken.

    Args:
        probabilities: (N, C) of a part that nothing was learnt from: validation, not test.
        targets: (N,) numbers of classes, or (N, C), where above 0.5 means that a sound has the class.
        mask: (N, C) bool; None for all.

    Returns:
        (C,) float64; NaN for classes without a sound, or without one that has another class.

    Raises:
        LabelsError: Arrays make no sense, or do not fit.
    """
    probabilities = matrix_of(probabilities, "probabilities")
    targets = targets_of(targets, probabilities, "probabilities")
    mask = mask_of(mask, targets)
    n_classes = probabilities.shape[1]
    right = targets[:, None] == np.arange(n_classes) if targets.ndim == 1 else targets > 0.5
    judged = np.ones(right.shape, bool) if mask is None else mask
    found = np.full(n_classes, np.nan)
    for i in range(n_classes):
        rows = judged[:, i]
        mine, scores = right[rows, i], probabilities[rows, i].astype(np.float64)
        if mine.any() and not mine.all():
            found[i] = _best_threshold(mine, scores)
    return found


def above_thresholds(probabilities: np.ndarray, is_single: bool, thresholds: np.ndarray | None = None) -> np.ndarray:
    """Which classes have at least the probability of their threshold.

    A class without a threshold has it if it is the likeliest, where one class is right, else from 0.5 on.

    Args:
        probabilities: (N, C).
        is_single: Whether each sound has one class.
        thresholds: (C,), NaN for classes without one; None if none has one.

    Returns:
        (N, C) bool.
    """
    probabilities = matrix_of(probabilities, "probabilities")
    if thresholds is not None:
        thresholds = array_of(thresholds, "thresholds")
        if thresholds.shape != probabilities.shape[1:]:
            raise LabelsError(f"thresholds of shape {thresholds.shape} do not fit {probabilities.shape[1]} classes")
    if is_single:
        usual: np.ndarray = np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
    else:
        usual = probabilities >= _USUAL_THRESHOLD
    if thresholds is None:
        return usual
    # In the probabilities' own type, so that a threshold that was taken from one is reached by it.
    above: np.ndarray = np.where(np.isnan(thresholds), usual, probabilities >= thresholds.astype(probabilities.dtype))
    return above


def classes_said(probabilities: np.ndarray, is_single: bool, thresholds: np.ndarray | None = None) -> np.ndarray:
    """Which classes are said: those above their thresholds and, where one class is right, only the likeliest of them.

    Detectors tag by this rule, and are scored by it.

    Args:
        probabilities: (N, C).
        is_single: Whether each sound has one class.
        thresholds: (C,), NaN for classes without one; None if none has one.

    Returns:
        (N, C) bool. With thresholds a row may have none.
    """
    probabilities = matrix_of(probabilities, "probabilities")
    above = above_thresholds(probabilities, is_single, thresholds)
    if not is_single:
        return above
    likeliest = np.where(above, probabilities, -1).argmax(axis=1)
    said: np.ndarray = above & (np.arange(probabilities.shape[1]) == likeliest[:, None])
    return said


def _best_threshold(right: np.ndarray, scores: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(right[order])
    ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    f1 = 2 * hits[ends] / (ends + 1 + hits[-1])
    below = np.r_[scores[ends[1:]], 0.0]
    halfway = (scores[ends] + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(halfway[best[np.argmin(np.abs(halfway[best] - 0.5))]])
