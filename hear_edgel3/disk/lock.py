"""Files that one process at a time works with."""

from __future__ import annotations

from typing import IO, Any


def lock(file: IO[Any]) -> None:
    """Keeps other processes away from an open file, where the system can, until it is closed.

    Raises:
        OSError: One is there already.
    """
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
