"""How sure a score is: it is taken again of many samples of the same size, drawn among groups with replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hear_edgel3._checks import check_whole

RESAMPLES = 1000
_FEWEST = 100
# Samples times sounds times classes; it bounds the time that large sets take.
_MOST_WORK = 6e8
_AT_ONCE = 2 << 20  # values of a block of weights


def n_resamples(n: int, n_classes: int, wanted: int | None) -> int:
    """How many samples are drawn: 1000, and of large sets fewer, but no less than 100.

    Args:
        n: Sounds.
        n_classes: Classes.
        wanted: What was asked for; 0 for none.

    Raises:
        InvalidOption: It is negative.
    """
    if wanted is not None:
        return check_whole(wanted, "resamples", 0)
    return int(min(RESAMPLES, max(_FEWEST, _MOST_WORK / max(1, n * n_classes))))


def resampled_weights(
    groups: Sequence[str] | np.ndarray, strata: np.ndarray | None, n: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """How often each sound is in each of n samples, in blocks (some, N) of float64.

    Args:
        groups: (N,) what is drawn as a whole.
        strata: (N,) the only class of each sound, or None. If all groups have one class each, as many groups of a class
            are drawn as there are of it, so that no class is missing from a sample.
        n: How many samples.
        seed: Equal seeds draw equal groups, so that differences between nets can be resampled too.
    """
    rng = np.random.RandomState(check_whole(seed, "seed", 0))
    group_of = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    n_groups = int(group_of.max()) + 1
    stratum_of = np.zeros(n_groups, np.int64)
    if strata is not None:
        stratum_of[group_of] = strata
        if not np.array_equal(stratum_of[group_of], strata):
            stratum_of[:] = 0
    members = [np.flatnonzero(stratum_of == one) for one in np.unique(stratum_of)]
    at_once = max(1, _AT_ONCE // len(group_of))
    for start in range(0, n, at_once):
        drawn = np.zeros((min(at_once, n - start), n_groups))
        for some in members:
            drawn[:, some] = rng.multinomial(len(some), np.full(len(some), 1 / len(some)), len(drawn))
        # A row per sound in memory, in which rankings add up.
        yield np.ascontiguousarray(drawn.T)[group_of].T


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of a resampled score, by its quantiles .025 and .975; None if no sample has it."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
