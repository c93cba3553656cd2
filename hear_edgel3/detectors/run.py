"""From labelled sounds to a detector: a folder that is a configuration like any other."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hear_edgel3._checks import check_path, check_word
from hear_edgel3._extras import require
from hear_edgel3._version import __version__
from hear_edgel3.detectors.base import Base, check_base, load_base, with_head_words
from hear_edgel3.detectors.cache import Embedded, check_readable
from hear_edgel3.detectors.learning import (
    Answers,
    Examples,
    Learn,
    Learned,
    answers_of,
    examples_of,
    few_sounds,
    guesses_of,
    learn_frozen,
    notes_of_splits,
    score,
    together,
)
from hear_edgel3.detectors.lengths import lengths_of, telling_lengths
from hear_edgel3.detectors.options import TrainOptions, make_options
from hear_edgel3.detectors.own import check_own, learn_own
from hear_edgel3.detectors.result import Detector, check_classes, check_output, split_rows, write_detector
from hear_edgel3.detectors.tuned import learn_tuned
from hear_edgel3.detectors.work import Work
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.engine.callers_state import own_state
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.schema import UNNAMED, Features
from hear_edgel3.labels.contents import contents_of, digests_by
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.options import AS_IT_IS, LabelOptions
from hear_edgel3.labels.reading import as_labelled
from hear_edgel3.labels.splits import Dividing, How, Split, check_states, divide
from hear_edgel3.registry.names import BUILT_IN, resolve
from hear_edgel3.scores import Scores, confusion_matrix, draw_confusion, expected_calibration_error
from hear_edgel3.search.duplicates import find_alike

NO_LICENCE = "not stated; the net and the sounds have theirs"
_NAME = r"[A-Za-z][A-Za-z0-9]*"
# Sounds that are nearly the same, more than this share of all: they cannot all be copies, and to keep them together
# would leave nothing to divide.
_MOST_ALIKE = 0.25
_PACKAGES = ("torch", "numpy", "scikit-learn", "scipy")

Data = str | os.PathLike[str] | Labelled


@own_state()
def train(
    data: Data,
    output: str | os.PathLike[str],
    config: str | os.PathLike[str] = BUILT_IN,
    *,
    labels: LabelOptions = AS_IT_IS,
    split: str | Dividing = "auto",
    weights: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    device: str | None = None,
    workers: int | None = None,
    name: str = UNNAMED,
    licence: str = NO_LICENCE,
    command: str | None = None,
    quiet: bool = True,
    **options: Any,
) -> Path:
    """Trains a detector: a net that tells classes of your own, or guesses numbers.

    By default the net stays as it is, and a head is fitted on its scene embeddings, which are computed once and kept
    for other heads, seeds and splits. Called again after an interruption it goes on, and gives the same detector.

    Several worker processes are started afresh (``spawn``), so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        data: Labelled sounds, as :func:`hear_edgel3.labels.read_labelled` reads them, or what that gave.
        output: The folder to write.
        config: A configuration's name, or a folder. A MobileNetV3 that is named without features has a head on
            ``avg_time_pool``: ``tiny`` is ``tiny_avg_time_pool``, and ``tiny_all_b_mel_avgs`` is what it is
            elsewhere. Not so for recipes and the head "own".
        labels: How labels are read; of what has been read, ``skip`` alone may be given. With ``skip`` sounds that
            cannot be read are left out, too.
        split: How sounds are divided: a word of :class:`hear_edgel3.labels.splits.How`, or all of it. With folds or
            groups it is scored by cross-validation, and learns from all sounds in the end.
        weights: As for :func:`hear_edgel3.load`.
        cache: The folder that embeddings are kept in; None for one in the user's cache.
        device: Where the net runs; None for the CPU, and for training the net the GPU where there is one.
        workers: How many processes embed; None for the CPUs there are.
        name: Of the new configuration: letters and digits.
        licence: What to say of the weights.
        command: What the card says was run.
        quiet: Whether nothing but warnings is said on stderr.
        **options: Those of :class:`hear_edgel3.detectors.TrainOptions`.

    Returns:
        ``output``, with ``configuration.json``, ``model.safetensors``, ``README.md`` (the card), ``scores.json``,
        ``split.csv`` and, for classes, ``confusion.csv`` and ``confusion.png`` (if matplotlib is installed).

    Raises:
        InvalidOption: An option cannot be used.
        LabelsError: Labels make no sense, a stated split has leaks, or sounds cannot be read.
        UnknownConfiguration, WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: Of the net.
        OutputError: ``output`` cannot be written, or holds something else.
        MissingExtra: scikit-learn, scipy or pyarrow is not installed.
    """
    chosen = make_options(options)
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise InvalidOption(f"name must be letters and digits and begin with a letter, got {name!r}")
    if not isinstance(licence, str) or not licence:
        raise InvalidOption(f"licence must be a text, got {licence!r}")
    check_base(config, chosen.head_kind)
    config = with_head_words(config, chosen)
    check_installed(chosen)
    work = Work(cache, weights, device=device, workers=workers, quiet=quiet)
    dividing = dividing_of(split, chosen.seed)
    # What is wrong with the labels is said before anything is computed.
    check_path(output, "output")
    read = as_labelled(data, labels)
    check_classes(read)
    check_states(read, dividing)
    sounds = read_sounds(read, config, labels.skip, work)
    labelled = sounds.examples.labelled
    base = load_base(config, weights)
    contents = contents_of(labelled.items)
    digests = digests_by(labelled.items, contents)
    folder = Path(output)
    identity = _identity(base, labelled, digests, dividing, chosen, name, licence)
    check_output(folder, identity)
    splits = divide(labelled, dividing, sounds.near, contents)
    learn = learner(base, chosen, work, folder)
    tested = list(splits)
    answers: list[Answers] = []
    if len(splits) > 1:  # cross-validation, and then all of it
        for one in splits:
            work.tell(f"{one.name}: learning from {len(one.train)} sounds, tested on {len(one.test)}")
            answers.append(_test(learn(sounds.examples, one, False), labelled))
        final = replace(dividing, how=How.RANDOM, test=0.0)
        splits = [replace(divide(labelled, final, sounds.near, contents)[0], name="all")]
    last = splits[0]
    work.tell(f"learning from {len(last.train)} sounds, {len(last.validation)} to validate, {len(last.test)} to test")
    learned = learn(sounds.examples, last, True)
    if len(tested) == 1 and len(last.test):
        answers = [_test(learned, labelled)]
    left_out = [note for note in sounds.warnings if note not in sounds.notes]
    lengths = telling_lengths(labelled, lengths_of(labelled.items))
    notes = [*sounds.notes, *left_out, *lengths, *few_sounds(labelled, last), *_notes(tested, learned)]
    if not answers:
        notes.append("there is no test part, so no score says what the detector is worth on other sounds")
    work.tell_notes(notes, [*sounds.warnings, *lengths, *learned.reading.warnings])
    scores, calibration, confusion = _measured(sounds.examples, learned, answers, len(tested))
    part_of, fold_of = _parts(labelled, last, tested)
    made = {
        "version": __version__,
        "identity": identity,
        "base": base.name,
        "base_sha256": base.sha256,
        "net": "trained" if chosen.trains_net else "as it was",
        "data": {
            "name": labelled.name,
            "about": labelled.about(),
            "channels": list(labelled.channels),
            "split": _how_divided(last, tested),
        },
        "learning": learned.about,
        "calibration": calibration,
        "options": chosen.as_dict(),
        "split": {key: _plain(value) for key, value in asdict(dividing).items()},
        "seed": chosen.seed,
        "command": command,
        "versions": _versions(),
        "notes": notes,
        "scores": {part: dict(found.overall) for part, found in scores.items()},
    }
    detector = Detector(
        name=name,
        base=replace(base, shape={**base.shape, **learned.settings}),
        labelled=labelled,
        head=None if learned.fitted is None else learned.fitted.head,
        state=learned.state,
        temperature=learned.reading.temperature,
        thresholds=learned.reading.thresholds,
        licence=licence,
        made=made,
        scores=scores,
        confusion=confusion,
        picture=_picture(labelled, confusion),
        split=split_rows(labelled, digests, contents, part_of, fold_of),
    )
    write_detector(folder, detector)
    return folder


@dataclass(frozen=True)
class Sounds:
    """Labelled sounds that can all be heard, with their embeddings.

    Attributes:
        examples: The sounds.
        near: Rows that are nearly the same.
        notes: What the user should know.
        warnings: The same of sounds that were left out; some of it is in ``notes`` too.
        embedded: How they were embedded.
    """

    examples: Examples
    near: list[list[int]]
    notes: list[str]
    warnings: list[str]
    embedded: Embedded


def check_installed(options: TrainOptions) -> None:
    """Finds out before the work whether what it needs is installed.

    Raises:
        MissingExtra: It is not.
    """
    require("scipy.optimize", "calibrating probabilities", "train")
    if options.head_kind == "linear":
        require("sklearn", "fitting a linear head", "train", "scikit-learn")
    if options.trains_net:
        require("accelerate", "training a net", "train")


def dividing_of(split: str | Dividing, seed: int) -> Dividing:
    """How to divide.

    Raises:
        InvalidOption: There is no such way.
    """
    if isinstance(split, Dividing):
        return split
    check_word(split, "split", How)
    return Dividing(How(split), seed=seed)


def read_sounds(labelled: Labelled, config: str | os.PathLike[str], skip: bool, work: Work) -> Sounds:
    """Embeds all sounds, and looks for such that are nearly the same.

    Args:
        labelled: The sounds.
        config: The net.
        skip: Whether to leave out what cannot be read.
        work: Who embeds them.

    Raises:
        LabelsError: Sounds cannot be read.
    """
    work.tell(labelled.about())
    embedded = work.embed(labelled.items, config)
    kept = ", ".join(map(str, embedded.folders))
    work.tell(f"embeddings: {embedded.new} computed now, kept in {kept}")
    notes, left_out = list(labelled.notes), list(labelled.left_out)
    unread = check_readable(embedded.failed, len(labelled), skip)
    rows = embedded.usable
    if len(rows) < len(labelled):
        labelled = labelled.subset(rows)
    vectors = embedded.vectors[rows]
    near = []
    for group, _ in find_alike(over_bands(vectors, resolve(config).features)):
        if len(group) <= max(2, _MOST_ALIKE * len(labelled)):
            near.append(group)
        else:
            notes.append(
                f"{len(group)} of {len(labelled)} sounds are so alike for {os.fspath(config)} that they are not taken "
                f"for copies of each other, and are not kept together: {labelled.items[group[0]].name}, for example"
            )
    left_out += [] if unread is None else [unread]
    return Sounds(examples_of(labelled, vectors, near), near, notes, left_out, embedded)


def over_bands(vectors: np.ndarray, features: Features) -> np.ndarray:
    """Embeddings to find sounds in that are nearly the same: means over time in several bands become means over these.

    So it is always the default embedding of a MobileNetV3 that is compared, by the threshold that was measured with it.
    A copy that was encoded anew differs more, band by band.

    Args:
        vectors: (N, D) float32.
        features: What they are made of.
    """
    if not features.bands:
        return vectors
    parts = np.split(vectors, np.cumsum(features.sizes)[:-1], axis=1)
    means = [part.reshape(len(part), -1, n).mean(axis=2) for part, n in zip(parts, features.bands, strict=True)]
    return np.concatenate(means, axis=1)


def learner(base: Base, options: TrainOptions, work: Work, folder: Path) -> Learn:
    """What learns from a split.

    Args:
        base: The net.
        options: How.
        work: What computes.
        folder: Where training the net keeps what it goes on from.
    """
    if options.trains_net:
        return partial(learn_tuned, base=base, options=options, work=work, folder=folder)
    if options.head_kind == "own":
        check_own(base)
        return partial(learn_own, base=base, options=options, work=work)
    return partial(learn_frozen, options=options)


def _test(learned: Learned, labelled: Labelled) -> Answers:
    return answers_of(labelled, learned.split.test, learned.test, learned.reading)


def _measured(
    examples: Examples, learned: Learned, answers: Sequence[Answers], n_splits: int
) -> tuple[dict[str, Scores], dict[str, Any], np.ndarray | None]:
    """Scores of the parts, how well calibrated it is, and the confusions of the part that says most."""
    labelled, scores = examples.labelled, {}
    calibration = dict(learned.reading.calibration)
    last: Answers | None = None
    if len(learned.split.validation):
        last = answers_of(labelled, learned.split.validation, learned.validation, learned.reading)
        scores["validation"] = score(examples, last)
    if answers:
        last = together(answers)
        scores["test" if n_splits == 1 else f"cross-validation ({n_splits} splits)"] = score(examples, last)
        if labelled.kind is not Kind.NUMBERS:
            guesses = guesses_of(labelled, last)
            calibration["ece_test"] = expected_calibration_error(guesses.probabilities, guesses.targets, guesses.mask)
    if last is None or labelled.kind is Kind.NUMBERS:
        return scores, calibration, None
    return scores, calibration, confusion_matrix(guesses_of(labelled, last))


def _picture(labelled: Labelled, confusion: np.ndarray | None) -> bytes | None:
    if confusion is None or labelled.kind is not Kind.SINGLE:
        return None
    return draw_confusion(confusion, labelled.classes)


def _notes(splits: Sequence[Split], learned: Learned) -> list[str]:
    found = notes_of_splits([(split.name, note) for split in splits for note in split.notes], len(splits))
    found += [*learned.split.notes, *learned.notes, *learned.reading.notes, *learned.reading.warnings]
    return list(dict.fromkeys(found))


def _parts(labelled: Labelled, last: Split, tested: Sequence[Split]) -> tuple[list[str], list[str]]:
    """The part of each sound, and the split that it was tested in, where there were several."""
    part_of, fold_of = [""] * len(labelled), [""] * len(labelled)
    for name in ("train", "validation", "test"):
        for row in getattr(last, name):
            part_of[row] = name
    for split in tested if len(tested) > 1 else ():
        for row in split.test:
            fold_of[row] = split.name
    return part_of, fold_of


def _how_divided(last: Split, tested: Sequence[Split]) -> str:
    parts = f"{len(last.train)} sounds to learn from, {len(last.validation)} to validate"
    if len(tested) > 1:
        return f"{len(tested)} splits to test ({tested[0].name}, ...), and then all sounds: {parts}"
    return f"{last.name}: {parts}, {len(last.test)} to test"


def _identity(
    base: Base,
    labelled: Labelled,
    digests: Sequence[str],
    dividing: Dividing,
    options: TrainOptions,
    name: str,
    licence: str,
) -> str:
    """A digest of all that decides what comes out."""
    known = hashlib.sha256()
    said = [base.sha256, base.words, *labelled.classes, str(labelled.kind), name, licence, __version__]
    known.update(json_text([*said, options.as_dict(), {k: _plain(v) for k, v in asdict(dividing).items()}]).encode())
    known.update(json_text([digests, labelled.parts, labelled.folds, labelled.groups]).encode())
    known.update(np.ascontiguousarray(labelled.targets).tobytes())
    if labelled.mask is not None:
        known.update(labelled.mask.tobytes())
    return known.hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float, bool)) else str(value)
