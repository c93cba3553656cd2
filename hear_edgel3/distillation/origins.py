"""Which source a sound is of: sounds of one source were recorded, or gathered, by the same hands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hear_edgel3.disk.paths import text_of


def sources_of(paths: Sequence[Path], inputs: Sequence[str]) -> dict[Path, str]:
    """The name of each file's source.

    The source of a file below an input is the folder directly below that input which holds it, or the input itself
    where the file lies directly in it. Of a file that an input names in another way (as itself, by a pattern or in a
    list), it is the file's folder.

    Args:
        paths: The files.
        inputs: What was given: folders, files, patterns and lists.

    Returns:
        A source is called by the last part of its folder's path, and by as many of the parts before it as tell it from
        the other sources.
    """
    folders = [Path(os.path.abspath(given)) for given in inputs if os.path.isdir(given)]
    found = {path: _folder_of(Path(os.path.abspath(path)), folders) for path in paths}
    names = _names(sorted(set(found.values())))
    return {path: names[folder] for path, folder in found.items()}


def _folder_of(path: Path, inputs: Sequence[Path]) -> Path:
    for folder in inputs:
        if path.is_relative_to(folder):
            below = path.relative_to(folder).parts
            return folder / below[0] if len(below) > 1 else folder
    return path.parent


def _names(folders: Sequence[Path]) -> Mapping[Path, str]:
    """A name for each of different folders, all of them different."""
    names: dict[Path, str] = {}
    open_ones, n_parts = list(folders), 1
    while open_ones:
        short: dict[str, list[Path]] = {}
        for folder in open_ones:
            # A folder at the root is called by what there is of its path.
            short.setdefault(text_of(os.path.join(*folder.parts[-n_parts:])), []).append(folder)
        for name, same in short.items():
            if len(same) == 1 or n_parts > len(same[0].parts):
                names[same[0]] = name
        open_ones = [folder for folder in open_ones if folder not in names]
        n_parts += 1
    return names
