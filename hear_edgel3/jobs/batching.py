"""Windows of many files through the net together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from hear_edgel3.errors import INPUT_ERRORS
from hear_edgel3.extractor.extractor import Extractor

# A group of very short windows gains nothing from being larger.
_MOST_WINDOWS = 256
# Samples that may wait for others of their length, in units of what runs at once.
_WAITING = 8

# What the net found: a file's key, and (n, D) float32 embeddings of some of its windows, or the error that they met.
Found = tuple[int, np.ndarray | Exception]


class Batcher:
    """Puts windows of equal length into groups, whatever files they come from, and runs these through the net.

    What is found of windows of one length comes out in the order in which these were added.

    Which windows share a group follows from what was added, in which order, and from nothing else; so the same files
    give the same bits wherever they are computed.

    Args:
        model: The extractor with the net.
    """

    def __init__(self, model: Extractor) -> None:
        self._model = model
        self._at_once = model.windows_at_once(1)
        self._waiting: dict[int, list[tuple[int, torch.Tensor]]] = {}  # by length, that of the oldest windows first
        self._counts: Counter[int] = Counter()  # of the windows that wait, by length
        self._samples = 0

    def add(self, key: int, windows: torch.Tensor) -> Iterator[Found]:
        """Takes (n, window) more windows of a file; yields what is found of groups that are full now."""
        length = windows.shape[1]
        bucket = self._waiting.setdefault(length, [])
        bucket.append((key, windows))
        self._counts[length] += windows.shape[0]
        self._samples += windows.numel()
        group = self._group(length)
        while self._counts[length] >= group:
            yield from self._run(length, group)
        while self._samples > _WAITING * self._at_once:
            oldest = next(iter(self._waiting))
            yield from self._run(oldest, self._group(oldest))

    def flush(self) -> Iterator[Found]:
        """Runs what is waiting."""
        while self._waiting:
            oldest = next(iter(self._waiting))
            yield from self._run(oldest, self._group(oldest))

    def _group(self, length: int) -> int:
        return min(max(1, self._at_once // max(1, length)), _MOST_WINDOWS)

    def _run(self, length: int, most: int) -> Iterator[Found]:
        """Runs the first windows of a length."""
        bucket = self._waiting.pop(length)
        taken: list[tuple[int, torch.Tensor]] = []
        n = 0
        while bucket and n < most:
            key, windows = bucket.pop(0)
            if n + windows.shape[0] > most:
                bucket.insert(0, (key, windows[most - n :]))
                windows = windows[: most - n]
            taken.append((key, windows))
            n += windows.shape[0]
        self._counts[length] -= n
        self._samples -= n * length
        if bucket:
            self._waiting[length] = bucket  # behind the others
        else:
            del self._counts[length]
        try:
            embeddings = self._embed(taken[0][1] if len(taken) == 1 else torch.cat([windows for _, windows in taken]))
        except INPUT_ERRORS as error:
            yield from self._one_by_one(taken, error)
            return
        row = 0
        for key, windows in taken:
            yield key, embeddings[row : row + windows.shape[0]]
            row += windows.shape[0]

    def _one_by_one(self, taken: list[tuple[int, torch.Tensor]], error: Exception) -> Iterator[Found]:
        """Finds the files that the net cannot do, of a group that it could not."""
        for key, windows in taken:
            found: np.ndarray | Exception = error
            if len(taken) > 1:
                try:
                    found = self._embed(windows)
                except INPUT_ERRORS as its_own:
                    found = its_own
            yield key, found

    def _embed(self, windows: torch.Tensor) -> np.ndarray:
        embeddings: np.ndarray = self._model.embed_windows(windows).cpu().numpy()
        return embeddings
