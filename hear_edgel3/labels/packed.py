"""AudioSet, FSD50K and OpenMIC in HDF5 files with MP3 bytes, as EfficientAT and PaSST keep them."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass

import numpy as np

from hear_edgel3.errors import AudioFileError, LabelsError
from hear_edgel3.labels.gathering import Problems, Sound, Stored, gather
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import TEST, TRAIN, VALIDATION
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.registry.labels import labels as list_of_classes
from hear_edgel3.sources.hdf5 import Hdf5Sounds
from hear_edgel3.sources.item import Item

TARGETS = "target"
OPENMIC = (
    "accordion banjo bass cello clarinet cymbals drums flute guitar mallet_percussion mandolin organ piano saxophone "
    "synthesizer trombone trumpet ukulele violin voice"
).split()
_FSD50K_CLASSES = 200


@dataclass(frozen=True)
class _File:
    """What a file of a packed set is called, and what it is.

    Attributes:
        layout: The set.
        pattern: What its name matches.
        part: The part of the split.
    """

    layout: str
    pattern: str
    part: str


# In the order of the rows; README of EfficientAT misspells "segments".
_FILES = (
    _File("audioset-hdf5", r"balanced_train_seg\w*_mp3\.hdf", TRAIN),
    _File("audioset-hdf5", r"unbalanced_train_seg\w*_mp3\.hdf", TRAIN),
    _File("audioset-hdf5", r"eval_seg\w*_mp3\.hdf", TEST),
    _File("fsd50k-hdf5", r"FSD50K\.train_mp3\.hdf", TRAIN),
    _File("fsd50k-hdf5", r"FSD50K\.val_mp3\.hdf", VALIDATION),
    _File("fsd50k-hdf5", r"FSD50K\.eval_mp3\.hdf", TEST),
    _File("openmic-hdf5", r"openmic_train\.csv_mp3\.hdf", TRAIN),
    _File("openmic-hdf5", r"openmic_test\.csv_mp3\.hdf", TEST),
)
_NAMES = {"audioset-hdf5": "AudioSet", "fsd50k-hdf5": "FSD50K", "openmic-hdf5": "OpenMIC-2018"}
LAYOUTS = tuple(_NAMES)


def packed_files(source: str, layout: str) -> list[tuple[str, str]]:
    """The files of a packed set in a folder, or the one that is named: paths and parts, in the order of the rows."""
    try:
        names = os.listdir(source) if os.path.isdir(source) else [os.path.basename(source)]
    except OSError:
        return []  # whoever reads it as a folder of classes will say why
    folder = source if os.path.isdir(source) else os.path.dirname(source)
    return [
        (os.path.join(folder, name), file.part)
        for file in _FILES
        if file.layout == layout
        for name in sorted(names)
        if re.fullmatch(file.pattern, name)
    ]


def read_packed(source: str, layout: str, options: LabelOptions) -> Labelled:
    """Reads a packed set.

    Args:
        source: The folder of its files, or one of these.
        layout: ``audioset-hdf5``, ``fsd50k-hdf5`` or ``openmic-hdf5``.
        options: How labels are read.

    Raises:
        LabelsError: It cannot be read; the message says all that is wrong.
        MissingExtra: h5py is not installed.
    """
    files = packed_files(source, layout)
    if not files:
        wanted = ", ".join(file.pattern.replace("\\", "") for file in _FILES if file.layout == layout)
        raise LabelsError(f"{source} has no file of {_NAMES[layout]} (called {wanted})")
    problems = Problems(source, options.skip)
    classes = _classes(source, layout, options, problems)
    items: list[Item] = []
    parts: list[str] = []
    blocks: list[np.ndarray] = []
    for path, part in files:
        try:
            opened = Hdf5Sounds(path)
        except AudioFileError as error:
            raise LabelsError(str(error)) from error
        try:
            block = _targets(path, opened, layout, len(classes))
            blocks.append(block)
            items += opened.items()
            parts += [part] * len(block)
        finally:
            opened.close()
    values, mask, n = np.concatenate(blocks), None, len(classes)
    if layout == "openmic-hdf5":
        values, mask = values[:, :n], values[:, n:] > 0.5
    sounds = (Sound(item, part=part, row=i) for i, (item, part) in enumerate(zip(items, parts, strict=True)))
    return gather(_NAMES[layout], Kind.SEVERAL, sounds, options, classes, problems, True, Stored(values, mask))


def _targets(path: str, opened: Hdf5Sounds, layout: str, n_classes: int) -> np.ndarray:
    """(N, C) uint8 of bits, or for OpenMIC (N, 2C) float32: relevances, and then the mask."""
    try:
        stored = np.asarray(opened.read(TARGETS))
    except AudioFileError as error:
        raise LabelsError(str(error)) from error
    bits = layout != "openmic-hdf5"
    width, dtype = (-(-n_classes // 8), np.uint8) if bits else (2 * n_classes, np.float32)
    if stored.ndim != 2 or stored.shape[1] != width or (bits and stored.dtype != dtype):
        raise LabelsError(
            f"{path}: its targets are {stored.dtype} of shape {stored.shape}; {_NAMES[layout]} with {n_classes} "
            f"classes has {np.dtype(dtype)} of shape (N, {width})"
        )
    if bits:
        return np.unpackbits(stored, axis=1, count=n_classes)
    values = stored.astype(np.float32)
    if not ((values >= 0) & (values <= 1)).all():
        raise LabelsError(f"{path}: a relevance or mask is not between 0 and 1")
    return values


def _classes(source: str, layout: str, options: LabelOptions, problems: Problems) -> list[str]:
    if options.classes is not None:
        return list(options.classes)
    if layout == "audioset-hdf5":
        return [label.name for label in list_of_classes("audioset")]
    if layout == "openmic-hdf5":
        return list(OPENMIC)
    folder = source if os.path.isdir(source) else os.path.dirname(source)
    for inside in (("vocabulary.csv",), ("FSD50K.ground_truth", "vocabulary.csv")):
        if os.path.isfile(path := os.path.join(folder, *inside)):
            return read_vocabulary(path)
    problems.notes.append(
        f"{folder or 'the folder'} has no vocabulary.csv of FSD50K, so that its classes are only called class_000 and "
        f"so on: put it beside the HDF5 files"
    )
    return [f"class_{i:03d}" for i in range(_FSD50K_CLASSES)]


def read_vocabulary(path: str) -> list[str]:
    """The classes of FSD50K's vocabulary.csv (number, name, machine identifier; without a heading), in their order.

    Raises:
        LabelsError: It is not such a file.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise LabelsError(f"{path} cannot be read: {error}") from error
    if not rows or any(len(row) < 2 or row[0].strip() != str(i) for i, row in enumerate(rows)):
        raise LabelsError(f"{path} is no vocabulary of FSD50K: rows of a number from 0, a name and an identifier")
    return [row[1].strip() for row in rows]
