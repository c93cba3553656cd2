"""The folder that a training leaves: a configuration like any other, with what is known of how it came about."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3._version import __version__
from hear_edgel3.audio.channels import MEAN
from hear_edgel3.detectors.base import Base
from hear_edgel3.disk.atomic import make_folder, write_together
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import text_of
from hear_edgel3.errors import ConfigurationError, LabelsError, OutputError
from hear_edgel3.heads import Head
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import TRAIN, VALIDATION, listed
from hear_edgel3.registry import folder as local
from hear_edgel3.scores import Scores
from hear_edgel3.scores.confusion import MOST_NAMED
from hear_edgel3.scores.names_drawn import by_number
from hear_edgel3.training.metrics import METRICS, is_other
from hear_edgel3.weights.alike import encode_alike
from hear_edgel3.weights.file import CLASSES, TARGETS

WEIGHTS, CARD, SCORES, SPLIT = "model.safetensors", "README.md", "scores.json", "split.csv"
CONFUSION, CONFUSION_PICTURE = "confusion.csv", "confusion.png"
# What a training that was interrupted leaves in its folder.
_BEGUN = ("training.pt", METRICS, "tensorboard", "cache", "folds", "wandb")
_WRITTEN = (CARD, SCORES, SPLIT, CONFUSION, CONFUSION_PICTURE)
_CLASSES_SHOWN = 60
# The parts that something is learnt from: of the validation part when it is enough, how logits are read, and more.
LEARNT = (TRAIN, VALIDATION)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What is written of a detector.

    Attributes:
        name: Of the configuration: letters and digits.
        base: The net that it is made of.
        labelled: What it learnt from.
        head: The head; None if its classes are told by the net's own classifier.
        state: The net's tensors, where they are others than the base's.
        temperature: What logits are divided by.
        thresholds: (C,) of the classes, NaN for none; or None.
        licence: Of the weights, in words.
        made: How it came about, as plain values.
        scores: Of the validation and the test part, as they are there.
        confusion: Of the test part, or the validation part where there is none; None for numbers.
        picture: That as a PNG, if it could be drawn.
        split: A row per sound: what :func:`split_rows` makes.
    """

    name: str
    base: Base
    labelled: Labelled
    head: Head | None
    state: Mapping[str, torch.Tensor] | None
    temperature: float
    thresholds: np.ndarray | None
    licence: str
    made: Mapping[str, Any]
    scores: Mapping[str, Scores]
    confusion: np.ndarray | None
    picture: bytes | None
    split: Sequence[Sequence[str]]


def check_output(folder: Path, identity: str) -> None:
    """Finds out whether a detector may be written into a folder.

    Args:
        folder: Where to.
        identity: A digest of all that decides what comes out.

    Raises:
        OutputError: Another detector is there, or something else.
    """
    try:
        there = os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error
    if local.FILENAME in there:
        try:
            made = local.read_folder(folder).made
        except ConfigurationError as error:
            raise OutputError(
                f"{folder} holds a configuration that is damaged ({error}); give another folder"
            ) from error
        if made.get("identity") != identity:
            raise OutputError(
                f"{folder} holds another net (other options, data or weights); give another folder, or delete it"
            )
        return
    # The weights take their place before all others.
    known = (*_BEGUN, *([*_WRITTEN, WEIGHTS] if WEIGHTS in there else []))
    foreign = [name for name in there if name not in known and not name.startswith(".")]
    foreign += [METRICS] if is_other(folder / METRICS) else []
    if foreign:
        raise OutputError(f"{folder} holds other things ({foreign[0]}, for example); give an empty folder")


def check_classes(labelled: Labelled) -> None:
    """Finds out whether the names of classes can stand in a folder's description.

    Raises:
        LabelsError: One cannot.
    """
    for name in labelled.classes:
        if not name.isprintable() or not name or name != name.strip():
            raise LabelsError(f"{labelled.name}: the class {name!r} has no name that can be shown; call it otherwise")


