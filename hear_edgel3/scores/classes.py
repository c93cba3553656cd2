"""Scores of classes: of one per sound, or of any number, whether all of them were judged or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from hear_edgel3._checks import check_made, check_several, several_texts
from hear_edgel3.errors import LabelsError
from hear_edgel3.scores.arrays import array_of
from hear_edgel3.scores.calibration import classes_said
from hear_edgel3.scores.ranking import Ranking, d_primes
from hear_edgel3.scores.report import Figures, Scores, number, with_intervals
from hear_edgel3.scores.resampling import n_resamples, resampled_weights

NONE = -1
_HALF = 0.5
_FEW_GROUPS = 10
_SHOWN = 10


@dataclass(frozen=True)
class Guesses:
    """What was right, and what was guessed.

    Attributes:
        targets: (N,) numbers of classes, if each sound has one; else (N, C), where above 0.5 means that it has it.
        probabilities: (N, C) in [0, 1].
        mask: (N, C) bool, which cells were judged; None for all.
        thresholds: (C,) how likely a class must be to be guessed, NaN for 0.5. Where each sound has one class, the
            likeliest of those that reach their thresholds is guessed, if any does, and NaN stands for being the
            likeliest of all. None: all NaN.
        ranks: (N, C) by what classes rank sounds, for average precision and areas: logits, for example, of which the
            largest do not all become 1. None: by the probabilities.
    """

    targets: np.ndarray
    probabilities: np.ndarray
    mask: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    ranks: np.ndarray | None = None

    def __post_init__(self) -> None:
        for field in fields(self):  # lists and tensors are taken for what they hold
            if (value := getattr(self, field.name)) is not None or field.name in ("targets", "probabilities"):
                object.__setattr__(self, field.name, array_of(value, field.name))
        if self.probabilities.ndim != 2 or len(self.probabilities) != len(self.targets) or not len(self.targets):
            raise LabelsError(
                f"{self.probabilities.shape} guesses do not fit {self.targets.shape} targets, or there are none"
            )
        if not self.is_single and self.targets.shape != self.probabilities.shape:
            raise LabelsError(f"{self.probabilities.shape} guesses do not fit {self.targets.shape} targets")
        if self.is_single:
            classes = range(self.probabilities.shape[1])
            if strange := [one for one in np.unique(self.targets).tolist() if one not in classes]:
                raise LabelsError(
                    f"targets must be numbers of classes from 0 to {len(classes) - 1}, got {strange[0]!r}"
                )
        if self.thresholds is not None and self.thresholds.shape != self.probabilities.shape[1:]:
            raise LabelsError(f"thresholds {self.thresholds.shape} do not fit guesses {self.probabilities.shape}")
        if self.ranks is not None and self.ranks.shape != self.probabilities.shape:
            raise LabelsError(f"ranks {self.ranks.shape} do not fit guesses {self.probabilities.shape}")
        if not np.isfinite(self.probabilities).all():
            rows = np.flatnonzero(~np.isfinite(self.probabilities).all(axis=1))
            raise LabelsError(f"the guesses of {len(rows)} sounds are not finite, the first is number {rows[0]}")
        if self.mask is not None and (self.is_single or self.mask.shape != self.targets.shape):
            raise LabelsError("a mask is for targets of several classes, and of their shape")

    @property
    def is_single(self) -> bool:
        """Whether each sound has one class."""
        return self.targets.ndim == 1

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return int(self.probabilities.shape[1])

    def right(self) -> np.ndarray:
        """(N, C) bool, which sounds have which classes."""
        if self.is_single:
            return np.asarray(self.targets[:, None] == np.arange(self.n_classes))
        return np.asarray(self.targets > _HALF)

    def judged(self) -> np.ndarray:
        """(N, C) bool, which cells count."""
        return np.ones(self.probabilities.shape, bool) if self.mask is None else self.mask

    def guessed(self) -> np.ndarray:
        """(N, C) bool, which classes are guessed."""
        return classes_said(self.probabilities, self.is_single, self.thresholds)


def score_classes(
    guesses: Guesses,
    classes: Sequence[str],
    groups: Sequence[str] | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> Scores:
    """Scores of classes, overall and of each one, with 95 % intervals.

    Overall: ``accuracy`` and ``balanced_accuracy`` (the mean of the classes' recalls, UAR; only where each sound has
    one class), ``mAP``, ``roc_auc`` (means over classes), ``d_prime`` (that of the mean area), ``f1_macro``,
    ``f1_micro``. Of each class: ``ap``, ``roc_auc``, ``d_prime``, ``f1``, ``precision``, ``recall``. A class without a
    judged sound that has it has none of these; it counts in no mean, and a note says so.

    An area of 0 or 1, whose d' has no bounds, counts for it as half a pair of sounds away: of p judged sounds with a
    class and q without, as 1 / 2pq or 1 - 1 / 2pq. The mean of such areas likewise, as the nearest to 0 or 1 that it
    could be. A note names the classes.

    Args:
        guesses: What was right, and what was guessed.
        classes: The names of the classes.
        groups: (N,) what is drawn as a whole for the intervals: recordings, speakers; None for each sound by itself.
        resamples: How many samples the intervals are from; None for 1000, and of large sets for fewer; 0 for none.
        seed: Of the samples.

    Raises:
        LabelsError: The guesses do not fit the classes or groups.
    """
    check_made(guesses, "guesses", Guesses, "Guesses, which hold what was right and what was guessed")
    classes = several_texts(classes, "classes")
    groups = None if groups is None else list(check_several(groups, "groups", "a list of names"))
    n, n_classes = guesses.probabilities.shape
    times = n_resamples(n, n_classes, resamples)
    if len(classes) != n_classes or (groups is not None and len(groups) != n):
        raise LabelsError(f"{n} guesses of {n_classes} classes do not fit {len(classes)} names, or their groups")
    right, judged, guessed = guesses.right(), guesses.judged(), guesses.guessed()
    rankings, ranks = [], guesses.probabilities if guesses.ranks is None else guesses.ranks
    for i in range(n_classes):
        rows = np.flatnonzero(judged[:, i])
        rankings.append(Ranking(right[rows, i], ranks[rows, i], rows))
    positives = (right & judged).sum(axis=0)
    counted = _Counted(
        right & judged & guessed, ~right & judged & guessed, right & judged, ~right & judged, guesses.is_single
    )
    overall, per_class = _figures(np.ones((1, n)), rankings, counted)
    group_of = np.asarray(range(n) if groups is None else groups)
    # Of a class whose sounds are of one group, nothing says how other groups would do.
    alone = np.array([positives[i] > 0 and len(np.unique(group_of[counted.right[:, i]])) < 2 for i in range(n_classes)])
    scores = Scores(
        tuple(classes),
        n,
        len(np.unique(group_of)),
        tuple(map(int, positives)),
        {name: number(values[0]) for name, values in overall.items()},
        {name: tuple(number(value) for value in values[0]) for name, values in per_class.items()},
        notes=tuple(_notes(classes, positives, judged, per_class, len(np.unique(group_of)), alone)),
    )
    told = scores.n_groups > 1 and not alone[positives > 0].all()
    times = times if told else 0
    strata = guesses.targets if guesses.is_single else None
    figures = [_figures(block, rankings, counted) for block in resampled_weights(group_of, strata, times, seed)]
    return with_intervals(scores, figures, alone)


@dataclass(frozen=True)
class _Counted:
    """What is counted: (N, C) bool each.

    Attributes:
        hits: Classes that are guessed rightly.
        false: Classes that are guessed wrongly.
        right: Classes that sounds have.
        others: Classes that they have not.
        is_single: Whether each sound has one class.
    """

    hits: np.ndarray
    false: np.ndarray
    right: np.ndarray
    others: np.ndarray
    is_single: bool


def _figures(weights: np.ndarray, rankings: Sequence[Ranking], counted: _Counted) -> Figures:
    """Scores of samples: overall (R,), and of each class (R, C); NaN where there is none."""
    hits, false, right, others = (
        weights @ one.astype(np.float64) for one in (counted.hits, counted.false, counted.right, counted.others)
    )
    pairs = [ranking.ap_and_auc(weights) for ranking in rankings]
    ap, auc = (np.stack([pair[i] for pair in pairs], axis=1) for i in range(2))
    there = right > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(there, hits / right, np.nan)
        precision = np.where(there & (hits + false > 0), hits / (hits + false), np.nan)
        f1 = np.where(there, 2 * hits / (hits + false + right), np.nan)
        micro = 2 * hits.sum(axis=1) / (hits + false + right).sum(axis=1)
        accuracy = hits.sum(axis=1) / weights.sum(axis=1)
    mean_auc = _mean(auc)
    # Half a pair of sounds, in areas; the mean of areas changes by as much over the number of them.
    least = 0.5 / np.maximum(right * others, 1)
    known = np.isfinite(auc)
    least_of_mean = np.where(known, least, 1).min(axis=1) / np.maximum(known.sum(axis=1), 1)
    overall = {"accuracy": accuracy, "balanced_accuracy": _mean(recall)} if counted.is_single else {}
    overall |= {
        "mAP": _mean(ap),
        "roc_auc": mean_auc,
        "d_prime": d_primes(mean_auc, least_of_mean),
        "f1_macro": _mean(f1),
        "f1_micro": micro,
    }
    per_class = {
        "ap": ap,
        "roc_auc": auc,
        "d_prime": d_primes(auc, least),
        "f1": f1,
        "precision": precision,
        "recall": recall,
    }
    return overall, per_class


def _mean(values: np.ndarray) -> np.ndarray:
    """(R,) means over the classes that have a value; NaN if none has."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _notes(
    classes: Sequence[str],
    positives: np.ndarray,
    judged: np.ndarray,
    per_class: dict[str, np.ndarray],
    n_groups: int,
    alone: np.ndarray,
) -> list[str]:
    notes = []
    if len(empty := np.flatnonzero(positives == 0)):
        notes.append(
            f"{len(empty)} of {len(classes)} classes have no sound in the test, so no scores, and count in no mean: "
            f"{_listed(classes, empty)}"
        )
    if len(full := np.flatnonzero((positives > 0) & (positives == judged.sum(axis=0)))):
        notes.append(f"all judged sounds have these classes, so there is no area to tell: {_listed(classes, full)}")
    if len(without := np.flatnonzero(np.isin(per_class["roc_auc"][0], (0, 1)))):
        notes.append(
            f"d' has no bounds where the area is 0 or 1; that of an area half a pair of sounds away is told: "
            f"{_listed(classes, without)}"
        )
    if n_groups < 2:
        notes.append("all sounds are of one group, so there are no intervals")
        return notes
    if alone[positives > 0].all():
        return [*notes, "the sounds of each class are of one group, so there are no intervals"]
    if alone.any():
        notes.append(
            "classes whose sounds are of one group, so that they have no intervals, and those of means are too "
            "narrow: " + _listed(classes, np.flatnonzero(alone))
        )
    if n_groups < _FEW_GROUPS:
        notes.append(f"intervals over {n_groups} groups only are rough, and rather too narrow")
    return notes


def _listed(classes: Sequence[str], rows: np.ndarray) -> str:
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return ", ".join(classes[i] for i in rows[:_SHOWN]) + more
