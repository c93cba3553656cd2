"""What one split gives: a head, how its logits become probabilities, and how good they are on what it did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hear_edgel3.detectors.frozen import fit_head, logits_of
from hear_edgel3.detectors.linear import Fitted, Part
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.leaks import bonds, units
from hear_edgel3.labels.names import listed
from hear_edgel3.labels.splits import Split
from hear_edgel3.scores import (
    Guesses,
    Scores,
    classes_said,
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
    probabilities_of,
    score_classes,
    score_numbers,
)

# On fewer sounds a temperature or a threshold says more of these sounds than of the detector.
_FEW = 15
_FEW_OF_CLASS = 3
# How far from 1 temperatures are expected. `python -m tests.benchmarks.calibration` measures what that is worth.
_SPREAD = 0.35
_LEAST_THRESHOLD = 1e-6
_NUMBERS = "there are no thresholds: numbers are guessed, and not classes"


@dataclass(frozen=True)
class Examples:
    """Labelled sounds with their embeddings.

    Attributes:
        labelled: The sounds.
        vectors: (N, D) float32.
        units: (N,) equal for sounds that must stay together.
    """

    labelled: Labelled
    vectors: np.ndarray
    units: np.ndarray

    def part(self, rows: np.ndarray) -> Part:
        """Some of the sounds, to learn from."""
        one = self.labelled
        mask = None if one.mask is None else one.mask[rows]
        targets = one.targets[rows] if one.kind is Kind.SINGLE else one.matrix(rows)
        return Part(self.vectors[rows], targets, mask, self.units[rows], one.kind, len(one.classes))

    def groups(self, rows: np.ndarray) -> list[str]:
        """What is drawn as a whole for intervals: groups, if they are known, else what must stay together."""
        if self.labelled.groups is not None:
            return [self.labelled.groups[row] for row in rows]
        return [str(self.units[row]) for row in rows]


@dataclass(frozen=True)
class Reading:
    """How logits are read.

    Attributes:
        temperature: What they are divided by.
        thresholds: (C,) from which probability on a class is said, NaN for none; None without thresholds.
        calibration: How far probabilities are from frequencies, before and after, and on how many sounds.
        notes: What the user should know.
        warnings: The same, where thresholds were asked for, and there are none.
    """

    temperature: float = 1.0
    thresholds: np.ndarray | None = None
    calibration: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Learned:
    """What was learnt from a split.

    Attributes:
        split: The split.
        fitted: The head; None if it is the net's own, which was trained.
        state: Of the net, if that was trained; None if it is as it was.
        reading: How logits are read.
        validation: (V, C) logits of the validation part.
        test: (T, C) logits of the test part.
        about: How it came about, as plain values.
        notes: What the user should know.
        settings: What the net has since, if it was trained, and no tensor shows, by name.
    """

    split: Split
    fitted: Fitted | None
    state: dict[str, Any] | None
    reading: Reading
    validation: np.ndarray
    test: np.ndarray
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


# Takes the sounds, a split of them, and whether this is the last one, and not one of a cross-validation.
Learn = Callable[[Examples, Split, bool], Learned]


def examples_of(labelled: Labelled, vectors: np.ndarray, near: Sequence[Sequence[int]]) -> Examples:
    """Sounds with their embeddings, and what of them must stay together.

    Args:
        labelled: The sounds.
        vectors: (N, D) float32.
        near: Rows that are nearly the same; exact copies are among them, for their embeddings are equal.
    """
    return Examples(labelled, vectors, units(len(labelled), bonds(labelled, near, copies=False)))


def learn_frozen(
    examples: Examples,
    split: Split,
    whole: bool = True,  # noqa: ARG001
    *,
    options: TrainOptions,
) -> Learned:
    """Fits a head on embeddings as they are; arguments as for :data:`Learn`.

    A linear head is fitted twice: with the validation part, which nothing ends by, and without it, for the validation
    part to say how logits are read. Both have the penalty that is chosen with it, since a temperature that is right for
    one penalty is wrong for another.
    """
    validation = examples.part(split.validation)
    if options.head_kind == "linear" and len(validation):
        fitted = fit_head(examples.part(np.sort(np.concatenate([split.train, split.validation]))), validation, options)
        fitted.about["fitted_again"] = True
        first = fit_head(examples.part(split.train), validation, options, fitted.penalty)
    else:
        first = fitted = fit_head(examples.part(split.train), validation, options)
    heard = logits_of(first.head, validation.vectors)
    reading = read_logits(examples, split, heard, options.threshold)
    test = logits_of(fitted.head, examples.vectors[split.test])
    return Learned(split, fitted, None, reading, heard, test, fitted.about, fitted.notes)


def read_logits(examples: Examples, split: Split, logits: np.ndarray, with_thresholds: bool) -> Reading:
    """Fits a temperature and, if they are wanted, thresholds on the validation part.

    Args:
        examples: The sounds.
        split: Which are the validation part.
        logits: (V, C) of these.
        with_thresholds: Whether there are to be thresholds.
    """
    one = examples.labelled
    if one.kind is Kind.NUMBERS:
        return Reading(warnings=(_NUMBERS,) if with_thresholds else ())
    single = one.kind is Kind.SINGLE
    rows = split.validation
    learnt = one.positives(split.train) > 0
    if single:  # of a class that nothing was learnt of, no temperature makes it likelier
        known = learnt[one.targets[rows]]
        rows, logits = rows[known], logits[known]
    part, temperature = examples.part(rows), 1.0
    notes: list[str] = []
    if not len(rows) or (part.mask is not None and not part.mask.any()):
        note = "there is no validation part: probabilities are not calibrated"
        return (
            Reading(warnings=(f"{note}, and there are no thresholds",)) if with_thresholds else Reading(notes=(note,))
        )
    if len(rows) >= _FEW:
        temperature = fit_temperature(logits, part.targets, part.mask, _SPREAD)
    else:
        notes.append(
            f"the validation part has {len(rows)} sounds, too few to calibrate probabilities on ({_FEW} are needed)"
        )
    before, after = (
        expected_calibration_error(probabilities_of(logits, single, t), part.targets, part.mask)
        for t in (1.0, temperature)
    )
    calibration = {"sounds": len(rows), "fitted": len(rows) >= _FEW, "ece_before": before, "ece_after": after}
    thresholds: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    if with_thresholds:
        thresholds, warnings = _thresholds(one, part, probabilities_of(logits, single, temperature))
    return Reading(temperature, thresholds, calibration, tuple(notes), warnings)


def _thresholds(labelled: Labelled, part: Part, probabilities: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """(C,) thresholds, NaN for classes with too few sounds to find one, and what to say of these."""
    found = fit_thresholds(probabilities, part.targets, part.mask)
    right = part.targets[:, None] == np.arange(part.n_outputs) if part.targets.ndim == 1 else part.targets > 0.5
    count = (right if part.mask is None else right & part.mask).sum(axis=0)
    found[count < _FEW_OF_CLASS] = np.nan
    without = [labelled.classes[i] for i in np.flatnonzero(np.isnan(found))]
    found = np.clip(found, _LEAST_THRESHOLD, 1 - _LEAST_THRESHOLD)
    if not without:
        return found, ()
    return found, (
        f"classes without a threshold, for they have fewer than {_FEW_OF_CLASS} sounds in the validation part: "
        f"{listed(without)}",
    )


@dataclass(frozen=True)
class Answers:
    """What was guessed for some sounds.

    Attributes:
        rows: (N,) the numbers of the sounds.
        outputs: (N, C) probabilities, or numbers.
        ranks: (N, C) by which sounds are ranked: logarithms of the probabilities of classes of which one is right, and
            else logits divided by the temperature.
        said: (N, C) bool, which classes are said by their thresholds; None without thresholds.
    """

    rows: np.ndarray
    outputs: np.ndarray
    ranks: np.ndarray
    said: np.ndarray | None = None


def answers_of(labelled: Labelled, rows: np.ndarray, logits: np.ndarray, reading: Reading) -> Answers:
    """Reads logits."""
    if labelled.kind is Kind.NUMBERS:
        return Answers(rows, logits.astype(np.float64), logits.astype(np.float64))
    outputs = probabilities_of(logits, labelled.kind is Kind.SINGLE, reading.temperature)
    said = None
    if reading.thresholds is not None:
        said = classes_said(outputs, labelled.kind is Kind.SINGLE, reading.thresholds)
    ranks = logits.astype(np.float64) / reading.temperature
    if labelled.kind is Kind.SINGLE:  # logits of one sound may all be larger than those of another
        highest = ranks.max(axis=1, keepdims=True)
        ranks = ranks - highest - np.log(np.exp(ranks - highest).sum(axis=1, keepdims=True))
    return Answers(rows, outputs, ranks, said)


def together(answers: Sequence[Answers]) -> Answers:
    """The answers of several splits as one."""
    said = [one.said for one in answers if one.said is not None]
    rows, outputs, ranks = (
        np.concatenate([getattr(a, name) for a in answers]) for name in ("rows", "outputs", "ranks")
    )
    return Answers(rows, outputs, ranks, np.concatenate(said) if len(said) == len(answers) else None)


def guesses_of(labelled: Labelled, answers: Answers) -> Guesses:
    """What was right and what was guessed, for scores and confusions."""
    rows = answers.rows
    mask = None if labelled.mask is None else labelled.mask[rows]
    targets = labelled.targets[rows] if labelled.kind is Kind.SINGLE else labelled.matrix(rows)
    unknown = None if answers.said is None else np.full(len(labelled.classes), np.nan)
    return _Said(targets, answers.outputs, mask, unknown, answers.ranks, said=answers.said)


@dataclass(frozen=True)
class _Said(Guesses):
    """Guesses whose thresholds were others in each split.

    Attributes:
        said: (N, C) bool, which classes are said by their thresholds; None without thresholds.
    """

    said: np.ndarray | None = None

    def guessed(self) -> np.ndarray:
        """(N, C) bool, which classes are guessed."""
        return super().guessed() if self.said is None else self.said


def score(examples: Examples, answers: Answers, resamples: int | None = None) -> Scores:
    """Scores with intervals over groups.

    Args:
        examples: The sounds.
        answers: What was guessed for some of them.
        resamples: As for :func:`hear_edgel3.scores.score_classes`.
    """
    one, groups = examples.labelled, examples.groups(answers.rows)
    if one.kind is Kind.NUMBERS:
        return score_numbers(one.matrix(answers.rows), answers.outputs, one.classes, groups, resamples)
    return score_classes(guesses_of(one, answers), one.classes, groups, resamples)


def few_sounds(labelled: Labelled, split: Split) -> list[str]:
    """What to say of classes with hardly any sound."""
    if labelled.kind is Kind.NUMBERS:
        return []
    counts = labelled.positives(split.train)
    notes = []
    if empty := labelled.empty_classes():
        notes.append(f"classes without a sound, of which nothing is learnt: {listed(empty)}")
    if few := [labelled.classes[i] for i in np.flatnonzero(counts == 1)]:
        notes.append(f"classes with one sound to learn from: {listed(few)}")
    return notes


def notes_of_splits(said: Sequence[tuple[str, str]], n_splits: int) -> list[str]:
    """Notes of several splits, each once: with the names of the splits that it is of, unless it is of all.

    Args:
        said: The name of a split, and a note of it.
        n_splits: How many splits there are.
    """
    if n_splits == 1:
        return list(dict.fromkeys(note for _, note in said))
    names: dict[str, list[str]] = {}
    for name, note in said:
        of = names.setdefault(note.removeprefix(f"{name}: "), [])
        if name not in of:
            of.append(name)
    return [note if len(of) == n_splits else f"{', '.join(of)}: {note}" for note, of in names.items()]
