"""Lists of classes, one file each, in the order of the logits.

``audioset.csv``: the 527 classes of AudioSet (Gemmeke et al., ICASSP 2017; Google, CC BY 4.0), with the machine
identifiers of their ontology.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from hear_edgel3.disk.cells import DELIMITERS, cut, lines_of
from hear_edgel3.errors import InvalidOption

# What the column of names is called in the lists that there are: ours, AudioSet's own, and others.
_NAME_COLUMNS = ("label", "display_name", "name", "class", "category")


@dataclass(frozen=True)
class Label:
    """A class.

    Attributes:
        name: in words, for example "Acoustic guitar".
        mid: machine identifier, for example "/m/042v_gx".
    """

    name: str
    mid: str


@cache
def labels(list_name: str) -> tuple[Label, ...]:
    """The classes of a list, in the order of the logits.

    Args:
        list_name: name of a file beside this one, without its ending; rows of the registry have it.
    """
    text = resources.files(__name__).joinpath(f"{list_name}.csv").read_text(encoding="utf-8")
    return tuple(Label(row["label"], row["mid"]) for row in csv.DictReader(text.splitlines()))


def read_labels(path: Path) -> tuple[Label, ...]:
    """The classes in a file of the user's, in the order of the logits.

    Args:
        path: One class a line; or a CSV with a heading, of which one column is called label, display_name, name, class
            or category, and one may be called mid (AudioSet's class_labels_indices.csv, for example). Between cells
            there are commas, semicolons or tabs, or what a first line ``sep=`` says.

    Raises:
        InvalidOption: It cannot be read, or a class has no name.
    """
    try:
        lines, delimiters = lines_of(os.fspath(path), DELIMITERS[".csv"])
        table, _ = cut(lines, delimiters, lambda row, _: _column_of_names(row) is not None)
    except OSError as error:
        raise InvalidOption(f"the list of classes {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise InvalidOption(f"the list of classes {path} is not text, a class a line or CSV: {error}") from error
    heading = _heading(table[0]) if table else []
    column = _column_of_names(heading)
    if column is None:
        found = [Label(line.strip(), "") for line in lines]
    else:
        mid = heading.index("mid") if "mid" in heading else len(heading)
        found = [Label(_cell(row, column), _cell(row, mid)) for row in table[1:]]
    return check_labels(found, f"the list of classes {path}")


def _heading(row: Sequence[str]) -> list[str]:
    return [cell.strip().lower() for cell in row]


def _column_of_names(row: Sequence[str]) -> int | None:
    """Which column has the names of classes by a heading; None if it is none."""
    heading = _heading(row)
    return next((heading.index(name) for name in _NAME_COLUMNS if name in heading), None)


def check_labels(found: Sequence[Label], what: str) -> tuple[Label, ...]:
    """Checks that there are classes, and that each has a name that can be shown.

    Raises:
        InvalidOption: There are none, or one has none.
    """
    for number, label in enumerate(found, 1):
        if not label.name or not label.name.isprintable() or not (label.mid == "" or label.mid.isprintable()):
            raise InvalidOption(f"{what}: class {number} has no name that can be shown, but {label.name!r}")
    if not found:
        raise InvalidOption(f"{what} has no classes")
    return tuple(found)


def _cell(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""
