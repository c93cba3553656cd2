"""What can be asked of events, checked before any net is loaded. Imports neither torch nor audio."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hear_edgel3._checks import check_flags, check_positive, check_share
from hear_edgel3.disk.cells import cut, lines_of, point_of
from hear_edgel3.disk.jsons import each_once
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.registry.labels import Label
from hear_edgel3.tagging.outputs import Outputs, outputs_of
from hear_edgel3.tagging.request import check_length, check_windows, tagging_rows
from hear_edgel3.timeline.groups import ClassGroups, groups_of
from hear_edgel3.timeline.rules import EventRules

WINDOW_S = 1.0
HOPS_PER_WINDOW = 2
# From this probability on a class is said that has no threshold of its own: of nets for AudioSet, whose probabilities
# for a second of sound are low, and of detectors.
AUDIOSET_THRESHOLD, USUAL_THRESHOLD = 0.3, 0.5


@dataclass(frozen=True)
class EventOptions:
    """What is asked of events. All times are in seconds.

    Attributes:
        classes: The names, or machine identifiers, of classes; None for all. A class of AudioSet stands for those below
            it in its ontology, too.
        groups: Groups of classes by their names, told as one class each.
        exact: Whether classes stand for themselves only.
        threshold: The probability that an event must reach; None for a detector's own thresholds and, where there are
            none, for 0.3 with nets for AudioSet and 0.5 with others.
        thresholds: By the names of classes or groups, in place of ``threshold``.
        window: The length of the windows that the net sees; None for 1, or what the net takes.
        hop: Between windows; None for half a window.
        hysteresis: The share of the threshold down to which an event goes on.
        smooth: The length of a median filter over time; 0 for none.
        merge: Events of a class with at most this between them are one.
        min_length: Shorter events are dropped.
        max_length: Longer events are cut into pieces of at most this; None for any length.
    """

    classes: Sequence[str] | None = None
    groups: Mapping[str, Sequence[str]] | None = None
    exact: bool = False
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    window: float | None = None
    hop: float | None = None
    hysteresis: float = 0.5
    smooth: float = 0.0
    merge: float = 0.0
    min_length: float = 0.0
    max_length: float | None = None

    def __post_init__(self) -> None:
        if self.classes is not None:
            object.__setattr__(self, "classes", _names(self.classes, "classes"))
        if self.groups is not None:
            if not isinstance(self.groups, Mapping) or not all(isinstance(name, str) for name in self.groups):
                raise InvalidOption(f"groups must be lists of classes by names, got {self.groups!r}")
            groups = {name: _names(names, f"the group {name!r}") for name, names in self.groups.items()}
            object.__setattr__(self, "groups", groups)
        if not isinstance(self.thresholds, Mapping) or not all(isinstance(name, str) for name in self.thresholds):
            raise InvalidOption(f"thresholds must be numbers by names of classes, got {self.thresholds!r}")
        if self.threshold is not None:
            check_share(self.threshold, "threshold")
        for name, value in self.thresholds.items():
            check_share(value, f"the threshold of {name!r}")
        self.rules([0.5])
        check_flags(exact=self.exact)
        if self.window is not None:
            check_windows(self.window, self.hop)
        if self.hop is not None and check_positive(self.hop, "hop", "seconds") and self.hop > (self.window or WINDOW_S):
            raise InvalidOption(
                f"hop={self.hop!r} is more than a window ({self.window or WINDOW_S:g} s), so that what is between them "
                f"would not be heard; give a longer window, or a hop of at most that"
            )

    def rules(self, thresholds: Sequence[float]) -> EventRules:
        """The rules of events, with thresholds."""
        return EventRules(thresholds, self.hysteresis, self.smooth, self.merge, self.min_length, self.max_length)

    def windows_of(self, row: Checkpoint) -> tuple[float, float]:
        """The length of windows, and the distance between them, in seconds.

        Raises:
            InvalidOption: The net takes others only.
        """
        window = self.window
        if window is None:
            window = WINDOW_S if row.only_window_ms is None else row.only_window_ms / 1000
        check_length(row, window)
        hop = window / HOPS_PER_WINDOW if self.hop is None else self.hop
        check_windows(window, hop)
        if hop > window:
            raise InvalidOption(f"hop={hop!r} is more than a window of {row.name} ({window:g} s); give a shorter one")
        return window, hop

    def windows_together(self, rows: Sequence[Checkpoint]) -> tuple[float, float]:
        """As :meth:`windows_of`, for nets that get the same windows.

        Raises:
            InvalidOption: One of them takes others only.
        """
        first = next((row for row in rows if row.only_window_ms is not None), rows[0])
        window, hop = self.windows_of(first)
        for row in rows:
            check_length(row, window)
        return window, hop

    def groups_of(self, labels: Sequence[Label], outputs: Outputs) -> ClassGroups:
        """The groups of classes that are told.

        Raises:
            InvalidOption: The net has no such class.
        """
        return groups_of(labels, self.classes, self.groups, self.exact, outputs.targets == "single")

    def rules_for(self, groups: ClassGroups, outputs: Outputs, of_audioset: bool) -> EventRules:
        """The rules of events for a net.

        Raises:
            InvalidOption: A threshold is given for a class that is not told.
        """
        usual = AUDIOSET_THRESHOLD if of_audioset else USUAL_THRESHOLD
        if self.threshold is not None:
            found = [float(self.threshold)] * len(groups.labels)
        elif outputs.thresholds is None:
            found = [usual] * len(groups.labels)
        else:
            # A threshold of 0 is reached by everything, and would make one event of all.
            own = [usual if value is None else min(1.0, max(value, 1e-6)) for value in outputs.thresholds]
            found = list(groups.thresholds(own))
        places = {label.mid: i for i, label in enumerate(groups.labels) if label.mid}
        places |= {label.name.casefold(): i for i, label in enumerate(groups.labels)}
        given: dict[int, str] = {}
        for name, value in self.thresholds.items():
            place = places.get(name.strip(), places.get(name.strip().casefold()))
            if place is None:
                raise InvalidOption(
                    f"there is a threshold for {name!r}, which is none of the classes that are told "
                    f"({', '.join(repr(label.name) for label in groups.labels[:5])}"
                    f"{', ...' if len(groups.labels) > 5 else ''})"
                )
            if place in given:
                raise InvalidOption(
                    f"{given[place]!r} and {name!r} are one class, and have a threshold each; keep one of them"
                )
            given[place] = name
            found[place] = float(value)
        return self.rules(found)


def _names(names: Any, what: str) -> tuple[str, ...]:
    """The names of classes; one text is one name.

    Raises:
        InvalidOption: They are something else.
    """
    found = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Iterable) else (names,)
    if not all(isinstance(name, str) for name in found):
        raise InvalidOption(f"{what} must be names of classes, got {names!r}")
    return found


def event_rows(configurations: Any) -> list[Checkpoint]:
    """The checkpoints that events are found with, together.

    Raises:
        UnknownConfiguration: There is no such name.
        InvalidOption: One has no classes, or guesses numbers, or they do not fit together.
    """
    rows = tagging_rows(configurations)
    if outputs_of(rows[0]).are_numbers:
        raise InvalidOption(f"{rows[0].name} guesses numbers, and has no classes to find events of")
    return rows


def read_thresholds(path: str) -> dict[str, float]:
    """Thresholds from a file.

    Args:
        path: JSON, an object of numbers by the names of classes; or CSV with a class and a number in each row, with or
            without a heading. As in other tables, semicolons or tabs may stand for commas, with a decimal comma beside
            semicolons, and a first line ``sep=`` says which.

    Raises:
        InvalidOption: It cannot be read, or is something else.
    """
    found: dict[str, float] = {}
    try:
        for number, row in enumerate(_threshold_rows(path), 1):
            if not _has_number(row):
                raise ValueError(f"entry {number} is no class with a number, but {row!r}")
            name = str(row[0]).strip()
            if name in found:
                raise ValueError(f"{name!r} is there twice")
            found[name] = float(row[1])
    except OSError as error:
        raise InvalidOption(f"the thresholds {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise InvalidOption(
            f'the thresholds {path} cannot be read: {error}; it takes JSON ({{"Bird": 0.4}}) or CSV (Bird,0.4)'
        ) from error
    if not found:
        raise InvalidOption(f"the thresholds {path} have no classes")
    return found


def _threshold_rows(path: str) -> list[Any]:
    """The entries of a file of thresholds, each a class and a number if it is right.

    Raises:
        OSError, ValueError, csv.Error, RecursionError: It cannot be read.
    """
    if path.lower().endswith(".json"):
        text = Path(path).read_text(encoding="utf-8-sig")
        values = json.loads(text, object_pairs_hook=lambda pairs: pairs)  # a name may be there twice
        if not text.lstrip().startswith("{"):
            raise ValueError("it is no object of numbers by classes")
        return [[name, value] for name, value in values]
    # Commas last: beside them the decimal comma of a table with semicolons would end a cell.
    lines, delimiters = lines_of(path, ("\t", ";", ","))
    rows, delimiter = cut(lines, delimiters, lambda row, sign: _has_number(_with_point(row, sign)))
    if rows and len(rows[0]) > 1 and not _has_number(_with_point(rows[0], delimiter)):
        rows = rows[1:]
    return [_with_point(row, delimiter) for row in rows]


def _with_point(row: Sequence[str], delimiter: str) -> list[str]:
    """A row of a table, with a point in the number where the table has something else."""
    return [row[0], *(cell.replace(point_of(delimiter), ".") for cell in row[1:])]


def read_groups(path: str) -> dict[str, list[str]]:
    """Groups of classes from a file of JSON: lists of classes by the names of groups.

    Raises:
        InvalidOption: It cannot be read, or is something else.
    """
    text = _text(path)
    try:
        values = json.loads(text, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise InvalidOption(f"the groups {path} cannot be read as JSON: {error}") from error
    are_lists = isinstance(values, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in values.values()
    )
    if not are_lists or not values:
        raise InvalidOption(f'the groups {path} must be lists of classes by names: {{"Birds": ["Bird", "Fowl"]}}')
    return dict(values)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidOption(f"the groups {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidOption(f"the groups {path} are no text: {error}") from error


def _has_number(row: Sequence[Any]) -> bool:
    """Whether it is a class and a number."""
    return len(row) > 1 and not isinstance(row[1], bool) and _is_number(row[1])


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
