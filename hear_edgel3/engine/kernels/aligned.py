"""Memory that kernels take."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

Fields = TypeVar("Fields", bound=tuple[Any, ...])

_ALIGNMENT = 4096


def aligned(size: int) -> np.ndarray:
    """Float32 values that begin at a page."""
    memory = np.empty(4 * size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + 4 * size].view(np.float32)


def addresses(kept: Fields) -> Fields:
    """A named tuple with the addresses of its arrays, which must live as long; kernels would count their references."""
    kind: Any = type(kept)
    made: Fields = kind(*(value.ctypes.data if isinstance(value, np.ndarray) else value for value in kept))
    return made