def write_detector(folder: Path, detector: Detector) -> None:
    """Writes the folder: all of its files or none, so that an earlier detector is there as a whole until this one is.

    What a training goes on from is not touched.

    Raises:
        OutputError: A file cannot be written.
    """
    base, labelled = detector.base, detector.labelled
    state = dict(base.state() if detector.state is None else detector.state)
    shape = dict(base.shape)
    head = None
    if detector.head is None:
        shape["n_classes"] = len(labelled.classes)
    else:
        head = {"layout": detector.head.layout.to_dict(), "words": base.words}
        state = {f"net.{name}": value for name, value in state.items()}
        state |= {f"head.{name}": value.detach().cpu() for name, value in detector.head.state_dict().items()}
    origin: dict[str, Any] = {"configuration": detector.name, "base": base.name}
    origin |= {"made_by": f"hear_edgel3 {__version__}", TARGETS: str(labelled.kind), CLASSES: list(labelled.classes)}
    # What was not trained is stored as it was: int8 stays int8, and takes no more room.
    data = encode_alike({name: value.contiguous() for name, value in state.items()}, origin, *base.stored(state))
    values = {
        "format": local.FORMAT,
        "name": detector.name,
        "family": base.row.family,
        "summary": _summary(detector),
        "architecture": shape,
        "labels": None,
        "default_features": base.words,
        "weights_file": WEIGHTS,
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "licence": detector.licence,
        "citation": base.row.citation,
        "embedding_version": base.row.embedding_version,
        "reported": {},
        "classes": list(labelled.classes),
        "targets": str(labelled.kind),
        "head": head,
        "temperature": detector.temperature,
        "thresholds": None if detector.thresholds is None else [_or_none(value) for value in detector.thresholds],
        "made": dict(detector.made),
    }
    local.make_row(values, folder)  # that what is written can be read
    files: dict[str, bytes] = {WEIGHTS: data}
    scores = {part: scores.as_json() for part, scores in detector.scores.items()}
    more = {"calibration": detector.made["calibration"], "channels": detector.made["data"]["channels"]}
    files[SCORES] = (json_text({**scores, **more}, indent=1) + "\n").encode()
    files[SPLIT] = as_csv(detector.split)
    if detector.confusion is not None:
        files[CONFUSION] = as_csv(confusion_rows(detector.confusion, labelled))
    if detector.picture is not None:
        files[CONFUSION_PICTURE] = detector.picture
    files[CARD] = card(values, detector).encode("utf-8", "backslashreplace")
    files[local.FILENAME] = (json_text(values, indent=1) + "\n").encode()
    make_folder(folder)
    # Without matplotlib there is no picture: an earlier one would be of other confusions.
    gone = [folder / name for name in (CONFUSION, CONFUSION_PICTURE) if name not in files]
    write_together(folder, files, without=gone)


def split_rows(
    labelled: Labelled,
    digests: Sequence[str],
    recordings: Sequence[str],
    part_of: Sequence[str],
    fold_of: Sequence[str],
) -> list[list[str]]:
    """The table that says which sound was in which part, with a heading.

    Args:
        labelled: The sounds.
        digests: Of their contents.
        recordings: Of the contents of the whole files that they are clips of; for whole files, as ``digests``.
        part_of: The part of each.
        fold_of: The fold of cross-validation in which each was tested; empty where there was none.
    """
    # A column that only says that the mean is heard would make a table of which no row says a channel.
    has_channel = labelled.channels != (MEAN,)
    channel = ["channel"] if has_channel else []
    rows = [["file", *channel, "start", "end", "part", "fold", "group", "labels", "digest", "recording"]]
    for i, item in enumerate(labelled.items):
        start, end = ("" if at is None else repr(at) for at in (item.start, item.end))
        group = "" if labelled.groups is None else labelled.groups[i]
        known = [part_of[i], fold_of[i], group, _labels(labelled, i), digests[i], recordings[i]]
        channel = [str(MEAN if item.channel is None else item.channel)] if has_channel else []
        rows.append([text_of(item.file), *channel, start, end, *known])
    return rows


