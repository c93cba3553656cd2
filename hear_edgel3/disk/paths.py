"""Names of files as text, and back."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def text_of_path(path: str | os.PathLike[str]) -> str:
    r"""A path as text that :func:`path_of_text` takes back: bytes that are not UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_of_text(text: str) -> Path:
    r"""The file that a ``file`` column names. ``\xNN`` stands for a byte unless there is a file of just that name."""
    path = Path(text)
    if r"\x" not in text or os.path.lexists(path):
        return path
    pieces = re.split(r"\\x([89a-f][0-9a-f])", text)
    raw = b"".join(bytes.fromhex(p) if i % 2 else p.encode() for i, p in enumerate(pieces))
    return Path(os.fsdecode(raw))


def text_of(path: str | os.PathLike[str]) -> str:
    """A path as text: a file name may hold bytes that are none."""
    return os.fspath(path).encode("utf-8", "replace").decode("utf-8")
