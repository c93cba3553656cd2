"""Published sets in the folders that they are given away in: ESC-50, UrbanSound8K, FSD50K, TAU 2020 Mobile, OpenMIC."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hear_edgel3._checks import shown
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.gathering import Problems, Sound, gather
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import TEST, TRAIN, listed
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.labels.packed import OPENMIC, read_vocabulary
from hear_edgel3.sources.item import Item

ESC50 = (
    "dog rooster pig cow frog cat hen insects sheep crow rain sea_waves crackling_fire crickets chirping_birds "
    "water_drops wind pouring_water toilet_flush thunderstorm crying_baby sneezing clapping breathing coughing "
    "footsteps laughing brushing_teeth snoring drinking_sipping door_wood_knock mouse_click keyboard_typing "
    "door_wood_creaks can_opening washing_machine vacuum_cleaner clock_alarm clock_tick glass_breaking helicopter "
    "chainsaw siren car_horn engine train church_bells airplane fireworks hand_saw"
).split()
URBANSOUND8K = (
    "air_conditioner car_horn children_playing dog_bark drilling engine_idling gun_shot jackhammer siren street_music"
).split()
_Row = Mapping[str, str]
_MOST_DIGITS = 9


def read_esc50(folder: str, options: LabelOptions) -> Labelled:
    """ESC-50: ``meta/esc50.csv``, and ``audio_32k`` (resampled beforehand) or ``audio``; folds 1 to 5.

    Groups are the recordings of Freesound that clips were cut from.
    """
    table = os.path.join(folder, "meta", "esc50.csv")
    rows = _rows(table, ("filename", "fold", "target"))
    audio = _first_folder(folder, ("audio_32k", "audio"), options)
    names = _numbered(table, rows, "target", "category", ESC50)
    sounds = [
        Sound(
            Item(_path(audio, row["filename"]), 0),
            (names[int(row["target"])],),
            fold=row["fold"],
            group=row.get("src_file") or None,
        )
        for row in rows
    ]
    return _gather("ESC-50", Kind.SINGLE, sounds, options, names)


def read_urbansound8k(folder: str, options: LabelOptions) -> Labelled:
    """UrbanSound8K: ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``fold10``.

    Groups are the recordings of Freesound that clips were cut from.
    """
    table = os.path.join(folder, "metadata", "UrbanSound8K.csv")
    rows = _rows(table, ("slice_file_name", "fold", "classID", "fsID"))
    audio = _first_folder(folder, ("audio",), options)
    names = _numbered(table, rows, "classID", "class", URBANSOUND8K)
    sounds = [
        Sound(
            Item(_path(audio, f"fold{row['fold']}", row["slice_file_name"]), 0),
            (names[int(row["classID"])],),
            fold=row["fold"],
            group=row["fsID"],
        )
        for row in rows
    ]
    return _gather("UrbanSound8K", Kind.SINGLE, sounds, options, names)


def read_fsd50k(folder: str, options: LabelOptions) -> Labelled:
    """FSD50K: ``FSD50K.ground_truth/{dev,eval,vocabulary}.csv``, ``FSD50K.dev_audio`` and ``FSD50K.eval_audio``.

    Parts are ``train`` and ``validation`` of dev, and eval is ``test``. Groups are the uploaders, if
    ``FSD50K.metadata/{dev,eval}_clips_info_FSD50K.json`` are there.
    """
    truth = os.path.join(folder, "FSD50K.ground_truth")
    vocabulary = os.path.join(truth, "vocabulary.csv")
    classes = read_vocabulary(vocabulary) if os.path.isfile(vocabulary) else None
    sounds: list[Sound] = []
    for part in ("dev", "eval"):
        table = os.path.join(truth, f"{part}.csv")
        if not os.path.isfile(table):
            continue
        rows = _rows(table, ("fname", "labels", "split") if part == "dev" else ("fname", "labels"))
        audio = options.audio or os.path.join(folder, f"FSD50K.{part}_audio")
        uploaders = _uploaders(os.path.join(folder, "FSD50K.metadata", f"{part}_clips_info_FSD50K.json"))
        for row in rows:
            sounds.append(
                Sound(
                    Item(_path(audio, f"{row['fname']}.wav"), 0),
                    tuple(label for label in row["labels"].split(",") if label.strip()),
                    part=row["split"] if part == "dev" else TEST,
                    group=uploaders.get(row["fname"]),
                )
            )
    if not sounds:
        raise LabelsError(f"{truth} has neither dev.csv nor eval.csv")
    if not all(sound.group for sound in sounds):  # the clips of one of the two parts have no uploaders
        sounds = [replace(sound, group=None) for sound in sounds]
    return _gather("FSD50K", Kind.SEVERAL, sounds, options, classes)


def read_tau2020(folder: str, options: LabelOptions) -> Labelled:
    """TAU Urban Acoustic Scenes 2020 Mobile: ``meta.csv`` and ``evaluation_setup/fold1_{train,evaluate}.csv``.

    ``fold1_evaluate`` is ``test``. Groups are the places (``identifier``). Sounds in neither file, which the official
    split leaves alone, are left out.
    """
    meta = os.path.join(folder, "meta.csv")
    rows = _rows(meta, ("filename", "scene_label", "identifier"), "\t")
    parts: dict[str, str] = {}
    problems = Problems("TAU Urban Acoustic Scenes 2020 Mobile", options.skip)
    for part, name in ((TRAIN, "fold1_train.csv"), (TEST, "fold1_evaluate.csv")):
        for row in _rows(os.path.join(folder, "evaluation_setup", name), ("filename",), "\t"):
            if parts.setdefault(row["filename"], part) != part:
                problems.add("the same sound in several parts of a split", row["filename"])
    known = {row["filename"] for row in rows}
    if unknown := [name for name in parts if name not in known]:
        problems.leave_out("sounds of evaluation_setup that meta.csv lacks", listed(unknown))
    sounds = [
        Sound(
            Item(_path(options.audio or folder, row["filename"]), 0),
            (row["scene_label"],),
            part=parts[row["filename"]],
            group=row["identifier"],
        )
        for row in rows
        if row["filename"] in parts
    ]
    if len(sounds) < len(rows):
        problems.notes.append(
            f"{len(rows) - len(sounds)} of {len(rows)} sounds of meta.csv are in neither part of fold 1, and left out"
        )
    classes = sorted({row["scene_label"] for row in rows})
    return gather(problems.of, Kind.SINGLE, sounds, options, classes, problems, published=True)


def read_openmic(folder: str, options: LabelOptions) -> Labelled:
    """OpenMIC-2018: ``openmic-2018-aggregated-labels.csv``, ``partitions/split01_{train,test}.csv`` and ``audio``.

    Targets are relevances in [0, 1], with a mask of those that were judged. They are the same numbers as in
    ``openmic-2018.npz``, which is not read: it has a pickle, and reading that would run what is in it.
    """
    labels = os.path.join(folder, "openmic-2018-aggregated-labels.csv")
    rows = _rows(labels, ("sample_key", "instrument", "relevance"))
    parts = {
        key: part
        for part, name in ((TRAIN, "split01_train.csv"), (TEST, "split01_test.csv"))
        for key in _keys(os.path.join(folder, "partitions", name))
    }
    places = {name: i for i, name in enumerate(OPENMIC)}
    problems = Problems("OpenMIC-2018", options.skip)
    cells: dict[str, list[float]] = {key: [] for key in parts}
    for row in rows:
        key = row["sample_key"]
        if key not in cells:
            problems.leave_out("sounds in no partition", key)
            continue
        try:
            relevance = float(row["relevance"])
        except ValueError:
            relevance = float("nan")
        if row["instrument"] not in places or not 0 <= relevance <= 1:
            problems.add("rows that make no sense", f"{key}, {row['instrument']}, {row['relevance']}")
            continue
        values = cells[key] or [float("nan")] * len(OPENMIC)
        values[places[row["instrument"]]] = relevance
        cells[key] = values
    audio = options.audio or os.path.join(folder, "audio")
    sounds = [
        Sound(
            Item(_path(audio, key[:3], f"{key}.ogg"), 0),
            values=tuple(values) or None,
            part=parts[key],
            group=key.partition("_")[0],
            error=None if values else "nothing is said of any class",
        )
        for key, values in cells.items()
    ]
    return gather(problems.of, Kind.SEVERAL, sounds, replace(options, classes=None), OPENMIC, problems, published=True)


def _gather(
    name: str, kind: Kind, sounds: Iterable[Sound], options: LabelOptions, classes: Sequence[str] | None
) -> Labelled:
    sounds = list(sounds)
    problems = Problems(name, options.skip)
    if any(sound.group for sound in sounds) and not all(sound.group for sound in sounds):
        problems.add("some sounds have a group, and others have none")
    return gather(name, kind, sounds, options, classes, problems, published=True)


def _rows(path: str, needed: Sequence[str], delimiter: str = ",") -> list[_Row]:
    """The rows of a table of a published set.

    Raises:
        LabelsError: It cannot be read, or lacks a column.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            read = list(reader)
            has = reader.fieldnames or []
    except (OSError, ValueError, csv.Error) as error:
        raise LabelsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if (long := next((i for i, row in enumerate(read, 2) if None in row), None)) is not None:
        raise LabelsError(f"{path}: the row of line {long} has more cells than the {len(has)} columns")
    rows: list[_Row] = [{key: value.strip() for key, value in row.items()} for row in read]
    if lacking := [name for name in needed if name not in has]:
        raise LabelsError(f"{path} has no column {listed(lacking)}, but {listed(list(has)) or 'none'}")
    for number, row in enumerate(rows, 2):
        if empty := [name for name in needed if not row[name] and name != "labels"]:
            raise LabelsError(f"{path}: the row of line {number} has nothing in {listed(empty)}")
    return rows


