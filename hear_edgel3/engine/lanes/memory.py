"""Memory that kernels take."""

from __future__ import annotations

import numpy as np

_ALIGNMENT = 4096


def aligned(size: int) -> np.ndarray:
    """Float32 values that begin at a page."""
    memory = np.empty(4 * size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + 4 * size].view(np.float32)
