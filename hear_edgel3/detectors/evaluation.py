"""How good a detector is on labelled sounds, or how good one would be that is made of a net: by cross-validation."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hear_edgel3._checks import check_paths, check_word
from hear_edgel3._extras import require
from hear_edgel3.audio.channels import MEAN
from hear_edgel3.detectors.answering import logits_of_folder
from hear_edgel3.detectors.base import load_base, with_head_words
from hear_edgel3.detectors.cache import check_readable
from hear_edgel3.detectors.learning import (
    Answers,
    Examples,
    Reading,
    answers_of,
    examples_of,
    few_sounds,
    guesses_of,
    notes_of_splits,
    score,
    together,
)
from hear_edgel3.detectors.options import make_options
from hear_edgel3.detectors.result import LEARNT, SPLIT, MadeOf, as_csv, confusion_rows, read_split
from hear_edgel3.detectors.run import (
    Data,
    check_installed,
    dividing_of,
    learner,
    read_sounds,
)
from hear_edgel3.detectors.work import Work
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.engine.callers_state import own_state
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.families.schema import Local
from hear_edgel3.labels.contents import contents_of, digests_by
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import TEST, listed
from hear_edgel3.labels.options import AS_IT_IS, LabelOptions
from hear_edgel3.labels.reading import as_labelled
from hear_edgel3.labels.splits import Dividing, How, OnLeak, check_states, divide
from hear_edgel3.registry.names import BUILT_IN, resolve
from hear_edgel3.scores import Scores, confusion_matrix, draw_confusion, expected_calibration_error

_NAMED = 5


@dataclass(frozen=True)
class Evaluation:
    """How good guesses are.

    Attributes:
        what: What was evaluated, in words.
        scores: Overall and of each class, with intervals.
        per_split: The overall scores of each split of a cross-validation.
        learnt: How what was tested came about, as plain values, by split; the penalty of its head, for example, or the
            share of the way that a trained net went. Empty for a detector.
        guessed: Of each sound in ``labelled`` the class that was guessed, or, where there may be several, those that
            were, in a tuple. None for a sound that was not tested, and where no class reaches its threshold.
            Empty for numbers.
        confusion: As :func:`hear_edgel3.scores.confusion_matrix` gives it; None for numbers.
        labelled: The sounds that were tested, or all of them.
        ece: The expected calibration error; None for numbers.
        notes: What the user should know.
    """

    what: str
    scores: Scores
    per_split: dict[str, dict[str, float | None]]
    confusion: np.ndarray | None
    labelled: Labelled
    ece: float | None
    notes: tuple[str, ...] = field(default=())
    learnt: dict[str, dict[str, Any]] = field(default_factory=dict)
    guessed: tuple[str | tuple[str, ...] | None, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What to write as JSON."""
        return {
            "what": self.what,
            **self.scores.as_json(),
            "ece": self.ece,
            "channels": list(self.labelled.channels),
            "splits": self.per_split,
            "learnt": self.learnt,
            "confusion": None if self.confusion is None else confusion_rows(self.confusion, self.labelled),
            "notes": [*self.notes, *self.scores.notes],
        }

    def table(self, most: int | None = None) -> str:
        """A table to read.

        Args:
            most: How many classes are shown; None for all.
        """
        lines = [self.what, "", self.scores.table(most)]
        if self.ece is not None:
            lines.append(f"expected calibration error (ECE): {self.ece:.3f}")
        return "\n".join(lines)

    def picture(self) -> bytes | None:
        """A PNG of the confusions; None where there are none to draw, or matplotlib is not installed."""
        if self.confusion is None or self.labelled.kind is not Kind.SINGLE:
            return None
        return draw_confusion(self.confusion, self.labelled.classes)


