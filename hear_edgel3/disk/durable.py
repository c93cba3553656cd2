"""What is on the disk for good: a file is once its bytes and the folder that names it have been flushed."""

from __future__ import annotations

import os
from contextlib import suppress


def sync_file(path: str | os.PathLike[str]) -> None:
    """Has a file's bytes written to the disk.

    Raises:
        OSError: they cannot be.
    """
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Has the names in a folder written to the disk. Where the system or file system cannot, nothing is done."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
