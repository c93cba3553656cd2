"""Folders, and files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hear_edgel3.disk.durable import sync_folder
from hear_edgel3.errors import HearEdgeL3Error, OutputError


@contextmanager
def atomic_write(path: str | os.PathLike[str], temporary_name: str | None = None) -> Iterator[BinaryIO]:
    """Opens a temporary file beside ``path`` and renames it to ``path`` when the block ends well.

    If the block raises, nothing is left behind and an existing file stays as it was.

    Args:
        path: where the file shall appear; its folder must exist.
        temporary_name: of the temporary file, which must not exist; None for one of no meaning.

    Raises:
        OutputError: the folder does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        if target.is_dir():
            raise OutputError(f"cannot write {target}: it is a folder")
        beside = target.parent / (temporary_name or f".{uuid.uuid4().hex}.part")
        with beside.open("xb") as file:
            temporary = beside
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
        sync_folder(target.parent)
    except OSError as error:
        if isinstance(error, HearEdgeL3Error):
            raise
        if not target.parent.is_dir():
            raise OutputError(f"cannot write {target}: the folder {target.parent} does not exist") from error
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Makes an output folder and its parents.

    Raises:
        OutputError: it cannot be made.
    """
    path = Path(folder)
    try:
        missing = [place for place in (path, *path.parents) if not place.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync_folder(place.parent)
    except OSError as error:
        raise OutputError(f"cannot make the output folder {folder}: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """Finds out before the work that a result could not be written.

    Raises:
        OutputError: the folder does not exist or is not writable, or a folder is in the file's place.
    """
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder")
        if not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: the folder {path.parent} does not exist")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error  # a name too long
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write into {path.parent}")