def _numbered(path: str, rows: Sequence[_Row], number: str, name: str, known: Sequence[str]) -> list[str]:
    """The names of numbered classes: as the table has them, and the published ones for those that it lacks.

    Raises:
        LabelsError: A number is none of the set's, or has two names.
    """
    names: dict[int, str] = {}
    for row in rows:
        text = row[number]
        # Python refuses to read thousands of digits.
        if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) >= len(known):
            raise LabelsError(f"{path}: {shown(text)} in the column {number!r} is no number from 0 to {len(known) - 1}")
        here = row.get(name) or known[int(text)]
        if names.setdefault(int(text), here) != here:
            raise LabelsError(f"{path}: the class {text} is called {names[int(text)]!r} as well as {here!r}")
    return [names.get(i, one) for i, one in enumerate(known)]


def _first_folder(folder: str, names: Sequence[str], options: LabelOptions) -> str:
    if options.audio is not None:
        return options.audio
    found = next((name for name in names if os.path.isdir(os.path.join(folder, name))), None)
    if found is None:
        raise LabelsError(f"{folder} has no folder {' or '.join(names)} (the option `audio` says where the sounds are)")
    return os.path.join(folder, found)


def _path(*parts: str) -> str:
    return text_of_path(os.path.join(*parts))


def _keys(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [line.strip() for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise LabelsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _uploaders(path: str) -> dict[str, str]:
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            clips = json.load(file)
        return {str(name): str(about["uploader"]) for name, about in clips.items() if about.get("uploader")}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise LabelsError(f"{path} is no list of FSD50K's clips: {error}") from error
