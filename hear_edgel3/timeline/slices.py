"""Which stretch of time each window speaks for."""

from __future__ import annotations

import numpy as np


def slices_of(first: int, count: int, window: float, hop: float) -> tuple[np.ndarray, np.ndarray]:
    """The stretches of time that windows speak for: of each its middle, as long as a hop.

    Windows overlap, and what is heard in one may be anywhere in it; most of the windows that hear a short sound are
    around it evenly, so that their middles cover it. The first one speaks for its beginning as well; for what is behind
    the middle of the last one, see :meth:`hear_edgel3.timeline.EventDecoder.finish`.

    Args:
        first: The number of the first window, from 0.
        count: How many windows.
        window: The length of a window in seconds.
        hop: The distance between windows in seconds, at most ``window``.

    Returns:
        (count,) float64 starts and ends in seconds. The end of each is the start of the next, to the last bit.
    """
    edges = np.arange(first, first + count + 1, dtype=np.float64) * hop + (window - hop) / 2
    starts = edges[:-1]
    if first == 0 and count:
        starts = np.concatenate([[0.0], starts[1:]])
    return starts, edges[1:]
