"""Found events against known ones: F of segments and of events, over all classes together.

The measures are those of Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection" (Applied
Sciences 6(6), 2016), as their package sed_eval 0.2.1 computes them. That one is no dependency: dcase_util, which it
needs, installs a package that is called ``tests``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching


class Timed(Protocol):
    """What is scored."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def label(self) -> str: ...


class Score(NamedTuple):
    """F, precision and recall, from 0 to 1; 0 where there is nothing to divide by."""

    f: float
    precision: float
    recall: float

    @staticmethod
    def of(hits: int, found: int, known: int) -> Score:
        """Of counts."""
        f = 2 * hits / (found + known) if found + known else 0.0
        return Score(f, hits / found if found else 0.0, hits / known if known else 0.0)


def segment_score(known: Sequence[Timed], found: Sequence[Timed], length: float = 1.0) -> Score:
    """Of segments of a length in seconds: a class is in a segment if an event of it touches that."""
    of_known, of_found = (
        {
            (event.label, number)
            for event in events
            for number in range(math.floor(event.start / length), math.ceil(event.end / length))
        }
        for events in (known, found)
    )
    return Score.of(len(of_known & of_found), len(of_found), len(of_known))


def event_score(known: Sequence[Timed], found: Sequence[Timed], collar: float = 1.0, share: float = 0.5) -> Score:
    """Of events: as many pairs as there can be, each of one known and one found event.

    Args:
        known: The events that there are.
        found: Those that were found.
        collar: How far the start of an event, and its end, may be off, in seconds.
        share: How far the end may be off, as a share of the known event's length, if that is more.
    """
    fits = np.array([[_fit(one, other, collar, share) for other in found] for one in known], bool)
    if not fits.size:
        return Score.of(0, len(found), len(known))
    pairs = maximum_bipartite_matching(csr_matrix(fits), perm_type="column")
    return Score.of(int((pairs >= 0).sum()), len(found), len(known))


def _fit(known: Timed, found: Timed, collar: float, share: float) -> bool:
    late = max(collar, share * (known.end - known.start))
    starts, ends = abs(known.start - found.start) <= collar, abs(known.end - found.end) <= late
    return known.label == found.label and starts and ends
