"""What sounds are known by: the digest of each, and that of the whole file that it may be a clip of."""

from __future__ import annotations

from collections.abc import Sequence

from hear_edgel3.detectors.contents import digests_of
from hear_edgel3.sources.item import Item


def digests_and_recordings(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    """The digests of sounds, and those of the files that they are clips of; of a whole file both are the same.

    Args:
        items: What can be read.

    Raises:
        AudioFileError: A file cannot be read any more.
    """
    files = dict.fromkeys(item._replace(start=None, end=None, kept=()) for item in items if item.is_clip)
    found = digests_of([*items, *files])  # at once, for then each file is read once
    digests = found[: len(items)]
    of_file = dict(zip(files, found[len(items) :], strict=True))
    recordings = [
        of_file[item._replace(start=None, end=None, kept=())] if item.is_clip else digest
        for item, digest in zip(items, digests, strict=True)
    ]
    return digests, recordings
