"""From SOURCES on the command line to audio files, for commands that take them one by one.

``extract`` has a lister of its own, made for millions of files (:mod:`hear_edgel3.jobs.manifest`). Lists are read by
that one here too, so that they mean the same.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from hear_edgel3.audio.find import AUDIO_SUFFIXES, audio_files
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error

_LISTS = (".csv", ".tsv", ".txt", ".lst", ".list", ".parquet")
_SHARDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def audio_sources(
    sources: Sequence[str], recursive: bool = False
) -> tuple[list[Path], list[tuple[str, HearEdgeL3Error]]]:
    """The audio files that sources mean.

    Args:
        sources: audio files, folders of them, globs, lists of these (a table with a column ``file`` or ``path``, a text
            with a path per line, or ``-`` for such a text on stdin). Tar shards are for ``extract``.
        recursive: also look into the folders inside folders.

    Returns:
        The files, each once, and the sources that gave none, each with its error.
    """
    found: dict[str, Path] = {}
    failures: list[tuple[str, HearEdgeL3Error]] = []
    for source in sources:
        files, failed = _of_one(source, recursive)
        failures += failed
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values()), failures


def is_missing(source: str) -> bool:
    """Whether a source is a path, and nothing is there."""
    return source != "-" and not glob.has_magic(source) and not os.path.lexists(source)


def _of_one(source: str, recursive: bool) -> tuple[list[Path], Sequence[tuple[str, HearEdgeL3Error]]]:
    if source == "-" or (source.lower().endswith(_LISTS) and os.path.isfile(source)):
        return _listed(source)
    if glob.has_magic(source) and not os.path.lexists(source):
        matches = sorted(glob.iglob(source, recursive=True))
        # Of what a glob finds, files that are no audio are not meant.
        meant = [path for path in matches if os.path.isdir(path) or _is_audio(path)]
        if not meant:
            return [], [(source, AudioFileError(f"nothing matches {source}"))]
        return audio_files(meant, recursive)
    if source.lower().endswith(_SHARDS) and os.path.isfile(source):
        return [], [(source, AudioFileError(f"{source} is a tar file: `hear-edgel3 extract` reads those"))]
    return audio_files([source], recursive)


def _is_audio(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in AUDIO_SUFFIXES


def _listed(source: str) -> tuple[list[Path], list[tuple[str, HearEdgeL3Error]]]:
    from hear_edgel3.disk.paths import path_of_text
    from hear_edgel3.jobs.manifest import list_items

    listing = list_items([source])
    files = [path_of_text(item.file) for item in listing.items if item.shard is None]
    shards = dict.fromkeys(item.shard for item in listing.items if item.shard is not None)
    failures = listing.failures + [
        (shard, AudioFileError(f"{shard} is a tar file: `hear-edgel3 extract` reads those")) for shard in shards
    ]
    return files, failures
