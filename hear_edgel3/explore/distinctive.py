"""Which of its classes sets a clip apart from the others of its dataset."""

from __future__ import annotations

import numpy as np

_GROUPS = 10  # as many as the page has colours
_NEARLY = 0.7


def distinctive(classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The class of each clip that tells most of it: what nearly all clips have (Music, Speech) tells little.

    A class tells ``p ln(p / m)``, its part of the Kullback-Leibler divergence of a clip's probabilities from their
    means m over all clips, where a class that is not among a clip's most probable counts 0. Of classes that tell at
    least 0.7 of what the best one does, that is taken which tells most of all clips together, so that groups are large.

    Args:
        classes: (n, K) indices of each clip's most probable classes, the most probable first; -1 where there is none.
        probabilities: (n, K) theirs.

    Returns:
        (n,) indices of classes; where none is more probable than on average, the most probable one; -1 without any.
    """
    found = classes[:, 0].astype(np.int64)
    known = classes >= 0
    if not known.any():
        return found
    n_classes = int(classes.max()) + 1
    p = np.where(known, np.maximum(probabilities.astype(np.float64), 1e-12), 0)
    means = np.bincount(classes[known], p[known], n_classes) / len(classes)
    with np.errstate(divide="ignore", invalid="ignore"):
        tells = np.where(known, p * np.log(p / means[classes]), 0)
    best = tells.max(axis=1, keepdims=True)
    nearly = (tells > 0) & (tells >= _NEARLY * best)
    waiting = nearly.any(axis=1)
    for _ in range(_GROUPS):
        voting = nearly & waiting[:, None]
        if not voting.any():
            break
        chosen = int(np.bincount(classes[voting], tells[voting], n_classes).argmax())
        of_it = (voting & (classes == chosen)).any(axis=1)
        found[of_it] = chosen
        waiting &= ~of_it
    found[waiting] = classes[waiting, tells[waiting].argmax(axis=1)]
    return found
