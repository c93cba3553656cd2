"""Whether the length of sounds gives their classes away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from hear_edgel3.errors import AudioFileError, InvalidAudio
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener

# Of fewer sounds, lengths that have nothing to do with classes are apart by chance.
_FEWEST = 6
# Of all pairs of a sound of the class and another one, the share in which the first is the longer (or shorter) one.
_APART = 0.95
# Medians that differ by less are hardly heard by a net.
_RATIO = 1.2
# Sounds that are opened to learn how long they are: of many, some of each class tell as much.
_OPENED = 2000
_NAMED = 5


def lengths_of(items: Sequence[Item], most: int = _OPENED) -> np.ndarray:
    """The lengths (N,) of sounds in seconds, as tables and headers say; NaN where one is not opened.

    Args:
        items: The sounds.
        most: How many are opened at most, evenly spread.
    """
    found = np.full(len(items), np.nan)
    unknown = [row for row, item in enumerate(items) if item.end is None]
    opened = {unknown[i * len(unknown) // most] for i in range(most)} if len(unknown) > most else set(unknown)
    with closing(ItemOpener("")) as opener:
        for row, item in enumerate(items):
            if item.end is not None:
                found[row] = item.end - (item.start or 0.0)
            if row not in opened:
                continue
            try:
                with opener.open(item._replace(start=None)) as file:
                    duration = file.duration
            except (AudioFileError, InvalidAudio):
                continue
            found[row] = duration - (item.start or 0.0)
    return found


def telling_lengths(labelled: Labelled, lengths: np.ndarray) -> list[str]:
    """What to say where sounds of a class are nearly all longer, or nearly all shorter, than those without it.

    Ranks are compared, so that a few very long sounds change nothing, and sounds of one length never tell.

    Args:
        labelled: The sounds.
        lengths: (N,) seconds; NaN where it is unknown.
    """
    if labelled.kind is Kind.NUMBERS:
        return []
    told = []
    for i, name in enumerate(labelled.classes):
        known = np.isfinite(lengths)
        if labelled.mask is not None:
            known &= labelled.mask[:, i]
        has = labelled.targets == i if labelled.kind is Kind.SINGLE else labelled.targets[:, i] >= 0.5
        own, others = lengths[known & has], np.sort(lengths[known & ~has])
        if min(len(own), len(others)) < _FEWEST:
            continue
        below, up_to = (np.searchsorted(others, own, side) for side in ("left", "right"))
        longer = float(np.mean(below + up_to) / 2 / len(others))
        middle, rest = float(np.median(own)), float(np.median(others))
        if max(longer, 1 - longer) >= _APART and max(middle, rest) >= _RATIO * min(middle, rest):
            told.append(f"{name} {middle:.3g} s, others {rest:.3g} s")
    if not told:
        return []
    more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return [
        f"the length of sounds tells the class (medians: {'; '.join(told[:_NAMED])}{more}): a detector learns the "
        f"length too, and scores are too good. Cut sounds of all classes to about the same lengths"
    ]
