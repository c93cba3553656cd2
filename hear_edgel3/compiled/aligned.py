"""Memory that kernels take: aligned, and by its address."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

Fields = TypeVar("Fields", bound=tuple[Any, ...])

_ALIGNMENT = 4096


def aligned(size: int) -> np.ndarray:
    """So many float32 values, not initialised, whose memory begins at a page, and so at a vector of any width."""
    memory = np.empty(4 * size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + 4 * size].view(np.float32)


def addresses(fields: Fields) -> Fields:
    """A named tuple with the addresses of its arrays in their stead; the arrays must live as long as these are used.

    Kernels take addresses because they would count references to arrays, again and again.
    """
    kind: Any = type(fields)
    made: Fields = kind(*(value.ctypes.data if isinstance(value, np.ndarray) else value for value in fields))
    return made
