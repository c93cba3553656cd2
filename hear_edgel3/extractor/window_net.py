"""What embeds windows, as the rooms around an extractor use it, and clips that run through it block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch

from hear_edgel3.framing.path import WindowPath
from hear_edgel3.framing.rules import WindowRule

_ROWS_PER_TABLE = 4096


class WindowNet(Protocol):
    """The side of an extractor that streams, taggers, jobs and search use.

    An embedding comes about in two steps, which may be taken by different threads: a window path cuts the windows of a
    clip, and the net embeds them, group by group.
    """

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of the audio that callers feed by default."""

    @property
    def net_sample_rate(self) -> int:
        """The rate in Hz of the windows."""

    def window_path(
        self,
        rule: WindowRule,
        sample_rate: int,
        group: Callable[[int], int] | None = None,
        device: torch.device | None = None,
    ) -> WindowPath:
        """The way of one clip from its samples to the windows to embed."""

    def windows_at_once(self, window: int) -> int:
        """How many windows of ``window`` samples to embed at once; more would only cost memory."""

    def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, D) float32 embeddings of (n, window) samples at the net's rate, on the device of these."""


def embed_blocks(nets: Sequence[WindowNet], blocks: Iterable[torch.Tensor], path: WindowPath) -> list[np.ndarray]:
    """Embeds one clip that arrives in blocks, in memory that does not grow with it but for the result.

    Args:
        nets: What embeds the windows; all of them get the same ones.
        blocks: (n,) tensors of checked mono samples each, which nobody writes to before all is done.
        path: The way from the blocks to the windows; nothing has been pushed yet.

    Returns:
        (T, D) float32 of every net.

    Raises:
        InvalidAudio: The clip is too short for the net.
    """
    rows = [_Rows() for _ in nets]
    at_once: list[int] | None = None
    for group in path.groups(blocks):
        if at_once is None:  # asked once: it looks at the whole net
            at_once = [net.windows_at_once(group.shape[1]) for net in nets]
        for net, n, found in zip(nets, at_once, rows, strict=True):
            for windows in torch.split(group, n):
                found.add(net.embed_windows(windows).cpu().numpy())
    return [found.table() for found in rows]


_Values = TypeVar("_Values", torch.Tensor, np.ndarray)


def mean_of_sum(total: _Values, last: _Values, count: int, last_weight: float) -> _Values:
    """A mean over windows of which all count alike but the last.

    Args:
        total: (..., D) float64 sum of the embeddings of all windows.
        last: (..., D) of the last one.
        count: How many there are.
        last_weight: How much the last one counts, of which the others count 1.

    Returns:
        (..., D) float64.
    """
    if last_weight == 1:
        return total / count
    return (total - (1 - last_weight) * last) / (count - 1 + last_weight)


def mean_of_windows(embeddings: torch.Tensor, last_weight: float = 1.0) -> torch.Tensor:
    """The embeddings of scenes: means over windows, summed in float64.

    Summed in float32, the mean over the 72,000 windows of an hour would be off by 1e-5 of its peak.

    Args:
        embeddings: (n, T, D) float32 of the windows of each clip.
        last_weight: How much the last window counts, of which the others count 1.

    Returns:
        (n, D) float32 on their device.
    """
    if embeddings.shape[1] == 1:
        return embeddings.sum(dim=1)  # of one: a copy, but that no zero is negative
    if embeddings.device.type == "mps":  # which has no float64
        return mean_of_windows(embeddings.cpu(), last_weight).to(embeddings.device)
    total = embeddings.sum(dim=1, dtype=torch.float64)
    return mean_of_sum(total, embeddings[:, -1].double(), embeddings.shape[1], last_weight).float()


def mean_embedding(embeddings: np.ndarray, last_weight: float = 1.0) -> np.ndarray:
    """The embedding of one scene, by the same rule as :func:`mean_of_windows`.

    Args:
        embeddings: (T, D) float32 of its windows.
        last_weight: As for that function.

    Returns:
        (D,) float32.
    """
    return mean_of_windows(torch.from_numpy(embeddings)[None], last_weight)[0].numpy()


def scene_of_blocks(net: WindowNet, blocks: Iterable[torch.Tensor], path: WindowPath) -> np.ndarray:
    """Embeds one clip that arrives in blocks as a scene; arguments as for :func:`embed_blocks`.

    Returns:
        (D,) float32, the mean over its windows.

    Raises:
        InvalidAudio: The clip is too short for the net.
    """
    [rows] = embed_blocks([net], blocks, path)
    return mean_embedding(rows, path.last_weight)


class _Rows:
    """Embeddings, as they come.

    Rows are copied into a few large tables. Many small arrays (of a window or a group each), kept between the large
    temporaries of the net, would stop the allocator from reusing its memory; so a list of them and np.concatenate,
    which also holds everything twice in the end, take far more.
    """

    def __init__(self) -> None:
        self._tables: list[np.ndarray] = []
        self._count = 0

    def add(self, embeddings: np.ndarray) -> None:
        """Takes (n, D) more rows."""
        for embedding in embeddings:
            if self._count % _ROWS_PER_TABLE == 0:
                self._tables.append(np.empty((_ROWS_PER_TABLE, len(embedding)), np.float32))
            self._tables[-1][self._count % _ROWS_PER_TABLE] = embedding
            self._count += 1

    def table(self) -> np.ndarray:
        """(T, D) float32, all rows in the order in which they came. They are kept no longer."""
        result = np.empty((self._count, self._tables[0].shape[1]), np.float32)
        for start in range(0, self._count, _ROWS_PER_TABLE):
            table = self._tables.pop(0)  # so that no second copy of everything is held
            result[start : start + _ROWS_PER_TABLE] = table[: self._count - start]
        return result