@own_state()
def evaluate(
    data: Data,
    config: str | os.PathLike[str] = BUILT_IN,
    *,
    labels: LabelOptions = AS_IT_IS,
    split: str | Dividing | None = None,
    on_leak: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    device: str | None = None,
    workers: int | None = None,
    state: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    **options: Any,
) -> Evaluation:
    """Evaluates a detector on sounds that it has not learnt from, or a net by cross-validation.

    A folder that :func:`hear_edgel3.train` wrote is tested on the test part that the data state; else on those of its
    own test part that are among the data; else on all of them. If it has learnt from any of these (they are known by
    their contents) that is refused. Of any other net, heads are fitted, or the net is trained, on all splits but one,
    and tested on that, for each split.

    Args:
        data: Labelled sounds, as :func:`hear_edgel3.labels.read_labelled` reads them, or what that gave.
        config: A detector's folder, or a configuration's name or folder, whose features are chosen as for
            :func:`hear_edgel3.train`.
        labels: How labels are read; of what has been read, ``skip`` alone may be given.
        split: How sounds are divided for cross-validation, as for :func:`hear_edgel3.train`; None for the folds or the
            split that the data state, and else for five folds. A detector is not divided for.
        on_leak: "say" to evaluate also where scores will be too good; None, or "refuse".
        weights: As for :func:`hear_edgel3.load`.
        cache: The folder that embeddings are kept in; None for one in the user's cache.
        device: Where the net runs.
        workers: How many processes embed; None for the CPUs there are.
        state: The folder in which trainings of nets are kept, to go on from; None for one that is deleted.
        quiet: Whether nothing but warnings is said on stderr.
        **options: Those of :class:`hear_edgel3.detectors.TrainOptions`, for cross-validation.

    Raises:
        InvalidOption: An option cannot be used.
        LabelsError: Labels make no sense or do not fit, sounds cannot be read, or the detector has learnt from them.
        OutputError: The cache cannot be written.
        MissingExtra: scikit-learn, scipy or pyarrow is not installed.
    """
    check_paths(state=state)
    if on_leak is not None:
        check_word(on_leak, "on_leak", OnLeak)
    work = Work(cache, weights, device=device, workers=workers, quiet=quiet)
    row = resolve(config).checkpoint
    if isinstance(row, Local) and row.classes:
        if options or split is not None:
            what = next(iter(options), "split")
            raise InvalidOption(
                f"{os.fspath(config)} is a detector, and is tested as it is: {what} is for nets that are not; leave it "
                f"out"
            )
        return _of_detector(data, row, labels, work, on_leak == OnLeak.SAY)
    return _by_splits(data, config, labels, split, on_leak, options, work, state)


def write_confusion(evaluation: Evaluation, path: Path) -> bool:
    """Writes confusions as a table (.csv) or a picture (.png).

    Returns:
        Whether there are any to write.

    Raises:
        OutputError: The file cannot be written.
        MissingExtra: A picture is wanted, and matplotlib is not installed.
    """
    if evaluation.confusion is None:
        return False
    if path.suffix.lower() == ".csv":
        content: bytes | None = as_csv(confusion_rows(evaluation.confusion, evaluation.labelled))
    else:
        require("matplotlib", "drawing confusions", "plot")
        content = evaluation.picture()
    if content is None:
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def _by_splits(
    data: Data,
    config: str | os.PathLike[str],
    labels: LabelOptions,
    split: str | Dividing | None,
    on_leak: str | None,
    options: dict[str, Any],
    work: Work,
    state: str | os.PathLike[str] | None,
) -> Evaluation:
    """Cross-validation, or a single split that the data state."""
    chosen = make_options(options)
    config = with_head_words(config, chosen)
    check_installed(chosen)
    # What is wrong with the labels is said before anything is computed.
    read = as_labelled(data, labels)
    if split is None:
        split = How.GIVEN if read.parts is not None else How.FOLDS
    dividing = dividing_of(split, chosen.seed)
    if on_leak is not None:
        dividing = replace(dividing, on_leak=OnLeak(on_leak))
    check_states(read, dividing)
    sounds = read_sounds(read, config, labels.skip, work)
    examples = sounds.examples
    labelled = examples.labelled
    base = load_base(config, work.weights)
    splits = divide(labelled, dividing, sounds.near, contents_of(labelled.items))  # as when a detector is made
    if not any(len(one.test) for one in splits):
        raise LabelsError(f"{labelled.name} has no test part by this split: there is nothing to evaluate on")
    said = [(one.name, note) for one in splits for note in one.notes]
    warned: list[tuple[str, str]] = []
    learnt: dict[str, dict[str, Any]] = {}
    answers: list[Answers] = []
    with tempfile.TemporaryDirectory(prefix="hear-edgel3-") as temporary:
        learn = learner(base, chosen, work, Path(temporary if state is None else state))
        for one in splits:
            work.tell(f"{one.name}: learning from {len(one.train)} sounds, tested on {len(one.test)}")
            learned = learn(examples, one, False)
            answers.append(answers_of(labelled, one.test, learned.test, learned.reading))
            learnt[one.name] = learned.about
            said += [(one.name, note) for note in (*few_sounds(labelled, one), *learned.notes, *learned.reading.notes)]
            warned += [(one.name, note) for note in learned.reading.warnings]
    way = "trained" if chosen.trains_net else "as it is"
    how = (
        splits[0].name if len(splits) == 1 else f"{len(splits)} splits, each tested once by what learnt from the others"
    )
    what = f"{base.name} ({way}, head {chosen.head_kind}) on {labelled.name}: {how}"
    per_split = {
        one.name: dict(score(examples, found, resamples=0).overall) for one, found in zip(splits, answers, strict=True)
    }
    notes = [*sounds.notes, *notes_of_splits(said, len(splits))]
    warnings = [*sounds.warnings, *notes_of_splits(warned, len(splits))]
    found = _evaluation(what, examples, together(answers), per_split if len(splits) > 1 else {}, notes, warnings, work)
    return replace(found, learnt=learnt)


