"""Checkpoints in folders of their own: what ``hear-edgel3 distill`` and ``train`` write, and the one that is shipped.

Such a folder holds ``configuration.json``, which says in plain values what a row of the table says, and the weights.
The shape of the net stands in it as the arguments of its family's ``architecture`` function. What it says of classes of
somebody's own is read by :mod:`hear_edgel3.registry.detector`.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from hear_edgel3.errors import ConfigurationError
from hear_edgel3.families import table
from hear_edgel3.families.schema import Local
from hear_edgel3.families.values import is_count
from hear_edgel3.registry.detector import with_own_classes

FILENAME = "configuration.json"
FORMAT = 1
_TEXTS = ("name", "family", "summary", "licence", "citation", "weights_file", "weights_sha256")
_LONGEST_NAME = 255
# What is written is five levels deep. Whoever prints it, or copies it, goes down level by level.
_DEEPEST = 32
_LABELS = Path(__file__).parent / "labels"


def is_folder(path: object) -> bool:
    """Whether ``path`` names a folder that holds a configuration."""
    return isinstance(path, (str, os.PathLike)) and bool(path) and os.path.isfile(os.path.join(path, FILENAME))


def read_folder(folder: str | os.PathLike[str]) -> Local:
    """The row that a folder holds.

    Args:
        folder: has ``configuration.json`` in it.

    Raises:
        ConfigurationError: the file is missing, damaged, or not as this version of the package writes it.
    """
    path = Path(folder) / FILENAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged: it is not JSON ({error})") from error
    try:
        _check_plain(values)
        row = make_row(values, Path(folder))
        json.dumps(values, allow_nan=False)  # so that whoever prints them prints JSON
        return row
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(
            f"{path} does not describe a configuration: {what}; `hear-edgel3 distill` and `train` write such files"
        ) from error


def _check_plain(values: object, depth: int = 0) -> None:
    """Checks that values from a file can be written again, and shown.

    Raises:
        ValueError: they are nested too deeply, or hold a text that cannot be.
    """
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(values, str):
        values.encode()  # half of a surrogate pair is no text
    elif isinstance(values, dict):
        for key, value in values.items():
            key.encode()
            _check_plain(value, depth + 1)
    elif isinstance(values, list):
        for value in values:
            _check_plain(value, depth + 1)


def make_row(values: Any, folder: Path) -> Local:
    """The row that plain values describe, as they stand in ``configuration.json``.

    Raises:
        KeyError, TypeError, ValueError: a value is missing, has the wrong type, or cannot be. Or another of Python's
            errors, where a shape that nobody would think of does not compute.
    """
    if not isinstance(values, dict):
        raise TypeError("it must hold one JSON object")
    if values["format"] != FORMAT:
        raise ValueError(f"its format is {values['format']!r}, and this version of hear-edgel3 reads {FORMAT}")
    for key in _TEXTS:
        if not isinstance(values[key], str) or not values[key]:
            raise TypeError(f"{key} must be a text, got {values[key]!r}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", values["name"]):
        raise ValueError(f"the name must be letters and digits and begin with a letter, got {values['name']!r}")
    if not re.fullmatch(r"[^/\\\0]*[^/\\\0.]", values["weights_file"]):
        raise ValueError(f"weights_file must be a file in the same folder, got {values['weights_file']!r}")
    if len(os.fsencode(values["weights_file"])) > _LONGEST_NAME:
        raise ValueError(f"weights_file must be a file name of at most {_LONGEST_NAME} bytes")
    if not re.fullmatch(r"[0-9a-f]{64}", values["weights_sha256"]):
        raise ValueError(f"weights_sha256 must be 64 hexadecimal digits, got {values['weights_sha256']!r}")
    words, version = values.get("default_features", ""), values.get("embedding_version", 1)
    if not isinstance(words, str):
        raise TypeError(f"default_features must be a text, got {words!r}")
    if not is_count(version):
        raise TypeError(f"embedding_version must be a whole number from 1, got {version!r}")
    for key in ("architecture", "reported", "made"):
        if not isinstance(values.get(key, {}), dict):
            raise TypeError(f"{key} must be a JSON object, got {values[key]!r}")
    shape, labels = values["architecture"], values.get("labels")
    family = table.FAMILIES.get(values["family"])
    if family is None:
        raise ValueError(f"there is no family {values['family']!r}; the families are {', '.join(table.FAMILIES)}")
    family.check_architecture(shape)
    row = Local(
        **family.architecture(**shape),
        name=values["name"],
        summary=values["summary"],
        citation=values["citation"],
        labels=labels,
        default_features=words,
        reported=values.get("reported", {}),
        embedding_version=version,
        folder=folder,
        weights_file=values["weights_file"],
        weights_sha256=values["weights_sha256"],
        licence=values["licence"],
        made=values.get("made", {}),
    )
    if labels is not None:
        _check_labels(labels, row.n_classes)
    row = with_own_classes(row, values)
    row.vocabulary.read(row, words)  # that its default features exist
    return row


def _check_labels(name: object, n_classes: object) -> None:
    """Checks that there is a list of so many classes.

    Raises:
        ValueError: there is none.
    """
    path = _LABELS / f"{name}.csv"
    if not isinstance(name, str) or not re.fullmatch(r"\w{1,100}", name) or not path.is_file():
        raise ValueError(f"there is no list of labels {name!r}")
    count = path.read_bytes().count(b"\n") - 1  # without the heading
    if n_classes != count:
        raise ValueError(f"the list of labels {name!r} has {count} classes, and the net has {n_classes or 'none'}")
