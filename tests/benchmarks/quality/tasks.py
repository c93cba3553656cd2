"""The three tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hear_edgel3.errors import MissingExtra
from tests.benchmarks.quality import drums, instruments, languages
from tests.benchmarks.quality.clips import Clips, Recording, one_fold_per_group, read_clips, stratified

_FOLDS = 5


@dataclass(frozen=True)
class Task:
    """Where the clips of a task come from.

    Attributes:
        name: of the task.
        package: the Debian package that holds the recordings.
        recordings: lists them, given the unpacked package.
        folds: given labels and groups, a fold for each clip.
    """

    name: str
    package: str
    recordings: Callable[[Path], list[Recording]]
    folds: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def clips(self, cache: Path | None = None) -> Clips:
        """Reads the clips.

        Args:
            cache: folder with Debian packages, None for the usual one; what it lacks is downloaded.

        Raises:
            MissingExtra: python-debian is not installed.
            RecipeError: the package cannot be had.
        """
        try:
            from tests.recipes.debian import DEFAULT_CACHE, unpacked
        except ModuleNotFoundError as error:
            raise MissingExtra("unpacking Debian packages", "python-debian", "quality") from error
        return read_clips(self.recordings(unpacked(self.package, cache or DEFAULT_CACHE)), self.folds)


TASKS = {
    task.name: task
    for task in (
        Task("drums", "hydrogen-drumkits", drums.recordings, one_fold_per_group),
        Task("instruments", "musescore-general-soundfont-small", instruments.recordings, stratified(_FOLDS)),
        Task("languages", "klettres-data", languages.recordings, stratified(_FOLDS)),
    )
}