def _evaluation(
    what: str,
    examples: Examples,
    answers: Answers,
    per_split: dict[str, dict[str, float | None]],
    notes: Sequence[str],
    warnings: Sequence[str],
    work: Work,
) -> Evaluation:
    labelled = examples.labelled
    scores = score(examples, answers)
    notes = tuple(dict.fromkeys([*notes, *warnings]))
    work.tell_notes(notes, warnings)
    if labelled.kind is Kind.NUMBERS:
        return Evaluation(what, scores, per_split, None, labelled, None, notes)
    guesses = guesses_of(labelled, answers)
    ece = expected_calibration_error(guesses.probabilities, guesses.targets, guesses.mask)
    guessed = _guessed(labelled, answers.rows, guesses.guessed())
    return Evaluation(what, scores, per_split, confusion_matrix(guesses), labelled, ece, notes, guessed=guessed)


def _guessed(labelled: Labelled, rows: np.ndarray, said: np.ndarray) -> tuple[str | tuple[str, ...] | None, ...]:
    """The classes that were guessed for sounds, of (N, C) bool for those in ``rows``."""
    found: list[str | tuple[str, ...] | None] = [None] * len(labelled)
    for row, which in zip(rows.tolist(), said, strict=True):
        names = tuple(labelled.classes[i] for i in np.flatnonzero(which))
        found[row] = names if labelled.kind is Kind.SEVERAL else next(iter(names), None)
    return tuple(found)


def _of_detector(data: Data, row: Local, labels: LabelOptions, work: Work, say_leaks: bool) -> Evaluation:
    """What a detector says of sounds that it has not learnt from."""
    read = as_labelled(data, labels)
    labelled = _as_detector(read, row)
    other = _other_channels(labelled, row)
    recordings = contents_of(labelled.items)
    digests = digests_by(labelled.items, recordings)
    made_of = read_split(row.folder)
    rows, which = _tested(labelled, digests, made_of)
    notes, warnings = [*labelled.notes, *other], list(labelled.left_out)
    labelled, digests, recordings = labelled.subset(rows), [digests[i] for i in rows], [recordings[i] for i in rows]
    if (text := _learnt_from(row.folder, labelled, digests, recordings, made_of)) is not None:
        if not say_leaks:
            own = f", or on its own test part ({SPLIT} there says which that is)"
            own = own if TEST in made_of.parts.values() else " (it was made without a test part of its own)"
            raise LabelsError(
                f"{text}\nScores would be too good. Test it on other sounds{own}; `on_leak` `say` does it nevertheless"
                + "".join(f". {one}" for one in other)
            )
        warnings.append(f"{text}. SCORES ARE TOO GOOD")
    logits, failed = logits_of_folder(row.folder, labelled.items, work)
    if (note := check_readable(failed, len(labelled), labels.skip)) is not None:
        warnings.append(note)
        kept = np.setdiff1d(np.arange(len(labelled)), [number for number, _ in failed])
        labelled, logits = labelled.subset(kept), logits[kept]
    examples = examples_of(labelled, logits, [])
    thresholds = None
    if row.thresholds is not None:
        thresholds = np.array([np.nan if value is None else value for value in row.thresholds])
    answers = answers_of(labelled, np.arange(len(labelled)), logits, Reading(row.temperature, thresholds))
    what = f"{row.name} ({row.folder}) on {labelled.name}: {which}"
    return _evaluation(what, examples, answers, {}, notes, warnings, work)


