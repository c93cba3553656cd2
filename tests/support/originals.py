"""Arrays that an original program gave, in the folder of them, and how near ours are."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

Originals = Callable[[str], dict[str, np.ndarray]]


def folder_of(shared: Path, name: str, what: str) -> Path:
    """The folder of an original's outputs; the test is skipped without it."""
    found = shared / "reference" / name
    if not found.is_dir():
        pytest.skip(f"the outputs of {what} are not at {found}")
    return found


def reading(folder: Path) -> Originals:
    """What reads the arrays of a file of the folder, each once."""

    @lru_cache
    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(folder / f"{name}.npz") as file:
            return dict(file)

    return read


def assert_close(found: torch.Tensor | np.ndarray, expected: np.ndarray, what: str, tolerance: float) -> None:
    """Whether no value is further off than ``tolerance`` of the largest one."""
    values = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert values.shape == expected.shape, what
    difference = np.abs(values - expected).max()
    assert difference <= tolerance * np.abs(expected).max(), (what, difference / np.abs(expected).max())
