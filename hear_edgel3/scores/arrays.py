"""Checks of the arrays that scores are made of; lists and tensors are taken for what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from hear_edgel3._checks import shown
from hear_edgel3.errors import LabelsError


def array_of(value: Any, name: str) -> np.ndarray:
    """An array of numbers or truth values.

    Args:
        value: What was given.
        name: What it is called in the error.

    Raises:
        LabelsError: It is something else.
    """
    try:
        found = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # of different lengths, or a tensor elsewhere
        raise LabelsError(f"{name} is not a regular array of numbers: {error}") from error
    if found.dtype.kind not in "fiub" or found.ndim == 0:
        raise LabelsError(f"{name} must be an array of numbers, got {shown(value)}")
    return found


def matrix_of(value: Any, name: str) -> np.ndarray:
    """(N, C) of numbers.

    Raises:
        LabelsError: It is something else.
    """
    found = array_of(value, name)
    if found.ndim != 2:
        raise LabelsError(f"{name} must have shape (sounds, classes), got {found.shape}")
    return found


def targets_of(value: Any, like: np.ndarray, name: str) -> np.ndarray:
    """(N,) numbers of classes, or (N, C).

    Args:
        value: The targets.
        like: (N, C) what was guessed.
        name: What that is called in the error.

    Raises:
        LabelsError: They are something else, or do not fit what was guessed.
    """
    found = array_of(value, "targets")
    if found.shape not in (like.shape, like.shape[:1]):
        raise LabelsError(f"targets of shape {found.shape} do not fit {name} of shape {like.shape}")
    if found.ndim == 2:
        return found
    if not np.isin(found, np.arange(like.shape[1])).all():
        raise LabelsError(f"targets must be numbers of classes from 0 to {like.shape[1] - 1}, got {shown(value)}")
    return found.astype(np.int64)


def mask_of(value: Any, targets: np.ndarray) -> np.ndarray | None:
    """(N, C) bool, or None for all.

    Raises:
        LabelsError: It is something else, or does not fit the targets.
    """
    if value is None:
        return None
    found = array_of(value, "mask")
    if found.dtype.kind != "b" or targets.ndim != 2 or found.shape != targets.shape:
        raise LabelsError(
            f"mask must be truth values of the shape of the targets of several classes, {targets.shape}, got "
            f"{found.dtype} of shape {found.shape}"
        )
    return found