@dataclass(frozen=True)
class MadeOf:
    """What a detector was made of.

    Attributes:
        parts: The part of each sound, by the digest of its contents; if equal ones were in several, that which is
            learnt from.
        recordings: The digests of the files that something was learnt from, be it a clip of them or all.
    """

    parts: Mapping[str, str]
    recordings: frozenset[str]


def read_split(folder: Path) -> MadeOf:
    """What a detector was made of.

    Raises:
        ConfigurationError: There is no such table, or it is damaged.
    """
    path = folder / SPLIT
    parts: dict[str, str] = {}
    recordings = set()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                digest, part = row["digest"], row["part"]
                if parts.get(digest) not in LEARNT:
                    parts[digest] = part
                if part in LEARNT:
                    # Folders of earlier versions do not say it; of whole files it is the same.
                    recordings.add(row.get("recording") or digest)
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise ConfigurationError(
            f"{path}, which says what the detector learnt from, cannot be read ({error}); without it nobody can tell "
            f"whether it is tested on that"
        ) from error
    return MadeOf(parts, frozenset(recordings))


def confusion_rows(matrix: np.ndarray, labelled: Labelled) -> list[list[str]]:
    """A confusion matrix as a table with headings."""
    if labelled.kind is Kind.SINGLE:
        columns = [*labelled.classes, "(none)"][: matrix.shape[1]]
        rows = [["true", *columns]]
        return rows + [
            [name, *map(str, counts)] for name, counts in zip(labelled.classes, matrix.tolist(), strict=True)
        ]
    rows = [["class", "true_negatives", "false_positives", "false_negatives", "true_positives"]]
    return rows + [
        [name, *map(str, counts)]
        for name, counts in zip(labelled.classes, matrix.reshape(len(matrix), 4).tolist(), strict=True)
    ]


def card(values: Mapping[str, Any], detector: Detector) -> str:
    """The card, in Markdown."""
    made, labelled = detector.made, detector.labelled
    lines = [
        f"# {detector.name}",
        "",
        f"{values['summary']}. Licence of the weights: {detector.licence}.",
        "",
        f"Made by hear_edgel3 {made['version']} from `{detector.base.name}` (weights sha256 `{detector.base.sha256}`, "
        f"licence {detector.base.licence}). {_how(made)}",
        "",
        "    hear-edgel3 tag --config FOLDER recording.wav",
        "    hear-edgel3 listen --config FOLDER",
        "",
        "## Data",
        "",
        f"{made['data']['about']}. {made['data']['split']}; `{SPLIT}` says which sound was in which part.",
        "",
    ]
    if (said := _channels(labelled)) is not None:
        lines += [said, ""]
    if labelled.kind is not Kind.NUMBERS:
        names = ", ".join(labelled.classes[:_CLASSES_SHOWN])
        more = len(labelled.classes) - _CLASSES_SHOWN
        lines += [f"Classes: {names}{f' and {more} more' if more > 0 else ''}.", ""]
    for note in made["notes"]:
        lines += [f"- {note}"]
    lines += [""] if made["notes"] else []
    for part, scores in detector.scores.items():
        lines += [
            f"## Scores: {part}",
            "",
            f"{scores.n} sounds in {scores.n_groups} groups; 95 % intervals over these.",
        ]
        lines += ["", *(f"    {line}".rstrip() for line in scores.table(_CLASSES_SHOWN).split("\n")), ""]
    if detector.picture is not None:
        lines += [f"![confusions]({CONFUSION_PICTURE})", ""]
        if len(labelled.classes) <= MOST_NAMED and (numbers := by_number(labelled.classes)):
            called = ", ".join(f"#{number} is {name}" for number, name in numbers.items())
            lines += [f"In the picture {called}: its font has no glyphs for these names.", ""]
    lines += ["## Probabilities", "", _probabilities(made, detector), ""]
    lines += [
        "## How to repeat it",
        "",
        f"    {made['command']}" if made.get("command") else "    hear_edgel3.train(...)",
    ]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    lines += ["", f"Seed {made['seed']}; {versions}; options:", "", f"    {json_text(made['options'])}", ""]
    return "\n".join(lines)


