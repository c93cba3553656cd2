"""From what a user names on a command line - files and folders - to the audio files meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path

from hear_edgel3.errors import AudioFileError

# Endings that libsndfile reads; used to pick files out of a folder (a file named by the user is always tried).
_ENDINGS = (
    "aif aifc aiff au avr caf flac htk ircam mp3 nist oga ogg opus paf pvf rf64 sf snd sph svx voc w64 wav wave wve xi"
)
AUDIO_SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())


def audio_files(inputs: Sequence[str], recursive: bool = False) -> tuple[list[Path], list[tuple[str, AudioFileError]]]:
    """The files meant by a list of files and folders.

    Args:
        inputs: files are taken as they are; folders give the files in them with an audio ending, sorted by name.
        recursive: also look into the folders inside folders.

    Returns:
        The files, each once, and the inputs that gave none, each with its error.
    """
    files: dict[str, Path] = {}
    failures: list[tuple[str, AudioFileError]] = []
    for name in inputs:
        path = Path(name)
        try:
            if not name:
                raise AudioFileError("an input is empty, not the name of a file or folder")
            if path.is_dir():
                found = _in_folder(path, recursive)
                if not found:
                    deeper = "" if recursive else " (--recursive looks into the folders inside)"
                    raise AudioFileError(f"the folder {path} has no audio files{deeper}")
            elif path.exists():
                found = [path]
            else:
                raise AudioFileError(f"{path} does not exist")
        except AudioFileError as error:
            failures.append((name, error))
            continue
        except OSError as error:
            failures.append((name, AudioFileError(f"{path} cannot be opened: {error.strerror or error}")))
            continue
        for file in found:
            files.setdefault(os.path.realpath(file), file)
    return list(files.values()), failures


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    candidates = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(p for p in candidates if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())


def files_below(
    folder: str | os.PathLike[str], suffixes: Set[str], unreadable: Callable[[OSError], object]
) -> Iterator[str]:
    """The files with certain endings in a folder and the folders inside it, in an order that depends on names only.

    Made for millions of files: it asks the system once per folder, not once per file.

    Args:
        folder: where to look; links to folders inside it are not followed.
        suffixes: endings, in lower case.
        unreadable: called for each folder that cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        unreadable(error)
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path, suffixes, unreadable)
        elif os.path.splitext(entry.name)[1].lower() in suffixes and entry.is_file():
            yield entry.path
