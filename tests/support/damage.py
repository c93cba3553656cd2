"""Damage to files: cut off, changed at random, or something else altogether."""

from __future__ import annotations

import os
import random
from pathlib import Path


def truncated(where: float | int, data: bytes) -> bytes:
    return data[: int(len(data) * where)] if isinstance(where, float) else data[:where]


def random_bytes(n: int) -> bytes:
    return random.Random(0).randbytes(n)


class Bomb:
    """Unpickled, it would make a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)
