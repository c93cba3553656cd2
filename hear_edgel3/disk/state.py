"""What a file is like: by this one notices later that it has changed."""

from __future__ import annotations

import os
from typing import NamedTuple


class FileState(NamedTuple):
    """The state of a file.

    Attributes:
        size: How many bytes it has.
        modified: When it was last changed, in nanoseconds since 1970.
    """

    size: int
    modified: int


def file_state(path: str | os.PathLike[str]) -> FileState | None:
    """The state of a file now; None if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a NUL in its name
        return None
    return FileState(status.st_size, status.st_mtime_ns)
