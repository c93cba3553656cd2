"""Tasks of the HEAR benchmark, in the folders that heareval reads."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from typing import Any

from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.folders import folders_in
from hear_edgel3.labels.gathering import Problems, Sound, gather
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import part_of
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.sources.item import Item

METADATA, VOCABULARY = "task_metadata.json", "labelvocabulary.csv"


def read_hear_task(folder: str, options: LabelOptions) -> Labelled:
    """Reads a task: ``task_metadata.json``, ``labelvocabulary.csv``, ``<split>.json`` and ``<sample rate>/<split>``.

    Of several sample rates the highest is taken. Splits called ``fold..`` are folds, others parts. Each event of an
    event task is a clip of its file.

    Args:
        folder: The folder of the task.
        options: How labels are read; ``audio`` names the folder of a sample rate.

    Raises:
        LabelsError: It cannot be read; the message says all that is wrong.
    """
    metadata = _json(os.path.join(folder, METADATA))
    splits = metadata.get("splits") if isinstance(metadata, dict) else None
    if not isinstance(splits, list) or not all(isinstance(one, str) for one in splits) or not splits:
        raise LabelsError(f"{os.path.join(folder, METADATA)} does not state its splits")
    classes = _vocabulary(os.path.join(folder, VOCABULARY))
    problems = Problems(str(metadata.get("task_name") or folder), options.skip)
    audio = options.audio or _sound_folder(folder, problems)
    sounds = [sound for split in splits for sound in _of_split(folder, audio, split)]
    multiclass = metadata.get("prediction_type") == "multiclass"
    kind = Kind.SINGLE if multiclass else Kind.SEVERAL
    if multiclass and any(len(sound.labels) > 1 for sound in sounds):
        raise LabelsError(f"{folder}: {METADATA} says multiclass, but there are sounds with several labels")
    return gather(problems.of, kind, sounds, options, classes, problems, published=True)


def _of_split(folder: str, audio: str, split: str) -> Iterator[Sound]:
    path = os.path.join(folder, f"{split}.json")
    files = _json(path)
    if not isinstance(files, dict):
        raise LabelsError(f"{path} does not say which labels each file has")
    is_part = part_of(split) is not None
    where: dict[str, Any] = {"part": split} if is_part else {"fold": split}
    for file, labels in files.items():
        name = text_of_path(os.path.join(audio, split, file))
        if not isinstance(labels, list):
            raise LabelsError(f"{path}: the labels of {file} are no list")
        if all(isinstance(one, str) for one in labels):
            yield Sound(Item(name, 0), tuple(labels), **where)
            continue
        spans: dict[tuple[float, float], list[str]] = {}
        for one in labels:
            try:
                start, end, label = float(one["start"]) / 1000, float(one["end"]) / 1000, str(one["label"])
            except (TypeError, KeyError, ValueError) as error:
                raise LabelsError(f"{path}: an event of {file} has no label, start and end: {one!r:.80}") from error
            if not 0 <= start < end < float("inf"):
                raise LabelsError(f"{path}: an event of {file} from {start:g} s to {end:g} s has no length")
            spans.setdefault((start, end), []).append(label)
        for (start, end), found in spans.items():
            yield Sound(Item(name, 0, start=start, end=end), tuple(dict.fromkeys(found)), group=name, **where)


def _json(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise LabelsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _vocabulary(path: str) -> list[str]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = sorted((int(row["idx"]), row["label"]) for row in csv.DictReader(file))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise LabelsError(f"{path} is no list of classes with the columns idx and label: {error}") from error
    if [i for i, _ in rows] != list(range(len(rows))):
        raise LabelsError(f"{path}: its numbers of classes are not 0 to {len(rows) - 1}")
    return [label for _, label in rows]


def _sound_folder(folder: str, problems: Problems) -> str:
    rates = sorted(int(name) for name in folders_in(folder) if name.isdecimal())
    if not rates:
        raise LabelsError(f"{folder} has no folder of sounds called by its sample rate (48000, for example)")
    if len(rates) > 1:
        others = ", ".join(map(str, rates[:-1]))
        problems.notes.append(f"of the sample rates that the task is there at, {rates[-1]} Hz is taken (not {others})")
    return os.path.join(folder, str(rates[-1]))
