"""Checks of the plain values that describe a net's shape in a file, for the families' own ``check_architecture``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def check_values(shape: Mapping[str, Any], rules: Mapping[str, Callable[[object], bool]]) -> None:
    """Checks the arguments of an architecture one by one.

    Args:
        shape: The arguments as they stand in a file.
        rules: For each argument that the architecture function has, what says whether a value can be. Arguments that
            it does not have are left to it.

    Raises:
        ValueError: A value cannot be.
    """
    for key, value in shape.items():
        if key in rules and not rules[key](value):
            raise ValueError(f"{key} of the architecture cannot be {value!r}")


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_count_or_none(value: object) -> bool:
    """Whether a value is a whole number from 1, or None."""
    return value is None or is_count(value)


def is_count_to(most: int) -> Callable[[object], bool]:
    """What says whether a value is a whole number from 1 to `most`."""
    return lambda value: is_count(value) and isinstance(value, int) and value <= most


def is_flag(value: object) -> bool:
    """Whether a value is True or False."""
    return isinstance(value, bool)


def is_factor(value: object) -> bool:
    """Whether a value is a positive finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def counts(length: int) -> Callable[[object], bool]:
    """What says whether a value is a list of so many whole numbers from 1."""
    return lambda value: isinstance(value, list) and len(value) == length and all(map(is_count, value))


def one_of(allowed: Sequence[object]) -> Callable[[object], bool]:
    """What says whether a value is one of some."""
    return lambda value: value in allowed
