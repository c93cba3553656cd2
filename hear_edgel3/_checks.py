"""Checks of what callers give, which say of what is wrong how it is called, what it must be, and what it was."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from hear_edgel3.errors import InvalidOption

_LARGEST_NUMBER = 1e9
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = _SHORT.maxlong = 80


def shown(value: object) -> str:
    """A value as errors show it, shortened."""
    return _SHORT.repr(value)


def check_positive(value: object, name: str, unit: str = "") -> float:
    """Checks an option that is a length of time, or the like.

    Args:
        value: What was given: any real number, also one of NumPy's.
        name: What the option is called in the error.
        unit: What it counts, in the plural, if anything.

    Returns:
        The value as a float.

    Raises:
        InvalidOption: It is no number, not positive, not finite, or larger than any sensible one.
    """
    number = number_of(value)
    if not math.isfinite(number) or number <= 0:
        raise InvalidOption(f"{name} must be a positive number{f' of {unit}' if unit else ''}, got {shown(value)}")
    if number > _LARGEST_NUMBER:
        raise InvalidOption(f"{name} must be at most {f'{_LARGEST_NUMBER:g} {unit}'.rstrip()}, got {shown(value)}")
    return number


def check_seconds(value: object, name: str, infinite: bool = False) -> float:
    """Checks a length of time, or a moment, which may be 0.

    Args:
        value: What was given.
        name: What it is called in the error.
        infinite: Whether it may be infinite.

    Raises:
        InvalidOption: It is something else.
    """
    number = number_of(value)
    if not number >= 0 or (math.isinf(number) and not infinite):
        raise InvalidOption(f"{name} must be a number of seconds from 0, got {shown(value)}")
    return number


def check_share(value: object, name: str) -> float:
    """Checks a number above 0 and at most 1.

    Raises:
        InvalidOption: It is something else.
    """
    number = number_of(value)
    if not 0 < number <= 1:
        raise InvalidOption(f"{name} must be a number above 0 and at most 1, got {shown(value)}")
    return number


def check_between(value: object, name: str, least: float, most: float = math.inf) -> float:
    """Checks a finite number between two, which it may also be.

    Args:
        value: What was given: any real number, also one of NumPy's.
        name: What it is called in the error.
        least: The smallest that it may be.
        most: The largest.

    Returns:
        The value as a float.

    Raises:
        InvalidOption: It is something else.
    """
    number = number_of(value)
    if not math.isfinite(number) or not least <= number <= most:
        to = "" if most == math.inf else f" to {most:g}"
        raise InvalidOption(f"{name} must be a number from {least:g}{to}, got {shown(value)}")
    return number


def is_whole(value: object, lowest: int) -> bool:
    """Whether it is a whole number from the lowest on, of any type, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= lowest


