"""Folders, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from hear_edgel3._interrupts import uninterrupted
from hear_edgel3.disk.durable import sync_folder
from hear_edgel3.disk.ordinary import what_else
from hear_edgel3.disk.paths import real_path, shortened
from hear_edgel3.disk.stderr import say
from hear_edgel3.disk.temporary import become, closing, put_aside, sweep, temporary_file
from hear_edgel3.errors import HearEdgeL3Error, OutputError

# Bytes in the name of a file, on the usual file systems.
_LONGEST = 255
# For a program that reads from a pipe; and from when on that is said.
_LONGEST_WAIT_S, _QUIET_WAIT_S = 30.0, 1.0
# Characters of a path in an error: all of it, unless it is one that no system takes.
_SHOWN = 500


@contextmanager
def atomic_write(path: str | os.PathLike[str], swept: bool = False) -> Iterator[BinaryIO]:
    """Opens a temporary file beside ``path`` and renames it to ``path`` when the block ends well.

    If the block raises, nothing is left behind and an existing file stays as it was. What a process that was killed
    has left of the same file is deleted. A link stays too: the file that it names is written. What is no ordinary file
    (a pipe, a device) is not replaced by one, but gets the bytes when the block has ended well; a pipe when a program
    reads it, for which half a minute is waited.

    Args:
        path: where the file shall appear; its folder must exist.
        swept: whether the caller has looked for what was left already, by
            :func:`~hear_edgel3.disk.temporary.sweep`: for many files in one folder once is enough.

    Raises:
        OutputError: the folder does not exist or cannot be written, the disk is full, or nobody reads the pipe.
    """
    target = Path(path)
    with _told(target):
        real = _place_of(target)
        if real is None:
            with TemporaryFile() as whole:
                yield whole
                whole.seek(0)
                with _open_special(target) as special:
                    shutil.copyfileobj(whole, special)
            return
        if not swept:
            sweep([real])
        with temporary_file(real) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            become(file, real)
        sync_folder(real.parent)


def copy_together(files: Sequence[tuple[Path, Path]], without: Sequence[Path] = ()) -> None:
    """Copies files that belong together: all of them take their places, or none does, and what was there stays.

    Args:
        files: Of each the source and the place, as of :func:`atomic_write`; the last one as of
            :func:`written_together`.
        without: What is to be gone in the same moment, where it is a file.

    Raises:
        OutputError: as of :func:`written_together`.
    """
    with written_together(without) as write:
        for source, place in files:
            with write(place) as file, source.open("rb") as data:
                shutil.copyfileobj(data, file)


def write_together(folder: Path, files: Mapping[str, bytes], without: Sequence[Path] = ()) -> None:
    """Writes files that belong together into a folder: all of them take their places, or none does.

    Args:
        folder: The folder, which is there.
        files: What each is to hold, by its name; the last one as of :func:`written_together`.
        without: What is to be gone in the same moment, where it is a file.

    Raises:
        OutputError: as of :func:`written_together`.
    """
    with written_together(without) as write:
        for name, content in files.items():
            with write(folder / name) as file:
                file.write(content)


@contextmanager
def written_together(
    without: Sequence[Path] = (),
) -> Iterator[Callable[[Path], AbstractContextManager[BinaryIO]]]:
    """Writes files that belong together: all of them take their places, or none does, and what was there stays.

    All are written beside their places first. Then what is there is put aside and they are renamed, in a moment in
    which signals wait. A process that is killed in just that moment leaves some of the new ones and none of the old.

    What it gives is called for each file with its place, as :func:`atomic_write` is. The last one is that by which
    others tell that all are there: its place is empty first and filled last.

    Args:
        without: What is to be gone in the same moment, where it is a file.

    Raises:
        OutputError: as of :func:`atomic_write`, or what was there cannot be put aside.
    """
    with ExitStack() as written:
        staged: list[tuple[BinaryIO, Path]] = []
        special: list[tuple[BinaryIO, Path]] = []

        @contextmanager
        def write(place: Path) -> Iterator[BinaryIO]:
            with _told(place):
                real = _place_of(place)
                if real is None:
                    file = written.enter_context(closing(TemporaryFile()))  # noqa: SIM115
                    yield file
                    special.append((file, place))
                    return
                sweep([real])
                file = written.enter_context(temporary_file(real))
                yield file
                file.flush()
                os.fsync(file.fileno())
                staged.append((file, real))

        yield write
        _exchange(staged, [one for one in without if one.is_file()])
        for folder in dict.fromkeys(place.parent for _, place in staged):
            sync_folder(folder)
        for file, place in special:
            with atomic_write(place) as output:
                file.seek(0)
                shutil.copyfileobj(file, output)


def _exchange(staged: Sequence[tuple[BinaryIO, Path]], without: Sequence[Path]) -> None:
    """Gives temporary files the names of their places, and takes away others, or undoes all of that."""
    there = [*(place for _, place in reversed(staged)), *without]
    with uninterrupted(), ExitStack() as undone:
        aside: list[Path] = []
        # One file that takes the place of another needs none of this, and is there all the time.
        for place in there if len(there) > 1 else []:
            with _told(place):
                if place.exists():
                    aside.append(put_aside(place))
                    undone.callback(os.replace, aside[-1], place)
        for file, place in staged:
            with _told(place):
                become(file, place)
                undone.callback(os.unlink, place)
        undone.pop_all()
        for old in aside:
            with suppress(OSError):
                old.unlink()


def _place_of(target: Path) -> Path | None:
    """Where a file is to be, after all links; None for what is no ordinary file.

    Raises:
        OSError: it cannot be there.
    """
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder")
    if is_special(target):
        return None
    real = Path(real_path(target))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return real


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Names what cannot be written."""
    try:
        yield
    except OSError as error:
        if isinstance(error, HearEdgeL3Error):
            raise
        folder = Path(real_path(target)).parent
        if not os.path.isdir(folder) and error.errno != errno.ENAMETOOLONG:
            raise OutputError(f"cannot write {target}: the folder {_named(target, folder)} does not exist") from error
        raise OutputError(f"cannot write {shortened(str(target), _SHOWN)}: {error.strerror or error}") from error


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether something is there, or behind a link that is there, that is neither a file nor a folder."""
    try:
        return what_else(path) is not None
    except OSError:
        return False


def _open_special(path: Path) -> BinaryIO:
    """Opens for writing what is no ordinary file; a pipe only when its other end is open, which it might never be."""
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return path.open("wb")
    begun, said = time.monotonic(), False
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            waited = time.monotonic() - begun
            if waited > _LONGEST_WAIT_S:
                raise OutputError(
                    f"cannot write {path}: no program has read from this pipe within {_LONGEST_WAIT_S:g} s; start the "
                    f"one that reads it first"
                ) from error
            if waited > _QUIET_WAIT_S and not said:
                say(f"hear_edgel3: waiting for a program that reads from the pipe {path}")
                said = True
            time.sleep(0.05)
        else:
            os.set_blocking(handle, True)
            return os.fdopen(handle, "wb")


def _named(target: Path, folder: Path) -> Path:
    """The folder as it was given, unless a link leads to another one."""
    return folder if target.is_symlink() else target.parent


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


def check_folder_name(folder: str | os.PathLike[str]) -> None:
    """Finds out whether a folder can be called so.

    Raises:
        OutputError: the name is too long, for example, or there is a file.
    """
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise OutputError(f"cannot make the output folder {folder}: there is a file of that name")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot make the output folder {shortened(str(folder), _SHOWN)}: {reason}") from error


def check_writable(path: Path, read: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Finds out before the work that a result could not be written, or would take the place of what it is made of.

    Args:
        path: The file to write.
        read: What is read for it, as far as one of them may be named in its place by mistake.

    Raises:
        OutputError: the folder does not exist or is not writable, a folder is in the file's place, or it is read.
    """
    if not is_special(path) and real_path(path) in map(real_path, read):
        raise OutputError(f"cannot write {path}: it is what is read; name another file")
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder")
        if is_special(path):
            if not os.access(path, os.W_OK):
                raise OutputError(f"cannot write {path}: no permission to write into it")
            return
        real = Path(real_path(path))
        if len(os.fsencode(real.name)) > _LONGEST:
            raise OutputError(f"cannot write {shortened(str(path), _SHOWN)}: the name is too long")
        folder = real.parent
        if not folder.is_dir():
            raise OutputError(f"cannot write {path}: the folder {_named(path, folder)} does not exist")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        reason = error.strerror or error
        raise OutputError(f"cannot write {shortened(str(path), _SHOWN)}: {reason}") from error  # a name too long
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write into {_named(path, folder)}")