def _summary(detector: Detector) -> str:
    n = len(detector.labelled.classes)
    what = "numbers" if detector.labelled.kind is Kind.NUMBERS else "classes"
    return f"{n} {what} of {detector.labelled.name}, told by {detector.base.name}"


def _how(made: Mapping[str, Any]) -> str:
    if made["net"] == "trained":
        share = made["learning"].get("share")
        if share is None:
            return "The net was trained on the sounds, too."
        return (
            f"The net was trained on the sounds, too, and went {share:g} of the way from what it was to what training "
            f"had made of it; what tells the classes was then fitted to its embeddings of the sounds."
        )
    again = " (the validation part included, after it had said how probabilities are read)"
    return (
        f"The net is as it was; what tells the classes was fitted to the sounds"
        f"{again if made['learning'].get('fitted_again') else ''}."
    )


def _channels(labelled: Labelled) -> str | None:
    """Which channels it learnt from, and how it hears them again; None where that was the mean of all."""
    if labelled.channels == (MEAN,):
        return None
    if len(labelled.channels) == 1:
        (one,) = labelled.channels
        return (
            f"It learnt from channel {one} of its sounds, counted from 0, and not from the mean of all. `tag`, "
            f"`events` and `listen` hear that of recordings with several channels with `--channel {one}`."
        )
    return (
        f"It learnt from single channels of its sounds ({', '.join(map(str, labelled.channels))}, counted from 0), as "
        f"`{SPLIT}` says, and not from the mean of all. `tag`, `events` and `listen` hear every one of a recording's "
        f"by itself with `--channel each`."
    )


def _probabilities(made: Mapping[str, Any], detector: Detector) -> str:
    found = made["calibration"]
    if detector.labelled.kind is Kind.NUMBERS:
        return "It puts out numbers, and no probabilities."
    if "fitted" not in found:
        return "They were not calibrated: there was no validation part."
    if found["fitted"]:
        said = (
            f"Logits are divided by a temperature of {detector.temperature:.3f}, which was fitted on the "
            f"{found['sounds']} sounds of the validation part. There the expected calibration error (ECE) was "
            f"{found['ece_before']:.3f} before and is {found['ece_after']:.3f} after"
        )
    else:
        said = (
            f"The validation part has too few sounds ({found['sounds']}) to calibrate them on; there the expected "
            f"calibration error (ECE) is {found['ece_after']:.3f}"
        )
    tested = found.get("ece_test")
    said += f"; on the test part it is {tested:.3f}." if tested is not None else "."
    return said if detector.thresholds is None else f"{said} {_thresholds(detector.thresholds, detector.labelled)}"


def _thresholds(thresholds: np.ndarray, labelled: Labelled) -> str:
    """What is said of a sound, where thresholds were asked for."""
    single = labelled.kind is Kind.SINGLE
    without = [name for name, missing in zip(labelled.classes, np.isnan(thresholds), strict=True) if missing]
    usual = "only where they are the likeliest of all" if single else "from a probability of 0.5 on"
    if len(without) == len(labelled.classes):
        instead = "the likeliest class is said, however unlikely it is" if single else f"each is said {usual}"
        return f"No class has a threshold, for the validation part has too few sounds of each: {instead}."
    said = "A class is said from its threshold on, which was fitted there too"
    if single:
        said = f"{said}; of several that reach theirs the likeliest is said"
    said = f"{said}; where none reaches its own, a sound has no class."
    return (
        f"{said} Classes without a threshold are said {usual}: {listed(without, _CLASSES_SHOWN)}." if without else said
    )


def _labels(labelled: Labelled, row: int) -> str:
    if labelled.kind is Kind.SINGLE:
        return labelled.classes[int(labelled.targets[row])]
    if labelled.kind is Kind.NUMBERS:
        return ";".join(f"{value:g}" for value in labelled.targets[row])
    return ";".join(labelled.classes[i] for i in np.flatnonzero(labelled.targets[row] > 0.5))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def as_csv(rows: Sequence[Sequence[str]]) -> bytes:
    """A table as a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