def check_whole(value: object, name: str, lowest: int) -> int:
    """Checks a whole number.

    Raises:
        InvalidOption: It is something else, or smaller than the lowest.
    """
    if not is_whole(value, lowest):
        raise InvalidOption(f"{name} must be a whole number from {lowest}, got {shown(value)}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def is_pair(value: object) -> bool:
    """Whether it is a tuple, or list, of two."""
    return isinstance(value, (tuple, list)) and len(value) == 2


def check_flags(**given: object) -> None:
    """Checks what says yes or no: True and False, or 0 and 1, of any type. ``"no"`` would count as yes.

    Raises:
        InvalidOption: One of them is something else.
    """
    for name, value in given.items():
        is_numpys = getattr(getattr(value, "dtype", None), "kind", "") == "b" and getattr(value, "ndim", 1) == 0
        if not is_numpys and not (isinstance(value, Real) and value in (0, 1)):
            raise InvalidOption(f"{name} must be True or False, got {shown(value)}")


def check_word(value: object, name: str, words: Iterable[str]) -> None:
    """Checks a word of a choice.

    Raises:
        InvalidOption: It is none of them.
    """
    words = list(words)
    if not isinstance(value, str) or value not in words:
        raise InvalidOption(f"{name} must be one of {', '.join(words)}; got {shown(value)}")


def check_texts(**given: object) -> None:
    """Checks texts, each of which may also be None.

    Raises:
        InvalidOption: One of them is something else.
    """
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise InvalidOption(f"{name} must be text, got {shown(value)}")


def is_path(value: object) -> bool:
    """Whether it is a path as text, or an object that gives one; bytes are none."""
    return isinstance(value, str) or (isinstance(value, os.PathLike) and isinstance(os.fspath(value), str))


def check_path(value: object, name: str, empty: bool = False) -> None:
    """Checks a path.

    Args:
        value: What was given.
        name: What it is called in the error.
        empty: Whether it may be an empty text.

    Raises:
        InvalidOption: It is something else, or empty.
    """
    if not is_path(value):
        raise InvalidOption(f"{name} must be a path (text or pathlib.Path), got {shown(value)}")
    if not empty and not os.fspath(value):  # type: ignore[call-overload]
        raise InvalidOption(f"{name} must be a path, and is empty; give '.' for the current folder")


def check_paths(**given: object) -> None:
    """Checks paths, each of which may also be None.

    Raises:
        InvalidOption: One of them is something else, or empty.
    """
    for name, value in given.items():
        if value is not None:
            check_path(value, name)


def several_paths(value: object, name: str) -> list[str]:
    """What is one path or several ones, as a list.

    Raises:
        InvalidOption: It is something else.
    """
    if is_path(value):
        return [os.fspath(value)]  # type: ignore[call-overload]
    found = list(check_several(value, name, "a path, or a list of paths"))
    for one in found:
        if not is_path(one):
            raise InvalidOption(f"{name} must be paths (text or pathlib.Path), and one of them is {shown(one)}")
    return [os.fspath(one) for one in found]


def check_several(value: object, name: str, what: str) -> Iterable[Any]:
    """Checks a list, or anything else that gives several things one by one, but text, bytes or a dictionary.

    Args:
        value: What was given.
        name: What it is called in the error.
        what: What it must be.

    Raises:
        InvalidOption: It is something else.
    """
    if not gives_several(value):
        raise InvalidOption(f"{name} must be {what}, got {shown(value)}")
    assert isinstance(value, Iterable)
    return value


def gives_several(value: object) -> bool:
    """Whether it gives several things one by one: text, bytes, a dictionary or a lone number do not."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Iterable):
        return False
    return getattr(value, "ndim", 1) > 0  # arrays of no dimension have an __iter__ that fails


def several_texts(value: object, name: str) -> tuple[str, ...]:
    """What is one text or several ones, as a tuple.

    Raises:
        InvalidOption: It is something else.
    """
    found = (value,) if isinstance(value, str) else tuple(check_several(value, name, "text, or a list of texts"))
    if not all(isinstance(one, str) for one in found):
        raise InvalidOption(f"{name} must be text, or a list of texts, got {shown(value)}")
    return found


def check_device_name(value: object) -> None:
    """Checks the name of a device, of which torch knows whether it is there.

    Raises:
        InvalidOption: It is no text.
    """
    if not isinstance(value, str) or not value:
        raise InvalidOption(f"device must be the name of a torch device, as 'cpu' or 'cuda:0', got {shown(value)}")


def check_made(value: object, name: str, kind: type | tuple[type, ...], how: str) -> None:
    """Checks that something is what only this package makes.

    Args:
        value: What was given.
        name: What it is called in the error.
        kind: Its class.
        how: What it must be, and how it is made.

    Raises:
        InvalidOption: It is something else.
    """
    if not isinstance(value, kind):
        raise InvalidOption(f"{name} must be {how}, got {shown(value)}")


def number_of(value: object) -> float:
    """NaN of what is no real number, of any type."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]
