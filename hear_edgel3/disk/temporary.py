"""What is being written, under a hidden name of its own beside the place where it will appear.

The name is ``.TARGET.HEX.part`` and so tells what it was to become. As long as its process writes it, it is locked. A
process that was killed leaves it behind unlocked, and the next run that makes the same target sweeps it away.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# A target's name of more bytes is not repeated but hashed, since file names have a largest length.
_LONGEST_REPEATED = 100
_NAME = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{32}\.part", re.DOTALL)
# Where nothing can be locked (some network file systems), what nobody has written into for so long is abandoned.
_ABANDONED_AFTER_S = 3600


@contextmanager
def closing(file: BinaryIO) -> Iterator[BinaryIO]:
    """Closes a file at the end; after an error silently.

    What is left in its buffer then could not be written before, and would raise the same error once more, out of reach
    of who names the file.
    """
    with file:
        try:
            yield file
        except BaseException:
            with suppress(OSError):
                file.close()
            raise


@contextmanager
def temporary_file(target: Path) -> Iterator[BinaryIO]:
    """A new file beside a target, open for reading and writing, which is deleted at the end unless it was renamed.

    It is locked, so that no :func:`sweep` takes it for a left-over.

    Args:
        target: What :func:`become` will make of it; no link.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        path = _new_path(target)
        with closing(path.open("x+b")) as file:
            try:
                if _hold(file.fileno(), path):
                    yield file
                    return
            finally:
                if os.name == "nt":
                    file.close()  # what is open cannot be deleted there
                path.unlink(missing_ok=True)


def become(file: BinaryIO, target: Path) -> None:
    """Gives a temporary file, which must have been flushed, the name of its target, whatever is there.

    Raises:
        OSError: it cannot be renamed.
    """
    if os.name == "nt":
        file.close()  # what is open cannot be renamed there
    os.replace(file.name, target)


def put_aside(target: Path) -> Path:
    """Gives a file a hidden name that tells what it was, under which a :func:`sweep` takes it for a left-over.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = _new_path(target)
    os.replace(target, aside)
    return aside


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """As :func:`temporary_file`, a folder. The caller renames it.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        path = _new_path(target)
        path.mkdir()
        handle = None
        try:
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # a sweep was faster
            except OSError:  # Windows opens no folders
                handle = None
            if handle is None or _hold(handle, path):
                yield path
                return
        finally:
            if handle is not None:
                os.close(handle)
            shutil.rmtree(path, ignore_errors=True)


def sweep(targets: Iterable[Path]) -> None:
    """Deletes what processes that were killed have left of some targets, but not what living ones are writing.

    Each folder is read once. Where nothing can be locked, only what has not changed for an hour is deleted.

    Args:
        targets: The files or folders that were to be written. What one that is a link leads to is meant.
    """
    wanted: dict[Path, set[str]] = {}
    for target in targets:
        real = Path(os.path.realpath(target)) if os.path.islink(target) else target
        wanted.setdefault(real.parent, set()).add(_told(real.name))
    for folder, told in wanted.items():
        _sweep(folder, told.__contains__)


def sweep_folder(folder: Path) -> None:
    """As :func:`sweep`, of whatever was to be written into a folder: for many files whose names are not known yet."""
    _sweep(folder, lambda _: True)


def _sweep(folder: Path, is_meant: Callable[[str], bool]) -> None:
    with suppress(OSError, ValueError):  # the folder is not there, or cannot be: ValueError is of a NUL in its name
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".part")]
        for name in names:
            if (found := _NAME.fullmatch(name)) and is_meant(found["target"]):
                _remove_if_abandoned(folder / name)


def _new_path(target: Path) -> Path:
    return target.parent / f".{_told(target.name)}.{uuid.uuid4().hex}.part"


def _told(name: str) -> str:
    """What a temporary name says of its target."""
    raw = os.fsencode(name)
    return name if len(raw) <= _LONGEST_REPEATED else hashlib.sha256(raw).hexdigest()


def _hold(handle: int, path: Path) -> bool:
    """Locks what was just made; False if a sweep was faster, between its making and this."""
    if _lock(handle) is False:
        return False
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError):  # gone in the meantime, or, on Windows, being written
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return
        if os.name == "nt" and stat.S_ISREG(mode):
            path.unlink()
            return
        handle = os.open(path, os.O_RDWR if stat.S_ISREG(mode) else os.O_RDONLY)
        try:
            locked = _lock(handle)
            if locked is None:
                locked = time.time() - os.fstat(handle).st_mtime > _ABANDONED_AFTER_S
            if locked and stat.S_ISREG(mode):
                path.unlink()
            elif locked:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)


def _lock(handle: int) -> bool | None:
    """Locks an open file for as long as it is open; False if it is locked already, None if nothing can be here."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True
