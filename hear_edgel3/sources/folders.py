"""Files in folders."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterator

from hear_edgel3.audio.find import reads_media
from hear_edgel3.audio.media import MEDIA_SUFFIXES
from hear_edgel3.errors import how_to_install

_NOT_ORDINARY = "pipes, sockets or devices"

_KINDS_SHOWN = 8
# `embed` puts its results beside the audio, where they are not news.
_WRITTEN_BESIDE = ".npz"


class LeftOut:
    """What is left out of folders: how many files of which ending, each counted once."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._folders: set[tuple[int, int]] = set()
        self._links: dict[str, None] = {}
        self._matches: dict[str, None] = {}

    @staticmethod
    def _extra(kinds: Counter[str]) -> str:
        if reads_media() or not any(kind in MEDIA_SUFFIXES for kind in kinds):
            return ""
        return f", or read with the extra media ({how_to_install('media')})"

    def add_folder(self, folder: tuple[int, int], kinds: Counter[str]) -> None:
        """Counts the files of a folder, unless that was gone through before.

        Args:
            folder: Its device and inode.
            kinds: How many of each ending.
        """
        if folder not in self._folders:
            self._folders.add(folder)
            self._kinds += kinds

    def add_link(self, path: str) -> None:
        """Counts a link in a folder."""
        self._links[path] = None

    def add_match(self, path: str) -> None:
        """Counts what a glob matches, unless its folder is gone through as well."""
        self._matches[path] = None

    def note(self) -> str | None:
        """One line for the user, or None if nothing was left out."""
        kinds = self._kinds + Counter(kind_of(path) for path in self._links)
        gone_through: dict[str, bool] = {}
        for path in self._matches:
            folder = os.path.dirname(path)
            if folder not in gone_through:
                gone_through[folder] = _identity(folder or os.curdir) in self._folders
            if not gone_through[folder]:
                kinds[kind_of(path)] += 1
        if not kinds:
            return None
        shown = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))[:_KINDS_SHOWN]
        words = [f"{n} {kind}" for kind, n in shown]
        if others := sum(kinds.values()) - sum(n for _, n in shown):
            words.append(f"{others} others")
        return (
            f"left out of folders, since they are of no kind that is read there: {', '.join(words)}. Sound among them "
            f"can be converted first (`ffmpeg -i FILE FILE.flac`){self._extra(kinds)}; lists, and files of any "
            f"ending, can be named themselves"
        )


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def files_below(
    folder: str,
    is_wanted: Callable[[str], bool],
    left_out: LeftOut,
    unreadable: Callable[[OSError], object],
) -> Iterator[str]:
    """The wanted files in a folder and the folders inside it, in an order that depends on names only.

    Names that begin with a dot are no data, as for globs: trash folders, and the shadows that a Mac leaves. Links are
    followed after all that is really there, to each folder once. A link to nothing is given too, so that it is heard
    of. Made for millions of files: it asks the system once per folder, and not once per file.

    Args:
        folder: Where to look.
        is_wanted: Whether a file's name is of a kind that is wanted.
        left_out: Counts the files of other kinds.
        unreadable: Is called for each folder that cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    links: deque[str] = deque()
    yield from _really_below(folder, is_wanted, left_out, unreadable, seen, links)
    while links:
        path = links.popleft()
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = stat.S_IFREG  # reading it will say why it cannot be read
        if stat.S_ISDIR(mode):
            yield from _really_below(path, is_wanted, left_out, unreadable, seen, links)
        elif not stat.S_ISREG(mode) or not is_wanted(path):
            left_out.add_link(path)
        else:
            yield path


def _really_below(
    folder: str,
    is_wanted: Callable[[str], bool],
    left_out: LeftOut,
    unreadable: Callable[[OSError], object],
    seen: set[tuple[int, int]],
    links: deque[str],
) -> Iterator[str]:
    """What is below a folder without following links, which are put aside."""
    # What is still to be looked at, the next one last: a folder's name alone, or an entry of a folder.
    waiting: list[os.DirEntry[str] | str] = [folder]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str) or entry.is_dir(follow_symlinks=False):
            path = entry if isinstance(entry, str) else entry.path
            try:
                status = os.stat(path)
                identity = (status.st_dev, status.st_ino)
                if identity in seen:
                    continue
                seen.add(identity)
                kinds: Counter[str] = Counter()
                with os.scandir(path) as entries:
                    found = [e for e in entries if not e.name.startswith(".") and _is_looked_at(e, is_wanted, kinds)]
            except OSError as error:
                unreadable(error)
                continue
            left_out.add_folder(identity, kinds)
            found.sort(key=lambda e: e.name, reverse=True)
            waiting += found
        elif entry.is_symlink():
            links.append(entry.path)
        else:
            yield entry.path


def _is_looked_at(entry: os.DirEntry[str], is_wanted: Callable[[str], bool], kinds: Counter[str]) -> bool:
    """Whether an entry is a folder, a link or a file that is wanted; anything else is counted."""
    if entry.is_dir(follow_symlinks=False) or entry.is_symlink():
        return True
    if entry.is_file(follow_symlinks=False):
        if is_wanted(entry.path):
            return True
        if not entry.name.endswith(_WRITTEN_BESIDE):
            kinds[_ending_of(entry.name)] += 1
    else:
        kinds[_NOT_ORDINARY] += 1
    return False


def kind_of(path: str) -> str:
    """What to count a file as: its ending, or that it is no ordinary file."""
    try:
        ordinary = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        ordinary = True
    return _ending_of(path) if ordinary else _NOT_ORDINARY


def _ending_of(path: str) -> str:
    """A file's ending, in lower case and with its dot; ``without ending`` if it has none."""
    return os.path.splitext(path)[1].lower().encode("utf-8", "backslashreplace").decode() or "without ending"
