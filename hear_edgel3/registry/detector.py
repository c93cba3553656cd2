"""What a folder says of classes of somebody's own: their names, the head that tells them, and when they are said.

The keys of ``configuration.json``, all of which may be missing: ``classes``, a list of names; ``targets``, "single",
"several" or "numbers"; ``head``, an object with ``layout`` (:meth:`hear_edgel3.heads.HeadLayout.to_dict`) and ``words``
(those of the embedding that it is on), or null for the net's own classifier; ``temperature``; and ``thresholds``, a
list of a number or null for each class. With a head, the names in the weights file begin with ``net.`` and ``head.``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from hear_edgel3.disk.paths import shortened
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.families.headed.rows import headed
from hear_edgel3.families.schema import Local, Targets
from hear_edgel3.heads.layout import HeadLayout

_DEPENDENT = ("targets", "head", "temperature", "thresholds")

# Beyond these probabilities overflow, or are all equal; a fit stays far within.
_COLDEST, _HOTTEST = 1e-6, 1e6


def with_own_classes(row: Local, values: Mapping[str, Any]) -> Local:
    """A row with the classes that its folder names; the row itself if it names none.

    Args:
        row: What the folder says besides.
        values: What stands in ``configuration.json``.

    Raises:
        TypeError, ValueError: A value has the wrong type, or cannot be.
    """
    classes = values.get("classes")
    if classes is None:
        given = [key for key in _DEPENDENT if values.get(key) is not None]
        if given:
            raise ValueError(f"{given[0]} says how classes are told, and there are no classes")
        return row
    if row.labels is not None:
        raise ValueError("it names its classes in classes, and a list of them in labels; keep one")
    names = _checked_classes(classes)
    targets = _checked_targets(values.get("targets"), len(names))
    temperature = _checked_temperature(values.get("temperature"), targets)
    thresholds = _checked_thresholds(values.get("thresholds"), targets, len(names))
    if values.get("head") is not None:
        row = _with_head(row, values["head"], len(names))
    elif row.n_classes != len(names):
        has = f"has {row.n_classes}" if row.n_classes else "has no classifier of its own, and there is no head"
        raise ValueError(f"there are {len(names)} classes, and the net {has}")
    return replace(row, classes=names, targets=targets, temperature=temperature, thresholds=thresholds)


def _checked_classes(classes: object) -> tuple[str, ...]:
    if not isinstance(classes, list) or not classes:
        raise TypeError(f"classes must be a list of names, got {shortened(repr(classes))}")
    for number, name in enumerate(classes, 1):
        if not isinstance(name, str) or not name.isprintable() or not name or name != name.strip():
            raise ValueError(f"class {number} has no name that can be shown, but {shortened(repr(name))}")
    name, count = Counter(classes).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} classes have the name {shortened(repr(name))}")
    return tuple(classes)


def _checked_targets(targets: object, n_classes: int) -> Targets:
    if targets not in get_args(Targets):
        raise ValueError(f"targets must be one of {', '.join(get_args(Targets))}; got {shortened(repr(targets))}")
    if targets == "single" and n_classes < 2:
        raise ValueError("there is one class only, and targets are single: of one class nothing can be told")
    return targets  # type: ignore[return-value]


def _checked_temperature(temperature: object, targets: Targets) -> float:
    if temperature is None:
        return 1.0
    if not _is_number(temperature) or not 0 < temperature < math.inf:  # type: ignore[operator]
        raise ValueError(f"temperature must be a positive number, got {shortened(repr(temperature))}")
    if not _COLDEST <= temperature <= _HOTTEST:  # type: ignore[operator]
        raise ValueError(f"temperature must be between {_COLDEST} and {_HOTTEST:g}, got {shortened(repr(temperature))}")
    if targets == "numbers" and temperature != 1:
        raise ValueError("temperature is for probabilities, and targets are numbers")
    return float(temperature)  # type: ignore[arg-type]


def _checked_thresholds(thresholds: object, targets: Targets, n_classes: int) -> tuple[float | None, ...] | None:
    if thresholds is None:
        return None
    if targets == "numbers":
        raise ValueError("thresholds are for probabilities, and targets are numbers")
    if not isinstance(thresholds, list) or len(thresholds) != n_classes:
        raise ValueError(f"thresholds must be a list of {n_classes}, a number or null for each class")
    for value in thresholds:
        if value is not None and not (_is_number(value) and 0 < value < 1):
            raise ValueError(f"a threshold must be a number between 0 and 1, got {shortened(repr(value))}")
    return tuple(None if value is None else float(value) for value in thresholds)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _with_head(row: Local, head: object, n_classes: int) -> Local:
    if not isinstance(head, dict) or not isinstance(head.get("layout"), dict):
        raise TypeError(f"head must be an object with layout and words, got {shortened(repr(head))}")
    unknown = [key for key in head if key not in ("layout", "words")]
    if unknown:
        raise ValueError(f"head has an unknown value {shortened(repr(unknown[0]))}; there are layout and words")
    words = head.get("words", "")
    if not isinstance(words, str):
        raise TypeError(f"words of the head must be a text, got {shortened(repr(words))}")
    try:
        layout = HeadLayout.from_dict(head["layout"])
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    if layout.outputs != n_classes:
        raise ValueError(f"there are {n_classes} classes, and the head puts out {layout.outputs}")
    return headed(row, layout, words)