def _other_channels(labelled: Labelled, row: Local) -> list[str]:
    """What to say where a detector is to hear other channels than those that it learnt from."""
    # Folders of earlier versions do not say it; those learnt from the mean of all.
    learnt = row.made.get("data", {}).get("channels", [MEAN])
    if set(labelled.channels) <= set(learnt):
        return []
    there, here = (", ".join(map(str, channels)) for channels in (learnt, labelled.channels))
    return [f"{row.name} learnt from other channels ({there}) than it hears here ({here}): see the option `channel`"]


def _learnt_from(
    folder: Path, labelled: Labelled, digests: Sequence[str], recordings: Sequence[str], made_of: MadeOf
) -> str | None:
    """What to say of sounds that a detector has learnt from, or of whose recordings it has; None if there are none."""
    parts: Counter[str] = Counter()
    names = []
    for item, digest, recording in zip(labelled.items, digests, recordings, strict=True):
        part = made_of.parts.get(digest)
        if part in LEARNT:
            parts[f"in its {part} part"] += 1
        elif part is None and recording in made_of.recordings:
            parts["of recordings of which it has learnt other clips or channels"] += 1
        else:
            continue
        names.append(item.name)
    if not names:
        return None
    said = ", ".join(f"{n} {where}" for where, n in sorted(parts.items()))
    return (
        f"{folder} was made with {len(names)} of the {len(labelled)} sounds that it is to be tested on ({said}): "
        f"{listed(names, _NAMED)}"
    )


def _tested(labelled: Labelled, digests: Sequence[str], made_of: MadeOf) -> tuple[np.ndarray, str]:
    """The sounds to test a detector on, and which these are, in words."""
    if labelled.parts is not None:
        rows = np.flatnonzero(np.array(labelled.parts) == TEST)
        if not len(rows):
            raise LabelsError(f"{labelled.name} states a split without a test part")
        return rows, f"the test part that it states, {len(rows)} sounds"
    mine = [i for i, digest in enumerate(digests) if made_of.parts.get(digest) == TEST]
    if mine:
        return np.array(mine), f"the detector's own test part, {len(mine)} of {len(labelled)} sounds"
    return np.arange(len(labelled)), f"all {len(labelled)} sounds"


def _as_detector(labelled: Labelled, row: Local) -> Labelled:
    """The same sounds with the classes of a detector, in its order.

    Raises:
        LabelsError: They are of another kind, or have classes that the detector does not tell.
    """
    kind = Kind(row.targets)
    if labelled.kind is not kind and not (labelled.kind is Kind.SINGLE and kind is Kind.SEVERAL):
        raise LabelsError(f"{labelled.name} has targets that are {labelled.kind}, and those of {row.name} are {kind}")
    there = labelled.classes
    if labelled.kind is not Kind.NUMBERS:
        there = tuple(name for name, n in zip(there, labelled.positives(), strict=True) if n)
    if unknown := [name for name in there if name not in row.classes]:
        raise LabelsError(
            f"{labelled.name} has classes that {row.name} does not tell: {listed(unknown)}; it tells "
            f"{listed(row.classes)}"
        )
    place = {name: i for i, name in enumerate(row.classes)}
    if labelled.kind is Kind.SINGLE and kind is Kind.SINGLE:
        numbers = np.array([place.get(name, 0) for name in labelled.classes], np.int64)
        return replace(labelled, classes=row.classes, targets=numbers[labelled.targets])
    columns = [i for i, name in enumerate(labelled.classes) if name in place]
    to = [place[labelled.classes[i]] for i in columns]
    matrix = labelled.matrix()
    targets = np.zeros((len(labelled), len(row.classes)), matrix.dtype)
    targets[:, to] = matrix[:, columns]
    mask = None
    if kind is Kind.NUMBERS and len(columns) < len(row.classes):
        missing = [name for name in row.classes if name not in labelled.classes]
        raise LabelsError(f"{labelled.name} lacks numbers that {row.name} guesses: {listed(missing)}")
    if labelled.mask is not None:
        mask = np.zeros(targets.shape, bool)
        mask[:, to] = labelled.mask[:, columns]
    return replace(labelled, kind=kind, classes=row.classes, targets=targets, mask=mask)
