"""Stretches of files that are learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.sources.item import Item


@dataclass(frozen=True)
class Clip:
    """A stretch of a file.

    Attributes:
        item: The file, which may be in a tar file.
        start: The seconds of the file that lie before it.
        seconds: Its length.
        source: The name of the file's source.
    """

    item: Item
    start: float
    seconds: float
    source: str = ""

    @property
    def path(self) -> Path:
        """The path of the file; of one in a tar file, ``<tar file>/<member>``."""
        return path_of_text(self.item.file)

    @property
    def size(self) -> int:
        """The bytes of the file, as it is now; of one in a tar file, as it was when that was listed."""
        return self.item.size if self.item.shard is not None else self.path.stat().st_size
